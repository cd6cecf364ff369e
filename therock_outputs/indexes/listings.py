"""Listing pages: what a run made, for people with a browser.

A page is a pure function of names, sizes and digests, so that the same run gives the same
bytes. It needs no script and no other file, and installers never read it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import jinja2

from therock_outputs.formatting import format_size, visible
from therock_outputs.layout import LayoutError, PackageFormat, StorageLocation, WorkflowOutputRoot

__all__ = [
    "ListedFile",
    "ListingEntry",
    "ListingLink",
    "ListingPage",
    "directory_listing",
    "render_listing",
    "run_listings",
]


@dataclass(frozen=True, slots=True)
class ListingEntry:
    """A row of a listing page."""

    name: str
    """As it is; the page escapes it. May hold ``/`` for what lies deeper."""
    href: str
    """The path from the page, as it is: the page percent-encodes it. It never leads up."""
    size: int | None = None
    """Bytes; of a directory, of all in it."""
    sha256: str | None = None
    """64 hex digits."""
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class ListingLink:
    """A link to another page; ``href`` is a relative path, not yet encoded."""

    name: str
    href: str


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a run, as the pages show it."""

    location: StorageLocation
    size: int
    """Bytes."""
    sha256: str | None = None
    """64 hex digits, where they are known."""


@dataclass(frozen=True, slots=True)
class ListingPage:
    """A page and where it goes."""

    location: StorageLocation
    html: str

    @property
    def data(self) -> bytes:
        """What to upload."""
        return self.html.encode()


@dataclass(frozen=True, slots=True)
class _Row:
    href: str
    above: str
    """The directories before the name, if any; ends in ``/``."""
    leaf: str
    size: str
    exact: str
    sha256: str


def render_listing(
    title: str,
    entries: Iterable[ListingEntry],
    *,
    parents: Sequence[ListingLink] = (),
    see_also: Sequence[ListingLink] = (),
) -> str:
    """The HTML page of some entries: directories first, then by name, numbers by value.

    ``parents`` are the steps of the breadcrumb above this page, ``see_also`` the pages of
    artifact groups. LayoutError for an entry whose link would lead away from the page's
    directory.
    """
    ordered = sorted(entries, key=_order)
    return _template().render(
        title=visible(title),
        summary=_summary(ordered),
        parents=[_encoded(link) for link in parents],
        see_also=[_encoded(link) for link in see_also],
        rows=[_row(entry) for entry in ordered],
    )


def run_listings(
    root: WorkflowOutputRoot,
    files: Iterable[ListedFile],
    *,
    groups: Mapping[str, Collection[str]] | None = None,
    only: StorageLocation | None = None,
) -> tuple[ListingPage, ...]:
    """The pages of a run: its root, its artifact groups, logs, manifests, packages and tarballs.

    ``files`` is everything under the run's root, in any order; listing pages among them are
    left out. ``groups`` maps an artifact group to the file names of its archives. A directory
    without files gets no page. ``only`` is the one page to make; None: all.
    """

    def is_wanted(page: StorageLocation) -> bool:
        return only is None or page == only

    groups = groups or {}
    pages = {
        root.logs(): root.logs_index(),
        root.manifests(): root.manifests_index(),
        **{root.packages(kind): root.packages(kind, "index.html") for kind in PackageFormat},
        root.tarballs(): root.tarballs_index(),
    }
    ours = {root.archive_index(), *map(root.archive_index, groups), *pages.values()}
    listed = [file for file in files if file.location not in ours]
    run_name = root.root.name
    top: list[ListingEntry] = []
    made: list[ListingPage] = []
    for directory, page in pages.items():
        # by-hash/ has other names of the files beside it, for apt alone.
        below = [
            entry
            for entry in _files_below(directory, listed)
            if "by-hash" not in entry.name.split("/")
        ]
        if below:
            top.append(_directory_entry(root, directory, page, below))
        if below and is_wanted(page):
            name = directory.relative_to(root.root).removesuffix("/")
            up = "../" * (name.count("/") + 1)
            html = render_listing(name, below, parents=[ListingLink(run_name, f"{up}index.html")])
            made.append(ListingPage(page, html))
    python_page = root.python_find_links()
    if any(file.location == python_page for file in listed):
        # The index's own pages lie in other ways on other servers; this page tells none apart.
        wheels = [
            entry
            for entry in _files_below(root.python(), listed)
            if "simple" not in entry.name.split("/")
        ]
        top.append(_directory_entry(root, root.python(), python_page, wheels))
    archives = [entry for entry in _files_below(root.root, listed) if "/" not in entry.name]
    made.extend(
        _group_page(root, group, groups[group], archives)
        for group in sorted(groups)
        if is_wanted(root.archive_index(group))
    )
    if not is_wanted(root.archive_index()):
        return tuple(made)
    see_also = [
        ListingLink(group, root.archive_index(group).name) for group in sorted(groups, key=_natural)
    ]
    html = render_listing(run_name, [*top, *archives], see_also=see_also)
    made.append(ListingPage(root.archive_index(), html))
    return tuple(made)


def directory_listing(
    root: WorkflowOutputRoot, directory: StorageLocation, files: Iterable[ListedFile]
) -> ListingPage:
    """The page ``index.html`` of one directory of a run, such as a build stage's logs.

    ``files`` is everything below it, in any order; the page itself is left out.
    """
    page = directory / "index.html"
    listed = [file for file in files if file.location != page]
    name = directory.relative_to(root.root)
    steps = name.count("/")
    # The pages that every upload writes; those between may not be there.
    parents = [ListingLink(root.root.name, "../" * steps + "index.html")]
    if steps > 1:
        top = name.partition("/")[0]
        parents.append(ListingLink(top, "../" * (steps - 1) + "index.html"))
    title = name.removesuffix("/").partition("/")[2] or directory.name
    return ListingPage(
        page, render_listing(title, _files_below(directory, listed), parents=parents)
    )


def _group_page(
    root: WorkflowOutputRoot, group: str, names: Collection[str], archives: Sequence[ListingEntry]
) -> ListingPage:
    wanted = set(names) | {f"{name}.sha256sum" for name in names}
    html = render_listing(
        group,
        [entry for entry in archives if entry.name in wanted],
        parents=[ListingLink(root.root.name, root.archive_index().name)],
    )
    return ListingPage(root.archive_index(group), html)


def _files_below(directory: StorageLocation, files: Iterable[ListedFile]) -> list[ListingEntry]:
    entries = []
    for file in files:
        if file.location.bucket != directory.bucket:
            continue
        if file.location.key.startswith(directory.key) and file.location != directory:
            name = file.location.relative_to(directory)
            entries.append(ListingEntry(name, name, file.size, file.sha256))
    return entries


def _directory_entry(
    root: WorkflowOutputRoot,
    directory: StorageLocation,
    page: StorageLocation,
    below: Iterable[ListingEntry],
) -> ListingEntry:
    # S3 serves no index for a directory, so the link names the page itself.
    return ListingEntry(
        name=directory.relative_to(root.root),
        href=page.relative_to(root.root),
        size=sum(entry.size or 0 for entry in below),
        is_directory=True,
    )


def _row(entry: ListingEntry) -> _Row:
    segments = entry.href.removesuffix("/").split("/")
    if not all(segments) or not {".", ".."}.isdisjoint(segments):
        raise LayoutError(
            f"the link {entry.href!r} would lead away from its listing page; "
            "give a path below the page's directory"
        )
    directories, slash, leaf = entry.name.removesuffix("/").rpartition("/")
    return _Row(
        href=_encode(entry.href),
        above=visible(directories + slash),
        leaf=visible(leaf) + ("/" if entry.is_directory else ""),
        size="" if entry.size is None else format_size(entry.size),
        exact="" if entry.size is None else _exact(entry.size),
        sha256=visible(entry.sha256 or ""),
    )


def _encoded(link: ListingLink) -> ListingLink:
    return ListingLink(visible(link.name), _encode(link.href))


def _encode(path: str) -> str:
    # A colon is encoded too: a first segment such as "a:b" would be read as a scheme. Names
    # that are not UTF-8 are Python's surrogates and become their bytes again.
    return quote(path, safe="/", errors="surrogateescape")


def _summary(entries: Sequence[ListingEntry]) -> str:
    """How much there is, in words."""
    files = [entry for entry in entries if not entry.is_directory]
    directories = len(entries) - len(files)
    words = []
    if directories:
        words.append(f"{directories} director{'y' if directories == 1 else 'ies'}")
    total = format_size(sum(file.size or 0 for file in files))
    words.append(f"{len(files)} file{'' if len(files) == 1 else 's'}, {total}")
    return ", ".join(words)


def _exact(size: int) -> str:
    return f"{size:,} byte{'' if size == 1 else 's'}"


def _order(entry: ListingEntry) -> tuple[bool, list[tuple[str, int, str]], str]:
    return (not entry.is_directory, _natural(entry.name), entry.name)


def _natural(name: str) -> list[tuple[str, int, str]]:
    """A key that sorts ``gfx942`` before ``gfx1030``: runs of digits count by their value."""
    key = []
    for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name.casefold()):
        number = digits.lstrip("0")
        # Of two numbers without leading zeros the longer is the larger; int() would refuse
        # thousands of digits.
        key.append((text, len(number), number))
    return key


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("therock_outputs.indexes"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("listing.html.j2")
