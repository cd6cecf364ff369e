"""The same path in two archives, and what a tarball then holds."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.tarball_makers import build, digests, members_of, tree_in
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.artifacts.unpack import PREFIX_MARKER, UnpackMode, unpack
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.tarballs.encoding import SEGMENT_SIZE, Encoding, TarballFormat
from therock_outputs.tarballs.plan import TarballOptions

_SEEDED = random.Random(9)
_BLOCK = _SEEDED.randbytes(4096)
LARGE = _BLOCK * (SEGMENT_SIZE * 5 // 2 // 4096) + b"one"
OTHER = LARGE[:-3] + b"two"


def _write(folder: Path, name: str, *members: bytes) -> Path:
    return make.write(folder, f"{name}.tar.zst", *members, stages=("s",))


def _build(
    run: Path, out: Path, choice: OnConflict = OnConflict.ERROR, form: TarballFormat | None = None
) -> Path:
    options = TarballOptions(
        "1", on_conflict=choice, encoding=Encoding(form or TarballFormat.GZ, 3)
    )
    (tarball,) = build(run, out, options=options).tarballs
    return tarball.path


def _neighbours(name: str) -> tuple[bytes, bytes]:
    return make.file(f"s/before-{name}", b"b" * 700), make.file(f"s/after-{name}", b"a" * 99)


PAIRS = {
    "small files": (make.file("s/p", b"one"), make.file("s/p", b"two")),
    "sizes": (make.file("s/p", b""), make.file("s/p", b"two")),
    "files of many segments": (make.file("s/p", LARGE), make.file("s/p", OTHER)),
    "large and small": (make.file("s/p", LARGE), make.file("s/p", b"two")),
    "links": (make.symlink("s/p", "x"), make.symlink("s/p", "y")),
    "file and link": (make.file("s/p", b"x"), make.symlink("s/p", "x")),
    "hard link": (make.file("s/p", b"x"), make.file("s/q", b"y") + make.hardlink("s/p", "s/q")),
}


@pytest.mark.parametrize("pair", list(PAIRS.values()), ids=list(PAIRS))
@pytest.mark.parametrize("form", list(TarballFormat))
def test_different_content_at_one_path(
    tmp_path: Path, pair: tuple[bytes, bytes], form: TarballFormat
) -> None:
    archives = []
    for name, member in zip(("a_lib_generic", "b_lib_gfx942"), pair, strict=True):
        before, after = _neighbours(name)
        archives.append(_write(tmp_path / "run", name, before, member, after))
    with pytest.raises(
        ConflictError,
        match=r"'p' differs between a_lib_generic\.tar\.zst and b_lib_gfx942\.tar\.zst; .*-conf",
    ):
        _build(tmp_path / "run", tmp_path / "out", form=form)
    assert not list((tmp_path).glob("out/*"))
    for choice in (OnConflict.FIRST, OnConflict.LAST):
        out = tmp_path / choice.value
        tree = tree_in(_build(tmp_path / "run", out, choice, form), tmp_path / f"x{choice.value}")
        unpack(archives, tmp_path / "flat", UnpackMode.FLATTEN, on_conflict=choice)
        right = make.tree_of(tmp_path / "flat")
        del right[PREFIX_MARKER]
        assert tree == right


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_identical_content_at_one_path_is_there_once(tmp_path: Path, content: bytes) -> None:
    members = [make.file("s/d/p", content), make.symlink("s/d/l", "p"), make.directory("s/d")]
    for name in ("a_lib_generic", "b_lib_generic", "c_lib_gfx942"):
        before, after = _neighbours(name)
        _write(tmp_path / "run", name, before, *members, after)
    tarball = _build(tmp_path / "run", tmp_path / "out")
    names = [member.name for member in members_of(tarball)]
    assert sorted(names) == sorted(
        ["d", "d/p", "d/l"]
        + [
            f"{side}-{n}"
            for side in ("before", "after")
            for n in ("a_lib_generic", "b_lib_generic", "c_lib_gfx942")
        ]
    )
    tree_in(tarball, tmp_path / "x")
    assert (tmp_path / "x/d/p").read_bytes() == content


def test_a_hard_link_may_name_a_file_that_gave_way_to_an_equal_one(tmp_path: Path) -> None:
    _write(tmp_path / "run", "a_lib_generic", make.file("s/p", LARGE))
    _write(tmp_path / "run", "b_lib_gfx942", make.file("s/p", LARGE), make.hardlink("s/q", "s/p"))
    tree = tree_in(_build(tmp_path / "run", tmp_path / "out"), tmp_path / "x")
    assert tree["p"] == tree["q"]


@pytest.mark.parametrize("choice", [OnConflict.FIRST, OnConflict.LAST])
def test_a_hard_link_never_gets_the_content_of_another_archive(
    tmp_path: Path, choice: OnConflict
) -> None:
    linked = [make.file("s/p", b"one"), make.hardlink("s/q", "s/p")]
    _write(tmp_path / "run", "a_lib_generic", *linked)
    _write(tmp_path / "run", "b_lib_gfx942", make.file("s/p", b"two"), make.hardlink("s/r", "s/p"))
    with pytest.raises(ConflictError, match=r"is a hard link to 'p', which .* replaces"):
        _build(tmp_path / "run", tmp_path / "out", choice)


def test_a_hard_link_to_a_file_replaced_by_a_third_archive_is_a_conflict(tmp_path: Path) -> None:
    """B's file is dropped as equal to A's, which is then replaced by C's."""
    _write(tmp_path / "run", "a_lib_generic", make.file("s/p", b"one"))
    _write(tmp_path / "run", "b_lib_generic", make.file("s/p", b"one"), make.hardlink("s/q", "s/p"))
    _write(tmp_path / "run", "c_lib_gfx942", make.file("s/p", b"two"))
    with pytest.raises(
        ConflictError, match=r"b_lib_generic.*: 'q' is a hard link to 'p', which c_lib_gfx942"
    ):
        _build(tmp_path / "run", tmp_path / "out", OnConflict.LAST)
    tree = tree_in(_build(tmp_path / "run", tmp_path / "out2", OnConflict.FIRST), tmp_path / "x")
    assert tree["p"] == tree["q"]


@pytest.mark.parametrize("below", [make.directory("s/p"), make.file("s/p/below")])
@pytest.mark.parametrize("other", [make.file("s/p"), make.symlink("s/p", "x")])
@pytest.mark.parametrize("choice", list(OnConflict))
def test_a_directory_is_never_anything_else(
    tmp_path: Path, below: bytes, other: bytes, choice: OnConflict
) -> None:
    for number, order in enumerate(([below, other], [other, below])):
        run = tmp_path / f"run{number}"
        for name, member in zip(("a_lib_generic", "b_lib_gfx942"), order, strict=True):
            _write(run, name, member)
        with pytest.raises(
            ConflictError, match=r"'p' is a directory in one .* of a_lib_generic.* and b_lib_gfx942"
        ):
            _build(run, tmp_path / "out", choice)


def test_links_of_two_archives_that_together_lead_out_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "run", "a_lib_generic", make.symlink("s/a/b/c/up", "../../.."))
    _write(tmp_path / "run", "b_lib_gfx942", make.symlink("s/x", "a/b/c/up/.."))
    with pytest.raises(IntegrityError, match=r"b_lib_gfx942.*'x' leads out of the prefix"):
        _build(tmp_path / "run", tmp_path / "out")


def test_a_link_that_gave_way_leads_nowhere(tmp_path: Path) -> None:
    _write(tmp_path / "run", "a_lib_generic", make.symlink("s/a/b/c/up", "../../.."))
    _write(
        tmp_path / "run",
        "b_lib_gfx942",
        make.file("s/a/b/c/up"),
        make.symlink("s/x", "a/b/c/up/.."),
    )
    _build(tmp_path / "run", tmp_path / "out", OnConflict.LAST)


def test_what_gives_way_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(tmp_path / "run", "a_lib_generic", make.file("s/p", b"one"), make.file("s/same", b"x"))
    _write(tmp_path / "run", "b_lib_gfx942", make.file("s/p", b"two"), make.file("s/same", b"x"))
    with caplog.at_level(logging.WARNING):
        _build(tmp_path / "run", tmp_path / "out", OnConflict.LAST)
    assert "'p' of a_lib_generic.tar.zst gives way" in caplog.text
    assert "same" not in caplog.text


def test_a_conflict_of_one_family_changes_no_other(tmp_path: Path) -> None:
    _write(tmp_path / "run", "a_lib_generic", make.file("s/p", b"one"), make.file("s/z", b"z"))
    _write(tmp_path / "run", "b_lib_gfx942", make.file("s/p", b"two"))
    _write(tmp_path / "run", "b_lib_gfx1100", make.file("s/other", b"x"))
    options = TarballOptions("1", on_conflict=OnConflict.LAST)
    both = build(tmp_path / "run", tmp_path / "both", options=options)
    for family in ("gfx942", "gfx1100"):
        alone = build(
            tmp_path / "run",
            tmp_path / family,
            options=TarballOptions("1", families=(family,), on_conflict=OnConflict.LAST),
        )
        (path,) = [tarball.path for tarball in alone.tarballs]
        assert digests([path]).items() <= digests([t.path for t in both.tarballs]).items()
    assert (tree_in(both.tarballs[0].path, tmp_path / "x")).keys() == {"p", "z", "other"}
    assert (tmp_path / "x/p").read_bytes() == b"one"


def test_two_families_cut_different_members_out_of_one_segment(tmp_path: Path) -> None:
    files = [make.file(f"s/{name}", b"generic") for name in "pqr"]
    _write(tmp_path / "run", "a_lib_generic", *files)
    _write(tmp_path / "run", "b_lib_gfx942", make.file("s/p", b"gfx942"))
    _write(tmp_path / "run", "b_lib_gfx1100", make.file("s/q", b"gfx1100"))
    options = TarballOptions("1", on_conflict=OnConflict.LAST, split=True)
    found = {}
    for tarball in build(tmp_path / "run", tmp_path / "out", options=options).tarballs:
        root = tmp_path / tarball.path.name
        tree_in(tarball.path, root)
        found[root.name.split("-")[3]] = [(root / name).read_text() for name in "pqr"]
    assert found == {
        "gfx1100": ["generic", "gfx1100", "generic"],
        "gfx942": ["gfx942", "generic", "generic"],
        "multiarch": ["gfx942", "gfx1100", "generic"],
    }
