"""Turn a compressed archive into a bounded stream of bytes."""

from __future__ import annotations

import gzip
import lzma
import zlib
from typing import IO, BinaryIO, Protocol, cast

import zstandard

from therock_outputs.artifacts.names import Compression
from therock_outputs.errors import IntegrityError

__all__ = ["GZIP", "CountedSource", "Decompressor"]

GZIP = "gzip"
"""How tarballs may be compressed, and archives never are."""

_READ = 1 << 20
_LARGEST_WINDOW = 1 << 27
"""Bytes; what ``zstd --long`` uses, and the most that one decoder may take."""
_XZ_MEMORY = 1 << 28
_ALWAYS_ALLOWED = 16 << 30
"""Bytes; a debug file of several GB may be nearly all zeros, which no ratio tells from a bomb."""
_HIGHEST_RATIO = 1000
"""ROCm's most compressible archives stay below 50; a bomb has tens of thousands."""


class CountedSource(Protocol):
    """A ByteSource that knows how much of its file it has read."""

    @property
    def consumed(self) -> int:
        """Compressed bytes read so far."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer; fewer bytes only at the end of the stream."""


class Decompressor:
    """A ByteSource over a zst, xz or gzip file that refuses to grow without bound.

    A stream may expand to ``always_allowed`` bytes, or to a thousand times its compressed size
    where that is more. Memory is bounded by the decoder's window (128 MiB; xz 256 MiB).
    """

    def __init__(
        self,
        stream: BinaryIO,
        compression: Compression | str,
        label: str,
        *,
        always_allowed: int = _ALWAYS_ALLOWED,
    ) -> None:
        self._always_allowed = always_allowed
        self._input = _Counted(stream)
        self._label = label
        self._produced = 0
        self._reader: _ZstdReader | _XzReader | _GzipReader
        if compression is Compression.ZST:
            self._reader = _ZstdReader(self._input)
        elif compression == GZIP:
            self._reader = _GzipReader(self._input)
        else:
            self._reader = _XzReader(self._input)

    @property
    def consumed(self) -> int:
        """Compressed bytes read so far."""
        return self._input.count

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer; fewer bytes only at the end of the stream."""
        filled = 0
        while filled < len(buffer):
            try:
                count = self._reader.readinto(buffer[filled:])
            except _ERRORS as error:
                raise IntegrityError(
                    f"{self._label}: does not decompress ({error}); fetch it again"
                ) from None
            if not count:
                break
            filled += count
        self._produced += filled
        if self._produced > max(self._always_allowed, self._input.count * _HIGHEST_RATIO):
            raise IntegrityError(
                f"{self._label}: expands more than {_HIGHEST_RATIO} times, which no artifact does"
            )
        return filled


_ERRORS = (zstandard.ZstdError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError)


class _Counted:
    """A file that counts what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


class _ZstdReader:
    def __init__(self, stream: _Counted) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._reader = decompressor.stream_reader(
            cast("IO[bytes]", stream), read_size=_READ, read_across_frames=True, closefd=False
        )

    def readinto(self, buffer: memoryview) -> int:
        return self._reader.readinto(buffer)


class _GzipReader:
    def __init__(self, stream: _Counted) -> None:
        self._reader = gzip.GzipFile(fileobj=cast("IO[bytes]", stream), mode="rb")

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._reader.readinto(buffer)
        except EOFError:
            raise gzip.BadGzipFile("it is cut short") from None


class _XzReader:
    """xz without lzma.open, which has no memory limit."""

    def __init__(self, stream: _Counted) -> None:
        self._stream = stream
        self._decoder = self._new()
        self._pending = b""
        self._any = False

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def readinto(self, buffer: memoryview) -> int:
        while True:
            if self._decoder.eof:
                # Several xz streams may follow one another, with zero padding between.
                rest = self._decoder.unused_data.lstrip(b"\0")
                while not rest:
                    padding = self._stream.read(_READ)
                    if not padding:
                        return 0
                    rest = padding.lstrip(b"\0")
                self._decoder, self._pending = self._new(), rest
            if self._decoder.needs_input and not self._pending:
                self._pending = self._stream.read(_READ)
                if not self._pending:
                    if self._any:
                        raise lzma.LZMAError("it is cut short")
                    return 0
            data = self._decoder.decompress(self._pending, max_length=len(buffer))
            self._pending, self._any = b"", True
            if data:
                buffer[: len(data)] = data
                return len(data)
