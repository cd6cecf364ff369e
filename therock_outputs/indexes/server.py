"""An HTTP server over a staging directory, which answers as S3 does for the bucket.

For pip, apt, dnf and browsers on this machine. It reads and never writes.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import socket
import socketserver
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from therock_outputs.errors import NotFoundError, OutputsError
from therock_outputs.formatting import visible
from therock_outputs.indexes.http_ranges import ByteRange, UnsatisfiableError, parse_ranges
from therock_outputs.indexes.listings import ListingEntry, ListingLink, render_listing
from therock_outputs.layout import LayoutError, StorageLocation
from therock_outputs.storage.files import content_type_of
from therock_outputs.storage.local_io import version_of

__all__ = ["StagingServer"]

_log = logging.getLogger(__name__)

# In a staging directory the buckets of runs have no directory: any of them stands for its top.
_BUCKET = "local-run"
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_IDLE = 60.0
"""Seconds after which a connection that asks nothing is closed."""


class StagingServer(ThreadingHTTPServer):
    """Serves the directory at ``url`` while ``serve_forever`` runs; each connection on a thread.

    ``port`` 0 takes a free one. NotFoundError for a directory that is not there, OutputsError
    for an address that cannot be taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, staging_dir: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        if not staging_dir.is_dir():
            raise NotFoundError(
                f"the staging directory {staging_dir} is not there; give another --staging-dir, "
                "or fill it first (./inv sample-run)"
            )
        self.staging_dir = staging_dir
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputsError(
                f"{host} port {port} cannot be served at: {reason}; give another --port or --host"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server_port}/"

    def server_bind(self) -> None:
        """Take the address. The parent would also ask name servers what it is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""
        del request
        _log.debug("a request of %s ended early", client_address, exc_info=True)


class _Refused(Exception):  # noqa: N818 - an answer
    """An answer that is only a status and a line of text."""

    def __init__(self, status: HTTPStatus, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class _File:
    """An open file and what is said of it."""

    stream: io.FileIO
    size: int
    etag: str
    modified: float
    """Seconds since the epoch."""
    content_type: str


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: StagingServer
    protocol_version = "HTTP/1.1"
    server_version = "therock-outputs"
    sys_version = ""
    timeout = _IDLE
    disable_nagle_algorithm = True  # headers and file are two writes

    def do_GET(self) -> None:
        """Send a file, a directory's page, or where the directory is."""
        try:
            self._answer()
        except _Refused as refused:
            self._send_text(refused)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - the parent's names

    def _refuse_method(self) -> None:
        self.close_connection = True  # a body may follow
        self._send_text(
            _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "this server only reads", Allow="GET, HEAD")
        )

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method  # noqa: N815

    # ----------------------------------------------------------------------- what it is

    def _answer(self) -> None:
        location = _location(self.path)
        try:
            path = location.local_path(self.server.staging_dir)
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                self._directory(location, path)
            elif stat.S_ISREG(status.st_mode) and not location.is_prefix:
                self._file(path, location)
            else:
                raise _not_found(location)
        except (LayoutError, FileNotFoundError, NotADirectoryError) as error:
            raise _not_found(location) from error
        except OSError as error:
            if isinstance(error, (ConnectionError, TimeoutError)):
                raise
            _log.warning("%s cannot be read: %s", visible(self.path), error.strerror)
            raise _Refused(HTTPStatus.FORBIDDEN, "this cannot be read") from error

    def _directory(self, location: StorageLocation, path: Path) -> None:
        if not location.is_prefix:
            _, mark, query = self.path.partition("?")
            raise _Refused(
                HTTPStatus.FOUND,
                "this is a directory",
                Location=f"/{quote(location.key)}/{mark}{query}",
            )
        index = location / "index.html"
        inside = index.local_path(self.server.staging_dir)
        if inside.is_file():
            self._file(inside, index)
        else:
            self._send_page(_listing(location, path))

    def _file(self, path: Path, location: StorageLocation) -> None:
        with path.open("rb", buffering=0) as stream:  # unbuffered, for sendfile
            status = os.fstat(stream.fileno())
            file = _File(
                stream,
                status.st_size,
                f'"{version_of(status)}"',
                int(status.st_mtime),
                _content_type(location.key),
            )
            self._send_file(file)

    # --------------------------------------------------------------------- how it is sent

    def _send_file(self, file: _File) -> None:
        if not self._is_wanted(file):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._validators(file)
            self.end_headers()
            return
        try:
            ranges = parse_ranges(self._range_of(file), file.size)
        except UnsatisfiableError:
            raise _Refused(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"the file has {file.size} bytes",
                Content_Range=f"bytes */{file.size}",
            ) from None
        if len(ranges) > 1:
            self._send_parts(file, ranges)
            return
        whole = ByteRange(0, file.size)
        [part] = ranges or [whole]
        self.send_response(HTTPStatus.PARTIAL_CONTENT if ranges else HTTPStatus.OK)
        self._validators(file)
        if ranges:
            self.send_header("Content-Range", part.content_range(file.size))
        self.send_header("Content-Type", file.content_type)
        self.send_header("Content-Length", str(part.length))
        self.end_headers()
        self._send_bytes(file, part)

    def _send_parts(self, file: _File, ranges: tuple[ByteRange, ...]) -> None:
        """Several ranges in one answer (``multipart/byteranges``)."""
        boundary = secrets.token_hex(16)
        heads = [
            f"\r\n--{boundary}\r\nContent-Type: {file.content_type}\r\n"
            f"Content-Range: {part.content_range(file.size)}\r\n\r\n".encode()
            for part in ranges
        ]
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + sum(part.length for part in ranges) + len(tail)
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self._validators(file)
        self.send_header("Content-Type", f"multipart/byteranges; boundary={boundary}")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for head, part in zip(heads, ranges, strict=True):
            self._write(head)
            self._send_bytes(file, part)
        self._write(tail)

    def _send_bytes(self, file: _File, part: ByteRange) -> None:
        if self.command == "HEAD" or not part.length:
            return
        sent = self.connection.sendfile(file.stream, part.start, part.length)
        if sent != part.length:  # the file was cut meanwhile; nothing can mend the answer
            raise ConnectionAbortedError

    def _validators(self, file: _File) -> None:
        self.send_header("ETag", file.etag)
        self.send_header("Last-Modified", formatdate(file.modified, usegmt=True))
        self.send_header("Accept-Ranges", "bytes")

    def _is_wanted(self, file: _File) -> bool:
        """Whether the client lacks this version (RFC 9110, section 13)."""
        match = self.headers.get("If-Match")
        if match is not None and not _names_version(match, file.etag):
            raise _Refused(HTTPStatus.PRECONDITION_FAILED, "the file is of another version")
        none_match = self.headers.get("If-None-Match")
        if none_match is not None:
            return not _names_version(none_match, file.etag)
        since = _time(self.headers.get("If-Modified-Since"))
        return since is None or file.modified > since

    def _range_of(self, file: _File) -> str | None:
        """The Range header, unless it is about an older version of the file."""
        condition = self.headers.get("If-Range")
        if condition is not None and condition != file.etag and _time(condition) != file.modified:
            return None
        return self.headers.get("Range")

    def _send_page(self, page: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _HTML)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self._write(page)

    def _send_text(self, refused: _Refused) -> None:
        data = f"{refused.text}\n".encode(errors="backslashreplace")
        self.send_response(refused.status)
        for name, value in refused.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", _TEXT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet unless asked: a resolver alone asks for dozens of pages."""
        _log.info("%s", visible(format % args))


def _location(target: str) -> StorageLocation:
    """The object that a request names; _Refused when it can name none.

    As on S3, a bare plus is a space: an index that forgot to write ``%2B`` fails here as well.
    """
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        raise _Refused(HTTPStatus.BAD_REQUEST, "ask for a path that begins with /")
    try:
        # The request's line was read as Latin-1, so that this gives its bytes back.
        raw = unquote_to_bytes(path[1:].replace("+", " ").encode("latin-1"))
        location = StorageLocation(_BUCKET, raw.decode())
    except (LayoutError, UnicodeError) as error:
        raise _Refused(HTTPStatus.NOT_FOUND, "no object can have this name") from error
    if any(segment.startswith(".") for segment in location.key.split("/")):
        raise _not_found(location)
    return location


def _not_found(location: StorageLocation) -> _Refused:
    hint = "; a plus in a URL is written %2B" if " " in location.key else ""
    return _Refused(HTTPStatus.NOT_FOUND, f"{location.key or '/'} is not there{hint}")


def _content_type(key: str) -> str:
    directory, _, name = f"/{key}".rpartition("/")
    if name == "index.json" and "/simple" in directory:
        return _SIMPLE_JSON
    return content_type_of(name)


def _names_version(header: str, etag: str) -> bool:
    """Whether a list of versions, as a client remembers them, has this one."""
    versions = [version.strip().removeprefix("W/") for version in header.split(",")]
    return etag in versions or versions == ["*"]


def _time(text: str | None) -> float | None:
    """Seconds since the epoch of a date in HTTP's form."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def _listing(location: StorageLocation, path: Path) -> bytes:
    parents = [ListingLink("up", "../")] if location.key else []
    return render_listing(f"/{location.key}", _entries(path), parents=parents).encode()


def _entries(path: Path) -> Iterator[ListingEntry]:
    with os.scandir(path) as scanned:
        for entry in scanned:
            if entry.name.startswith("."):
                continue
            try:
                name = entry.name.encode().decode()
                if entry.is_dir():
                    yield ListingEntry(name, f"{name}/", is_directory=True)
                elif entry.is_file():
                    yield ListingEntry(name, name, entry.stat().st_size)
            except (OSError, UnicodeEncodeError):  # gone, or a name that no URL can hold
                continue
