"""A staging directory that mirrors S3, with the same guarantees as the bucket it stands for."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StorageError,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.layout.names import is_distribution_bucket
from therock_outputs.storage.base import (
    Download,
    IfExists,
    ObjectInfo,
    Outcome,
    Progress,
    Storage,
    Transfer,
    Transfers,
    Upload,
)
from therock_outputs.storage.files import key_order, sha256_of_file
from therock_outputs.storage.hidden import exclusive, is_hidden, sweep_abandoned, temporary_file
from therock_outputs.storage.local_io import (
    copy_into,
    os_errors,
    publish,
    version_of,
    write_all,
)
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["LocalStorage"]

_JOBS = 4


class LocalStorage(Storage):
    """Objects are files below ``staging_dir``, which is made when something is written.

    A file appears under its name in one step, whole and flushed. Symbolic links that lead out
    of the staging directory are refused. Writers on one machine may be threads or processes.
    """

    def __init__(self, staging_dir: Path) -> None:
        self.staging_dir = staging_dir

    @property
    def honours_conditions(self) -> bool:
        """Whether `update` loses no change: a lock sees to it."""
        return True

    def list(self, prefix: StorageLocation) -> Iterator[ObjectInfo]:
        """Objects whose key starts with ``prefix.key``, in S3's order."""
        top = StorageLocation(prefix.bucket, prefix.key[: prefix.key.rfind("/") + 1])
        with os_errors(f"{prefix.s3_uri} cannot be listed"):
            for location, path in self._walk(top, prefix.key):
                try:
                    status = path.stat()
                except FileNotFoundError:  # removed meanwhile, or a link that leads nowhere
                    continue
                yield _info(location, status)

    def _walk(
        self, directory: StorageLocation, prefix: str
    ) -> Iterator[tuple[StorageLocation, Path]]:
        """What lies below a directory, depth first in key order, and starts with ``prefix``."""
        path = directory.local_path(self.staging_dir)
        try:
            with os.scandir(path) as scanned:
                entries = [(e.name + "/" if e.is_dir() else e.name, e) for e in scanned]
        except (FileNotFoundError, NotADirectoryError):
            return
        # Distribution buckets lie beside the runs, but hold no keys of a run's bucket.
        shares_top = not directory.key and not is_distribution_bucket(directory.bucket)
        for name, entry in sorted(entries, key=lambda item: key_order(item[0])):
            key = directory.key + name
            if is_hidden(entry.name) or (shares_top and is_distribution_bucket(entry.name)):
                continue
            if not (key.startswith(prefix) or (entry.is_dir() and prefix.startswith(key))):
                continue
            location = StorageLocation(directory.bucket, key)
            # Below a directory that is inside, only a link can lead out.
            is_link = entry.is_symlink()
            inside = location.local_path(self.staging_dir) if is_link else path / entry.name
            if not entry.is_dir():
                yield location, inside
            elif is_link and path.resolve().is_relative_to(inside.resolve()):
                raise StorageError(f"{inside} is a link to a directory above it; remove the link")
            else:
                yield from self._walk(location, prefix)

    def stat(self, location: StorageLocation) -> ObjectInfo | None:
        """The file, or None when there is none of exactly this name."""
        path = self._path(location)
        with os_errors(f"{path} cannot be read"):
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not path.is_file() or is_hidden(path.name):
                return None
        return _info(location, status)

    @contextmanager
    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> Iterator[BinaryIO]:
        """A stream over the file's bytes from ``start``, ``length`` of them or all."""
        path = self.path_of(location)
        with os_errors(f"{path} cannot be read"):
            stream = path.open("rb")
        with stream:
            stream.seek(start)
            yield stream if length is None else io.BufferedReader(_Slice(stream, length))

    def download(
        self,
        downloads: Sequence[Download],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Copy files out of the staging directory, verified, each visible only when whole."""
        return run_parallel(partial(self._download_one, progress), downloads, jobs or _JOBS)

    def _download_one(self, progress: Progress | None, item: Download, stop: Stop) -> Transfer:
        source = self.path_of(item.source)
        with os_errors(f"{item.source.s3_uri} cannot be copied to {item.path}"):
            expected = item.sha256
            if item.path.is_file():
                present = sha256_of_file(item.path)
                if present == (expected or sha256_of_file(source)):
                    size = item.path.stat().st_size
                    return Transfer(item.source, Outcome.SAME, size, present)
            item.path.parent.mkdir(parents=True, exist_ok=True)
            sweep_abandoned(item.path.parent)
            with temporary_file(item.path.parent) as (descriptor, temporary):
                size = copy_into(source, descriptor, stop, progress, item.source.name)
                actual = sha256_of_file(temporary)
                if expected is not None and actual != expected:
                    raise IntegrityError(
                        f"{source} has SHA-256 {actual} but {expected} was expected; "
                        "remove it and fetch or build it again"
                    )
                temporary.replace(item.path)
        return Transfer(item.source, Outcome.WRITTEN, size, actual)

    def upload(
        self,
        uploads: Sequence[Upload],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Copy files into the staging directory, each visible only when whole."""
        targets = [self._target(item.target) for item in uploads]
        for directory in {path.parent for path in targets}:
            with os_errors(f"{directory} cannot be made"):
                directory.mkdir(parents=True, exist_ok=True)
            sweep_abandoned(directory)
        return run_parallel(partial(self._upload_one, progress), uploads, jobs or _JOBS)

    def _upload_one(self, progress: Progress | None, item: Upload, stop: Stop) -> Transfer:
        path = self._target(item.target)
        with os_errors(f"{item.target.s3_uri} cannot be written to {path}"):
            same = _same_content(item, path)
            if same is not None:
                return same
            with temporary_file(path.parent) as (descriptor, temporary):
                if isinstance(item.source, bytes):
                    size = write_all(item.source, descriptor)
                    if progress is not None:
                        progress(item.target.name, size)
                else:
                    size = copy_into(item.source, descriptor, stop, progress, item.target.name)
                digest = sha256_of_file(temporary)
                if item.sha256 is not None and digest != item.sha256:
                    raise IntegrityError(
                        f"{_source_name(item)} has SHA-256 {digest} but {item.sha256} was "
                        f"expected; make it again before it goes to {item.target.s3_uri}"
                    )
                os.fsync(descriptor)
                if not publish(temporary, path, item.if_exists):
                    # Somebody was faster: that is fine when they wrote the same.
                    return _same_or_conflict(item, path, digest)
        return Transfer(item.target, Outcome.WRITTEN, size, digest)

    def copy(
        self,
        copies: Iterable[tuple[StorageLocation, StorageLocation]],
        *,
        if_exists: IfExists = IfExists.SAME,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Copy files within the staging directory."""
        uploads = [Upload(self.path_of(s), target, if_exists) for s, target in copies]
        return self.upload(uploads, jobs=jobs, progress=progress)

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,  # noqa: ARG002 - files have no media type
    ) -> bytes:
        """Change a shared file while holding its lock."""
        path = self._target(location)
        with os_errors(f"{location.s3_uri} cannot be changed at {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_abandoned(path.parent)
            with exclusive(path):
                old = path.read_bytes() if path.exists() else None
                new = change(old)
                if new != old:
                    with temporary_file(path.parent) as (descriptor, temporary):
                        write_all(new, descriptor)
                        os.fsync(descriptor)
                        temporary.replace(path)
        return new

    def delete(self, location: StorageLocation) -> None:
        """Remove a file; nothing happens when there is none."""
        path = self._target(location)
        with os_errors(f"{location.s3_uri} cannot be removed at {path}"):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return

    def _path(self, location: StorageLocation) -> Path:
        """The file that stands for an object; StorageError for a prefix."""
        if location.is_prefix:
            raise StorageError(f"{location.s3_uri} names a directory; name one object in it")
        return location.local_path(self.staging_dir)

    def _target(self, location: StorageLocation) -> Path:
        path = self._path(location)
        if is_hidden(path.name):
            raise StorageError(
                f"{location.s3_uri} has a name that stands for unfinished files; rename it"
            )
        return path

    def local_file(self, location: StorageLocation) -> Path | None:
        """The file itself; NotFoundError when there is none."""
        return self.path_of(location)

    def path_of(self, location: StorageLocation) -> Path:
        """The file that holds an object; NotFoundError when there is none."""
        if self.stat(location) is None:
            raise NotFoundError(
                f"{location.s3_uri} is not in the staging directory {self.staging_dir}; "
                "check the run, or leave out --staging-dir to read from S3"
            )
        return self._path(location)


class _Slice(io.RawIOBase):
    """The next ``length`` bytes of a stream."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _info(location: StorageLocation, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(location, status.st_size, version_of(status), status.st_mtime_ns / 1e9)


def _source_name(item: Upload) -> str:
    return "the content" if isinstance(item.source, bytes) else str(item.source)


def _same_content(item: Upload, path: Path) -> Transfer | None:
    """What to answer when ``path`` is taken already; None when the upload must write."""
    if not path.is_file():
        return None
    size = len(item.source) if isinstance(item.source, bytes) else item.source.stat().st_size
    if size != path.stat().st_size:
        if item.if_exists is IfExists.REPLACE:
            return None
        raise ConflictError(
            f"{item.target.s3_uri} is published with {path.stat().st_size} bytes and would now "
            f"get {size}; give the new file another name or version"
        )
    digest = item.sha256
    if digest is None:
        digest = _digest_of_source(item)
    if item.if_exists is IfExists.REPLACE and sha256_of_file(path) != digest:
        return None
    return _same_or_conflict(item, path, digest)


def _digest_of_source(item: Upload) -> str:
    if isinstance(item.source, bytes):
        return hashlib.sha256(item.source).hexdigest()
    return sha256_of_file(item.source)


def _same_or_conflict(item: Upload, path: Path, digest: str) -> Transfer:
    """SAME when ``path`` holds bytes of this digest; ConflictError otherwise."""
    present = sha256_of_file(path)
    if present != digest:
        raise ConflictError(
            f"{item.target.s3_uri} is published with SHA-256 {present} and would now get "
            f"{digest}; give the new file another name or version"
        )
    return Transfer(item.target, Outcome.SAME, path.stat().st_size, digest)
