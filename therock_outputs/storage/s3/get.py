"""Reading an object's bytes: requests signed by boto3, bodies received into reused memory.

boto3's own body copies every byte several times on its way; over a fast network or a
loopback that, not the network, limits a transfer. So boto3 makes the signed URL and http.client
fetches it. Whatever is out of the ordinary (a proxy, a redirect) goes through boto3.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from botocore.exceptions import ClientError

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.client import S3Client

__all__ = ["Body", "ObjectChangedError", "RangeReader", "through_boto3"]

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_ERROR_FIELD = re.compile(r"<(Code|Message|Region)>([^<]*)</")
_ERROR_LIMIT = 64 << 10


class ObjectChangedError(Exception):
    """The object is not the one whose first bytes were read."""


@dataclass(frozen=True, slots=True)
class Body:
    """An answer whose bytes are still on their way."""

    size: int
    """Of the whole object, in bytes."""
    length: int
    """Of this body, in bytes."""
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
        self._connections: list[http.client.HTTPConnection] = []

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

        Raises ClientError and the errors of connections, all still to be judged by
        ``can_pass``; ObjectChangedError when the object's ETag is no longer ``etag``. The body
        may hold more than was asked for where a server knows no ranges, and end early where a
        connection breaks.
        """
        whole = start == 0 and end is None
        headers = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if etag:
            headers["If-Match"] = f'"{etag}"'
        with self._request(location, headers) as body:
            # rclone ignores If-Match.
            if etag and body.etag != etag:
                raise ObjectChangedError
            yield body

    @contextmanager
    def _request(self, location: StorageLocation, headers: dict[str, str]) -> Iterator[Body]:
        url = urlsplit(
            self._client.raw.generate_presigned_url(
                "get_object", Params={"Bucket": location.bucket, "Key": location.key}
            )
        )
        if _proxied(url):
            with through_boto3(self._client, location, headers) as body:
                yield body
            return
        connection = self._connection(url)
        complete = False
        try:
            target = f"{url.path}?{url.query}" if url.query else url.path
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status in {301, 307}:
                # boto3 knows how to find the bucket's region, and remembers it.
                with through_boto3(self._client, location, headers) as body:
                    yield body
                return
            if response.status not in {200, 206}:
                raise _as_client_error(response)
            yield _body(response)
            complete = response.isclosed()
        finally:
            if not complete:
                connection.close()  # http.client opens it again for the next request

    def _connection(self, url: SplitResult) -> http.client.HTTPConnection:
        """This thread's connection to a server."""
        mine: dict[str, http.client.HTTPConnection] = self._local.__dict__
        key = f"{url.scheme}://{url.netloc}"
        if key not in mine:
            settings = self._client.settings
            host = url.hostname or ""
            if url.scheme == "https":
                context = ssl.create_default_context(cafile=self._client.ca_bundle)
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, url.port, timeout=settings.read_timeout, context=context
                )
            else:
                connection = http.client.HTTPConnection(
                    host, url.port, timeout=settings.read_timeout
                )
            with self._lock:
                self._connections.append(connection)
            mine[key] = connection
        return mine[key]


@contextmanager
def through_boto3(
    client: S3Client, location: StorageLocation, headers: dict[str, str]
) -> Iterator[Body]:
    """The same answer by boto3's own means; its connections outlive the request."""
    parameters: dict[str, Any] = {name.replace("-", ""): value for name, value in headers.items()}
    answer = client.raw.get_object(Bucket=location.bucket, Key=location.key, **parameters)
    stream = answer["Body"]

    def read_into(view: memoryview) -> int:
        data = stream.read(len(view))
        view[: len(data)] = data
        return len(data)

    metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    try:
        yield _describe(
            answer.get("ContentRange"),
            answer["ContentLength"],
            answer.get("ETag"),
            metadata.get("sha256"),
            read_into,
        )
    finally:
        stream.close()


def _proxied(url: SplitResult) -> bool:
    """Whether the environment sends requests to this server through a proxy."""
    proxies = urllib.request.getproxies()
    if url.scheme not in proxies:
        return False
    return not urllib.request.proxy_bypass(url.hostname or "")


def _body(response: http.client.HTTPResponse) -> Body:
    """A good answer of http.client's."""
    if response.length is None:
        # Without a length a body that was cut short could not be told from a whole one.
        raise http.client.HTTPException("the answer has no Content-Length")
    return _describe(
        response.headers.get("Content-Range"),
        response.length,
        response.headers.get("ETag"),
        response.headers.get("x-amz-meta-sha256"),
        response.readinto,
    )


def _describe(
    content_range: str | None,
    length: int,
    etag: str | None,
    sha256: str | None,
    read_into: Callable[[memoryview], int],
) -> Body:
    """A body by its headers. RFC 9110, 14.4: ``Content-Range: bytes first-last/size``."""
    start, size = 0, length
    if content_range is not None:
        match = _CONTENT_RANGE.fullmatch(content_range.strip())
        if match is None:
            raise http.client.HTTPException(f"Content-Range {content_range!r} makes no sense")
        start, size = int(match[1]), int(match[2])
    return Body(size, length, start, (etag or "").strip('"'), sha256, read_into)


def _as_client_error(response: http.client.HTTPResponse) -> ClientError:
    """A refusal in the form that boto3 gives it."""
    text = response.read(_ERROR_LIMIT).decode("utf-8", "replace")
    error: dict[str, Any] = {"Code": str(response.status), "Message": response.reason}
    error.update(_ERROR_FIELD.findall(text))
    metadata = {
        "HTTPStatusCode": response.status,
        "HTTPHeaders": {name.lower(): value for name, value in response.getheaders()},
    }
    return ClientError({"Error": error, "ResponseMetadata": metadata}, "GetObject")
