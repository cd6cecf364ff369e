"""The step ``tarballs``."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.console import format_size
from therock_outputs.errors import UsageError
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.fetch_step import with_archives
from therock_outputs.release.state import Output, fingerprint
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.tarballs.build import SHA256SUMS, ArchiveFile, prepare_tarballs, write_prepared
from therock_outputs.tarballs.plan import TarballOptions, TarballPlan, plan_tarballs
from therock_outputs.tarballs.write import WrittenTarball

__all__ = ["make_tarballs", "plan_tarballs_step"]

_STEP = "tarballs"


def make_tarballs(release: Release) -> Release:
    """Build the tarballs, unless they are there, whole, and of the same inputs and settings."""
    release = with_archives(release)
    plan = _plan(release)
    inputs = _inputs(release, plan)
    _sweep(release)
    known = release.state.outputs_of(_STEP, inputs)
    if known is not None:
        _drop_segments(release)
        release.console.say(f"{len(known) - 1} tarballs are there and whole; nothing to do")
        return replace(release, tarballs=_as_tarballs(known))
    result = _build(release, plan)
    _drop_segments(release)
    outputs = [Output(t.path, t.size, t.sha256) for t in result]
    sums = release.tarballs_dir / SHA256SUMS
    outputs.append(Output(sums, sums.stat().st_size, sha256_of_file(sums)))
    release.state.record(_STEP, inputs, outputs)
    return replace(release, tarballs=result)


def plan_tarballs_step(release: Release) -> Release:
    """Say which tarballs would be built, and of how much."""
    release = with_archives(release)
    plan = _plan(release)
    known = release.state.outputs_of(_STEP, _inputs(release, plan))
    if known is not None:
        release.console.say(f"{len(known) - 1} tarballs are there and whole; nothing to do")
        return replace(release, tarballs=_as_tarballs(known))
    sizes = {archive.name: archive.size for archive in release.archives}
    release.console.table(
        ("tarball", "archives", "compressed input"),
        [
            (t.filename, len(t.archives), format_size(sum(sizes[name] for name in t.archives)))
            for t in plan.tarballs
        ],
    )
    planned = (
        PlannedFile(_STEP, t.filename, None, str(release.tarballs_dir / t.filename), is_there=False)
        for t in plan.tarballs
    )
    return replace(release, planned=(*release.planned, *planned))


def _plan(release: Release) -> TarballPlan:
    options, manifest = release.options, release.manifest or RunManifest()
    version = options.package_version or manifest.package_version
    if version is None:
        raise UsageError("the run's manifest names no version; give --package-version")
    return plan_tarballs(
        [archive.name for archive in release.archives],
        TarballOptions(
            version=version,
            platform=release.places.source.platform,
            families=options.families,
            split=manifest.kpack_split,
            include_tests=options.include_tests,
            encoding=options.encoding,
            on_conflict=options.on_conflict,
        ),
        GpuFamilies.load(),
    )


def _inputs(release: Release, plan: TarballPlan) -> str:
    """A digest of all that decides the tarballs' bytes and where they lie."""
    options = release.options
    used = set(plan.archives)
    return fingerprint(
        {
            "archives": {
                a.name.filename: a.sha256 or (sha256_of_file(a.path) if a.path.exists() else None)
                for a in release.archives
                if a.name in used
            },
            "tarballs": [
                [tarball.filename, [name.filename for name in tarball.archives]]
                for tarball in plan.tarballs
            ],
            "encoding": options.encoding.name,
            "on_conflict": options.on_conflict.value,
            "mtime": options.mtime,
            # Relative, so that a work directory can be moved with what is in it.
            "directory": os.path.relpath(release.tarballs_dir, release.work_dir),
        }
    )


def _build(release: Release, plan: TarballPlan) -> tuple[WrittenTarball, ...]:
    for tarball in plan.tarballs:
        if tarball.missing_targets:
            release.console.note(
                f"{tarball.filename}: the run has nothing for {', '.join(tarball.missing_targets)}"
            )
    archives = [ArchiveFile(a.name, a.path, a.sha256) for a in release.archives]
    used = set(plan.archives)
    compressed = sum(archive.size for archive in release.archives if archive.name in used)
    with release.console.progress("compress", compressed) as progress:
        prepared = prepare_tarballs(
            plan,
            archives,
            release.tarballs_dir,
            release.options.segments_dir or _own_segments(release),
            mtime=release.options.mtime,
            jobs=release.jobs,
            progress=progress.advance,
        )
    with prepared, release.console.progress("write", prepared.size) as progress:
        built = write_prepared(prepared, progress=progress.advance)
    return built.tarballs


def _own_segments(release: Release) -> Path:
    return release.work_dir / "segments"


def _drop_segments(release: Release) -> None:
    """Remove the segments that nobody asked to keep, once the tarballs are whole."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(_own_segments(release))


def _sweep(release: Release) -> None:
    """Remove what a killed build left half-written; this release alone works here."""
    for path in release.tarballs_dir.glob(".*.partial"):
        path.unlink(missing_ok=True)


def _as_tarballs(outputs: tuple[Output, ...]) -> tuple[WrittenTarball, ...]:
    return tuple(
        WrittenTarball(output.path, output.size, output.sha256, None)
        for output in outputs
        if output.path.name != SHA256SUMS
    )
