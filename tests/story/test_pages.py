"""Every page that a run and its promotion leave, as people see it: in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, chromium
from tests.package_judges import task
from therock_outputs.artifacts.sample_run import write_sample_run

RUN = (
    "index.html",
    "index-gfx942.html",
    "logs/index.html",
    "manifests/index.html",
    "packages/deb/index.html",
    "packages/rpm/index.html",
    "python/index.html",
    "python/simple/index.html",
    "python/simple/rocm-sdk-core/index.html",
    "tarballs/index.html",
)
PROMOTED = ("index.html", "simple/index.html", "simple/rocm/index.html")
PAGES = [
    *(f"sample-linux/{name}" for name in RUN),
    *(f"therock-nightly-python/v4/whl/{name}" for name in PROMOTED),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pages")
    staging = directory / "staging"
    write_sample_run(staging)
    words = ["--run-id", "sample", "--release-type", "nightly", "--staging-dir", str(staging)]
    words += ["--work-dir", str(directory / "work")]
    task("release", "--package-version", "7.13.0a20261123", *words)
    task("promote", *words)
    return staging


def test_no_page_is_forgotten(staging: Path) -> None:
    run = staging / "sample-linux"
    found = {path.relative_to(run).as_posix() for path in run.rglob("*.html")}
    below_simple = {name for name in found if name.startswith("python/simple/")}
    assert found - below_simple - {"index-gfx1100.html"} == {
        name for name in RUN if not name.startswith("python/simple/")
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_pages_fit_and_are_readable_without_complaint_or_request(
    browser: Browser, staging: Path, width: int, *, dark: bool
) -> None:
    for name in PAGES:
        page = staging / name
        browser.open(page, width=width, height=844, dark=dark)
        assert browser.complaints == [], name
        assert browser.requests == [page.as_uri()], name
        assert browser.evaluate("innerWidth") == width, name  # no wider page, shrunk
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, name
        assert browser.weak_text() == [], name
        assert browser.cut_text() == [], name
        assert browser.evaluate("document.links.length") > 0, name
        # The page follows the scheme, instead of staying white at night.
        colour = "document.body.append(Object.assign(document.createElement('div'), {id: 'c'}))"
        browser.evaluate(f"{colour}, document.getElementById('c').style.background = 'Canvas'")
        colour = "getComputedStyle(document.getElementById('c')).backgroundColor"
        assert browser.evaluate(colour) == ("rgb(18, 18, 18)" if dark else "rgb(255, 255, 255)")


def test_links_of_a_run_lead_to_what_is_there(browser: Browser, staging: Path) -> None:
    for name in PAGES:
        browser.open(staging / name)
        links = "[...document.links].map(a => decodeURIComponent(a.pathname))"
        for path in browser.evaluate(links):
            assert Path(path).exists(), f"{name}: {path}"


def test_weak_and_cut_text_would_be_found(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<body style="background: #fff"><p style="color: #999">weak</p>'
        '<p style="width: 2em; overflow: hidden">long-without-a-break</p>'
    )
    browser.open(page)
    assert browser.weak_text() == ["weak"]
    assert browser.cut_text() == ["long-without-a-break"]
