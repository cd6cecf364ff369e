"""What a task is asked to do, from its flags, the environment and the defaults, in this order.

Only this module reads the environment; the variables are TheRock's own where it has one.
AWS's own variables are read by boto3.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from therock_outputs.errors import UsageError
from therock_outputs.flags import SHARED, Flag, FlagValue, RawValue, parse_value
from therock_outputs.layout.names import (
    THEROCK_REPOSITORY,
    Platform,
    ReleaseType,
    parse_repository,
    parse_run_id,
)

__all__ = ["Settings", "settings_from"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that is common to the tasks; what a task has no flag for keeps its default."""

    run_id: str | None = None
    """The run that is read; None when neither a flag nor the environment names one."""
    commit: str | None = None
    """Stands for a run, as the four after it do; a look-up then finds its number."""
    branch: str | None = None
    latest: bool = False
    baseline: bool = False
    workflow: str | None = None
    """The workflow's file that a run is looked for in, or ``any``; None: by the release type."""
    lookup: bool = False
    """Whether GitHub is asked about the run."""
    run_answer: Mapping[str, object] | None = field(default=None, repr=False)
    """What GitHub says of the run, in its own shape, where it was asked."""
    run_github_repo: str = THEROCK_REPOSITORY
    """The repository of the run that is read."""
    upload_run_id: str | None = None
    """The run that outputs are put under."""
    github_repository: str = THEROCK_REPOSITORY
    """The repository that outputs are put under."""
    platform: Platform = Platform.LINUX
    release_type: ReleaseType = ReleaseType.CI
    artifact_group: str | None = None
    amdgpu_families: tuple[str, ...] = ()
    amdgpu_targets: tuple[str, ...] = ()
    dist_amdgpu_families: tuple[str, ...] = ()
    package_version: str | None = None
    staging_dir: Path | None = None
    """A directory instead of S3."""
    bucket: str | None = None
    prefix: str | None = None
    work_dir: Path | None = None
    output_dir: Path | None = None
    jobs: int = 1
    dry_run: bool = False
    json: bool = False
    verbose: bool = False
    debug: bool = False
    is_pr_from_fork: bool | None = None
    """None when nobody said."""
    github_actions: bool = False
    github_run_id: str | None = None
    github_token: str | None = field(default=None, repr=False)
    github_api_url: str = "https://api.github.com"
    cache_home: Path | None = None
    """The user's directory for what can be had again; None when there is none."""
    github_event_path: Path | None = None
    github_output: Path | None = None
    github_step_summary: Path | None = None

    @property
    def needs_lookup(self) -> bool:
        """Whether GitHub has to be asked before it is known which run is read, and where."""
        return self.lookup or self.finds_run

    @property
    def finds_run(self) -> bool:
        """Whether something else than a number stands for the run."""
        return bool(self.commit or self.branch or self.latest or self.baseline)

    @property
    def required_run_id(self) -> str:
        """The run that is read; UsageError when there is none."""
        if self.run_id is None:
            raise UsageError(
                "which run? give --run-id, --commit, --branch or --latest, or set THEROCK_RUN_ID"
            )
        return self.run_id

    @property
    def run_work_dir(self) -> Path:
        """The work directory: the one asked for, or ``build/{run}``."""
        return self.work_dir or Path("build") / self.required_run_id

    @property
    def run_output_dir(self) -> Path:
        """The directory of outputs: the one asked for, or ``outputs`` below the work directory."""
        return self.output_dir or self.run_work_dir / "outputs"


def settings_from(flags: Mapping[str, RawValue], environ: Mapping[str, str]) -> Settings:
    """Settle every setting: a flag wins over the environment, which wins over the default.

    ``flags`` holds what the command line gave, by name; what it does not hold was not given.
    An empty variable counts as not set. UsageError names the flag or the variable.
    """
    values = {name: _settle(flag, flags.get(name), environ) for name, flag in SHARED.items()}
    github_repository = environ.get("GITHUB_REPOSITORY") or THEROCK_REPOSITORY
    finds_run = any(values[name] for name in ("commit", "branch", "latest", "baseline"))
    # What the environment names is another run then: this job's own.
    run_id = None if finds_run else _checked_run_id(values["run_id"])
    return Settings(
        run_id=run_id,
        commit=_typed(str, values["commit"]),
        branch=_typed(str, values["branch"]),
        latest=bool(values["latest"]),
        baseline=bool(values["baseline"]),
        workflow=_typed(str, values["workflow"]),
        lookup=bool(values["lookup"]),
        run_github_repo=parse_repository(
            _typed(str, values["run_github_repo"]) or THEROCK_REPOSITORY
        ),
        upload_run_id=_checked_run_id(values["upload_run_id"]) or run_id,
        github_repository=parse_repository(github_repository),
        platform=_platform(values["platform"]),
        release_type=ReleaseType(_typed(str, values["release_type"]) or ReleaseType.CI),
        artifact_group=_typed(str, values["artifact_group"]),
        amdgpu_families=_words(values["amdgpu_families"]),
        amdgpu_targets=_words(values["amdgpu_targets"]),
        dist_amdgpu_families=_words(values["dist_amdgpu_families"]),
        package_version=_typed(str, values["package_version"]),
        staging_dir=_typed(Path, values["staging_dir"]),
        bucket=_typed(str, values["bucket"]),
        prefix=_typed(str, values["prefix"]),
        work_dir=_typed(Path, values["work_dir"]),
        output_dir=_typed(Path, values["output_dir"]),
        jobs=_typed(int, values["jobs"]) or _processors(),
        dry_run=bool(values["dry_run"]),
        json=bool(values["json"]),
        verbose=bool(values["verbose"]),
        debug=bool(values["debug"]),
        is_pr_from_fork=_truth("IS_PR_FROM_FORK", environ),
        github_actions=_truth("GITHUB_ACTIONS", environ) or False,
        github_run_id=environ.get("GITHUB_RUN_ID") or None,
        github_token=environ.get("GITHUB_TOKEN") or None,
        github_api_url=environ.get("GITHUB_API_URL") or "https://api.github.com",
        cache_home=_cache_home(environ),
        github_event_path=_path("GITHUB_EVENT_PATH", environ),
        github_output=_path("GITHUB_OUTPUT", environ),
        github_step_summary=_path("GITHUB_STEP_SUMMARY", environ),
    )


def _settle(flag: Flag, raw: RawValue, environ: Mapping[str, str]) -> FlagValue:
    if raw not in (None, False, []):
        return parse_value(flag, raw)
    for name in flag.environment:
        text = environ.get(name, "").strip()
        if text:
            try:
                return parse_value(flag, text)
            except UsageError as error:
                raise UsageError(f"{error} (from {name} in the environment)") from error
    return parse_value(flag, None)


def _checked_run_id(value: FlagValue) -> str | None:
    return None if value is None else parse_run_id(str(value))


def _platform(value: FlagValue) -> Platform:
    if value is not None:
        return Platform(str(value))
    return Platform.WINDOWS if sys.platform == "win32" else Platform.LINUX


def _typed(kind: type[_T], value: FlagValue) -> _T | None:
    return value if isinstance(value, kind) else None


def _words(value: FlagValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _path(name: str, environ: Mapping[str, str]) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def _cache_home(environ: Mapping[str, str]) -> Path | None:
    """As the XDG base directory specification says; a relative path counts as not set."""
    named = _path("XDG_CACHE_HOME", environ)
    if named is not None and named.is_absolute():
        return named
    home = _path("HOME", environ)
    return home / ".cache" if home is not None and home.is_absolute() else None


def _truth(name: str, environ: Mapping[str, str]) -> bool | None:
    text = environ.get(name, "").strip().lower()
    if not text:
        return None
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise UsageError(f"{name} in the environment is true or false, not {text!r}")


def _processors() -> int:
    # The processors this process may use: fewer than the machine's in a container.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
