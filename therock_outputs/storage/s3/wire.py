"""GET over HTTP/1.1 (RFC 9112) for a process that may be over in half a second.

``http.client`` loads and runs Python's parser of e-mail for each answer, which takes longer than
a small object takes to fetch, and hands bodies out through two layers of buffers. This knows
what a storage server sends and nothing else; whatever it does not know is a BadAnswerError.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["Answer", "BadAnswerError", "Connection"]

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_HEAD_LIMIT = 64 << 10
_BLOCK = 16 << 10


class BadAnswerError(Exception):
    """What came is not what HTTP, or this server until now, would have."""


class Answer:
    """A status, headers, and a body that is still on its way."""

    def __init__(self, connection: socket.socket, head: bytes, rest: bytes) -> None:
        lines = head.split(b"\r\n")
        status_line = _STATUS_LINE.fullmatch(lines[0])
        if status_line is None:
            raise BadAnswerError(f"the answer begins {lines[0][:80]!r}, which is not HTTP")
        self._socket = connection
        self._rest = memoryview(rest)
        self._waits = _kernel_times_out(connection)
        self._error: OSError | None = None
        """What ended the last call, which brought something before."""
        self.status = int(status_line[2])
        self.reason = (status_line[3] or b"").decode("latin-1")
        self.headers = _parse_headers(lines[1:])
        """By their lower-case names."""
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.length = self._announced_length()
        """Bytes of the body that are still to come; None: it does not say."""
        self.complete = self.length == 0
        """Whether all of it has been read."""
        close = self.headers.get("connection", "").lower()
        self.keeps_open = close != "close" and (status_line[1] == b"1" or close == "keep-alive")

    def _announced_length(self) -> int | None:
        if "transfer-encoding" in self.headers:
            if not self.chunked:
                raise BadAnswerError("the answer has an unknown transfer encoding")
            return None
        if self.status in {204, 304}:
            return 0
        length = self.headers.get("content-length")
        if length is None:
            return None
        if not (length.isascii() and length.isdigit()):
            raise BadAnswerError(f"Content-Length {length!r} is no number")
        return int(length)

    def read_into(self, view: memoryview) -> int:
        """Fill memory from a body of known length; how many bytes, 0 at its end.

        All of it where the connection can wait for that, else what has arrived. 0 before
        ``length`` is 0 means that the connection broke.
        """
        if not self.length:
            return 0
        if self._error is not None:
            raise self._error
        view = view[: self.length]
        count = self._receive(view)
        if self._waits and 0 < count < len(view):
            try:
                count += _receive_into(self._socket, view[count:], socket.MSG_WAITALL)
            except OSError as error:  # what has come is not lost
                self._error = error
        self.length -= count
        self.complete = not self.length
        return count

    def read(self, limit: int) -> bytes:
        """The whole body, at most ``limit`` bytes of it; BadAnswerError when it is cut short."""
        data = bytearray()
        if self.chunked:
            data += self._read_chunks(limit)
        elif self.length is None:
            while len(data) < limit and (more := self._receive_some(limit - len(data))):
                data += more
        else:
            while self.length and len(data) < limit:
                buffer = memoryview(bytearray(min(self.length, limit - len(data))))
                count = self.read_into(buffer)
                if not count:
                    raise BadAnswerError(f"the answer ended {self.length} bytes early")
                data += buffer[:count]
        return bytes(data)

    def _receive(self, view: memoryview) -> int:
        """Bytes that came with the head, then those of the socket."""
        if not self._rest:
            return _receive_into(self._socket, view, 0)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _receive_some(self, limit: int = _BLOCK) -> bytes:
        buffer = memoryview(bytearray(min(limit, _BLOCK)))
        return bytes(buffer[: self._receive(buffer)])

    def _read_chunks(self, limit: int) -> bytes:
        """A body in chunks (RFC 9112, 7.1), which is how AWS sends XML."""
        pending, data = bytearray(), bytearray()

        def need(count: int) -> None:
            while len(pending) < count:
                more = self._receive_some()
                if not more:
                    raise BadAnswerError("the answer ended within a chunk")
                pending.extend(more)

        while len(data) <= limit:
            while (line := _CHUNK_LINE.match(pending)) is None:
                if len(pending) > _BLOCK:
                    raise BadAnswerError("the answer has a chunk of no size")
                need(len(pending) + 1)
            size, begin = int(line[1], 16), line.end()
            need(begin + min(size, limit) + 2)
            data += pending[begin : begin + size]
            if pending[begin + size : begin + size + 2] != b"\r\n":
                # Trailers, or a chunk beyond the limit: the connection is not used again.
                break
            del pending[: begin + size + 2]
            if not size:
                self.complete = not pending
                break
        return bytes(data[:limit])


class Connection:
    """A connection to one server, opened when it is needed and kept open while it works."""

    def __init__(  # noqa: PLR0917 - an address and its circumstances
        self,
        scheme: str,
        host: str,
        port: int | None,
        connect_timeout: float,
        read_timeout: float,
        ca_bundle: str,
    ) -> None:
        self._scheme = scheme
        self._host = host
        self._port = port or {"http": 80, "https": 443}[scheme]
        name = f"[{host}]" if ":" in host else host
        self._host_header = name if port is None else f"{name}:{port}"
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._ca_bundle = ca_bundle
        self._socket: socket.socket | None = None

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """The answer to a GET; its body is to be read within the block."""
        answer: Answer | None = None
        try:
            connection = self._open()
            fields = {"Host": self._host_header, "Accept-Encoding": "identity", **headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            with _timeouts():
                connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            answer = _read_head(connection)
            yield answer
        finally:
            if answer is None or not (answer.complete and answer.keeps_open):
                self.close()

    def close(self) -> None:
        """Close it; the next request opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            address = (self._host, self._port)
            connection = socket.create_connection(address, self._connect_timeout)
            self._socket = connection
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._scheme == "http" and sys.platform == "linux":
                _let_kernel_time_out(connection, self._read_timeout)
            else:
                connection.settimeout(self._read_timeout)
            if self._scheme == "https":
                import ssl  # noqa: PLC0415 - takes longer to load than a connection

                context = ssl.create_default_context(cafile=self._ca_bundle)
                self._socket = context.wrap_socket(connection, server_hostname=self._host)
        return self._socket


def _let_kernel_time_out(connection: socket.socket, seconds: float) -> None:
    """Have the kernel watch the time (socket(7), SO_RCVTIMEO).

    Python would ask before each call whether it will wait, and could not have the kernel wait
    until a whole buffer is full: each wake-up less saves time on both sides.
    """
    connection.settimeout(None)
    value = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, value)


def _kernel_times_out(connection: socket.socket) -> bool:
    return type(connection) is socket.socket and connection.gettimeout() is None


@contextmanager
def _timeouts() -> Iterator[None]:
    """TimeoutError for what the kernel says when it waited in vain."""
    try:
        yield
    except BlockingIOError:
        raise TimeoutError("timed out") from None


def _receive_into(connection: socket.socket, view: memoryview, flags: int) -> int:
    try:
        return connection.recv_into(view, len(view), flags)
    except BlockingIOError:
        raise TimeoutError("timed out") from None


def _read_head(connection: socket.socket) -> Answer:
    """The next answer that is a final one."""
    received = bytearray()
    while True:
        end = received.find(b"\r\n\r\n")
        if end >= 0:
            answer = Answer(connection, bytes(received[:end]), bytes(received[end + 4 :]))
            if answer.status >= 200:
                return answer
            del received[: end + 4]
            continue
        if len(received) > _HEAD_LIMIT:
            raise BadAnswerError("the head of the answer does not end")
        with _timeouts():
            more = connection.recv(_BLOCK)
        if not more:
            raise BadAnswerError("the connection was closed before an answer came")
        received += more


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Header fields; the same name twice only with the same value."""
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise BadAnswerError(f"{line[:80]!r} is no header of an answer")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        if headers.setdefault(name, value) != value:
            if name in {"content-length", "transfer-encoding", "content-range", "etag"}:
                raise BadAnswerError(f"the answer has two headers {name}")
            headers[name] += f", {value}"
    return headers
