"""Listing pages: escaped, linked, sorted, and the same bytes every time."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from therock_outputs.indexes.listings import (
    ListedFile,
    ListingEntry,
    ListingLink,
    ListingPage,
    render_listing,
    run_listings,
)
from therock_outputs.layout import LayoutError, WorkflowOutputRoot

VOID = {"meta", "link"}
DIGEST = "0123456789abcdef" * 4


@dataclass
class Page(HTMLParser):
    """What a browser would find: tags in balance, links, and the cells of the table."""

    html: str
    tags: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    crumbs: str = ""
    heading: str = ""
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        values = dict(attrs)
        if tag == "a":
            self.links.append((values["href"] or "", ""))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "td" and values.get("title"):
            self.titles.append(values["title"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "a" in self.open:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "ol" in self.open:
            self.crumbs += data
        if "h1" in self.open:
            self.heading += data


def page_of(*names: str) -> Page:
    return Page(render_listing("title", [ListingEntry(name, name, 1) for name in names]))


def names_of(page: Page) -> list[str]:
    return [row[0] for row in page.rows[1:]]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('"><script>alert(1)</script>', '"><script>alert(1)</script>'),
        ("'><img src=x onerror=y>", "'><img src=x onerror=y>"),
        ("</style><b>", "</style><b>"),
        ("{{ 7*7 }}{% raw %}", "{{ 7*7 }}{% raw %}"),
        ("&lt;&amp;", "&lt;&amp;"),
        ("two\nlines", "two\\nlines"),
        ("%2e%2e", "%2e%2e"),
        ("%2e%2e/%2e%2e/x", "%2e%2e/%2e%2e/x"),
        ("a+b", "a+b"),
        ("a#b?c=d&e", "a#b?c=d&e"),
        ("ü 日本 x", "ü 日本 x"),
        ("gfx942:xnack+", "gfx942:xnack+"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("https:x", "https:x"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("back\\slash", "back\\slash"),
        ("~", "~"),
    ],
)
def test_hostile_name_is_shown_as_text_and_linked_to_itself(name: str, shown: str) -> None:
    page = page_of(name)
    ((href, text),) = page.links
    assert text == shown
    assert names_of(page) == [shown]
    assert not {"script", "img", "b"} & set(page.tags)
    base = "https://bucket.example/run/index.html"
    target = urlsplit(urljoin(base, href))
    assert (target.scheme, target.netloc) == ("https", "bucket.example")
    assert unquote(target.path) == f"/run/{name}"
    assert not target.query
    assert not target.fragment
    assert "+" not in target.path


def test_name_that_is_not_utf8_links_to_its_bytes() -> None:
    page = page_of("bad\udcff.log")
    assert page.links == [("bad%FF.log", "bad\\udcff.log")]
    assert page.html.encode()


def test_title_and_links_around_the_table_are_escaped_too() -> None:
    hostile = "<i>\n&"
    link = ListingLink(hostile, "../a b#.html")
    page = Page(render_listing(hostile, [], parents=[link], see_also=[link]))
    assert page.heading == "<i>\\n&"
    assert page.links == [("../a%20b%23.html", "<i>\\n&")] * 2
    assert "i" not in page.tags


@pytest.mark.parametrize("href", ["", "/", "/etc", "//host/x", "../x", "a/../../x", ".", "a//b"])
def test_link_away_from_the_page_is_refused(href: str) -> None:
    with pytest.raises(LayoutError, match="away from its listing page"):
        render_listing("title", [ListingEntry("name", href)])


def test_directories_come_first_and_numbers_count_by_value() -> None:
    names = ["gfx1030.tar", "B.txt", "a10", "gfx942.tar", "a9", "a009", "a" + "9" * 5000, "ä"]
    entries = [ListingEntry(name, name, 1) for name in names]
    entries.append(ListingEntry("zdir/", "zdir/index.html", 5, is_directory=True))
    page = Page(render_listing("title", entries))
    assert names_of(page) == [
        "zdir/",
        "a009",
        "a9",
        "a10",
        "a" + "9" * 5000,
        "B.txt",
        "gfx942.tar",
        "gfx1030.tar",
        "ä",
    ]


def test_row_tells_size_for_people_exact_size_and_digest() -> None:
    page = Page(render_listing("t", [ListingEntry("a", "a", 84_123_456, DIGEST)]))
    assert page.rows == [["Name", "Size", "SHA-256"], ["a", "84.1 MB", DIGEST]]
    assert page.titles == ["84,123,456 bytes"]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "0 files, 0 B"),
        ([ListingEntry("a", "a", 1)], "1 file, 1 B"),
        ([ListingEntry("a", "a", 1), ListingEntry("b", "b")], "2 files, 1 B"),
        ([ListingEntry("d/", "d/", 9, is_directory=True)], "1 directory, 0 files, 0 B"),
        (
            [ListingEntry(f"{n}/", f"{n}/x", is_directory=True) for n in "ab"],
            "2 directories, 0 files, 0 B",
        ),
    ],
)
def test_page_says_how_much_there_is(entries: list[ListingEntry], expected: str) -> None:
    html = render_listing("t", entries)
    assert f"<p>{expected}</p>" in html
    assert ("There is nothing here." in html) is (not entries)


def test_page_stands_alone_and_knows_both_colour_schemes() -> None:
    html = render_listing("t", [ListingEntry("a", "a", 1)], parents=[ListingLink("up", "../x")])
    page = Page(html)
    assert "script" not in page.tags
    assert re.findall(r"(?:src|href)=\"(?!data:,|a\"|\.\./x)", html) == []
    assert "url(" not in html
    assert "@import" not in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html
    assert '<html lang="en">' in html
    assert html.startswith("<!DOCTYPE html>")
    assert html.endswith("</html>\n")


def test_page_holds_no_time_and_does_not_depend_on_the_order_of_entries() -> None:
    entries = [ListingEntry(f"n{i}", f"n{i}", i, DIGEST) for i in range(50)]
    first = render_listing("t", entries)
    for seed in range(5):
        random.Random(seed).shuffle(entries)
        assert render_listing("t", entries) == first
    assert not re.search(r"\b(19|20)\d\d\b|\d\d:\d\d", first)


ROOT = WorkflowOutputRoot.from_workflow_run(environ={}, run_id="77")
ARCHIVES = ["blas_lib_gfx942.tar.zst", "base_lib_generic.tar.zst", "blas_lib_gfx1030.tar.zst"]
FILES = [
    *(ListedFile(ROOT.archive(name), 10, DIGEST) for name in ARCHIVES),
    *(ListedFile(ROOT.archive_digest(name), 64) for name in ARCHIVES),
    ListedFile(ROOT.group_logs("gfx942", "blas_build.log"), 5),
    ListedFile(ROOT.group_logs("gfx942", "index.html"), 5),
    ListedFile(ROOT.manifest(), 7, DIGEST),
    ListedFile(ROOT.tarball("therock-dist-linux-gfx942-7.10.0.dev0+ab.tar.gz"), 90, DIGEST),
    ListedFile(ROOT.python_find_links(), 3),
    ListedFile(ROOT.python("rocm-7.10.0.tar.gz"), 4),
    ListedFile(ROOT.packages("deb", "pool/main/amdrocm_7.10.0_amd64.deb"), 6),
    ListedFile(ROOT.packages("deb", "dists/stable/main/binary-amd64/by-hash/SHA256/00"), 9),
    ListedFile(ROOT.packages("rpm", "x86_64/amdrocm-7.10.0.x86_64.rpm"), 8),
]


def pages_of(files: list[ListedFile], groups: dict[str, list[str]]) -> dict[str, Page]:
    return {
        page.location.relative_to(ROOT.root): Page(page.html)
        for page in run_listings(ROOT, files, groups=groups)
    }


def test_run_gets_a_page_for_each_directory_and_group() -> None:
    pages = pages_of(FILES, {"gfx942": ARCHIVES[:2], "gfx1030": ARCHIVES[1:]})
    assert set(pages) == {
        "index.html",
        "index-gfx942.html",
        "index-gfx1030.html",
        "logs/index.html",
        "manifests/index.html",
        "packages/deb/index.html",
        "packages/rpm/index.html",
        "tarballs/index.html",
    }
    assert names_of(pages["index.html"]) == [
        "logs/",
        "manifests/",
        "packages/deb/",
        "packages/rpm/",
        "python/",
        "tarballs/",
        "base_lib_generic.tar.zst",
        "base_lib_generic.tar.zst.sha256sum",
        "blas_lib_gfx942.tar.zst",
        "blas_lib_gfx942.tar.zst.sha256sum",
        "blas_lib_gfx1030.tar.zst",
        "blas_lib_gfx1030.tar.zst.sha256sum",
    ]
    assert names_of(pages["index-gfx1030.html"]) == [
        "base_lib_generic.tar.zst",
        "base_lib_generic.tar.zst.sha256sum",
        "blas_lib_gfx1030.tar.zst",
        "blas_lib_gfx1030.tar.zst.sha256sum",
    ]
    assert names_of(pages["logs/index.html"]) == ["gfx942/blas_build.log", "gfx942/index.html"]
    assert names_of(pages["packages/deb/index.html"]) == ["pool/main/amdrocm_7.10.0_amd64.deb"]
    assert pages["packages/deb/index.html"].links[0] == ("../../index.html", "77-linux")
    assert pages["packages/rpm/index.html"].rows[1][1:] == ["8 B"]  # no column without digests
    assert pages["tarballs/index.html"].rows[1][1:] == ["90 B", DIGEST]


def test_every_link_of_a_run_leads_to_a_file_or_another_page() -> None:
    pages = pages_of(FILES, {"gfx942": ARCHIVES})
    there = {file.location.relative_to(ROOT.root) for file in FILES} | set(pages)
    for name, page in pages.items():
        assert page.links
        for href, _ in page.links:
            target = urlsplit(urljoin(f"https://host/{name}", href)).path
            assert unquote(target).removeprefix("/") in there


def test_breadcrumb_leads_back_to_the_run() -> None:
    pages = pages_of(FILES, {"gfx942": ARCHIVES})
    assert pages["logs/index.html"].links[0] == ("../index.html", "77-linux")
    assert pages["index-gfx942.html"].links[0] == ("index.html", "77-linux")
    assert pages["logs/index.html"].crumbs.split() == ["77-linux", "logs"]
    assert ("index-gfx942.html", "gfx942") in pages["index.html"].links


def test_pages_of_an_earlier_upload_are_not_listed() -> None:
    groups = {"gfx942": ARCHIVES}
    first = run_listings(ROOT, FILES, groups=groups)
    earlier = [ListedFile(page.location, len(page.data)) for page in first]
    assert run_listings(ROOT, [*earlier, *FILES], groups=groups) == first


def test_pages_do_not_depend_on_the_order_of_files() -> None:
    shuffled = random.Random(1).sample(FILES, len(FILES))
    assert run_listings(ROOT, shuffled) == run_listings(ROOT, FILES)


def test_empty_run_has_an_empty_page() -> None:
    (page,) = run_listings(ROOT, [])
    assert page.location == ROOT.archive_index()
    assert page.data == page.html.encode()


def test_files_of_another_run_are_not_listed() -> None:
    other = WorkflowOutputRoot.from_workflow_run(environ={}, run_id="78", bucket="elsewhere")
    files = [ListedFile(other.archive("a"), 1), ListedFile(ROOT.python_deps("x"), 1)]
    (page,) = run_listings(ROOT, files)
    assert isinstance(page, ListingPage)
    assert names_of(Page(page.html)) == []


def test_group_name_cannot_leave_the_run() -> None:
    with pytest.raises(LayoutError):
        run_listings(ROOT, [], groups={"../x": []})
