"""From commits to runs that have archives: GitHub says which runs there were, storage what is left.

A run's page on GitHub stays when its archives are gone, and archives are there before its last
job is done, so that both are asked: one listing for each run.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Self

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, base_target
from therock_outputs.artifacts.run_contents import RunContents, list_run
from therock_outputs.errors import (
    IntegrityError,
    LookupFailedError,
    NotFoundError,
    OutputsError,
    StorageError,
)
from therock_outputs.github.answers import Commit, Run
from therock_outputs.github.client import GitHub
from therock_outputs.layout import Platform, ReleaseType, WorkflowOutputRoot
from therock_outputs.storage import Storage
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = [
    "FOR_TRUST",
    "LOOKUPS",
    "UNDER_WAY",
    "CommitRuns",
    "FoundRun",
    "RunFinder",
    "Wanted",
    "describe_failure",
    "newest_with_all",
    "pause",
]

LOOKUPS = 8
"""Questions at a time: they wait for servers, not for processors."""
UNDER_WAY = "the end of its jobs"
"""What a run lacks that may still get archives."""
FOR_TRUST = "trust: it is a fork's"
"""What a run lacks where it is to stand for a branch: anybody may open a pull request whose head is
a commit of that branch, and what its jobs uploaded is what that person let them upload."""

_SHOWN = 3
_stop: ContextVar[Stop | None] = ContextVar("stop", default=None)
"""Of the look-ups that this thread is one of."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run must have to be of use."""

    platform: Platform = Platform.LINUX
    names: tuple[tuple[str, frozenset[str]], ...] = ()
    """Each asked family or target, with the archive targets that serve it."""
    require: tuple[str, ...] = ()
    """Regular expressions, each of which has to be found in an archive's file name."""
    known_as: frozenset[str] = frozenset()
    """What the names of jobs may call the GPUs: the asked names, their targets and families."""

    @classmethod
    def of(
        cls,
        platform: Platform,
        names: Iterable[str],
        families: GpuFamilies,
        require: Iterable[str] = (),
    ) -> Self:
        """From families and targets as a user names them.

        A family is served by archives of its own name and by those of any of its targets.
        """
        served = []
        known_as: set[str] = set()
        for name in dict.fromkeys(names):
            own = {base_target(name)}
            if families.is_known(name):
                own |= {base_target(target) for target in families.targets_of(name)}
                targets = families.expand([base_target(name)])
                known_as.update(*(families.families_of(target) for target in targets))
            else:
                _log.warning("%s: no known GPU family or target; looked for as it stands", name)
            known_as |= own
            served.append((name, frozenset(own)))
        patterns = tuple(dict.fromkeys(require))
        return cls(platform, tuple(served), patterns, frozenset(known_as))

    def lacking(self, archives: Iterable[ArchiveName]) -> tuple[str, ...]:
        """What is asked for and not among these archives, in words."""
        names = list(archives)
        if not names:
            return ("archives",)
        targets = {name.artifact.base_target for name in names}
        lacks = [name for name, served in self.names if targets.isdisjoint(served)]
        lacks += [
            repr(pattern)
            for pattern in self.require
            if not any(re.search(pattern, name.filename) for name in names)
        ]
        return tuple(lacks)

    def __str__(self) -> str:
        words = [name for name, _ in self.names] + [repr(pattern) for pattern in self.require]
        return " and ".join([f"archives for {self.platform}", *words])


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run, and what is there of it."""

    run: Run
    root: WorkflowOutputRoot
    archives: tuple[ArchiveName, ...]
    size: int
    """Compressed bytes of all of them."""
    lacks: tuple[str, ...]
    """What was asked for and is not there, in words; empty: it has everything."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The families or targets that it has archives for."""
        found = (name.artifact for name in self.archives)
        return tuple(sorted({one.target for one in found if not one.is_generic}))


@dataclass(frozen=True, slots=True)
class CommitRuns:
    """The runs of one commit."""

    commit: str
    runs: tuple[FoundRun, ...]
    """Newest first."""
    lacks: tuple[str, ...]
    """What none of them has."""

    @property
    def best(self) -> FoundRun | None:
        """The newest run that has everything by itself; a fork's only where there is no other."""
        complete = [found for found in self.runs if not found.lacks]
        own = [found for found in complete if not found.run.is_forks]
        return next(iter(own or complete), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinder:
    """Looks runs up. Raises LookupFailedError where GitHub or storage cannot be asked."""

    github: GitHub
    repository: str
    wanted: Wanted
    storages: Sequence[Storage]
    """Where a run may lie; the first that has archives of it counts."""
    workflow: str | None = None
    """Only runs of this workflow's file; None: of any."""
    release_type: ReleaseType = ReleaseType.CI
    bucket: str | None = None
    prefix: str | None = None
    successful: bool = False
    """Leave out runs that did not end with success."""
    finished: bool = False
    """Whether a run that is under way lacks its end. Patterns name the archives that are needed;
    where there are some, such a run will do when they are all there."""
    forks: bool = True
    """Whether a fork's run will do."""

    def of_run(self, run: Run) -> FoundRun:
        """What is there of a run: one listing."""
        root = WorkflowOutputRoot.from_workflow_run(
            environ={},
            platform=self.wanted.platform,
            repository=run.repository,
            release_type=self.release_type,
            run=run.for_layout(),
            bucket=self.bucket,
            prefix=self.prefix,
        )
        try:
            contents = self._contents(root)
        except IntegrityError as error:
            return FoundRun(run, root, (), 0, (f"a readable listing ({error})",))
        names = tuple(archive.name for archive in contents.archives) if contents else ()
        size = sum(archive.size for archive in contents.archives) if contents else 0
        lacks = self.wanted.lacking(names)
        if self.finished and not run.is_done and not self.wanted.require:
            lacks = (*lacks, UNDER_WAY)
        if run.is_forks and not self.forks:
            lacks = (*lacks, FOR_TRUST)
        return FoundRun(run, root, names, size, lacks)

    def of_commit(self, commit: str, jobs: int = 1) -> CommitRuns:
        """The runs of a commit (40 digits) and what is there of each."""
        runs = self.github.runs(self.repository, commit=commit, workflow=self.workflow)
        if self.successful:
            runs = [run for run in runs if run.conclusion == "success"]
        found = run_parallel(self._one, runs, jobs, abandon=True)
        usable = [one for one in found if not {UNDER_WAY, FOR_TRUST} & set(one.lacks)]
        together = [name for one in usable for name in one.archives]
        return CommitRuns(commit, tuple(found), self.wanted.lacking(together))

    def of_commits(self, commits: Iterator[Commit]) -> Iterator[tuple[Commit, CommitRuns]]:
        """Commits with their runs, in their order, several looked up at a time."""
        while window := list(itertools.islice(commits, LOOKUPS)):
            looked_up = run_parallel(self._commit, window, LOOKUPS, abandon=True)
            yield from zip(window, looked_up, strict=True)

    def _one(self, run: Run, stop: Stop) -> FoundRun:
        stop.check()
        _stop.set(stop)
        return self.of_run(run)

    def _commit(self, commit: Commit, stop: Stop) -> CommitRuns:
        stop.check()
        _stop.set(stop)
        return self.of_commit(commit.sha)

    def _contents(self, root: WorkflowOutputRoot) -> RunContents | None:
        for storage in self.storages:
            try:
                contents = list_run(storage, root)
            except NotFoundError:
                continue
            except StorageError as error:
                raise LookupFailedError(
                    f"what run {root.run_id} has could not be asked: {error}"
                ) from error
            if contents.archives:
                return contents
        return None


def pause(seconds: float) -> None:
    """Wait, unless the look-ups that this one belongs to are given up meanwhile."""
    stop = _stop.get()
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


def newest_with_all(
    finder: RunFinder, commits: Iterator[Commit], *, single_run: bool = False
) -> tuple[Commit, CommitRuns]:
    """The first of the commits whose runs have everything that is wanted.

    ``single_run`` asks for one run with all of it. Forks' runs do not count. NotFoundError tells
    what the commits lack.
    """
    finder = replace(finder, forks=False)
    count, first = 0, ""
    for commit, runs in finder.of_commits(commits):
        count += 1
        if runs.best is not None or (not single_run and not runs.lacks):
            _log.info("%s: %s", commit.sha, "has everything")
            return commit, runs
        why = _why_not(runs)
        first = first or f"; the newest, {commit.sha[:8]}, has {why}"
        _log.info("%s: has %s", commit.sha, why)
    raise NotFoundError(
        f"of {count} commits of {finder.repository} none has {finder.wanted}{first}; "
        "look further with --max-commits, or ask for less"
    )


def _why_not(runs: CommitRuns) -> str:
    """What a commit is without, as the end of a sentence that begins with "it has"."""
    if not runs.runs:
        return "no run"
    shown = [
        f"run {one.run.run_id} ({one.run.state}) without {', '.join(one.lacks or runs.lacks)}"
        for one in runs.runs[:_SHOWN]
    ]
    more = len(runs.runs) - _SHOWN
    return " and ".join(shown) + (f" and {more} more" if more > 0 else "")


def describe_failure(finder: RunFinder, runs: CommitRuns) -> OutputsError:
    """The error for a commit that has no run with everything."""
    return NotFoundError(
        f"commit {runs.commit[:12]} of {finder.repository} has {_why_not(runs)}; "
        "find-artifacts shows its runs, baseline-artifacts an ancestor that has them"
    )
