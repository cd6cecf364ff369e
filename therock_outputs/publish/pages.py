"""Write a run's listing pages: what is there now, whoever put it there."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from therock_outputs.artifacts.names import ArchiveName, parse_archive_filename, parse_sha256sum
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.indexes.listings import (
    ListedFile,
    ListingPage,
    directory_listing,
    run_listings,
)
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import Storage
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = ["publish_directory_page", "publish_pages"]

_LARGEST_SUMS = 16 << 20
_LARGEST_DIGEST_FILE = 4096
_READERS = 16
"""Requests of a hundred bytes each: waiting, not work."""
_HTML = "text/html; charset=utf-8"

_log = logging.getLogger(__name__)


def publish_pages(
    storage: Storage,
    root: WorkflowOutputRoot,
    *,
    digests: Mapping[StorageLocation, str] | None = None,
) -> tuple[StorageLocation, ...]:
    """Render and put the pages of a run; returns where they are.

    A page depends on what lies under the run's root and on nothing else. ``digests`` are those
    that are known already, which saves reading them there. Every page is made from a listing
    that is younger than the page it replaces: of two jobs that upload at a time, the one that
    writes a page last has seen what both uploaded.
    """
    run = _Run(storage, root, dict(digests or {}))
    pages = run.pages()
    for location, page in pages.items():

        def render(_old: bytes | None, page: ListingPage = page) -> bytes:
            return run.pages(only=page.location).get(page.location, page).data

        storage.update(location, render, content_type=_HTML)
    return tuple(pages)


def publish_directory_page(
    storage: Storage, root: WorkflowOutputRoot, directory: StorageLocation
) -> StorageLocation:
    """Render and put ``index.html`` of one directory of a run; returns where it is.

    Like the run's pages it shows what is there, whoever put it there.
    """

    def render(_old: bytes | None) -> bytes:
        files = [ListedFile(info.location, info.size) for info in storage.list(directory)]
        return directory_listing(root, directory, files).data

    page = directory / "index.html"
    storage.update(page, render, content_type=_HTML)
    return page


@dataclass(frozen=True, slots=True)
class _Run:
    storage: Storage
    root: WorkflowOutputRoot
    digests: dict[StorageLocation, str]
    """Known digests of archives; they never change, so each is read once."""
    unknown: set[StorageLocation] = field(default_factory=set)
    """Archives whose digest file says nothing of use."""

    def pages(self, only: StorageLocation | None = None) -> dict[StorageLocation, ListingPage]:
        """The pages of what is there now, or one of them."""
        found = {info.location: info.size for info in self.storage.list(self.root.root)}
        archives = {self.root.archive(name.filename): name for name in self._archives(found)}
        self._read_digests(archives, found)
        digests = self.digests | self._sums(found)
        files = [ListedFile(place, size, digests.get(place)) for place, size in found.items()]
        made = run_listings(self.root, files, groups=_groups(archives.values()), only=only)
        return {page.location: page for page in made}

    def _archives(self, found: Iterable[StorageLocation]) -> list[ArchiveName]:
        names = []
        for location in found:
            below = location.relative_to(self.root.root)
            if "/" not in below:
                try:
                    name = parse_archive_filename(below)
                except IntegrityError:
                    continue  # a page shows it under the name that it has
                if name is not None:
                    names.append(name)
        return names

    def _sums(self, found: Mapping[StorageLocation, int]) -> dict[StorageLocation, str]:
        """The tarballs' digests."""
        sums = self.root.tarball(SHA256SUMS)
        if sums not in found:
            return {}
        lines = parse_sums(self.storage.read(sums, _LARGEST_SUMS), sums.s3_uri)
        return {self.root.tarball(name): digest for name, digest in lines.items()}

    def _read_digests(
        self,
        archives: Mapping[StorageLocation, ArchiveName],
        found: Mapping[StorageLocation, int],
    ) -> None:
        asked = [
            location
            for location, name in archives.items()
            if location not in self.digests
            and location not in self.unknown
            and self.root.archive_digest(name.filename) in found
        ]
        with ThreadPoolExecutor(_READERS, "digests") as pool:
            for location, digest in zip(asked, pool.map(self._digest, asked), strict=True):
                if digest is None:
                    self.unknown.add(location)
                else:
                    self.digests[location] = digest

    def _digest(self, archive: StorageLocation) -> str | None:
        place = self.root.archive_digest(archive.name)
        try:
            data = self.storage.read(place, _LARGEST_DIGEST_FILE)
            return parse_sha256sum(data.decode("utf-8", "replace"), archive.name)
        except (IntegrityError, NotFoundError) as error:
            _log.info("no digest of %s on its page: %s", archive.s3_uri, error)
            return None


def _groups(archives: Iterable[ArchiveName]) -> dict[str, list[str]]:
    """For each family or target of the run, the archives that somebody with it needs."""
    generic: list[str] = []
    groups: dict[str, list[str]] = defaultdict(list)
    for name in archives:
        if name.artifact.is_generic:
            generic.append(name.filename)
        else:
            groups[name.artifact.base_target].append(name.filename)
    return {group: [*generic, *names] for group, names in groups.items()}
