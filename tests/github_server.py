"""GitHub's API on the loopback interface: repositories that a test makes up, in GitHub's shapes.

Answers have the keys that GitHub's have, as far as anybody could read them, with ETags, pages
and the errors that it gives. A test can break the next answers as it likes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

EPOCH = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
"""When the first commit of every made-up repository was made; each later one is an hour younger."""
DOCUMENTATION = "https://docs.github.com/rest"
MISSING = {"message": "Not Found", "documentation_url": DOCUMENTATION, "status": "404"}


def sha(number: int | str) -> str:
    """A commit's hash that is the same at each run."""
    return hashlib.sha1(f"commit {number}".encode(), usedforsecurity=False).hexdigest()


def stamp(moment: datetime) -> str:
    """A time as GitHub writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Repository:
    """What the server knows of one repository."""

    name: str
    default_branch: str = "main"
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By path and commit."""
    workflows: set[str] = field(default_factory=lambda: {"multi_arch_ci.yml", "ci.yml"})

    def add_commit(
        self, commit: str, *parents: str, branch: str = "", title: str = "Change it"
    ) -> str:
        """A commit an hour after the last one."""
        date = EPOCH + timedelta(hours=len(self.commits))
        person = {"name": "A. Person", "email": "a@example.org", "date": stamp(date)}
        self.commits[commit] = {
            "sha": commit,
            "node_id": "C_kw",
            "commit": {
                "author": person,
                "committer": person,
                "message": f"{title}\n\nAt length.",
                "tree": {"sha": sha(f"tree {commit}")},
                "comment_count": 0,
            },
            "html_url": f"https://github.com/{self.name}/commit/{commit}",
            "author": None,
            "committer": None,
            "parents": [{"sha": parent} for parent in parents],
        }
        if branch:
            self.branches[branch] = commit
        return commit

    def line_of_commits(self, count: int, branch: str = "main") -> list[str]:
        """So many commits, one on the other; the oldest first."""
        made: list[str] = []
        for number in range(count):
            made.append(self.add_commit(sha(number), *made[-1:], branch=branch))
        return made

    def add_run(
        self,
        run_id: int,
        commit: str,
        *,
        conclusion: str | None = "success",
        status: str = "completed",
        workflow: str = "multi_arch_ci.yml",
        branch: str = "main",
        head: str | None = "",
        hours: float = 0.0,
        **more: object,
    ) -> dict[str, Any]:
        """A run of a commit, begun ``hours`` after the epoch."""
        began = EPOCH + timedelta(hours=hours)
        head_name = self.name if head == "" else head
        run = {
            "id": run_id,
            "name": "Multi-arch CI",
            "node_id": "WFR_kw",
            "head_branch": branch,
            "head_sha": commit,
            "path": f".github/workflows/{workflow}",
            "display_title": "Change it",
            "run_number": len(self.runs) + 1,
            "event": "push",
            "status": status,
            "conclusion": conclusion if status == "completed" else None,
            "workflow_id": 1,
            "url": f"https://api.github.com/repos/{self.name}/actions/runs/{run_id}",
            "html_url": f"https://github.com/{self.name}/actions/runs/{run_id}",
            "pull_requests": [],
            "created_at": stamp(began),
            "updated_at": stamp(began + timedelta(minutes=50)),
            "run_attempt": 1,
            "run_started_at": stamp(began),
            "repository": {"id": 1, "full_name": self.name, "private": False, "fork": False},
            "head_repository": {"id": 2, "full_name": head_name} if head_name else None,
            **more,
        }
        self.runs.append(run)
        return run

    def add_job(self, run_id: int, name: str, conclusion: str | None = "success") -> None:
        """A job of a run; without a conclusion it is still at work."""
        self.jobs.setdefault(run_id, []).append(
            {
                "id": run_id * 100 + len(self.jobs.get(run_id, [])),
                "run_id": run_id,
                "name": name,
                "status": "completed" if conclusion else "in_progress",
                "conclusion": conclusion,
                "steps": [],
                "runner_name": "linux-1",
            }
        )

    def ancestors(self, commit: str) -> list[str]:
        """A commit and all before it, newest first."""
        found: set[str] = set()
        waiting = [commit]
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting += [parent["sha"] for parent in self.commits[here]["parents"]]
        order = list(self.commits)
        return sorted(found, key=order.index, reverse=True)

    def resolve(self, ref: str) -> str | None:
        """The commit of a branch or of the beginning of a hash."""
        if ref in self.branches:
            return self.branches[ref]
        found = [commit for commit in self.commits if len(ref) >= 4 and commit.startswith(ref)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer in place of the right one."""

    status: int
    """0: the connection is closed; -1: nothing happens as long as the server is there."""
    body: object = None
    """JSON, or bytes as they are."""
    headers: tuple[tuple[str, str], ...] = ()
    path: str = ""
    """Part of the path and query; empty: any."""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    target: str
    headers: dict[str, str]
    """Names in lower case."""
    status: int


@dataclass(slots=True)
class GitHubServer:
    """The server as tests see it."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    """Set when a request has come that gets no answer."""
    gone: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)
    per_page: int = 100
    """The largest page that this server gives."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def repository(self, name: str = "ROCm/TheRock") -> Repository:
        """A new repository, or the one that is there."""
        return self.repositories.setdefault(name.lower(), Repository(name))

    def break_with(self, *broken: Broken) -> None:
        """Answer so from now on, each as often as it says."""
        with self.lock:
            self.broken = list(broken)

    def targets(self) -> list[str]:
        """What was asked for, in order."""
        with self.lock:
            return [asked.target for asked in self.asked]

    def take(self, target: str) -> Broken | None:
        """The broken answer for a request, which is used up by it."""
        with self.lock:
            for index, one in enumerate(self.broken):
                if one.path in target and one.times > 0:
                    self.broken[index] = Broken(
                        one.status, one.body, one.headers, one.path, one.times - 1
                    )
                    return one
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: GitHubServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        broken = self.github.take(self.path)
        if broken is not None and broken.status <= 0:
            self._note(broken.status)
            if broken.status < 0:
                self.github.silent.set()
                self.github.gone.wait()
            self.close_connection = True
            return
        if broken is not None:
            self._send(broken.status, broken.body, dict(broken.headers))
            return
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        status, body, key = self._answer(parts, query)
        if status != 200 or not isinstance(key, str):
            self._send(status, body, {})
            return
        items = body if key == "" else body[key]
        page = int(query.get("page", "1"))
        size = min(int(query.get("per_page", "30")), self.github.per_page)
        shown = items[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(items):
            others = "".join(f"{name}={value}&" for name, value in query.items() if name != "page")
            following = f"{self.github.url}{url.path}?{others}page={page + 1}"
            headers["Link"] = f'<{following}>; rel="next", <{following}>; rel="last"'
        self._send(200, shown if key == "" else {**body, key: shown}, headers)

    def _answer(self, parts: list[str], query: dict[str, str]) -> tuple[int, Any, str | None]:
        """Status, body, and the key of the list that is paged ("" when the body is the list)."""
        if len(parts) < 3 or parts[0] != "repos":
            return 404, MISSING, None
        repository = self.github.repositories.get("/".join(parts[1:3]).lower())
        if repository is None:
            return 404, MISSING, None
        match parts[3:]:
            case []:
                body = {"full_name": repository.name, "default_branch": repository.default_branch}
                return 200, body, None
            case ["actions", *what]:
                return self._actions(repository, what, query)
            case ["commits"]:
                commit = repository.resolve(query.get("sha", repository.default_branch))
                if commit is None:
                    return 404, MISSING, None
                return 200, [repository.commits[one] for one in repository.ancestors(commit)], ""
            case ["commits", *ref]:
                commit = repository.resolve("/".join(ref))
                if commit is None:
                    text = f"No commit found for SHA: {'/'.join(ref)}"
                    return 422, {"message": text, "documentation_url": DOCUMENTATION}, None
                return 200, repository.commits[commit], None
            case ["compare", basehead]:
                return self._compare(repository, basehead)
            case ["contents", *path]:
                data = repository.files.get(("/".join(path), query["ref"]))
                return (200, data, None) if data is not None else (404, MISSING, None)
        return 404, MISSING, None

    @staticmethod
    def _actions(
        repository: Repository, what: list[str], query: dict[str, str]
    ) -> tuple[int, Any, str | None]:
        match what:
            case ["runs", number]:
                for run in repository.runs:
                    if str(run["id"]) == number:
                        return 200, run, None
                return 404, MISSING, None
            case ["runs", number, "jobs"]:
                jobs = repository.jobs.get(int(number), [])
                return 200, {"total_count": len(jobs), "jobs": jobs}, "jobs"
            case [*where, "runs"]:
                if where and where[1] not in repository.workflows:
                    return 404, MISSING, None
                runs = [
                    run
                    for run in repository.runs
                    if query.get("head_sha", run["head_sha"]) == run["head_sha"]
                    and query.get("branch", run["head_branch"]) == run["head_branch"]
                    and (not where or run["path"].endswith(f"/{where[1]}"))
                ]
                runs.sort(key=lambda run: run["created_at"], reverse=True)
                return 200, {"total_count": len(runs), "workflow_runs": runs}, "workflow_runs"
        return 404, MISSING, None

    @staticmethod
    def _compare(repository: Repository, basehead: str) -> tuple[int, Any, str | None]:
        base, head = (repository.resolve(ref) for ref in basehead.split("..."))
        if base is None or head is None:
            return 404, MISSING, None
        before, after = repository.ancestors(base), repository.ancestors(head)
        common = [commit for commit in before if commit in after]
        if not common:
            text = f"No common ancestor between {base} and {head}."
            return 404, {"message": text, "documentation_url": DOCUMENTATION}, None
        ahead = [commit for commit in after if commit not in before]
        behind = [commit for commit in before if commit not in after]
        word = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind", (1, 1): "diverged"}
        body = {
            "status": word[bool(ahead), bool(behind)],
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "merge_base_commit": repository.commits[common[0]],
            "base_commit": repository.commits[base],
            "commits": [repository.commits[commit] for commit in reversed(ahead)],
        }
        return 200, body, "commits"

    def _send(self, status: int, body: object, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        etag = f'W/"{hashlib.sha256(data).hexdigest()}"'
        if status == 200 and self.headers.get("If-None-Match") == etag:
            status, data = 304, b""
        self._note(status)
        self.send_response_only(status)
        if status in {200, 304}:
            self.send_header("ETag", etag)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _note(self, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.github.lock:
            self.github.asked.append(Asked(self.path, headers, status))

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # the client went away
            self.close_connection = True


@contextmanager
def github_server() -> Iterator[GitHubServer]:
    """A server without any repository."""
    github = GitHubServer()
    handler = type("Handler", (_Handler,), {"github": github})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        github.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield github
        finally:
            github.gone.set()
            server.shutdown()
            thread.join()
