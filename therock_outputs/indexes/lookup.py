"""Ask an index before an installer does: whether it is one, is there, and has the packages.

An installer that is given the wrong kind of page says only that it found nothing, or takes the
package from another index. Whoever stands here says what is wrong, and waits for an index that
is still being published.
"""

from __future__ import annotations

import enum
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from therock_outputs.errors import (
    IntegrityError,
    LookupFailedError,
    NotFoundError,
    OutputsError,
    UsageError,
)
from therock_outputs.indexes.distributions import is_distribution, parse_distribution

__all__ = ["Patience", "Source", "SourceKind", "require_packages"]

_log = logging.getLogger(__name__)

_LARGEST_PAGE = 64 << 20
_TIMEOUT = 30.0
_ACCEPT = "application/vnd.pypi.simple.v1+html, text/html;q=0.9, */*;q=0.1"
_NOT_THERE = frozenset({403, 404, 410})
"""S3 answers 403 for a missing object to those who may not list the bucket."""
_SHOWN = 8


class SourceKind(enum.Enum):
    """What an installer is told that an address is."""

    INDEX = "index"
    FIND_LINKS = "find-links page"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an installer looks for packages."""

    kind: SourceKind
    url: str
    """``http:``, ``https:`` or ``file:``."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a source that is not there yet."""

    seconds: float
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[str], None] = _log.info
    """Told once, when waiting begins."""


class _NotYet(Exception):  # noqa: N818 - may still come
    """What is lacking, as the error that it becomes when nobody waits any longer."""

    def __init__(self, error: OutputsError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page links to."""

    projects: frozenset[str]
    """Of the wheels and sdists that it links to."""
    directories: tuple[str, ...]
    """Links that end in a slash: the projects, when it is an index."""


def require_packages(source: Source, projects: Collection[str], patience: Patience) -> None:
    """Return once the source has files of all the projects.

    UsageError for the wrong kind of page. When the time is over: NotFoundError for a source that
    is not there or lacks a package, LookupFailedError for one that cannot be asked.
    """
    wanted = sorted({canonicalize_name(project) for project in projects})
    look = _look_at_index if source.kind is SourceKind.INDEX else _look_at_page
    end = patience.clock() + patience.seconds
    delay = 1.0
    waiting = False
    while True:
        try:
            look(source.url, wanted)
        except _NotYet as lacking:
            left = end - patience.clock()
            if left <= 0:
                raise lacking.error from None
            if not waiting:
                patience.tell(f"waiting up to {round(left)} s: {lacking}")
                waiting = True
            patience.pause(min(delay, left))
            delay = min(delay * 1.5, 15.0)
        else:
            return


def _look_at_index(url: str, projects: Collection[str]) -> None:
    root = _read(url)
    if root is not None and root.projects:
        raise UsageError(
            f"{url} is a find-links page, not an index: give it with --find-links, or give the "
            "simple/ beside it as --index-url"
        )
    for project in projects:
        page = _read(f"{url.rstrip('/')}/{project}/")
        if page is None:
            raise _NotYet(_lacks(url, project, root))
        if project not in page.projects:
            raise _NotYet(
                NotFoundError(f"{url} has a page for {project} without any file; check the address")
            )


def _lacks(url: str, project: str, root: _Page | None) -> NotFoundError:
    if root is None:
        return NotFoundError(
            f"there is no index with {project} at {url}; check the run, or publish its packages"
        )
    has = [canonicalize_name(name.rstrip("/")) for name in root.directories]
    return NotFoundError(f"the index {url} has no {project}{_others(has)}")


def _look_at_page(url: str, projects: Collection[str]) -> None:
    page = _read(url)
    if page is None:
        raise _NotYet(NotFoundError(f"there is no page {url}; check the run and the address"))
    if not page.projects and page.directories:
        raise UsageError(
            f"{url} is an index, not a find-links page: give it with --index-url, or give the "
            "index.html beside its simple/"
        )
    lacking = [project for project in projects if project not in page.projects]
    if lacking:
        has = _others(sorted(page.projects))
        raise _NotYet(NotFoundError(f"the page {url} has no {lacking[0]}{has}"))


def _others(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f", only {shown}" if names else " nor anything else"


def _read(url: str) -> _Page | None:
    """The page at an address; None when there is none.

    _NotYet when the server cannot be asked, UsageError for an address of another kind.
    """
    if urlsplit(url).scheme == "file":
        data = _read_file(url)
    elif urlsplit(url).scheme in {"http", "https"}:
        data = _read_http(url)
    else:
        raise UsageError(f"{url} is no address of an index; give one with https: or file:")
    if data is None:
        return None
    if len(data) > _LARGEST_PAGE:
        raise IntegrityError(f"{url} is larger than any index page; check the address")
    return _parse(data)


def _read_file(url: str) -> bytes | None:
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        if path.is_dir():  # as pip does
            path /= "index.html"
        with path.open("rb") as stream:
            return stream.read(_LARGEST_PAGE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read_http(url: str) -> bytes | None:
    request = urllib.request.Request(url, headers={"Accept": _ACCEPT})  # noqa: S310 - http(s)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - as above
            data: bytes = answer.read(_LARGEST_PAGE + 1)
            return data
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _NOT_THERE:
                return None
        reason = f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error)
    raise _NotYet(LookupFailedError(f"{url} cannot be asked: {reason}; check the address"))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            href = dict(attrs).get("href") or ""
            self.paths.append(unquote(href.partition("#")[0].partition("?")[0]))


def _parse(data: bytes) -> _Page:
    links = _Links()
    links.feed(data.decode("utf-8", "replace"))
    links.close()
    projects = set()
    for path in links.paths:
        name = path.rpartition("/")[2]
        try:
            if is_distribution(name):
                projects.add(parse_distribution(name).project)
        except IntegrityError:  # a page of others may link to anything
            continue
    directories = [path for path in links.paths if path.endswith("/") and ".." not in path]
    return _Page(frozenset(projects), tuple(directories))
