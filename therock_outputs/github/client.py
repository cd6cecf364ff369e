"""What is asked of GitHub, one method for each question, with errors that name the question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from therock_outputs.errors import LookupFailedError, NotFoundError
from therock_outputs.github.answers import Commit, Comparison, Job, Run, items_of, object_of
from therock_outputs.github.transport import RAW, Reply, Transport

__all__ = ["GitHub"]

_Item = TypeVar("_Item")

_LARGEST_FILE = 1 << 20
_MOST_ITEMS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A list to ask for."""

    path: str
    params: Mapping[str, str]
    key: str | None
    """Where the list stands in the answer; None: the answer is the list."""
    what: str
    """What it is about, for errors."""
    missing: str
    """What to say when there is no such thing."""


class GitHub:
    """GitHub, read only. Safe to use from several threads.

    Every method raises LookupFailedError when GitHub cannot be asked or answers nonsense, and
    NotFoundError, with what to try, when there is no such thing.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def run(self, repository: str, run_id: str) -> Run:
        """A run by its number."""
        what = f"run {run_id} of {repository}"
        reply = self._transport.get(f"{_repo(repository)}/actions/runs/{_part(run_id)}")
        if reply.status == 404:
            raise NotFoundError(
                f"GitHub knows no {what}; check the number, or say whose run it is with "
                "--run-github-repo (--repo where a task has that); a private repository needs "
                "GITHUB_TOKEN"
            )
        run = Run.parse(_good(reply, what).json(what), what)
        if run.run_id != run_id:
            raise LookupFailedError(f"GitHub's answer about {what} is about run {run.run_id}")
        return run

    def runs(
        self,
        repository: str,
        *,
        commit: str | None = None,
        branch: str | None = None,
        workflow: str | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        """Runs of a whole commit (40 digits), of a branch, or both; newest first.

        ``workflow`` is a file as in ``multi_arch_ci.yml``; None: of any workflow.
        """
        what = f"runs of {commit or branch or 'all branches'} in {repository}"
        within = f"/workflows/{_part(workflow)}" if workflow else ""
        params = {
            name: value
            for name, value in (("head_sha", commit), ("branch", branch))
            if value is not None
        }
        missing = f"GitHub knows no repository {repository}"
        if workflow:
            missing = (
                f"GitHub knows no workflow {workflow} in {repository}; give --workflow FILE, "
                "or --workflow any"
            )
        path = f"{_repo(repository)}/actions{within}/runs"
        question = _Question(
            path=path, params=params, key="workflow_runs", what=what, missing=missing
        )
        found = list(self._list(question, Run.parse, limit))
        for run in found:
            if commit is not None and run.commit != commit:
                raise LookupFailedError(f"GitHub's answer about {what} has a run of {run.commit}")
        # By number as well: two runs of one event begin in the same second.
        found.sort(key=lambda run: (run.created_at, int(run.run_id)), reverse=True)
        return found

    def jobs(self, run: Run) -> list[Job]:
        """The jobs of a run's last attempt."""
        what = f"jobs of run {run.run_id}"
        question = _Question(
            path=f"{_repo(run.repository)}/actions/runs/{_part(run.run_id)}/jobs",
            params={"filter": "latest"},
            key="jobs",
            what=what,
            missing=f"GitHub knows no {what} of {run.repository}",
        )
        return list(self._list(question, Job.parse, _MOST_ITEMS))

    def commit(self, repository: str, ref: str) -> Commit:
        """The commit that a branch, a tag or the beginning of a hash stands for."""
        what = f"commit {ref} of {repository}"
        reply = self._transport.get(f"{_repo(repository)}/commits/{_part(ref)}")
        if reply.status in {404, 422}:
            raise NotFoundError(
                f"GitHub knows no {what}; push it, check the name, or give the repository with "
                "--run-github-repo (--repo where a task has that)"
            )
        return Commit.parse(_good(reply, what).json(what), what)

    def commits(self, repository: str, start: str, limit: int) -> Iterator[Commit]:
        """A commit or a branch's newest, then those before it; asked for page by page."""
        question = _Question(
            path=f"{_repo(repository)}/commits",
            params={"sha": start},
            key=None,
            what=f"commits of {start} in {repository}",
            missing=f"GitHub knows no branch or commit {start} in {repository}; check the name",
        )
        return self._list(question, Commit.parse, limit)

    def compare(self, repository: str, base: str, head: str) -> Comparison:
        """How ``head`` stands to ``base``."""
        what = f"{base}...{head} in {repository}"
        reply = self._transport.get(
            f"{_repo(repository)}/compare/{_part(base)}...{_part(head)}", {"per_page": "1"}
        )
        if reply.status in {404, 422}:
            why = reply.message or "not found"
            raise NotFoundError(
                f"GitHub cannot compare {what} ({why}): one of them is not there, or they have "
                "no commit in common"
            )
        return Comparison.parse(_good(reply, what).json(what), what)

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """The newest commit that both have."""
        return self.compare(repository, one, other).merge_base

    def commits_between(self, repository: str, base: str, head: str, limit: int) -> list[Commit]:
        """The commits of ``head`` that ``base`` has not, newest first; the newest ``limit``."""
        what = f"{base}..{head} in {repository}"
        question = _Question(
            path=f"{_repo(repository)}/compare/{_part(base)}...{_part(head)}",
            params={},
            key="commits",
            what=what,
            missing=f"GitHub cannot compare {what}; check both names, or give --repo",
        )
        return list(self._list(question, Commit.parse, _MOST_ITEMS))[::-1][:limit]

    def default_branch(self, repository: str) -> str:
        """The repository's default branch."""
        what = f"repository {repository}"
        reply = self._transport.get(_repo(repository))
        if reply.status == 404:
            raise NotFoundError(
                f"GitHub knows no {what}; check its name (GITHUB_TOKEN, if private)"
            )
        name = object_of(_good(reply, what).json(what), what).get("default_branch")
        if not isinstance(name, str) or not name:
            raise LookupFailedError(f"GitHub's answer about {what} names no default branch")
        return name

    def file(self, repository: str, path: str, ref: str) -> bytes:
        """A file of a repository as it was at a commit; at most 1 MiB."""
        what = f"{path} of {repository} at {ref}"
        reply = self._transport.get(
            f"{_repo(repository)}/contents/{quote(path)}", {"ref": ref}, accept=RAW
        )
        if reply.status == 404:
            raise NotFoundError(f"GitHub knows no {what}")
        data = _good(reply, what).data
        if len(data) > _LARGEST_FILE:
            raise LookupFailedError(f"{what} has {len(data)} bytes, more than it should")
        return data

    def _list(
        self, question: _Question, parse: Callable[[object, str], _Item], limit: int
    ) -> Iterator[_Item]:
        """The items of a list, page after page, as long as they are asked for."""
        count = 0
        for reply in self._transport.pages(question.path, question.params):
            if reply.status in {404, 409, 422}:
                raise NotFoundError(question.missing)
            value = _good(reply, question.what).json(question.what)
            for item in items_of(value, question.key, question.what):
                if count == limit:
                    return
                count += 1
                yield parse(item, question.what)


def _good(reply: Reply, what: str) -> Reply:
    """The reply, when it is one; LookupFailedError with GitHub's own words otherwise."""
    if reply.status == 200:
        return reply
    said = f" ({reply.message})" if reply.message else ""
    fix = "; does the token allow it?" if reply.status == 403 else ""
    raise LookupFailedError(f"GitHub answers {reply.status} about {what}{said}{fix}")


def _repo(repository: str) -> str:
    owner, _, name = repository.partition("/")
    return f"/repos/{_part(owner)}/{_part(name)}"


def _part(text: str) -> str:
    """The text as one segment of a path, whatever it holds."""
    # Dots are left alone by quote(), and two of them would climb.
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")
