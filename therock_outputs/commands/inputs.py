"""The tasks that fill a run with artifacts, and ``stage-info``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.copy_artifacts import Copier, plan_copy
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.pack import DEFAULT_LEVEL
from therock_outputs.artifacts.push import Pusher, plan_push
from therock_outputs.artifacts.reproducible import source_date_epoch
from therock_outputs.artifacts.run_contents import list_run, read_run_manifest
from therock_outputs.artifacts.topology import StageInfo, Topology
from therock_outputs.console import Console, format_size
from therock_outputs.errors import UsageError
from therock_outputs.layout import parse_run_id
from therock_outputs.places import places_of
from therock_outputs.settings import Settings
from therock_outputs.storage import Outcome

__all__ = ["CopyOptions", "PushOptions", "Stored", "copy_archives", "push_archives", "show_stages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """The flags of ``push``."""

    build_dir: Path = Path("build")
    stage: Sequence[str] = ()
    level: int = DEFAULT_LEVEL
    topology_file: Path | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """The flags of ``copy-artifacts``."""

    source_run_id: str | None = None
    stage: Sequence[str] = ()
    topology_file: Path | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags."""
        return cls(**own)


@dataclass(frozen=True, slots=True)
class Stored:
    """An archive that stands in the run: a row of the JSON documents."""

    name: str
    size: int
    sha256: str | None
    outcome: str


def push_archives(settings: Settings, options: PushOptions, console: Console) -> tuple[Stored, ...]:
    """Pack a build tree's artifacts and upload them to the run that is written."""
    places = places_of(settings)
    root = places.destination
    topology = Topology.load(options.topology_file)
    plan = plan_push(options.build_dir, root, topology=topology, stages=options.stage)
    for name, reason in plan.skipped:
        console.note(f"left out: {name} ({reason})")
    if settings.dry_run:
        planned = tuple(
            Stored(unit.name.filename, unit.size, None, Outcome.PLANNED.value)
            for unit in plan.units
        )
        return _tell(planned, places.url(root.root), console)
    with console.progress("push", plan.size) as progress:
        pushed = Pusher(
            places.storage,
            settings.run_work_dir / "push",
            source_date_epoch(os.environ),
            level=options.level,
            jobs=settings.jobs,
            progress=progress.advance,
        ).execute(plan)
    stored = tuple(Stored(p.name.filename, p.size, p.sha256, p.outcome.value) for p in pushed)
    return _tell(stored, places.url(root.root), console)


def copy_archives(settings: Settings, options: CopyOptions, console: Console) -> tuple[Stored, ...]:
    """Copy another run's archives to the run that is written, within the storage."""
    target_run = settings.upload_run_id or settings.required_run_id
    if options.source_run_id is None:
        raise UsageError("which run are they copied from? give --source-run-id")
    source_run = parse_run_id(options.source_run_id)
    settings = replace(settings, run_id=source_run, upload_run_id=target_run, run_answer=None)
    if settings.lookup:
        from therock_outputs.lookups import look_up_run  # noqa: PLC0415 - HTTP loads slowly

        settings = look_up_run(settings)
    places = places_of(settings)
    contents = list_run(places.storage, places.source)
    manifest = read_run_manifest(places.storage, contents)
    plan = plan_copy(
        contents,
        places.destination,
        families=GpuFamilies.load(),
        topology=Topology.load(options.topology_file),
        split=manifest.kpack_split,
        stages=options.stage,
    )
    where = places.url(places.destination.root)
    if settings.dry_run:
        planned = tuple(
            Stored(unit.name.filename, unit.size, None, Outcome.PLANNED.value)
            for unit in plan.units
        )
        return _tell(planned, where, console)
    with console.progress("copy", plan.size) as progress:
        copied = Copier(
            places.storage, places.storage, jobs=settings.jobs, progress=progress.advance
        ).execute(plan)
    stored = tuple(Stored(c.name.filename, c.size, c.sha256, c.outcome.value) for c in copied)
    return _tell(stored, where, console)


def show_stages(
    console: Console, *, stage: str | None, platform: str, topology_file: Path | None
) -> tuple[StageInfo, ...]:
    """Show what build stages make and take."""
    topology = Topology.load(topology_file)
    if stage is not None:
        topology.makes(stage)  # an unknown one is an error that shows the known ones
    rows = tuple(
        row for row in topology.stage_info(platform) if stage is None or row.stage == stage
    )
    if stage is None:
        console.table(
            ("stage", "built", "makes", "takes", "takes from"),
            [
                (
                    row.stage,
                    "per family" if row.per_arch else "once",
                    len(row.makes),
                    len(row.takes),
                    ", ".join(row.takes_from),
                )
                for row in rows
            ],
        )
        console.say("Name a stage with --stage to see its artifacts.")
    for row in rows if stage is not None else ():
        console.say(f"{row.stage}, built {'for each family' if row.per_arch else 'once'}")
        console.say(f"  makes: {', '.join(row.makes)}")
        console.say(f"  takes: {', '.join(row.takes) or 'nothing'}")
        console.say(f"  from:  {', '.join(row.takes_from) or 'no stage'}")
    return rows


def _tell(stored: tuple[Stored, ...], where: str, console: Console) -> tuple[Stored, ...]:
    console.table(
        ("archive", "size", "outcome"),
        [(row.name, format_size(row.size), row.outcome) for row in stored],
    )
    console.say(f"{len(stored)} archives: {where}")
    return stored
