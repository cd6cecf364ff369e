"""Write the archives that logs travel in: the same logs give the same bytes."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from therock_outputs.errors import StorageError
from therock_outputs.storage.files import SourceFile, key_order

__all__ = ["write_log_archive"]

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
"""ccache's logs shrink to a thirteenth already; more would only cost the job's time."""


def write_log_archive(path: Path, members: Sequence[SourceFile], *, mtime: int) -> int:
    """Write a ``.tar.gz`` or ``.tar.zst`` of these files, by name; its size in bytes.

    ``mtime`` is every member's, in seconds since the epoch. Logs stream, however long they are.
    StorageError for a log that is no regular file any more, or that shrinks meanwhile.
    """
    with (
        path.open("wb") as file,
        _compressed(path.name, file) as stream,
        # pax: names of any length, files of any size.
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in sorted(members, key=lambda member: key_order(member.name)):
            _add(tar, member, mtime)
    return path.stat().st_size


@contextlib.contextmanager
def _compressed(name: str, file: BinaryIO) -> Iterator[BinaryIO]:
    if name.endswith(".zst"):
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        with compressor.stream_writer(file, closefd=False) as stream:
            yield cast("BinaryIO", stream)
        return
    # Neither a name nor the clock goes into the header.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        yield cast("BinaryIO", packed)


def _add(tar: tarfile.TarFile, member: SourceFile, mtime: int) -> None:
    try:
        # It was seen to be a file; a link or a pipe in its place must not be followed.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(member.path, flags), "rb") as log:
            info = tarfile.TarInfo(member.name)
            # What is appended from now on is left out: a header comes before its bytes.
            info.size = os.fstat(log.fileno()).st_size
            info.mtime = mtime
            info.mode = 0o644
            tar.addfile(info, log)
    except OSError as error:
        why = error.strerror or "it shrank while it was packed"
        raise StorageError(
            f"{member.path} cannot be packed ({why}); upload logs when the build has ended"
        ) from error
