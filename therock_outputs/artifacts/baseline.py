"""The nearest ancestor of a commit that has everything: what a build of the commit can begin with.

The walk begins where the commit's history meets the default branch: there CI has built every
commit, and nothing of a branch that may be given up.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from therock_outputs.artifacts.find import FoundRun, RunFinder, Wanted
from therock_outputs.errors import NotFoundError
from therock_outputs.github.answers import Job
from therock_outputs.github.client import GitHub
from therock_outputs.layout import Platform

__all__ = ["Baseline", "BaselineRules", "Rejected", "find_baseline", "judge_baseline"]

_BUILDS = re.compile(r"\b(?:build|stage)\b", re.IGNORECASE)
_FOR_OTHERS = re.compile(r"pytorch|jax|wheel|packag|tarball", re.IGNORECASE)
_TESTS = re.compile(r"\btests?\b", re.IGNORECASE)
_GPU = re.compile(r"gfx[0-9A-Za-z]+(?:-[A-Za-z]+)*")
_FINE = frozenset({"success", "skipped", "neutral"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRules:
    """Which runs will do."""

    now: datetime
    max_age: timedelta | None = None
    exclude_runs: frozenset[str] = frozenset()
    needed_jobs: tuple[str, ...] = ()
    """Regular expressions for the names of jobs that must have succeeded; none: the jobs that
    build archives for what is wanted."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A run that will not do."""

    run_id: str
    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was found."""

    found: FoundRun
    distance: int
    """Commits that came since."""
    age: timedelta
    """Since its run began."""
    rejected: tuple[Rejected, ...]
    """Nearer runs, with the reason for each."""


def find_baseline(
    finder: RunFinder, commit: str, rules: BaselineRules, *, branch: str, max_commits: int
) -> Baseline:
    """Walk back from the merge base of ``commit`` and ``branch``; NotFoundError when all fail."""
    start = finder.github.merge_base(finder.repository, branch, commit)
    _log.info("%s meets %s at %s", commit, branch, start)
    rejected: list[Rejected] = []
    looked = 0
    commits = finder.github.commits(finder.repository, start, max_commits)
    for ancestor, runs in finder.of_commits(commits):
        looked += 1
        if not runs.runs:
            _log.info("%s: no run", ancestor.sha)
        for found in runs.runs:
            reason = _reason_against(finder, found, rules)
            if reason is None:
                # Asked of GitHub, and not concluded from the walk: it also gives the distance.
                reason, distance = _distance(finder.github, found, commit)
            if reason is None:
                return Baseline(found, distance, _age(found, rules), tuple(rejected))
            _log.info("%s: run %s is rejected: %s", ancestor.sha, found.run.run_id, reason)
            rejected.append(Rejected(found.run.run_id, ancestor.sha, reason))
    why = f"; run {rejected[0].run_id}: {rejected[0].reason}" if rejected else "; they have no runs"
    raise NotFoundError(
        f"none of {looked} ancestors of {commit[:12]} on {branch} has {finder.wanted}{why}; "
        "look further with --max-commits (-v says each reason)"
    )


def judge_baseline(finder: RunFinder, run_id: str, commit: str, rules: BaselineRules) -> Baseline:
    """Whether one run can be the baseline of a commit; NotFoundError says why not."""
    found = finder.of_run(finder.github.run(finder.repository, run_id))
    reason, distance = _distance(finder.github, found, commit)
    reason = reason or _reason_against(finder, found, rules)
    if reason is not None:
        raise NotFoundError(f"run {run_id} is no baseline of {commit[:12]}: {reason}")
    return Baseline(found, distance, _age(found, rules), ())


def _age(found: FoundRun, rules: BaselineRules) -> timedelta:
    return max(timedelta(), rules.now - found.run.created_at)


def _distance(github: GitHub, found: FoundRun, commit: str) -> tuple[str | None, int]:
    """A reason against a run's commit as an ancestor, or how many commits came since."""
    base = found.run.commit
    try:
        comparison = github.compare(found.run.repository, base, commit)
    except NotFoundError as error:
        return f"its commit {base[:12]} is unrelated ({error})", 0
    if comparison.relation in {"ahead", "identical"}:
        return None, comparison.ahead_by
    if comparison.relation == "behind":
        return f"its commit {base[:12]} is a descendant, {comparison.behind_by} commits later", 0
    return f"its commit {base[:12]} is no ancestor, the two have diverged", 0


def _reason_against(finder: RunFinder, found: FoundRun, rules: BaselineRules) -> str | None:
    run = found.run
    if run.run_id in rules.exclude_runs:
        return "it is excluded"
    if run.is_forks:
        return "it is a fork's"
    age = _age(found, rules)
    if rules.max_age is not None and age > rules.max_age:
        hours = age.total_seconds() / 3600
        return f"it is {hours:.0f} hours old"
    if found.lacks:
        return f"it is without {', '.join(found.lacks)}"
    if run.is_done and run.conclusion == "success":
        return None
    return _job_reason(finder.github.jobs(run), finder.wanted, rules)


def _job_reason(jobs: Sequence[Job], wanted: Wanted, rules: BaselineRules) -> str | None:
    """Why a run that did not end with success is not to be used all the same."""
    needed = [job for job in jobs if _is_needed(job, wanted, rules)]
    if not needed:
        return "none of its jobs is known to build what is needed (see --needed-jobs)"
    for job in needed:
        if job.status != "completed":
            return f"its job {job.name!r} is not done"
        if job.conclusion not in _FINE:
            return f"its job {job.name!r} ended with {job.conclusion or 'nothing'}"
    return None


def _is_needed(job: Job, wanted: Wanted, rules: BaselineRules) -> bool:
    if rules.needed_jobs:
        return any(re.search(pattern, job.name) for pattern in rules.needed_jobs)
    # The names of jobs in called workflows follow those of their callers, behind slashes.
    last = job.name.rpartition("/")[2]
    others = [name.value for name in Platform if name is not wanted.platform]
    if not _BUILDS.search(job.name) or _FOR_OTHERS.search(job.name) or _TESTS.search(last):
        return False
    if any(re.search(rf"\b{other}", job.name, re.IGNORECASE) for other in others):
        return False
    named = set(_GPU.findall(job.name))
    ours = wanted.known_as
    # Jobs also write gfx94X for a family.
    ours_in_short = {name.partition("-")[0] for name in ours}
    return not named or not ours or not named.isdisjoint(ours | ours_in_short)
