"""The two forms that an index has: pages below ``simple/``, or one in each project's directory.

The first is that of a run and of the classic places, whose files lie in one directory. In the
second every project has a directory with its files, which is its page as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from therock_outputs.indexes.distributions import IndexedFile, is_distribution
from therock_outputs.indexes.find_links import find_links_page
from therock_outputs.indexes.simple import hrefs_of, simple_pages
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = ["BESIDE", "BY_PROJECT", "Shape"]

_PAGE = "/index.html"


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the pages of a place stand, and which files they list."""

    pages: str
    """What stands before a page's name in the place: ``simple/``, or nothing."""
    up: str
    """From a project's page to the place."""
    by_project: bool
    """Whether the files lie in a directory of their project."""

    def is_file(self, name: str) -> bool:
        """Whether a path in the place is one that its index may list."""
        return name.count("/") == (1 if self.by_project else 0) and is_distribution(name)

    def all_pages(
        self, files: Iterable[IndexedFile], *, flat: bool = True, also: Collection[str] = ()
    ) -> dict[str, bytes]:
        """The pages by their names in the place; what points at another comes after it.

        ``flat`` leaves ``index.html`` of the first form out when it is false.
        ``also`` are projects that get a page though they may have no file any more.
        """
        listed = sorted(files)
        if self.by_project:
            sums = _sums_by_project(listed, also)
            # A reader that asks for JSON finds none: its name would be that of the catalogue.
            return sums | simple_pages(listed, up=self.up, with_json=False, also=also)
        pages = {SHA256SUMS: _sums(file for file in listed if "/" not in file.path)}
        pages |= {self.pages + name: page for name, page in simple_pages(listed, also=also).items()}
        if flat:
            pages["index.html"] = find_links_page(listed)
        return pages

    def is_page(self, name: str) -> bool:
        """Whether a name is that of a page for installers, rather than of a file beside them."""
        return name.startswith(self.pages) and name.endswith((".html", ".json"))

    def is_root(self, name: str) -> bool:
        """Whether a page for installers is the one that names the projects."""
        return name.count("/") == self.pages.count("/")

    def named_in(self, name: str, page: bytes, label: str) -> set[str]:
        """What a page names that must be there: paths from the place, or the projects.

        The flat page is not asked: CI buckets write one of their own over it. Nor are JSON pages,
        which name what the HTML beside them does.
        """
        directory = name.rpartition("/")[0]
        if name.endswith(SHA256SUMS):
            before = f"{directory}/" if directory else ""
            return {before + file for file in parse_sums(page, label)}
        if not (self.is_page(name) and f"/{name}".endswith(_PAGE)):
            return set()
        hrefs = hrefs_of(page, label)
        if self.is_root(name):
            return {href.rstrip("/") for href in hrefs}
        return {href.removeprefix(self.up) for href in hrefs}


BESIDE = Shape("simple/", "../../", by_project=False)
BY_PROJECT = Shape("", "../", by_project=True)


def _sums_by_project(files: Iterable[IndexedFile], also: Collection[str]) -> dict[str, bytes]:
    projects: dict[str, list[IndexedFile]] = {project: [] for project in also}
    for file in files:
        projects.setdefault(file.name.project, []).append(file)
    return {f"{project}/{SHA256SUMS}": _sums(own) for project, own in sorted(projects.items())}


def _sums(files: Iterable[IndexedFile]) -> bytes:
    lines = sorted((file.name.filename, file.sha256) for file in files)
    return "".join(f"{digest}  {name}\n" for name, digest in lines).encode()
