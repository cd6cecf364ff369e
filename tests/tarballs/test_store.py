"""Segments and indexes on disk: damaged, shared, interrupted."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import deflate
import pytest
import zstandard

from tests import archive_makers as make
from tests.tarball_makers import build, digests
from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.tarheader import tar_header
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError
from therock_outputs.tarballs.encoding import SEGMENT_SIZE, Encoding, TarballFormat
from therock_outputs.tarballs.index import (
    ArchiveIndex,
    IndexedMember,
    Segment,
    Span,
    read_index,
    write_index,
)
from therock_outputs.tarballs.store import SegmentStore, Stored

KEY = "ab" + "0" * 62
LARGE = bytes(range(256)) * (SEGMENT_SIZE // 256 * 3)


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    return SegmentStore(tmp_path / "store", Encoding())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    members = [make.file(f"s/f{n}", bytes([n]) * 90_000) for n in range(99)]
    make.write(folder, "a_lib_generic.tar.zst", *members, stages=("s",))
    make.write(folder, "b_lib_gfx942.tar.zst", make.file("s/large", LARGE), stages=("s",))
    return folder


def test_a_segment_comes_back_as_it_was_put(store: SegmentStore) -> None:
    assert store.find(KEY) is None
    stored = store.put(KEY, b"compressed")
    assert stored == store.find(KEY) == Stored(10, stored.sha256)
    assert store.read(KEY, 10) == b"compressed"
    assert [path.name for path in store.path(KEY).parent.iterdir()] == [KEY]


def test_a_damaged_segment_is_gone(store: SegmentStore) -> None:
    store.put(KEY, b"compressed")
    whole = store.path(KEY).read_bytes()
    for damaged in (b"", whole[:-1], whole[:32], b"X" + whole[1:], whole[:-1] + b"X", whole + b"X"):
        store.path(KEY).write_bytes(damaged)
        assert store.find(KEY) is None
        assert not store.path(KEY).exists()


def test_a_segment_that_vanishes_is_one_line(store: SegmentStore) -> None:
    with pytest.raises(NotFoundError, match="run the task again"):
        store.read(KEY, 10)
    store.put(KEY, b"compressed")
    with pytest.raises(IntegrityError, match="cut short"):
        store.read(KEY, 1000)


def test_many_writers_of_one_segment_or_index_do_not_meet(store: SegmentStore) -> None:
    index = ArchiveIndex("a.tar.zst", "0" * 64, (), ())
    path = store.index_path("0" * 64, 1)
    with ThreadPoolExecutor(16) as pool:
        puts = [pool.submit(store.put, KEY, b"x" * 100_000) for _ in range(100)]
        writes = [pool.submit(write_index, path, index) for _ in range(100)]
        assert len({put.result() for put in puts}) == 1
        assert all(write.result() is None for write in writes)
    assert read_index(path) == index
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    members = (
        IndexedMember("d", Kind.DIRECTORY, 0o755),
        IndexedMember("d/ü", Kind.FILE, 0o644, 5, digest="1" * 64),
        IndexedMember("l", Kind.SYMLINK, 0o777, link="d"),
    )
    segments = (Segment(KEY, 1024, 99, "2" * 64, (Span(1, 1024),)),)
    index = ArchiveIndex("a.tar.zst", "0" * 64, members, segments)
    path = tmp_path / "indexes/i.json"
    assert read_index(path) is None
    write_index(path, index)
    assert read_index(path) == index
    assert index.length == 1024
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole.replace(b"1024", b"1025"), b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="damaged index"):
            read_index(path)


def test_everything_damaged_in_the_store_is_healed(run: Path, tmp_path: Path) -> None:
    segments = tmp_path / "store"
    build(run, tmp_path / "out", segments)
    expected = digests(tmp_path / "out")
    files = sorted(path for path in segments.rglob("*") if path.is_file())
    assert len(files) > 6
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        match number % 4:
            case 0:
                data[len(data) // 2] ^= 1
            case 1:
                del data[-10:]
            case 2:
                data.clear()
            case _:
                data[-1] ^= 0x80
        path.write_bytes(data)
        build(run, tmp_path / "out", segments)
        assert digests(tmp_path / "out") == expected
    for path in files:
        path.write_bytes(b"all of them at once")
    build(run, tmp_path / "out", segments)
    assert digests(tmp_path / "out") == expected
    for path in files[::2]:
        path.unlink()
    build(run, tmp_path / "out", segments)
    assert digests(tmp_path / "out") == expected


def test_an_interrupted_encoding_goes_on_with_its_segments(run: Path, tmp_path: Path) -> None:
    """The last archive is cut short and without a digest, as if reading it had failed."""
    segments = tmp_path / "store"
    archive = run / "b_lib_gfx942.tar.zst"
    whole, sums = archive.read_bytes(), (run / f"{archive.name}.sha256sum").read_text()
    archive.write_bytes(make.zst(make.tar(make.file("s/large", LARGE), stages=("s",))[:-5000]))
    (run / f"{archive.name}.sha256sum").write_text(make.digest_of(archive))
    with pytest.raises(IntegrityError, match="cut short"):
        build(run, tmp_path / "out", segments, jobs=1)
    kept = {path: path.stat().st_ino for path in segments.rglob("??/*") if path.is_file()}
    assert kept
    archive.write_bytes(whole)
    (run / f"{archive.name}.sha256sum").write_text(sums)
    build(run, tmp_path / "out", segments)
    assert {path: path.stat().st_ino for path in kept} == kept
    build(run, tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_an_index_is_known_by_content_and_named_by_the_archive_at_hand(
    run: Path, tmp_path: Path
) -> None:
    """Another run may have the same archive under another name: errors name the one it has."""
    segments = tmp_path / "store"
    make.write(run, "c_lib_gfx942.tar.zst", make.file("s/f0", b"same"), stages=("s",))
    (run / "a_lib_generic.tar.zst").unlink()
    build(run, tmp_path / "out", segments)
    renamed = tmp_path / "run2"
    make.write(renamed, "d_lib_gfx942.tar.zst", make.file("s/f0", b"same"), stages=("s",))
    make.write(renamed, "e_lib_gfx942.tar.zst", make.file("s/f0", b"other"), stages=("s",))
    with pytest.raises(OutputsError, match=r"between d_lib_gfx942\.tar\.zst and e_lib"):
        build(renamed, tmp_path / "out2", segments)


def test_a_store_is_not_shared_by_encodings_or_times(tmp_path: Path) -> None:
    stores = [
        SegmentStore(tmp_path, encoding)
        for encoding in (Encoding(), Encoding(level=6), Encoding(TarballFormat.ZST, 6))
    ]
    assert len({store.path(KEY) for store in stores}) == 3
    assert stores[0].index_path("0" * 64, 1) != stores[0].index_path("0" * 64, 2)


@pytest.mark.parametrize(
    ("form", "level"),
    [(f, n) for f in TarballFormat for n in (0, -1, 13 if f.value == "gz" else 20)],
)
def test_a_level_that_a_format_lacks_is_refused(form: TarballFormat, level: int) -> None:
    with pytest.raises(ValueError, match=f"compression level {level} is not one of 1 to"):
        Encoding(form, level)


def test_compressors_write_what_their_readers_read() -> None:
    data = os.urandom(1000) + bytes(100_000)
    gz, zst = (Encoding(form, 3).compressor()(memoryview(data)) for form in TarballFormat)
    assert deflate.gzip_decompress(gz, len(data)) == data
    assert zstandard.ZstdDecompressor().decompress(zst) == data
    assert gz[4:8] == bytes(4)  # the time in a gzip header
    assert not gz[3] & 0x08  # a file name


def test_headers_of_short_names_take_one_block() -> None:
    short = tar_header("a" * 100, Kind.FILE, mode=0o644, mtime=1, size=7 << 30)
    assert len(short) == 512
    assert len(tar_header("a" * 101, Kind.FILE, mode=0o644, mtime=1)) == 3 * 512
    both = tar_header("a" * 999, Kind.SYMLINK, mode=0o777, mtime=1, link="b" * 999)
    assert len(both) == 7 * 512
