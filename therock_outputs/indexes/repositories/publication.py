"""One attempt at changing a repository, whoever else changes it at the same time.

The order is: package files, metadata files named by their content, the pointer (``Release``,
``repomd.xml``) by compare-and-swap, then what only follows the pointer. Metadata is a function of
what lies there: what the old metadata lists, what this attempt brings, and packages without an
entry that an interrupted attempt left. So the last writer lists what all have brought, even where
the server knows no conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.indexes.repositories import apt, rpm
from therock_outputs.indexes.repositories.entry import (
    Format,
    ListedPackage,
    PublishedRepository,
    RepositorySettings,
)
from therock_outputs.indexes.repositories.stored import StoredRepository, by_path, in_order
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.signing import PUBLIC_KEY, Signer, fingerprint_of
from therock_outputs.storage import IfExists, ObjectInfo, Storage, Transfer, Upload
from therock_outputs.storage.dry_run import DryRunStorage
from therock_outputs.storage.parallel import run_parallel

__all__ = ["FORMATS", "Publication", "open_publication"]

FORMATS: Mapping[PackageFormat, Format] = {PackageFormat.DEB: apt, PackageFormat.RPM: rpm}
_JOBS = 4
_MOST_ROUNDS = 50
_ROUNDS_FOR_OTHERS = 10
"""After so many, packages without entries are of an upload that is under way, not lost ones."""


class _MovedError(Exception):
    """The pointer is no longer the one that the new one was made from."""


@dataclass(slots=True)
class Publication:
    """One attempt at changing a repository."""

    there: StoredRepository
    settings: RepositorySettings
    mtime: int
    signer: Signer | None
    jobs: int
    adding: Mapping[str, ListedPackage] = field(default_factory=dict)
    """What this attempt brings, by path."""
    before: frozenset[str] = frozenset()
    """Paths that were listed when this attempt began."""
    merged: tuple[ListedPackage, ...] = ()
    """What the pointer was last made from."""
    followed: bytes | None = None
    """The pointer that ``followers`` are of."""
    followers: Sequence[Mapping[str, bytes]] = ()
    strays: dict[ObjectInfo, ListedPackage] = field(default_factory=dict)
    """Packages that no metadata described, as read."""

    def prepare(self, entries: Iterable[ListedPackage]) -> None:
        """Refuse what cannot be published, before anything is written."""
        there = self.there
        self.adding = by_path(there.place, entries)
        if self.signer is not None:
            self._check_key(self.signer)
        elif there.storage.exists(there.place / there.form.SIGNED):
            raise ConflictError(
                f"{there.place.s3_uri} is signed, and its users would refuse it unsigned; "
                "give --sign-key"
            )
        listed = there.entries(there.read_pointer())
        self.before = frozenset(listed)
        self._combine(listed, there.unlisted())

    def run(self, transfers: Sequence[Transfer]) -> PublishedRepository:
        """List what is there, until all of it is listed."""
        there = self.there
        key = self._put_key()
        for turn in range(_MOST_ROUNDS):
            if not self._point():
                continue
            if isinstance(there.storage, DryRunStorage):
                packages = self.merged
                break
            listed = self.follow()
            if self._is_settled(set(listed), others=turn < _ROUNDS_FOR_OTHERS):
                packages = in_order(listed)
                break
        else:
            raise ConflictError(
                f"{there.place.s3_uri} was changed by others {_MOST_ROUNDS} times in a row; "
                "try again when fewer write to it"
            )
        unlisted = there.unlisted()
        return PublishedRepository(
            there.form.KIND,
            there.place,
            packages,
            tuple(sorted(set(self.adding) - self.before - unlisted)),
            tuple(sorted(set(self.adding) & unlisted)),
            tuple(transfers),
            key,
        )

    def _point(self) -> bool:
        """Make metadata of what is there and point at it; False when another was faster."""
        there = self.there
        old = there.read_pointer()
        new = self._render(old)
        # Made before and written right after: rpm has no file that holds text and signature, so
        # between the two a client that asks for both is told that they do not fit.
        self._followers(new)

        def swap(current: bytes | None) -> bytes:
            # A server without conditions is asked what stands: that may be ours already.
            if current not in (old, new):
                raise _MovedError
            return new

        try:
            there.storage.update(there.place / there.form.POINTER, swap)
        except _MovedError:
            return False
        return True

    def _render(self, old: bytes | None) -> bytes:
        """The pointer as it is to be, with the files that it points at in their places."""
        there = self.there
        self.merged = self._merge(there.entries(old))
        files = there.form.render_files(self.merged)
        there.made = {file.sha256: data for file, data in files.items()}
        time = self.mtime
        if old is not None:
            time = there.parse(old).time
            if there.form.render_pointer(list(files), self.settings, time) == old:
                return old
            time = max(self.mtime, time + 1)
        uploads = [Upload(data, there.place / file.path) for file, data in files.items()]
        there.storage.upload(uploads, jobs=self.jobs)
        return there.form.render_pointer(list(files), self.settings, time)

    def follow(self) -> dict[str, ListedPackage]:
        """Write what is a function of the pointer; what the pointer lists now.

        Whoever finds another pointer afterwards begins anew, so the last one to write has
        followed the last pointer.
        """
        there = self.there
        for _ in range(_MOST_ROUNDS):
            data = there.read_pointer()
            if data is None:
                raise NotFoundError(f"{there.label} is gone; publish again")
            for files in self._followers(data):
                uploads = [
                    Upload(content, there.place / path, IfExists.REPLACE)
                    for path, content in files.items()
                ]
                there.storage.upload(uploads, jobs=self.jobs)
            if there.read_pointer() == data:
                return there.entries(data)
        raise ConflictError(
            f"{there.label} was changed by others {_MOST_ROUNDS} times in a row; "
            "try again when fewer write to it"
        )

    def _followers(self, data: bytes) -> Sequence[Mapping[str, bytes]]:
        """What follows a pointer, kept until it is asked of another one.

        Signatures have the pointer's time: they stay as they are for as long as it does.
        """
        there = self.there
        if self.followed != data:
            pointer = there.parse(data)
            sign = None if self.signer is None else partial(self.signer.sign, mtime=pointer.time)
            self.followers = there.form.render_followers(data, pointer, there.fetch, sign)
            self.followed = data
        return self.followers

    def _is_settled(self, listed: set[str], *, others: bool) -> bool:
        """Whether nobody's packages can have been lost by what was written last.

        A server without conditions may have let this write go over another one, whose packages
        then lie there without entries (``others``: ask for these too).
        """
        there = self.there
        wanted = set(self.adding)
        if others and not there.storage.honours_conditions:
            wanted = set(there.found())
        unlisted = there.unlisted()
        return wanted - unlisted <= listed and not listed & unlisted

    def _merge(self, listed: Mapping[str, ListedPackage]) -> tuple[ListedPackage, ...]:
        """All that is to be listed: known, brought, and found without an entry; checked."""
        there = self.there
        unlisted = there.unlisted()
        merged = self._combine(listed, unlisted)
        found = there.found()
        present = merged
        if isinstance(there.storage, DryRunStorage):  # what this attempt brings is not there
            present = {path: e for path, e in merged.items() if path in listed or path in found}
        there.check_files(present, found)
        strays = [found[path] for path in sorted(set(found) - set(merged) - unlisted)]
        new = [info for info in strays if info not in self.strays]
        entries = run_parallel(there.read_stray, new, self.jobs)
        self.strays.update(zip(new, entries, strict=True))
        both = [*merged.values(), *(self.strays[info] for info in strays)]
        return in_order(by_path(there.place, both))

    def _combine(
        self, listed: Mapping[str, ListedPackage], unlisted: frozenset[str]
    ) -> dict[str, ListedPackage]:
        """What is listed with what this attempt brings; ConflictError for other bytes."""
        place = self.there.place
        for path, entry in self.adding.items():
            known = listed.get(path, entry)
            if known.sha256 != entry.sha256:
                raise ConflictError(
                    f"{(place / path).s3_uri} is published with SHA-256 {known.sha256} and "
                    f"would now get {entry.sha256}; give the new package another version"
                )
        both = {**self.adding, **listed}
        return by_path(place, [entry for path, entry in both.items() if path not in unlisted])

    def _check_key(self, signer: Signer) -> None:
        """ConflictError when the repository is signed with another key."""
        place = self.there.place
        location = place / PUBLIC_KEY
        try:
            before = fingerprint_of(self.there.storage.read(location), location.s3_uri, signer)
        except NotFoundError:
            return
        if before != signer.fingerprint:
            raise ConflictError(
                f"{place.s3_uri} is signed with key {before}, which its users trust, and "
                f"would now be with {signer.fingerprint}; sign with that one, or remove "
                f"{PUBLIC_KEY} there to change the key"
            )

    def _put_key(self) -> StorageLocation | None:
        if self.signer is None:
            return None
        location = self.there.place / PUBLIC_KEY
        key = Upload(self.signer.public_key, location, IfExists.REPLACE)
        self.there.storage.upload([key])
        return location


def open_publication(  # noqa: PLR0917 - what every function here is given
    storage: Storage,
    place: StorageLocation,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None,
    jobs: int | None,
) -> Publication:
    """An attempt that brings nothing yet."""
    there = StoredRepository(storage, place.as_prefix(), FORMATS[kind], settings)
    return Publication(there, settings, mtime, signer, jobs or _JOBS)
