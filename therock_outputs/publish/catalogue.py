"""What lies in a place, for scripts: ``index.json``, newest first, and ``latest.json``.

The format is told in docs/promote.md. Reading it is pure; only the functions at the end ask a
storage. An entry's version is the Python form of its build's version, whatever the file is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, urljoin

from packaging.version import InvalidVersion, Version

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.layout import LayoutError, StorageLocation
from therock_outputs.storage import Storage

__all__ = [
    "ANY_PLATFORM",
    "CATALOGUE",
    "KINDS",
    "LATEST",
    "CatalogueEntry",
    "Latest",
    "add_entries",
    "catalogue_bytes",
    "latest_bytes",
    "latest_of",
    "merged",
    "parse_catalogue",
    "parse_latest",
    "read_catalogue",
    "read_latest",
    "relative_url",
    "update_latest",
]

CATALOGUE = "index.json"
LATEST = "latest.json"
KINDS = ("tarball", "tests-tarball", "wheel", "sdist", "deb", "rpm")
ANY_PLATFORM = "any"

_FORMAT = 1
_LARGEST = 256 << 20
_MOST_ROUNDS = 20
_DIGEST = re.compile("[0-9a-f]{64}")
_DATE = re.compile("[0-9]{8}")
_PLACE = StorageLocation("any-place")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One file of a place."""

    kind: str
    """tarball, tests-tarball, wheel, sdist, deb or rpm."""
    name: str
    """The file's name."""
    project: str
    """``therock-dist``, a Python project, or a native package."""
    target: str | None
    """The GPU family or target that it is for, ``multiarch``, or None where it serves any."""
    platform: str
    """linux, windows or any."""
    version: str
    """The build's version in its Python form (PEP 440)."""
    date: str
    """YYYYMMDD: the version's own, else the one that it was promoted with."""
    run_id: str
    """The run that it was promoted from."""
    path: str
    """From the place; its segments are not escaped."""
    url: str
    """Absolute, or relative to the address of ``index.json``."""
    size: int
    """Bytes."""
    sha256: str
    yanked: str | None = None
    """Why it should not be chosen (PEP 592); None when it is not yanked."""

    def location(self, place: StorageLocation) -> StorageLocation:
        """Where it lies, given the place of its catalogue."""
        return place / self.path

    def url_from(self, base: str) -> str:
        """Its address, given that of the place (which ends in ``/``) or of its ``index.json``."""
        return urljoin(base, self.url)

    @property
    def newness(self) -> tuple[Version, str, int, Version]:
        """Grows with newness: version, then date and run, for the versions of commits have none."""
        version = Version(self.version)
        number = int(self.run_id) if self.run_id.isdecimal() else 0
        return Version(version.public), self.date, number, version


@dataclass(frozen=True, slots=True)
class Latest:
    """What ``latest.json`` says."""

    version: str | None
    """The newest version that is not yanked; None when there is none."""
    files: tuple[CatalogueEntry, ...]
    """Of each platform, all files of the newest version that it has."""


def relative_url(path: str) -> str:
    """A path as a URL relative to the place; a plus is ``%2B``, which S3 needs."""
    return quote(path)


def parse_catalogue(data: bytes, label: str) -> tuple[CatalogueEntry, ...]:
    """The entries of an ``index.json``; IntegrityError, with ``label``, for another form."""
    return _entries(_document(data, label), label)


def parse_latest(data: bytes, label: str) -> Latest:
    """What a ``latest.json`` says; IntegrityError, with ``label``, for another form."""
    document = _document(data, label)
    version = document.get("version")
    if version is not None and not isinstance(version, str):
        raise _wrong(label, f"its version is {version!r}")
    return Latest(version, _entries(document, label))


def catalogue_bytes(entries: Iterable[CatalogueEntry]) -> bytes:
    """An ``index.json``: the same entries always give the same bytes."""
    return _json({"format": _FORMAT, "files": [_plain(entry) for entry in _sorted(entries)]})


def latest_of(entries: Iterable[CatalogueEntry]) -> Latest:
    """The newest of what is not yanked.

    A platform that was not promoted yet keeps the version that it has: whoever comes first must
    not take away the other's latest.
    """
    rest = _sorted(entry for entry in entries if entry.yanked is None)
    if not rest:
        return Latest(None, ())
    newest: dict[str, str] = {}
    for entry in rest:
        if entry.platform != ANY_PLATFORM:
            newest.setdefault(entry.platform, entry.version)
    versions = set(newest.values()) or {rest[0].version}
    chosen = (
        entry
        for entry in rest
        if entry.version == newest.get(entry.platform)
        or (entry.platform == ANY_PLATFORM and entry.version in versions)
    )
    return Latest(rest[0].version, tuple(chosen))


def latest_bytes(latest: Latest) -> bytes:
    """A ``latest.json``."""
    files = [_plain(entry) for entry in latest.files]
    return _json({"format": _FORMAT, "version": latest.version, "files": files})


def merged(
    old: Iterable[CatalogueEntry], new: Iterable[CatalogueEntry], label: str
) -> tuple[CatalogueEntry, ...]:
    """Both, by path. ConflictError when a file is there with other bytes.

    What is there keeps its date, its run and whether it is yanked.
    """
    by_path = {entry.path: entry for entry in old}
    for entry in new:
        there = by_path.setdefault(entry.path, entry)
        if (there.size, there.sha256) != (entry.size, entry.sha256):
            raise ConflictError(
                f"{label}: {entry.path} is published with SHA-256 {there.sha256} and would now get "
                f"{entry.sha256}; give the new file another version"
            )
    return tuple(by_path.values())


def read_catalogue(storage: Storage, place: StorageLocation) -> tuple[CatalogueEntry, ...]:
    """The entries of a place; none when it has no catalogue yet."""
    location = place / CATALOGUE
    try:
        return parse_catalogue(storage.read(location, _LARGEST), location.s3_uri)
    except NotFoundError:
        return ()


def read_latest(storage: Storage, place: StorageLocation) -> Latest:
    """What is newest in a place; NotFoundError when nothing was promoted there yet."""
    location = place / LATEST
    return parse_latest(storage.read(location, _LARGEST), location.s3_uri)


def add_entries(
    storage: Storage, place: StorageLocation, entries: Sequence[CatalogueEntry]
) -> None:
    """Put entries into a place's catalogue, beside those that other jobs put there."""
    location = place / CATALOGUE

    def change(old: bytes | None) -> bytes:
        known = () if old is None else parse_catalogue(old, location.s3_uri)
        return catalogue_bytes(merged(known, entries, location.s3_uri))

    storage.update(location, change, content_type="application/json")


def update_latest(storage: Storage, place: StorageLocation) -> Latest:
    """Let ``latest.json`` follow the catalogue, which other jobs change meanwhile."""
    for _ in range(_MOST_ROUNDS):

        def change(_old: bytes | None) -> bytes:
            return latest_bytes(latest_of(read_catalogue(storage, place)))

        written = storage.update(place / LATEST, change, content_type="application/json")
        latest = latest_of(read_catalogue(storage, place))
        if written == latest_bytes(latest):
            return latest
    raise ConflictError(
        f"{(place / CATALOGUE).s3_uri} has changed {_MOST_ROUNDS} times in a row; "
        "try again when fewer write to it"
    )


def _sorted(entries: Iterable[CatalogueEntry]) -> list[CatalogueEntry]:
    """Newest first; files of one build by kind, target and path."""
    by_name = sorted(entries, key=lambda entry: (entry.kind, entry.target or "", entry.path))
    return sorted(by_name, key=lambda entry: entry.newness, reverse=True)


def _plain(entry: CatalogueEntry) -> dict[str, Any]:
    plain = {field.name: getattr(entry, field.name) for field in fields(entry)}
    if plain["yanked"] is None:
        del plain["yanked"]
    return plain


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _document(data: bytes, label: str) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(label, f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise _wrong(label, "it is no object")
    if document.get("format") != _FORMAT:
        raise IntegrityError(
            f"{label} has format {document.get('format')!r}, and {_FORMAT} is known here; "
            "take a newer version of this program"
        )
    return document


def _entries(document: Mapping[str, Any], label: str) -> tuple[CatalogueEntry, ...]:
    files = document.get("files")
    if not isinstance(files, list):
        raise _wrong(label, "it has no list of files")
    return tuple(_Reader(label, number, item).entry() for number, item in enumerate(files))


@dataclass(frozen=True, slots=True)
class _Reader:
    """One entry as it stands there: anything can."""

    label: str
    number: int
    item: Any

    def entry(self) -> CatalogueEntry:
        if not isinstance(self.item, dict):
            raise self._wrong("is no object")
        target, yanked = self.item.get("target"), self.item.get("yanked")
        for name, value in (("target", target), ("yanked", yanked)):
            if value is not None and not isinstance(value, str):
                raise self._wrong(f"has the {name} {value!r}")
        size = self.item.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise self._wrong(f"has the size {size!r}")
        return CatalogueEntry(
            kind=self._text("kind", re.compile("|".join(KINDS))),
            name=self._text("name"),
            project=self._text("project"),
            target=target,
            platform=self._text("platform"),
            version=self._version(),
            date=self._text("date", _DATE),
            run_id=self._text("run_id"),
            path=self._path(),
            url=self._text("url"),
            size=size,
            sha256=self._text("sha256", _DIGEST),
            yanked=yanked,
        )

    def _text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        text = self.item.get(name)
        if not isinstance(text, str) or not text or (pattern and not pattern.fullmatch(text)):
            raise self._wrong(f"has the {name} {str(text)[:100]!r}")
        return text

    def _version(self) -> str:
        text = self._text("version")
        try:
            return str(Version(text))
        except InvalidVersion as error:
            raise self._wrong(f"has the version {text[:100]!r}") from error

    def _path(self) -> str:
        path = self._text("path")
        try:
            location = _PLACE / path
        except LayoutError as error:
            raise self._wrong(f"has the path {path[:100]!r}") from error
        if location.is_prefix:
            raise self._wrong(f"has the path {path[:100]!r}")
        return path

    def _wrong(self, what: str) -> IntegrityError:
        return _wrong(self.label, f"file {self.number} {what}")


def _wrong(label: str, what: str) -> IntegrityError:
    return IntegrityError(f"{label} is no catalogue: {what}; promote once more after removing it")
