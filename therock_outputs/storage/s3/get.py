"""Reading an object's bytes into memory that is used again and again.

boto3's own body copies every byte several times on its way; over a fast network or a loopback
that, not the network, limits a transfer. So wire.py fetches what direct.py, or boto3, signed.
Whatever is out of the ordinary, a proxy or a redirect, goes through boto3.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.failures import ObjectChanged, Refusal
from therock_outputs.storage.s3.wire import Answer, BadAnswerError, Connection

if TYPE_CHECKING:
    from therock_outputs.storage.s3.client import S3Client
    from therock_outputs.storage.s3.direct import Target

__all__ = ["Body", "Elsewhere", "RangeReader", "answer_of", "body_from_headers", "connect"]

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_ERROR_FIELD = re.compile(r"<(Code|Message|Region)>([^<]*)</")
_ERROR_LIMIT = 64 << 10
_GOOD = frozenset({200, 206})


# Answers to a signature for the wrong region.
_OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_REDIRECTS = frozenset({301, 307})


class Elsewhere(Exception):  # noqa: N818 - not an error yet
    """The server wants this asked of another one."""


@dataclass(frozen=True, slots=True)
class Body:
    """An answer whose bytes are still on their way."""

    size: int
    """Of the whole object, in bytes."""
    start: int
    """Where in the object this body begins: 0 when the server ignored the range."""
    etag: str
    sha256: str | None
    """The digest that the object's uploader noted."""
    read_into: Callable[[memoryview], int]
    """Fill memory from the body; the number of bytes, 0 at the end or at a broken connection."""


class RangeReader:
    """Ranges of objects over connections that stay open, one for each thread."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    @contextmanager
    def open(
        self, location: StorageLocation, start: int, end: int | None, etag: str | None = None
    ) -> Iterator[Body]:
        """The bytes from ``start`` to before ``end`` (None: to the last one).

        Raises REQUEST_ERRORS, still to be judged by ``can_pass``, and ObjectChanged when the
        object's ETag is no longer ``etag``. The body may hold more than was asked for where a
        server knows no ranges, and end early where a connection breaks.
        """
        whole = start == 0 and end is None
        headers = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if etag:
            headers["If-Match"] = f'"{etag}"'
        with self.get(location, headers) as body:
            # rclone ignores If-Match.
            if etag and body.etag != etag:
                raise ObjectChanged
            yield body

    @contextmanager
    def get(self, location: StorageLocation, headers: dict[str, str]) -> Iterator[Body]:
        """The answer to a GET with these headers besides the signature."""
        target = self._client.target(location)
        if target is None:
            with self._client.boto.get(location, headers) as body:
                yield body
            return
        connection = self._connection(target)
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(answer_of(connection, target, headers))
            except Elsewhere:
                # boto3 knows how to find the bucket's region, and remembers it.
                yield stack.enter_context(self._client.boto.get(location, headers))
            else:
                yield body_from_headers(answer.headers.get, answer.length, answer.read_into)

    def _connection(self, target: Target) -> Connection:
        """This thread's connection to a server."""
        mine: dict[tuple[str, str, int | None], Connection]
        mine = self._local.__dict__.setdefault("connections", {})
        key = (target.scheme, target.host, target.port)
        if key not in mine:
            mine[key] = connect(self._client, target)
            with self._lock:
                self._connections.append(mine[key])
        return mine[key]


def connect(client: S3Client, target: Target) -> Connection:
    """A connection to a server, which opens with the first request."""
    settings = client.settings
    return Connection(
        target.scheme,
        target.host,
        target.port,
        settings.connect_timeout,
        settings.read_timeout,
        client.ca_bundle,
    )


@contextmanager
def answer_of(connection: Connection, target: Target, headers: dict[str, str]) -> Iterator[Answer]:
    """A good answer to a GET; Refusal, or Elsewhere, when it is not good."""
    with connection.get(target.path, {**target.headers, **headers}) as answer:
        if answer.status not in _GOOD:
            raise _refusal_of(answer)
        yield answer


def body_from_headers(
    header: Callable[[str], str | None],
    length: int | None,
    read_into: Callable[[memoryview], int],
) -> Body:
    """A body by its headers. RFC 9110, 14.4: ``Content-Range: bytes first-last/size``."""
    if length is None:
        # Without a length a body that was cut short could not be told from a whole one.
        raise BadAnswerError("the answer has no Content-Length")
    start, size = 0, length
    content_range = header("content-range")
    if content_range is not None:
        match = _CONTENT_RANGE.fullmatch(content_range.strip())
        if match is None:
            raise BadAnswerError(f"Content-Range {content_range!r} makes no sense")
        start, size = int(match[1]), int(match[2])
    etag = (header("etag") or "").strip('"')
    return Body(size, start, etag, header("x-amz-meta-sha256"), read_into)


def _refusal_of(answer: Answer) -> Refusal | Elsewhere:
    """What an answer other than a good one says."""
    fields = dict(_ERROR_FIELD.findall(answer.read(_ERROR_LIMIT).decode("utf-8", "replace")))
    region = answer.headers.get("x-amz-bucket-region") or fields.get("Region", "")
    code = fields.get("Code", str(answer.status))
    if answer.status in _REDIRECTS or code in _OTHER_REGION:
        return Elsewhere()
    return Refusal(answer.status, code, fields.get("Message", answer.reason), region)
