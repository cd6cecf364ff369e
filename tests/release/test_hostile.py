"""Runs that mean harm, or that are broken: one clean line, and nothing is made."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.release.conftest import RUN_ID
from tests.running import Done, invoke

RUN = f"{RUN_ID}-linux"


@pytest.fixture
def run(tmp_path: Path, sample_staging: Path) -> Path:
    shutil.copytree(sample_staging, tmp_path / "staging")
    return tmp_path / "staging" / RUN


def _release(capsys: pytest.CaptureFixture[str], run: Path, *words: object) -> Done:
    work = ("--staging-dir", run.parent, "--work-dir", run.parents[1] / "work")
    return invoke(capsys, "release", "--run-id", RUN_ID, *work, *words)


def _one_clean_line(done: Done, *, code: int = 1) -> str:
    """The error, which is the last line, printable, and alone."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert errors == [done.err.splitlines()[-1]]
    return errors[0]


@pytest.mark.parametrize(
    "name",
    [
        b"blas_lib_gfx942\n::error::x.tar.zst",
        b"blas_lib_\x1b[31mgfx942.tar.zst",
        b"blas_lib_\xff\xfe.tar.zst",
        b"a\\b_lib_generic.tar.zst",
        b"blas_lib_gfx942;rm -rf.tar.zst",
        b"blas_nonsense_generic.tar.zst",
    ],
)
def test_archive_names_with_odd_bytes_give_one_line(
    name: bytes, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(os.fsdecode(os.fsencode(run) + b"/" + name)).write_bytes(b"x")
    _one_clean_line(_release(capsys, run))
    assert not (run / "tarballs").exists()


def test_stray_names_that_are_no_archives_are_listed_and_escaped(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "logs" / "<script>alert(1)").write_text("x")
    (run / "notes & more.txt").write_text("x")
    assert _release(capsys, run).code == 0
    assert "<script>" not in (run / "logs/index.html").read_text()
    assert "notes &amp; more.txt" in (run / "index.html").read_text()


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("7.13.0\n::set-output name=x::y", 2),
        ("7.13.0\x1b[2J", 2),
        ("../../../etc/7", 2),
        ("7.13.0/8", 2),
        (".7", 2),
        ("x" * 300, 1),
        ("\u202e7", 2),
        ({"a": 1}, 1),
        ([], 1),
    ],
)
def test_version_that_cannot_stand_in_a_file_name_gives_one_line(
    version: object, code: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "manifests/therock_manifest.json"
    manifest = json.loads(path.read_text()) | {"rocm_package_version": version}
    path.write_text(json.dumps(manifest))
    done = _release(capsys, run)
    _one_clean_line(done, code=code)
    assert not (run / "tarballs").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"', "[" * 100_000, "\ud800"])
def test_manifest_that_is_none_gives_one_line(
    text: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = text.encode("utf-8", "surrogatepass")
    (run / "manifests/therock_manifest.json").write_bytes(data)
    assert "therock_manifest.json" in _one_clean_line(_release(capsys, run))


def test_run_without_any_manifest_wants_a_version(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "manifests")
    for path in run.glob("base_lib_generic.tar.zst*"):
        path.unlink()
    error = _one_clean_line(_release(capsys, run), code=2)
    assert "--package-version" in error
    lacking = _one_clean_line(_release(capsys, run, "--package-version", "7"))
    assert "base_lib_generic" in lacking
    assert _release(capsys, run, "--package-version", "7", "--skip", "python,native").code == 0


def test_links_out_of_the_staging_directory_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run / "tarballs").symlink_to(tmp_path / "elsewhere")
    _one_clean_line(_release(capsys, run))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "sums",
    ["x", "0" * 64 + "  ../up\n", "0" * 64 + "  a\x00b\n", "0" * 63 + "  a\n", "\n"],
)
def test_published_sums_of_another_form_are_not_merged_with(
    sums: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "tarballs").mkdir()
    (run / "tarballs/SHA256SUMS").write_text(sums)
    assert "SHA256SUMS" in _one_clean_line(_release(capsys, run))
    assert (run / "tarballs/SHA256SUMS").read_text() == sums


def test_tarball_that_is_gone_before_the_upload_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _release(capsys, run, "--skip", "upload").code == 0
    tarballs = run.parents[1] / "work/outputs/tarballs"
    next(tarballs.glob("*gfx942*")).unlink()
    assert "run build-tarballs again" in _one_clean_line(_release(capsys, run, "--only", "upload"))
    (tarballs / "SHA256SUMS").unlink()
    assert "run build-tarballs first" in _one_clean_line(_release(capsys, run, "--only", "upload"))


def test_tarball_that_changed_before_the_upload_is_not_published(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _release(capsys, run, "--skip", "upload").code == 0
    tarball = next((run.parents[1] / "work/outputs/tarballs").glob("*gfx942*"))
    tarball.write_bytes(tarball.read_bytes()[:-1] + b"x")
    assert tarball.name in _one_clean_line(_release(capsys, run, "--only", "upload"))
    assert not (run / "tarballs" / tarball.name).exists()
