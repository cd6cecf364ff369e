"""A comparison in words: sentences, tables, Markdown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.comparison_makers import NEW, OLD, listed, manifest, run
from therock_outputs.artifacts.compare.changes import Change
from therock_outputs.artifacts.compare.diff import compare_sides
from therock_outputs.artifacts.compare.pins import Pin, PinChange
from therock_outputs.artifacts.compare.where import Hotspot, change_tree, find_hotspot
from therock_outputs.indexes.comparison_words import (
    Thresholds,
    comparison_markdown,
    comparison_tables,
    format_change,
    format_percent,
    full_headline,
    hotspot_sentence,
    pin_lines,
    whole_lines,
)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change(100, 112), "+12.0%"),
        (Change(1000, 999), "-0.1%"),
        (Change(1_000_000, 999_999), "-0.0%"),
        (Change(1_000_000, 1_000_001), "+0.0%"),
        (Change(100, 1099), "+999.0%"),
        (Change(100, 302_020), "\N{MULTIPLICATION SIGN}3,020"),
        (Change(5, 5), "0.0%"),
        (Change(None, 5), "new"),
        (Change(5, None), "gone"),
        (Change(0, 5), "-"),
        (Change(None, None), "-"),
    ],
)
def test_percentages_say_what_happened(change: Change, text: str) -> None:
    assert format_percent(change) == text


def test_differences_have_signs() -> None:
    assert [format_change(n) for n in (10**10, 0, -1500)] == ["+10.0 GB", "0 B", "-1.5 kB"]


@pytest.mark.parametrize(
    ("share", "against", "sentence"),
    [
        (1.0, 0, "All of the growth, 900 B, is in a_lib_generic"),
        (0.97, 0, "Nearly all of the growth, 900 B, is in a_lib_generic"),
        (0.7, 0, "70% of the growth, 900 B, is in a_lib_generic"),
        (0.7, 500, "70% of the growth, 900 B, is in a_lib_generic, while 500 B went away"),
    ],
)
def test_sentence_tells_how_much_of_the_growth_is_where(
    share: float, against: int, sentence: str
) -> None:
    hotspot = Hotspot(("a", "a_lib_generic"), 900, share, against, in_archives=True)
    assert hotspot_sentence(hotspot, Change(0, 900)) == sentence


def test_sentence_of_shrinkage() -> None:
    hotspot = Hotspot(("lib", "x"), 900, 1.0, 100)
    said = hotspot_sentence(hotspot, Change(900, 100))
    assert said == "All of the shrinkage, 900 B, is in lib/x, while 100 B came in"


def test_tables_hold_the_top_and_count_the_rest() -> None:
    comparison = compare_sides(
        listed({f"a{n}_lib_generic": 10 for n in range(9)}),
        listed({f"a{n}_lib_generic": 10 + n for n in range(9)}),
    )
    archives, components = comparison_tables(comparison, Thresholds(min_change=3, top=4))
    assert [row[-1] for row in archives.rows] == [f"a{n}_lib_generic" for n in (8, 7, 6, 5)]
    assert archives.more == 2
    assert archives.columns == ("compressed", "%", "before", "after", "archive")
    assert components.rows == (("+36 B", "+40.0%", "90 B", "126 B", "lib"),)


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (None, Pin("x", "u", NEW), "added"),
        (Pin("x", "u", OLD), None, "removed"),
        (Pin("x", "u", OLD), Pin("x", "u", OLD, 2), "0 patches before, 2 after"),
        (Pin("x", "u", OLD), Pin("x", "v", NEW), "from u to v"),
        (Pin("x", "u", OLD), Pin("x", "u", NEW), "u"),
    ],
)
def test_pin_without_a_link_says_what_became_of_it(
    before: Pin | None, after: Pin | None, note: str
) -> None:
    [(name, old, new, said)] = pin_lines([PinChange("x", before, after)])
    assert (name, said) == ("x", note)
    assert (old, new) == tuple(pin.sha[:12] if pin else "-" for pin in (before, after))


def test_share_of_what_was_read_is_not_the_share_of_the_whole() -> None:
    whole = compare_sides(run({"a_lib_generic:x": 10}), run({"a_lib_generic:x": 15}))
    assert full_headline(whole) == "Grew by 5 B (+50.0%)"
    part = compare_sides(
        replace(whole.before, unread=frozenset({"b_lib_generic"})),
        replace(whole.after, unread=frozenset({"b_lib_generic"})),
    )
    assert full_headline(part) == "Grew by 5 B"
    assert [what for what, _ in whole_lines(part)] == ["unpacked, of what was read", "compressed"]


def test_markdown_shows_names_as_they_are() -> None:
    hostile = "lib/[x](javascript:1)|<b>`*\n@someone"
    pins = {"https://github.com/ROCm/x": OLD, "https://evil.example/[y](z)|<i>": OLD}
    after = dict.fromkeys(pins, NEW)
    comparison = compare_sides(
        run({f"a_lib_generic:{hostile}": 1}, label="<one>", manifest=manifest(OLD, pins)),
        run({f"a_lib_generic:{hostile}": 5}, label="t|wo", manifest=manifest(OLD, after, {"F": 1})),
    )
    text = comparison_markdown(
        comparison, find_hotspot(change_tree(comparison), comparison), Thresholds()
    )
    assert "\\<one\\> → t\\|wo" in text
    assert r"lib/\[x\](javascript:1)\|\<b\>\`\*\\n\@someone" in text
    assert f"[compare](https://github.com/ROCm/x/compare/{OLD}...{NEW})" in text
    assert r"https://evil.example/\[y\](z)\|\<i\>" in text
    assert "| F | - | 1 |" in text
    assert text.count("[compare](") == 1
