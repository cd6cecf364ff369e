from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests import archive_makers as make
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.artifacts.unpack import PREFIX_MARKER, UnpackMode, unpack
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutputsError,
    UsageError,
)

STAGES = ("blas/stage", "blas/stage2", "fft/stage", "empty/stage")
_BLAS = (
    make.directory("blas/stage/lib", mode=0o750),
    make.file("blas/stage/lib/libblas.so.1", b"elf" * 5000, mode=0o555),
    make.symlink("blas/stage/lib/libblas.so", "libblas.so.1"),
    make.symlink("blas/stage/lib64", "lib"),
    make.hardlink("blas/stage/lib/same.so", "blas/stage/lib/libblas.so.1", mode=0o555),
    make.hardlink("blas/stage2/share/other", "blas/stage/lib/libblas.so.1", mode=0o555),
    make.pax({"path": "blas/stage/doc/" + "ü" * 120 + "/Ω"}) + make.file("x", b"text"),
    make.directory("blas/stage/none"),
)
_FFT = (
    make.file("fft/stage/lib/libfft.so", b"fft"),
    make.file("fft/stage/share/notes", b"n", mode=0o400),
    make.directory("fft/stage/locked", mode=0o555),
    make.file("fft/stage/locked/in", b"", mode=0o444),
)


def _two(folder: Path) -> tuple[list[Path], list[bytes]]:
    contents = [make.tar(*members, stages=STAGES) for members in (_BLAS, _FFT)]
    names = ["blas_lib_generic.tar.zst", "fft_lib_gfx942.tar.xz"]
    archives = [make.write_bytes(folder, n, c) for n, c in zip(names, contents, strict=True)]
    return archives, contents


def _one(folder: Path, name: str, *members: bytes, stage: str = "s") -> Path:
    return make.write(folder, f"{name}_lib_generic.tar.zst", *members, stages=(stage,))


def _usual_modes(tree: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The owner may write to each directory, whatever the archive says."""
    return {
        name: (kind, oct(int(rest[0], 8) | 0o700)) if kind == "directory" else (kind, *rest)
        for name, (kind, *rest) in tree.items()
    }


def test_extracting_keeps_archives_and_stages_apart(tmp_path: Path) -> None:
    archives, contents = _two(tmp_path / "run")
    result = unpack(archives, tmp_path / "out", UnpackMode.EXTRACT)
    for content, stem in zip(contents, ("blas_lib_generic", "fft_lib_gfx942"), strict=True):
        make.extract_with_python(content, tmp_path / "right" / stem)
        for stage in STAGES:
            (tmp_path / "right" / stem / stage).mkdir(parents=True, exist_ok=True)
    assert make.tree_of(tmp_path / "out") == _usual_modes(make.tree_of(tmp_path / "right"))
    assert (result.directory, result.files) == (tmp_path / "out", 9)


def test_flattening_overlays_all_stages(tmp_path: Path) -> None:
    archives, contents = _two(tmp_path / "run")
    unpack(archives, tmp_path / "out", UnpackMode.FLATTEN)
    make.overlay_with_python(contents, tmp_path / "right", STAGES)
    (tmp_path / "right" / PREFIX_MARKER).touch()
    assert make.tree_of(tmp_path / "out") == _usual_modes(make.tree_of(tmp_path / "right"))


def test_bootstrapping_lays_stages_into_a_build_tree(tmp_path: Path) -> None:
    archives, contents = _two(tmp_path / "run")
    build = tmp_path / "build"
    (build / "blas/stage/old").mkdir(parents=True)
    (build / "blas/kept").write_text("by the build")
    right = tmp_path / "right"
    for content in contents:
        make.extract_with_python(content, right)
    (right / "artifact_manifest.txt").unlink()
    (right / "blas/kept").write_text("by the build")
    for stage in STAGES:
        (right / stage).mkdir(parents=True, exist_ok=True)
        (right / f"{stage}.prebuilt").touch()
    for _ in range(2):
        unpack(archives, build, UnpackMode.BOOTSTRAP)
        assert make.tree_of(build) == _usual_modes(make.tree_of(right))


def test_bootstrap_refuses_stages_in_one_another(tmp_path: Path) -> None:
    outer = _one(tmp_path / "run", "outer", make.file("a/x"), stage="a")
    for stage in ("a/b/c", "a.prebuilt", "a.prebuilt/b"):
        inner = _one(tmp_path / "run", "inner", make.file(f"{stage}/y"), stage=stage)
        for order in ([outer, inner], [inner, outer]):
            with pytest.raises(ConflictError, match="lies in the place of"):
                unpack(order, tmp_path / "build", UnpackMode.BOOTSTRAP)
    assert list((tmp_path / "build").iterdir()) == []


@pytest.mark.parametrize("mode", list(UnpackMode))
def test_the_result_does_not_depend_on_jobs(tmp_path: Path, mode: UnpackMode) -> None:
    archives = [
        _one(
            tmp_path / "run",
            f"a{number}",
            make.file("s/shared", bytes(number % 3) * 100),
            make.hardlink("s/mine" + str(number), "s/shared"),
            make.file("s/same", b"same", mode=0o600 + number),
            make.directory(f"s/d{number}/e", mode=0o700 + number),
            make.directory("s/everyones", mode=0o770 + number % 8),
            make.symlink("s/link", f"d{number}"),
        )
        for number in range(9)
    ]
    trees = []
    for jobs in range(1, 9):
        target = tmp_path / f"out{jobs}"
        unpack(archives, target, mode, on_conflict=OnConflict.LAST, jobs=jobs)
        trees.append(make.tree_of(target))
    assert all(tree == trees[0] for tree in trees)
    if mode is UnpackMode.FLATTEN:
        assert trees[0]["link"] == ("link", "d8")
        assert trees[0]["same"][:2] == ("file", "0o600")
        assert (tmp_path / "out1/shared").read_bytes() == bytes(2) * 100


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (make.file("s/p", b"one"), make.file("s/p", b"two")),
        (make.file("s/p", b"one"), make.file("s/p", b"longer")),
        (make.file("s/p", b"one"), make.symlink("s/p", "one")),
        (make.symlink("s/p", "x"), make.symlink("s/p", "y")),
        (make.file("s/p", b""), make.file("s/q", b"z") + make.hardlink("s/p", "s/q")),
    ],
)
def test_different_content_at_one_path(tmp_path: Path, first: bytes, second: bytes) -> None:
    archives = [_one(tmp_path / "run", "x", first), _one(tmp_path / "run", "y", second)]
    with pytest.raises(
        ConflictError, match=r"'p' differs between x_lib_generic\.tar\.zst and y_lib"
    ):
        unpack(archives, tmp_path / "out", UnpackMode.FLATTEN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    for choice, archive in ((OnConflict.FIRST, archives[0]), (OnConflict.LAST, archives[1])):
        unpack(archives, tmp_path / choice.value, UnpackMode.FLATTEN, on_conflict=choice)
        unpack([archive], tmp_path / "alone", UnpackMode.FLATTEN)
        chosen = make.tree_of(tmp_path / choice.value)["p"]
        assert chosen[:3] == make.tree_of(tmp_path / "alone")["p"][:3]


def test_identical_content_at_one_path_is_there_once(tmp_path: Path) -> None:
    link = make.symlink("s/l", "p")
    archives = [
        _one(tmp_path / "run", "x", make.file("s/p", b"one"), link),
        _one(tmp_path / "run", "y", make.file("s/q", b"one"), make.hardlink("s/p", "s/q"), link),
        _one(tmp_path / "run", "z", make.file("s/p", b"one", mode=0o000), link),
    ]
    result = unpack(archives, tmp_path / "out", UnpackMode.FLATTEN)
    assert result.files == 3
    tree = make.tree_of(tmp_path / "out")
    assert sorted(tree) == [PREFIX_MARKER, "l", "p", "q"]
    assert tree["p"][:2] == ("file", "0o644")


@pytest.mark.parametrize(
    "other",
    [
        make.file("s/p", b"x"),
        make.symlink("s/p", "d"),
        make.file("s/a") + make.hardlink("s/p", "s/a"),
    ],
)
@pytest.mark.parametrize("below", [make.directory("s/p"), make.file("s/p/below")])
@pytest.mark.parametrize("choice", list(OnConflict))
def test_a_directory_is_never_anything_else(
    tmp_path: Path, other: bytes, below: bytes, choice: OnConflict
) -> None:
    x, y = _one(tmp_path / "run", "x", other), _one(tmp_path / "run", "y", below)
    for order in ([x, y], [y, x]):
        with pytest.raises(ConflictError, match="'p' is a directory in one and not") as failure:
            unpack(order, tmp_path / "out", UnpackMode.FLATTEN, on_conflict=choice, jobs=2)
        assert all(path.name in str(failure.value) for path in order)


def test_nothing_is_written_through_a_link_of_another_archive(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    up = _one(tmp_path / "run", "x", make.symlink("s/a/b/c/up", "../../.."))
    out = _one(tmp_path / "run", "y", make.symlink("s/x", "a/b/c/up/../outside"))
    with pytest.raises(IntegrityError, match="leads out of the tree through other links"):
        unpack([up, out], tmp_path / "out", UnpackMode.FLATTEN)
    link = _one(tmp_path / "run", "z", make.symlink("s/d", "e"))
    below = _one(tmp_path / "run", "w", make.file("s/d/f"))
    with pytest.raises(ConflictError, match="'d' is a directory in one"):
        unpack([link, below], tmp_path / "out", UnpackMode.FLATTEN)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", list(UnpackMode))
def test_a_bad_last_archive_leaves_all_as_it_was(tmp_path: Path, mode: UnpackMode) -> None:
    archives, _ = _two(tmp_path / "run")
    unpack(archives[:1], tmp_path / "out", mode)
    before = make.tree_of(tmp_path / "out")
    good = make.tar(make.file("s/a", b"x" * 5000), make.file("s/b"), stages=("s",))
    whole = make.zst(good)
    bad = tmp_path / "run/z_lib_generic.tar.zst"
    for data in (
        make.zst(good[:-2000]),
        whole[: len(whole) // 2],
        whole + b"garbage",
        make.zst(make.tar(make.file("s/a"), make.file("../../evil"), stages=("s",))),
        make.zst(make.tar(make.file("s/a"), make.symlink("s/b", "../.."), stages=("s",))),
        make.zst(make.tar(make.file("s/a"), make.hardlink("s/a2", "s/a2"), stages=("s",))),
        b"",
    ):
        bad.write_bytes(data)
        for jobs in (1, 4):
            with pytest.raises(IntegrityError, match="z_lib_generic"):
                unpack([*archives, bad], tmp_path / "out", mode, jobs=jobs)
            assert make.tree_of(tmp_path / "out") == before
            assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_flattened_prefix_is_replaced_as_a_whole(tmp_path: Path) -> None:
    archives, _ = _two(tmp_path / "run")
    out = tmp_path / "out"
    out.mkdir()  # empty: whose it is does not matter
    unpack(archives, out, UnpackMode.FLATTEN)
    (out / "stray").write_text("of nobody")
    unpack(archives[1:], out, UnpackMode.FLATTEN)
    unpack(archives[1:], tmp_path / "right", UnpackMode.FLATTEN)
    assert make.tree_of(out) == make.tree_of(tmp_path / "right")


def test_what_a_killed_call_left_is_cleared(tmp_path: Path) -> None:
    archives, _ = _two(tmp_path / "run")
    for name in (".out.partial", ".out.old"):
        (tmp_path / name / "tree/d").mkdir(parents=True)
        (tmp_path / name / "tree/d").chmod(0o000)
    (tmp_path / ".out.old" / PREFIX_MARKER).touch()
    unpack(archives, tmp_path / "out", UnpackMode.FLATTEN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_directory_that_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    archives, _ = _two(tmp_path / "run")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/work").write_text("mine")
    (tmp_path / "link").symlink_to("home")
    for place in ("home", "link"):
        with pytest.raises(UsageError, match="is not replaced"):
            unpack(archives, tmp_path / place, UnpackMode.FLATTEN)
    assert (tmp_path / "link/work").read_text() == "mine"
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    for place in ("dangling", "file"):
        for mode in UnpackMode:
            with pytest.raises(UsageError, match="is not a directory"):
                unpack(archives, tmp_path / place, mode)
    with pytest.raises(OutputsError, match="cannot be filled"):
        unpack(archives, tmp_path / "file/below", UnpackMode.FLATTEN)


def test_paths_with_dots_lead_to_the_right_place(tmp_path: Path) -> None:
    archives, _ = _two(tmp_path / "run")
    (tmp_path / "out/sub").mkdir(parents=True)
    unpack(archives, tmp_path / "out/sub/../sub/.", UnpackMode.FLATTEN)
    assert (tmp_path / "out/sub/lib/libfft.so").read_bytes() == b"fft"


def test_our_mark_in_a_prefix_cannot_be_faked(tmp_path: Path) -> None:
    for member in (
        make.symlink(f"s/{PREFIX_MARKER}", "elsewhere"),
        make.file(f"s/{PREFIX_MARKER}/x"),
    ):
        archive = _one(tmp_path / "run", "x", member)
        with pytest.raises(ConflictError, match="a name that is kept for us"):
            unpack([archive], tmp_path / "out", UnpackMode.FLATTEN)


def test_two_compressions_of_one_artifact_cannot_share_a_directory(tmp_path: Path) -> None:
    both = [make.write(tmp_path, f"a_lib_generic.tar.{end}") for end in ("zst", "xz")]
    with pytest.raises(UsageError, match="a_lib_generic is given as two archives"):
        unpack(both, tmp_path / "out", UnpackMode.EXTRACT)


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"a_lib_generic\.tar\.zst"):
        unpack([tmp_path / "a_lib_generic.tar.zst"], tmp_path / "out", UnpackMode.FLATTEN)


def test_progress_counts_the_bytes_of_archives(tmp_path: Path) -> None:
    archives, _ = _two(tmp_path / "run")
    seen: list[tuple[str, int]] = []
    unpack(archives, tmp_path / "out", UnpackMode.FLATTEN, progress=lambda *args: seen.append(args))
    counted = {path.name: 0 for path in archives}
    for name, count in seen:
        counted[name] += count
    assert counted == {path.name: path.stat().st_size for path in archives}


def test_the_umask_does_not_decide_about_modes(tmp_path: Path) -> None:
    archive = _one(tmp_path / "run", "x", make.file("s/a/b/c", mode=0o666))
    old = os.umask(0o077)
    try:
        unpack([archive], tmp_path / "out", UnpackMode.FLATTEN)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((tmp_path / "out" / p).stat().st_mode) for p in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o666]


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from therock_outputs.artifacts.unpack import UnpackMode, unpack
from therock_outputs.errors import OutputsError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    unpack([Path(sys.argv[1])], Path(sys.argv[2]), UnpackMode.FLATTEN)
except OutputsError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    archive = _one(tmp_path / "run", "x", make.file("s/big", bytes(1 << 20)))
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, archive, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "x_lib_generic.tar.zst: 'big' cannot be written (File too large)" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
