"""Reading a side: archives, unpacked artifacts, prefixes and tarballs, whole and damaged."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
from pathlib import Path

import pytest
import zstandard

from tests import archive_makers as make
from tests.comparison_makers import NEW, manifest
from therock_outputs.artifacts.compare.local import source_at
from therock_outputs.artifacts.compare.read import ReadOptions, plan_reading, read_sides
from therock_outputs.artifacts.compare.sides import Side, SizedFile
from therock_outputs.artifacts.compare.sources import StoredArchive
from therock_outputs.artifacts.names import parse_archive_filename
from therock_outputs.artifacts.run_contents import RunArchive
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError, UsageError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.storage import LocalStorage

BLAS = "blas_lib_generic"
MANIFEST = "share/therock/therock_manifest.json"


class _Reader:
    """Reads sides and remembers which archives were read, and how much of each."""

    def __init__(self, **options: object) -> None:
        self.read: dict[str, int] = {}
        self.options = ReadOptions(progress=self._progress, **options)  # type: ignore[arg-type]

    def _progress(self, label: str, size: int) -> None:
        self.read[label] = self.read.get(label, 0) + size

    def __call__(self, before: Path, after: Path | None = None) -> tuple[Side, Side]:
        sides = source_at(before), source_at(after or before)
        return read_sides(plan_reading(*sides, self.options), self.options)


def _tar(size: int = 3) -> bytes:
    """An install prefix as a tar file."""
    return (
        make.directory("./lib/")
        + make.file("./lib/a.so", bytes(size))
        + make.hardlink("./lib/b.so", "lib/a.so")
        + make.symlink("./lib/c.so", "a.so")
        + make.file(f"./{MANIFEST}", manifest(NEW, {}))
        + make.END
    )


def test_archives_of_a_directory_are_read_with_their_stages(tmp_path: Path) -> None:
    name = f"{make.STAGE}/lib/a.so"
    make.write(
        tmp_path,
        f"{BLAS}.tar.zst",
        make.directory(f"{make.STAGE}/lib"),
        make.file(name, bytes(700)),
        make.hardlink(f"{make.STAGE}/lib/b.so", name),
        make.symlink(f"{make.STAGE}/lib/c.so", "a.so"),
    )
    side, _ = _Reader()(tmp_path)
    assert side.files == (
        SizedFile("lib/a.so", 700, BLAS, make.STAGE),
        SizedFile("lib/b.so", 0, BLAS, make.STAGE),
    )
    assert side.compressed == (tmp_path / f"{BLAS}.tar.zst").stat().st_size
    assert side.provenance is None


def test_manifest_comes_from_manifests_or_the_base_archive(tmp_path: Path) -> None:
    base = make.file(f"{make.STAGE}/{MANIFEST}", manifest(NEW, {}))
    make.write(tmp_path / "packed", "base_lib_generic.tar.zst", base)
    make.write(tmp_path / "beside", f"{BLAS}.tar.zst")
    copy = tmp_path / "beside" / "manifests" / "therock_manifest.json"
    copy.parent.mkdir()
    copy.write_bytes(manifest(NEW, {}))
    for side in _Reader()(tmp_path / "packed", tmp_path / "beside"):
        assert side.provenance is not None
        assert side.provenance.manifest.rock_commit == NEW


def test_archive_that_is_the_same_on_both_sides_is_read_once(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        make.write(tmp_path / folder, f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"same"))
        make.write(
            tmp_path / folder,
            "fft_lib_generic.tar.xz",
            make.file(f"{make.STAGE}/b", folder.encode() * 50),
        )
    reader = _Reader(jobs=4)
    before, after = reader(tmp_path / "old", tmp_path / "new")
    size = (tmp_path / "old" / f"{BLAS}.tar.zst").stat().st_size
    assert reader.read[f"{BLAS}.tar.zst"] == size
    assert reader.read["fft_lib_generic.tar.xz"] > size
    assert before.files is not None
    assert SizedFile("a", 4, BLAS, make.STAGE) in before.files
    assert after.files == before.files
    assert before.unread == frozenset()


def test_zst_is_preferred_and_a_single_archive_is_a_side(tmp_path: Path) -> None:
    make.write(tmp_path, f"{BLAS}.tar.xz", make.file(f"{make.STAGE}/old", b"1"))
    archive = make.write(tmp_path, f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/new", b"1"))
    for side in _Reader()(tmp_path, archive):
        assert [file.path for file in side.files or ()] == ["new"]


def test_without_files_nothing_is_read(tmp_path: Path) -> None:
    make.write_bytes(tmp_path, f"{BLAS}.tar.zst", b"no tar file")
    side, _ = _Reader(files=False)(tmp_path)
    assert side.files is None
    assert [archive.stem for archive in side.archives] == [BLAS]


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    path = make.write(tmp_path, f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"x" * 5000))
    path.with_name(f"{path.name}.sha256sum").unlink()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError) as caught:
        _Reader()(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")


def test_archive_that_is_not_what_its_digest_says_is_refused(tmp_path: Path) -> None:
    path = make.write(tmp_path, f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"x"))
    path.with_name(f"{path.name}.sha256sum").write_text("0" * 64)
    with pytest.raises(IntegrityError, match=f"its SHA-256 is [0-9a-f]{{64}}, not {'0' * 64}"):
        _Reader()(tmp_path)


@pytest.mark.parametrize("digest", [None, "rubbish"])
def test_archive_without_a_usable_digest_is_read(
    tmp_path: Path, digest: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = make.write(tmp_path, f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"x"), sums=False)
    if digest is not None:
        path.with_name(f"{path.name}.sha256sum").write_text(digest)
    side, _ = _Reader()(tmp_path)
    assert side.files == (SizedFile("a", 1, BLAS, make.STAGE),)
    assert ("not known whether it changed" in caplog.text) is (digest is not None)


@pytest.mark.parametrize("listed", [True, False])
def test_archive_in_storage_whose_digest_is_gone_has_none(tmp_path: Path, *, listed: bool) -> None:
    root = WorkflowOutputRoot.for_local()
    name = parse_archive_filename(f"{BLAS}.tar.zst")
    assert name is not None
    digest = root.archive_digest(name.filename) if listed else None
    archive = RunArchive(name, root.archive(name.filename), 5, digest)
    assert StoredArchive(LocalStorage(tmp_path), archive).digest() is None


def test_list_of_files_is_kept_by_digest_and_used_again(tmp_path: Path) -> None:
    path = make.write(tmp_path / "run", f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"xy"))
    cache = tmp_path / "cache"
    first, _ = _Reader(cache_dir=cache)(path.parent)
    path.write_bytes(bytes(path.stat().st_size))  # whoever reads it now fails
    second, _ = _Reader(cache_dir=cache)(path.parent)
    assert second == first
    assert second.files == (SizedFile("a", 2, BLAS, make.STAGE),)


def test_damaged_list_is_warned_of_and_the_archive_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make.write(tmp_path / "run", f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"xy"))
    cache = tmp_path / "cache"
    first, _ = _Reader(cache_dir=cache)(path.parent)
    [kept] = cache.rglob("*.files")
    kept.write_bytes(b"rubbish")
    assert _Reader(cache_dir=cache)(path.parent)[0] == first
    assert f"{kept}: unreadable" in caplog.text
    assert kept.read_bytes() != b"rubbish"


def test_unpacked_artifacts_are_compared_without_compressed_sizes(tmp_path: Path) -> None:
    tree = tmp_path / BLAS
    (tree / make.STAGE / "lib").mkdir(parents=True)
    (tree / "artifact_manifest.txt").write_text(f"{make.STAGE}\n")
    (tree / make.STAGE / "lib" / "a.so").write_bytes(b"xyz")
    os.link(tree / make.STAGE / "lib" / "a.so", tree / make.STAGE / "lib" / "b.so")
    side, _ = _Reader()(tmp_path)
    assert side.files == (
        SizedFile("lib/a.so", 3, BLAS, make.STAGE),
        SizedFile("lib/b.so", 0, BLAS, make.STAGE),
    )
    assert side.compressed is None
    assert [archive.size for archive in side.archives] == [None]


def test_manifest_of_unpacked_artifacts_is_found(tmp_path: Path) -> None:
    tree = tmp_path / "base_lib_generic"
    place = tree / make.STAGE / MANIFEST
    place.parent.mkdir(parents=True)
    (tree / "artifact_manifest.txt").write_text(f"{make.STAGE}\n")
    place.write_bytes(manifest(NEW, {}))
    side, _ = _Reader()(tmp_path)
    assert side.provenance is not None
    assert side.provenance.manifest.rock_commit == NEW


def test_install_prefix_counts_a_file_with_two_names_once_and_follows_no_links(
    tmp_path: Path,
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.so").write_bytes(b"xyz")
    os.link(tmp_path / "lib" / "a.so", tmp_path / "lib" / "b.so")
    (tmp_path / "lib" / "c.so").symlink_to("a.so")
    (tmp_path / "bin").symlink_to("lib")
    place = tmp_path / MANIFEST
    place.parent.mkdir(parents=True)
    place.write_bytes(manifest(NEW, {}))
    side, _ = _Reader()(tmp_path)
    assert (side.files or ())[:2] == (SizedFile("lib/a.so", 3), SizedFile("lib/b.so", 0))
    assert len(side.files or ()) == 3
    assert side.is_flat
    assert side.provenance is not None


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.zst", ".tar.xz"])
def test_tarballs_of_each_kind_are_read(tmp_path: Path, suffix: str) -> None:
    tar = _tar(70_000)
    packed = {
        # As `build-tarballs` writes it: many members, one after the other.
        "gz": lambda: gzip.compress(tar[:600]) + gzip.compress(tar[600:]) + gzip.compress(b""),
        "zst": lambda: zstandard.compress(tar),
        "xz": lambda: lzma.compress(tar),
    }
    path = tmp_path / f"rocm{suffix}"
    path.write_bytes(packed[suffix.replace("tgz", "gz").rpartition(".")[2]]())
    reader = _Reader()
    side, _ = reader(path)
    assert (side.files or ())[:2] == (SizedFile("lib/a.so", 70_000), SizedFile("lib/b.so", 0))
    assert side.compressed == path.stat().st_size
    assert reader.read[path.name] == 2 * path.stat().st_size  # as both sides
    assert side.provenance is not None
    assert side.provenance.manifest.rock_commit == NEW


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("cut.tar.gz", gzip.compress(_tar(70_000))[:-300], "it is cut short"),
        ("empty.tar.gz", b"", "is cut short"),
        ("rubbish.tar.gz", b"rubbish" * 100, "does not decompress"),
        ("padded.tar.gz", gzip.compress(_tar()) + b"rubbish", "does not decompress"),
        ("sum.tar.gz", gzip.compress(_tar())[:-8] + bytes(8), "does not decompress"),
        ("cut.tar.zst", zstandard.compress(_tar())[:-3], "cut short"),
        ("rubbish.tar.xz", b"rubbish" * 100, "does not decompress"),
        ("text.tar.gz", gzip.compress(b"no tar file" * 100), "checksum"),
        ("more.tar.gz", gzip.compress(_tar() + b"more"), "something follows the end"),
    ],
    # Not by the content: a gzip header has the time, and workers must agree on names.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_tarball_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=problem) as caught:
        _Reader()(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_zeros_after_a_gzip_file_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "rocm.tar.gz"
    path.write_bytes(gzip.compress(_tar()) + bytes(3000))
    assert len(_Reader()(path)[0].files or ()) == 3


def test_manifest_larger_than_any_real_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rocm.tar.zst"
    head = make.header(MANIFEST, size=(16 << 20) + 1)
    path.write_bytes(zstandard.compress(head + bytes(1024)))
    with pytest.raises(IntegrityError, match="the run's manifest has 16777217 bytes"):
        _Reader()(path)


def test_path_where_nothing_is_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no such file or directory; give a run's"):
        source_at(tmp_path / "nowhere")


def test_directory_without_archives_or_a_prefix_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NotFoundError, match="holds neither artifact archives nor an install"):
        source_at(tmp_path)


def test_file_that_is_no_tarball_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rocm.zip"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"is no tarball; a file that is compared ends in \.tar"):
        source_at(path)


def test_unpacked_artifact_with_a_wrong_name_is_said(tmp_path: Path) -> None:
    (tmp_path / "what").mkdir()
    (tmp_path / "what" / "artifact_manifest.txt").write_text("")
    with pytest.raises(IntegrityError, match=r"what: 'what' is not of the form .*; rename or"):
        source_at(tmp_path)


def test_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    make.write(tmp_path / "run", f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"xy"))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputsError, match="the list of files cannot be kept"):
        _Reader(cache_dir=tmp_path / "cache")(tmp_path / "run")


def test_list_of_another_digest_is_not_used(tmp_path: Path) -> None:
    path = make.write(tmp_path / "run", f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/a", b"xy"))
    other = make.write(tmp_path / "other", f"{BLAS}.tar.zst", make.file(f"{make.STAGE}/b", b"z"))
    cache = tmp_path / "cache"
    _Reader(cache_dir=cache)(other.parent)
    [kept] = cache.rglob("*.files")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    place = cache / digest[:2] / f"{digest}.files"
    place.parent.mkdir(exist_ok=True)
    kept.replace(place)
    side, _ = _Reader(cache_dir=cache)(path.parent)
    assert side.files == (SizedFile("a", 2, BLAS, make.STAGE),)
