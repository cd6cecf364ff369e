"""Put packages into a repository, or one repository into another, and lose nothing.

Each function here is a `Publication` with other things to bring or to take out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from therock_outputs.errors import NotFoundError
from therock_outputs.indexes.repositories.entry import (
    Format,
    ListedPackage,
    PublishedRepository,
    RepositoryPackage,
    RepositorySettings,
)
from therock_outputs.indexes.repositories.publication import FORMATS, open_publication
from therock_outputs.indexes.repositories.stored import UNLISTED, StoredRepository, parse_unlisted
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.signing import Signer
from therock_outputs.storage import Progress, Storage, Upload
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.local_io import os_errors
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = [
    "merge_repository",
    "package_path",
    "publish_packages",
    "read_repository",
    "relist_package",
    "relist_packages",
    "unlist_package",
    "unlist_packages",
]


def package_path(kind: PackageFormat, filename: str) -> str:
    """Where a package file goes, from the repository's place."""
    return FORMATS[kind].path_of(filename)


def publish_packages(
    storage: Storage,
    place: StorageLocation,
    packages: Sequence[RepositoryPackage],
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> PublishedRepository:
    """Upload package files and list them beside all that is there.

    ``place`` is what a source line names (`WorkflowOutputRoot.deb_repository`,
    ``rpm_repository``). ``mtime`` is the time of the metadata; where metadata with that time or
    a later one stands already, it becomes a second later than that, since apt stays with what it
    has when a date goes back. An identical package is not uploaded again. Packages that are
    described already are not read, whatever their number.

    Raises ConflictError for other bytes under a published name or version, for an unsigned
    publication into a signed repository and for another key than it has; IntegrityError for a
    file that is no package and for metadata that is not what its digest says; NotFoundError for
    a listed package that is gone.
    """
    publication = open_publication(storage, place, kind, settings, mtime, signer, jobs)
    read = partial(_read_file, publication.there.form)
    entries = run_parallel(read, packages, publication.jobs)
    publication.prepare(entries)
    uploads = [
        Upload(package.path, place / entry.path, sha256=entry.sha256)
        for package, entry in zip(packages, entries, strict=True)
    ]
    return publication.run(storage.upload(uploads, jobs=jobs, progress=progress))


def merge_repository(
    storage: Storage,
    source: StorageLocation,
    target: StorageLocation,
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
    select: Callable[[ListedPackage], bool] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> PublishedRepository:
    """Copy the packages that ``source`` lists into ``target`` and list them there.

    Objects are copied by the server and no package is read: entries come from the source's
    metadata, which its digests vouch for. ``select`` says which ones; None: all. Raises what
    `publish_packages` does, and NotFoundError for a source without metadata.
    """
    publication = open_publication(storage, target, kind, settings, mtime, signer, jobs)
    listed = read_repository(storage, source, kind)
    entries = [entry for entry in listed if select is None or select(entry)]
    publication.prepare(entries)
    copies = [(source / entry.path, target / entry.path) for entry in entries]
    return publication.run(storage.copy(copies, jobs=jobs, progress=progress))


def read_repository(
    storage: Storage, place: StorageLocation, kind: PackageFormat
) -> tuple[ListedPackage, ...]:
    """What the metadata lists, by path; NotFoundError where there is none.

    Compared with its digests, and with the sizes of the package files.
    """
    return StoredRepository(storage, place, FORMATS[kind]).checked()


def unlist_package(
    storage: Storage,
    place: StorageLocation,
    name: str,
    version: str,
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
) -> PublishedRepository:
    """Take one version of a package out of the metadata; its files stay.

    NotFoundError when no such package is listed; otherwise as `unlist_packages`.
    """
    there = StoredRepository(storage, place.as_prefix(), FORMATS[kind], settings)
    listed = there.entries(there.read_pointer())
    paths = [
        path for path, entry in listed.items() if (entry.name, entry.version) == (name, version)
    ]
    if not paths:
        raise NotFoundError(
            f"{place.s3_uri} lists no {name} of version {version}; check both in its metadata"
        )
    return unlist_packages(
        storage, place, paths, kind=kind, settings=settings, mtime=mtime, signer=signer
    )


def unlist_packages(
    storage: Storage,
    place: StorageLocation,
    paths: Collection[str],
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
) -> PublishedRepository:
    """Take packages out of the metadata at once, by their paths; the files stay.

    They stay out, whatever is published later, until `relist_packages` is called. A file that is
    gone can be unlisted too, and what is unlisted already can be again. NotFoundError for a path
    that is neither listed nor there.
    """
    publication = open_publication(storage, place, kind, settings, mtime, signer, None)
    publication.prepare(())
    there = publication.there
    known = publication.before | there.unlisted() | set(there.found())
    _require(place, paths, known)
    storage.update(place / UNLISTED, partial(_change_unlisted, add=frozenset(paths)))
    there.unlisting = frozenset(paths)
    return publication.run(())


def relist_package(
    storage: Storage,
    place: StorageLocation,
    path: str,
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
) -> PublishedRepository:
    """List one package again, by its path, as `relist_packages`."""
    return relist_packages(
        storage, place, [path], kind=kind, settings=settings, mtime=mtime, signer=signer
    )


def relist_packages(
    storage: Storage,
    place: StorageLocation,
    paths: Collection[str],
    *,
    kind: PackageFormat,
    settings: RepositorySettings,
    mtime: int,
    signer: Signer | None = None,
) -> PublishedRepository:
    """List packages again that were unlisted, by their paths; NotFoundError for one that is gone.

    What is listed already stays so.
    """
    publication = open_publication(storage, place, kind, settings, mtime, signer, None)
    publication.prepare(())
    there = publication.there
    _require(place, paths, there.found())
    if there.unlisted() & set(paths):
        storage.update(place / UNLISTED, partial(_change_unlisted, remove=frozenset(paths)))
    there.relisting = frozenset(paths)
    return publication.run(())


def _require(place: StorageLocation, paths: Iterable[str], known: Collection[str]) -> None:
    missing = sorted(set(paths) - set(known))
    if missing:
        raise NotFoundError(
            f"{place.s3_uri} has no package {missing[0]!r}; check its path in the metadata"
        )


def _read_file(form: Format, package: RepositoryPackage, stop: Stop) -> ListedPackage:
    """The entry of a package file on this machine."""
    stop.check()
    with os_errors(f"{package.path} cannot be read"):
        digest = package.sha256 or sha256_of_file(package.path)
        size = package.path.stat().st_size
        with package.path.open("rb") as stream:
            return form.read_package(stream, form.path_of(package.path.name), size, digest)


def _change_unlisted(
    old: bytes | None, add: frozenset[str] = frozenset(), remove: frozenset[str] = frozenset()
) -> bytes:
    return "".join(f"{path}\n" for path in sorted((parse_unlisted(old) | add) - remove)).encode()
