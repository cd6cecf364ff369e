"""Which tarballs a distribution place has: from its ``index.json``, else from a listing.

A place that was filled by other programs has no index; then file names tell, and the digests are
those of ``SHA256SUMS`` or of a ``.sha256sum`` beside the tarball.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from packaging.version import InvalidVersion, Version

from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import CATALOGUE, parse_catalogue
from therock_outputs.storage import Storage
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = ["PublishedTarball", "choose_tarball", "published_tarballs", "with_digest"]

_LARGEST_INDEX = 256 << 20
_LARGEST_SUMS = 64 << 20
_KINDS = {"tarball": False, "tests-tarball": True}
_NAME = re.compile(
    r"therock-dist-(?P<platform>linux|windows)-(?P<family>.+?)(?P<tests>-tests)?"
    r"-(?P<version>[^-]+)\.tar\.(?:gz|zst|xz)"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ALL = "multiarch"
_SHOWN = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishedTarball:
    """One tarball of a place."""

    location: StorageLocation
    platform: str
    family: str
    """A GPU family or target, or ``multiarch``."""
    with_tests: bool
    version: str
    """In its normal form (PEP 440)."""
    size: int
    """Bytes."""
    sha256: str | None = None
    """None: the place's index does not say; see `with_digest`."""
    yanked: str | None = None
    """Why it should not be chosen; None when it is not yanked."""

    @property
    def filename(self) -> str:
        """Its file name."""
        return self.location.name


def published_tarballs(storage: Storage, place: StorageLocation) -> tuple[PublishedTarball, ...]:
    """All tarballs of a place, newest first. IntegrityError for an index of another form."""
    index = place / CATALOGUE
    try:
        data = storage.read(index, _LARGEST_INDEX)
    except NotFoundError:
        _log.info("%s is not there; its files are listed", index.s3_uri)
        return _listed(storage, place)
    return _indexed(data, place, index.s3_uri)


def choose_tarball(
    tarballs: Sequence[PublishedTarball],
    *,
    platform: str,
    families: Sequence[str],
    version: str | None,
    tests: bool,
    where: str,
) -> PublishedTarball:
    """The tarball of the first of ``families`` that there is one for; ``where`` is for errors.

    ``families`` empty takes the multiarch one, else the one of the only family that the version
    has. ``version`` None is the newest that is not yanked and has such a tarball. NotFoundError
    shows what there is.
    """
    there = [one for one in tarballs if one.platform == platform and one.with_tests == tests]
    if version is not None:
        there = [one for one in there if Version(one.version) == Version(version)]
    else:
        there = [one for one in there if one.yanked is None]
    what = f"{'tests ' if tests else ''}tarball for {platform}"
    if not there:
        known = [one.version for one in tarballs if one.platform == platform]
        if not known:
            raise NotFoundError(
                f"{where} has no {what}; promote one, or check --release-type and --layout"
            )
        kind = f"of version {version}" if version else "that is not yanked"
        raise NotFoundError(f"{where} has no {what} {kind}; it has versions {_shown(known)}")
    if not families:
        newest = [one for one in there if one.version == there[0].version]
        newest = [one for one in newest if one.family == _ALL] or newest
        if len({one.family for one in newest}) > 1:
            raise NotFoundError(
                f"{where} has a {what} of {there[0].version} for each of "
                f"{_shown(one.family for one in newest)}; name one with --amdgpu-families"
            )
        return _preferred(newest)
    for one in there:
        same = [other for other in there if other.version == one.version]
        for family in families:
            if fitting := [other for other in same if other.family == family]:
                return _preferred(fitting)
    raise NotFoundError(
        f"{where} has no {what} for {families[0]}; there are those for "
        f"{_shown(one.family for one in there)}"
    )


def with_digest(storage: Storage, tarball: PublishedTarball) -> PublishedTarball:
    """The tarball with its published digest, as far as there is one."""
    if tarball.sha256 is not None:
        return tarball
    location = tarball.location
    folder = StorageLocation(location.bucket, location.key.removesuffix(location.name))
    sums = folder / SHA256SUMS
    try:
        digests = parse_sums(storage.read(sums, _LARGEST_SUMS), sums.s3_uri)
        if location.name in digests:
            return replace(tarball, sha256=digests[location.name])
    except NotFoundError:
        pass
    beside = folder / f"{location.name}.sha256sum"
    try:
        words = storage.read(beside, 4096).decode("utf-8", "replace").split()
    except NotFoundError:
        return tarball
    name = words[1].lstrip("*") if len(words) > 1 else location.name
    if not words or not _DIGEST.fullmatch(words[0].lower()) or name != location.name:
        raise IntegrityError(
            f"{beside.s3_uri}: does not hold the 64 hex digits of {location.name}; "
            "have it uploaded again"
        )
    return replace(tarball, sha256=words[0].lower())


def _preferred(tarballs: Sequence[PublishedTarball]) -> PublishedTarball:
    """Of two compressions the one that is smaller."""
    return min(tarballs, key=lambda one: (one.size, one.filename))


def _shown(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return (", ".join(listed[:_SHOWN]) or "none") + more


def _listed(storage: Storage, place: StorageLocation) -> tuple[PublishedTarball, ...]:
    found = []
    for info in storage.list(place.as_prefix()):
        match = _NAME.fullmatch(info.location.relative_to(place))
        if match is None:
            continue
        try:
            version = str(Version(match["version"]))
        except InvalidVersion:
            _log.info("%s: its version has no order; left out", info.location.s3_uri)
            continue
        found.append(
            PublishedTarball(
                info.location,
                match["platform"],
                match["family"],
                match["tests"] is not None,
                version,
                info.size,
            )
        )
    return tuple(sorted(found, key=lambda one: Version(one.version), reverse=True))


def _indexed(data: bytes, place: StorageLocation, label: str) -> tuple[PublishedTarball, ...]:
    """The tarballs of an ``index.json``, in its order, which is newest first."""
    return tuple(
        PublishedTarball(
            location=entry.location(place),
            platform=entry.platform,
            family=entry.target or _ALL,
            with_tests=_KINDS[entry.kind],
            version=entry.version,
            size=entry.size,
            sha256=entry.sha256,
            yanked=entry.yanked,
        )
        for entry in parse_catalogue(data, label)
        if entry.kind in _KINDS
    )
