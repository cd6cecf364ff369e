"""Requests to GitHub's REST API: conditional, retried, within its rate limits, and careful.

A token goes to the API's own host and to no other, whatever a redirect says, and stands in no
message. Only reading is known here.
"""

from __future__ import annotations

import email.utils
import hashlib
import ipaddress
import json
import logging
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from therock_outputs.errors import LookupFailedError, UsageError
from therock_outputs.github.answer_cache import AnswerCache, KeptAnswer
from therock_outputs.github.credentials import ANONYMOUS, Token

__all__ = ["API_URL", "JSON", "RAW", "ApiSettings", "Reply", "Transport"]

API_URL = "https://api.github.com"
JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"
"""The media type that gives a file's bytes instead of an object about it."""

_LARGEST_ANSWER = 64 << 20
_MOST_REDIRECTS = 5
_MOST_PAGES = 100
_PER_PAGE = 100
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CAN_PASS = frozenset({408, 500, 502, 503, 504})
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="next"')
_SECONDARY_PAUSE = 60.0
"""Seconds that GitHub asks for when it says neither how long nor until when."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Where and how GitHub is asked."""

    url: str = API_URL
    token: Token = ANONYMOUS
    cache_dir: Path | None = None
    attempts: int = 5
    """The first one included."""
    base_delay: float = 0.5
    """Seconds; the longest first pause. Each later one may be twice as long."""
    max_delay: float = 10.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    longest_wait: float = 90.0
    """Seconds that a rate limit is waited for; when it takes longer, that is an error."""
    connections: int = 8
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status but those that are retried or followed."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    data: bytes = field(repr=False)

    def json(self, what: str) -> object:
        """The body as JSON; LookupFailedError when it is none."""
        try:
            value: object = json.loads(self.data)
        except (ValueError, RecursionError):
            raise LookupFailedError(
                f"GitHub's answer about {what} is not JSON; check GITHUB_API_URL, and whether a "
                "proxy answers in its place"
            ) from None
        return value

    @property
    def message(self) -> str:
        """What GitHub says of a refusal, cut to a line's length; empty when nothing."""
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError):
            return ""
        text = value.get("message") if isinstance(value, dict) else None
        return " ".join(text.split())[:200] if isinstance(text, str) else ""


class Transport:
    """Asks one API server. Safe to use from several threads."""

    def __init__(self, settings: ApiSettings | None = None) -> None:
        self._settings = settings or ApiSettings()
        self._base = _checked_url(self._settings)
        token = self._settings.token.value
        user = hashlib.sha256(token.encode()).hexdigest() if token else ""
        self._cache = AnswerCache(self._settings.cache_dir, user)
        self._pool = _pool(self._base, self._settings)

    @property
    def settings(self) -> ApiSettings:
        """How this one asks."""
        return self._settings

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str = JSON
    ) -> Reply:
        """The answer to one request; ``path`` is quoted already and begins with ``/``.

        LookupFailedError when there is none, when a token is refused, or when a rate limit would
        take too long to wait for. Any other status is the caller's to judge.
        """
        query = f"?{urlencode(params)}" if params else ""
        return self._get_url(f"{self._base.geturl()}{path}{query}", accept)

    def pages(self, path: str, params: Mapping[str, str]) -> Iterator[Reply]:
        """The pages of a list, each asked for when the one before was not enough."""
        reply = self.get(path, {**params, "per_page": str(_PER_PAGE)})
        for _ in range(_MOST_PAGES):
            yield reply
            following = _NEXT.search(reply.headers.get("link", ""))
            if reply.status != 200 or following is None:
                return
            url = urljoin(self._base.geturl() + path, following[1])
            if _origin(urlsplit(url)) != _origin(self._base):
                raise LookupFailedError(
                    f"GitHub's answer names a next page at another host, {url!r:.200}; "
                    "check GITHUB_API_URL"
                )
            reply = self._get_url(url, JSON)

    def _get_url(self, url: str, accept: str) -> Reply:
        kept = self._cache.get(url, accept)
        reply = self._patiently(url, accept, kept)
        if reply.status == 304 and kept is not None:
            return Reply(200, {"link": kept.link, "etag": kept.etag}, kept.data)
        if reply.status == 401:
            raise LookupFailedError(
                f"GitHub refuses the token of {self._settings.token.source} (401 "
                f"{reply.message or 'unauthorized'}); set GITHUB_TOKEN anew, or unset it"
            )
        etag = reply.headers.get("etag")
        if reply.status == 200 and etag:
            link = reply.headers.get("link", "")
            self._cache.put(url, accept, KeptAnswer(etag, link, reply.data))
        return reply

    def _patiently(self, url: str, accept: str, kept: KeptAnswer | None) -> Reply:
        """Ask until there is an answer that another attempt would not change."""
        failures, waited = 0, 0.0
        while True:
            try:
                reply = self._follow(url, accept, kept)
                pause = self._rate_limit_pause(reply)
                if pause is not None:
                    waited += pause
                    self._refuse_long_waits(reply, pause, waited)
                    _log.warning("GitHub's rate limit: going on in %d s", round(pause))
                    self._settings.sleep(pause)
                    continue
                if reply.status not in _CAN_PASS:
                    return reply
                problem = f"it answers {reply.status}"
            except HTTPError as error:
                problem = _reason(error)
            failures += 1
            if failures >= self._settings.attempts:
                raise LookupFailedError(
                    f"GitHub at {self._base.netloc} could not be asked, {failures} times: "
                    f"{problem}; check the network and GITHUB_API_URL, or try again later"
                )
            _log.info("%s: attempt %d failed (%s); trying again", url, failures, problem)
            longest = min(self._settings.max_delay, self._settings.base_delay * 2.0**failures / 2)
            # The whole range is drawn from, so that clients that failed together spread out.
            self._settings.sleep(longest * int.from_bytes(os.urandom(4)) / 2**32)

    def _follow(self, url: str, accept: str, kept: KeptAnswer | None) -> Reply:
        """One request, through its redirects."""
        for _ in range(_MOST_REDIRECTS):
            reply = self._once(url, accept, kept)
            if reply.status not in _REDIRECTS:
                return reply
            following = urlsplit(urljoin(url, reply.headers.get("location", "")))
            if following.scheme not in {"https", urlsplit(url).scheme} or not following.netloc:
                raise LookupFailedError(
                    f"GitHub redirects to {following.geturl()!r:.200}, which is not followed; "
                    "check GITHUB_API_URL"
                )
            url = following.geturl()
        raise LookupFailedError(
            f"GitHub redirects more than {_MOST_REDIRECTS} times; check GITHUB_API_URL"
        )

    def _once(self, url: str, accept: str, kept: KeptAnswer | None) -> Reply:
        headers = {
            "Accept": accept,
            "Accept-Encoding": "gzip",
            "User-Agent": "therock-outputs",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        if self._settings.token.value and _origin(urlsplit(url)) == _origin(self._base):
            headers["Authorization"] = f"Bearer {self._settings.token.value}"
        if kept is not None:
            headers["If-None-Match"] = kept.etag
        _log.debug("GET %s", url)
        response = self._pool.request(
            "GET", url, headers=headers, redirect=False, retries=False, preload_content=False
        )
        try:
            data = response.read(_LARGEST_ANSWER + 1)
            if len(data) > _LARGEST_ANSWER:
                response.close()
                raise LookupFailedError(f"GitHub's answer from {url} is larger than 64 MiB")
        finally:
            response.release_conn()
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, names, data)

    def _rate_limit_pause(self, reply: Reply) -> float | None:
        """How many seconds a rate limit asks to wait; None when it is not the problem."""
        if reply.status not in {403, 429}:
            return None
        after = reply.headers.get("retry-after", "")
        if after.isascii() and after.isdigit():
            return float(min(int(after[:9]), 1 << 30))
        reset = reply.headers.get("x-ratelimit-reset", "")
        if reply.headers.get("x-ratelimit-remaining") == "0" and re.fullmatch("[0-9]{1,12}", reset):
            # By the server's clock, which is not this machine's; and not a moment too early.
            return max(0.0, int(reset) - self._now(reply)) + 1.0
        if reply.status == 429 or "rate limit" in reply.message.lower():
            return _SECONDARY_PAUSE
        return None

    def _refuse_long_waits(self, reply: Reply, pause: float, waited: float) -> None:
        if waited <= self._settings.longest_wait:
            return
        until = datetime.fromtimestamp(self._now(reply) + pause, UTC)
        fix = "try again then"
        if self._settings.token.value is None:
            fix = f"set GITHUB_TOKEN, which has a limit of its own, or {fix}"
        raise LookupFailedError(
            f"GitHub's rate limit for {self._settings.token.source} is used up until "
            f"{until:%Y-%m-%d %H:%M:%S} UTC, in {round(pause / 60) or 1} min; {fix}"
        )

    def _now(self, reply: Reply) -> float:
        try:
            return email.utils.parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
        except ValueError:
            return self._settings.clock()


def _checked_url(settings: ApiSettings) -> SplitResult:
    """The API's URL; UsageError for one that is none, or over which a token could be read."""
    url = urlsplit(settings.url.rstrip("/"))
    try:
        port_is_fine = url.port is None or url.port > 0
    except ValueError:
        port_is_fine = False
    if url.scheme not in {"http", "https"} or not url.hostname or not port_is_fine:
        raise UsageError(f"GITHUB_API_URL is {settings.url!r}; it is a URL like {API_URL}")
    if url.username or url.password or url.query or url.fragment:
        raise UsageError("GITHUB_API_URL holds more than a host and a path; give a plain URL")
    if url.scheme == "http" and settings.token.value and not _is_loopback(url.hostname):
        raise UsageError(
            f"GITHUB_API_URL is {settings.url!r}, where anybody on the way could read the token "
            f"of {settings.token.source}; use https"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme, (url.hostname or "").lower(), url.port


def _pool(url: SplitResult, settings: ApiSettings) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names for this host."""
    options = {
        "maxsize": settings.connections,
        "timeout": urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
    }
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.netloc):
        return urllib3.ProxyManager(proxy if "//" in proxy else f"http://{proxy}", **options)  # type: ignore[arg-type]
    return urllib3.PoolManager(**options)  # type: ignore[arg-type]


def _reason(error: HTTPError) -> str:
    """The kind of failure in words; urllib3's own quote object addresses."""
    if isinstance(error, ProtocolError):
        return "the connection broke off"
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return name.removesuffix(" error")
