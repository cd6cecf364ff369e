"""Carry out a promotion: files first, then what points at them, then a look at all of it.

Nothing that is served changes before every file of the promotion is in its place and is known to
hold the right bytes. What is written afterwards is written by compare-and-swap, each index from
what is there, so that a rerun after any failure ends in the same state.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.repositories import (
    RepositorySettings,
    Signer,
    merge_repository,
    read_repository,
)
from therock_outputs.indexes.withdrawn import read_withdrawn
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import (
    CatalogueEntry,
    add_entries,
    read_catalogue,
    update_latest,
)
from therock_outputs.publish.promotion import (
    PlannedFile,
    PlannedPlace,
    PlannedRepository,
    Promotion,
)
from therock_outputs.storage import Download, Outcome, Progress, Storage, Transfer, Upload
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.sums import SHA256SUMS, merge_sums, parse_sums

__all__ = ["Promoted", "PublishedPlace", "Retagged", "Retagger", "execute_promotion", "present"]

_log = logging.getLogger(__name__)

_JOBS = 4


class Retagged(Protocol):
    """A file that was made anew."""

    @property
    def path(self) -> Path:
        """Where it lies on this machine."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """Its digest."""


Retagger = Callable[[PlannedFile, Path, Path], Retagged]
"""Makes a file with its final version from one on this machine, in a directory."""


@dataclass(frozen=True, slots=True)
class PublishedPlace:
    """A place as it stands after a promotion."""

    place: StorageLocation
    latest: str | None
    """The newest version there, which may be a later one than was promoted."""
    files: int
    """How many of the promotion lie there."""
    checked: int
    """How many files its indexes name, all of which were compared."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was done."""

    places: tuple[PublishedPlace, ...]
    transfers: tuple[Transfer, ...]
    entries: tuple[CatalogueEntry, ...]
    """What the catalogues say of the promotion's files."""

    @property
    def written(self) -> int:
        """How many files were not there before."""
        return sum(transfer.outcome is Outcome.WRITTEN for transfer in self.transfers)


def present(plan: Promotion, storage: Storage, *, jobs: int | None = None) -> frozenset[str]:
    """The URIs of the plan's files whose names are taken already.

    ConflictError for one that is taken by a file of another size, and for a version that was
    taken back where it goes: before anything is written.
    """
    _refuse_withdrawn(plan, storage)

    wanted = [(file.source, file.target, None if file.retag else file.size) for file in plan.files]
    wanted += [
        (repository.source / package.path, repository.target / package.path, package.size)
        for repository in plan.repositories
        for package in repository.packages
    ]

    def look(item: tuple[StorageLocation, StorageLocation, int | None], stop: Stop) -> str | None:
        stop.check()
        source, target, size = item
        there = storage.stat(target)
        if there is not None and size is not None and there.size != size:
            raise ConflictError(
                f"{target.s3_uri} is published with {there.size} bytes and would now get the "
                f"{size} of {source.s3_uri}; give the new file another version"
            )
        return None if there is None else target.s3_uri

    found = run_parallel(look, wanted, jobs or _JOBS)
    return frozenset(uri for uri in found if uri is not None)


def execute_promotion(
    plan: Promotion,
    storage: Storage,
    *,
    retag: Retagger,
    work_dir: Path,
    mtime: int,
    url: Callable[[StorageLocation], str] | None = None,
    signer: Signer | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Promoted:
    """Promote; what is there with the same bytes is skipped.

    ``url`` gives the addresses in the catalogues; None: relative ones. ``mtime`` is the time of
    new repository metadata, in seconds since the epoch. Raises ConflictError for other bytes
    under a published name and for a version that was taken back, IntegrityError for bytes that
    are not what vouches for them, on either side.
    """
    work = _Work(plan, storage, retag, work_dir, mtime, url, signer, jobs or _JOBS, progress)
    present(plan, storage, jobs=jobs)
    work.move()
    for repository in plan.repositories:
        work.merge(repository)
    for place in plan.indexes:
        work.point(place)
    latest = {place: update_latest(storage, place) for place in work.entries}
    return Promoted(
        tuple(
            PublishedPlace(place, latest[place].version, len(entries), work.check(place))
            for place, entries in work.entries.items()
        ),
        tuple(work.transfers),
        tuple(entry for entries in work.entries.values() for entry in entries),
    )


def _refuse_withdrawn(plan: Promotion, storage: Storage) -> None:
    places = [place.place.location for place in plan.indexes]
    places += [repository.place.location for repository in plan.repositories]
    for place in places:
        item = read_withdrawn(storage, place).versions.get(plan.new_version)
        if item is not None:
            why = f" ({item.reason})" if item.reason else ""
            verb = "yank" if item.how.value == "yanked" else "unpublish"
            raise ConflictError(
                f"{place.s3_uri} has version {plan.new_version} {item.how.value}{why}; put it back "
                f"first with ./inv {verb} {plan.new_version} --undo"
            )


class _Work:
    """One promotion on its way."""

    def __init__(  # noqa: PLR0917 - what execute_promotion is given
        self,
        plan: Promotion,
        storage: Storage,
        retag: Retagger,
        work_dir: Path,
        mtime: int,
        url: Callable[[StorageLocation], str] | None,
        signer: Signer | None,
        jobs: int,
        progress: Progress | None,
    ) -> None:
        self._plan = plan
        self._storage = storage
        self._retag = retag
        self._work_dir = work_dir
        self._mtime = mtime
        self._url = url
        self._signer = signer
        self._jobs = jobs
        self._progress = progress
        self._done: dict[PlannedFile, tuple[int, str]] = {}
        self._named: dict[StorageLocation, set[StorageLocation]] = {}
        self.transfers: list[Transfer] = []
        self.entries: dict[StorageLocation, Sequence[CatalogueEntry]] = {}

    # --------------------------------------------------------------------------- files

    def move(self) -> None:
        """Bring every file to its place, each compared with what vouches for it."""
        copies = [file for file in self._plan.files if not file.retag]
        anew = [file for file in self._plan.files if file.retag]
        digests = self._digests([*copies, *anew])
        pairs = [(file.source, file.target) for file in copies]
        copied = self._storage.copy(pairs, jobs=self._jobs, progress=self._progress)
        self.transfers += copied
        self._verify(copies, copied, digests)
        self._work_dir.mkdir(parents=True, exist_ok=True)
        make = partial(self._make, digests)
        # Each takes the disk space of two wheels.
        self.transfers += run_parallel(make, anew, min(self._jobs, _JOBS))

    def _digests(self, files: Iterable[PlannedFile]) -> Mapping[StorageLocation, str]:
        """The digest of each source: as noted by its uploader, or by reading it."""

        def digest(file: PlannedFile, stop: Stop) -> tuple[StorageLocation, str]:
            stop.check()
            actual = self._storage.sha256(file.source)
            if file.sha256 is not None and actual != file.sha256:
                raise IntegrityError(
                    f"{file.source.s3_uri} has SHA-256 {actual} and {file.sha256} by {SHA256SUMS} "
                    "beside it; upload it again"
                )
            return file.source, actual

        return dict(run_parallel(digest, list(files), self._jobs))

    def _verify(
        self,
        files: Sequence[PlannedFile],
        transfers: Sequence[Transfer],
        digests: Mapping[StorageLocation, str],
    ) -> None:
        def verify(pair: tuple[PlannedFile, Transfer], stop: Stop) -> None:
            stop.check()
            file, transfer = pair
            expected = digests[file.source]
            actual = transfer.sha256 or self._storage.sha256(file.target)
            if actual != expected:
                raise IntegrityError(
                    f"{file.target.s3_uri} has SHA-256 {actual} after {file.source.s3_uri} was "
                    f"copied, which has {expected}; remove it and promote again"
                )
            self._done[file] = transfer.size, expected

        run_parallel(verify, list(zip(files, transfers, strict=True)), self._jobs)

    def _make(
        self, digests: Mapping[StorageLocation, str], file: PlannedFile, stop: Stop
    ) -> Transfer:
        """Make a file with its final version, and put it."""
        stop.check()
        with tempfile.TemporaryDirectory(prefix="retag-", dir=self._work_dir) as name:
            source = self._storage.local_file(file.source)
            if source is None:
                source = Path(name) / file.source.name
                fetch = Download(file.source, source, digests[file.source], file.size)
                self._storage.download([fetch], jobs=1)
            output = Path(name) / "final"
            output.mkdir()
            made = self._retag(file, source, output)
            if made.path.name != file.target.name:
                raise AssertionError(f"{made.path.name} was to be {file.target.name}")
            upload = Upload(made.path, file.target, sha256=made.sha256)
            [transfer] = self._storage.upload([upload], jobs=1)
            self._done[file] = made.size, made.sha256
        if self._progress is not None:
            self._progress(file.target.name, file.size)
        return transfer

    # ------------------------------------------------------------------------- indexes

    def merge(self, repository: PlannedRepository) -> None:
        """Copy the run's native packages into a repository, and list them there."""
        settings = RepositorySettings.of_release_type(self._plan.places.release_type.value)
        done = merge_repository(
            self._storage,
            repository.source,
            repository.target,
            kind=repository.kind,
            settings=settings,
            mtime=self._mtime,
            signer=self._signer,
            jobs=self._jobs,
            progress=self._progress,
        )
        self.transfers += done.transfers
        listed = {(repository.target / package.path) for package in done.packages}
        place = repository.place.location
        entries = [entry for entry in repository.entries if entry.location(place) in listed]
        # What its metadata lists, all of it, as it is read back.
        again = read_repository(self._storage, repository.target, repository.kind)
        self._add(place, entries, {repository.target / package.path for package in again})

    def point(self, place: PlannedPlace) -> None:
        """Let the index of a place name its new files."""
        location = place.place.location
        if place.shape is None:
            lines = [f"{self._done[file][1]}  {file.target.name}\n" for file in place.files]
            sums = location / SHA256SUMS
            change = partial(merge_sums, new="".join(lines).encode(), location=sums)
            merged = self._storage.update(sums, change)
            named = {location / name for name in parse_sums(merged, sums.s3_uri)}
        else:
            built = build_indexes(
                self._storage,
                location,
                names=[file.target.relative_to(location) for file in place.files],
                digests={file.target.name: self._done[file][1] for file in place.files},
                jobs=self._jobs,
                shape=place.shape,
            )
            named = {location / file.path for file in built.files}
        entries = [
            replace(file.entry, size=self._done[file][0], sha256=self._done[file][1])
            for file in place.files
        ]
        self._add(location, entries, named)

    def _add(
        self,
        place: StorageLocation,
        entries: Sequence[CatalogueEntry],
        named: set[StorageLocation],
    ) -> None:
        if self._url is not None:
            entries = [replace(e, url=self._url(e.location(place))) for e in entries]
        add_entries(self._storage, place, entries)
        self.entries[place] = entries
        self._named[place] = named

    # --------------------------------------------------------------------------- checks

    def check(self, place: StorageLocation) -> int:
        """Compare every file that an index of the place names with what is there; how many.

        Of a place that holds the repositories of many runs, only those that were written.
        """
        catalogue = {entry.location(place): entry for entry in read_catalogue(self._storage, place)}
        ours = {repository.target: repository for repository in self._plan.repositories}
        below = [
            target for target, one in ours.items()
            if one.place.location == place and not one.is_shared
        ] or [place]  # fmt: skip
        there = {
            info.location: info.size for prefix in below for info in self._storage.list(prefix)
        }
        wanted = {
            location: entry.size
            for location, entry in catalogue.items()
            if any(location.key.startswith(prefix.key) for prefix in below)
        }
        for location in sorted({*wanted, *self._named[place]}):
            size = there.get(location)
            if size is None:
                raise NotFoundError(
                    f"{location.s3_uri} is named by an index of {place.s3_uri} and is not there; "
                    "put it back, or unpublish its version"
                )
            if size != wanted.get(location, size):
                raise IntegrityError(
                    f"{location.s3_uri} has {size} bytes and {wanted[location]} by the catalogue "
                    "beside it; put the published file back"
                )
        return len({*wanted, *self._named[place]})
