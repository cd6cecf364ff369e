"""The task ``setup-venv``, with real environments, uv and pip, and no other index in reach."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.python_files import alone_environment, sdist, wheel
from therock_outputs.commands.setup_venv import (
    PreparedVenv,
    VenvOptions,
    plan_sources,
    setup_venv,
)
from therock_outputs.commands.virtual_env import Installer, choose_installer, run_told
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError, OutputsError, UsageError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.lookup import SourceKind
from therock_outputs.indexes.server import StagingServer
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.settings import Settings
from therock_outputs.storage import LocalStorage, Upload

VERSION = "7.10.0a20251124+abc"
ROOT = WorkflowOutputRoot.for_local("7")
_TEST = "#!python\nimport sys\nprint('tested', sys.argv[1:])\nsys.exit({code})\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A staging directory with a run and the index of dependencies."""

    staging: Path
    environ: Mapping[str, str]
    settings: Settings
    said: io.StringIO
    console: Console

    def make(self, **options: object) -> PreparedVenv:
        own = {"venv_dir": self.staging.parent / "venv", **options}
        return setup_venv(self.settings, VenvOptions.of(own), self.console, self.environ)

    def installed(self) -> set[str]:
        found = (self.staging.parent / "venv").rglob("*.dist-info")
        names = {path.name.removesuffix(".dist-info") for path in found}
        return {name for name in names if not name.startswith(("pip-", "setuptools-"))}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    staging = tmp_path / "staging"
    home = tmp_path / "home"
    home.mkdir()
    environ = alone_environment(home)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    storage = LocalStorage(staging)
    core = f"rocm-sdk-core=={VERSION}"
    run = [
        wheel("rocm-sdk-core", VERSION, ["dep"], scripts={"rocm-sdk": _TEST.format(code=0)}),
        wheel("rocm-sdk-libraries", VERSION, [core]),
        sdist(
            "rocm",
            VERSION,
            [core, f"rocm-sdk-libraries=={VERSION} ; extra == 'libraries'"],
            ["libraries"],
        ),
    ]
    storage.upload([Upload(data, ROOT.python(name)) for name, data in run])
    build_indexes(storage, ROOT.python())
    dependencies = [wheel("setuptools", "99"), wheel("dep", "3.0")]
    storage.upload([Upload(data, ROOT.python_deps_files(name)) for name, data in dependencies])
    build_indexes(storage, ROOT.python_deps_files())
    said = io.StringIO()
    settings = Settings(run_id="7", staging_dir=staging)
    return Case(staging, environ, settings, said, Console(said, said))


EVERYTHING = {
    f"rocm-{VERSION}",
    f"rocm_sdk_core-{VERSION}",
    f"rocm_sdk_libraries-{VERSION}",
    "dep-3.0",
}


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_run_of_a_staging_directory_is_installed_and_tested(case: Case, installer: str) -> None:
    made = case.make(installer=installer, test=True)
    assert case.installed() == EVERYTHING
    assert made.installer == installer
    assert not made.activated
    words = case.said.getvalue()
    assert "tested ['test']" in words
    assert f"enter it with: source {case.staging.parent}/venv/bin/activate" in words
    done = subprocess.run(
        [made.python, "-c", "import rocm_sdk_core; print(rocm_sdk_core.VERSION)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == VERSION


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_flat_page_still_finds_build_tools_and_dependencies(case: Case, installer: str) -> None:
    made = case.make(installer=installer, flat=True)
    assert [source.kind for source in made.sources] == [SourceKind.INDEX, SourceKind.FIND_LINKS]
    assert case.installed() == EVERYTHING


def test_served_directory_is_installed_from(case: Case) -> None:
    with StagingServer(case.staging) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made = case.make(server_url=server.url, packages="rocm")
        server.shutdown()
        thread.join()
    assert [source.url for source in made.sources] == [
        f"{server.url}python-deps/simple/",
        f"{server.url}7-linux/python/simple/",
    ]
    assert case.installed() == EVERYTHING - {f"rocm_sdk_libraries-{VERSION}"}


def test_environment_is_used_again_unless_it_is_to_be_clean(case: Case) -> None:
    case.make(installer="uv", packages="rocm-sdk-core")
    mark = case.staging.parent / "venv" / "mark"
    mark.touch()
    case.make(installer="uv")
    assert case.installed() == EVERYTHING
    assert mark.exists()
    case.make(installer="uv", packages="rocm-sdk-core", clean=True)
    assert case.installed() == {f"rocm_sdk_core-{VERSION}", "dep-3.0"}
    assert not mark.exists()


def test_ci_gets_the_environment_for_later_steps(case: Case) -> None:
    files = {name: case.staging.parent / name for name in ("GITHUB_PATH", "GITHUB_ENV")}
    environ = {**case.environ, **{name: str(path) for name, path in files.items()}}
    case = replace(case, environ=environ)
    made = case.make(installer="uv", packages="rocm-sdk-core")
    assert made.activated
    assert files["GITHUB_PATH"].read_text() == f"{made.directory}/bin\n"
    assert files["GITHUB_ENV"].read_text() == f"VIRTUAL_ENV={made.directory}\n"
    assert "later steps of this job use it" in case.said.getvalue()


def test_other_indexes_of_the_environment_are_not_asked(case: Case) -> None:
    storage = LocalStorage(case.staging)
    other = ROOT.python_deps_files("other/")
    name, data = wheel("dep", "4.0")
    storage.upload([Upload(data, other / name)])
    build_indexes(storage, other)
    elsewhere = (case.staging / "python-deps" / "other").as_uri()
    environ = {
        **case.environ,
        "PIP_EXTRA_INDEX_URL": f"{elsewhere}/simple/",
        "UV_EXTRA_INDEX_URL": f"{elsewhere}/simple/",
        "PIP_FIND_LINKS": f"{elsewhere}/index.html",
        "UV_FIND_LINKS": f"{elsewhere}/index.html",
    }
    for installer in ("uv", "pip"):
        replace(case, environ=environ).make(
            installer=installer, packages="rocm-sdk-core", clean=True
        )
        assert "dep-3.0" in case.installed()


def test_dry_run_prints_the_commands(case: Case) -> None:
    case = replace(case, settings=replace(case.settings, dry_run=True))
    case.make(installer="pip", pre=True, packages="'rocm[libraries]' dep")
    create, install = case.said.getvalue().splitlines()
    assert create.endswith(f"-m venv {case.staging.parent}/venv")
    deps = (case.staging / "python-deps/simple").as_uri()
    run = (case.staging / "7-linux/python/simple").as_uri()
    assert install.endswith(
        f"--index-url {deps}/ --extra-index-url {run}/ --pre -- 'rocm[libraries]' dep"
    )
    assert not (case.staging.parent / "venv").exists()


# ---------------------------------------------------------------------- where it looks


def sources(**options: object) -> list[str]:
    settings = Settings(run_id=None if "run" not in options else str(options.pop("run")))
    group = options.pop("group", None)
    settings = replace(settings, artifact_group=None if group is None else str(group))
    own = {"venv_dir": Path("x"), **options}
    return [source.url for source in plan_sources(settings, VenvOptions.of(own))]


def test_run_on_s3_has_its_two_indexes() -> None:
    bucket = "https://therock-ci-artifacts.s3.amazonaws.com"
    assert sources(run="7") == [
        f"{bucket}/python-deps/simple/",
        f"{bucket}/7-linux/python/simple/",
    ]
    assert sources(run="7", group="gfx94X-dcgpu", flat=True)[1] == (
        f"{bucket}/7-linux/python/gfx94X-dcgpu/index.html"
    )


def test_s3_server_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    assert sources(run="7")[1] == (
        "http://127.0.0.1:9000/therock-ci-artifacts/7-linux/python/simple/"
    )


def test_promoted_packages_have_names() -> None:
    assert sources(index_name="nightly") == [
        "https://therock-nightly-artifacts.s3.amazonaws.com/python-deps/simple/",
        "https://therock-nightly-python.s3.amazonaws.com/v4/whl/simple/",
    ]
    assert sources(index_name="release", group="gfx94X-dcgpu") == [
        "https://therock-prerelease-artifacts.s3.amazonaws.com/python-deps/simple/",
        "https://therock-release-python.s3.amazonaws.com/v3/whl/gfx94X-dcgpu/simple/",
    ]


def test_addresses_may_be_paths(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.touch()
    assert sources(find_links=str(page), deps_index_url="https://x.example/simple/") == [
        "https://x.example/simple/",
        page.as_uri(),
    ]
    assert sources(index_url=str(tmp_path))[1] == tmp_path.as_uri() + "/"
    with pytest.raises(NotFoundError, match="is neither an address nor a path that is there"):
        sources(index_url=str(tmp_path / "none"))


def test_nothing_to_install_from_is_said() -> None:
    with pytest.raises(UsageError, match="which packages\\? give --run-id"):
        sources()


# ----------------------------------------------------------------------- what goes wrong


def test_wrong_kind_of_page_is_said_before_anything_is_made(case: Case) -> None:
    flat = case.staging / "7-linux/python/index.html"
    with pytest.raises(UsageError, match="is a find-links page, not an index"):
        case.make(index_url=str(flat))
    with pytest.raises(UsageError, match="is an index, not a find-links page"):
        case.make(find_links=str(case.staging / "7-linux/python/simple"))
    assert not (case.staging.parent / "venv").exists()


def test_index_without_the_package_is_said(case: Case) -> None:
    with pytest.raises(NotFoundError, match="has no rocm-profiler, only rocm"):
        case.make(packages="rocm-profiler")


def test_missing_dependencies_are_said_with_what_to_do(case: Case) -> None:
    none = case.staging / "none"
    none.mkdir()
    with pytest.raises(NotFoundError, match=r"setuptools.*fill it with \./inv mirror-deps"):
        case.make(deps_index_url=str(none))


def test_directory_with_something_else_is_never_removed(case: Case) -> None:
    other = case.staging.parent / "home" / "mine"
    other.mkdir()
    (other / "file").touch()
    for clean in (False, True):
        with pytest.raises(UsageError, match="is there and is no virtual environment"):
            case.make(venv_dir=other, clean=clean)
    assert (other / "file").exists()


def test_environment_that_lost_its_interpreter_is_said(case: Case) -> None:
    venv = case.staging.parent / "venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    with pytest.raises(UsageError, match="has lost its interpreter; give --clean"):
        case.make()


@pytest.mark.parametrize("packages", ["rocm[", "-r x", "--index-url=x"])
def test_requirement_that_is_none_is_refused(case: Case, packages: str) -> None:
    with pytest.raises(UsageError, match="is no requirement"):
        case.make(packages=packages)


def test_no_directory_is_refused(case: Case) -> None:
    with pytest.raises(UsageError, match="where\\? name the directory"):
        case.make(venv_dir=None)


def test_failing_installation_says_the_last_word(case: Case) -> None:
    with pytest.raises(OutputsError, match=r"pip install .* failed with 1"):
        case.make(installer="uv", packages="rocm==99")


def test_failing_test_is_an_error(case: Case) -> None:
    storage = LocalStorage(case.staging)
    bad = wheel("rocm-sdk-core", "99", scripts={"rocm-sdk": _TEST.format(code=3)})
    storage.upload([Upload(bad[1], ROOT.python(bad[0]))])
    build_indexes(storage, ROOT.python())
    with pytest.raises(OutputsError, match=r"rocm-sdk test … failed with 3: tested \['test'\]"):
        case.make(installer="uv", packages="rocm-sdk-core", test=True)


def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none cannot be run"):
        run_told([str(tmp_path / "none")], {}, print)


def test_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    venv = choose_installer("pip", tmp_path)
    assert venv.installer is Installer.PIP
    with pytest.raises(NotFoundError, match=r"there is no Python '3\.99' on PATH"):
        venv.create_command("3.99")


def test_document_is_json(case: Case) -> None:
    case = replace(case, settings=replace(case.settings, dry_run=True))
    out = io.StringIO()
    Console(out, io.StringIO(), json=True).document(case.make(packages="rocm"))
    assert json.loads(out.getvalue())["requirements"] == ["rocm"]
