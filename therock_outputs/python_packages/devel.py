"""The archive of the devel wheel: what no runtime package holds, as one ``.tar.gz``.

Its members go in the manifest's order, by path, while files come in the order of the run's
archives. So each is compressed when it comes (a gzip file may have many members) and put aside;
small ones are put aside as they are, and compressed together with their neighbours at the end.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import deflate

from therock_outputs.python_packages.content import (
    ElfWork,
    FileKind,
    prepare,
)

__all__ = ["DevelFile", "Spool", "Stored", "digest_devel", "digest_large_devel", "write_archive"]

_SMALL = 128 << 10
"""Bytes below which a file is compressed with its neighbours."""
_GROUP = 1 << 20
_SLICE = 16 << 20
_BLOCK = 512
_WINDOW = 32
"""Groups that are read ahead."""


@dataclass(frozen=True, slots=True)
class DevelFile:
    """A file of the devel tree, digested, as members of a gzip file or, when small, as it is."""

    size: int
    sha256: str
    kind: FileKind
    pieces: tuple[bytes | bytearray, ...]
    compressed: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """Where in the spool a file's part of the tar lies."""

    at: int
    size: int
    compressed: bool


def digest_devel(
    content: bytearray,
    *,
    path: str,
    executable: bool,
    label: str,
    level: int,
    mtime: int,
    is_elf: bool,
) -> DevelFile:
    """Turn RUNPATH to RPATH, digest, and make the file's part of the archive."""
    kind = prepare(content, ElfWork(path, ()) if is_elf else None, label)
    size = len(content)
    header = _header(path, size, executable=executable, mtime=mtime)
    fill = bytes(-size % _BLOCK)
    digest = hashlib.sha256(content).hexdigest()
    if size < _SMALL:
        return DevelFile(size, digest, kind, (header, content, fill), compressed=False)
    pieces = (header, content, *([fill] if fill else []))
    packed = tuple(deflate.gzip_compress(piece, level) for piece in pieces)
    return DevelFile(size, digest, kind, packed, compressed=True)


def digest_large_devel(
    size: int,
    readinto: Callable[[memoryview], object],
    *,
    path: str,
    executable: bool,
    level: int,
    mtime: int,
    spool: Spool,
    pool: ThreadPoolExecutor,
    in_flight: int,
) -> tuple[str, Stored]:
    """As ``digest_devel`` for a file that is too large to hold, which is taken as it is.

    ``in_flight``: how many slices there may be in memory. Its digest, and where it was put.
    """
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes | bytearray]:
        yield deflate.gzip_compress(_header(path, size, executable=executable, mtime=mtime), level)
        packed: deque[Future[bytearray]] = deque()
        for at in range(0, size, _SLICE):
            data = bytearray(min(_SLICE, size - at))
            with memoryview(data) as view:
                readinto(view)
            digest.update(data)
            if len(packed) >= in_flight:
                yield packed.popleft().result()
            packed.append(pool.submit(deflate.gzip_compress, data, level))
        for part in packed:
            yield part.result()
        if fill := bytes(-size % _BLOCK):
            yield deflate.gzip_compress(fill, level)

    stored = spool.put_pieces(pieces(), compressed=True)
    return digest.hexdigest(), stored


class Spool(AbstractContextManager["Spool"]):
    """A temporary file of parts of archives. Not for several threads while it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb+", buffering=0)
        self._end = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def put(self, file: DevelFile) -> Stored:
        """Keep a file's part of the archive."""
        return self.put_pieces(file.pieces, compressed=file.compressed)

    def put_pieces(self, pieces: Iterable[bytes | bytearray], *, compressed: bool) -> Stored:
        """Keep what belongs together."""
        start = self._end
        for piece in pieces:
            self._file.seek(self._end)
            view = memoryview(piece)
            self._end += len(view)
            while view:
                view = view[self._file.write(view) :]
        return Stored(start, self._end - start, compressed)

    def read(self, stored: Stored) -> bytes:
        """What was kept."""
        self._file.seek(stored.at)
        data = bytearray(stored.size)
        view = memoryview(data)
        while view:
            view = view[self._file.readinto(view) or 0 :]
        return bytes(data)


@dataclass(frozen=True, slots=True)
class WrittenArchive:
    """A finished ``.tar.gz``."""

    path: Path
    size: int
    crc32: int
    sha256: bytes


def write_archive(
    path: Path, parts: Sequence[Stored], spool: Spool, *, level: int, pool: ThreadPoolExecutor
) -> WrittenArchive:
    """Write the parts, in the order given, as one ``.tar.gz``."""
    digest, checksum, size = hashlib.sha256(), 0, 0
    with path.open("wb") as file:
        for data in _compressed(parts, spool, level, pool):
            digest.update(data)
            checksum = deflate.crc32(data, checksum)
            size += file.write(data)
    return WrittenArchive(path, size, checksum, digest.digest())


def _compressed(
    parts: Sequence[Stored], spool: Spool, level: int, pool: ThreadPoolExecutor
) -> Iterator[bytes | bytearray]:
    groups = list(_groups(parts))
    for start in range(0, len(groups), _WINDOW):
        window = groups[start : start + _WINDOW]
        raw = [b"".join(spool.read(part) for part in group) for group in window]
        packed = pool.map(
            lambda group, data: data if group[0].compressed else deflate.gzip_compress(data, level),
            window,
            raw,
        )
        yield from packed
    end = tarfile.RECORDSIZE  # two empty blocks end a tar file; a whole record is what tools write
    yield deflate.gzip_compress(bytes(end), level)


def _groups(parts: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Neighbours that are to be compressed together; what is compressed stands alone."""
    group: list[Stored] = []
    size = 0
    for part in parts:
        if group and (part.compressed or size >= _GROUP):
            yield group
            group, size = [], 0
        if part.compressed:
            yield [part]
        else:
            group.append(part)
            size += part.size
    if group:
        yield group


def _header(path: str, size: int, *, executable: bool, mtime: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.mtime, info.mode = size, mtime, 0o755 if executable else 0o644
    return info.tobuf(tarfile.PAX_FORMAT)
