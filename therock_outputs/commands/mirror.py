"""The task ``mirror-deps``: fill the index of dependencies that stands beside the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from therock_outputs.console import Console, format_size
from therock_outputs.errors import NotFoundError
from therock_outputs.indexes.dependencies import (
    DEPENDENCIES,
    execute_mirror,
    mirrored,
    parse_interpreters,
    plan_mirror,
    resolve_wheels,
)
from therock_outputs.layout import LOCAL_RUN_ID
from therock_outputs.places import places_of
from therock_outputs.settings import Settings

__all__ = ["MirrorOptions", "MirrorReport", "mirror_dependencies"]

_VERSIONS = ("3.10", "3.11", "3.12", "3.13")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions:
    """What the flags of ``mirror-deps`` say beyond the settings."""

    requirements: Sequence[str]
    versions: Sequence[str]
    platforms: Sequence[str]

    @classmethod
    def of(cls, settings: Settings, own: Mapping[str, Any]) -> Self:
        """From a task's settings and its own flags."""
        path: Path | None = own["requirements_file"]
        return cls(
            requirements=own["dependencies"] or (_read_lines(path) if path else DEPENDENCIES),
            versions=own["python_versions"] or _VERSIONS,
            platforms=own["for_platforms"] or (settings.platform.value,),
        )


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """The JSON document of ``mirror-deps``."""

    index: str
    added: tuple[str, ...]
    """File names; in a dry run those that would be added."""
    present: tuple[str, ...]


def mirror_dependencies(
    settings: Settings, options: MirrorOptions, console: Console
) -> MirrorReport:
    """Resolve, fetch what is missing, and index it."""
    # The mirror is a bucket's, not a run's: which run is of no matter.
    settings = replace(settings, run_id=settings.run_id or LOCAL_RUN_ID)
    places = places_of(settings)
    place = places.destination.python_deps_files()
    index = places.url(places.destination.python_deps())
    interpreters = parse_interpreters(options.versions, options.platforms)
    work_dir = (settings.work_dir or Path("build")) / "python-deps"
    with console.group(f"pip resolves the list for {len(interpreters)} interpreters"):
        wheels = resolve_wheels(options.requirements, interpreters, work_dir, jobs=settings.jobs)
    plan = plan_mirror(place, wheels, mirrored(places.storage, place))
    added = tuple(wheel.filename for wheel in plan.missing)
    report = MirrorReport(index, added, plan.present)
    if settings.dry_run:
        console.table(("wheel", "for"), [(w.filename, w.interpreter.version) for w in plan.missing])
        console.say(f"{len(added)} wheels would be added, {len(plan.present)} are there: {index}")
        return report
    with console.progress("mirror") as progress:
        transfers, built = execute_mirror(
            plan, places.storage, work_dir, jobs=settings.jobs, progress=progress.advance
        )
    size = format_size(sum(transfer.size for transfer in transfers))
    console.say(f"{len(added)} wheels added ({size}), {len(built.files)} there now: {index}")
    return report


def _read_lines(path: Path) -> tuple[str, ...]:
    """Requirements, one a line; ``#`` begins a comment."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as a list of requirements: {error}") from error
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line)
