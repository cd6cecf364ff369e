"""The other tasks and their flags, through the program."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.running import finish, invoke, start, tree
from therock_outputs.artifacts.sample_run import write_sample_run

# ------------------------------------------------------------------------------ sample-run


def test_sample_run_says_where_it_is_and_is_the_same_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("sample-run", "--staging-dir", tmp_path, "--amdgpu-targets", "gfx942,gfx90a")
    done = invoke(capsys, *words)
    assert done.code == 0, done.err
    assert f"{tmp_path}/sample-linux" in done.out
    before = tree(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "sample-linux"]
    assert json.loads(invoke(capsys, *words, "--json").out)["root"] == f"{tmp_path}/sample-linux"
    assert tree(tmp_path) == before


def test_sample_run_by_family(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("sample-run", "--staging-dir", tmp_path, "--layout", "family")
    assert invoke(capsys, *words).code == 0
    assert (tmp_path / "sample-linux/blas_lib_gfx94X-dcgpu.tar.zst").is_file()


def test_sample_run_completes_what_was_taken_away_and_refuses_what_differs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("sample-run", "--staging-dir", tmp_path)
    invoke(capsys, *words)
    before = tree(tmp_path)
    archive = tmp_path / "sample-linux/blas_lib_gfx942.tar.zst"
    archive.unlink()
    assert invoke(capsys, *words).code == 0
    assert tree(tmp_path) == before
    done = invoke(capsys, *words, "--amdgpu-targets", "gfx90a")
    assert done.code == 1
    assert "remove the directory" in done.err.splitlines()[-1]
    archive.write_bytes(b"other")
    done = invoke(capsys, *words)
    assert done.code == 1
    assert archive.name in done.err.splitlines()[-1]
    assert archive.read_bytes() == b"other"
    assert [path.name for path in tmp_path.iterdir()] == ["sample-linux"]


@pytest.mark.parametrize(
    "flags", [("--amdgpu-targets", "gfx1"), ("--layout", "x"), ("--platform", "windows")]
)
def test_sample_run_of_nonsense_is_a_usage_error_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    assert invoke(capsys, "sample-run", "--staging-dir", tmp_path, *flags).code == 2
    assert not list(tmp_path.iterdir())


def test_sample_runs_written_at_the_same_time_are_one(tmp_path: Path) -> None:
    words = ("sample-run", "--staging-dir", tmp_path / "staging")
    for process in [start(*words) for _ in range(3)]:
        assert finish(process).code == 0
    write_sample_run(tmp_path / "expected")
    assert tree(tmp_path / "staging") == tree(tmp_path / "expected")


def test_interrupted_sample_run_without_notes_is_begun_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".sample-linux.partial/run").mkdir(parents=True)
    (tmp_path / ".sample-linux.partial/wanted.json").write_text("{")
    words = ("release", "--run-id", "sample", "--staging-dir", tmp_path, "--only", "fetch")
    assert invoke(capsys, *words, "--work-dir", tmp_path / "w").code == 0
    assert (tmp_path / "sample-linux/blas_lib_gfx942.tar.zst").is_file()
    (tmp_path / ".sample-linux.partial").mkdir()  # its last moment: done, all but this
    assert invoke(capsys, *words, "--work-dir", tmp_path / "w").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"sample-linux", "w"}


# ----------------------------------------------------------------------- push, copy, stages


@pytest.fixture
def build_dir(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    """A build tree with the artifacts of a sample run."""
    write_sample_run(tmp_path / "origin")
    done = invoke(
        capsys,
        *("fetch", "--run-id", "sample", "--staging-dir", tmp_path / "origin", "--extract"),
        *("--output-dir", tmp_path / "build/artifacts", "--work-dir", tmp_path / "w"),
    )
    assert done.code == 0, done.err
    return tmp_path / "build"


def test_push_packs_a_build_tree_into_a_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, build_dir: Path
) -> None:
    words = (
        *("push", "--run-id", "local", "--build-dir", build_dir, "--work-dir", tmp_path / "w"),
        *("--staging-dir", tmp_path / "staging"),
    )
    plan = invoke(capsys, *words, "--dry-run")
    assert plan.code == 0, plan.err
    assert not (tmp_path / "staging").exists()
    done = invoke(capsys, *words, "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)) == 64
    before = tree(tmp_path / "staging")
    again = json.loads(invoke(capsys, *words, "--json").out)
    assert {row["outcome"] for row in again} == {"same"}
    assert tree(tmp_path / "staging") == before
    done = invoke(capsys, *words, "--level", "19")
    assert done.code == 1  # other bytes under published names
    for flags in (("--level", "23"), ("--stage", "nonsense")):
        assert invoke(capsys, *words, *flags).code == 2
    only = invoke(capsys, *words, "--stage", "math-libs", "--upload-run-id", "other", "--json")
    names = {row["name"] for row in json.loads(only.out)}
    assert "blas_lib_gfx942.tar.zst" in names
    assert "base_lib_generic.tar.zst" not in names
    assert (tmp_path / "staging/other-linux/blas_lib_gfx942.tar.zst").is_file()


def test_push_without_a_build_tree_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = invoke(capsys, "push", "--run-id", "local", "--build-dir", tmp_path,
                  "--staging-dir", tmp_path / "staging")  # fmt: skip
    assert done.code == 1
    assert str(tmp_path) in done.err.splitlines()[-1]


def test_copy_artifacts_copies_another_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_sample_run(tmp_path)
    words = ("copy-artifacts", "--run-id", "mine", "--staging-dir", tmp_path)
    assert invoke(capsys, *words).code == 2
    from_sample = (*words, "--source-run-id", "sample")
    assert invoke(capsys, *from_sample, "--dry-run").code == 0
    assert not (tmp_path / "mine-linux").exists()
    done = invoke(capsys, *from_sample, "--stage", "math-libs")
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "mine-linux").iterdir()}
    assert "blas_lib_gfx942.tar.zst" in names
    assert "base_lib_generic.tar.zst" not in names
    assert invoke(capsys, *words, "--source-run-id", "none").code == 1
    assert invoke(capsys, *words, "--source-run-id", "No Run").code == 2


def test_stage_info(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = invoke(capsys, "stage-info")
    assert done.code == 0
    assert "math-libs" in done.out
    done = invoke(capsys, "stage-info", "--stage", "math-libs", "--json")
    [row] = json.loads(done.out)
    assert "blas" in row["makes"]
    assert invoke(capsys, "stage-info", "--stage", "x").code == 2
    assert invoke(capsys, "stage-info", "--topology-file", tmp_path / "x").code == 1


# ------------------------------------------------------------- build-tarballs, versions


def test_build_tarballs_of_archives_at_hand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sample = write_sample_run(tmp_path / "staging")
    words = (
        *("build-tarballs", "--run-id", "local", "--work-dir", tmp_path / "w"),
        *("--artifacts-dir", sample.root, "--segments-dir", tmp_path / "segments"),
    )
    done = invoke(capsys, *words, "--dist-amdgpu-families", "gfx94X-dcgpu;gfx110X-all",
                  "--package-version", "7.13.0", "--include-test-tarballs", "--json")  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert len(report["tarballs"]) == 6
    assert report["uploaded"] is False
    assert all(Path(tarball["url"]).is_file() for tarball in report["tarballs"])
    assert any(path.is_file() for path in (tmp_path / "segments").rglob("*"))
    done = invoke(capsys, *words, "--tarball-format", "zst", "--compression-level", "1")
    assert done.code == 0, done.err
    assert "tar --zstd -x -f" in done.out
    assert "Outputs:" not in done.out
    before = tree(tmp_path)
    assert invoke(capsys, *words, "--dry-run").code == 0
    assert tree(tmp_path) == before
    assert invoke(capsys, *words, "--tarball-format", "xz").code == 2
    shutil.rmtree(sample.root)
    done = invoke(capsys, *words)
    assert done.code == 1
    assert str(sample.root) in done.err.splitlines()[-1]


_FORMS = {
    "--release-type release": ("7.13.0", "7.13.0", "7.13.0"),
    "--release-type prerelease --prerelease 2": ("7.13.0rc2", "7.13.0~pre2", "7.13.0~rc2"),
    "--release-type nightly --date 20251124": (
        *("7.13.0a20251124", "7.13.0~20251124", "7.13.0~20251124"),
    ),
    "--release-type nightly-bkc --date 20251124 --bkc-base 20251120": (
        "7.13.0a20251120+bkc.20251124",
        "7.13.0~20251120.bkc.20251124",
        "7.13.0~20251120.bkc.20251124",
    ),
    "--release-type dev --date 20251124 --commit f689a8ea": (
        *("7.13.0.dev0+f689a8ea", "7.13.0~dev20251124", "7.13.0~20251124gf689a8ea"),
    ),
}


@pytest.mark.parametrize("flags", _FORMS)
def test_compute_version_gives_the_three_forms(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
) -> None:
    python, deb, rpm = _FORMS[flags]
    (tmp_path / "version.json").write_text('{"rocm-version": "7.13.0"}')
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    words = ("compute-version", *flags.split(), "--version-file", tmp_path / "version.json")
    done = invoke(capsys, *words, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"python": python, "deb": deb, "rpm": rpm}
    lines = (tmp_path / "outputs").read_text().splitlines()
    assert lines == [f"python_version={python}", f"deb_version={deb}", f"rpm_version={rpm}"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--rocm-version", "7"), 2),
        (("--rocm-version", "7.13.0", "--date", "2025-11-24"), 2),
        (("--release-type", "prerelease", "--rocm-version", "7.13.0"), 2),
        (("--package-version", "7.13.0", "--rocm-version", "7.13.0"), 2),
        (("--package-version", "nonsense"), 2),
        (("--version-file", "/nowhere/version.json"), 1),
    ],
)
def test_compute_version_of_nonsense_is_one_line(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int
) -> None:
    done = invoke(capsys, "compute-version", *flags)
    assert done.code == code, done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rocm-version": 7}'])
def test_version_file_of_another_form_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "version.json"
    path.write_text(text)
    done = invoke(capsys, "compute-version", "--version-file", path)
    assert done.code == 1
    assert str(path) in done.err


def test_compute_version_derives_native_forms(capsys: pytest.CaptureFixture[str]) -> None:
    done = invoke(capsys, "compute-version", "--package-version", "7.13.0rc2")
    assert done.code == 0
    assert re.search(r"deb +7\.13\.0~pre2", done.out)
