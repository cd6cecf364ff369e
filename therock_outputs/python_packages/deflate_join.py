"""Make parts of one deflate stream from pieces that were compressed on their own.

libdeflate compresses well and fast, and only whole buffers: each result ends with a block that is
marked as the last. To be followed by another piece, that mark has to be cleared and the stream
brought to a byte's end by an empty stored block, as zlib's sync flush does. Where the last block
begins is not told, and blocks begin at any bit. So it is searched for: a place in the last part
of the stream that reads as the header of a last block is proved right by decoding from there,
which has to give the end of the piece and to end with the stream. Format: RFC 1951.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import deflate

__all__ = ["deflate_part"]

_WINDOW = 32768
_LONGEST_BLOCK = 1 << 19
"""Bytes of data; libdeflate's blocks end well before."""
_SHORTEST_PROOF = 2048
"""Bytes that a block has to give to be believed."""
_SEARCH = (1 << 15, 1 << 16, 1 << 17, 1 << 18, _LONGEST_BLOCK)
"""How far from the stream's end to look, in bytes."""
_FALLBACK_LEVEL = 6

# The first three bits of a last, dynamic block are 1, 0, 1; then five bits each say how many
# literal and distance codes there are, 30 and 31 being invalid, and four how many lengths follow.
_FIRST = bytes(n for n in range(256) if n & 7 == 5 and n >> 3 < 30)
_SECOND = bytes(n for n in range(256) if n & 31 < 30)
_HEADER = re.compile(b"[" + re.escape(_FIRST) + b"](?=[" + re.escape(_SECOND) + b"])", re.DOTALL)
_HEADER_BITS = 17
_COMPLETE = 128
"""What the shares of all codes add up to, when one of length n has 128 >> n of it."""
_SHARES = [sum(128 >> n for n in ((v >> at) & 7 for at in (0, 3, 6, 9)) if n) for v in range(4096)]


def deflate_part(data: memoryview, level: int, *, is_last: bool) -> bytes:
    """Raw deflate of a piece: parts one after another, the last of them marked, are one stream."""
    compressed = bytes(deflate.deflate_compress(data, level)) if len(data) else b"\x03\x00"
    if is_last:
        return compressed
    return _continued(compressed, data) or _flushed(data)


def _flushed(data: memoryview) -> bytes:
    """By zlib, which can do it and takes three times as long."""
    compressor = zlib.compressobj(_FALLBACK_LEVEL, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _continued(compressed: bytes, data: memoryview) -> bytes | None:
    """The stream with its last block unmarked and its end on a byte; None if none is found."""
    searched = 0
    for reach in _SEARCH:
        start = max(0, len(compressed) - reach)
        end = len(compressed) - searched
        if end <= 0:
            break
        for bit in _candidates(compressed, start, end):
            joined = _try(compressed, bit, data)
            if joined is not None:
                return joined
        searched = reach
    return None


def _candidates(compressed: bytes, start: int, end: int) -> Iterator[int]:
    """Bits between two bytes where the code lengths of a last, dynamic block may begin."""
    # Headers that begin in the range may go on behind it.
    number = int.from_bytes(compressed[start : end + 16], "little")
    size = end - start
    for shift in range(8):
        shifted = (number >> shift).to_bytes(size + 17, "little")
        for match in _HEADER.finditer(shifted, 0, size + 1):
            at = match.start()
            if at >= size:
                break
            head = int.from_bytes(shifted[at : at + 10], "little")
            lengths = head >> _HEADER_BITS & (1 << 3 * ((head >> 13 & 15) + 4)) - 1
            total = 0
            while lengths:
                total += _SHARES[lengths & 4095]
                lengths >>= 12
            if total == _COMPLETE:
                yield (start + at) * 8 + shift


def _try(compressed: bytes, bit: int, data: memoryview) -> bytes | None:
    """The joined stream if a last block begins at this bit."""
    tail = compressed[bit // 8 :]
    number = int.from_bytes(tail, "little") >> bit % 8
    bits = len(tail) * 8 - bit % 8
    length = _decoded_length(number.to_bytes(bits // 8 + 1, "little"))
    if length is None or not _SHORTEST_PROOF <= length <= min(len(data), _LONGEST_BLOCK):
        return None
    expected = bytes(data[len(data) - length :])
    before = bytes(data[max(0, len(data) - length - _WINDOW) : len(data) - length])
    number &= ~1
    ends = [used for used in range(bits - 7, bits + 1) if _ends(number, used, before, expected)]
    if len(ends) != 1:
        return None
    unmarked = bytearray(compressed)
    unmarked[bit // 8] ^= 1 << bit % 8
    # The header of an empty stored block takes three bits; zeros fill the byte up.
    room = bits - ends[0]
    return bytes(unmarked) + (b"" if room >= 3 else b"\0") + b"\0\0\xff\xff"


def _decoded_length(stream: bytes) -> int | None:
    """How much a block gives that has all of the stream; None if it is none."""
    decoder = zlib.decompressobj(-15, bytes(_WINDOW))
    try:
        length = len(decoder.decompress(stream, _LONGEST_BLOCK))
    except zlib.error:
        return None
    whole = decoder.eof and len(decoder.unused_data) <= 1 and not any(decoder.unused_data)
    return length if whole else None


def _ends(number: int, used: int, before: bytes, expected: bytes) -> bool:
    """Whether the block takes so many bits: an empty last block right behind it has to be read."""
    # Bits 1, 1, 0: the last block, with fixed codes; then seven zeros end it.
    marked = (number & (1 << used) - 1) | 0b011 << used
    decoder = zlib.decompressobj(-15, before) if before else zlib.decompressobj(-15)
    try:
        result = decoder.decompress(marked.to_bytes((used + 10 + 7) // 8, "little"))
    except zlib.error:
        return False
    return decoder.eof and not decoder.unused_data and result == expected
