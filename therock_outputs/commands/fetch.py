"""The task ``fetch``: choose archives of a run, fetch and verify them, unpack them if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.fetch import FetchedArchive, FetchPlan
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.selection import Selection, parse_components
from therock_outputs.artifacts.topology import Topology
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.artifacts.unpack import UnpackMode, unpack
from therock_outputs.console import Console, format_size
from therock_outputs.places import places_of
from therock_outputs.release.source import Source, fetch_from, located
from therock_outputs.settings import Settings

__all__ = ["FetchOptions", "FetchReport", "fetch_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """What the flags of ``fetch`` say beyond the settings."""

    selection: Selection
    mode: UnpackMode | None = None
    """None: archives stay archives."""
    on_conflict: OnConflict = OnConflict.ERROR
    allow_unverified: bool = False
    cache_dir: Path | None = None
    families_file: Path | None = None
    topology_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings, own: Mapping[str, Any]) -> Self:
        """From a task's settings and its own flags."""
        mode = next((mode for mode in UnpackMode if own[mode.value]), None)
        return cls(
            selection=Selection(
                artifact_group=settings.artifact_group,
                amdgpu_families=settings.amdgpu_families,
                amdgpu_targets=settings.amdgpu_targets,
                expand_family_to_targets=own["expand_family_to_targets"],
                include=own["include"],
                exclude=own["exclude"],
                components=parse_components(own["components"]),
                exclude_artifacts=own["exclude_artifacts"],
                generic_only=own["generic_only"],
                stage=own["stage"],
                platform=settings.platform,
            ),
            mode=mode,
            on_conflict=OnConflict(own["on_conflict"] or OnConflict.ERROR.value),
            allow_unverified=own["allow_unverified"],
            cache_dir=own["cache_dir"],
            families_file=own["families_file"],
            topology_file=own["topology_file"],
        )


@dataclass(frozen=True, slots=True)
class FetchReport:
    """The JSON document of ``fetch``."""

    run: str
    kpack_split: bool
    directory: str | None
    """Where the archives, or what was unpacked, are; None in a dry run."""
    archives: tuple[dict[str, object], ...]
    skipped: tuple[dict[str, str], ...]


def fetch_run(settings: Settings, options: FetchOptions, console: Console) -> FetchReport:
    """Do it and tell; returns what was fetched.

    Archives go to ``--output-dir``; without it into the work directory, and with a staging
    directory they stay where that has them. Unpacked trees go to ``--output-dir``.
    """
    source = Source(
        places_of(settings),
        settings.run_work_dir / "archives",
        settings.jobs,
        options.allow_unverified,
        options.cache_dir,
        GpuFamilies.load(options.families_file),
        Topology.load(options.topology_file),
    )
    plan, storage, target = located(source, options.selection)
    for warning in plan.selection.warnings:
        console.warn(warning)
    if options.mode is None and settings.output_dir is not None:
        target = settings.output_dir
    if settings.dry_run:
        _tell_plan(plan, console)
        return _report(plan, None, [])
    if not plan.archives:
        console.say("this stage takes nothing from others; there is nothing to fetch")
        return _report(plan, None, [])
    archives = fetch_from(source, plan, storage, target, console)
    directory = archives[0].path.parent
    console.say(f"{len(archives)} archives, {format_size(plan.size)}, verified: {directory}")
    if options.mode is not None:
        directory = settings.output_dir or settings.run_work_dir / options.mode.value
        _unpack(archives, directory, settings, options, console)
    return _report(plan, directory, archives)


def _unpack(
    archives: Sequence[FetchedArchive],
    directory: Path,
    settings: Settings,
    options: FetchOptions,
    console: Console,
) -> None:
    assert options.mode is not None  # noqa: S101 - asked by the only caller
    total = sum(archive.size for archive in archives)
    with console.progress(options.mode.value, total) as progress:
        unpacked = unpack(
            [archive.path for archive in archives],
            directory,
            options.mode,
            on_conflict=options.on_conflict,
            jobs=settings.jobs,
            progress=progress.advance,
        )
    console.say(f"{unpacked.files} files: {unpacked.directory}")


def _tell_plan(plan: FetchPlan, console: Console) -> None:
    console.table(
        ("archive", "size"),
        [(archive.filename, format_size(archive.size)) for archive in plan.archives],
    )
    console.say(
        f"{len(plan.archives)} archives, {format_size(plan.size)}, from "
        f"{plan.contents.root.root.s3_uri}; {len(plan.selection.skipped)} left out"
    )


def _report(
    plan: FetchPlan, directory: Path | None, archives: Sequence[FetchedArchive]
) -> FetchReport:
    digests = {archive.name: archive.sha256 for archive in archives}
    return FetchReport(
        plan.contents.root.root.s3_uri,
        plan.manifest.kpack_split,
        str(directory) if directory else None,
        tuple(
            {"name": a.filename, "size": a.size, "sha256": digests.get(a.name)}
            for a in plan.archives
        ),
        tuple({"name": a.filename, "reason": reason} for a, reason in plan.selection.skipped),
    )
