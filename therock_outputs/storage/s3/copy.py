"""Copying objects inside S3: the server moves the bytes, in parts where they are many."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from therock_outputs.errors import NotFoundError, StorageError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import IfExists, Outcome, Progress, Transfer
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.client import ConditionFailed, S3Client, S3Object
from therock_outputs.storage.s3.compare import conflict, stored_sha256
from therock_outputs.storage.s3.failures import Truncated
from therock_outputs.storage.s3.multipart import (
    MultipartUpload,
    Part,
    condition_of,
    headers_of,
    multipart_upload,
    parts_of,
    sending,
)
from therock_outputs.storage.s3.wire import BadAnswerError

__all__ = ["Copier"]

_LOG = logging.getLogger(__name__)

_MD5 = re.compile("[0-9a-f]{32}")


class _NoPartCopyError(Exception):
    """The server answered a part copy without the ETag that completing it would need."""


class Copier:
    """The copies of one call: objects in parallel, and parts of large ones."""

    def __init__(
        self,
        client: S3Client,
        parts: ThreadPoolExecutor,
        if_exists: IfExists,
        progress: Progress | None,
    ) -> None:
        self._client = client
        self._parts = parts
        self._if_exists = if_exists
        self._progress = progress

    def copy(self, pair: tuple[StorageLocation, StorageLocation], stop: Stop) -> Transfer:
        """Copy one object unless the same bytes are there already."""
        location, target = pair
        source = self._client.head(location, stop)
        if source is None:
            raise NotFoundError(f"{location.s3_uri} is not there; check the run and the name")
        size = source.info.size
        stored = self._client.head(target, stop)
        if stored is not None:
            present = self._difference(source, stored, stop)
            if present is None:
                return Transfer(target, Outcome.SAME, size, None)
            if self._if_exists is IfExists.SAME:
                raise conflict(target, present, f"the {size} bytes of {location.s3_uri}")
        outcome = Outcome.WRITTEN
        try:
            self._transfer(source, target, stop)
        except ConditionFailed:
            outcome = Outcome.SAME  # somebody was faster, which is fine with the same bytes
        self._require_copied(source, target, stop)
        if self._progress is not None:
            self._progress(target.name, size)
        return Transfer(target, outcome, size, None)

    def _difference(self, source: S3Object, stored: S3Object, stop: Stop) -> str | None:
        """What ``stored`` holds instead of the source's bytes, for a message; None: the same."""
        if stored.info.size != source.info.size:
            return f"{stored.info.size} bytes"
        if _is_md5(source.info.etag) and source.info.etag == stored.info.etag:
            return None
        present = stored_sha256(self._client, stored, stop)
        wanted = stored_sha256(self._client, source, stop)
        return None if present == wanted else f"SHA-256 {present}"

    def _require_copied(self, source: S3Object, target: StorageLocation, stop: Stop) -> None:
        """Check what stands, since most servers ignore the conditions of a copy.

        Without digests on both sides the size has to do: the server moved the bytes itself,
        and reading them all back would cost more than the copy.
        """
        stored = self._client.head(target, stop)
        if stored is None:
            raise NotFoundError(
                f"{target.s3_uri} vanished after it was copied; make sure that nobody else "
                "removes it, and copy it again"
            )
        if stored.info.size != source.info.size:
            size = f"{stored.info.size} bytes"
            raise conflict(target, size, f"the {source.info.size} bytes of a copy")
        if source.sha256 and stored.sha256 and source.sha256 != stored.sha256:
            raise conflict(target, f"SHA-256 {stored.sha256}", f"SHA-256 {source.sha256}")
        tags = (source.info.etag, stored.info.etag)
        if _is_md5(tags[0]) and _is_md5(tags[1]) and tags[0] != tags[1] and not source.sha256:
            raise conflict(target, f"MD5 {tags[1]}", f"MD5 {tags[0]}")

    def _transfer(self, source: S3Object, target: StorageLocation, stop: Stop) -> None:
        if source.info.size <= self._client.settings.copy_part_threshold:
            self._copy_whole(source, target, stop)
            return
        try:
            self._copy_parts(source, target, stop)
        except _NoPartCopyError:
            _LOG.info("%s: this server copies no parts", self._client.caller.endpoint)
            try:
                self._copy_whole(source, target, stop)
            except StorageError as error:
                _LOG.info("%s: %s; the bytes go through this machine", target.s3_uri, error)
                self._stream_parts(source, target, stop)

    def _copy_whole(self, source: S3Object, target: StorageLocation, stop: Stop) -> None:
        condition = condition_of(self._if_exists)
        if not self._client.boto.supports("CopyObject", "IfNoneMatch"):
            condition = {}  # a boto3 from before S3 learned it
        self._client.call(
            "copy_object", target, stop, Key=target.key, **_copy_source(source), **condition
        )

    def _copy_parts(self, source: S3Object, target: StorageLocation, stop: Stop) -> None:
        def send(upload: MultipartUpload, part: Part) -> None:
            stop.check()
            number, start, end = part
            answer = self._client.call(
                "upload_part_copy",
                target,
                stop,
                Key=target.key,
                UploadId=upload.upload_id,
                PartNumber=number,
                CopySourceRange=f"bytes={start}-{end - 1}",
                **_copy_source(source),
            )
            etag = answer.get("CopyPartResult", {}).get("ETag")
            if not etag:
                raise _NoPartCopyError
            upload.add(number, etag)

        self._in_parts(source, target, self._client.settings.copy_part_size, send, stop)

    def _stream_parts(self, source: S3Object, target: StorageLocation, stop: Stop) -> None:
        """Read and send part by part: as much memory as there are threads, times a part."""

        def send(upload: MultipartUpload, part: Part) -> None:
            number, start, end = part
            location = source.info.location
            data = self._client.retried(
                lambda: self._read(source, start, end, stop), "get_object", location, stop
            )
            upload.put(number, data, stop)

        self._in_parts(source, target, self._client.settings.part_size, send, stop)

    def _in_parts(
        self,
        source: S3Object,
        target: StorageLocation,
        part_size: int,
        send: Callable[[MultipartUpload, Part], None],
        stop: Stop,
    ) -> None:
        """Make the target from parts, each of them brought by ``send``."""
        headers = headers_of(target, source.content_type, source.sha256)
        with multipart_upload(self._client, target, headers) as upload:
            parts = parts_of(source.info.size, part_size)
            with sending(self._parts, partial(send, upload), parts):
                pass
            upload.complete(self._if_exists, stop)

    def _read(self, source: S3Object, start: int, end: int, stop: Stop) -> bytes:
        """A range of the version of the source that was looked at first."""
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": f'"{source.info.etag}"'}
        data = bytearray(end - start)
        filled = 0
        with self._client.boto.get(source.info.location, headers) as body:
            if body.start != start or body.etag != source.info.etag:
                raise BadAnswerError("another range or version than asked for")
            while filled < len(data):
                stop.check()
                count = body.read_into(memoryview(data)[filled:])
                if not count:
                    raise Truncated(f"the answer ended {len(data) - filled} bytes early")
                filled += count
        return bytes(data)


def _copy_source(source: S3Object) -> dict[str, Any]:
    """The source in the server's terms, and that it must still be the version looked at."""
    location = source.info.location
    named: dict[str, Any] = {"CopySource": {"Bucket": location.bucket, "Key": location.key}}
    if source.info.etag:
        named["CopySourceIfMatch"] = f'"{source.info.etag}"'
    return named


def _is_md5(etag: str | None) -> bool:
    """Whether an ETag has the form of a digest of the bytes, not of parts."""
    return etag is not None and _MD5.fullmatch(etag) is not None
