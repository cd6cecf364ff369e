"""Turn a gzip file into a bounded stream of bytes, as ``decompress`` does for archives."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from therock_outputs.errors import IntegrityError

__all__ = ["GzipSource"]

_READ = 1 << 20
_GZIP = 31
"""zlib's word for: a gzip header, a window of any size, and a checksum at the end."""


class GzipSource:
    """A ByteSource over one or many gzip members (RFC 1952), one after the other."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._decoder = zlib.decompressobj(_GZIP)
        self._pending = b""
        self._started = False
        self.consumed = 0

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer; fewer bytes only at the end of the stream."""
        filled = 0
        while filled < len(buffer):
            data = self._next(len(buffer) - filled)
            if not data:
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def _next(self, most: int) -> bytes:
        while True:
            if self._decoder.eof:
                # Zeros may pad the file, as tapes once wanted.
                self._pending = self._decoder.unused_data.lstrip(b"\0")
                self._decoder, self._started = zlib.decompressobj(_GZIP), False
            if not self._pending:
                self._pending = self._stream.read(_READ)
                self.consumed += len(self._pending)
                if not self._started:
                    self._pending = self._pending.lstrip(b"\0") if self.consumed else b""
                if not self._pending:
                    if self._started:
                        raise self._broken("it is cut short")
                    return b""
            self._started = True
            try:
                data = self._decoder.decompress(self._pending, most)
            except zlib.error as error:
                raise self._broken(str(error)) from None
            self._pending = self._decoder.unconsumed_tail
            if data:
                return data

    def _broken(self, problem: str) -> IntegrityError:
        return IntegrityError(f"{self._label}: does not decompress ({problem}); fetch it again")
