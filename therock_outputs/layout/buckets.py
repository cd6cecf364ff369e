"""Which bucket a run's outputs lie in, and who may write there: one table and one decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from therock_outputs.errors import UsageError
from therock_outputs.layout.names import (
    THEROCK_REPOSITORY,
    ReleaseType,
    parse_release_type,
    parse_repository,
)

__all__ = ["CI_CUTOVER", "BucketChoice", "choose_bucket", "role_arn"]

CI_CUTOVER = datetime(2025, 11, 11, 16, 18, 48, tzinfo=UTC)
"""Runs of release type ci last updated until then stayed in the buckets of that time."""

_ACCOUNT = "692859939525"


@dataclass(frozen=True, slots=True)
class BucketChoice:
    """Where a run's outputs lie, and why."""

    bucket: str
    external_repo: str
    """``{owner}-{repo}/`` in a bucket that several repositories share, else empty."""
    write_role: str | None
    """ARN of the role that may write there; None when no role may."""
    reasons: tuple[str, ...]
    """The decision in sentences, in the order it was made."""


@dataclass(frozen=True, slots=True)
class _Bucket:
    role: str | None
    external: bool = False
    """Shared by all repositories but TheRock's own, and by the pull requests of forks."""


# The buckets from before the cutover are read, and no longer written.
_BUCKETS: Mapping[str, _Bucket] = MappingProxyType(
    {
        "therock-ci-artifacts": _Bucket("therock-ci"),
        "therock-ci-artifacts-external": _Bucket("therock-ci-external", external=True),
        "therock-artifacts": _Bucket(None),
        "therock-artifacts-external": _Bucket(None, external=True),
        "therock-dev-artifacts": _Bucket("therock-dev"),
        "therock-nightly-artifacts": _Bucket("therock-nightly"),
        "therock-prerelease-artifacts": _Bucket("therock-prerelease"),
    }
)

# Of ci runs: (external, before the cutover).
_CI_BUCKETS: Mapping[tuple[bool, bool], str] = MappingProxyType(
    {
        (False, False): "therock-ci-artifacts",
        (True, False): "therock-ci-artifacts-external",
        (False, True): "therock-artifacts",
        (True, True): "therock-artifacts-external",
    }
)

_TYPE_BUCKETS: Mapping[ReleaseType, str] = MappingProxyType(
    {
        ReleaseType.DEV: "therock-dev-artifacts",
        ReleaseType.DEV_BKC: "therock-dev-artifacts",
        ReleaseType.NIGHTLY: "therock-nightly-artifacts",
        ReleaseType.NIGHTLY_BKC: "therock-nightly-artifacts",
        ReleaseType.PRERELEASE: "therock-prerelease-artifacts",
    }
)


def role_arn(role: str, account: str = _ACCOUNT) -> str:
    """The ARN under which AWS knows a role."""
    return f"arn:aws:iam::{account}:role/{role}"


def choose_bucket(
    *,
    repository: str,
    release_type: str,
    is_fork_pr: bool = False,
    updated_at: datetime | None = None,
    bucket: str | None = None,
) -> BucketChoice:
    """Decide where a run of ``repository`` keeps its outputs; ``bucket`` overrides the table.

    ``updated_at`` is when the run last changed (None: now), for runs from before the cutover.
    Raises UsageError for a repository or release type that names nothing.
    """
    repository = parse_repository(repository)
    kind = parse_release_type(release_type)
    if bucket is not None:
        name, reasons = bucket, [f"bucket {bucket} was asked for"]
    elif kind is ReleaseType.CI:
        name, reasons = _ci_bucket(repository, is_fork_pr, updated_at)
    else:
        name, reasons = _bucket_of_type(kind)
    facts = _BUCKETS.get(name, _Bucket(None))
    external_repo = repository.replace("/", "-") + "/" if facts.external else ""
    if facts.external:
        reasons.append(f"{name} is shared, so the run lies under {external_repo}")
    role, reason = _write_role(name, is_fork_pr)
    reasons.append(reason)
    return BucketChoice(name, external_repo, role, tuple(reasons))


def _ci_bucket(
    repository: str, is_fork_pr: bool, updated_at: datetime | None
) -> tuple[str, list[str]]:
    external = is_fork_pr or repository != THEROCK_REPOSITORY
    before_cutover = updated_at is not None and _utc(updated_at) <= CI_CUTOVER
    name = _CI_BUCKETS[external, before_cutover]
    why = f"a run of {repository}"
    if is_fork_pr:
        why = f"a fork's pull request to {repository}"
    reasons = [f"release type ci and {why}: {name}"]
    if before_cutover and updated_at is not None:
        reasons.append(
            f"last updated {_utc(updated_at).isoformat()}, not after the cutover of "
            f"{CI_CUTOVER.isoformat()}: the buckets of that time"
        )
    return name, reasons


def _bucket_of_type(kind: ReleaseType) -> tuple[str, list[str]]:
    name = _TYPE_BUCKETS.get(kind)
    if name is None:
        allowed = ", ".join([ReleaseType.CI, *_TYPE_BUCKETS])
        raise UsageError(
            f"release type {kind.value!r} has no bucket for the outputs of runs; "
            f"choose one of {allowed}"
        )
    return name, [f"release type {kind.value}, whatever the repository: {name}"]


def _write_role(bucket: str, is_fork_pr: bool) -> tuple[str | None, str]:
    """The ARN and the sentence that says why."""
    facts = _BUCKETS.get(bucket)
    if facts is None:
        return None, f"no write role is known for {bucket}: the credentials at hand decide"
    if facts.role is None:
        return None, f"{bucket} is from before the cutover and no longer written to"
    if facts.external and is_fork_pr:
        return None, "a fork's pull request gets no write role"
    return role_arn(facts.role), f"{bucket} is written by role {facts.role}"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
