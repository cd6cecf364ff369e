"""The mirror of dependencies, filled by the real pip from an index on this disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.indexes.conftest import Place
from tests.python_files import alone_environment, install, installed, wheel
from therock_outputs.commands.mirror import MirrorOptions, mirror_dependencies
from therock_outputs.console import Console
from therock_outputs.errors import ConflictError, NotFoundError, UsageError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.dependencies import (
    Interpreter,
    Wheel,
    execute_mirror,
    mirrored,
    parse_interpreters,
    plan_mirror,
    resolve_wheels,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.settings import Settings
from therock_outputs.storage import LocalStorage, Upload

LINUX = [Interpreter("3.11", "linux"), Interpreter("3.12", "linux")]
WHEELS = (
    wheel("dep-pure", "1.0", ["dep-native>=2"]),
    wheel("dep-native", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    wheel("dep-native", "2.0", tag="cp312-cp312-manylinux_2_28_x86_64"),
    wheel("dep-native", "2.0", tag="cp312-cp312-win_amd64"),
    wheel("dep-unwanted", "1.0"),
)
PURE, NATIVE_311, NATIVE_312, NATIVE_WIN = (name for name, _ in WHEELS[:4])
MIRROR = StorageLocation("local-run", "python-deps/")


@pytest.fixture
def configured(tmp_path: Path) -> dict[str, str]:
    """An environment whose pip is configured for an index with the wheels above."""
    storage = LocalStorage(tmp_path / "configured")
    place = StorageLocation("local-run", "files/")
    storage.upload([Upload(data, place / name) for name, data in WHEELS])
    build_indexes(storage, place)
    home = tmp_path / "home"
    home.mkdir()
    index = (tmp_path / "configured" / "files" / "simple").as_uri() + "/"
    return alone_environment(home) | {"PIP_INDEX_URL": index}


def test_mirror_gets_what_interpreters_need_and_no_more(
    configured: dict[str, str], tmp_path: Path
) -> None:
    wheels = resolve_wheels(["dep-pure"], LINUX, tmp_path / "work", environ=configured)
    assert [found.filename for found in wheels] == [NATIVE_311, NATIVE_312, PURE]
    assert all(found.sha256 for found in wheels)


def test_mirror_for_windows_is_filled_on_linux(configured: dict[str, str], tmp_path: Path) -> None:
    windows = parse_interpreters(["3.12"], ["windows"])
    wheels = resolve_wheels(["dep-pure"], windows, tmp_path / "work", environ=configured)
    assert [found.filename for found in wheels] == [NATIVE_WIN, PURE]


def test_mirror_is_an_index_that_pip_installs_from(
    configured: dict[str, str], place: Place, tmp_path: Path
) -> None:
    mirror = place.python / "python-deps/"
    here = parse_interpreters(["3.12"], ["linux"])
    wheels = resolve_wheels(["dep-pure"], here, tmp_path / "work", environ=configured)
    plan = plan_mirror(mirror, wheels, mirrored(place.storage, mirror))
    transfers, built = execute_mirror(plan, place.storage, tmp_path / "work", environ=configured)
    assert [transfer.location.name for transfer in transfers] == [NATIVE_312, PURE]
    assert [file.path for file in built.files] == [NATIVE_312, PURE]
    place.let_anybody_read()
    url = place.url("python-deps/simple/")
    arguments = ("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28")
    install("uv", tmp_path / "site", "--index-url", url, *arguments, "dep-pure")
    assert installed(tmp_path / "site") == {"dep_pure-1.0", "dep_native-2.0"}


def test_only_what_is_not_there_yet_is_fetched(
    configured: dict[str, str], local: Place, tmp_path: Path
) -> None:
    storage, work = local.storage, tmp_path / "work"
    first = resolve_wheels(["dep-pure"], LINUX[:1], work, environ=configured)
    execute_mirror(plan_mirror(MIRROR, first, {}), storage, work, environ=configured)
    both = resolve_wheels(["dep-pure"], LINUX, work, environ=configured)
    plan = plan_mirror(MIRROR, both, mirrored(storage, MIRROR))
    assert [found.filename for found in plan.missing] == [NATIVE_312]
    assert plan.present == (NATIVE_311, PURE)
    _, built = execute_mirror(plan, storage, work, environ=configured)
    assert [file.path for file in built.files] == [NATIVE_311, NATIVE_312, PURE]


def test_wheel_that_differs_from_the_mirrors_is_refused() -> None:
    found = Wheel(PURE, "https://x.example/" + PURE, "1" * 64, LINUX[0])
    with pytest.raises(ConflictError, match=r"has SHA-256 2222.* and 1111.* in the configured"):
        plan_mirror(MIRROR, [found], {PURE: "2" * 64})


def test_changed_wheel_is_refused_by_its_digest(
    configured: dict[str, str], local: Place, tmp_path: Path
) -> None:
    wheels = resolve_wheels(["dep-native"], LINUX[:1], tmp_path / "work", environ=configured)
    changed = tmp_path / "configured" / "files" / NATIVE_311
    changed.write_bytes(changed.read_bytes() + b"\0")
    plan = plan_mirror(MIRROR, wheels, {})
    with pytest.raises(NotFoundError, match=r"do not match the hashes|hash"):
        execute_mirror(plan, local.storage, tmp_path / "work", environ=configured)
    assert not list(local.storage.list(MIRROR))


def test_download_of_another_time_is_checked(
    configured: dict[str, str], local: Place, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    wheels = resolve_wheels(["dep-native"], LINUX[:1], work, environ=configured)
    (work / "wheels").mkdir()
    (work / "wheels" / NATIVE_311).write_bytes(b"half")
    plan = plan_mirror(MIRROR, wheels, {})
    execute_mirror(plan, local.storage, work, environ=configured)
    assert local.storage.sha256(MIRROR / NATIVE_311) == wheels[0].sha256


def test_package_without_wheels_is_named(configured: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no wheels for Python 3\.11 on linux: .*dep-none"):
        resolve_wheels(["dep-none"], LINUX[:1], tmp_path / "work", environ=configured)


@pytest.mark.parametrize("requirement", ["rocm", "rocm_sdk.core==1", "ROCm[devel]"])
def test_rocm_packages_are_refused(requirement: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a ROCm package"):
        resolve_wheels([requirement], LINUX, tmp_path)


@pytest.mark.parametrize("requirement", ["a b", "--index-url=x", "-r x", "", "numpy>="])
def test_list_that_holds_something_else_is_refused(requirement: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no requirement"):
        resolve_wheels([requirement], LINUX, tmp_path)


def test_empty_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is to be mirrored"):
        resolve_wheels([], LINUX, tmp_path)


@pytest.mark.parametrize("version", ["3", "3.x", "cp312", "2.7"])
def test_python_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match=r"give one like 3\.12"):
        parse_interpreters([version], ["linux"])


# ------------------------------------------------------------------------------- task


@pytest.fixture
def at_home(configured: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in configured.items():
        monkeypatch.setenv(name, value)


def test_task_reads_a_file_of_requirements(
    at_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("# what we need\ndep-pure >= 1, < 2  # pure\n\n")
    own = {
        "dependencies": (),
        "requirements_file": listed,
        "python_versions": ("3.11",),
        "for_platforms": (),
    }
    settings = Settings(staging_dir=tmp_path / "staging", work_dir=tmp_path / "work")
    options = MirrorOptions.of(settings, own)
    console = Console.standard({}, json=True)
    report = mirror_dependencies(settings, options, console)
    assert report.added == (NATIVE_311, PURE)
    assert (tmp_path / "staging/python-deps/simple/dep-pure/index.html").is_file()
    again = mirror_dependencies(settings, options, console)
    assert (again.added, again.present) == ((), (NATIVE_311, PURE))


def test_dry_run_of_the_task_writes_nothing(at_home: None, tmp_path: Path) -> None:
    settings = Settings(staging_dir=tmp_path / "staging", work_dir=tmp_path / "work", dry_run=True)
    options = MirrorOptions(requirements=["dep-pure"], versions=["3.12"], platforms=["linux"])
    report = mirror_dependencies(settings, options, Console.standard({}))
    assert report.added == (NATIVE_312, PURE)
    assert not (tmp_path / "staging").exists()


def test_file_of_requirements_that_is_not_there_is_named(tmp_path: Path) -> None:
    own = {
        "dependencies": (),
        "requirements_file": tmp_path / "none.txt",
        "python_versions": (),
        "for_platforms": (),
    }
    with pytest.raises(NotFoundError, match=r"none\.txt cannot be read as a list"):
        MirrorOptions.of(Settings(), own)
