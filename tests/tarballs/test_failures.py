"""What stops a tarball, and that nothing half-written stays."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.tarball_makers import FAMILIES, MTIME, archives_of, build, digests
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError, OutputsError
from therock_outputs.tarballs.build import build_tarballs
from therock_outputs.tarballs.plan import TarballOptions, TarballPlan, plan_tarballs

S = make.STAGE


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    noise = random.Random(4).randbytes(300_000)
    make.write(folder, "a_lib_generic.tar.zst", make.file(f"{S}/a", noise))
    make.write(folder, "b_lib_gfx942.tar.zst", make.file(f"{S}/b", noise[::-1]))
    return folder


def _plan(run: Path) -> TarballPlan:
    names = [archive.name for archive in archives_of(run)]
    return plan_tarballs(names, TarballOptions("1"), FAMILIES)


def _nothing_but(directory: Path, *names: str) -> bool:
    return sorted(path.name for path in directory.glob("*")) == sorted(names)


def test_an_archive_with_a_wrong_digest_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "b_lib_gfx942.tar.zst.sha256sum").write_text("0" * 64)
    with pytest.raises(IntegrityError, match=r"b_lib_gfx942\.tar\.zst: its SHA-256 is"):
        build(run, tmp_path / "out")
    assert _nothing_but(tmp_path / "out")
    assert not (tmp_path / "out.segments").exists()


def test_an_archive_without_a_digest_may_be_used(run: Path, tmp_path: Path) -> None:
    archives = [replace(archive, sha256=None) for archive in archives_of(run)]
    plan = _plan(run)
    build_tarballs(plan, archives, tmp_path / "out", tmp_path / "segments", mtime=MTIME)
    build(run, tmp_path / "verified")
    assert digests(tmp_path / "out") == digests(tmp_path / "verified")


def test_an_archive_of_the_plan_that_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    plan, archives = _plan(run), archives_of(run)
    with pytest.raises(NotFoundError, match=r"b_lib_gfx942.*is in the plan and not on disk"):
        build_tarballs(plan, archives[:1], tmp_path / "out", tmp_path / "seg", mtime=MTIME)
    (run / "b_lib_gfx942.tar.zst").unlink()
    with pytest.raises(NotFoundError, match=r"b_lib_gfx942.*fetch the run again"):
        build_tarballs(plan, archives, tmp_path / "out", tmp_path / "seg", mtime=MTIME)


BAD = {
    "outside": make.file("../evil"),
    "absolute": make.file("/etc/evil"),
    "no stage": make.file("elsewhere/x"),
    "link out": make.symlink(f"{S}/l", "../.."),
    "hard link to itself": make.hardlink(f"{S}/h", f"{S}/h"),
    "hard link out": make.hardlink(f"{S}/h", "/etc/passwd"),
    "device": make.header(f"{S}/d", kind=b"3"),
    "size out of range": make.pax({"size": "9" * 30}) + make.file(f"{S}/x"),
    "size beyond the end": make.header(f"{S}/x", size=make.base256((1 << 63) - 1)),
    "twice": make.file(f"{S}/x") * 2,
}


@pytest.mark.parametrize("member", list(BAD.values()), ids=list(BAD))
@pytest.mark.parametrize("jobs", [1, 9])
def test_a_bad_archive_is_named_and_leaves_the_old_tarballs(
    run: Path, tmp_path: Path, member: bytes, jobs: int
) -> None:
    build(run, tmp_path / "out")
    before = digests(tmp_path / "out")
    make.write(run, "c_lib_gfx942.tar.zst", make.file(f"{S}/c", b"c" * 9_000_000), member)
    with pytest.raises(IntegrityError, match=r"c_lib_gfx942\.tar\.zst: "):
        build(run, tmp_path / "out", jobs=jobs)
    assert digests(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out", "out.segments"}


def test_damage_without_digests_is_a_clean_error_or_harmless(tmp_path: Path) -> None:
    run = tmp_path / "run"
    content = make.tar(make.file(f"{S}/a", b"a" * 4000), make.file(f"{S}/b"))
    seeded = random.Random(17)
    whole = make.write_bytes(run, "a_lib_gfx942.tar.zst", content).read_bytes()
    (archive,) = archives_of(run)
    plan = _plan(run)
    build(run, tmp_path / "right")
    clean = 0
    for number in range(120):
        at = seeded.randrange(len(whole))
        damaged = whole[:at] if number % 2 else bytearray(whole)
        if isinstance(damaged, bytearray):
            damaged[at] ^= 1 << seeded.randrange(8)
        archive.path.write_bytes(damaged)
        try:
            build_tarballs(
                plan,
                [replace(archive, sha256=None)],
                tmp_path / "out",
                tmp_path / f"segments{number}",
                mtime=MTIME,
                jobs=1,
            )
        except (IntegrityError, ConflictError, NotFoundError):
            clean += 1
        else:
            assert digests(tmp_path / "out") == digests(tmp_path / "right")
    assert clean > 100


def test_places_that_cannot_be_written_are_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out, store in (("file", "ok"), ("file/below", "ok"), ("ok", "file")):
        with pytest.raises(OutputsError, match="file"):
            build(run, tmp_path / out, tmp_path / store)
    (tmp_path / "taken/therock-dist-linux-gfx942-1.tar.gz").mkdir(parents=True)
    (tmp_path / "taken/SHA256SUMS").write_text("of tarballs that are replaced")
    with pytest.raises(OutputsError, match=r"gfx942-1\.tar\.gz cannot be written"):
        build(run, tmp_path / "taken")
    assert _nothing_but(tmp_path / "taken", "therock-dist-linux-gfx942-1.tar.gz")


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.tarball_makers import build
from therock_outputs.errors import OutputsError
run, out, segments = map(Path, sys.argv[1:4])
limit = int(sys.argv[4])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    build(run, out, segments)
except OutputsError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("limit", "place"), [(400_000, "out"), (100_000, "segments")])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    run: Path, tmp_path: Path, limit: int, place: str
) -> None:
    """A limit on file sizes stands for a full disk: writes end short, then fail."""
    out, segments = tmp_path / "out", tmp_path / "segments"
    if place == "out":
        build(run, tmp_path / "other", segments)  # the segments are there already
    arguments = [str(path) for path in (run, out, segments)]
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, *arguments, str(limit)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    assert "cannot be written (File too large)" in done.stdout
    assert str(tmp_path / place) in done.stdout
    assert _nothing_but(out)
    assert not list(segments.rglob("*.partial"))
    build(run, out, segments)
    build(run, tmp_path / "right")
    assert digests(out) == digests(tmp_path / "right")
