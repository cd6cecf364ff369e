from __future__ import annotations

import io
import lzma
import random
import subprocess
import zlib

import pytest
import zstandard

from tests import archive_makers as make
from therock_outputs.artifacts.decompress import Decompressor
from therock_outputs.artifacts.names import Compression
from therock_outputs.errors import IntegrityError

_DATA = random.Random(1).randbytes(300_000) + bytes(3_000_000) + b"end"
_PACK = {Compression.ZST: make.zst, Compression.XZ: make.xz}
_BOTH = pytest.mark.parametrize("compression", list(Compression))


def _read(data: bytes, compression: Compression, step: int = 1 << 16) -> bytes:
    source = Decompressor(io.BytesIO(data), compression, "a.tar")
    buffer = memoryview(bytearray(step))
    found = b""
    while count := source.readinto(buffer):
        found += buffer[:count]
    assert source.readinto(buffer) == 0
    return found


@_BOTH
@pytest.mark.parametrize("step", [1000, 1 << 16, 1 << 22])
def test_the_stream_is_what_was_compressed(compression: Compression, step: int) -> None:
    assert _read(_PACK[compression](_DATA), compression, step) == _DATA


@_BOTH
def test_a_buffer_is_filled_except_at_the_end(compression: Compression) -> None:
    source = Decompressor(io.BytesIO(_PACK[compression](_DATA)), compression, "a.tar")
    buffer = memoryview(bytearray(1_000_000))
    assert [source.readinto(buffer) for _ in range(5)] == [1_000_000] * 3 + [300_003, 0]


@_BOTH
def test_several_frames_or_streams_are_one_stream(compression: Compression) -> None:
    pack = _PACK[compression]
    assert _read(pack(b"one") + pack(b"") + pack(_DATA), compression) == b"one" + _DATA


def test_skippable_frames_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    data = skippable + make.zst(b"one") + skippable + make.zst(b"two")
    assert _read(data, Compression.ZST) == b"onetwo"


def test_zeros_may_stand_between_xz_streams_and_after_them() -> None:
    data = make.xz(b"one") + bytes(3 << 20) + make.xz(b"two") + bytes(2 << 20)
    assert _read(data, Compression.XZ) == b"onetwo"


@_BOTH
def test_nothing_compressed_is_nothing(compression: Compression) -> None:
    assert _read(b"", compression) == b""
    assert _read(_PACK[compression](b""), compression) == b""


@_BOTH
def test_garbage_is_refused_at_the_start_and_at_the_end(compression: Compression) -> None:
    for data in (b"garbage, no archive", _PACK[compression](b"one") + b"garbage"):
        with pytest.raises(IntegrityError, match=r"a\.tar: does not decompress .* fetch it again"):
            _read(data, compression)


@_BOTH
def test_a_stream_of_the_other_compression_is_refused(compression: Compression) -> None:
    (other,) = (pack for key, pack in _PACK.items() if key is not compression)
    with pytest.raises(IntegrityError, match="does not decompress"):
        _read(other(_DATA), compression)


@_BOTH
def test_a_cut_or_changed_stream_never_reads_as_something_else(compression: Compression) -> None:
    whole = _PACK[compression](_DATA)
    seeded = random.Random(7)
    for _ in range(60):
        cut = whole[: seeded.randrange(1, len(whole))]
        at = seeded.randrange(len(whole))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << seeded.randrange(8)]) + whole[at + 1 :]
        for damaged in (cut, flipped):
            try:
                found = _read(damaged, compression)
            except IntegrityError:
                continue
            # zstd does not tell that a frame ends early: whoever reads counts what is missing.
            assert _DATA.startswith(found)


def test_a_cut_xz_stream_is_refused_even_after_a_whole_one() -> None:
    data = make.xz(b"one") + make.xz(_DATA)[:-20]
    with pytest.raises(IntegrityError, match="cut short"):
        _read(data, Compression.XZ)


@_BOTH
def test_a_bomb_is_stopped(compression: Compression) -> None:
    data = _PACK[compression](bytes(64 << 20))
    source = Decompressor(io.BytesIO(data), compression, "a.tar", always_allowed=16 << 20)
    buffer = memoryview(bytearray(1 << 20))
    for _ in range(16):
        source.readinto(buffer)
    with pytest.raises(IntegrityError, match="expands more than 1000 times"):
        source.readinto(buffer)


def test_what_expands_less_is_no_bomb_however_large_it_is() -> None:
    data = make.zst(_DATA * 4)
    source = Decompressor(io.BytesIO(data), Compression.ZST, "a.tar", always_allowed=1 << 20)
    assert source.readinto(memoryview(bytearray(16 << 20))) == 4 * len(_DATA)


def test_zstd_window_is_limited_to_what_zstd_long_uses() -> None:
    tail = random.Random(2).randbytes(1000)
    for window, allowed in ((27, True), (28, False)):
        parameters = zstandard.ZstdCompressionParameters(window_log=window, enable_ldm=False)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        data = compressor.compress(tail) + compressor.flush()  # of unknown size: the window counts
        if allowed:
            assert _read(data, Compression.ZST) == tail
        else:
            with pytest.raises(IntegrityError, match="does not decompress"):
                _read(data, Compression.ZST)


def test_xz_memory_is_limited() -> None:
    for size, allowed in ((1 << 26, True), (1 << 29, False)):
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]
        data = bytearray(lzma.compress(b"x" * 100, filters=filters))
        data = _with_dictionary(data, size)
        if allowed:
            assert _read(bytes(data), Compression.XZ) == b"x" * 100
        else:
            with pytest.raises(IntegrityError, match="does not decompress"):
                _read(bytes(data), Compression.XZ)


def _with_dictionary(data: bytearray, size: int) -> bytearray:
    """Claim a larger dictionary in the first block's header (xz format 1.1, section 5.3.1)."""
    start = 12
    length = (data[start] + 1) * 4
    at = data.index(b"\x21\x01", start) + 2
    data[at] = 2 * (size.bit_length() - 1 - 12)
    body = bytes(data[start : start + length - 4])
    data[start + length - 4 : start + length] = zlib.crc32(body).to_bytes(4, "little")
    return data


def test_what_the_real_programs_write_is_read() -> None:
    for command, compression in (
        (["zstd", "-q", "--long=27", "-T2"], Compression.ZST),
        (["zstd", "-q", "--ultra", "-22"], Compression.ZST),
        (["xz", "-0", "-T2", "--block-size=100000"], Compression.XZ),
    ):
        packed = subprocess.run([*command, "-c"], input=_DATA, capture_output=True, check=True)
        assert _read(packed.stdout, compression) == _DATA
