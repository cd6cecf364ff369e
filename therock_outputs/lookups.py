"""From what stands for a run (a commit, a branch, a baseline) to the run, by asking GitHub."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from therock_outputs.artifacts.baseline import (
    Baseline,
    BaselineRules,
    find_baseline,
    judge_baseline,
)
from therock_outputs.artifacts.find import (
    LOOKUPS,
    UNDER_WAY,
    CommitRuns,
    FoundRun,
    RunFinder,
    Wanted,
    describe_failure,
    newest_with_all,
    pause,
)
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.pins import PINNED_WORKFLOWS, pinned_ref
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.formatting import format_duration
from therock_outputs.github.answers import Run
from therock_outputs.github.client import GitHub
from therock_outputs.github.credentials import token_for
from therock_outputs.github.transport import ApiSettings, Transport
from therock_outputs.layout import THEROCK_REPOSITORY, ReleaseType
from therock_outputs.settings import Settings
from therock_outputs.storage import Storage, open_storage

__all__ = [
    "MAX_COMMITS",
    "BaselineQuery",
    "FoundBaseline",
    "finder_of",
    "full_commit",
    "github_of",
    "latest_run",
    "look_up_baseline",
    "look_up_run",
    "settle_run",
    "told_run",
]

MAX_COMMITS = 50
"""How many commits of a branch are looked at."""
_MAX_ANCESTORS = 100

_WORKFLOW = "multi_arch_ci.yml"
"""The workflow whose runs have archives, for release type ci."""
_ANY_WORKFLOW = "any"
_PINNED_NAMES = frozenset({"rocm-libraries", "rocm-systems"})
"""Repositories that build with TheRock at a commit which their workflow files name."""
_COMMIT = re.compile(r"[0-9a-f]{4,40}")
_REMOTE = re.compile(r"[/:](?P<owner>[^/:]+)/(?P<name>[^/]+?)(?:\.git)?/?$")


def github_of(settings: Settings, environ: Mapping[str, str] | None = None) -> GitHub:
    """A client for the server, the token and the cache that are set."""
    environ = os.environ if environ is None else environ
    url = settings.github_api_url
    cache = settings.cache_home
    return GitHub(
        Transport(
            ApiSettings(
                url=url,
                token=token_for(url, settings.github_token, environ),
                cache_dir=cache / "therock-outputs" / "github" if cache else None,
                connections=LOOKUPS,
                sleep=pause,
            )
        )
    )


def finder_of(
    settings: Settings,
    github: GitHub,
    *,
    storages: Sequence[Storage] | None = None,
    require: Sequence[str] = (),
    successful: bool = False,
    finished: bool = False,
) -> RunFinder:
    """What looks for runs of the settings' repository that have what the settings ask for.

    By default a run may lie where a task would read it: in the staging directory, else in S3.
    """
    if storages is None:
        local = [open_storage(settings.staging_dir)] if settings.staging_dir else []
        storages = [*local, open_storage(None)]
    group = (settings.artifact_group,) if settings.artifact_group else ()
    names = (
        *group,
        *settings.amdgpu_families,
        *settings.amdgpu_targets,
        *settings.dist_amdgpu_families,
    )
    default = _WORKFLOW if settings.release_type is ReleaseType.CI else _ANY_WORKFLOW
    workflow = settings.workflow or default
    return RunFinder(
        github=github,
        repository=settings.run_github_repo,
        wanted=Wanted.of(settings.platform, names, GpuFamilies.load(), require),
        storages=storages,
        workflow=None if workflow == _ANY_WORKFLOW else workflow,
        release_type=settings.release_type,
        bucket=settings.bucket,
        prefix=settings.prefix,
        successful=successful,
        finished=finished,
    )


def settle_run(settings: Settings, console: Console) -> Settings:
    """The settings with the run that they stand for, and with what GitHub says of it.

    NotFoundError when there is none, LookupFailedError when nobody could be asked.
    """
    if not settings.finds_run:
        return look_up_run(settings)
    github = github_of(settings)
    if settings.baseline:
        query = BaselineQuery(commit=settings.commit, rules=BaselineRules(now=datetime.now(UTC)))
        baseline = look_up_baseline(settings, github, query)
        found = baseline.baseline.found
        console.note(baseline.told)
    else:
        found = _run_of(settings, finder_of(settings, github, finished=True))
        console.note(f"reading {told_run(found.run)}")
        if not found.run.is_done:
            console.warn(f"run {found.run.run_id} is still under way; it may get more archives")
        if found.run.is_forks:
            whose = found.run.head_repository or "a fork that is gone"
            console.warn(f"run {found.run.run_id} built what {whose} has: trust it no further")
    return _with_run(settings, found.run)


def look_up_run(settings: Settings) -> Settings:
    """The settings with what GitHub says of their run."""
    run_id = settings.required_run_id
    if not run_id.isdigit():
        raise UsageError(
            f"--lookup asks GitHub about a run, and {run_id!r} was never there; leave it out"
        )
    return _with_run(settings, github_of(settings).run(settings.run_github_repo, run_id))


def told_run(run: Run) -> str:
    """A run in words, for people."""
    of = f"{run.commit[:12]} ({run.branch})" if run.branch else run.commit[:12]
    where = f": {run.url}" if run.url else ""
    return f"run {run.run_id} ({run.state}) of commit {of}{where}"


def full_commit(github: GitHub, repository: str, text: str) -> str:
    """The 40 digits of a commit that is named by some of them; UsageError for what is no hash."""
    if not _COMMIT.fullmatch(text.lower()):
        raise UsageError(
            f"commit {text!r} is not 4 to 40 hexadecimal digits; for names there are --branch "
            "and, in find-artifacts, --ref"
        )
    return github.commit(repository, text.lower()).sha


def _with_run(settings: Settings, run: Run) -> Settings:
    return replace(
        settings,
        run_id=run.run_id,
        upload_run_id=settings.upload_run_id or run.run_id,
        run_github_repo=run.repository,
        run_answer=run.for_layout(),
    )


def _run_of(settings: Settings, finder: RunFinder) -> FoundRun:
    if settings.commit is not None:
        commit = full_commit(finder.github, finder.repository, settings.commit)
        runs = finder.of_commit(commit, LOOKUPS)
        under_way = [one for one in runs.runs if one.lacks == (UNDER_WAY,)]
        under_way.sort(key=lambda one: one.run.is_forks)
        best = runs.best or next(iter(under_way), None)
        if best is None:
            raise describe_failure(finder, runs)
        return best
    runs = latest_run(finder, settings.branch, MAX_COMMITS, single_run=True)
    assert runs.best is not None  # noqa: S101 - asked for
    return runs.best


def latest_run(
    finder: RunFinder, branch: str | None, max_commits: int, *, single_run: bool
) -> CommitRuns:
    """The newest commit of a branch (None: the default one) whose runs have everything."""
    branch = branch or finder.github.default_branch(finder.repository)
    commits = finder.github.commits(finder.repository, branch, max_commits)
    return newest_with_all(finder, commits, single_run=single_run)[1]


# -------------------------------------------------------------------------------- baselines


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineQuery:
    """Whose baseline, and how far to look."""

    rules: BaselineRules
    commit: str | None = None
    """None: what is checked out in ``checkout``."""
    checkout: Path = field(default_factory=Path)
    branch: str | None = None
    """None: the repository's default branch."""
    max_commits: int = _MAX_ANCESTORS
    run_id: str | None = None
    """Only this run is judged."""
    require: Sequence[str] = ()
    storages: Sequence[Storage] | None = None


@dataclass(frozen=True, slots=True)
class FoundBaseline:
    """A baseline, and what it is one of."""

    repository: str
    commit: str
    followed: str | None
    """The commit of TheRock that a pinned repository builds with."""
    baseline: Baseline

    @property
    def told(self) -> str:
        """In words: which run, how far, how old."""
        baseline = self.baseline
        commits = "commit" if baseline.distance == 1 else "commits"
        age = format_duration(baseline.age.total_seconds())
        pin = f", which builds with TheRock {self.followed[:12]}" if self.followed else ""
        return (
            f"baseline of {self.commit[:12]}{pin}: {told_run(baseline.found.run)}, "
            f"{baseline.distance} {commits} and {age} before"
        )


def look_up_baseline(settings: Settings, github: GitHub, query: BaselineQuery) -> FoundBaseline:
    """The baseline of a commit, or of what is checked out.

    In a repository that pins TheRock it is that of the pinned commit, in TheRock.
    """
    repository, commit = settings.run_github_repo, query.commit
    if commit is None:
        commit = _git(query.checkout, "rev-parse", "--verify", "HEAD")
        repository = _repository_of(query.checkout, repository)
    commit = full_commit(github, repository, commit)
    followed = None
    start = commit
    runs_of = repository
    if repository.rpartition("/")[2].lower() in _PINNED_NAMES:
        runs_of = THEROCK_REPOSITORY
        followed = start = _pinned_commit(github, repository, commit)
    finder = finder_of(
        replace(settings, run_github_repo=runs_of),
        github,
        storages=query.storages,
        require=query.require,
    )
    if query.run_id is not None:
        baseline = judge_baseline(finder, query.run_id, start, query.rules)
    else:
        branch = query.branch or github.default_branch(runs_of)
        baseline = find_baseline(
            finder, start, query.rules, branch=branch, max_commits=query.max_commits
        )
    return FoundBaseline(repository, commit, followed, baseline)


def _pinned_commit(github: GitHub, repository: str, commit: str) -> str:
    for name in PINNED_WORKFLOWS:
        path = f".github/workflows/{name}"
        try:
            data = github.file(repository, path, commit)
        except NotFoundError:
            continue
        ref = pinned_ref(data, f"{path} of {repository} at {commit[:12]}")
        if ref is not None:
            return github.commit(THEROCK_REPOSITORY, ref).sha
    raise NotFoundError(
        f"no workflow file of {repository} at {commit[:12]} names a commit of TheRock "
        f"({', '.join(PINNED_WORKFLOWS)}); give it with --commit and --repo {THEROCK_REPOSITORY}"
    )


def _repository_of(checkout: Path, asked: str) -> str:
    """A pinned repository when that is what is checked out and no other was asked for."""
    if asked != THEROCK_REPOSITORY:
        return asked
    try:
        url = _git(checkout, "remote", "get-url", "origin")
    except NotFoundError:
        return asked  # a repository need not have such a remote
    match = _REMOTE.search(url)
    # A fork's commits are looked up where they are headed.
    if match and match["name"].lower() in _PINNED_NAMES:
        return f"ROCm/{match['name'].lower()}"
    return asked


def _git(checkout: Path, *words: str) -> str:
    command = ["git", "-C", str(checkout), *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise NotFoundError(
            "git is not installed, so no checkout can be asked; give --commit"
        ) from None
    if done.returncode:
        said = done.stderr.strip().removeprefix("fatal: ")
        raise NotFoundError(
            f"{checkout.absolute()}: git says {said!r}; give --commit, or --checkout DIR"
        )
    return done.stdout.strip()
