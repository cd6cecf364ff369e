"""Parts that were compressed on their own, read as one stream."""

from __future__ import annotations

import hashlib
import random
import zlib
from pathlib import Path

import deflate
import pytest

from therock_outputs.python_packages import deflate_join
from therock_outputs.python_packages.deflate_join import deflate_part


def joined(pieces: list[bytes], level: int = 6) -> bytes:
    last = len(pieces) - 1
    return b"".join(
        deflate_part(memoryview(piece), level, is_last=number == last)
        for number, piece in enumerate(pieces)
    )


def inflated(stream: bytes) -> bytes:
    decoder = zlib.decompressobj(-15)
    data = decoder.decompress(stream)
    assert decoder.eof
    assert decoder.unused_data == b""
    return data


def words(seed: int, size: int) -> bytes:
    """Something like text: compressible, and never twice the same."""
    chosen = random.Random(seed)
    vocabulary = [chosen.randbytes(chosen.randint(2, 9)) for _ in range(500)]
    data = bytearray()
    while len(data) < size:
        data += chosen.choice(vocabulary)
    return bytes(data[:size])


@pytest.mark.parametrize("level", [1, 5, 6, 9, 12])
def test_parts_are_one_stream(level: int) -> None:
    pieces = [words(seed, 300_000 + 977 * seed) for seed in range(6)]
    assert inflated(joined(pieces, level)) == b"".join(pieces)


@pytest.mark.parametrize("level", [1, 6])
def test_joining_costs_a_few_bytes(level: int) -> None:
    pieces = [words(seed, 400_000) for seed in range(5)]
    alone = sum(len(deflate.deflate_compress(piece, level)) for piece in pieces)
    assert len(joined(pieces, level)) <= alone + 5 * len(pieces)


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"x",
        b"short",
        bytes(1_000_000),
        hashlib.shake_256(b"noise").digest(400_000),
        words(1, 5_000),
        words(1, 100_000) + hashlib.shake_256(b"tail").digest(70_000),
        Path(deflate_join.__file__).read_bytes(),
    ],
    ids=["empty", "byte", "short", "zeros", "noise", "small", "noisy end", "text"],
)
def test_whatever_a_part_holds_what_follows_is_read(piece: bytes) -> None:
    """Also where no last block is found, and zlib makes the part."""
    following = words(2, 50_000)
    assert inflated(joined([piece, following, piece])) == piece + following + piece


def test_every_place_of_the_end_within_a_byte_is_met() -> None:
    pieces = [words(seed, 40_000 + seed) for seed in range(40)]
    assert inflated(joined(pieces)) == b"".join(pieces)
