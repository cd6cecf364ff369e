from __future__ import annotations

import hashlib
import lzma
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.native_package_makers import run
from therock_outputs.native_packages.pieces import (
    PIECE,
    Compression,
    PieceMaker,
    stream_of,
)

HEADER = b"a name".ljust(300, b"h") + bytes(212)


def like_code(size: int, seed: int) -> bytes:
    """Bytes that repeat at many distances, as machine code does."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(3, 24)) for _ in range(400)]
    data = b"".join(source.choices(words, k=size // 8))
    return data[:size]


def mixed_stream(compression: Compression, *, single_frame: bool) -> tuple[bytes, bytes]:
    """Headers, small and large files in turn, and the stream that they make."""
    maker = PieceMaker(compression)
    stream = stream_of(maker, single_frame=single_frame)
    source = random.Random(7)
    out, plain = [stream.start()], []
    for number in range(12):
        padding = bytes(source.randrange(512))
        text = padding + HEADER
        first = len(text)
        if number % 3:
            text += like_code(source.randrange(50_000), number) + HEADER
        out += stream.text(memoryview(text), first, ends=True)
        large = like_code(200_000 + number, 100 + number)
        piece, records = maker.make(memoryview(large))
        out += [stream.before(records), piece, stream.after()]
        plain += [text, large]
    text = bytes(30) + bytes(1024)
    out += stream.text(memoryview(text), 30 + 512, ends=False)
    out.append(stream.end())
    return b"".join(out), b"".join([*plain, text])


def unzstd_first_frame(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def unzstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


def unxz(data: bytes) -> bytes:
    return subprocess.run(["xz", "-dc"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("compression", "single_frame", "decoder"),
    [
        (Compression.ZSTD, True, unzstd_first_frame),
        (Compression.ZSTD, True, unzstd),
        (Compression.ZSTD, False, unzstd),
        (Compression.XZ, True, unxz),
        (Compression.XZ, False, lzma.decompress),
    ],
)
def test_pieces_join_to_one_stream(
    compression: Compression, single_frame: bool, decoder: Callable[[bytes], bytes]
) -> None:
    stream, plain = mixed_stream(compression, single_frame=single_frame)

    assert decoder(stream) == plain


def test_stream_of_several_frames_is_more_than_its_first() -> None:
    stream, plain = mixed_stream(Compression.ZSTD, single_frame=False)

    assert len(unzstd_first_frame(stream)) < len(plain)


def test_xz_index_tells_each_block(tmp_path: Path) -> None:
    stream, plain = mixed_stream(Compression.XZ, single_frame=True)
    path = tmp_path / "stream.xz"
    path.write_bytes(stream)

    listing = run("xz", "--robot", "--list", path).splitlines()[-1].split("\t")

    assert listing[:3] == ["totals", "1", "25"]  # a stream of twelve times two blocks, and one
    assert int(listing[4]) == len(plain)


def test_pieces_of_a_long_file_do_not_depend_on_threads_or_on_how_they_are_read() -> None:
    data = memoryview(like_code(PIECE, 3) * 6)

    def made(threads: int, step: int) -> str:
        parts = (data[at : at + step] for at in range(0, len(data), step))
        blocks = b"".join(PieceMaker(Compression.ZSTD).make_long(parts, len(data), threads))
        return hashlib.sha256(blocks).hexdigest()

    assert made(1, PIECE) == made(3, PIECE) == made(2, 1_000_003)


def test_no_reset_where_there_are_no_zeros() -> None:
    maker = PieceMaker(Compression.ZSTD)
    stream = stream_of(maker, single_frame=True)
    with pytest.raises(AssertionError, match="no zeros"):
        list(stream.text(memoryview(b"x" * 600), 512, ends=True))
