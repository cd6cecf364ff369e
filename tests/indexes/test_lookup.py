"""Looking at an index before an installer does: its kind, its packages, and patience."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.indexes.conftest import Place
from tests.python_files import wheel
from tests.servers import clean_environment
from therock_outputs.errors import LookupFailedError, NotFoundError, OutputsError, UsageError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.lookup import Patience, Source, SourceKind, require_packages

INDEX, PAGE = SourceKind.INDEX, SourceKind.FIND_LINKS
NO_PATIENCE = Patience(0)


@pytest.fixture
def published(place: Place) -> Place:
    place.put(wheel("rocm", "1.0"), wheel("rocm-sdk-core", "1.0"))
    build_indexes(place.storage, place.python)
    place.let_anybody_read()
    return place


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that answers everything with the status that the path begins with."""
    clean_environment(monkeypatch)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:4]))
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"<a></a>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_right_address_passes(published: Place) -> None:
    require_packages(
        Source(INDEX, published.url("simple/")), ["ROCm", "rocm_sdk.core"], NO_PATIENCE
    )
    require_packages(Source(PAGE, published.url("index.html")), ["rocm"], NO_PATIENCE)


def test_find_links_page_given_as_an_index_is_said(published: Place) -> None:
    with pytest.raises(UsageError, match="is a find-links page, not an index: give it with --find"):
        require_packages(Source(INDEX, published.url("index.html")), ["rocm"], NO_PATIENCE)


def test_directory_with_a_flat_page_given_as_an_index_is_said(local: Place) -> None:
    local.put(wheel("rocm", "1.0"))
    build_indexes(local.storage, local.python)
    with pytest.raises(UsageError, match="is a find-links page, not an index"):
        require_packages(Source(INDEX, local.url("")), ["rocm"], NO_PATIENCE)


def test_index_given_as_find_links_page_is_said(published: Place) -> None:
    # rclone cannot hold simple/ itself, but everything has its index.html.
    page = published.url("simple/index.html")
    with pytest.raises(UsageError, match="is an index, not a find-links page: give it with --ind"):
        require_packages(Source(PAGE, page), ["rocm"], NO_PATIENCE)


def test_index_without_the_package_is_said(published: Place) -> None:
    with pytest.raises(NotFoundError, match=r"no rocm-sdk-devel|no index with rocm-sdk-devel"):
        require_packages(
            Source(INDEX, published.url("simple/")), ["rocm", "rocm-sdk-devel"], NO_PATIENCE
        )


def test_what_the_index_has_is_said(local: Place) -> None:
    local.put(wheel("rocm", "1.0"), wheel("rocm-sdk-core", "1.0"))
    build_indexes(local.storage, local.python)
    with pytest.raises(NotFoundError, match="has no torch, only rocm, rocm-sdk-core"):
        require_packages(Source(INDEX, local.url("simple/")), ["torch"], NO_PATIENCE)
    with pytest.raises(NotFoundError, match=r"the page .* has no torch, only rocm, rocm-sdk-core"):
        require_packages(Source(PAGE, local.url("index.html")), ["torch"], NO_PATIENCE)


@pytest.mark.parametrize("kind", SourceKind)
def test_index_that_is_not_there_is_said(place: Place, kind: SourceKind) -> None:
    place.put(wheel("rocm", "1.0"))
    with pytest.raises(NotFoundError, match=r"there is no (index with rocm at|page) .*check the"):
        require_packages(Source(kind, place.url("simple/")), ["rocm"], NO_PATIENCE)


def test_page_of_something_else_is_no_index(answering: str) -> None:
    with pytest.raises(NotFoundError, match="has a page for rocm without any file"):
        require_packages(Source(INDEX, f"{answering}/200/"), ["rocm"], NO_PATIENCE)
    with pytest.raises(NotFoundError, match="has no rocm nor anything else"):
        require_packages(Source(PAGE, f"{answering}/200/"), ["rocm"], NO_PATIENCE)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_object_that_may_not_be_listed_is_not_there(answering: str, status: int) -> None:
    with pytest.raises(NotFoundError, match="there is no index"):
        require_packages(Source(INDEX, f"{answering}/{status}/"), ["rocm"], NO_PATIENCE)


def test_server_that_fails_cannot_be_asked(answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupFailedError, match=r"cannot be asked: HTTP 500; check the address"):
        require_packages(Source(INDEX, f"{answering}/500/"), ["rocm"], NO_PATIENCE)
    with pytest.raises(LookupFailedError, match=r"cannot be asked: .*refused"):
        require_packages(Source(INDEX, "http://127.0.0.1:9/simple/"), ["rocm"], NO_PATIENCE)


@pytest.mark.parametrize("url", ["ftp://x/simple/", "simple/", "ssh://x"])
def test_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of an index"):
        require_packages(Source(INDEX, url), ["rocm"], NO_PATIENCE)


class Waiting:
    """A clock that only moves when somebody waits, and what happens meanwhile."""

    def __init__(self, place: Place | None = None, after: int = 0) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.said: list[str] = []
        self._place = place
        self._after = after

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        if self._place and len(self.pauses) == self._after:
            build_indexes(self._place.storage, self._place.python)
            self._place.let_anybody_read()

    def patience(self, seconds: float) -> Patience:
        return Patience(seconds, self.pause, lambda: self.now, self.said.append)


def test_index_that_is_still_being_published_is_waited_for(place: Place) -> None:
    place.put(wheel("rocm", "1.0"))
    waiting = Waiting(place, after=3)
    require_packages(Source(INDEX, place.url("simple/")), ["rocm"], waiting.patience(60))
    assert len(waiting.pauses) == 3
    [said] = waiting.said
    assert said.startswith("waiting up to 60 s: there is no index with rocm")


def test_waiting_ends(local: Place) -> None:
    waiting = Waiting()
    with pytest.raises(OutputsError, match="there is no index with rocm"):
        require_packages(Source(INDEX, local.url("simple/")), ["rocm"], waiting.patience(60))
    assert waiting.now == 60
    assert max(waiting.pauses) <= 15


def test_wrong_kind_of_page_is_not_waited_for(local: Place) -> None:
    local.put(wheel("rocm", "1.0"))
    build_indexes(local.storage, local.python)
    waiting = Waiting()
    with pytest.raises(UsageError):
        require_packages(Source(INDEX, local.url("index.html")), ["rocm"], waiting.patience(60))
    assert waiting.pauses == []


def test_file_that_a_foreign_page_misspells_is_no_package(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text('<a href="x.whl">x</a><a href="https://e.example/rocm-1.0.tar.gz#s">r</a>')
    require_packages(Source(PAGE, page.as_uri()), ["rocm"], NO_PATIENCE)
    with pytest.raises(NotFoundError, match="has no x, only rocm"):
        require_packages(Source(PAGE, page.as_uri()), ["x"], NO_PATIENCE)
