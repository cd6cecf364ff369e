"""The page of a comparison: one file with its pictures, which needs no server and no network.

Everything that says what happened is in the HTML itself. The map of parts is drawn by a script
from data that is embedded compressed, so that a page of 200,000 files stays small.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from therock_outputs.artifacts.compare.changes import (
    Change,
    Comparison,
    FileChange,
)
from therock_outputs.artifacts.compare.sides import Side
from therock_outputs.artifacts.compare.where import Hotspot, Part
from therock_outputs.formatting import format_size, visible
from therock_outputs.indexes.comparison_words import (
    Row,
    count_sentence,
    format_change,
    format_percent,
    headline,
    headline_share,
    hotspot_sentence,
    pin_lines,
    row_name,
    whole_lines,
)

__all__ = ["comparison_page"]

_SCALE = 1000
"""Units of a bar's picture, from its left end to its right one."""
_THINNEST = 3
"""Units of the shortest bar: what changed at all is seen."""
_CHART_ROWS = 15
_TABLE_ROWS = 30
_ABSENT = -1


@dataclass(frozen=True, slots=True)
class _Bar:
    """A difference as a bar from the zero line: to the right what grew."""

    x: int
    width: int
    tone: str
    zero: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """One scale for all bars of a page, so that a longer bar is always more bytes."""

    down: int
    up: int

    @classmethod
    def of(cls, rows: Iterable[Row]) -> _Scale:
        deltas = [row.size.delta for row in rows]
        return cls(max(0, *(-delta for delta in deltas), 0), max(0, *deltas, 0))

    def bar(self, delta: int) -> _Bar:
        span = max(self.down + self.up, 1)
        zero = round(_SCALE * self.down / span)
        width = max(round(_SCALE * abs(delta) / span), _THINNEST) if delta else 0
        return _Bar(zero - width if delta < 0 else zero, width, _tone(delta), zero)


@dataclass(frozen=True, slots=True)
class _Section:
    """A table of the page."""

    id: str
    title: str
    column: str
    rows: tuple[dict[str, Any], ...]
    more: int
    packed: bool


def comparison_page(comparison: Comparison, tree: Part, hotspot: Hotspot | None) -> str:
    """The HTML page. The same comparison gives the same bytes."""
    sections = _sections(comparison)
    script = _asset("comparison.js")
    return _template().render(
        title=visible(
            f"{headline(comparison)}: {comparison.before.label} → {comparison.after.label}"
        ),
        # A number stays with its unit on one line.
        headline="\N{NO-BREAK SPACE}".join(headline(comparison).rsplit(" ", 1)),
        share=headline_share(comparison),
        tone=_tone(comparison.total.delta),
        hotspot="" if hotspot is None else hotspot_sentence(hotspot, comparison.total),
        sides=[_side("Before", comparison.before), _side("After", comparison.after)],
        wholes=[_whole(what, change) for what, change in whole_lines(comparison)],
        counts=count_sentence(comparison),
        sections=sections,
        measure=comparison.measure.value,
        pins=list(_pins(comparison)),
        flags=[
            tuple(visible(text or "-") for text in (flag.name, flag.before, flag.after))
            for flag in comparison.flags
        ],
        notes=[visible(note) for note in comparison.notes],
        style=Markup(_asset("comparison.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_packed(tree, levels=2 if comparison.archives else 0),
    )


def _sections(comparison: Comparison) -> list[_Section]:
    """The tables, the first of which is the chart of what changed most."""
    files: Sequence[Row] = comparison.files
    archives: Sequence[Row] = comparison.archives
    kinds: tuple[tuple[str, str, str, Sequence[Row]], ...] = (
        ("changes", "Biggest changes", "Archive", archives)
        if archives
        else ("changes", "Biggest changes", "File", files),
        ("components", "By component", "Component", comparison.components),
        ("targets", "By GPU target", "Target", comparison.targets),
        ("stages", "By stage", "Stage", comparison.stages),
        ("files", "Files", "File", files if archives else ()),
    )
    changed = [[row for row in rows if row.size.delta] for *_, rows in kinds]
    scale = _Scale.of(row for rows in changed for row in rows)
    return [
        _section(kind[0], kind[1], kind[2], rows, scale)
        for kind, rows in zip(kinds, changed, strict=True)
        if rows
    ]


def _section(name: str, title: str, column: str, rows: Sequence[Row], scale: _Scale) -> _Section:
    shown = rows[: _CHART_ROWS if name == "changes" else _TABLE_ROWS]
    return _Section(
        name,
        title,
        column,
        tuple(_row(row, scale) for row in shown),
        len(rows) - len(shown),
        packed=any(
            not isinstance(row, FileChange) and row.compressed and row.unpacked for row in shown
        ),
    )


def _row(row: Row, scale: _Scale) -> dict[str, Any]:
    size, packed = row.size, _packed_change(row)
    return {
        "name": visible(row_name(row)),
        "bar": scale.bar(size.delta),
        "tone": _tone(size.delta),
        "change": format_change(size.delta),
        "percent": format_percent(size),
        "packed": "-" if packed is None else format_change(packed.delta),
        "before": _size(size.before),
        "after": _size(size.after),
    }


def _packed_change(row: Row) -> Change | None:
    return None if isinstance(row, FileChange) else row.compressed


def _labels(comparison: Comparison) -> str:
    return f"{comparison.before.label} → {comparison.after.label}"


def _whole(what: str, change: Change) -> dict[str, Any]:
    """Two bars on one scale, before and after, with what was gained or lost at their ends."""
    before, after = change.before or 0, change.after or 0
    most = max(before, after, 1)
    kept = round(_SCALE * min(before, after) / most)
    ends = [round(_SCALE * size / most) for size in (before, after)]
    return {
        "what": what[:1].upper() + what[1:],
        "before": format_size(before),
        "after": format_size(after),
        "kept": kept,
        "lost": max(ends[0] - kept, 0),
        "gained": max(ends[1] - kept, 0),
        "change": format_change(change.delta),
        "percent": format_percent(change),
        "tone": _tone(change.delta),
    }


def _side(name: str, side: Side) -> dict[str, str]:
    manifest = side.provenance.manifest if side.provenance else None
    said = [
        manifest and manifest.package_version and f"version {manifest.package_version}",
        manifest and manifest.rock_commit and f"commit {manifest.rock_commit[:12]}",
        f"{len(side.archives)} archives" if side.archives else None,
        f"{len(side.files):,} files" if side.files is not None and not side.unread else None,
    ]
    return {
        "name": name,
        "label": visible(side.label),
        "place": visible(side.place) if side.place != side.label else "",
        "facts": visible(", ".join(text for text in said if text)),
    }


def _pins(comparison: Comparison) -> Iterator[dict[str, str]]:
    for pin, words in zip(comparison.pins, pin_lines(comparison.pins), strict=True):
        name, before, after, note = map(visible, words)
        # Only a checked https://github.com/ address ever becomes a link.
        link = pin.link or ""
        yield {"name": name, "before": before, "after": after, "link": link, "note": note}


def _tone(delta: int) -> str:
    return "grew" if delta > 0 else "shrank" if delta < 0 else "same"


def _size(size: int | None) -> str:
    return "-" if size is None else format_size(size)


# ------------------------------------------------------------------------------- the map


def _packed(tree: Part, *, levels: int) -> str:
    """The tree for the script: JSON, compressed, as text.

    A file is ``[name, before, after]`` and everything else ``[name, parts, number, size]``, the
    last two of files that are the same; ``levels`` counts the levels above paths.
    """
    text = json.dumps({"levels": levels, "root": _node(tree)}, separators=(",", ":"))
    # The lone surrogates of names that are no UTF-8 were spelled out by `visible`.
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _node(part: Part) -> list[Any]:
    name = visible(part.name)
    if not part.parts and not part.same_files:
        sizes = (part.before, part.after)
        return [name, *(_ABSENT if size is None else size for size in sizes)]
    parts = [_node(part.parts[key]) for key in sorted(part.parts)]
    return [name, parts, part.same_files, part.same_size]


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


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
    return environment.get_template("comparison.html.j2")
