"""Write a run's listing pages: what is there now, whoever put it there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from therock_outputs.indexes.listings import ListedFile, ListingPage, run_listings
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.publish.sums import SHA256SUMS, parse_sums
from therock_outputs.storage import Storage

__all__ = ["publish_pages"]

_LARGEST_SUMS = 16 << 20


def publish_pages(
    storage: Storage,
    root: WorkflowOutputRoot,
    *,
    digests: Mapping[StorageLocation, str] | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
) -> tuple[StorageLocation, ...]:
    """Render and put the pages of a run; returns where they are.

    ``digests`` are those known of the run's files, ``groups`` the archives' file names by
    artifact group. A page that another job has changed meanwhile is made again from a new
    listing, so that what both of them uploaded is on it.
    """
    run = _Run(storage, root, digests or {}, groups or {})
    pages = run.pages()
    for location, page in pages.items():
        storage.update(
            location, _Renderer(run, page).render, content_type="text/html; charset=utf-8"
        )
    return tuple(pages)


@dataclass(frozen=True, slots=True)
class _Run:
    storage: Storage
    root: WorkflowOutputRoot
    digests: Mapping[StorageLocation, str]
    groups: Mapping[str, Collection[str]]

    def pages(self) -> dict[StorageLocation, ListingPage]:
        """The pages of what is there now."""
        found = {info.location: info.size for info in self.storage.list(self.root.root)}
        digests = dict(self.digests)
        sums = self.root.tarball(SHA256SUMS)
        if sums in found:
            lines = parse_sums(self.storage.read(sums, _LARGEST_SUMS), sums.s3_uri)
            digests |= {self.root.tarball(name): digest for name, digest in lines.items()}
        files = [ListedFile(place, size, digests.get(place)) for place, size in found.items()]
        made = run_listings(self.root, files, groups=self.groups)
        return {page.location: page for page in made}


@dataclass(slots=True)
class _Renderer:
    run: _Run
    page: ListingPage
    calls: int = field(default=0)

    def render(self, old: bytes | None) -> bytes:
        """The page; from a new listing when somebody else was faster."""
        del old
        self.calls += 1
        if self.calls > 1:
            self.page = self.run.pages().get(self.page.location, self.page)
        return self.page.data
