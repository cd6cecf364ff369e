"""Tarballs that begin alike are begun before all is known, and are what they would be without."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.tarball_makers import FAMILIES, MTIME, archives_of, build, digests, members_of
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.errors import StorageError
from therock_outputs.storage.direct_io import BLOCK, DirectFile
from therock_outputs.tarballs.assemble import Part
from therock_outputs.tarballs.build import prepare_tarballs, write_prepared
from therock_outputs.tarballs.plan import TarballOptions, plan_tarballs
from therock_outputs.tarballs.write import TarballWriter

_SHARED = random.Random(6).randbytes(2 * BLOCK + 99)
_OPTIONS = TarballOptions("1", split=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    make.write(
        folder,
        "a_lib_generic.tar.zst",
        make.file("s/lib/shared", _SHARED),
        make.file("s/z", b"z"),
        stages=("s",),
    )
    for number, target in enumerate(("gfx942", "gfx1100")):
        content = random.Random(number).randbytes(BLOCK + 77)
        make.write(
            folder, f"a_lib_{target}.tar.zst", make.file(f"s/{target}", content), stages=("s",)
        )
    return folder


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The file names of each beginning."""
    names: list[list[str]] = []
    real = TarballWriter.begin

    def spy(self: TarballWriter, paths: Sequence[Path], parts: Sequence[Part]) -> None:
        names.append(sorted(path.name.split("-")[3] for path in paths))
        real(self, paths, parts)

    monkeypatch.setattr(TarballWriter, "begin", spy)
    return names


def _without_beginnings(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The digests of tarballs of which nothing is written before all is known."""
    early = "therock_outputs.tarballs.build._EarlyWriting._begin"
    monkeypatch.setattr(early, lambda *_: None)
    build(run, out, options=_OPTIONS)
    return digests(out)


def test_tarballs_are_begun_once_and_the_same(
    run: Path, tmp_path: Path, begun: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(run, tmp_path / "out", options=_OPTIONS)
    assert begun == [["gfx1100", "gfx942", "multiarch"]]
    assert digests(tmp_path / "out") == _without_beginnings(run, tmp_path / "late", monkeypatch)


MODE = make.directory("s/lib", mode=0o700) + make.file("s/lib/own", b"x")
REPLACED = make.file("s/z", b"another")


@pytest.mark.parametrize("members", [MODE, REPLACED], ids=["mode", "file"])
def test_what_a_target_changes_is_begun_anew(
    run: Path, tmp_path: Path, begun: list[list[str]], members: bytes
) -> None:
    make.write(run, "b_lib_gfx942.tar.zst", members, stages=("s",))
    options = TarballOptions("1", split=True, on_conflict=OnConflict.LAST)
    first, *others = [
        [
            one.path
            for one in build(run, tmp_path / f"out{jobs}", options=options, jobs=jobs).tarballs
        ]
        for jobs in (1, 2, 5)
    ]
    assert begun[:2] == [["gfx1100", "gfx942", "multiarch"], ["gfx942", "multiarch"]]
    assert all(digests(paths) == digests(first) for paths in others)
    for path in first:
        found = {member.name: member for member in members_of(path)}
        changed = "gfx1100" not in path.name
        assert (found["lib"].mode == 0o700) == (changed and members is MODE)
        assert (found["z"].size == len(b"another")) == (changed and members is REPLACED)
        assert found["lib/shared"].size == len(_SHARED)


def test_progress_counts_every_byte_once(run: Path, tmp_path: Path) -> None:
    make.write(run, "b_lib_gfx942.tar.zst", MODE, stages=("s",))
    archives = archives_of(run)
    plan = plan_tarballs([archive.name for archive in archives], _OPTIONS, FAMILIES)
    counted: Counter[str] = Counter()

    def count(label: str, size: int) -> None:
        counted[label] += size

    out = tmp_path / "out"
    with prepare_tarballs(plan, archives, out, tmp_path / "segments", mtime=MTIME) as prepared:
        expected = prepared.size
        result = write_prepared(prepared, progress=count)
    assert counted == {one.path.name: one.path.stat().st_size for one in result.tarballs}
    assert counted.total() == expected


def test_what_is_given_up_leaves_nothing(run: Path, tmp_path: Path) -> None:
    archives = archives_of(run)
    plan = plan_tarballs([archive.name for archive in archives], _OPTIONS, FAMILIES)
    with prepare_tarballs(plan, archives, tmp_path / "out", tmp_path / "seg", mtime=MTIME):
        assert list((tmp_path / "out").glob(".*.partial"))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("offset", [0, BLOCK, 2 * BLOCK])
def test_a_write_that_fails_is_told_and_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    real: Callable[[DirectFile, memoryview, int], None] = DirectFile.put

    def put(self: DirectFile, data: memoryview, at: int) -> None:
        if at == offset and "gfx1100" in self.path.name:
            raise OSError(28, "No space left on device")
        real(self, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(DirectFile, "put", put)
        with pytest.raises(StorageError, match=r"gfx1100-1\.tar\.gz cannot be written .* free"):
            build(run, tmp_path / "out", options=_OPTIONS)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not any(name.startswith(".") or "gfx1100" in name for name in left)
    build(run, tmp_path / "out", options=_OPTIONS)
    build(run, tmp_path / "right", options=_OPTIONS)
    assert digests(tmp_path / "out") == digests(tmp_path / "right")
