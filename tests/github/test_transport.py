"""Asking GitHub: tokens, limits, retries, redirects, kept answers."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from tests.github.conftest import SECRET, Ask
from tests.github_server import Broken, GitHubServer, github_server, sha
from therock_outputs.errors import LookupFailedError, UsageError
from therock_outputs.github import answer_cache
from therock_outputs.github.client import GitHub
from therock_outputs.github.credentials import ANONYMOUS, Token, token_for
from therock_outputs.github.transport import ApiSettings, Transport

REPOSITORY = "ROCm/TheRock"
NOW = "Mon, 30 Nov 2026 12:00:00 GMT"
NOW_SECONDS = 1796040000


def test_token_stands_in_the_request_and_nowhere_else(
    server: GitHubServer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    server.repository()
    github = ask()
    with caplog.at_level(logging.DEBUG):
        github.default_branch(REPOSITORY)
    [asked] = server.asked
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert asked.headers["user-agent"] == "therock-outputs"
    assert SECRET not in caplog.text
    assert SECRET not in repr(github._transport.settings)
    ask(token=None).default_branch(REPOSITORY)
    assert "authorization" not in server.asked[-1].headers


# -------------------------------------------------------------------------- kept answers


def test_answer_that_still_holds_is_not_sent_again(
    server: GitHubServer, ask: Ask, tmp_path: Path
) -> None:
    server.per_page = 2
    server.repository().line_of_commits(3)
    first = list(ask(cached=True).commits(REPOSITORY, "main", 9))
    assert list(ask(cached=True).commits(REPOSITORY, "main", 9)) == first
    assert [asked.status for asked in server.asked] == [200, 200, 304, 304]
    server.repository().add_commit(sha(9), first[0].sha, branch="main")
    assert len(list(ask(cached=True).commits(REPOSITORY, "main", 9))) == 4
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()}
    assert modes == {0o600}


def test_answers_of_one_token_are_not_shown_to_another(server: GitHubServer, ask: Ask) -> None:
    server.repository()
    ask(cached=True).default_branch(REPOSITORY)
    ask(cached=True, token="other").default_branch(REPOSITORY)
    ask(cached=True, token=None).default_branch(REPOSITORY)
    assert [asked.status for asked in server.asked] == [200, 200, 200]


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"[1]\nx", b"\xff", None])
def test_damaged_answer_is_asked_for_anew(
    server: GitHubServer, ask: Ask, tmp_path: Path, damage: bytes | None
) -> None:
    server.repository()
    ask(cached=True).default_branch(REPOSITORY)
    [path] = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!" if damage is None else damage)
    assert ask(cached=True).default_branch(REPOSITORY) == "main"
    assert [asked.status for asked in server.asked] == [200, 200]


def test_cache_that_cannot_be_written_is_done_without(
    server: GitHubServer, ask: Ask, tmp_path: Path
) -> None:
    server.repository()
    (tmp_path / "cache").write_text("in the way")
    assert ask(cached=True).default_branch(REPOSITORY) == "main"


def test_cache_does_not_grow_without_end(
    server: GitHubServer, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "_MOST_FILES", 6)
    server.repository().line_of_commits(9)
    github = ask(cached=True)
    for number in range(9):
        github.commit(REPOSITORY, sha(number))
        os.utime(max((tmp_path / "cache").iterdir(), key=os.path.getmtime), (number, number))
    assert len(list((tmp_path / "cache").iterdir())) <= 6


def test_writer_that_fails_leaves_nothing(
    server: GitHubServer, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repository()

    def refuse(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    assert ask(cached=True).default_branch(REPOSITORY) == "main"
    assert list((tmp_path / "cache").iterdir()) == []


# ----------------------------------------------------------------- retries and rate limits


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_failure_that_can_pass_is_tried_again(
    server: GitHubServer, ask: Ask, slept: list[float], status: int
) -> None:
    server.repository()
    server.break_with(Broken(status, b"oops", times=3))
    assert ask().default_branch(REPOSITORY) == "main"
    assert len(server.asked) == 4
    assert [pause <= limit for pause, limit in zip(slept, (0.5, 1, 2), strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("status", "said"), [(502, "it answers 502"), (0, "the connection broke off")]
)
def test_failure_that_stays_is_a_failed_lookup(
    server: GitHubServer, ask: Ask, status: int, said: str
) -> None:
    server.break_with(Broken(status, b"", times=99))
    with pytest.raises(LookupFailedError, match=f"could not be asked, 5 times: {said}"):
        ask().default_branch(REPOSITORY)
    assert len(server.asked) == 5


def test_nobody_there_is_a_failed_lookup(slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = ApiSettings(url=f"http://127.0.0.1:{port}", sleep=slept.append, attempts=2)
    with pytest.raises(LookupFailedError, match=rf"127\.0\.0\.1:{port} could not be asked"):
        GitHub(Transport(settings)).default_branch(REPOSITORY)


def test_server_that_says_nothing_is_not_waited_for_long(slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = ApiSettings(url=url, sleep=slept.append, attempts=2, read_timeout=0.05)
        with pytest.raises(LookupFailedError, match="read timeout"):
            GitHub(Transport(settings)).default_branch(REPOSITORY)


def _limited(seconds: int, **more: object) -> Broken:
    return Broken(
        403,
        {"message": "API rate limit exceeded for user ID 1."},
        (
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", str(NOW_SECONDS + seconds)),
            ("Date", NOW),
        ),
        **more,  # type: ignore[arg-type]
    )


def test_short_rate_limit_is_waited_for(
    server: GitHubServer, ask: Ask, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.repository()
    server.break_with(_limited(30))
    assert ask().default_branch(REPOSITORY) == "main"
    assert slept == [31.0]
    assert "going on in 31 s" in caplog.text


def test_long_rate_limit_says_until_when(server: GitHubServer, ask: Ask) -> None:
    server.break_with(_limited(1800))
    with pytest.raises(LookupFailedError, match="until 2026-11-30 12:30:01 UTC, in 30 min; try"):
        ask().default_branch(REPOSITORY)
    server.break_with(_limited(1800))
    with pytest.raises(LookupFailedError, match="set GITHUB_TOKEN"):
        ask(token=None).default_branch(REPOSITORY)


def test_rate_limit_that_comes_again_and_again_ends(
    server: GitHubServer, ask: Ask, slept: list[float]
) -> None:
    server.break_with(_limited(40, times=99))
    with pytest.raises(LookupFailedError, match="rate limit"):
        ask().default_branch(REPOSITORY)
    assert slept == [41.0, 41.0]


@pytest.mark.parametrize(
    ("broken", "pause"),
    [
        (Broken(429, {"message": "x"}, (("Retry-After", "7"),)), 7.0),
        (Broken(403, {"message": "secondary"}, (("retry-after", "0"),)), 0.0),
        (Broken(403, {"message": "You have exceeded a secondary rate limit."}), 60.0),
        (Broken(429, b""), 60.0),
    ],
)
def test_secondary_rate_limits_are_waited_for(
    server: GitHubServer, ask: Ask, slept: list[float], broken: Broken, pause: float
) -> None:
    server.repository()
    server.break_with(broken)
    assert ask().default_branch(REPOSITORY) == "main"
    assert slept == [pause]


def test_reset_without_a_date_goes_by_this_clock(
    server: GitHubServer, ask: Ask, slept: list[float]
) -> None:
    server.repository()
    headers = (("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000010"))
    server.break_with(Broken(403, {}, (*headers, ("Date", "no date"))))
    assert ask().default_branch(REPOSITORY) == "main"
    assert slept == [11.0]


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Broken(401, {"message": "Bad credentials"}), "token of GITHUB_TOKEN (401 Bad cred"),
        (Broken(403, {"message": "Resource not accessible"}), "does the token allow it"),
        (Broken(451, {"message": "a\nb" + "x" * 999}), "answers 451 about repository ROCm"),
        (Broken(418, b"<html>"), "answers 418"),
        (Broken(200, b"<html>Log in to the network</html>"), "is not JSON"),
        (Broken(200, b"[" * 100_000), "is not JSON"),
        (Broken(200, b"\xff\xfe"), "is not JSON"),
    ],
)
def test_refusal_is_a_failed_lookup_in_one_line(
    server: GitHubServer, ask: Ask, broken: Broken, said: str
) -> None:
    server.break_with(broken)
    with pytest.raises(LookupFailedError) as raised:
        ask().default_branch(REPOSITORY)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert SECRET not in str(raised.value)


def test_answer_without_end_is_not_read(
    server: GitHubServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("therock_outputs.github.transport._LARGEST_ANSWER", 1000)
    server.break_with(Broken(200, bytes(1001)))
    with pytest.raises(LookupFailedError, match="larger than"):
        ask().default_branch(REPOSITORY)


# --------------------------------------------------------------------------- redirects


def test_renamed_repository_is_followed_with_the_token(server: GitHubServer, ask: Ask) -> None:
    server.repository("ROCm/new")
    server.break_with(Broken(301, {}, (("Location", "/repos/ROCm/new"),), "/ROCm/old"))
    assert ask().default_branch("ROCm/old") == "main"
    assert "authorization" in server.asked[1].headers


def test_other_host_does_not_get_the_token(server: GitHubServer, ask: Ask) -> None:
    with github_server() as other:
        other.repository()
        location = f"{other.url}/repos/ROCm/TheRock"
        server.break_with(Broken(302, {}, (("Location", location),)))
        assert ask().default_branch(REPOSITORY) == "main"
        assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/", "", "http:///"])
def test_redirect_to_something_else_is_not_followed(
    server: GitHubServer, ask: Ask, location: str
) -> None:
    server.break_with(Broken(302, {}, (("Location", location),), times=99))
    with pytest.raises(LookupFailedError, match="redirects"):
        ask().default_branch(REPOSITORY)


def test_next_page_at_another_host_is_refused(server: GitHubServer, ask: Ask) -> None:
    link = '<http://127.0.0.1:1/x?page=2>; rel="next"'
    server.break_with(Broken(200, [], (("Link", link),)))
    with pytest.raises(LookupFailedError, match="another host"):
        list(ask().commits(REPOSITORY, "main", 5))


def test_pages_that_never_end_are_not_read_for_ever(
    server: GitHubServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("therock_outputs.github.transport._MOST_PAGES", 3)
    link = f'<{server.url}/x?page=2>; rel="prev next", <{server.url}/y>; rel="next"'
    server.break_with(Broken(200, [], (("Link", link),), times=99))
    assert list(ask().commits(REPOSITORY, "main", 5)) == []
    assert len(server.asked) == 4


# ----------------------------------------------------------------- where and with what


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("api.github.com", "URL like https"),
        ("ftp://x", "URL like https"),
        ("https://", "URL like https"),
        ("https://x:99999", "URL like https"),
        ("https://u:p@x", "plain URL"),
        ("https://x?y", "plain URL"),
        ("http://github.example.org/api/v3", "use https"),
    ],
)
def test_address_that_will_not_do_is_a_usage_error(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Transport(ApiSettings(url=url, token=Token(SECRET, "GITHUB_TOKEN")))


def test_address_may_have_a_path_and_need_no_encryption_without_a_token(
    server: GitHubServer, slept: list[float]
) -> None:
    Transport(ApiSettings(url="http://github.example.org/api/v3"))
    Transport(ApiSettings(url="http://localhost:1", token=Token(SECRET, "gh")))
    settings = ApiSettings(url=f"{server.url}/api/v3/", sleep=slept.append)
    server.break_with(Broken(200, {"default_branch": "trunk"}))
    assert GitHub(Transport(settings)).default_branch(REPOSITORY) == "trunk"
    assert server.targets() == ["/api/v3/repos/ROCm/TheRock"]


def test_proxy_of_the_environment_is_used_except_where_it_is_not_to_be(
    server: GitHubServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repository()
    with github_server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "")
        proxy.break_with(Broken(200, {"default_branch": "by-proxy"}))
        assert ask(token=None).default_branch(REPOSITORY) == "by-proxy"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert ask(token=None).default_branch(REPOSITORY) == "main"


def _gh(directory: Path, script: str) -> dict[str, str]:
    directory.mkdir(exist_ok=True)
    program = directory / "gh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


def test_token_of_the_environment_is_first(tmp_path: Path) -> None:
    environ = _gh(tmp_path, "echo from-gh")
    assert token_for("https://api.github.com", f" {SECRET}\n", environ).value == SECRET


def test_gh_is_asked_for_the_token_of_this_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = _gh(tmp_path, 'test "$1 $2 $3" = "auth token --hostname" && echo "for-$4"')
    monkeypatch.setenv("PATH", environ["PATH"])
    for url, host in (
        ("https://api.github.com", "github.com"),
        ("https://git.example.org/api/v3", "git.example.org"),
    ):
        token = token_for(url, None, environ)
        assert (token.value, token.source) == (f"for-{host}", "gh")
    assert token_for("https://api.github.com", "  ", environ).source == "gh"


@pytest.mark.parametrize("script", ["exit 1", "echo 'no oauth token' >&2; exit 4", "true"])
def test_without_a_token_it_is_asked_anonymously(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    environ = _gh(tmp_path, script)
    monkeypatch.setenv("PATH", environ["PATH"])
    assert token_for("https://api.github.com", None, environ) == ANONYMOUS


def test_gh_that_is_not_there_or_does_not_run_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert token_for("https://api.github.com", None, {"PATH": str(tmp_path)}) == ANONYMOUS
    (tmp_path / "gh").write_text("#!/nowhere/at/all\n")
    (tmp_path / "gh").chmod(0o644)
    assert token_for("https://api.github.com", None, {"PATH": str(tmp_path)}) == ANONYMOUS


def test_gh_that_asks_somebody_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = _gh(tmp_path, "exec sleep 60")
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.setattr("therock_outputs.github.credentials._PATIENCE", 0.05)
    assert token_for("https://api.github.com", None, environ) == ANONYMOUS


@pytest.mark.parametrize("value", ["two words", "a\r\nX-Evil: 1", "ü", "x" * 2000])
def test_token_that_no_header_can_hold_is_refused_unseen(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="GITHUB_TOKEN") as raised:
        token_for("https://api.github.com", value, {})
    assert value not in str(raised.value)
