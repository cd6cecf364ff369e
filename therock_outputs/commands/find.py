"""The tasks ``find-artifacts`` and ``latest-artifacts``: from commits to runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from therock_outputs.artifacts.find import LOOKUPS, CommitRuns, FoundRun, RunFinder
from therock_outputs.console import Console, format_size
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.github.actions import append_outputs
from therock_outputs.github.answers import Commit, Run
from therock_outputs.layout import parse_repository, parse_run_id
from therock_outputs.lookups import (
    MAX_COMMITS,
    finder_of,
    full_commit,
    github_of,
    latest_run,
    told_run,
)
from therock_outputs.settings import Settings
from therock_outputs.storage import open_storage

__all__ = [
    "FindOptions",
    "FindReport",
    "FoundCommit",
    "FoundRow",
    "find_artifacts",
    "latest_artifacts",
    "row_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindOptions:
    """What the flags say beyond the settings; as they were typed."""

    commit: str | None = None
    ref: str | None = None
    run_id: str | None = None
    range: str | None = None
    branch: str | None = None
    repo: str | None = None
    require: Sequence[str] = ()
    single_run: bool = False
    successful: bool = False
    max_commits: int = MAX_COMMITS

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A run, in the JSON document."""

    run_id: str
    url: str
    commit: str
    branch: str
    workflow: str
    event: str
    title: str
    state: str
    is_done: bool
    is_forks: bool
    """Whether it built what another repository has."""
    created_at: str
    root: str
    archives: int
    size: int
    targets: tuple[str, ...]
    lacks: tuple[str, ...]
    """What was asked for and is not there; empty: the run has everything."""


@dataclass(frozen=True, slots=True)
class FoundCommit:
    """A commit, in the JSON document."""

    commit: str
    complete: bool
    """Whether it has everything that was asked for."""
    lacks: tuple[str, ...]
    runs: tuple[FoundRow, ...]


@dataclass(frozen=True, slots=True)
class FindReport:
    """The JSON document."""

    repository: str
    wanted: str
    commits: tuple[FoundCommit, ...]


def find_artifacts(settings: Settings, options: FindOptions, console: Console) -> FindReport:
    """Show which runs built commits and what each has; NotFoundError when none has it all."""
    finder = _finder(settings, options)
    found = tuple(_looked_up(finder, options))
    report = FindReport(
        finder.repository,
        str(finder.wanted),
        tuple(_commit_row(runs, options) for runs in found),
    )
    console.document(report)
    runs = [one for commit in found for one in commit.runs]
    _tell_runs(runs, console)
    complete = [row for row in report.commits if row.complete]
    if not complete:
        raise NotFoundError(_none_has(finder, found, options))
    have = sum(not one.lacks for one in runs)
    of_runs = f"{have} of {len(runs)} runs have" if len(runs) > 1 else "the run has"
    console.say(f"{of_runs} {finder.wanted}" if have else f"together they have {finder.wanted}")
    _set_outputs(next(commit for commit in found if commit.commit == complete[0].commit))
    return report


def latest_artifacts(settings: Settings, options: FindOptions, console: Console) -> FoundCommit:
    """Show the newest commit of a branch that has everything; NotFoundError when none has."""
    finder = _finder(settings, options, finished=True)
    runs = latest_run(finder, options.branch, options.max_commits, single_run=options.single_run)
    _tell_runs(runs.runs, console)
    if runs.best is not None:
        console.say(f"Newest with {finder.wanted}: {told_run(runs.best.run)}")
    _set_outputs(runs)
    return _commit_row(runs, options)


def row_of(found: FoundRun) -> FoundRow:
    """What the JSON document says of a run."""
    run = found.run
    return FoundRow(
        run.run_id,
        run.url,
        run.commit,
        run.branch,
        run.workflow,
        run.event,
        run.title,
        run.state,
        run.is_done,
        run.is_forks,
        run.created_at.isoformat(),
        found.root.root.s3_uri,
        len(found.archives),
        found.size,
        found.targets,
        found.lacks,
    )


def _finder(settings: Settings, options: FindOptions, *, finished: bool = False) -> RunFinder:
    if options.repo is not None:
        settings = replace(settings, run_github_repo=parse_repository(options.repo))
    return finder_of(
        settings,
        github_of(settings),
        storages=[open_storage(settings.staging_dir)],
        require=options.require,
        successful=options.successful,
        finished=finished,
    )


def _looked_up(finder: RunFinder, options: FindOptions) -> Iterator[CommitRuns]:
    """The commits that were asked for, newest first."""
    github, repository = finder.github, finder.repository
    if options.run_id is not None:
        number = parse_run_id(options.run_id)
        if not number.isdigit():
            raise UsageError(f"run {number!r} was never on GitHub; give a run's number")
        found = finder.of_run(github.run(repository, number))
        yield CommitRuns(found.run.commit, (found,), found.lacks)
    elif options.range is not None:
        yield from (runs for _, runs in finder.of_commits(_range(finder, options)))
    elif options.ref is not None:
        yield finder.of_commit(github.commit(repository, options.ref).sha, LOOKUPS)
    elif options.commit is not None:
        yield finder.of_commit(full_commit(github, repository, options.commit), LOOKUPS)
    else:
        raise UsageError("which runs? give --commit, --ref, --run-id or --range")


def _range(finder: RunFinder, options: FindOptions) -> Iterator[Commit]:
    base, dots, head = (options.range or "").partition("..")
    if not dots or not base or not head or head.startswith(".") or ".." in head:
        raise UsageError(f"--range is {options.range!r}; it has two ends, as in 3f2a9c1e..main")
    commits = finder.github.commits_between(finder.repository, base, head, options.max_commits)
    if not commits:
        raise NotFoundError(
            f"{options.range} holds no commit of {finder.repository}: {head} has nothing that "
            f"{base} has not; are the ends the wrong way round?"
        )
    return iter(commits)


def _commit_row(runs: CommitRuns, options: FindOptions) -> FoundCommit:
    complete = runs.best is not None if options.single_run else not runs.lacks
    return FoundCommit(runs.commit, complete, runs.lacks, tuple(row_of(one) for one in runs.runs))


def _tell_runs(runs: Sequence[FoundRun], console: Console) -> None:
    if not runs:
        return
    console.table(
        ("run", "commit", "state", "begun (UTC)", "archives", "size", "lacks"),
        [
            (
                one.run.run_id,
                one.run.commit[:8],
                _state(one.run),
                f"{one.run.created_at:%Y-%m-%d %H:%M}",
                len(one.archives),
                format_size(one.size),
                ", ".join(one.lacks) or "-",
            )
            for one in runs
        ],
    )


def _state(run: Run) -> str:
    """How a run is, and whose where that matters."""
    state = run.state if run.is_done else f"{run.state} …"
    return f"{state} (fork)" if run.is_forks else state


def _none_has(finder: RunFinder, found: Sequence[CommitRuns], options: FindOptions) -> str:
    runs = sum(len(commit.runs) for commit in found)
    what = f"{len(found)} commits" if len(found) != 1 else f"commit {found[0].commit[:12]}"
    if not runs:
        of = f" of {finder.workflow}" if finder.workflow else ""
        kind = "successful run" if finder.successful else "run"
        return (
            f"{what} of {finder.repository} has no {kind}{of}; check --repo, or give --workflow any"
        )
    alone = " by itself" if options.single_run else ""
    none = f"none of {runs} runs of {what} has" if runs > 1 else f"the run of {what} does not have"
    return f"{none} {finder.wanted}{alone}; see the column lacks"


def _set_outputs(runs: CommitRuns) -> None:
    """For later steps in CI."""
    best = runs.best
    outputs = {"commit": runs.commit, "run_id": best.run.run_id if best else ""}
    append_outputs(os.environ, outputs)
