"""The files in an archive: streamed, verified, never stored, and looked up where they are known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from therock_outputs.artifacts.archives import ArchiveReader, Kind
from therock_outputs.artifacts.compare.file_lists import cached_archive, keep_list, kept_list
from therock_outputs.artifacts.compare.sides import SizedFile
from therock_outputs.artifacts.compare.sources import Archive
from therock_outputs.errors import IntegrityError
from therock_outputs.storage.base import Progress
from therock_outputs.storage.local_io import os_errors
from therock_outputs.storage.parallel import Stop

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["ReadOptions", "read_archive"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read."""

    files: bool | None = None
    """Whether to read what is in archives; None: only of those that are on this disk."""
    cache_dir: Path | None = None
    """Where lists of files, and archives, are kept by digest."""
    jobs: int = 1
    progress: Progress | None = None


def read_archive(
    item: tuple[Archive, str | None], stop: Stop, *, options: ReadOptions
) -> tuple[SizedFile, ...]:
    """The files of an archive; what errors say is wrong, they say of it by name.

    All of it is read and compared with its digest, unless the cache knows the files already.
    """
    archive, digest = item
    stem, progress = archive.name.artifact.stem, options.progress
    if digest is not None and options.cache_dir is not None:
        kept = kept_list(options.cache_dir, digest, stem)
        if kept is not None:
            if progress:
                progress(archive.name.filename, archive.size)
            return kept
    with os_errors(f"{archive.label} cannot be read"), _opened(archive, digest, options) as stream:
        hashed = _Hashed(stream)
        files = _files_in(archive, hashed, stop, progress)
        actual = hashed.digest_of_all()
    if digest is not None and actual != digest:
        raise IntegrityError(
            f"{archive.label}: its SHA-256 is {actual}, not {digest} as "
            f"{archive.name.sha256_filename} says; fetch or upload it again"
        )
    if digest is not None and options.cache_dir is not None:
        with os_errors(f"{options.cache_dir}: the list of files cannot be kept"):
            keep_list(options.cache_dir, digest, files)
    return files


def _files_in(
    archive: Archive, stream: _Hashed, stop: Stop, progress: Progress | None
) -> tuple[SizedFile, ...]:
    stem, done = archive.name.artifact.stem, 0
    reader = ArchiveReader(cast("BinaryIO", stream), archive.name.compression, archive.label)
    files = []
    for member in reader:
        if member.kind in (Kind.FILE, Kind.HARDLINK):
            files.append(SizedFile(member.path, member.size, stem, member.stage))
        if progress and reader.consumed > done:
            progress(archive.name.filename, reader.consumed - done)
            done = reader.consumed
        stop.check()
    if progress:
        progress(archive.name.filename, archive.size - done)
    return tuple(files)


@contextmanager
def _opened(archive: Archive, digest: str | None, options: ReadOptions) -> Iterator[BinaryIO]:
    """The archive's bytes, from the cache where that has them."""
    if digest is not None and options.cache_dir is not None and not archive.is_local:
        path = cached_archive(options.cache_dir, digest)
        if path.is_file():
            with path.open("rb") as stream:
                yield stream
            return
    with archive.open() as stream:
        yield stream


class _Hashed:
    """A stream that digests what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash: HASH = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def close(self) -> None:
        """Whoever opened the stream closes it."""

    def digest_of_all(self) -> str:
        """The digest of the whole stream; what nobody read is read now."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()
