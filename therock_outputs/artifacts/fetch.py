"""Fetch a run's archives: choose, check what should be there, download, verify."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, parse_sha256sum
from therock_outputs.artifacts.run_contents import (
    RunArchive,
    RunContents,
    RunManifest,
)
from therock_outputs.artifacts.selection import Selection, SelectionResult, select
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError
from therock_outputs.storage import Download, LocalStorage, Outcome, Storage
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.hidden import sweep_abandoned, temporary_file
from therock_outputs.storage.local_io import os_errors

__all__ = [
    "FetchPlan",
    "FetchedArchive",
    "Fetcher",
    "plan_fetch",
]

_LARGEST_DIGEST_FILE = 4096
_DIGEST_READERS = 16
"""Requests of a hundred bytes each: waiting, not work."""

_log = logging.getLogger(__name__)
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What will be fetched."""

    contents: RunContents
    manifest: RunManifest
    selection: SelectionResult[RunArchive]

    @property
    def archives(self) -> tuple[RunArchive, ...]:
        """The chosen archives; generic ones first."""
        return self.selection.selected

    @property
    def size(self) -> int:
        """Compressed bytes of all of them."""
        return sum(archive.size for archive in self.archives)


@dataclass(frozen=True, slots=True)
class FetchedArchive:
    """An archive on disk that is what its digest says."""

    name: ArchiveName
    path: Path
    size: int
    sha256: str | None
    """None: it has no published digest, and that was allowed."""
    outcome: Outcome
    """SAME: it was there already."""


def plan_fetch(
    contents: RunContents,
    manifest: RunManifest,
    selection: Selection,
    *,
    families: GpuFamilies,
    topology: Topology,
) -> FetchPlan:
    """Choose archives of a run. UsageError and NotFoundError as ``select`` raises them."""
    if not contents.archives:
        raise NotFoundError(
            f"{contents.root.root.s3_uri}: the run has no archives; has its build finished?"
        )
    chosen = select(
        contents.archives,
        selection,
        families=families,
        topology=topology,
        split=manifest.kpack_split,
    )
    return FetchPlan(contents, manifest, chosen)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How archives come to the disk. ``execute`` may be called again after any interruption."""

    storage: Storage
    allow_unverified: bool = False
    cache_dir: Path | None = None
    """Archives of any run by digest; kept, and verified at each use."""
    jobs: int | None = None
    progress: Progress | None = None

    def execute(self, plan: FetchPlan, output_dir: Path | None) -> tuple[FetchedArchive, ...]:
        """Fetch and verify the planned archives, in the plan's order.

        ``output_dir`` None reads archives where they lie, which a staging directory allows.
        The digests of all are known before the first archive is fetched, and all archives are
        verified before this returns. Raises IntegrityError naming the archive.
        """
        digests = self.digests(plan.archives)
        if output_dir is None:
            return self._in_place(plan.archives, digests)
        with os_errors(f"{output_dir} cannot be filled"):
            return self._download(plan.archives, digests, output_dir)

    def _download(
        self, archives: Sequence[RunArchive], digests: Sequence[str | None], output_dir: Path
    ) -> tuple[FetchedArchive, ...]:
        output_dir.mkdir(parents=True, exist_ok=True)
        targets = [output_dir / archive.filename for archive in archives]
        cached = self._from_cache(archives, digests, targets)
        downloads = [
            Download(archive.location, target, digest, archive.size)
            for archive, digest, target, hit in zip(archives, digests, targets, cached, strict=True)
            if not hit
        ]
        transfers = iter(self.storage.download(downloads, jobs=self.jobs, progress=self.progress))
        fetched = []
        for archive, digest, target, hit in zip(archives, digests, targets, cached, strict=True):
            outcome = Outcome.SAME if hit else next(transfers).outcome
            self._write_digest(archive.name, digest, output_dir)
            if not hit:
                self._keep(target, digest)
            fetched.append(FetchedArchive(archive.name, target, archive.size, digest, outcome))
        return tuple(fetched)

    def digests(self, archives: Sequence[RunArchive]) -> list[str | None]:
        """The published SHA-256 of each archive; None for those allowed to have none."""
        with ThreadPoolExecutor(_DIGEST_READERS, "digests") as pool:
            found = list(pool.map(self._digest, archives))
        problems = [problem for problem in found if isinstance(problem, OutputsError)]
        if problems and not self.allow_unverified:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise IntegrityError(f"{problems[0]}{more}")
        for problem in problems:
            _log.warning("not verified: %s", problem)
        return [None if isinstance(digest, OutputsError) else digest for digest in found]

    def _digest(self, archive: RunArchive) -> str | OutputsError:
        if archive.digest is None:
            return NotFoundError(
                f"{archive.location.s3_uri}: has no {archive.name.sha256_filename} beside it, so "
                "it cannot be verified; have it uploaded again, or use --allow-unverified"
            )
        try:
            data = self.storage.read(archive.digest, _LARGEST_DIGEST_FILE)
            return parse_sha256sum(data.decode("utf-8", "replace"), archive.filename)
        except (IntegrityError, NotFoundError) as error:
            return error

    def _in_place(
        self, archives: Sequence[RunArchive], digests: Sequence[str | None]
    ) -> tuple[FetchedArchive, ...]:
        if not isinstance(self.storage, LocalStorage):
            raise NotFoundError("archives on S3 have to be fetched; give --output-dir")
        staging = self.storage.staging_dir
        paths = [archive.location.local_path(staging) for archive in archives]
        with ThreadPoolExecutor(self.jobs or os.cpu_count() or 1, "verify") as pool:
            verified = pool.map(self._verified, archives, paths, digests)
            return tuple(
                FetchedArchive(archive.name, path, archive.size, digest, Outcome.SAME)
                for archive, path, digest, _ in zip(archives, paths, digests, verified, strict=True)
            )

    def _verified(self, archive: RunArchive, path: Path, digest: str | None) -> None:
        with os_errors(f"{path} cannot be read"):
            actual = sha256_of_file(path)
        if self.progress:
            self.progress(archive.filename, archive.size)
        if digest is not None and actual != digest:
            raise IntegrityError(
                f"{path}: its SHA-256 is {actual}, not {digest} as {archive.name.sha256_filename} "
                "says; upload it again"
            )

    def _from_cache(
        self,
        archives: Sequence[RunArchive],
        digests: Sequence[str | None],
        targets: Sequence[Path],
    ) -> list[bool]:
        """Take what the cache has; for each archive, whether it had it."""
        if self.cache_dir is None:
            return [False] * len(archives)
        with ThreadPoolExecutor(self.jobs or os.cpu_count() or 1, "cache") as pool:
            return list(pool.map(self._cache_hit, archives, digests, targets))

    def _cache_hit(self, archive: RunArchive, digest: str | None, target: Path) -> bool:
        if digest is None or self.cache_dir is None:
            return False
        entry = self.cache_dir / digest[:2] / digest
        try:
            whole = sha256_of_file(entry) == digest
        except FileNotFoundError:
            return False
        if not whole:
            _log.warning("%s: damaged, so it is fetched again", entry)
            entry.unlink(missing_ok=True)
            return False
        _link_or_copy(entry, target)
        if self.progress:
            self.progress(archive.filename, archive.size)
        return True

    def _keep(self, target: Path, digest: str | None) -> None:
        """Put a verified archive into the cache."""
        if self.cache_dir is not None and digest is not None:
            entry = self.cache_dir / digest[:2] / digest
            entry.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(target, entry)

    @staticmethod
    def _write_digest(name: ArchiveName, digest: str | None, directory: Path) -> None:
        """Keep the digest beside the archive, so that the next task can verify it offline."""
        path = directory / name.sha256_filename
        if digest is None:
            path.unlink(missing_ok=True)
            return
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(f"{digest}  {name.filename}\n", encoding="utf-8")
        partial.replace(path)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links.

    A link appears in one step, so that nothing half-made is left by whoever is killed.
    """
    with contextlib.suppress(FileNotFoundError):
        if target.samefile(source):
            return
        target.unlink()
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return  # another process has put the same content there meanwhile
    except OSError:
        sweep_abandoned(target.parent)
        with temporary_file(target.parent) as (_, partial):
            shutil.copyfile(source, partial)
            partial.replace(target)
