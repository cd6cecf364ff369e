"""What GitHub says of a workflow run, as far as it decides where the run's outputs lie.

Both shapes are GitHub's: the answer of ``GET /repos/{owner}/{repo}/actions/runs/{id}`` and the
payload of the event that started a job. The caller reads them; nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from therock_outputs.errors import UsageError
from therock_outputs.layout.location import LayoutError
from therock_outputs.layout.names import parse_repository

__all__ = ["WorkflowRun", "is_fork_pull_request"]

_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run as the API describes it."""

    run_id: str
    repository: str
    """The repository asked, not a fork's head."""
    head_repository: str | None
    """Where the commit came from; None when that fork was deleted since."""
    updated_at: datetime | None
    """In UTC; None when the answer does not say."""

    @classmethod
    def from_api(cls, answer: Mapping[str, object], repository: str) -> WorkflowRun:
        """Read the API's answer about a run of ``repository``; LayoutError if it is not one."""
        run_id = answer.get("id")
        if not isinstance(run_id, int) or isinstance(run_id, bool) or run_id <= 0:
            raise LayoutError(
                f"the answer about a run of {repository} has no numeric 'id'; "
                "expected GitHub's workflow-run object"
            )
        return cls(
            run_id=str(run_id),
            repository=repository,
            head_repository=_full_name(answer.get("head_repository")),
            updated_at=_timestamp(answer.get("updated_at"), str(run_id)),
        )

    @property
    def is_fork_pr(self) -> bool:
        """Whether the commit came from another repository.

        A run whose head repository is gone was a fork's: the asked repository still exists.
        """
        head = self.head_repository
        return head is None or head.lower() != self.repository.lower()


def is_fork_pull_request(
    environ: Mapping[str, str], event: Mapping[str, object] | None = None
) -> bool:
    """Whether the job that is running now belongs to a fork's pull request.

    ``IS_PR_FROM_FORK`` decides when it is set; otherwise the event payload does, by its
    pull request's head and base repositories. Without either it is not one. Raises UsageError
    for a value of the variable that is neither yes nor no, LayoutError for a payload whose
    pull request cannot be read: guessing could hand a fork the write role.
    """
    setting = environ.get("IS_PR_FROM_FORK", "").strip().lower()
    if setting in _YES | _NO:
        return setting in _YES
    if setting:
        raise UsageError(f"IS_PR_FROM_FORK is {setting!r}; set it to true or false")
    pull_request = (event or {}).get("pull_request")
    if pull_request is None:
        return False
    base = _side(pull_request, "base")
    if base is None:
        raise LayoutError(
            "the event payload's pull_request has no base.repo.full_name; "
            "set IS_PR_FROM_FORK to true or false"
        )
    head = _side(pull_request, "head")
    return head is None or head.lower() != base.lower()


def _side(pull_request: object, side: str) -> str | None:
    """The repository's full name of a pull request's ``head`` or ``base``."""
    branch = pull_request.get(side) if isinstance(pull_request, Mapping) else None
    return _full_name(branch.get("repo") if isinstance(branch, Mapping) else None)


def _full_name(repository: object) -> str | None:
    name = repository.get("full_name") if isinstance(repository, Mapping) else None
    return parse_repository(name) if isinstance(name, str) else None


def _timestamp(text: object, run_id: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise LayoutError(
            f"'updated_at' of run {run_id} is {text!r}; expected a time like 2025-11-11T16:18:48Z"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
