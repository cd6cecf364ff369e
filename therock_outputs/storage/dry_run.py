# ruff: noqa: ARG002 - a plan has no use for jobs or progress, but the interface has them
"""A dry run over another backend: it reads what is there and only notes what it would write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation
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
from therock_outputs.storage.local_io import os_errors

__all__ = ["DryRunStorage"]


class DryRunStorage(Storage):
    """Reads pass through to ``inner``; whatever would write, a download too, becomes a plan.

    ``planned`` grows by each of them in the order of the calls. Nothing that is planned shows
    in later reads.
    """

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.planned: list[Transfer] = []
        self._lock = threading.Lock()

    def list(self, prefix: StorageLocation) -> Iterator[ObjectInfo]:
        """Objects whose key starts with ``prefix.key``, by key."""
        return self.inner.list(prefix)

    def stat(self, location: StorageLocation) -> ObjectInfo | None:
        """The object, or None when there is none."""
        return self.inner.stat(location)

    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """A stream over the object's bytes."""
        return self.inner.open(location, start, length)

    @property
    def holds_directory_pages(self) -> bool:
        """Whether a key may end in ``/``."""
        return self.inner.holds_directory_pages

    def sha256(self, location: StorageLocation) -> str:
        """The digest of an object's bytes."""
        return self.inner.sha256(location)

    def download(
        self,
        downloads: Sequence[Download],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Plan downloads; NotFoundError for what is not there to be fetched."""
        return [self.plan(item.source, self._size(item.source)) for item in downloads]

    def upload(
        self,
        uploads: Sequence[Upload],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Plan uploads; NotFoundError for a source that is not there."""
        return [self.plan(item.target, _source_size(item)) for item in uploads]

    def copy(
        self,
        copies: Iterable[tuple[StorageLocation, StorageLocation]],
        *,
        if_exists: IfExists = IfExists.SAME,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Plan copies; NotFoundError for a source that is not there."""
        return [self.plan(target, self._size(source)) for source, target in copies]

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        """What the change would make of the file as it is now."""
        new = change(self.inner.read(location) if self.inner.exists(location) else None)
        self.plan(location, len(new))
        return new

    def delete(self, location: StorageLocation) -> None:
        """Plan a removal, noted with size 0, of an object that is there."""
        if self.inner.exists(location):
            self.plan(location, 0)

    def plan(self, location: StorageLocation, size: int) -> Transfer:
        """Note that ``location`` would get ``size`` bytes."""
        transfer = Transfer(location, Outcome.PLANNED, size, None)
        with self._lock:
            self.planned.append(transfer)
        return transfer

    def _size(self, location: StorageLocation) -> int:
        info = self.inner.stat(location)
        if info is None:
            raise NotFoundError(f"{location.s3_uri} is not there; check the run and the name")
        return info.size


def _source_size(item: Upload) -> int:
    if isinstance(item.source, bytes):
        return len(item.source)
    with os_errors(f"{item.source} cannot be uploaded to {item.target.s3_uri}"):
        return item.source.stat().st_size
