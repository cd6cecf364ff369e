"""Build a run's tarballs: verify the archives, encode them, assemble, write."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.names import ArchiveName
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError
from therock_outputs.storage import Progress
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.local_io import os_errors
from therock_outputs.tarballs.assemble import Assembly, assemble
from therock_outputs.tarballs.encode import EncodeUnit, encode_archives
from therock_outputs.tarballs.index import ArchiveIndex
from therock_outputs.tarballs.overlay import Overlay
from therock_outputs.tarballs.plan import PlannedTarball, TarballPlan
from therock_outputs.tarballs.store import SegmentStore, write_whole
from therock_outputs.tarballs.write import TarballWriter, WrittenTarball

__all__ = [
    "SHA256SUMS",
    "ArchiveFile",
    "PreparedTarballs",
    "TarballResult",
    "build_tarballs",
    "prepare_tarballs",
    "write_prepared",
]

SHA256SUMS = "SHA256SUMS"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TarballResult:
    """What was built."""

    tarballs: tuple[WrittenTarball, ...]
    sums: Path
    """The SHA256SUMS file beside them."""


@dataclass(frozen=True, slots=True)
class PreparedTarballs:
    """Tarballs of which every byte is compressed, and the first ones may be written."""

    assemblies: tuple[Assembly, ...]
    writer: TarballWriter
    output_dir: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what is not finished."""
        self.writer.__exit__(kind, error, trace)

    @property
    def size(self) -> int:
        """Bytes that are to be written."""
        return sum(assembly.size for assembly in self.assemblies)


def build_tarballs(
    plan: TarballPlan,
    archives: Sequence[ArchiveFile],
    output_dir: Path,
    segments_dir: Path,
    *,
    mtime: int,
    jobs: int | None = None,
) -> TarballResult:
    """Make the planned tarballs in ``output_dir``: prepare, then write them."""
    with prepare_tarballs(
        plan, archives, output_dir, segments_dir, mtime=mtime, jobs=jobs
    ) as prepared:
        return write_prepared(prepared)


def prepare_tarballs(
    plan: TarballPlan,
    archives: Sequence[ArchiveFile],
    output_dir: Path,
    segments_dir: Path,
    *,
    mtime: int,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> PreparedTarballs:
    """Verify the archives, compress what is in them, and decide what each tarball holds.

    What tarballs have in common is written meanwhile, below ``output_dir`` under hidden names.
    ``segments_dir`` keeps compressed segments: of this call until the tarballs are written, and
    for later calls of the same content. ``mtime`` (seconds since the epoch) is every member's
    time. ``progress`` counts the archives' bytes. Nothing is used before its digest was
    checked. Raises IntegrityError and ConflictError as the archives deserve.
    """
    jobs = jobs or os.cpu_count() or 1
    files = {archive.name: archive for archive in archives}
    if lacking := [name.filename for name in plan.archives if name not in files]:
        raise NotFoundError(f"{lacking[0]} is in the plan and not on disk; fetch the run again")
    chosen = [files[name] for name in plan.archives]
    with ThreadPoolExecutor(jobs, "verify") as pool:
        digests = list(pool.map(_verified_digest, chosen))
    store = SegmentStore(segments_dir, plan.options.encoding)
    with os_errors(f"{segments_dir} cannot be used"):
        store.directory.mkdir(parents=True, exist_ok=True)
    with os_errors(f"{output_dir} cannot be written"):
        output_dir.mkdir(parents=True, exist_ok=True)
    units = {
        EncodeUnit(
            archive.path, digest, mtime, rank=0 if archive.name.artifact.is_generic else 1
        ): archive.name
        for archive, digest in zip(chosen, digests, strict=True)
    }
    writer = TarballWriter(store, jobs)
    try:
        early = _EarlyWriting(plan, output_dir, writer, store, mtime)
        encode_archives(
            list(units),
            store,
            jobs=jobs,
            progress=progress,
            done=lambda unit, index: early.add(units[unit], index),
        )
        assemblies = _assemblies(plan, early.indexes, output_dir, store, mtime)
    except BaseException:
        writer.__exit__(None, None, None)
        raise
    return PreparedTarballs(tuple(assemblies), writer, output_dir)


def write_prepared(
    prepared: PreparedTarballs, *, progress: Progress | None = None
) -> TarballResult:
    """Write tarballs and their SHA256SUMS; no name is there before its file is whole.

    ``progress`` counts the tarballs' bytes.
    """
    with os_errors(f"{prepared.output_dir} cannot be written"):
        # Those of an earlier call must not stand beside other tarballs, however this ends.
        (prepared.output_dir / SHA256SUMS).unlink(missing_ok=True)
    written = prepared.writer.finish(prepared.assemblies, progress)
    return TarballResult(written, _write_sums(prepared.output_dir, written))


class _EarlyWriting:
    """Begins tarballs as soon as all that they share is compressed.

    What is begun is checked when all is known: an archive of a target may still change it, by a
    file that replaces a shared one or by the mode of a directory.
    """

    def __init__(
        self,
        plan: TarballPlan,
        output_dir: Path,
        writer: TarballWriter,
        store: SegmentStore,
        mtime: int,
    ) -> None:
        self.indexes: dict[ArchiveName, ArchiveIndex] = {}
        self._on_conflict = plan.options.on_conflict
        self._writer = writer
        self._store = store
        self._mtime = mtime
        self._waiting: dict[tuple[ArchiveName, ...], list[Path]] = {}
        for tarball in plan.tarballs:
            if shared := _shared(tarball):
                paths = self._waiting.setdefault(shared, [])
                paths.append(output_dir / tarball.filename)

    def add(self, name: ArchiveName, index: ArchiveIndex) -> None:
        """One more archive is compressed."""
        self.indexes[name] = index
        for shared in [names for names in self._waiting if self.indexes.keys() >= set(names)]:
            self._begin(self._waiting.pop(shared), shared)

    def _begin(self, paths: Sequence[Path], shared: tuple[ArchiveName, ...]) -> None:
        try:
            overlay = _overlay(Overlay(self._on_conflict), shared, self.indexes)
        except OutputsError:
            return  # said when all is known, so that what is said depends on no thread
        parts = assemble(paths[0], overlay, overlay, self._store, self._mtime).parts
        self._writer.begin(paths, parts[:-1])  # without the end


def _shared(tarball: PlannedTarball) -> tuple[ArchiveName, ...]:
    return tuple(name for name in tarball.archives if name.artifact.is_generic)


def _verified_digest(archive: ArchiveFile) -> str:
    with os_errors(f"{archive.path} cannot be read; fetch the run again"):
        digest = sha256_of_file(archive.path)
    if archive.sha256 is not None and digest != archive.sha256:
        raise IntegrityError(
            f"{archive.path}: its SHA-256 is {digest}, not {archive.sha256} as published; "
            "delete it and fetch it again"
        )
    return digest


def _assemblies(
    plan: TarballPlan,
    indexes: Mapping[ArchiveName, ArchiveIndex],
    output_dir: Path,
    store: SegmentStore,
    mtime: int,
) -> list[Assembly]:
    """Lay each tarball's archives over one another; what all GPUs share is laid once."""
    generic: dict[tuple[ArchiveName, ...], Overlay] = {}
    assemblies = []
    for tarball in plan.tarballs:
        shared = _shared(tarball)
        if shared not in generic:
            generic[shared] = _overlay(Overlay(plan.options.on_conflict), shared, indexes)
        complete = _overlay(generic[shared].copy(), tarball.archives[len(shared) :], indexes)
        complete.check()
        _warn_of_drops(tarball, complete)
        path = output_dir / tarball.filename
        assemblies.append(assemble(path, generic[shared], complete, store, mtime))
    return assemblies


def _overlay(
    overlay: Overlay, names: Sequence[ArchiveName], indexes: Mapping[ArchiveName, ArchiveIndex]
) -> Overlay:
    for name in names:
        overlay.add(indexes[name])
    return overlay


def _warn_of_drops(tarball: PlannedTarball, overlay: Overlay) -> None:
    if overlay.on_conflict is OnConflict.ERROR:
        return
    for archive, path in overlay.replaced():
        _log.warning("%s: %r of %s gives way", tarball.filename, path, archive)


def _write_sums(output_dir: Path, written: Sequence[WrittenTarball]) -> Path:
    by_name = sorted(written, key=lambda tarball: tarball.path.name)
    lines = [f"{tarball.sha256}  {tarball.path.name}\n" for tarball in by_name]
    path = output_dir / SHA256SUMS
    write_whole(path, "".join(lines).encode())
    return path
