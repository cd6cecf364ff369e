"""Objects that are sent in parts, in parallel, and appear when the last one is there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeAlias

from therock_outputs.errors import OutputsError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import IfExists
from therock_outputs.storage.files import content_type_of
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.client import S3Client

__all__ = [
    "MultipartUpload",
    "Part",
    "condition_of",
    "headers_of",
    "multipart_upload",
    "parts_of",
    "sending",
]

_LOG = logging.getLogger(__name__)

Part: TypeAlias = tuple[int, int, int]
"""Number, from 1; first byte; the one after the last."""

_MAX_PARTS = 10_000


def parts_of(size: int, part_size: int) -> list[Part]:
    """The parts of an object of ``size`` bytes, larger ones where there would be too many."""
    step = max(part_size, -(-size // _MAX_PARTS))
    starts = range(0, size, step)
    return [(number, start, min(start + step, size)) for number, start in enumerate(starts, 1)]


def headers_of(
    target: StorageLocation, content_type: str | None, digest: str | None
) -> dict[str, Any]:
    """What is stored with an object: its type, and its digest for later comparisons."""
    headers: dict[str, Any] = {"ContentType": content_type or content_type_of(target.key)}
    if digest is not None:
        headers["Metadata"] = {"sha256": digest}
    return headers


def condition_of(if_exists: IfExists) -> dict[str, str]:
    """The condition under which an object may be created."""
    return {"IfNoneMatch": "*"} if if_exists is IfExists.SAME else {}


class MultipartUpload:
    """An object that is sent in parts and appears when all are there."""

    def __init__(self, client: S3Client, target: StorageLocation, headers: dict[str, Any]) -> None:
        self._client = client
        self.target = target
        answer = client.call("create_multipart_upload", target, Key=target.key, **headers)
        self.upload_id: str = answer["UploadId"]
        self._parts: dict[int, str] = {}

    def put(self, number: int, data: bytes, stop: Stop) -> None:
        """Send one part; numbers begin at 1."""
        answer = self._client.call(
            "upload_part",
            self.target,
            stop,
            Key=self.target.key,
            UploadId=self.upload_id,
            PartNumber=number,
            Body=data,
        )
        self._parts[number] = answer["ETag"]

    def add(self, number: int, etag: str) -> None:
        """Count a part that the server has by other means."""
        self._parts[number] = etag

    def complete(self, if_exists: IfExists, stop: Stop) -> None:
        """Make the object visible; ConditionFailed when its name is taken."""
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in sorted(self._parts.items())]
        self._client.call(
            "complete_multipart_upload",
            self.target,
            stop,
            Key=self.target.key,
            UploadId=self.upload_id,
            MultipartUpload={"Parts": parts},
            **condition_of(if_exists),
        )

    def abort(self) -> None:
        """Have the server forget the parts, which it would charge for."""
        try:
            self._client.call(
                "abort_multipart_upload",
                self.target,
                Key=self.target.key,
                UploadId=self.upload_id,
            )
        except OutputsError as error:
            _LOG.warning("an unfinished upload is left behind: %s", error)


@contextmanager
def multipart_upload(
    client: S3Client, target: StorageLocation, headers: dict[str, Any]
) -> Iterator[MultipartUpload]:
    """A new upload in parts, which is given up when the block fails."""
    upload = MultipartUpload(client, target, headers)
    try:
        yield upload
    except BaseException:
        upload.abort()
        raise


@contextmanager
def sending(
    pool: ThreadPoolExecutor, send: Callable[[Part], None], parts: Sequence[Part]
) -> Iterator[None]:
    """Send parts on the pool's threads while the block runs; all are done afterwards.

    When the block or a part fails, what has not begun is not sent.
    """
    futures = [pool.submit(send, part) for part in parts]
    try:
        yield
        for future in futures:
            future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
