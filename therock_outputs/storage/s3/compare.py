"""Whether a stored object holds certain bytes: by digest, never by size or date alone."""

from __future__ import annotations

import hashlib
import logging

from therock_outputs.errors import ConflictError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.client import S3Client, S3Object
from therock_outputs.storage.s3.failures import Truncated

__all__ = ["conflict", "difference", "stored_sha256"]

_LOG = logging.getLogger(__name__)

_BLOCK = 1 << 20


def stored_sha256(client: S3Client, stored: S3Object, stop: Stop) -> str:
    """The digest of a stored object: as its uploader noted it, else by reading all of it."""
    if stored.sha256 is not None:
        return stored.sha256
    location = stored.info.location
    _LOG.info("%s carries no SHA-256; reading it to compare", location.s3_uri)

    def attempt() -> str:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_BLOCK))
        with client.boto.get(location, {}) as body:
            left = body.size
            while left:
                stop.check()
                count = body.read_into(buffer[: min(left, _BLOCK)])
                if not count:
                    raise Truncated(f"the answer ended {left} bytes early")
                digest.update(buffer[:count])
                left -= count
        return digest.hexdigest()

    return client.retried(attempt, "get_object", location, stop)


def difference(
    client: S3Client, stored: S3Object, size: int, digest: str, stop: Stop
) -> str | None:
    """What a stored object holds instead of these bytes, for a message; None: the same."""
    if stored.info.size != size:
        return f"{stored.info.size} bytes"
    present = stored_sha256(client, stored, stop)
    return None if present == digest else f"SHA-256 {present}"


def conflict(target: StorageLocation, present: str, wanted: str) -> ConflictError:
    """The error for other bytes under a published name."""
    return ConflictError(
        f"{target.s3_uri} is published with {present} and would now get {wanted}; "
        "give the new file another name or version"
    )
