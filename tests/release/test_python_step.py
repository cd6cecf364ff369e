"""The step ``python`` on a staging directory: what is built, repeated, indexed and uploaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.release.conftest import RUN_ID
from tests.running import Done, invoke, tree
from therock_outputs.artifacts.sample_run import write_sample_run

THERE = "7 Python packages are there and whole; nothing to do"
CORE = "rocm_sdk_core-7.13.0.dev0-py3-none-linux_x86_64.whl"


class _Task:
    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self.capsys = capsys
        self.staging = directory / "staging"
        self.out = directory / "out"
        self.work = directory / "work"

    def __call__(self, *words: object, task: str = "build-python-packages") -> Done:
        where = ("--staging-dir", self.staging, "--work-dir", self.work, "--output-dir", self.out)
        return invoke(self.capsys, task, "--run-id", RUN_ID, *where, *words)

    def done(self, *words: object, task: str = "build-python-packages") -> Done:
        done = self(*words, task=task)
        assert done.code == 0, done.err
        return done

    @property
    def wheels(self) -> set[str]:
        return {path.name for path in (self.out / "python").rglob("*.whl")}


@pytest.fixture
def task(capsys: pytest.CaptureFixture[str], tmp_path: Path, sample_staging: Path) -> _Task:
    task = _Task(capsys, tmp_path)
    shutil.copytree(sample_staging, task.staging)
    return task


def test_second_build_repeats_nothing_and_a_damaged_wheel_is_made_again(task: _Task) -> None:
    assert THERE not in task.done().out
    before = tree(task.out)
    assert THERE in task.done().out
    wheel = task.out / "python" / CORE
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    assert THERE not in task.done().out
    assert tree(task.out) == before


@pytest.mark.parametrize(
    "setting",
    [
        ("--package-version", "7.14.0"),
        ("--compression-level", "1"),
        ("--dist-amdgpu-families", "gfx942"),
        ("--wheel-platform-tag", "manylinux_2_28_x86_64"),
        ("--build-variant", "asan"),
    ],
)
def test_changed_setting_builds_again(task: _Task, setting: tuple[str, str]) -> None:
    task.done()
    assert "nothing to do" not in task.done(*setting).out
    assert "nothing to do" in task.done(*setting).out


def test_build_of_other_content_replaces_the_index_on_this_disk(task: _Task) -> None:
    task.done()
    page = task.out / "python/simple/rocm-sdk-core/index.html"
    before = page.read_text()
    task.done("--compression-level", "1")
    assert page.read_text() != before
    sums = (task.out / "python/SHA256SUMS").read_text()
    assert len(sums.splitlines()) == 7


def test_only_builds_what_it_names(task: _Task) -> None:
    task.done("--only", "core,rocm")
    assert task.wheels == {CORE}
    assert (task.out / "python/rocm-7.13.0.dev0.tar.gz").is_file()
    refused = task("--only", "wheels")
    assert refused.code == 2
    assert "they are core, libraries, device, profiler, devel, rocm" in refused.err


def test_what_is_left_out_is_told_and_strict_takes_rules_only(task: _Task) -> None:
    done = task.done("--strict")
    assert "fftw3_lib_generic.tar.zst" in done.out
    run = task.staging / f"{RUN_ID}-linux"
    for ending in ("", ".sha256sum"):
        found = run / f"rand_dev_generic.tar.zst{ending}"
        text = (
            found.read_bytes().replace(b"rand_dev", b"novel_dev") if ending else found.read_bytes()
        )
        (run / f"novel_dev_generic.tar.zst{ending}").write_bytes(text)
    refused = task("--strict", "--package-version", "7.14.0")
    assert refused.code == 1
    assert "novel_dev_generic.tar.zst (its artifact is in no package's list)" in refused.err


def test_dry_run_names_the_packages_and_writes_none(task: _Task) -> None:
    done = task.done("--dry-run", "--json")
    planned = {Path(file["target"]).name for file in json.loads(done.out)["planned"]}
    assert CORE in planned
    assert "rocm-7.13.0.dev0.tar.gz" in planned
    assert not task.out.exists()


def test_incomplete_run_is_refused_before_anything_is_built(task: _Task) -> None:
    (task.staging / f"{RUN_ID}-linux" / "base_lib_generic.tar.zst").unlink()
    refused = task("--package-version", "7.13.0")
    assert refused.code == 1
    assert "base_lib_generic" in refused.err
    assert not task.wheels


def test_upload_puts_packages_and_index_under_the_run(task: _Task) -> None:
    task.done()
    task.done(task="upload")
    place = task.staging / f"{RUN_ID}-linux" / "python"
    assert {path.name for path in place.glob("*.whl")} == task.wheels
    assert (place / "simple/rocm-sdk-core/index.html").is_file()
    before = tree(task.staging)
    task.done(task="upload")
    assert tree(task.staging) == before


def test_families_of_an_unsplit_run_have_their_own_directories(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = _Task(capsys, tmp_path)
    write_sample_run(task.staging, run_id=RUN_ID, targets=("gfx942", "gfx1100"), split=False)
    task.done(task="release")
    place = task.staging / f"{RUN_ID}-linux" / "python"
    assert (place / CORE).is_file()
    families = sorted(path.parent.name for path in place.glob("*/rocm-7.13.0.dev0.tar.gz"))
    assert len(families) == 2
    page = (place / families[0] / "simple/rocm-sdk-core/index.html").read_text()
    assert f"../../../{CORE}#sha256=" in page


def test_packages_of_an_artifact_group_lie_below_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = _Task(capsys, tmp_path)
    write_sample_run(task.staging, run_id=RUN_ID, targets=("gfx942",), split=False)
    (archive,) = (task.staging / f"{RUN_ID}-linux").glob("blas_lib_gfx*.tar.zst")
    family = archive.name.split("_")[2].removesuffix(".tar.zst")
    task.done("--artifact-group", family)
    assert (task.out / "python" / family / CORE).is_file()
