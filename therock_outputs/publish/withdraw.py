"""Take a version back from the places it was promoted to, or put it there again.

Files stay in any case. What is taken back is noted first, in ``withdrawn.json`` of each place, and
the indexes follow that note: interrupted, the same command goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from therock_outputs.errors import NotFoundError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.repositories import (
    RepositorySettings,
    Signer,
    relist_packages,
    unlist_packages,
)
from therock_outputs.indexes.shape import BESIDE, BY_PROJECT, Shape
from therock_outputs.indexes.withdrawn import (
    WITHDRAWN,
    How,
    Withdrawal,
    Withdrawn,
    read_withdrawn,
)
from therock_outputs.layout import (
    DistributionPlaces,
    PackageFormat,
    StorageLocation,
    Variant,
)
from therock_outputs.publish.catalogue import (
    CATALOGUE,
    CatalogueEntry,
    catalogue_bytes,
    latest_of,
    merged,
    parse_catalogue,
    read_catalogue,
    update_latest,
)
from therock_outputs.publish.run_outputs import Part
from therock_outputs.storage import Storage
from therock_outputs.storage.sums import SHA256SUMS, merge_sums, parse_sums

__all__ = ["AffectedPlace", "Withdrawing", "find_version", "put_back", "take_back"]

_JSON = "application/json"
_POOL = "pool/"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AffectedPlace:
    """A place that knows the version."""

    place: StorageLocation
    part: Part
    entries: tuple[CatalogueEntry, ...]
    """Of that version: listed, or taken back before."""
    latest: str | None
    """The newest version there that is not yanked."""
    shape: Shape | None = None
    """Of an index of Python packages."""
    kind: PackageFormat | None = None
    """Of repositories."""


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """What is to be done with a version."""

    storage: Storage
    version: str
    """In its normal form (PEP 440)."""
    settings: RepositorySettings
    mtime: int
    """Of new repository metadata, in seconds since the epoch."""
    signer: Signer | None = None
    jobs: int | None = None


def find_version(
    storage: Storage, places: DistributionPlaces, version: str, parts: Collection[Part]
) -> tuple[AffectedPlace, ...]:
    """The places that know a version; NotFoundError, with those that they know, for none."""
    found = []
    known: list[CatalogueEntry] = []
    for place, part, shape, kind in _places(storage, places, parts):
        entries = read_catalogue(storage, place)
        known += entries
        ours = [entry for entry in entries if entry.version == version]
        item = read_withdrawn(storage, place).versions.get(version)
        if item is not None:
            ours = list(merged(ours, _entries(item, place), place.s3_uri))
        if ours:
            latest = latest_of(entries).version
            found.append(AffectedPlace(place, part, tuple(ours), latest, shape, kind))
    if not found:
        newest = sorted({entry.version: entry.newness for entry in known}.items(),
                        key=lambda item: item[1], reverse=True)  # fmt: skip
        names = ", ".join(version for version, _ in newest[:_SHOWN]) or "none"
        raise NotFoundError(
            f"version {version} was not promoted as {places.release_type.value} in the "
            f"{places.layout.value} layout; the newest there: {names}"
        )
    return tuple(found)


def take_back(
    work: Withdrawing, affected: Iterable[AffectedPlace], how: How, reason: str
) -> tuple[AffectedPlace, ...]:
    """Mark a version as yanked, or let no index name it; the places as they stand then."""
    done = []
    for one in affected:
        plain = json.loads(catalogue_bytes(replace(e, yanked=None) for e in one.entries))["files"]
        item = Withdrawal(how, reason, tuple(plain))
        _note(work, one.place, item)
        _rebuild(work, one, listed=how is How.YANKED)
        entries = () if how is How.UNPUBLISHED else one.entries
        marked = tuple(replace(entry, yanked=reason) for entry in entries)
        done.append(_catalogue(work, one, marked))
    return tuple(done)


def put_back(work: Withdrawing, affected: Iterable[AffectedPlace]) -> tuple[AffectedPlace, ...]:
    """Let all indexes name a version again, unmarked; the places as they stand then."""
    done = []
    for one in affected:
        entries = tuple(replace(entry, yanked=None) for entry in one.entries)
        # The note holds the only copy of the entries of what was unpublished.
        after = _catalogue(work, one, entries, with_latest=False)
        _note(work, one.place, None)
        _rebuild(work, one, listed=True, relist=True)
        done.append(replace(after, latest=update_latest(work.storage, one.place).version))
    return tuple(done)


def _places(
    storage: Storage, places: DistributionPlaces, parts: Collection[Part]
) -> Iterator[tuple[StorageLocation, Part, Shape | None, PackageFormat | None]]:
    """All places of a release type that may know a version."""
    if Part.TARBALLS in parts:
        yield places.tarballs().location, Part.TARBALLS, None, None
    if Part.WHEELS in parts and places.variant is Variant.RELEASE:
        shape = BY_PROJECT if places.wheels_by_project else BESIDE
        yield places.wheels_root().location, Part.WHEELS, shape, None
        if not places.wheels_by_project:
            above = places.family_wheels_above().location
            for info in storage.list(above):
                family, _, name = info.location.relative_to(above).partition("/")
                if name == CATALOGUE:
                    place = places.family_wheels(family).location
                    yield place, Part.WHEELS, BESIDE, None
    if Part.PACKAGES in parts:
        for kind in PackageFormat:
            yield places.packages_above(kind).location, Part.PACKAGES, None, kind


def _note(work: Withdrawing, place: StorageLocation, item: Withdrawal | None) -> None:
    location = place / WITHDRAWN

    def change(old: bytes | None) -> bytes:
        known = Withdrawn.parse(old, location.s3_uri)
        return known.with_version(work.version, item).to_bytes()

    work.storage.update(location, change, content_type=_JSON)


def _rebuild(work: Withdrawing, one: AffectedPlace, *, listed: bool, relist: bool = False) -> None:
    """Let the indexes of a place follow what its note says."""
    if one.shape is not None:
        build_indexes(work.storage, one.place, names=(), shape=one.shape, jobs=work.jobs)
    elif one.kind is None:
        change: Callable[[bytes | None], bytes] = partial(
            merge_sums if listed else _without,
            new="".join(f"{e.sha256}  {e.path}\n" for e in one.entries).encode(),
            location=one.place / SHA256SUMS,
        )
        work.storage.update(one.place / SHA256SUMS, change)
    else:
        # apt and dnf know no yanked packages: an upgrade would take them.
        change_lists = relist_packages if relist else unlist_packages
        for repository, paths in _by_repository(one.kind, one.entries).items():
            change_lists(
                work.storage,
                one.place / repository if repository else one.place,
                paths,
                kind=one.kind,
                settings=work.settings,
                mtime=work.mtime,
                signer=work.signer,
            )


def _without(old: bytes | None, new: bytes, location: StorageLocation) -> bytes:
    """The lines of a SHA256SUMS file but those of other ones."""
    gone = parse_sums(new, location.s3_uri)
    kept = {name: digest for name, digest in parse_sums(old or b"", location.s3_uri).items()
            if name not in gone}  # fmt: skip
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(kept.items())).encode()


def _by_repository(kind: PackageFormat, entries: Sequence[CatalogueEntry]) -> dict[str, list[str]]:
    """Paths of packages in their repositories, by the repository's path from the place."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if kind is PackageFormat.DEB:
            repository, pool, rest = entry.path.partition(_POOL)
            path = pool + rest
        else:
            directory, slash, path = entry.path.rpartition("/")
            repository = directory + slash
        found.setdefault(repository, []).append(path)
    return found


def _catalogue(
    work: Withdrawing,
    one: AffectedPlace,
    entries: Sequence[CatalogueEntry],
    *,
    with_latest: bool = True,
) -> AffectedPlace:
    """Let the catalogue name these entries of the version and no others."""
    location = one.place / CATALOGUE

    def change(old: bytes | None) -> bytes:
        known = () if old is None else parse_catalogue(old, location.s3_uri)
        rest = [entry for entry in known if entry.version != work.version]
        return catalogue_bytes([*rest, *entries])

    work.storage.update(location, change, content_type=_JSON)
    latest = update_latest(work.storage, one.place).version if with_latest else None
    return replace(one, entries=tuple(entries), latest=latest)


def _entries(item: Withdrawal, place: StorageLocation) -> tuple[CatalogueEntry, ...]:
    document: dict[str, Any] = {"format": 1, "files": list(item.entries)}
    return parse_catalogue(json.dumps(document).encode(), (place / WITHDRAWN).s3_uri)
