"""A staging directory over HTTP: what clients get, and what they never get."""

from __future__ import annotations

import email
import http.client
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest

from tests.indexes.conftest import Place
from tests.python_files import install, installed, sdist, wheel
from therock_outputs.errors import NotFoundError, OutputsError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.server import StagingServer

DATA = bytes(range(256)) * 1000
PLUS = "7-linux/python/rocm-1.0+abc.tar.gz"


@contextmanager
def serving(staging: Path, host: str = "127.0.0.1") -> Iterator[StagingServer]:
    with StagingServer(staging, host) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    staging = tmp_path / "staging"
    files = {
        "7-linux/data.bin": DATA,
        "7-linux/empty": b"",
        "7-linux/python/simple/rocm/index.html": b"<p>rocm</p>",
        "7-linux/python/simple/rocm/index.json": b"{}",
        "7-linux/packages/deb/dists/stable/Release": b"Origin: x",
        "7-linux/a b/\u00fc & <x>.log": b"log",
        "7-linux/.partial-0123": b"unfinished",
        "7-linux/.git/config": b"TREASURE",
        PLUS: b"plus",
    }
    for name, data in files.items():
        path = staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "outside").write_bytes(b"TREASURE")
    return staging


@pytest.fixture
def client(staging: Path) -> Iterator[http.client.HTTPConnection]:
    with serving(staging) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        yield connection
        connection.close()


def ask(
    client: http.client.HTTPConnection,
    path: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> tuple[int, Message, bytes]:
    client.request(method, path, headers=dict(headers or {}))
    response = client.getresponse()
    return response.status, response.headers, response.read()


def test_file_comes_with_its_type_and_size(client: http.client.HTTPConnection) -> None:
    status, headers, body = ask(client, "/7-linux/data.bin")
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"].startswith('"')
    assert headers["Last-Modified"].endswith("GMT")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/7-linux/packages/deb/dists/stable/Release", "text/plain; charset=utf-8"),
        ("/7-linux/python/rocm-1.0%2Babc.tar.gz", "application/gzip"),
        ("/7-linux/python/simple/rocm/", "text/html; charset=utf-8"),
        ("/7-linux/python/simple/rocm/index.json", "application/vnd.pypi.simple.v1+json"),
    ],
)
def test_media_type_is_the_one_that_uploads_get(
    client: http.client.HTTPConnection, path: str, content_type: str
) -> None:
    status, headers, _ = ask(client, path)
    assert (status, headers["Content-Type"]) == (200, content_type)


def test_head_says_the_same_without_a_body(client: http.client.HTTPConnection) -> None:
    status, headers, body = ask(client, "/7-linux/data.bin", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")
    status, headers, body = ask(client, "/7-linux/data.bin", {"Range": "bytes=5-9"}, method="HEAD")
    assert (status, headers["Content-Range"], body) == (206, f"bytes 5-9/{len(DATA)}", b"")


def test_empty_file_is_whole(client: http.client.HTTPConnection) -> None:
    assert ask(client, "/7-linux/empty")[::2] == (200, b"")
    assert ask(client, "/7-linux/empty", {"Range": "bytes=0-"})[0] == 416


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=255990-", 255990, 256000), ("bytes=-10", 255990, 256000)],
)
def test_range_is_part_of_the_file(
    client: http.client.HTTPConnection, header: str, start: int, end: int
) -> None:
    status, headers, body = ask(client, "/7-linux/data.bin", {"Range": header})
    assert (status, body) == (206, DATA[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert headers["Content-Length"] == str(end - start)


def test_several_ranges_come_as_parts(client: http.client.HTTPConnection) -> None:
    status, headers, body = ask(client, "/7-linux/data.bin", {"Range": "bytes=0-4,-5,1000-1009"})
    assert status == 206
    assert headers["Content-Length"] == str(len(body))
    message = email.message_from_bytes(
        b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
    )
    found = [
        (part["Content-Range"], part.get_payload(decode=True))
        for part in message.walk()
        if part["Content-Range"]
    ]
    size = len(DATA)
    assert found == [
        (f"bytes 0-4/{size}", DATA[:5]),
        (f"bytes {size - 5}-{size - 1}/{size}", DATA[-5:]),
        (f"bytes 1000-1009/{size}", DATA[1000:1010]),
    ]


def test_range_beyond_the_end_is_416(client: http.client.HTTPConnection) -> None:
    status, headers, _ = ask(client, "/7-linux/data.bin", {"Range": "bytes=256000-"})
    assert (status, headers["Content-Range"]) == (416, "bytes */256000")


def test_file_that_the_client_has_is_not_sent(client: http.client.HTTPConnection) -> None:
    _, headers, _ = ask(client, "/7-linux/data.bin")
    etag, modified = headers["ETag"], headers["Last-Modified"]
    for condition in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"other", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
    ):
        assert ask(client, "/7-linux/data.bin", condition)[::2] == (304, b"")
    for condition in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        assert ask(client, "/7-linux/data.bin", condition)[0] == 200


def test_resuming_notices_that_the_file_has_changed(client: http.client.HTTPConnection) -> None:
    _, headers, _ = ask(client, "/7-linux/data.bin")
    part = {"Range": "bytes=10-"}
    for version in (headers["ETag"], headers["Last-Modified"]):
        assert ask(client, "/7-linux/data.bin", part | {"If-Range": version})[0] == 206
    for version in ('"other"', "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert ask(client, "/7-linux/data.bin", part | {"If-Range": version})[::2] == (200, DATA)
    assert ask(client, "/7-linux/data.bin", part | {"If-Match": '"other"'})[0] == 412


def test_changed_file_has_another_etag(client: http.client.HTTPConnection, staging: Path) -> None:
    _, before, _ = ask(client, "/7-linux/empty")
    (staging / "7-linux/empty").write_bytes(b"no longer")
    status, headers, body = ask(client, "/7-linux/empty", {"If-None-Match": before["ETag"]})
    assert (status, body) == (200, b"no longer")
    assert headers["ETag"] != before["ETag"]


# --------------------------------------------------------------------------- directories


def test_directory_without_slash_is_redirected(client: http.client.HTTPConnection) -> None:
    status, headers, _ = ask(client, "/7-linux/a%20b?x=1")
    assert (status, headers["Location"]) == (302, "/7-linux/a%20b/?x=1")
    assert ask(client, "//evil.example/%2e%2e")[0] == 404


def test_directory_with_index_gives_the_index(client: http.client.HTTPConnection) -> None:
    assert ask(client, "/7-linux/python/simple/rocm/")[2] == b"<p>rocm</p>"


def test_directory_without_index_is_listed(client: http.client.HTTPConnection) -> None:
    status, headers, body = ask(client, "/7-linux/")
    page = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for name in ("data.bin", "a%20b/", "python/"):
        assert f'href="{name}"' in page
    assert "partial" not in page
    assert ".git" not in page
    assert 'href="../"' in page
    inside = ask(client, "/7-linux/a%20b/")[2].decode()
    assert 'href="%C3%BC%20%26%20%3Cx%3E.log"' in inside
    assert "<x>" not in inside
    assert ask(client, "/")[0] == 200


def test_names_are_percent_decoded_and_a_bare_plus_is_a_space(
    client: http.client.HTTPConnection,
) -> None:
    assert ask(client, "/7-linux/python/rocm-1.0%2Babc.tar.gz")[2] == b"plus"
    assert ask(client, "/7-linux/a+b/%C3%BC%20%26%20%3Cx%3E.log")[2] == b"log"
    status, _, body = ask(client, f"/{PLUS}")
    assert status == 404
    assert b"a plus in a URL is written %2B" in body


# ------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "path",
    [
        "/../outside",
        "/%2e%2e/outside",
        "/7-linux/..%2f..%2foutside",
        "/7-linux/%2e%2e/%2e%2e/outside",
        "/..%5coutside",
        "/7-linux/.partial-0123",
        "/7-linux/.git/config",
        "/%2egit",
        "/7-linux/none",
        "/7-linux/data.bin/",
        "/7-linux/data.bin/x",
        "/7-linux//data.bin",
        "/7-linux/%00",
        "/7-linux/%0d%0aX:%20y",
        "/7-linux/%ff",
        "/" + "x" * 2000,
    ],
)
def test_what_is_not_the_buckets_is_not_there(
    client: http.client.HTTPConnection, path: str
) -> None:
    status, headers, body = ask(client, path)
    assert status == 404
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert b"TREASURE" not in body
    assert headers["X"] is None


def test_link_out_of_the_directory_is_not_followed(
    client: http.client.HTTPConnection, staging: Path, tmp_path: Path
) -> None:
    (staging / "out").symlink_to(tmp_path / "outside")
    (staging / "up").symlink_to(tmp_path)
    (staging / "inside").symlink_to(staging / "7-linux")
    assert ask(client, "/out")[0] == 404
    assert ask(client, "/up/outside")[0] == 404
    assert ask(client, "/up/")[0] == 404
    assert ask(client, "/inside/empty")[0] == 200


def test_socket_is_no_file(client: http.client.HTTPConnection, staging: Path) -> None:
    os.mkfifo(staging / "pipe")
    assert ask(client, "/pipe")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(
    client: http.client.HTTPConnection, staging: Path, method: str
) -> None:
    status, headers, _ = ask(client, "/7-linux/data.bin", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert (staging / "7-linux/data.bin").read_bytes() == DATA


def test_proxy_request_is_refused(client: http.client.HTTPConnection) -> None:
    assert ask(client, "http://elsewhere.example/x")[0] == 400


def test_client_that_leaves_does_not_stop_the_server(
    client: http.client.HTTPConnection, staging: Path
) -> None:
    with (staging / "large").open("wb") as file:
        file.truncate(1 << 30)
    for _ in range(3):
        with socket.create_connection((client.host, client.port)) as early:
            early.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            assert early.recv(1000).startswith(b"HTTP/1.1 200")
    assert ask(client, "/7-linux/empty")[0] == 200


def test_connection_is_kept_for_many_requests(client: http.client.HTTPConnection) -> None:
    client.connect()
    before = client.sock
    for path in ("/7-linux/empty", "/none", "/7-linux/data.bin", "/7-linux/"):
        ask(client, path)
    assert client.sock is before


def test_many_clients_at_once_get_whole_files(staging: Path) -> None:
    with serving(staging) as server:
        bodies: list[bytes] = []

        def fetch() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
            bodies.extend(ask(connection, "/7-linux/data.bin")[2] for _ in range(5))
            connection.close()

        threads = [threading.Thread(target=fetch) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bodies == [DATA] * 100


def test_ipv6_loopback_is_served(staging: Path) -> None:
    with serving(staging, "::1") as server:
        assert server.url == f"http://[::1]:{server.server_port}/"
        connection = http.client.HTTPConnection("::1", server.server_port, timeout=20)
        assert ask(connection, "/7-linux/empty")[0] == 200
        connection.close()


def test_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"staging directory .*none is not there"):
        StagingServer(tmp_path / "none")


def test_port_that_is_taken_is_said(staging: Path) -> None:
    with (
        StagingServer(staging) as server,
        pytest.raises(OutputsError, match=rf"port {server.server_port} cannot be served at"),
    ):
        StagingServer(staging, port=server.server_port)
    with pytest.raises(OutputsError, match=r"port 70000 cannot be served at"):
        StagingServer(staging, port=70000)


# ---------------------------------------------------------------------------- real clients


def test_curl_resumes_and_asks_conditionally(staging: Path, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    target = tmp_path / "got"
    target.write_bytes(DATA[:1000])
    with serving(staging) as server:
        url = f"{server.url}7-linux/data.bin"
        command = [curl, "-sS", "--fail", "--noproxy", "*", "-o", str(target)]
        subprocess.run([*command, "-C", "-", url], check=True)
        assert target.read_bytes() == DATA
        etag = tmp_path / "etag"
        subprocess.run([*command, "--etag-save", str(etag), url], check=True)
        words = [*command[:-1], str(tmp_path / "again"), "--etag-compare", str(etag)]
        done = subprocess.run(
            [*words, "-w", "%{http_code}", url], check=True, capture_output=True, text=True
        )
        assert done.stdout == "304"


@pytest.mark.parametrize("judge", ["pip", "uv"])
@pytest.mark.parametrize("page", ["simple/", "simple", "index.html", ""])
def test_installers_install_from_the_served_directory(
    local: Place, tmp_path: Path, judge: str, page: str
) -> None:
    assert local.staging_dir is not None
    version = "1.0.dev0+abc"
    local.put(
        wheel("rocm-sdk-core", version), sdist("rocm", version, [f"rocm-sdk-core=={version}"])
    )
    build_indexes(local.storage, local.python)
    with serving(local.staging_dir) as server:
        url = f"{server.url}{local.python.key}{page}"
        is_index = page.startswith("simple")
        where = ("--index-url", url) if is_index else ("--no-index", "--find-links", url)
        prerelease = "--pre" if judge == "pip" else "--prerelease=allow"
        install(judge, tmp_path / "site", *where, prerelease, "rocm")
    assert installed(tmp_path / "site") == {f"rocm-{version}", f"rocm_sdk_core-{version}"}
