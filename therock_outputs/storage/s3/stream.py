"""One object as a stream that goes on where a broken connection stopped."""

from __future__ import annotations

import io
import logging
from contextlib import ExitStack

from therock_outputs.errors import IntegrityError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.client import S3Client
from therock_outputs.storage.s3.errors import explain
from therock_outputs.storage.s3.failures import REQUEST_ERRORS, Refusal, Truncated, can_pass
from therock_outputs.storage.s3.get import Body, RangeReader
from therock_outputs.storage.s3.wire import BadAnswerError

__all__ = ["ObjectStream"]


_LOG = logging.getLogger(__name__)


class ObjectStream(io.RawIOBase):
    """The bytes of one version of an object from ``start`` to before ``end`` (None: all).

    NotFoundError is raised when it is made, not when it is first read.
    """

    def __init__(
        self, client: S3Client, location: StorageLocation, start: int, end: int | None
    ) -> None:
        super().__init__()
        self._client = client
        self._location = location
        self._position = start
        self._end = end
        self._body: Body | None = None
        self._reader = RangeReader(client)
        self._resources = ExitStack()
        self._failures = 0
        self.etag: str | None = None
        try:
            self._begin(start)
        except BaseException:
            self.close()
            raise

    def _begin(self, start: int) -> None:
        """Ask for the first bytes."""
        while self._body is None:
            try:
                self._connect()
            except REQUEST_ERRORS as error:
                if isinstance(error, Refusal) and error.is_range:
                    self._end = start  # the object ends before the range begins
                    break
                self._recover(error)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as one answer goes; 0 at the end."""
        with memoryview(buffer) as whole, whole.cast("B") as view:
            while self._end is None or self._position < self._end:
                try:
                    body = self._body or self._connect()
                    left = (self._end or body.size) - self._position
                    count = body.read_into(view[:left])
                    if not count and len(view):
                        raise Truncated(f"the answer ended {left} bytes early")
                except REQUEST_ERRORS as error:
                    self._recover(error)
                    continue
                self._position += count
                self._failures = 0
                return count
        return 0

    def close(self) -> None:
        """Drop the connection."""
        self._resources.close()
        self._reader.close()
        super().close()

    def _connect(self) -> Body:
        """Ask for what is still missing."""
        headers = {}
        if self._position or self._end is not None:
            last = "" if self._end is None else max(self._end - 1, self._position)
            headers["Range"] = f"bytes={self._position}-{last}"
        if self.etag:
            headers["If-Match"] = f'"{self.etag}"'
        answer = self._reader.get(self._location, headers)
        body = self._resources.enter_context(answer)
        if body.start != self._position:
            raise BadAnswerError("the server sent another range than it was asked for")
        if self.etag and body.etag != self.etag:
            raise self._changed()
        self.etag = body.etag
        self._end = body.size if self._end is None else min(self._end, body.size)
        self._body = body
        return body

    def _recover(self, error: Exception) -> None:
        """Get ready for another attempt, or raise what the error means."""
        self._resources.close()
        self._body = None
        self._failures += 1
        if isinstance(error, Refusal) and error.is_condition:
            raise self._changed() from error
        retry = self._client.settings.retry
        if not can_pass(error) or self._failures >= retry.attempts:
            raise explain(error, "GetObject", self._location, self._client.caller) from error
        _LOG.info("%s: %s; going on at %d", self._location.s3_uri, error, self._position)
        retry.pause(self._failures, Stop())

    def _changed(self) -> IntegrityError:
        return IntegrityError(f"{self._location.s3_uri} changed while it was read; read it again")
