"""The step ``python``: wheels, the ``rocm`` sdist, and indexes of them on this disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.console import format_size
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import StorageLocation
from therock_outputs.python_packages.build import (
    ArchiveFile,
    build_python_packages,
    builder_digest,
)
from therock_outputs.python_packages.catalog import PackageKind
from therock_outputs.python_packages.plan import (
    PythonPackageOptions,
    PythonPackagePlan,
    plan_python_packages,
)
from therock_outputs.python_packages.trees import Leftover
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.fetch_step import with_archives
from therock_outputs.release.state import Output, fingerprint
from therock_outputs.storage import LocalStorage
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.sums import SHA256SUMS

__all__ = ["PYTHON_STEP", "index_places", "make_python_packages", "name_of", "plan_python_step"]

PYTHON_STEP = "python"
_ROWS = 40
"""Lines of the table of leftovers."""


def make_python_packages(release: Release) -> Release:
    """Build the packages, unless they are there, whole, and of the same inputs and settings."""
    release = with_archives(release)
    plan = _plan(release)
    inputs = _inputs(release, plan)
    _sweep(release)
    known = release.state.outputs_of(PYTHON_STEP, inputs)
    if known is not None:
        release.console.say(f"{len(known)} Python packages are there and whole; nothing to do")
        return replace(release, python=known)
    outputs = _build(release, plan)
    release.state.record(PYTHON_STEP, inputs, outputs)
    return replace(release, python=outputs)


def plan_python_step(release: Release) -> Release:
    """Say which packages would be built, and of how much."""
    release = with_archives(release)
    plan = _plan(release)
    known = release.state.outputs_of(PYTHON_STEP, _inputs(release, plan))
    if known is not None:
        release.console.say(f"{len(known)} Python packages are there and whole; nothing to do")
        return replace(release, python=known)
    sizes = {archive.name: archive.size for archive in release.archives}
    release.console.table(
        ("wheel", "archives", "compressed input"),
        [
            (w.place, len(w.archives), format_size(sum(sizes[name] for name in w.archives)))
            for w in plan.wanted
        ],
    )
    _tell_leftovers(
        release, [Leftover(u.name.filename, "", u.reason, u.is_fault) for u in plan.unused]
    )
    group = release.options.python.artifact_group
    names = [f"{group}/{place}" if group else place for place in plan.places]
    planned = (
        PlannedFile(PYTHON_STEP, name, None, str(release.python_dir / name), is_there=False)
        for name in names
    )
    return replace(release, planned=(*release.planned, *planned))


def index_places(names: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    """Each directory below ``python/`` with the files in it; what others share comes first."""
    places: dict[str, set[str]] = {}
    for name in names:
        directory, _, filename = name.rpartition("/")
        places.setdefault(directory, set()).add(filename)
    return [(directory, frozenset(found)) for directory, found in sorted(places.items())]


def name_of(release: Release, output: Output) -> str:
    """A package's name below ``python/``; it begins with ``..`` when it lies elsewhere."""
    # The state file has paths relative to itself, with steps up in them.
    return Path(os.path.relpath(output.path, release.python_dir)).as_posix()


def _plan(release: Release) -> PythonPackagePlan:
    options, manifest = release.options, release.manifest or RunManifest()
    version = options.package_version or manifest.package_version
    if version is None:
        raise UsageError("the run's manifest names no version; give --package-version")
    python = options.python
    families = options.families
    if not families and python.artifact_group:
        families = (python.artifact_group,)
    return plan_python_packages(
        [archive.name for archive in release.archives],
        PythonPackageOptions(
            version=version,
            platform=release.places.source.platform,
            split=manifest.kpack_split,
            families=families,
            linux_families=python.linux_families,
            windows_families=python.windows_families,
            wheel_platform_tag=python.wheel_platform_tag,
            build_variant=python.build_variant,
            compression_level=python.compression_level,
            only=python.only,
            launcher_cc=python.launcher_cc,
        ),
        GpuFamilies.load(),
    )


def _inputs(release: Release, plan: PythonPackagePlan) -> str:
    """A digest of all that decides the packages' bytes and where they lie."""
    used = set(plan.archives)
    options = replace(plan.options, only=frozenset())
    return fingerprint(
        {
            "builder": builder_digest(),
            "archives": {
                a.name.filename: a.sha256 or (sha256_of_file(a.path) if a.path.exists() else None)
                for a in release.archives
                if a.name in used
            },
            "files": sorted(plan.places),
            "options": repr(options),
            "selectors": repr(plan.selectors),
            "group": release.options.python.artifact_group,
            "strict": release.options.python.strict,
            "mtime": release.options.mtime,
            # Relative, so that a work directory can be moved.
            "directory": os.path.relpath(release.python_dir, release.work_dir),
        }
    )


def _build(release: Release, plan: PythonPackagePlan) -> tuple[Output, ...]:
    for note in plan.notes:
        release.console.note(note)
    used = set(plan.archives)
    archives = [ArchiveFile(a.name, a.path, a.sha256) for a in release.archives if a.name in used]
    compressed = sum(archive.size for archive in release.archives if archive.name in used)
    with release.console.progress("package", compressed) as progress:
        result = build_python_packages(
            plan,
            archives,
            release.python_dir / (release.options.python.artifact_group or ""),
            release.work_dir,
            mtime=release.options.mtime,
            jobs=release.jobs,
            progress=progress.advance,
        )
    _tell_leftovers(release, result.leftovers)
    if result.faults and release.options.python.strict:
        first = result.faults[0]
        raise IntegrityError(
            f"--strict: {len(result.faults)} things were left out, as {first.path} "
            f"({first.reason}); see the table above"
        )
    outputs = tuple(Output(f.path, f.size, f.sha256) for f in result.files)
    _index(release, outputs)
    return outputs


def _index(release: Release, outputs: Sequence[Output]) -> None:
    """Indexes on this disk, as they will be uploaded: pip reads them by ``file:`` already."""
    storage = LocalStorage(release.output_dir)
    bucket = release.places.destination.bucket
    names = {name_of(release, output): output for output in outputs}
    top = StorageLocation(bucket, "python/")
    complete = release.options.python.only == frozenset(PackageKind)
    places = index_places(names)
    for directory, _ in places:
        _forget(release.python_dir / directory)
    for directory, files in places:
        place = top / f"{directory}/" if directory else top
        shares = directory and any(not other for other, _ in places)
        build_indexes(
            storage,
            place,
            names=files,
            shared=(top,) if shares else (),
            digests={
                output.path.name: output.sha256
                for name, output in names.items()
                if name.rpartition("/")[0] == directory
            },
            closed=complete,
            jobs=release.jobs,
        )


def _forget(directory: Path) -> None:
    """Remove indexes of an earlier build: here, unlike where it is published, names may change."""
    shutil.rmtree(directory / "simple", ignore_errors=True)
    for path in (directory / SHA256SUMS, directory / "index.html", *directory.glob("*.metadata")):
        path.unlink(missing_ok=True)


def _tell_leftovers(release: Release, leftovers: Sequence[Leftover]) -> None:
    """What is in no package: all faults, and as much of the rest as a reader bears."""
    ordered = sorted(leftovers, key=lambda one: (not one.is_fault, one.package, one.path))
    if not ordered:
        return
    shown = max(_ROWS, sum(one.is_fault for one in ordered))
    release.console.table(
        ("left out", "of", "because", ""),
        [
            (one.path, one.package or "the run", one.reason, "fault" if one.is_fault else "")
            for one in ordered[:shown]
        ],
    )
    if len(ordered) > shown:
        release.console.say(f"and {len(ordered) - shown} more, none of them a fault")


def _sweep(release: Release) -> None:
    """Remove what a killed build left half-written; this release alone works here."""
    for pattern in (".*.partial", "*/.*.partial"):
        for path in release.python_dir.glob(pattern):
            path.unlink(missing_ok=True)
