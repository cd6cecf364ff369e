"""Answers as servers send them, whole, odd and broken, over a real connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from therock_outputs.storage.s3.wire import Answer, BadAnswerError, Connection


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[Connection, list[bytes]]]:
    """A server that gives these answers in turn, each on the connection that is open.

    An answer that ends in ``CLOSE`` closes the connection after it.
    """
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    connection = Connection("http", "127.0.0.1", listener.getsockname()[1], 5.0, 5.0, "")

    def serve() -> None:
        peer: socket.socket | None = None
        for answer in answers:
            while True:
                if peer is None:
                    peer = listener.accept()[0]
                request = b""
                while not request.endswith(b"\r\n\r\n") and (more := peer.recv(4096)):
                    request += more
                if request:
                    break
                peer.close()  # the client gave this connection up
                peer = None
            requests.append(request)
            peer.sendall(answer.removesuffix(b"CLOSE"))
            if answer.endswith(b"CLOSE"):
                peer.close()
                peer = None
        if peer is not None:
            peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield connection, requests
    finally:
        connection.close()
        thread.join()
        listener.close()


def body(answer: Answer) -> bytes:
    data, buffer = bytearray(), memoryview(bytearray(3))
    while count := answer.read_into(buffer):
        data += buffer[:count]
    return bytes(data)


def test_body_of_known_length_leaves_the_connection_open() -> None:
    first = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag:  "a" \r\n\r\nhello'
    with server(first, first.replace(b"hello", b"world")) as (connection, requests):
        for expected in (b"hello", b"world"):
            with connection.get("/p?q", {"Range": "bytes=0-4"}) as answer:
                assert (answer.status, answer.reason, answer.length) == (200, "OK", 5)
                assert answer.headers["etag"] == '"a"'
                assert body(answer) == expected
    assert requests[0].startswith(b"GET /p?q HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nRange: bytes=0-4\r\n" in requests[0]


def test_connection_is_opened_again_after_an_answer_that_was_not_read() -> None:
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with server(good, good) as (connection, _):
        with connection.get("/", {}):
            pass
        with connection.get("/", {}) as answer:
            assert answer.read(100) == b"hello"


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200\r\nConnection: close\r\n"])
def test_server_that_closes_is_asked_on_a_new_connection(head: bytes) -> None:
    good = head + b"Content-Length: 2\r\n\r\nokCLOSE"
    with server(good, good) as (connection, _):
        for _ in range(2):
            with connection.get("/", {}) as answer:
                assert answer.read(100) == b"ok"


def test_body_until_the_end_of_the_connection_is_read_for_messages() -> None:
    text = b"HTTP/1.1 500 Oh\r\n\r\nsome textCLOSE"
    with server(text) as (connection, _), connection.get("/", {}) as answer:
        assert answer.length is None
        assert answer.read(4) == b"some"


def test_interim_answers_are_passed_over() -> None:
    good = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n"
    with server(good) as (connection, _), connection.get("/", {}) as answer:
        assert (answer.status, answer.length, answer.complete) == (204, 0, True)


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_chunks_are_put_together() -> None:
    good = _CHUNKED + b"5;name=value\r\nhello\r\nA \r\n, world, a\r\n0\r\n\r\n"
    with server(good, good) as (connection, _):
        for _ in range(2):
            with connection.get("/", {}) as answer:
                assert answer.read(100) == b"hello, world, a"
                assert answer.complete


def test_chunks_with_trailers_or_beyond_the_limit_end_the_connection() -> None:
    trailers = _CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\nCLOSE"
    endless = _CHUNKED + b"8\r\n12345678\r\n" * 3
    with server(trailers, endless, trailers) as (connection, _):
        with connection.get("/", {}) as answer:
            assert answer.read(100) == b"ok"
        with connection.get("/", {}) as answer:
            assert answer.read(10) == b"1234567812"
        with connection.get("/", {}) as answer:
            assert answer.read(100) == b"ok"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"CLOSE", "closed before an answer came"),
        (b"HTTP/1.1 200 OK\r\nConteCLOSE", "closed before an answer came"),
        (b"SSH-2.0-x\r\n\r\n", "is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "is no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two headers"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unknown transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "does not end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshortCLOSE", "4 bytes early"),
        (_CHUNKED + b"5\r\nhelCLOSE", "within a chunk"),
        (_CHUNKED + b"z" * 20_000, "chunk of no size"),
    ],
)
def test_what_is_no_answer_is_refused(text: bytes, message: str) -> None:
    with (
        server(text) as (connection, _),
        pytest.raises(BadAnswerError, match=message),
        connection.get("/", {}) as answer,
    ):
        answer.read(1000)


def test_same_header_twice_is_one() -> None:
    good = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ncontent-length: 0\r\nVary: a\r\nVary: b\r\n\r\n"
    )
    with server(good) as (connection, _), connection.get("/", {}) as answer:
        assert answer.headers == {"content-length": "0", "vary": "a, b"}


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def test_a_buffer_is_filled_however_the_body_arrives() -> None:
    content = bytes(range(256)) * 400
    parts = [content[start : start + 999] for start in range(10, len(content), 999)]
    buffer, counts, data = memoryview(bytearray(40_000)), [], bytearray()
    with (
        pieces(HEAD % len(content) + content[:10], *parts) as connection,
        connection.get("/", {}) as answer,
    ):
        while count := answer.read_into(buffer):
            counts.append(count)
            data += buffer[:count]
    assert data == content
    assert counts == [40_000, 40_000, len(content) - 80_000]


@contextmanager
def pieces(*parts: bytes, timeout: float = 5.0) -> Iterator[Connection]:
    """A connection whose server answers once, in parts that are sent apart, then says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        peer = listener.accept()[0]
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += peer.recv(4096)
        for part in parts:
            peer.sendall(part)
        ended.wait(30)
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    connection = Connection("http", "127.0.0.1", listener.getsockname()[1], timeout, timeout, "")
    try:
        yield connection
    finally:
        ended.set()
        connection.close()
        thread.join()
        listener.close()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
def test_a_server_that_says_no_more_is_not_waited_for_for_ever(sent: bytes) -> None:
    with (
        pieces(sent, timeout=0.3) as connection,
        pytest.raises(TimeoutError),
        connection.get("/", {}),
    ):
        pass


def test_what_came_before_a_pause_is_not_lost() -> None:
    received = bytearray()

    def drain(answer: Answer) -> None:
        buffer = memoryview(bytearray(90))
        while count := answer.read_into(buffer):
            received.extend(buffer[:count])

    with (
        pieces(HEAD % 90 + b"some", b" bytes", timeout=0.5) as connection,
        connection.get("/", {}) as answer,
        pytest.raises(TimeoutError),
    ):
        drain(answer)
    assert received == b"some bytes"
    assert answer.length == 80
