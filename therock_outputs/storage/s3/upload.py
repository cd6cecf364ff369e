"""Putting files into a bucket: whole or not at all, and never over other published bytes."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.storage.base import IfExists, Outcome, Progress, Transfer, Upload
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.local_io import os_errors, version_of
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.client import ConditionFailed, S3Client
from therock_outputs.storage.s3.compare import conflict, difference
from therock_outputs.storage.s3.multipart import (
    MultipartUpload,
    Part,
    condition_of,
    headers_of,
    multipart_upload,
    parts_of,
    sending,
)

__all__ = ["Uploader"]


@dataclass(frozen=True, slots=True)
class _Source:
    """The bytes of one upload and what they must be to the end."""

    item: Upload
    size: int
    digest: str
    data: bytes | None
    """All of it when it is small; None: it is read in parts."""
    version: str

    def transfer(self, outcome: Outcome) -> Transfer:
        return Transfer(self.item.target, outcome, self.size, self.digest)


class Uploader:
    """The uploads of one call: files in parallel, and parts of large ones."""

    def __init__(
        self, client: S3Client, parts: ThreadPoolExecutor, progress: Progress | None
    ) -> None:
        self._client = client
        self._parts = parts
        self._progress = progress

    def upload(self, item: Upload, stop: Stop) -> Transfer:
        """Put one file unless the same bytes are there already."""
        source = self._examine(item)
        with self._client.turn(item.target):
            return self._create(source, stop)

    def _create(self, source: _Source, stop: Stop) -> Transfer:
        item = source.item
        stored = self._client.head(item.target, stop)
        if stored is not None:
            present = difference(self._client, stored, source.size, source.digest, stop)
            if present is None:
                return source.transfer(Outcome.SAME)
            if item.if_exists is IfExists.SAME:
                raise conflict(item.target, present, f"SHA-256 {source.digest}")
        outcome = Outcome.WRITTEN
        try:
            self._put(source, stop)
        except ConditionFailed:
            # Somebody was faster, or the answer to our own success was lost.
            outcome = Outcome.SAME
        known = outcome is Outcome.WRITTEN and self._client.honours_conditions
        if item.if_exists is IfExists.SAME and not known:
            self._require_ours(source, stop)
        return source.transfer(outcome)

    def _examine(self, item: Upload) -> _Source:
        """Read a small source, hash a large one whose digest is not known."""
        if isinstance(item.source, bytes):
            return _small(item, item.source, "")
        with os_errors(f"{item.source} cannot be uploaded to {item.target.s3_uri}"):
            status = item.source.stat()
            version = version_of(status)
            if status.st_size <= self._client.settings.multipart_threshold:
                return _small(item, item.source.read_bytes(), version)
            digest = item.sha256 or sha256_of_file(item.source)
        return _Source(item, status.st_size, digest, None, version)

    def _put(self, source: _Source, stop: Stop) -> None:
        headers = headers_of(source.item.target, source.item.content_type, source.digest)
        if source.data is None:
            self._put_parts(source, headers, stop)
            return
        self._client.call(
            "put_object",
            source.item.target,
            stop,
            Key=source.item.target.key,
            Body=source.data,
            **headers,
            **condition_of(source.item.if_exists),
        )
        if self._progress is not None:
            self._progress(source.item.target.name, source.size)

    def _put_parts(self, source: _Source, headers: dict[str, Any], stop: Stop) -> None:
        path = source.item.source
        assert isinstance(path, Path)  # noqa: S101 - bytes are never sent in parts
        parts = parts_of(source.size, self._client.settings.part_size)
        with (
            multipart_upload(self._client, source.item.target, headers) as upload,
            os_errors(f"{path} cannot be uploaded to {source.item.target.s3_uri}"),
        ):

            def send(part: Part) -> None:
                self._put_part(upload, path, part, stop)

            with sending(self._parts, send, parts):
                if source.item.sha256 is not None:
                    # It was taken on trust until here, to hash while others send.
                    _require_digest(source.item, sha256_of_file(path))
            if version_of(path.stat()) != source.version:
                raise IntegrityError(
                    f"{path} changed while it was uploaded to {source.item.target.s3_uri}; "
                    "upload it again when it is finished"
                )
            upload.complete(source.item.if_exists, stop)

    def _put_part(self, upload: MultipartUpload, path: Path, part: Part, stop: Stop) -> None:
        stop.check()
        number, start, end = part
        with path.open("rb", buffering=0) as stream:
            data = os.pread(stream.fileno(), end - start, start)
        if len(data) != end - start:
            raise IntegrityError(
                f"{path} became shorter while it was uploaded to {upload.target.s3_uri}; "
                "upload it again when it is finished"
            )
        upload.put(number, data, stop)
        if self._progress is not None:
            self._progress(upload.target.name, len(data))

    def _require_ours(self, source: _Source, stop: Stop) -> None:
        """Check that what stands is what was sent, where the server may not have checked."""
        target = source.item.target
        stored = self._client.head(target, stop)
        if stored is None:
            raise NotFoundError(
                f"{target.s3_uri} vanished after it was uploaded; "
                "make sure that nobody else removes it, and upload it again"
            )
        present = difference(self._client, stored, source.size, source.digest, stop)
        if present is not None:
            raise conflict(target, present, f"SHA-256 {source.digest}")


def _small(item: Upload, data: bytes, version: str) -> _Source:
    digest = hashlib.sha256(data).hexdigest()
    _require_digest(item, digest)
    return _Source(item, len(data), digest, data, version)


def _require_digest(item: Upload, actual: str) -> None:
    if item.sha256 is not None and actual != item.sha256:
        name = "the content" if isinstance(item.source, bytes) else item.source
        raise IntegrityError(
            f"{name} has SHA-256 {actual} but {item.sha256} was expected; make it again before "
            f"it goes to {item.target.s3_uri}"
        )
