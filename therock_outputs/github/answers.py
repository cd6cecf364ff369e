"""What GitHub's answers say, read strictly: runs, jobs, commits and comparisons.

Every answer is input. What this module gives has numbers where numbers belong, commits of 40
hexadecimal digits and repositories that are names; titles and branches may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from therock_outputs.errors import LookupFailedError, OutputsError
from therock_outputs.layout import WorkflowRun, parse_repository

__all__ = ["Commit", "Comparison", "Job", "Relation", "Run", "items_of", "object_of"]

Relation = str
"""GitHub's word for how a head stands to a base: ahead, behind, identical or diverged."""

_SHA = re.compile(r"[0-9a-f]{40}")
_WORD = re.compile(r"[a-z][a-z_]{0,39}")
_RELATIONS = frozenset({"ahead", "behind", "identical", "diverged"})
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow run."""

    run_id: str
    repository: str
    """As GitHub spells it today."""
    head_repository: str | None
    """Where the commit came from; None when that fork was deleted since."""
    workflow: str
    """The workflow's file, as in ``multi_arch_ci.yml``."""
    title: str
    commit: str
    branch: str
    event: str
    status: str
    """``queued``, ``in_progress``, ``completed``, …"""
    conclusion: str
    """``success``, ``failure``, …; empty while the run is under way."""
    created_at: datetime
    updated_at: datetime
    attempt: int
    url: str

    @classmethod
    def parse(cls, value: object, what: str) -> Self:
        """Read GitHub's workflow-run object; LookupFailedError when it is none."""
        answer = object_of(value, what)
        try:
            layout = WorkflowRun.from_api(answer, _repository(answer, "repository", what))
        except LookupFailedError:
            raise
        except OutputsError as error:
            raise LookupFailedError(f"GitHub's answer about {what}: {error}") from None
        what = f"run {layout.run_id}"
        return cls(
            run_id=layout.run_id,
            repository=layout.repository,
            head_repository=layout.head_repository,
            workflow=_text(answer, "path").partition("@")[0].rpartition("/")[2],
            title=_text(answer, "display_title") or _text(answer, "name"),
            commit=_sha(answer, "head_sha", what),
            branch=_text(answer, "head_branch"),
            event=_word(answer, "event", what),
            status=_word(answer, "status", what),
            conclusion=_word(answer, "conclusion", what),
            created_at=_time(answer, "created_at", what),
            updated_at=_time(answer, "updated_at", what),
            attempt=_count(answer, "run_attempt", what, default=1),
            url=_web_address(answer),
        )

    @property
    def is_done(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status == "completed"

    @property
    def state(self) -> str:
        """Its state in one word or two, for people."""
        return (self.conclusion or self.status if self.is_done else self.status).replace("_", " ")

    @property
    def is_forks(self) -> bool:
        """Whether what it built came from another repository, so that others decided about it."""
        return (self.head_repository or "").lower() != self.repository.lower()

    def for_layout(self) -> dict[str, object]:
        """What of the answer decides where the run's outputs lie, in GitHub's own shape."""
        head = self.head_repository
        return {
            "id": int(self.run_id),
            "head_repository": {"full_name": head} if head else None,
            "updated_at": self.updated_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a run's last attempt."""

    name: str
    status: str
    conclusion: str

    @classmethod
    def parse(cls, value: object, what: str) -> Self:
        """Read GitHub's job object."""
        answer = object_of(value, what)
        return cls(
            _text(answer, "name"),
            _word(answer, "status", what),
            _word(answer, "conclusion", what),
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit."""

    sha: str
    title: str
    """The first line of its message."""
    date: datetime
    """When it was committed."""

    @classmethod
    def parse(cls, value: object, what: str) -> Self:
        """Read GitHub's commit object."""
        answer = object_of(value, what)
        commit = object_of(answer.get("commit"), what)
        committer = object_of(commit.get("committer"), what)
        title = _text(commit, "message").partition("\n")[0]
        return cls(_sha(answer, "sha", what), title, _time(committer, "date", what))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a head stands to a base."""

    relation: Relation
    ahead_by: int
    """Commits of the head that the base has not."""
    behind_by: int
    """Commits of the base that the head has not."""
    merge_base: str

    @classmethod
    def parse(cls, value: object, what: str) -> Self:
        """Read GitHub's comparison object."""
        answer = object_of(value, what)
        relation = _word(answer, "status", what)
        if relation not in _RELATIONS:
            raise LookupFailedError(
                f"GitHub's answer about {what} has 'status' {relation!r}, which is no relation"
            )
        base = object_of(answer.get("merge_base_commit"), what)
        return cls(
            relation,
            _count(answer, "ahead_by", what),
            _count(answer, "behind_by", what),
            _sha(base, "sha", what),
        )


def object_of(value: object, what: str) -> Mapping[str, object]:
    """The value as a JSON object; LookupFailedError when it is none."""
    if not isinstance(value, Mapping):
        raise LookupFailedError(f"GitHub's answer about {what} is not of its usual form")
    return value


def items_of(value: object, key: str | None, what: str) -> list[object]:
    """The list in an answer, or the answer that is one; LookupFailedError when it is none."""
    items = object_of(value, what).get(key) if key else value
    if not isinstance(items, list):
        raise LookupFailedError(f"GitHub's answer about {what} holds no list")
    return items


def _text(answer: Mapping[str, object], key: str) -> str:
    value = answer.get(key)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _word(answer: Mapping[str, object], key: str, what: str) -> str:
    value = answer.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _strange(answer, key, what)
    return value


def _sha(answer: Mapping[str, object], key: str, what: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not _SHA.fullmatch(value):
        raise _strange(answer, key, what)
    return value


def _count(answer: Mapping[str, object], key: str, what: str, default: int | None = None) -> int:
    value = answer.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _strange(answer, key, what)
    return value


def _time(answer: Mapping[str, object], key: str, what: str) -> datetime:
    value = answer.get(key)
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise _strange(answer, key, what) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _repository(answer: Mapping[str, object], key: str, what: str) -> str:
    name = object_of(answer.get(key), what).get("full_name")
    try:
        return parse_repository(name if isinstance(name, str) else "")
    except OutputsError:
        raise LookupFailedError(
            f"GitHub's answer about {what} has a {key!r} that is not owner/name: {name!r:.200}"
        ) from None


def _web_address(answer: Mapping[str, object]) -> str:
    url = _text(answer, "html_url")
    return url if url.startswith(("https://", "http://")) else ""


def _strange(answer: Mapping[str, object], key: str, what: str) -> LookupFailedError:
    return LookupFailedError(
        f"GitHub's answer about {what} has {key!r} {answer.get(key)!r:.200}, which cannot be"
    )
