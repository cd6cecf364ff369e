"""Build the indexes of a place with wheels and sdists, in a staging directory or on S3.

A file belongs to the index once its metadata stands beside it. A page is a function of these
files, so that jobs that add some at the same time all come to the same pages. Each page is
changed by compare-and-swap; when files have come in the meantime the pages are made once more,
so that the last one to write has seen them all, even where the server knows no conditions.
"""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.indexes.closed_set import check_closed, in_order_of_need
from therock_outputs.indexes.distributions import (
    METADATA_SUFFIX,
    IndexedFile,
    parse_distribution,
    parse_metadata,
    read_metadata,
)
from therock_outputs.indexes.shape import BESIDE, Shape
from therock_outputs.indexes.simple import HTML, JSON
from therock_outputs.indexes.stored_file import StoredFile
from therock_outputs.indexes.withdrawn import Withdrawn, read_withdrawn
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import ObjectInfo, Storage, Upload
from therock_outputs.storage.files import content_type_of
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = ["BuiltIndexes", "build_indexes", "index_pages", "read_distribution"]

_log = logging.getLogger(__name__)

_JOBS = 4
_READERS = 16
"""Requests of some kilobytes each: waiting, not work."""
_MOST_ROUNDS = 20
_LARGEST_SUMS = 16 << 20
_PAGE = "/index.html"

_Found: TypeAlias = tuple[str, ObjectInfo, StorageLocation]
"""A path from the place of the index, what lies there, and the place that it is in."""


@dataclass(frozen=True, slots=True)
class BuiltIndexes:
    """What stands in a place now."""

    place: StorageLocation
    files: tuple[IndexedFile, ...]
    pages: tuple[StorageLocation, ...]
    """All that was written or was there already, in the order of writing."""


def index_pages(files: Iterable[IndexedFile], *, flat: bool = True) -> dict[str, bytes]:
    """The pages of a place by their names in it, in the order in which they are written.

    What points at another page comes after it. ``flat`` leaves ``index.html`` out when it is
    false.
    """
    return BESIDE.all_pages(files, flat=flat)


def read_distribution(
    storage: Storage, info: ObjectInfo, path: str, sha256: str
) -> tuple[IndexedFile, bytes]:
    """A stored wheel or sdist as an index lists it, and its metadata as it stands in it.

    Of a wheel only the ends are read. IntegrityError for a file that is none.
    """
    name = parse_distribution(info.location.name)
    stream = io.BufferedReader(StoredFile(storage, info.location, info.size), 16 << 10)
    raw = read_metadata(stream, name)
    return _indexed(info, path, sha256, raw), raw


def _indexed(info: ObjectInfo, path: str, sha256: str, raw: bytes) -> IndexedFile:
    name = parse_distribution(info.location.name)
    # That of an sdist may be completed on the machine that builds it: not for resolvers.
    beside = hashlib.sha256(raw).hexdigest() if name.is_wheel else None
    return IndexedFile(path, name, info.size, sha256, parse_metadata(raw, name), beside)


def build_indexes(
    storage: Storage,
    place: StorageLocation,
    *,
    names: Collection[str] | None = None,
    shared: Sequence[StorageLocation] = (),
    digests: Mapping[str, str] | None = None,
    closed: bool = True,
    flat: bool = True,
    jobs: int | None = None,
    shape: Shape = BESIDE,
) -> BuiltIndexes:
    """Index the wheels and sdists that lie in ``place``, not those below it.

    With the shape BY_PROJECT they lie in a directory of their project, and ``names`` are paths.
    What ``withdrawn.json`` takes back is left out, or marked (PEP 592).

    ``names`` are the files that this job adds to those that are in the index already; None: all
    that lie there. With names, what another job has uploaded but not yet indexed is left to it.
    ``shared`` are places above it whose files are listed as well (``python/`` of
    ``python/{family}/``). ``digests`` are those known of the files, by file name; others come
    from SHA256SUMS, from the server, or from reading the file. ``closed`` asks that everything
    pinned among ROCm's own packages is there, before any page is written. ``flat`` leaves the
    flat page out when it is false, where a bucket writes listings of its own over it.

    Raises NotFoundError for a set that is not closed, for a place without files, and for a file
    that an index names but that is gone; ConflictError for a file of another digest than
    SHA256SUMS has; IntegrityError for a file that is no wheel or sdist.
    """
    build = _Build(
        storage,
        place.as_prefix(),
        None if names is None else frozenset(names),
        tuple(shared),
        digests or {},
        closed,
        flat,
        jobs or _JOBS,
        shape,
    )
    for _ in range(_MOST_ROUNDS):
        build.look()
        pages = build.write()
        if not build.has_news():
            return BuiltIndexes(build.place, tuple(build.files), pages)
    raise ConflictError(
        f"{place.s3_uri} has had new files {_MOST_ROUNDS} times in a row; "
        "try again when fewer write to it"
    )


@dataclass(slots=True)
class _Build:
    storage: Storage
    place: StorageLocation
    names: frozenset[str] | None
    shared: tuple[StorageLocation, ...]
    digests: Mapping[str, str]
    closed: bool
    flat: bool
    jobs: int
    shape: Shape
    withdrawn: Withdrawn = field(default_factory=Withdrawn)
    files: list[IndexedFile] = field(default_factory=list)
    pages: dict[str, bytes] = field(default_factory=dict)
    known: dict[ObjectInfo, tuple[IndexedFile, bytes]] = field(default_factory=dict)
    """Files that were read, with their metadata."""
    indexed: dict[str, StorageLocation] = field(default_factory=dict)
    """Where the metadata of files lies that other jobs have put into the index, by path."""
    hidden: set[str] = field(default_factory=set)
    """Paths that no page may name any more."""
    both: bool | None = None
    """Whether the server can hold ``x/`` and ``x/index.html``; None: not tried yet."""

    # -------------------------------------------------------------- what is there

    def look(self) -> None:
        """Find the files, read what is not known of them, and plan the pages."""
        self.withdrawn = read_withdrawn(self.storage, self.place)
        found = self.found()
        if not found and not self.hidden:
            raise NotFoundError(
                f"{self.place.s3_uri} holds neither wheels nor sdists; build or upload them first"
            )
        directories = {_directory(info.location) for _, info, _ in found}
        sums = {directory: self._sums(directory) for directory in sorted(directories)}
        new = [(path, info, place) for path, info, place in found if info not in self.known]

        def read(item: _Found, stop: Stop) -> tuple[IndexedFile, bytes]:
            stop.check()
            path, info, _ = item
            return self._read(path, info, sums[_directory(info.location)])

        jobs = max(self.jobs, _READERS)
        for (_, info, _), known in zip(new, run_parallel(read, new, jobs), strict=True):
            self.known[info] = known
        listed = [self.known[info][0] for _, info, _ in found]
        self.files = sorted(
            replace(file, yanked=self.withdrawn.yanked(file.name.version)) for file in listed
        )
        if self.closed:
            check_closed(self.files)
        self.pages = self.shape.all_pages(self.files, flat=self.flat, also=self._hidden_projects())

    def found(self) -> list[_Found]:
        """The files of the index: those of this job, and those that have their metadata beside."""
        found = []
        self.hidden = set()
        self.indexed = {}
        for place in (self.place, *self.shared):
            before = _way_up(self.place, place)
            there = {info.location.relative_to(place): info for info in self.storage.list(place)}
            ours = there if place != self.place or self.names is None else self.names
            for name, info in there.items():
                if not self.shape.is_file(name):
                    continue
                if name not in ours:
                    beside = there.get(name + METADATA_SUFFIX)
                    if beside is None:
                        continue
                    self.indexed[before + name] = beside.location
                version = parse_distribution(info.location.name).version
                if self.withdrawn.hides(version):
                    self.hidden.add(before + name)
                else:
                    found.append((before + name, info, place))
        seen = {path for path, _, _ in found} | self.hidden
        missing = sorted((self.names or frozenset()) - seen)
        if missing:
            raise NotFoundError(f"{(self.place / missing[0]).s3_uri} is not there; upload it first")
        return found

    def has_news(self) -> bool:
        """Whether a file has come, or gone, or been taken back since the last look."""
        withdrawn = read_withdrawn(self.storage, self.place)
        if withdrawn != self.withdrawn:
            return True
        return sorted(path for path, _, _ in self.found()) != [file.path for file in self.files]

    def _read(
        self, path: str, info: ObjectInfo, sums: Mapping[str, str]
    ) -> tuple[IndexedFile, bytes]:
        location = info.location
        digest = self.digests.get(location.name) or sums.get(location.name)
        if digest is not None and sums.get(location.name, digest) != digest:
            raise ConflictError(
                f"{location.s3_uri} has SHA-256 {sums[location.name]} by {SHA256SUMS} and would "
                f"now get {digest}; give the new file another version"
            )
        if path in self.indexed:  # a place of many versions is not read anew for each
            raw = self.storage.read(self.indexed[path])
            file = _indexed(info, path, digest or "", raw)
        else:
            file, raw = read_distribution(self.storage, info, path, digest or "")
        if digest is None:  # last, since all of the file may have to be read for it
            file = replace(file, sha256=self.storage.sha256(location))
        return file, raw

    def _sums(self, place: StorageLocation) -> Mapping[str, str]:
        location = place / SHA256SUMS
        try:
            data = self.storage.read(location, _LARGEST_SUMS)
        except NotFoundError:
            return {}
        return parse_sums(data, location.s3_uri)

    # -------------------------------------------------------------------- writing

    def write(self) -> tuple[StorageLocation, ...]:
        """Put metadata and all pages; what is there already stays as it is."""
        known = {file.path: (info, raw) for info, (file, raw) in self.known.items()}
        # Another job that looks meanwhile must not find a package without what it requires.
        new = [file for file in self.files if file.path not in self.indexed]
        for group in in_order_of_need(new):
            beside = []
            for info, raw in (known[file.path] for file in group):
                key = info.location.key + METADATA_SUFFIX
                beside.append(Upload(raw, StorageLocation(info.location.bucket, key)))
            self.storage.upload(beside, jobs=self.jobs)
        written = []
        for name in tuple(self.pages):
            for location in self._targets(name):
                self.storage.update(
                    location, partial(self._change, name, location), content_type=_type_of(name)
                )
                written.append(location)
        return tuple(written)

    def _targets(self, name: str) -> list[StorageLocation]:
        """Where a page goes: on S3 also where a server without directory index looks for it."""
        page = self.place / name
        if not (self.storage.holds_directory_pages and self.shape.is_page(name)):
            return [page]
        directory = StorageLocation(page.bucket, page.key.removesuffix("index.html"))
        is_html = directory != page
        if self.shape.by_project:
            if self.both is None:
                self.both = self._holds_pages_beside_files()
            return [directory, page] if self.both else [page]
        if self.shape.is_root(name):
            return [directory, page] if self.both and is_html else [page]
        if not is_html:
            return [page] if self.both else []
        if self.both is None:
            self.both = self._holds_both(name, directory)
        return [directory, page] if self.both else [directory]

    def _holds_both(self, name: str, directory: StorageLocation) -> bool:
        """Write a project's page and see whether the server took its name for a file's.

        Servers that keep objects in a file system do: a file has nothing below it.
        """
        change = partial(self._change, name, directory)
        self.storage.update(directory, change, content_type=HTML)
        return not self._is_folded(directory)

    def _holds_pages_beside_files(self) -> bool:
        """Whether the server can hold ``x/`` where ``x/file`` is: tried with a name of its own."""
        probe = self.place / f"probe-{secrets.token_hex(8)}/"
        self.storage.upload([Upload(b"probe", probe, content_type=HTML)])
        try:
            return not self._is_folded(probe)
        finally:
            self.storage.delete(probe)
            self.storage.delete(_without_slash(probe))

    def _is_folded(self, directory: StorageLocation) -> bool:
        folded = _without_slash(directory)
        is_folded = self.storage.stat(folded) is not None
        if is_folded:
            _log.info("%s is a file to this server: nothing can lie below it", folded.s3_uri)
        return is_folded

    def _change(self, name: str, location: StorageLocation, old: bytes | None) -> bytes:
        """The page as it is to be; NotFoundError when the old one names a file that is gone."""
        named = self._named(name, old, location)
        if not named <= self._names(name):
            self.look()  # somebody's file came after the last look
            gone = sorted(self._named(name, old, location) - self._names(name))
            if gone:
                raise NotFoundError(
                    f"{location.s3_uri} names {gone[0]}, which is gone; put it back, or delete "
                    "that page to leave it out"
                )
        return self.pages[name]

    def _named(self, name: str, old: bytes | None, location: StorageLocation) -> set[str]:
        """What the page of before names, but for what was taken back since."""
        if old is None:
            return set()
        return self.shape.named_in(name, old, location.s3_uri) - self.hidden

    def _hidden_projects(self) -> set[str]:
        """Projects that have a page, even if an empty one, since they had files."""
        return {parse_distribution(path.rpartition("/")[2]).project for path in self.hidden}

    def _names(self, name: str) -> set[str]:
        """What a page may name: paths from the place, or the projects."""
        if self.shape.is_page(name) and self.shape.is_root(name):
            return {file.name.project for file in self.files} | self._hidden_projects()
        return {file.path for file in self.files}


def _directory(location: StorageLocation) -> StorageLocation:
    """What an object lies in."""
    return StorageLocation(location.bucket, location.key[: location.key.rindex("/") + 1])


def _without_slash(location: StorageLocation) -> StorageLocation:
    return StorageLocation(location.bucket, location.key.rstrip("/"))


def _way_up(place: StorageLocation, above: StorageLocation) -> str:
    """The relative path from a place to itself or to one above it."""
    return "../" * place.relative_to(above).count("/")


def _type_of(name: str) -> str:
    if name.endswith(".json"):
        return JSON
    return HTML if name.endswith(".html") else content_type_of(name)
