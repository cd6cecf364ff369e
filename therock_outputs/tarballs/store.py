"""Compressed segments on disk, named by what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import IntegrityError
from therock_outputs.storage.local_io import os_errors, write_all
from therock_outputs.tarballs.encoding import Encoding

__all__ = ["SegmentStore", "Stored", "write_whole"]

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Stored:
    """A segment as it lies in the store."""

    size: int
    """Compressed bytes."""
    sha256: str
    """Of the compressed bytes."""


class SegmentStore:
    """A directory of segments, one per distinct content and encoding; safe for many threads.

    Each file is the compressed bytes followed by their SHA-256, so that a file that was damaged
    is known as such without the index that named it. A directory may be shared by runs and by
    processes: files appear whole or not at all, and equal names hold equal bytes.
    """

    def __init__(self, directory: Path, encoding: Encoding) -> None:
        self.directory = directory / encoding.name
        self.encoding = encoding

    def index_path(self, sha256: str, mtime: int) -> Path:
        """Where the index of the archive with this digest is."""
        return self.directory / "indexes" / f"{sha256}-{mtime}.json"

    def path(self, key: str) -> Path:
        """Where the segment with this key is."""
        return self.directory / key[:2] / key

    def put(self, key: str, data: bytes) -> Stored:
        """Write a segment; a second writer of the same key changes nothing."""
        digest = hashlib.sha256(data)
        path = self.path(key)
        write_whole(path, data, digest.digest())
        return Stored(len(data), digest.hexdigest())

    def find(self, key: str) -> Stored | None:
        """The segment if it is here and whole; a damaged one is removed."""
        try:
            data = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        view = memoryview(data)[:-_DIGEST]
        digest = hashlib.sha256(view)
        if len(data) <= _DIGEST or digest.digest() != data[-_DIGEST:]:
            with contextlib.suppress(FileNotFoundError):
                self.path(key).unlink()
            return None
        return Stored(len(view), digest.hexdigest())

    def read_into(self, key: str, size: int, buffer: memoryview) -> memoryview:
        """Read the compressed bytes of a segment; returns the filled part of ``buffer``."""
        path = self.path(key)
        with os_errors(f"{path} cannot be read; run the task again"):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if os.readv(descriptor, [buffer[:size]]) != size:
                    raise IntegrityError(f"{path}: is cut short; run the task again")
            finally:
                os.close(descriptor)
        return buffer[:size]

    def read(self, key: str, size: int) -> bytes:
        """The compressed bytes of a segment."""
        return bytes(self.read_into(key, size, memoryview(bytearray(size))))


def write_whole(path: Path, *parts: bytes) -> None:
    """Write a file that appears whole or not at all, whoever else writes the same one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    with os_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb", buffering=0) as file:
                for part in parts:
                    write_all(part, file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
