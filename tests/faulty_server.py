"""A proxy before a real server that breaks what a test tells it to, and counts."""

from __future__ import annotations

import enum
import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.servers import S3Server


class Break(enum.Enum):
    """How an exchange goes wrong."""

    REFUSE = "an answer with an error status"
    RESET = "a reset instead of an answer"
    TRUNCATE = "a body that ends early"
    STALL = "no answer at all"
    CORRUPT = "one byte of the body changed"
    LOSE_ANSWER = "the server does it, but its answer is lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to break, and how often."""

    kind: Break
    method: str = "GET"
    key: str = "f.bin"
    """Part of the path or query."""
    without: str = "\n"
    """What the path or query must not have."""
    times: int = 1
    after: int = 0
    """How many such requests to let through first."""
    status: int = 503
    code: str = "SlowDown"
    region: str = ""
    keep: int = 0
    """How many bytes of a body to let through."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was seen."""

    method: str
    path: str
    range: str | None
    sent: int
    """Bytes of the body that were passed on."""


@dataclass(slots=True)
class FaultyServer:
    """The proxy as tests see it."""

    server: S3Server
    faults: list[Fault] = field(default_factory=list)
    matched: dict[int, int] = field(default_factory=dict)
    seen: list[Exchange] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str, key_part: str = "") -> int:
        """How many such requests came."""
        with self.lock:
            return sum(e.method == method and key_part in e.path for e in self.seen)

    def sent(self, key_part: str) -> int:
        """How many bytes of bodies were passed on."""
        with self.lock:
            return sum(e.sent for e in self.seen if key_part in e.path)

    def break_with(self, *faults: Fault) -> None:
        """Do this from now on, and nothing that was said before; forget what was seen."""
        with self.lock:
            self.faults = list(faults)
            self.matched.clear()
            self.seen.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for a request, which is used up by it."""
        with self.lock:
            for index, fault in enumerate(self.faults):
                if fault.method != method or fault.key not in path or fault.without in path:
                    continue
                before = self.matched.get(index, 0)
                if before >= fault.after + fault.times:
                    continue
                self.matched[index] = before + 1
                if before >= fault.after:
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyServer
    upstream: str

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _handle(self) -> None:
        path = unquote(self.path)
        fault = self.faulty.take(self.command, path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = fault.kind if fault else None
        if kind in {Break.RESET, Break.STALL}:
            self._note(0)
            if kind is Break.STALL:
                self.faulty.released.wait()
            self._reset()
            return
        if fault and kind is Break.REFUSE:
            self._refuse(fault)
            return
        status, headers, data = self._forward(body)
        if kind is Break.LOSE_ANSWER:
            self._note(0)
            self._reset()
            return
        keep = data
        if fault and kind is Break.TRUNCATE:
            keep = data[: fault.keep]
        if fault and kind is Break.CORRUPT and data:
            keep = bytes([data[0] ^ 1]) + data[1:]
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self._note(len(keep))  # before the client can know of it
        self.end_headers()
        self.wfile.write(keep)
        if keep is not data and kind is Break.TRUNCATE:
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            url = urlsplit(self.path)  # absolute when the client takes this for its proxy
            target = f"{url.path}?{url.query}" if url.query else url.path
            connection.request(self.command, target, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _refuse(self, fault: Fault) -> None:
        text = f"<Error><Code>{fault.code}</Code><Message>as told</Message></Error>".encode()
        self.send_response_only(fault.status)
        if fault.region:
            self.send_header("x-amz-bucket-region", fault.region)
        self.send_header("Content-Length", str(len(text)))
        self._note(0)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _note(self, sent: int) -> None:
        with self.faulty.lock:
            exchange = Exchange(self.command, unquote(self.path), self.headers.get("Range"), sent)
            self.faulty.seen.append(exchange)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # the client went away, or we closed it ourselves
            self.close_connection = True

    def finish(self) -> None:
        with suppress(ConnectionError, ValueError):
            super().finish()


@contextmanager
def faulty_server(server: S3Server, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """A proxy before ``server``, which speaks TLS when it is given a certificate."""
    address = urlsplit(server.endpoint).netloc
    handler = type("Handler", (_Handler,), {"upstream": address})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        if tls is not None:
            proxy.socket = tls.wrap_socket(proxy.socket, server_side=True)
        endpoint = f"http{'s' if tls else ''}://127.0.0.1:{proxy.server_address[1]}"
        faulty = FaultyServer(S3Server(server.name, endpoint, server.signed))
        handler.faulty = faulty  # type: ignore[attr-defined]
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield faulty
        finally:
            faulty.released.set()
            proxy.shutdown()
            thread.join()
