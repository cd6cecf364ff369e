"""The S3 backend: what each method of the interface asks of the server.

What writes is imported when it is used: a fetch does without.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import (
    Download,
    IfExists,
    ObjectInfo,
    Progress,
    Storage,
    Transfers,
    Upload,
)
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.s3.client import ConditionFailed, S3Client
from therock_outputs.storage.s3.compare import stored_sha256
from therock_outputs.storage.s3.download import download_all
from therock_outputs.storage.s3.listing import list_objects
from therock_outputs.storage.s3.settings import S3Settings
from therock_outputs.storage.s3.stream import ObjectStream

__all__ = ["S3Storage"]

# How often a shared file is read and changed anew before other writers are too many.
_UPDATE_ATTEMPTS = 50


class S3Storage(Storage):
    """Objects in S3's buckets, or in those of the server at ``AWS_ENDPOINT_URL_S3``.

    Requests carry a signature when boto3 finds credentials and none otherwise. Nothing is
    connected before the first request.
    """

    def __init__(self, settings: S3Settings | None = None) -> None:
        self.settings = settings or S3Settings()
        self._client = S3Client(self.settings)

    def list(self, prefix: StorageLocation) -> Iterator[ObjectInfo]:
        """Objects whose key starts with ``prefix.key``, by key."""
        return list_objects(self._client, prefix)

    def stat(self, location: StorageLocation) -> ObjectInfo | None:
        """The object, or None when there is none."""
        stored = self._client.head(location)
        return None if stored is None else stored.info

    @contextmanager
    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> Iterator[BinaryIO]:
        """A stream over the object's bytes that goes on where a broken connection stopped."""
        end = None if length is None else start + length
        with io.BufferedReader(ObjectStream(self._client, location, start, end)) as stream:
            yield stream

    @property
    def holds_directory_pages(self) -> bool:
        """Whether a key may end in ``/``: here it may."""
        return True

    @property
    def honours_conditions(self) -> bool:
        """Whether the server has refused a write by its condition, which shows that it can."""
        return self._client.honours_conditions

    def sha256(self, location: StorageLocation) -> str:
        """The digest of an object's bytes, as its uploader noted it or by reading all of it."""
        stored = self._client.head(location)
        if stored is None:
            raise NotFoundError(f"{location.s3_uri} is not there; check the run and the name")
        return stored_sha256(self._client, stored, Stop())

    def download(
        self,
        downloads: Sequence[Download],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Fetch objects in parallel; large ones in ranges, resumed after an interruption."""
        return download_all(self._client, downloads, jobs or self.settings.jobs, progress)

    def upload(
        self,
        uploads: Sequence[Upload],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Put files in parallel; large ones in parts."""
        from therock_outputs.storage.s3.upload import Uploader  # noqa: PLC0415

        threads = jobs or self.settings.jobs
        with ThreadPoolExecutor(threads, thread_name_prefix="part") as parts:
            uploader = Uploader(self._client, parts, progress)
            return run_parallel(uploader.upload, uploads, threads)

    def copy(
        self,
        copies: Iterable[tuple[StorageLocation, StorageLocation]],
        *,
        if_exists: IfExists = IfExists.SAME,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Have the server copy objects; large ones in parts."""
        from therock_outputs.storage.s3.copy import Copier  # noqa: PLC0415

        threads = jobs or self.settings.jobs
        with ThreadPoolExecutor(threads, thread_name_prefix="part") as parts:
            copier = Copier(self._client, parts, if_exists, progress)
            return run_parallel(copier.copy, copies, threads)

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        """Change a shared file by compare-and-swap on its ETag.

        A server that ignores conditions is asked what it holds after each write until that is
        what was written, so ``change`` may see bytes that hold its change already.
        """
        with self._client.turn(location):
            stop = Stop()
            for attempt in range(1, _UPDATE_ATTEMPTS + 1):
                old, etag = self._read_version(location)
                new = change(old)
                if new == old or self._swap(location, new, etag, content_type, stop):
                    return new
                self.settings.retry.pause(min(attempt, 4), stop)
        raise ConflictError(
            f"{location.s3_uri} was changed by others {_UPDATE_ATTEMPTS} times in a row; "
            "try again when fewer write to it"
        )

    def _swap(
        self,
        location: StorageLocation,
        new: bytes,
        etag: str | None,
        content_type: str | None,
        stop: Stop,
    ) -> bool:
        """Write if the file is still of version ``etag`` (None: absent); whether it stands."""
        from therock_outputs.storage.s3.multipart import headers_of  # noqa: PLC0415

        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": f'"{etag}"'}
        digest = hashlib.sha256(new).hexdigest()
        try:
            self._client.call(
                "put_object",
                location,
                stop,
                Key=location.key,
                Body=new,
                **headers_of(location, content_type, digest),
                **condition,
            )
        except (ConditionFailed, NotFoundError):  # changed, or removed, by another writer
            return False
        return self._client.honours_conditions or self._read_version(location)[0] == new

    def _read_version(self, location: StorageLocation) -> tuple[bytes | None, str | None]:
        """The object's bytes and their ETag; None and None when there is none."""
        try:
            with ObjectStream(self._client, location, 0, None) as stream:
                return stream.readall(), stream.etag
        except NotFoundError:
            return None, None

    def delete(self, location: StorageLocation) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            self._client.call("delete_object", location, Key=location.key)
        except NotFoundError:
            return
