"""A stored object as a file that seeks, so that a zip's directory is read without the rest."""

from __future__ import annotations

import io

from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Storage

__all__ = ["StoredFile"]

_WINDOW = 64 << 10
"""Bytes asked for at a time, at least: the end of a small wheel in one request."""


class StoredFile(io.RawIOBase):
    """Reads ranges of an object as they are needed and keeps the last one."""

    def __init__(self, storage: Storage, location: StorageLocation, size: int) -> None:
        super().__init__()
        self._storage = storage
        self._location = location
        self._size = size
        self._position = 0
        self._start = 0
        self._window = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move there; nothing is asked of the server yet."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self._location.s3_uri} has nothing before its first byte")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill the buffer as far as the object goes."""
        length = max(0, min(len(buffer), self._size - self._position))
        first = self._position - self._start
        if first < 0 or first + length > len(self._window):
            # Near the end, the window reaches back instead: a zip is read from there.
            self._start = max(0, min(self._position, self._size - _WINDOW))
            wanted = max(self._position + length, self._start + _WINDOW) - self._start
            with self._storage.open(
                self._location, self._start, min(wanted, self._size - self._start)
            ) as stream:
                self._window = stream.read()
            first = self._position - self._start
        data = self._window[first : first + length]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
