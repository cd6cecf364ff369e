"""What is in a tarball, and that its bytes depend on nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.tarball_makers import MTIME, build, digests, members_of, tar_of, tree_in
from therock_outputs.tarballs.build import SHA256SUMS
from therock_outputs.tarballs.encoding import SEGMENT_SIZE, Encoding, TarballFormat
from therock_outputs.tarballs.plan import TarballOptions

STAGES = ("blas/stage", "blas/stage2", "empty/stage")
LARGE = random.Random(5).randbytes(1000) * ((2 * SEGMENT_SIZE + 12345) // 1000 + 1)
_BASE = (
    make.directory("blas/stage/"),
    make.directory("blas/stage/lib", mode=0o750),
    make.file("blas/stage/lib/libblas.so.1", LARGE, mode=0o6555),
    make.symlink("blas/stage/lib/libblas.so", "libblas.so.1"),
    make.hardlink("blas/stage2/share/again", "blas/stage/lib/libblas.so.1", mode=0o600),
    make.file("blas/stage2/share/empty"),
    make.file("blas/stage2/share/read-only", b"x", mode=0o400),
    make.symlink("blas/stage/lib64", "lib"),
    make.directory("blas/stage/none"),
    make.pax({"path": "blas/stage/doc/" + "d" * 150 + "/" + "ü" * 120}) + make.file("x", b"long"),
    make.pax({"path": "blas/stage/l", "linkpath": "t/" * 90 + "日本"}) + make.symlink("x", "y"),
)
_GFX942 = (
    make.file("blas/stage/lib/kernels/gfx942.co", b"co" * 3000),
    make.directory("blas/stage/share", mode=0o711),
    make.file("blas/stage/exact", bytes(SEGMENT_SIZE)),
    make.file("blas/stage/nearly", bytes(SEGMENT_SIZE - 512)),
)
_GFX1100 = (make.file("blas/stage/lib/kernels/gfx1100.co", b"other" * 3000),)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    make.write(folder, "base_lib_generic.tar.zst", *_BASE, stages=STAGES)
    make.write(folder, "blas_lib_gfx942.tar.xz", *_GFX942, stages=STAGES)
    make.write(folder, "blas_lib_gfx1100.tar.zst", *_GFX1100, stages=STAGES)
    return folder


def _split(**changes: object) -> TarballOptions:
    return TarballOptions("1", split=True, **changes)  # type: ignore[arg-type]


def _oracle(tmp_path: Path, *archives: tuple[bytes, ...]) -> dict[str, tuple[str, ...]]:
    contents = [make.tar(*members, stages=STAGES) for members in archives]
    make.overlay_with_python(contents, tmp_path / "right", STAGES)
    tree = make.tree_of(tmp_path / "right")
    # What differs by design: no set-id bits, and a file has one mode under all its names.
    for name in ("lib/libblas.so.1", "share/again"):
        kind, _, *rest = tree[name]
        tree[name] = (kind, "0o555", *rest)
    tree["share"] = ("directory", "0o711")  # as the only archive that lists it says
    return tree


@pytest.mark.parametrize("form", list(TarballFormat))
def test_a_tarball_is_its_archives_laid_over_one_another(
    run: Path, tmp_path: Path, form: TarballFormat
) -> None:
    result = build(run, tmp_path / "out", options=_split(encoding=Encoding(form, 3)))
    assert [tarball.path.name for tarball in result.tarballs] == [
        f"therock-dist-linux-{name}-1.tar.{form.value}"
        for name in ("gfx1100", "gfx942", "multiarch")
    ]
    tree = tree_in(result.tarballs[1].path, tmp_path / "gfx942")
    assert tree == _oracle(tmp_path, _BASE, _GFX942)
    both = tree_in(result.tarballs[2].path, tmp_path / "both")
    assert both.keys() - tree.keys() == {"lib/kernels/gfx1100.co"}


def test_members_say_nothing_of_when_where_and_by_whom(run: Path, tmp_path: Path) -> None:
    for tarball in build(run, tmp_path / "out", options=_split()).tarballs:
        for member in members_of(tarball.path):
            owner = (member.uid, member.gid, member.uname, member.gname)
            assert (member.mtime, *owner) == (MTIME, 0, 0, "", "")
            assert member.mode & ~0o777 == 0


def test_directories_come_once_before_their_content_and_sorted(run: Path, tmp_path: Path) -> None:
    for tarball in build(run, tmp_path / "out", options=_split()).tarballs:
        seen: set[str] = set()
        members = members_of(tarball.path)
        for member in members:
            assert member.name not in seen
            assert not member.name.startswith(("/", "."))
            parent = member.name.rpartition("/")[0]
            assert not parent or parent in seen
            if member.islnk():
                assert member.linkname in seen
            seen.add(member.name)
        names = [member.name for member in members if member.isdir()]
        shared = names[: names.index("none") + 1 + names[names.index("none") :].index("share")]
        assert shared == sorted(shared)


def test_the_tar_file_ends_as_tar_writes_it(run: Path, tmp_path: Path) -> None:
    (tarball, *_) = build(run, tmp_path / "out", options=_split()).tarballs
    content = tar_of(tarball.path)
    assert len(content) % 10240 == 0
    assert content.endswith(make.END)
    assert tarball.contents == len(content)


def test_sums_and_results_are_those_of_the_files(run: Path, tmp_path: Path) -> None:
    result = build(run, tmp_path / "out", options=_split())
    paths = [tarball.path for tarball in result.tarballs]
    assert {t.path.name: t.sha256 for t in result.tarballs} == digests(paths)
    assert [tarball.size for tarball in result.tarballs] == [p.stat().st_size for p in paths]
    assert result.sums == tmp_path / "out" / SHA256SUMS
    lines = sorted(f"{digest}  {name}\n" for name, digest in digests(paths).items())
    assert sorted(result.sums.read_text().splitlines(keepends=True)) == lines
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        SHA256SUMS,
        *(path.name for path in paths),
    ]


def test_the_bytes_depend_on_nothing_but_the_archives(run: Path, tmp_path: Path) -> None:
    expected = digests(_built(build(run, tmp_path / "1", jobs=1, options=_split()).tarballs))
    for jobs in (2, 5, 13):
        result = build(run, tmp_path / f"{jobs}", jobs=jobs, options=_split())
        assert digests(_built(result.tarballs)) == expected
    warm = build(run, tmp_path / "warm", tmp_path / "1.segments", options=_split())
    assert digests(_built(warm.tarballs)) == expected
    for family in ("gfx942", "gfx1100"):
        options = TarballOptions("1", families=(family,))
        for store in (None, tmp_path / "1.segments"):
            alone = build(run, tmp_path / f"{family}{store is None}", store, options=options)
            assert digests(_built(alone.tarballs)).items() <= expected.items()


def _built(tarballs: tuple[object, ...]) -> list[Path]:
    return [tarball.path for tarball in tarballs]  # type: ignore[attr-defined]


def test_a_warm_store_compresses_nothing_again(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    build(run, tmp_path / "a", store, options=_split())
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    build(run, tmp_path / "b", store, options=_split())
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_equal_content_of_two_archives_is_compressed_once(tmp_path: Path) -> None:
    for target in ("gfx942", "gfx1100"):
        make.write(
            tmp_path / "run",
            f"a_lib_{target}.tar.zst",
            make.file(f"blas/stage/{target}/large", LARGE),
            stages=STAGES,
        )
    build(tmp_path / "run", tmp_path / "out", tmp_path / "store", options=_split())
    stored = sum(path.stat().st_size for path in (tmp_path / "store").rglob("??/*"))
    (one, *_) = sorted((tmp_path / "out").glob("*gfx942*"))
    assert stored < 1.2 * one.stat().st_size


def test_equal_archives_of_many_targets_are_encoded_side_by_side(tmp_path: Path) -> None:
    for number in range(12):
        make.write(tmp_path / "run", f"a{number}_lib_gfx942.tar.zst", stages=STAGES)
        make.write(
            tmp_path / "run",
            f"b{number}_lib_gfx942.tar.zst",
            make.file("blas/stage/same", b"same"),
            stages=STAGES,
        )
    result = build(tmp_path / "run", tmp_path / "out", jobs=16)
    assert [member.name for member in members_of(result.tarballs[0].path)] == ["same"]


def test_thousands_of_members_and_directories(tmp_path: Path) -> None:
    names = [f"blas/stage/d{n % 700:04}/{'e' * 90}/f{n}" for n in range(7000)]
    members = [make.pax({"path": name}) + make.file("x", name.encode()) for name in names]
    make.write(tmp_path / "run", "a_lib_gfx942.tar.zst", *members, stages=STAGES)
    (tarball,) = build(tmp_path / "run", tmp_path / "out").tarballs
    found = members_of(tarball.path)
    assert sum(member.isfile() for member in found) == 7000
    assert sum(member.isdir() for member in found) == 1400


def test_archives_without_files_give_an_empty_tarball(tmp_path: Path) -> None:
    make.write(tmp_path / "run", "a_lib_gfx942.tar.zst", stages=STAGES)
    (tarball,) = build(tmp_path / "run", tmp_path / "out").tarballs
    assert members_of(tarball.path) == []
    assert tarball.contents == 10240


def test_a_stage_directory_becomes_the_prefix_itself(tmp_path: Path) -> None:
    members = (make.directory("blas/stage", mode=0o700), make.file("blas/stage/a"))
    make.write(tmp_path / "run", "a_lib_gfx942.tar.zst", *members, stages=STAGES)
    (tarball,) = build(tmp_path / "run", tmp_path / "out").tarballs
    assert [member.name for member in members_of(tarball.path)] == ["a"]


def test_the_mode_that_an_archive_lists_wins_over_an_implied_one(tmp_path: Path) -> None:
    make.write(
        tmp_path / "run", "a_lib_generic.tar.zst", make.file("blas/stage/d/e/f"), stages=STAGES
    )
    for target, mode in (("gfx942", 0o700), ("gfx1100", 0o711)):
        listed = make.directory("blas/stage/d", mode=mode)
        make.write(tmp_path / "run", f"b_lib_{target}.tar.zst", listed, stages=STAGES)
    result = build(tmp_path / "run", tmp_path / "out", options=_split())
    modes = [
        {member.name: member.mode for member in members_of(tarball.path) if member.isdir()}
        for tarball in result.tarballs
    ]
    assert modes == [
        {"d": 0o711, "d/e": 0o755},
        {"d": 0o700, "d/e": 0o755},
        {"d": 0o711, "d/e": 0o755},
    ]
