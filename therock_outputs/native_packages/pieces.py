"""Compress pieces of a payload by themselves, so that a deb and an rpm can hold the same ones.

A piece is a run of compressed blocks that refer to nothing before them. A stream is put together
from pieces: those of large files, which are made once, and between them pieces of headers and
small files.

Formats: RFC 8878 (zstd), the .xz file format 1.2.1.
"""

from __future__ import annotations

import enum
import lzma
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence

import zstandard

__all__ = ["LEVELS", "PIECE", "Compression", "PieceMaker", "Record", "Stream", "stream_of"]

PIECE = 4 << 20
"""Bytes that are compressed at once, where a file may be cut. As much as the window: larger
ones shrink the result by less than 1 %, and cost memory for each worker."""


class Compression(enum.StrEnum):
    """How payloads are compressed."""

    ZSTD = "zstd"
    XZ = "xz"

    @property
    def suffix(self) -> str:
        """What ends the name of a file that is compressed so."""
        return ".zst" if self is Compression.ZSTD else ".xz"


LEVELS = {Compression.ZSTD: 7, Compression.XZ: 6}
"""Measured in docs/native-packages-builders.md."""

Record = tuple[int, int]
"""Of an .xz block: its bytes without padding, and the bytes that it holds."""

_WINDOW_LOG = 22
_FRAME_HEADER = b"\x28\xb5\x2f\xfd" + bytes([0, (_WINDOW_LOG - 10) << 3])
"""With neither a checksum (packages carry digests) nor a size, and a window of 4 MiB."""
_LAST_BLOCK = b"\x01\x00\x00"
"""A raw block of no bytes, which ends its frame."""
_RAW, _COMPRESSED = 0, 2
_MOST_IN_BLOCK = 128 << 10

_XZ_HEADER = b"\xfd7zXZ\x00\x00\x01" + zlib.crc32(b"\x00\x01").to_bytes(4, "little")
_XZ_CHECK = lzma.CHECK_CRC32  # which every reader knows


class PieceMaker:
    """Makes pieces; any number of threads may use it."""

    def __init__(self, compression: Compression, level: int | None = None) -> None:
        self.compression = compression
        self._level = level or LEVELS[compression]
        self._local = threading.local()

    def make(self, data: memoryview | bytearray) -> tuple[bytes, tuple[Record, ...]]:
        """One piece, and where it is xz what the index has to say of it."""
        if self.compression is Compression.XZ:
            return self._make_xz(data)
        compressor: zstandard.ZstdCompressor | None = getattr(self._local, "zstd", None)
        if compressor is None:
            compressor = self._local.zstd = self._zstd(0)
        return b"".join(_open_frame(compressor, [data], len(data))), ()

    def make_long(self, parts: Iterable[memoryview], size: int, threads: int) -> Iterator[bytes]:
        """One piece of zstd that is made of a long file; the result does not depend on threads."""
        return _open_frame(self._zstd(max(1, threads)), parts, size)

    def _zstd(self, threads: int) -> zstandard.ZstdCompressor:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            self._level,
            window_log=_WINDOW_LOG,
            write_content_size=False,
            write_checksum=False,
            threads=threads,
        )
        return zstandard.ZstdCompressor(compression_params=parameters)

    def _make_xz(self, data: memoryview | bytearray) -> tuple[bytes, tuple[Record, ...]]:
        lzma2 = {"id": lzma.FILTER_LZMA2, "preset": self._level, "dict_size": PIECE}
        stream = lzma.compress(data, lzma.FORMAT_XZ, _XZ_CHECK, filters=[lzma2])
        footer = stream[-12:]
        index_size = (int.from_bytes(footer[4:8], "little") + 1) * 4
        index = stream[-12 - index_size : -12]
        at, numbers = 2, []  # after the mark of an index and the number of records, which is 1
        for _ in range(2):
            number, at = _variable(index, at)
            numbers.append(number)
        return stream[12 : -12 - index_size], ((numbers[0], numbers[1]),)


def _open_frame(
    compressor: zstandard.ZstdCompressor, parts: Iterable[memoryview | bytearray], size: int
) -> Iterator[bytes]:
    """The blocks of a frame, which is flushed and never ended: so none is marked as the last."""
    work = compressor.compressobj(size=size)
    header = len(_FRAME_HEADER)
    for part in parts:
        if data := work.compress(part):
            yield data[header:]
            header = max(0, header - len(data))
    if data := work.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK):
        yield data[header:]


# --------------------------------------------------------------------- streams of pieces


class Stream:
    """A zstd stream in which each piece is a frame of its own: what rpm reads."""

    def __init__(self, maker: PieceMaker) -> None:
        self._maker = maker

    def start(self) -> bytes:
        """What stands before everything."""
        return b""

    def text(self, data: memoryview, first: int, *, ends: bool) -> Iterator[bytes]:
        """A piece of bytes that are in no piece yet.

        ``first`` is where the first long run of zeros in ``data`` ends; ``ends``: whether
        another one stands at its end, before a piece that is there already.
        """
        del first, ends  # for whom pieces are not independent
        yield from (_FRAME_HEADER, self._maker.make(data)[0], _LAST_BLOCK)

    def before(self, records: Sequence[Record]) -> bytes:
        """What stands before a piece that is there already."""
        del records
        return _FRAME_HEADER

    def after(self) -> bytes:
        """What stands behind a piece that is there already."""
        return _LAST_BLOCK

    def end(self) -> bytes:
        """What stands behind everything."""
        return b""


class _ZstdFrame(Stream):
    """A zstd stream of one frame: dpkg before 1.22 reads no second one, and says nothing.

    Blocks of another frame can follow when the decoder is as it was at the start of a frame.
    Of what it remembers, tables of symbols are used by no block that did not see them being
    made in its own piece, and neither are bytes before it. But every encoder takes for granted
    that the three offsets that can be repeated are 1, 4 and 8 (RFC 8878, section 3.1.1.5). So
    pieces stand behind zeros of a tar header, of which the last nine are written as three
    matches of these offsets.
    """

    def __init__(self, maker: PieceMaker) -> None:
        super().__init__(maker)
        self._is_fresh = True

    def start(self) -> bytes:
        """The frame's header."""
        return _FRAME_HEADER

    def text(self, data: memoryview, first: int, *, ends: bool) -> Iterator[bytes]:
        """A piece between resets."""
        start, end = 0, len(data)
        if not self._is_fresh:
            _require_zeros(data, first)
            yield _raw_block(data[: first - _RESET_LENGTH])
            yield _RESET
            start = first
        self._is_fresh = False
        if ends and start < end:
            _require_zeros(data, end)
            end -= _RESET_LENGTH
        if start < end:
            yield self._maker.make(data[start:end])[0]
        if end < len(data):
            yield _RESET

    def before(self, records: Sequence[Record]) -> bytes:
        """Nothing: its blocks go on."""
        del records
        return b""

    def after(self) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> bytes:
        """The end of the frame."""
        return _LAST_BLOCK


class _Xz(Stream):
    """An xz stream: its blocks are independent, and an index at the end tells of them."""

    def __init__(self, maker: PieceMaker) -> None:
        super().__init__(maker)
        self._records: list[Record] = []

    def start(self) -> bytes:
        """The stream's header."""
        return _XZ_HEADER

    def text(self, data: memoryview, first: int, *, ends: bool) -> Iterator[bytes]:
        """A block."""
        del first, ends
        block, records = self._maker.make(data)
        self._records += records
        yield block

    def before(self, records: Sequence[Record]) -> bytes:
        """Nothing; the index will tell of it."""
        self._records += records
        return b""

    def after(self) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> bytes:
        """Index and footer."""
        index = b"\0" + _encoded(len(self._records))
        index += b"".join(_encoded(a) + _encoded(b) for a, b in self._records)
        index += bytes(-len(index) % 4)
        index += zlib.crc32(index).to_bytes(4, "little")
        tail = (len(index) // 4 - 1).to_bytes(4, "little") + _XZ_HEADER[6:8]
        return index + zlib.crc32(tail).to_bytes(4, "little") + tail + b"YZ"


def stream_of(maker: PieceMaker, *, single_frame: bool) -> Stream:
    """A stream in the maker's compression, for a reader that may know no second frame."""
    if maker.compression is Compression.XZ:
        return _Xz(maker)
    return _ZstdFrame(maker) if single_frame else Stream(maker)


# ---------------------------------------------------------------------- parts of formats


def _block_header(kind: int, size: int) -> bytes:
    return (size << 3 | kind << 1).to_bytes(3, "little")


def _raw_block(data: memoryview) -> bytes:
    if len(data) > _MOST_IN_BLOCK:
        raise AssertionError("more than a block before the first header")
    return _block_header(_RAW, len(data)) + bytes(data)


def _match_block(offset: int) -> bytes:
    """A block of three bytes, copied from so far back (RFC 8878, sections 3.1.1.3.2 and 4).

    No literals; one sequence, whose three codes stand in tables of a single symbol each: no
    literals, the offset, three bytes. Its bits are those of the offset, and the mark of the end.
    """
    value = offset + 3
    code = value.bit_length() - 1
    bits = value - (1 << code)
    body = bytes([0, 1, 0b01_01_01_00, 0, code, 0, 1 << code | bits])
    return _block_header(_COMPRESSED, len(body)) + body


_RESET = b"".join(map(_match_block, (8, 4, 1)))
_RESET_LENGTH = 9
"""Bytes that it stands for, which are as the eight before them: all the same."""


def _require_zeros(data: memoryview, end: int) -> None:
    zeros = _RESET_LENGTH + 8
    if bytes(data[max(0, end - zeros) : end]) != bytes(zeros):
        raise AssertionError("no zeros where a tar header has to have them")


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """A number of the .xz format, and where the next one stands."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _encoded(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
