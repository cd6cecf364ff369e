"""Write artifact archives: the same entries give the same bytes, on any machine.

The bytes depend on the entries, the compression level, the time and the version of zstd, and
on nothing else: not on the number of threads, the user, the clock or the order of a directory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import zstandard

from therock_outputs.artifacts.archives import MANIFEST_NAME, ArchiveReader, Kind
from therock_outputs.artifacts.entries import Entry, scan_artifact_directory
from therock_outputs.artifacts.names import (
    ArchiveName,
    Compression,
    parse_archive_filename,
)
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.storage.base import IfExists, Progress
from therock_outputs.storage.hidden import temporary_file
from therock_outputs.storage.local_io import os_errors, publish, write_all

__all__ = [
    "DEFAULT_LEVEL",
    "PackSettings",
    "PackedArchive",
    "pack_directory",
    "sha256sum_line",
    "write_archive",
]

DEFAULT_LEVEL = 3
"""What TheRock's CI uses. Level 9 takes four times as long for 10 % less."""
_HIGHEST_LEVEL = 22
_CHUNK = 1 << 20
_TAR_END = bytes(2 * tarfile.BLOCKSIZE)
_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
}


@dataclass(frozen=True, slots=True)
class PackedArchive:
    """An archive that was written, with its ``.sha256sum`` beside it."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    """64 hex digits."""


@dataclass(frozen=True, slots=True)
class PackSettings:
    """How archives are written. UsageError for a level that zstd does not have."""

    mtime: int
    """Every member's time in seconds since the epoch."""
    level: int = DEFAULT_LEVEL
    threads: int = 1
    """Threads that compress one archive, at 10 to 100 MB each by level. Not in the bytes."""

    def __post_init__(self) -> None:
        if not 1 <= self.level <= _HIGHEST_LEVEL:
            raise UsageError(f"compression level {self.level} is not from 1 to {_HIGHEST_LEVEL}")


def sha256sum_line(sha256: str, filename: str) -> str:
    """The content of ``{filename}.sha256sum``, as ``sha256sum --check`` reads it."""
    return f"{sha256}  {filename}\n"


def write_archive(
    path: Path,
    stages: Sequence[str],
    entries: Iterable[Entry],
    settings: PackSettings,
    *,
    progress: Progress | None = None,
) -> PackedArchive:
    """Write an archive of these entries, and its ``.sha256sum``; replaces what is there.

    ``stages`` are listed in the manifest in this order, those without entries too. The archive
    appears when it is whole and has been read back: what reading refuses (a link out of its
    stage, an entry in no stage, one path twice) is an IntegrityError here already.
    """
    manifest = "".join(f"{stage}\n" for stage in stages).encode()
    return _write(path, manifest, entries, settings, progress=progress)


def pack_directory(
    directory: Path,
    path: Path,
    settings: PackSettings,
    *,
    progress: Progress | None = None,
) -> PackedArchive:
    """Write an archive of an artifact's directory in a build tree, as ``write_archive`` does.

    The directory is looked at again afterwards: OutputsError when anything in it has changed,
    because the archive would be a mixture that no build has made.
    """
    tree = scan_artifact_directory(directory)

    def check_unchanged() -> None:
        if scan_artifact_directory(directory) != tree:
            raise _changed(directory)

    return _write(
        path, tree.manifest, tree.entries, settings, progress=progress, check=check_unchanged
    )


def _write(
    path: Path,
    manifest: bytes,
    entries: Iterable[Entry],
    settings: PackSettings,
    *,
    progress: Progress | None,
    check: Callable[[], None] = lambda: None,
) -> PackedArchive:
    archive = _archive_name(path)
    # zstd's bytes differ between no worker threads and some, never between numbers of them.
    compressor = zstandard.ZstdCompressor(
        level=settings.level, threads=max(1, settings.threads), write_checksum=True
    )
    with _new_file(path) as (descriptor, temporary):
        output = _Digested(descriptor)
        with compressor.stream_writer(cast("BinaryIO", output), closefd=False) as stream:
            tar = _TarWriter(stream, settings.mtime, progress, archive.filename)
            tar.write(manifest, entries)
        os.fsync(descriptor)
        _read_back(temporary, archive)
        check()
        sums = path.with_name(archive.sha256_filename)
        # A digest of older bytes must not stand beside the new ones, however this ends.
        sums.unlink(missing_ok=True)
        publish(temporary, path, IfExists.REPLACE)
    with _new_file(sums) as (descriptor, temporary):
        write_all(sha256sum_line(output.sha256, path.name).encode(), descriptor)
        os.fsync(descriptor)
        publish(temporary, sums, IfExists.REPLACE)
    return PackedArchive(path, output.size, output.sha256)


@contextmanager
def _new_file(path: Path) -> Iterator[tuple[int, Path]]:
    with os_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path.parent) as pair:
            yield pair


def _archive_name(path: Path) -> ArchiveName:
    archive = parse_archive_filename(path.name)
    if archive is None or archive.compression is not Compression.ZST:
        raise UsageError(f"{path} cannot be written: not of the form name_component_target.tar.zst")
    return archive


def _read_back(temporary: Path, archive: ArchiveName) -> None:
    """Read the archive as everybody will: its reader alone knows what an archive may hold."""
    with ArchiveReader(temporary.open("rb"), archive.compression, archive.filename) as reader:
        for _ in reader:
            pass


def _changed(path: Path) -> OutputsError:
    return OutputsError(
        f"{path} changed while it was packed; run this again when the build has ended"
    )


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Digested:
    """An open file that is hashed and measured as it is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of ``data``."""
        self._hash.update(data)
        self.size += len(data)
        return write_all(data, self._descriptor)

    @property
    def sha256(self) -> str:
        """Digest of what was written, 64 hex digits."""
        return self._hash.hexdigest()


class _TarWriter:
    """Writes a pax archive (POSIX.1-2001): long and non-ASCII names, files of any size."""

    def __init__(
        self, stream: _Writable, mtime: int, progress: Progress | None, label: str
    ) -> None:
        self._stream = stream
        self._mtime = mtime
        self._progress = progress or (lambda _label, _count: None)
        self._label = label

    def write(self, manifest: bytes, entries: Iterable[Entry]) -> None:
        """The manifest, the entries by path, then the hard links, whose targets are before."""
        self._bytes(MANIFEST_NAME, 0o644, manifest)
        ordered = sorted(
            entries, key=lambda entry: (entry.kind is Kind.HARDLINK, entry.path.split("/"))
        )
        modes = {entry.path: entry.mode for entry in ordered}
        for entry in ordered:
            mode = modes.get(entry.link, entry.mode) if entry.kind is Kind.HARDLINK else entry.mode
            if entry.kind is not Kind.FILE:
                self._header(entry.path, entry.kind, mode, link=entry.link)
            elif isinstance(entry.data, bytes):
                self._bytes(entry.path, mode, entry.data)
            else:
                self._file(entry.path, mode, entry.data)
        self._stream.write(_TAR_END)

    def _header(self, path: str, kind: Kind, mode: int, size: int = 0, link: str = "") -> None:
        info = tarfile.TarInfo(path)
        info.type = _TYPES[kind]
        info.mode = mode & 0o777
        info.mtime = self._mtime
        info.size = size
        info.linkname = link
        self._stream.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))

    def _bytes(self, path: str, mode: int, data: bytes) -> None:
        self._header(path, Kind.FILE, mode, len(data))
        self._stream.write(data)
        self._stream.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        self._progress(self._label, len(data))

    def _file(self, path: str, mode: int, source: Path) -> None:
        try:
            # The file was seen to be one; a link or pipe in its place must not be followed.
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                self._copy(path, mode, source, file)
        except OSError as error:
            raise OutputsError(f"cannot read {source} ({error.strerror})") from error

    def _copy(self, path: str, mode: int, source: Path, file: BinaryIO) -> None:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise _changed(source)
        self._header(path, Kind.FILE, mode, before.st_size)
        left = before.st_size
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise _changed(source)
            self._stream.write(chunk)
            self._progress(self._label, len(chunk))
            left -= len(chunk)
        after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise _changed(source)
        self._stream.write(bytes(-before.st_size % tarfile.BLOCKSIZE))
