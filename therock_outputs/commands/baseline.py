"""The task ``baseline-artifacts``: the nearest ancestor of a commit that has everything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.baseline import BaselineRules, Rejected
from therock_outputs.commands.find import FoundRow, row_of
from therock_outputs.console import Console, format_size
from therock_outputs.github.actions import append_outputs
from therock_outputs.layout import parse_repository, parse_run_id
from therock_outputs.lookups import BaselineQuery, github_of, look_up_baseline
from therock_outputs.settings import Settings
from therock_outputs.storage import open_storage

__all__ = ["BaselineOptions", "BaselineReport", "baseline_artifacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineOptions:
    """What the flags say beyond the settings; as they were typed."""

    commit: str | None = None
    checkout: Path = Path()
    run_id: str | None = None
    branch: str | None = None
    repo: str | None = None
    require: Sequence[str] = ()
    exclude_run: Sequence[str] = ()
    max_age_hours: int | None = None
    max_commits: int | None = None
    needed_jobs: Sequence[str] = ()

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True)
class BaselineReport:
    """The JSON document."""

    repository: str
    commit: str
    followed: str | None
    """The commit of TheRock that a pinned repository builds with."""
    run: FoundRow
    distance: int
    """Commits between the run's and this one."""
    age_hours: float
    rejected: tuple[Rejected, ...]


def baseline_artifacts(
    settings: Settings, options: BaselineOptions, console: Console
) -> BaselineReport:
    """Find and show it; NotFoundError when no ancestor will do."""
    if options.repo is not None:
        settings = replace(settings, run_github_repo=parse_repository(options.repo))
    hours = options.max_age_hours
    query = BaselineQuery(
        rules=BaselineRules(
            now=datetime.now(UTC),
            max_age=None if hours is None else timedelta(hours=hours),
            exclude_runs=frozenset(parse_run_id(run) for run in options.exclude_run),
            needed_jobs=tuple(options.needed_jobs),
        ),
        commit=options.commit,
        checkout=options.checkout,
        branch=options.branch,
        run_id=None if options.run_id is None else parse_run_id(options.run_id),
        require=options.require,
        storages=[open_storage(settings.staging_dir)],
    )
    if options.max_commits is not None:
        query = replace(query, max_commits=options.max_commits)
    result = look_up_baseline(settings, github_of(settings), query)
    baseline = result.baseline
    for rejected in baseline.rejected:
        console.note(f"run {rejected.run_id} of {rejected.commit[:12]}: {rejected.reason}")
    console.say(result.told)
    found = baseline.found
    console.say(
        f"{len(found.archives)} archives, {format_size(found.size)}: {found.root.root.s3_uri}"
    )
    outputs = {"run_id": found.run.run_id, "commit": found.run.commit}
    append_outputs(os.environ, {**outputs, "distance": str(baseline.distance)})
    return BaselineReport(
        result.repository,
        result.commit,
        result.followed,
        row_of(found),
        baseline.distance,
        round(baseline.age.total_seconds() / 3600, 2),
        baseline.rejected,
    )
