"""The sample run's packages, built by the real task and judged by real installers and checkers.

No other index is in reach. ``benchmarks/check_python_packages.py`` does the same and more with a
real run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.package_judges import (
    Indexes,
    Judged,
    JudgementError,
    compile_and_run,
    load_each,
    rocm_sdk_test,
    served,
    shared_libraries,
    task,
    tool,
)
from tests.wheel_makers import repack_installed
from therock_outputs.artifacts.sample_run import SAMPLE_TARGETS, write_sample_run
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import LocalStorage

VERSION = "7.13.0.dev0+0123abcd"
_PARTS = ("python-deps/simple/", "sample-linux/python/simple/")
_PROGRAM = """
#include <hsa-runtime64/hsa-runtime64.h>
#include <stdio.h>
int main(void) { return printf("%d\\n", hsa_init()) < 0; }
"""


@dataclass(frozen=True, slots=True)
class Published:
    """A staging directory with the packages of the sample run."""

    staging: Path

    @property
    def packages(self) -> Path:
        return self.staging / "sample-linux" / "python"

    def indexes(self, url: str) -> Indexes:
        return Indexes(*(f"{url.rstrip('/')}/{part}" for part in _PARTS))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return _publish(tmp_path_factory.mktemp("judged"), split=True)


@pytest.fixture(params=["file", "serve"])
def indexes(request: pytest.FixtureRequest, published: Published) -> Iterator[Indexes]:
    if request.param == "file":
        yield published.indexes(published.staging.as_uri())
    else:
        with served(published.staging) as url:
            yield published.indexes(url)


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_everything_installs_works_and_goes_again(
    tmp_path: Path, indexes: Indexes, installer: str
) -> None:
    judged = Judged.make(tmp_path / "venv", installer)
    before = judged.files()
    judged.install(indexes, f"rocm[libraries,devel,device-gfx942,profiler]=={VERSION}")
    assert judged.packages() == [
        "rocm", "rocm-profiler", "rocm-sdk-core", "rocm-sdk-devel", "rocm-sdk-device-gfx942",
        "rocm-sdk-libraries",
    ]  # fmt: skip
    assert rocm_sdk_test(judged)["ok"] > 30
    assert load_each(judged) > 30
    assert "lld" in judged.ask("amdlld", "-flavor", "gnu", "--version")
    assert judged.ask("rocminfo", codes=(0, 1))
    assert compile_and_run(judged, _PROGRAM, "hsa-runtime64", tmp_path / "c") == "1\n"
    judged.uninstall()
    assert judged.files() == before


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_removing_one_of_two_device_wheels_leaves_the_other(
    tmp_path: Path, published: Published, installer: str
) -> None:
    judged = Judged.make(tmp_path / "venv", installer)
    indexes = published.indexes(published.staging.as_uri())
    judged.install(indexes, f"rocm[devel,device-all]=={VERSION}")
    judged.ask("rocm-sdk", "init")
    gone, stays = (judged.recorded(f"rocm-sdk-device-{target}") for target in SAMPLE_TARGETS)
    assert any("_rocm_sdk_devel" in path.parts for path in gone)
    judged.uninstall(f"rocm-sdk-device-{SAMPLE_TARGETS[0]}")
    assert not [path for path in gone - stays if os.path.lexists(path)]
    assert all(path.is_file() for path in stays)
    rocm_sdk_test(judged)


def test_family_of_an_unsplit_run_installs_works_and_goes_again(tmp_path: Path) -> None:
    published = _publish(tmp_path, split=False)
    judged = Judged.make(tmp_path / "venv", "uv")
    before = judged.files()
    dependencies = published.indexes(published.staging.as_uri()).dependencies
    family = f"{published.packages.as_uri()}/gfx94X-dcgpu/simple/"
    judged.install(Indexes(dependencies, family), f"rocm[libraries,devel,device]=={VERSION}")
    assert judged.packages() == [
        "rocm", "rocm-sdk-core", "rocm-sdk-devel", "rocm-sdk-libraries-gfx94x-dcgpu",
    ]  # fmt: skip
    assert rocm_sdk_test(judged)["ok"] > 30
    assert load_each(judged) > 30
    judged.uninstall()
    assert judged.files() == before


def test_checkers_of_files_have_no_complaint(published: Published) -> None:
    wheels = sorted(published.packages.glob("*.whl"))
    sdists = sorted(published.packages.glob("*.tar.gz"))
    assert len(wheels) == 4 + len(SAMPLE_TARGETS)
    # By design: launchers of one program are equal files (W002), libraries are not modules (W004),
    # and a device wheel is laid over a package whose Python module is elsewhere (W010).
    _check("twine", "check", "--strict", *wheels, *sdists)
    _check("check-wheel-contents", "--ignore", "W002,W004,W010", *wheels)
    for wheel in wheels:
        if wheel.name.startswith(("rocm_sdk_core", "rocm_sdk_libraries")):
            assert "platform tag" in _check("auditwheel", "show", wheel)


def test_judges_find_a_library_that_does_not_load(tmp_path: Path, published: Published) -> None:
    judged = Judged.make(tmp_path / "venv", "uv")
    judged.install(published.indexes(published.staging.as_uri()), f"rocm=={VERSION}")
    victim = next(path for path in shared_libraries(judged) if "libhsa-runtime64" in path.name)
    victim.unlink()
    with pytest.raises(JudgementError, match="libhsa-runtime64"):
        rocm_sdk_test(judged)
    with pytest.raises(JudgementError, match="do not load"):
        load_each(judged)


def _publish(base: Path, *, split: bool) -> Published:
    """Release the sample run's packages, with setuptools in the index of dependencies."""
    staging = base / "staging"
    write_sample_run(staging, split=split)
    words = ["--run-id", "sample", "--staging-dir", str(staging), "--work-dir", str(base / "work")]
    task("release", "--only", "fetch,python,upload", "--package-version", VERSION, *words)
    (staging / "python-deps").mkdir()
    repack_installed("setuptools", staging / "python-deps")
    build_indexes(LocalStorage(staging), StorageLocation("local-run", "python-deps/"), closed=False)
    return Published(staging)


def _check(name: str, *arguments: str | Path) -> str:
    ran = subprocess.run(
        [tool(name), *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
