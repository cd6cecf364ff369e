"""The page of a comparison: in a real browser, by keyboard, at every width, light and dark."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, chromium
from tests.comparison_makers import NEW, OLD, listed, manifest, page_of, prefix, run
from therock_outputs.artifacts.compare.sides import Side

GROWTH = 10_000_000_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
URL = "https://github.com/ROCm/llvm-project.git"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def _grown() -> tuple[Side, Side]:
    """A run in which one directory has grown by 10 GB, between many that changed a little."""
    rng = random.Random(5)
    old = {
        f"{name}_lib_gfx{target}:lib/{name}/d{n % 6}/f{n}.co": rng.randrange(1000, 9_000_000)
        for name in ("blas", "fft", "rand", "solver")
        for target in (942, 1100)
        for n in range(40)
    }
    new = {path: size + rng.randrange(-900, 90_000) for path, size in old.items()}
    for n in range(20):
        new[f"blas_lib_gfx950:lib/rocblas/library/k{n}.hsaco"] = GROWTH // 20
    pins = (manifest(OLD, {URL: OLD}), manifest(NEW, {URL: NEW}, {"X": HOSTILE}))
    return (
        run(old, label="run 1", manifest=pins[0]),
        run(new, label="run 2", manifest=pins[1]),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "compare.html"
    path.write_text(page_of(*_grown()), encoding="utf-8")
    return path


class _Parsed(HTMLParser):
    """Tags, links and text; no attribute may be a script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _data(html: str) -> Any:  # noqa: ANN401 - JSON
    found = re.search(r'id="data">([A-Za-z0-9+/=]+)</script>', html)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def _save(folder: Path, html: str) -> Path:
    path = folder / "compare.html"
    path.write_text(html, encoding="utf-8")
    return path


# ------------------------------------------------------------------- what the HTML says


def test_growth_of_ten_gigabytes_is_the_first_thing_that_is_said(page: Path) -> None:
    html = page.read_text("utf-8")
    heading = re.search(r"<h1>(.*?)</h1>\s*<p class=\"lead\">(.*?)</p>", html, re.DOTALL)
    assert heading is not None
    assert "Grew by 10.0\xa0GB" in heading[1]
    assert re.sub("<.*?>", "", heading[2]) == (
        "Nearly all of the growth, 10.0 GB, is in blas_lib_gfx950 › lib/rocblas/library."  # noqa: RUF001
    )
    first = re.search(r"<tbody.*?<tr.*?<bdi>(.*?)</bdi>", html, re.DOTALL)
    assert first is not None
    assert first[1] == "blas_lib_gfx950"


def test_same_comparison_gives_the_same_page() -> None:
    assert page_of(*_grown()) == page_of(*_grown())


def test_bars_of_all_tables_have_one_scale(page: Path) -> None:
    html = page.read_text("utf-8")
    bars = re.findall(r'<bdi>([^<]*)</bdi></th>\s*<td role="cell" class="picture">'
                      r'.*?<rect class="grew" x="\d+" y="0.5" width="(\d+)"', html)  # fmt: skip
    widths = {name: int(width) for name, width in bars}
    assert widths["blas_lib_gfx950"] > 990
    file = "blas_lib_gfx950: lib/rocblas/library/k0.hsaco"
    assert abs(widths[file] - widths["blas_lib_gfx950"] / 20) <= 1
    assert widths["fft_lib_gfx942"] == 3  # the thinnest that is still seen


def test_shrinkage_is_told_apart_by_side_and_by_form(tmp_path: Path) -> None:
    html = page_of(
        listed({"a_lib_generic": 400, "b_lib_generic": 100}),
        listed({"a_lib_generic": 100, "b_lib_generic": 200}),
    )
    bars = re.findall(r'<line class="zero" x1="(\d+)".*?<rect class="(\w+)" x="(\d+)".*?width="(\d+)"', html)  # noqa: E501  # fmt: skip
    # Of the component lib and of all targets both: 200 bytes less.
    assert bars == [
        ("750", "shrank", "0", "750"),
        ("750", "grew", "750", "250"),
        *[("750", "shrank", "250", "500")] * 2,
    ]


def test_hostile_names_are_shown_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    def side(size: int, label: str) -> Side:
        name = f"blas_lib_generic:lib/{HOSTILE}\u202e/\udc80"
        pins = {f"https://example.com/{HOSTILE}": OLD if size == 1 else NEW}
        return run({name: size}, label=label, manifest=manifest(OLD, pins))

    html = page_of(side(1, HOSTILE), side(5, f"{HOSTILE}\n"))
    parsed = _Parsed(html)
    assert parsed.tags.count("script") == 2
    assert "img" not in parsed.tags
    assert parsed.links == ["data:,"]
    assert any(HOSTILE in words for words in parsed.words)
    assert "\u202e" not in html
    browser.open(_save(tmp_path, html))
    assert browser.complaints == []
    names = browser.evaluate("document.getElementById('parts').textContent")
    assert names.startswith("blas › blas_lib_generic › lib")  # noqa: RUF001
    assert r"\u202e" in names
    assert r"\udc80" in json.dumps(_data(html)).replace("\\\\", "\\")


def test_only_pins_at_github_are_links(page: Path) -> None:
    html = page.read_text("utf-8")
    assert [link for link in _Parsed(html).links if link != "data:,"] == [
        f"https://github.com/ROCm/TheRock/compare/{OLD}...{NEW}",
        f"https://github.com/ROCm/llvm-project/compare/{OLD}...{NEW}",
    ]


def test_files_that_are_the_same_are_counted_and_not_named() -> None:
    files = {f"blas_lib_generic:lib/same{n}": 10 for n in range(1000)}
    html = page_of(run({**files, "blas_lib_generic:lib/x": 1}), run({**files}))
    assert "same1" not in html
    blas = _data(html)["root"][1][0]
    assert blas == ["blas", [["blas_lib_generic", [["lib", [["x", 1, -1]], 1000, 10_000]], 0, 0]], 0, 0]  # noqa: E501  # fmt: skip


# --------------------------------------------------------------------- in a real browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (1000, 700), (820, 1180), (390, 844)])
def test_page_fits_every_screen_without_complaint_or_request(
    browser: Browser, page: Path, width: int, height: int, *, dark: bool
) -> None:
    browser.open(page, width=width, height=height, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(19, 22, 25)" if dark else "rgb(255, 255, 255)")
    # Nothing that is seen sticks out of its cell or is cut.
    outside = browser.evaluate(
        """[...document.querySelectorAll("h1, .lead, td, th, .number")]
            .filter(e => e.getClientRects().length && getComputedStyle(e).position !== "absolute")
            .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
            .map(e => e.textContent)"""
    )
    assert outside == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_enough_contrast(browser: Browser, page: Path, *, dark: bool) -> None:
    browser.open(page, dark=dark)
    browser.evaluate("document.querySelector('[value=size]').click()")
    weak = browser.evaluate(_CONTRAST)
    assert weak == []


def test_cell_of_the_growth_fills_the_map_and_says_so(browser: Browser, page: Path) -> None:
    browser.open(page)
    cells = browser.evaluate(
        """[...document.querySelectorAll("#map .cell")].map(c => [c.getAttribute("aria-label"),
            c.firstElementChild.nextElementSibling.getAttribute("class"),
            c.getBoundingClientRect().width * c.getBoundingClientRect().height])"""
    )
    label, style, area = cells[0]
    assert label.startswith("blas: grew by 10.0 GB, from ")
    assert label.endswith("% of all that changed")
    assert style == "base g4"
    assert area > 0.9 * sum(cell[2] for cell in cells)


def test_map_is_walked_by_keyboard_alone(browser: Browser, page: Path) -> None:
    browser.open(page)
    focus = "document.activeElement.getAttribute('aria-label') || document.activeElement.value"
    browser.evaluate("document.querySelector('[name=area]').focus()")
    browser.press("Tab")
    assert browser.evaluate(focus).startswith("blas: ")
    browser.press("ArrowRight")
    first = browser.evaluate(focus)
    assert not first.startswith("blas: ")
    browser.press("ArrowLeft")
    assert browser.evaluate(focus).startswith("blas: ")
    browser.press("Enter")
    crumbs = "document.getElementById('crumbs').innerText.split(/\\s*\\n\\s*/).join('|')"
    assert browser.evaluate(crumbs) == "everything|blas"
    assert browser.evaluate(focus).startswith("blas_lib_gfx950 › lib/rocblas/library: new")  # noqa: RUF001
    assert browser.evaluate("document.getElementById('parts').rows.length") == 3
    browser.press("Enter")
    assert "k0.hsaco" in browser.evaluate("document.getElementById('parts').textContent")
    browser.press("Escape")
    assert browser.evaluate(crumbs) == "everything|blas"
    # Back where one came from.
    assert browser.evaluate(focus).startswith("blas_lib_gfx950")
    browser.press("Escape")
    browser.press("Escape")
    assert browser.evaluate(crumbs) == "everything"
    browser.press("End")
    last = browser.evaluate(focus)
    browser.press("Home")
    assert browser.evaluate(focus).startswith("blas: ") != last.startswith("blas: ")
    assert browser.complaints == []


def test_every_file_is_reached_through_the_table(browser: Browser, tmp_path: Path) -> None:
    files = {f"blas_lib_generic:lib/f{n}": 10 + n for n in range(130)}
    path = _save(tmp_path, page_of(run(files), run({name: 2 * s for name, s in files.items()})))
    browser.open(path)
    browser.evaluate("document.querySelector('#parts button').click()")
    rows = "document.getElementById('parts').rows.length"
    more = "document.getElementById('more')"
    assert browser.evaluate(rows) == 50
    assert browser.evaluate(f"{more}.textContent") == "Show more (80 parts left)"
    browser.evaluate(f"{more}.click()")
    browser.evaluate(f"{more}.click()")
    assert browser.evaluate(rows) == 130
    assert browser.evaluate(f"{more}.hidden") is True
    assert browser.evaluate("document.activeElement.textContent").startswith("f29+")


def test_part_too_small_to_be_seen_is_in_the_table_only(browser: Browser, tmp_path: Path) -> None:
    before = run({"big_lib_generic:lib/a": 1, "hair_lib_generic:lib/b": 1})
    after = run({"big_lib_generic:lib/a": GROWTH, "hair_lib_generic:lib/b": 9})
    browser.open(_save(tmp_path, page_of(before, after)))
    assert browser.evaluate("document.querySelectorAll('#map .cell').length") == 1
    assert browser.evaluate("document.getElementById('parts').rows.length") == 2


def test_area_can_show_size_instead_of_change(browser: Browser, tmp_path: Path) -> None:
    before = run({"big_lib_generic:lib/a": 900, "new_lib_generic:lib/b": 1})
    after = run({"big_lib_generic:lib/a": 900, "new_lib_generic:lib/b": 101})
    browser.open(_save(tmp_path, page_of(before, after)))
    labels = "[...document.querySelectorAll('#map .cell')].map(c => c.getAttribute('aria-label'))"
    assert [label.partition(" ")[0] for label in browser.evaluate(labels)] == ["new"]
    browser.evaluate("document.querySelector('[value=size]').click()")
    assert [label.partition(" ")[0] for label in browser.evaluate(labels)] == ["big", "new"]


@pytest.mark.parametrize(
    ("before", "after", "headline"),
    [
        (run({}), run({}), "No change in size"),
        (run({"a_lib_generic:x": 1}), run({"a_lib_generic:x": 1}), "No change in size"),
        (run({"a_lib_generic:x": 5}), run({}, {"a_lib_generic": 2}), "Shrank by 5 B -100.0%"),
        (listed({"a_lib_generic": 5}), listed({"a_lib_generic": 15}), "Grew by 10 B +200.0%"),
        (prefix({"lib/a": 5}), prefix({"lib/a": 5, "b": 10}), "Grew by 10 B +200.0%"),
        (prefix({}), prefix({"b": 10}), "Grew by 10 B"),
        (
            run({"a_lib_generic:x": 5, "b_lib_generic:y": 9}),
            run({"a_lib_generic:x": 9, "b_lib_generic:y": 5}),
            "No change in size overall",
        ),
    ],
)
def test_small_and_empty_comparisons_have_a_page(
    browser: Browser, tmp_path: Path, before: Side, after: Side, headline: str
) -> None:
    browser.open(_save(tmp_path, page_of(before, after)), width=390, height=844)
    assert browser.complaints == []
    said = browser.evaluate("document.querySelector('h1').innerText")
    assert said.replace("\xa0", " ").replace("\n", " ") == headline


def test_page_is_printed_in_light_colours_on_a_few_sheets(browser: Browser, page: Path) -> None:
    browser.open(page, dark=True)
    data = browser.pdf()
    assert data.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 7
    browser.call("Emulation.setEmulatedMedia", media="print")
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('#map .g4')).fill]"  # noqa: E501
    assert browser.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(166, 58, 0)"]
    browser.call("Emulation.setEmulatedMedia", media="")


def test_page_of_many_files_is_small_and_quick(browser: Browser, tmp_path: Path) -> None:
    rng = random.Random(1)
    files = {
        f"a{n % 40}_lib_gfx942:lib/d{n % 97}/TensileLibrary_{n}.co": rng.randrange(10**6)
        for n in range(15_000)
    }
    grown = {path: size + rng.randrange(-500, 1000) for path, size in files.items()}
    path = _save(tmp_path, page_of(run(files), run(grown)))
    assert path.stat().st_size < 500_000  # 15,000 files that all changed
    browser.open(path)
    assert browser.complaints == []
    assert 1 < browser.evaluate("document.querySelectorAll('#map .cell').length") <= 91
    assert browser.evaluate("document.querySelectorAll('*').length") < 6000


_CONTRAST = """(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const light = (c) => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92
      : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
      return (x + 0.05) / (y + 0.05); };
  const page = rgb(getComputedStyle(document.body).backgroundColor), weak = [];
  for (const e of document.querySelectorAll("h1, p, td, th, dt, dd, figcaption *, a, li, button")) {
    if (e.getClientRects().length && e.textContent.trim()) {
      const found = ratio(rgb(getComputedStyle(e).color), page);
      if (found < 4.5) weak.push([e.textContent.slice(0, 40), found]);
    }
  }
  for (const t of document.querySelectorAll("#map text")) {
    const kind = t.getAttribute("class").match(/on-(\\w+)/)[1];
    const under = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    under.setAttribute("class", kind);
    t.parentNode.append(under);
    const found = ratio(rgb(getComputedStyle(t).fill), rgb(getComputedStyle(under).fill));
    under.remove();
    if (found < 4.5) weak.push([kind, found]);
  }
  return weak;
})()"""
