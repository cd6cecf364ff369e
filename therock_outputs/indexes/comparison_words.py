"""A comparison in words: the sentences and the tables, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from therock_outputs.artifacts.compare.changes import (
    ArchiveChange,
    Change,
    Comparison,
    FileChange,
    GroupChange,
    Measure,
    Status,
)
from therock_outputs.artifacts.compare.pins import Pin, PinChange
from therock_outputs.artifacts.compare.where import Hotspot
from therock_outputs.formatting import format_size, visible
from therock_outputs.github.actions import markdown_table, markdown_text

__all__ = [
    "Row",
    "Table",
    "Thresholds",
    "comparison_markdown",
    "comparison_tables",
    "count_sentence",
    "format_change",
    "format_percent",
    "full_headline",
    "headline",
    "headline_share",
    "hotspot_sentence",
    "pin_lines",
    "row_name",
    "whole_lines",
]

_NONE = "-"
_NEARLY_ALL = 0.95
_MULTIPLE = 1000
"""Percent from which on nobody can read them, and a multiple is said."""
_WORTH_SAYING = 0.05
"""The share of a change that what went the other way needs to be told."""
Row: TypeAlias = ArchiveChange | GroupChange | FileChange
"""What a table has a row for."""
_INSIDE = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Which rows are shown."""

    min_change: int = 1
    """Bytes; a smaller change is left out."""
    top: int = 20
    """Rows of each table; 0: all."""

    def choose(self, rows: Iterable[Row]) -> tuple[list[Row], int]:
        """The rows that are shown, and how many more have changed as much."""
        changed = [row for row in rows if abs(row.size.delta) >= max(self.min_change, 1)]
        shown = changed[: self.top] if self.top else changed
        return shown, len(changed) - len(shown)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; ``right`` counts the columns, from the left, that hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int
    """How many rows were left out."""
    right: int

    def aligned(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The columns' names and the rows, with numbers moved to the right."""
        lines = (self.columns, *self.rows)
        widths = [max(len(line[at]) for line in lines) for at in range(self.right)]
        moved = [
            (*(cell.rjust(width) for cell, width in zip(line, widths, strict=False)),
             *line[self.right :])
            for line in lines
        ]  # fmt: skip
        return moved[0], moved[1:]


def format_change(delta: int) -> str:
    """A difference in bytes with its sign: ``+10.2 GB``."""
    return f"+{format_size(delta)}" if delta > 0 else format_size(delta)


def format_percent(change: Change) -> str:
    """A difference in percent, or what happened where that says nothing."""
    if change.before is None:
        return _NONE if change.after is None else "new"
    if change.after is None:
        return "gone"
    percent = change.percent
    if percent is None:
        return _NONE
    if percent >= _MULTIPLE:
        return f"\N{MULTIPLICATION SIGN}{1 + percent / 100:,.0f}"
    if change.delta and abs(percent) < 0.05:
        return "+0.0%" if percent > 0 else "-0.0%"
    return f"{percent:+.1f}%" if percent else "0.0%"


def headline(comparison: Comparison) -> str:
    """What happened, in one short sentence."""
    total = comparison.total
    if total.delta == 0:
        counts = comparison.counts
        alike = not any(counts.get(status) for status in Status if status is not Status.SAME)
        return "No change in size" if alike else "No change in size overall"
    verb = "Grew" if total.delta > 0 else "Shrank"
    return f"{verb} by {format_size(abs(total.delta))}"


def headline_share(comparison: Comparison) -> str:
    """The change in percent, where that can be told; else empty."""
    total = comparison.total
    if not total.delta or total.percent is None or not _is_whole(comparison):
        return ""
    return format_percent(total)


def full_headline(comparison: Comparison) -> str:
    """Both in one."""
    share = headline_share(comparison)
    return headline(comparison) + (f" ({share})" if share else "")


def hotspot_sentence(hotspot: Hotspot, whole: Change) -> str:
    """Where most of it happened."""
    what, against = ("growth", "went away") if whole.delta > 0 else ("shrinkage", "came in")
    where = _INSIDE.join(visible(part) for part in hotspot.place)
    how_much = f"{hotspot.share:.0%} of the"
    if hotspot.share >= _NEARLY_ALL:
        how_much = "All of the" if hotspot.share == 1 else "Nearly all of the"
    sentence = f"{how_much} {what}, {format_size(hotspot.amount)}, is in {where}"
    if hotspot.against >= _WORTH_SAYING * hotspot.amount:
        sentence += f", while {format_size(hotspot.against)} {against}"
    return sentence


def whole_lines(comparison: Comparison) -> Iterator[tuple[str, Change]]:
    """The whole by each measure that is known."""
    if comparison.unpacked is not None:
        what = "unpacked" if _is_whole(comparison) else "unpacked, of what was read"
        yield what, comparison.unpacked
    if comparison.compressed is not None:
        yield "compressed", comparison.compressed


def comparison_tables(comparison: Comparison, thresholds: Thresholds) -> tuple[Table, ...]:
    """What changed, kind by kind, the largest change first; kinds without any are left out."""
    kinds: tuple[tuple[str, Sequence[Row]], ...] = (
        ("archives", comparison.archives),
        ("components", comparison.components),
        ("GPU targets", comparison.targets if len(comparison.targets) > 1 else ()),
        ("stages", comparison.stages),
        ("files", comparison.files),
    )
    tables = (_table(title, rows, comparison.measure, thresholds) for title, rows in kinds)
    return tuple(table for table in tables if table.rows)


def pin_lines(pins: Iterable[PinChange]) -> Iterator[tuple[str, str, str, str]]:
    """For each pin: its name, before, after, and what else there is to say."""
    for pin in pins:
        yield pin.name, _commit(pin.before), _commit(pin.after), _pin_note(pin)


def comparison_markdown(
    comparison: Comparison, hotspot: Hotspot | None, thresholds: Thresholds
) -> str:
    """The comparison for a step's summary."""
    before, after = comparison.before, comparison.after
    lines = [f"## {full_headline(comparison)}", ""]
    lines += [f"{markdown_text(visible(before.label))} → {markdown_text(visible(after.label))}", ""]
    if hotspot is not None:
        lines += [f"**{markdown_text(hotspot_sentence(hotspot, comparison.total))}.**", ""]
    rows = [
        (what, _size(change.before), _size(change.after), f"**{format_change(change.delta)}**")
        for what, change in whole_lines(comparison)
    ]
    if rows:
        lines += [markdown_table(("", "Before", "After", "Change"), rows)]
    if counts := count_sentence(comparison):
        lines += [counts, ""]
    for table in comparison_tables(comparison, thresholds):
        cells = [tuple(markdown_text(visible(cell)) for cell in row) for row in table.rows]
        more = f"\n… and {table.more} more.\n" if table.more else ""
        lines += [f"### Changed {table.title}", "", markdown_table(table.columns, cells) + more]
    if comparison.pins:
        lines += ["### Changed pins", "", _markdown_pins(comparison.pins)]
    if comparison.flags:
        flags = [
            tuple(markdown_text(visible(text or _NONE)) for text in (f.name, f.before, f.after))
            for f in comparison.flags
        ]
        lines += ["### Changed flags", "", markdown_table(("Flag", "Before", "After"), flags)]
    lines += [f"* {markdown_text(visible(note))}" for note in comparison.notes]
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_pins(pins: Iterable[PinChange]) -> str:
    rows = []
    for pin, (name, before, after, note) in zip(pins, pin_lines(pins), strict=True):
        shown = markdown_text(visible(note))
        # The link is made of a checked owner, name and commits: nothing in it needs escapes.
        between = f"[compare]({pin.link})" if pin.link else shown
        cells = (markdown_text(visible(text)) for text in (name, before, after))
        rows.append((*cells, between))
    return markdown_table(("Repository", "Before", "After", ""), rows)


def _table(
    title: str,
    rows: Iterable[Row],
    measure: Measure,
    thresholds: Thresholds,
) -> Table:
    shown, more = thresholds.choose(rows)
    both = any(
        not isinstance(row, FileChange) and row.compressed is not None and row.unpacked is not None
        for row in shown
    )
    made = []
    for row in shown:
        size = row.size
        cells = [format_change(size.delta), format_percent(size)]
        if both:
            packed = None if isinstance(row, FileChange) else row.compressed
            cells.append(_NONE if packed is None else format_change(packed.delta))
        made.append((*cells, _size(size.before), _size(size.after), row_name(row)))
    what = measure.value
    packed_column = ("compressed",) if both else ()
    columns = (what, "%", *packed_column, "before", "after", title.removesuffix("s"))
    return Table(title, columns, tuple(made), more, len(columns) - 1)


def row_name(row: Row) -> str:
    """What a row is about."""
    if isinstance(row, ArchiveChange):
        return row.name.stem
    if isinstance(row, GroupChange):
        return row.name
    name = f"{row.archive}: {row.path}" if row.archive else row.path
    was = f"{row.was_archive}: {row.was or row.path}" if row.was_archive else row.was
    return f"{name} (was {was})" if was else name


def _size(size: int | None) -> str:
    return _NONE if size is None else format_size(size)


def _is_whole(comparison: Comparison) -> bool:
    return comparison.unpacked is None or comparison.unpacked_whole


def count_sentence(comparison: Comparison) -> str:
    """How many of each status, in words; empty where nothing is to be said."""
    what = "files" if comparison.unpacked is not None else "archives"
    words = [
        f"{count:,} {status.value}"
        for status, count in comparison.counts.items()
        if count and status is not Status.SAME
    ]
    if not words:
        return ""
    if same := comparison.counts.get(Status.SAME):
        words.append(f"{same:,} of the same size")
    return f"{what}: {', '.join(words)}"


def _commit(pin: Pin | None) -> str:
    return _NONE if pin is None else pin.sha[:12] or _NONE


def _pin_note(pin: PinChange) -> str:
    if pin.before is None:
        return "added"
    if pin.after is None:
        return "removed"
    if pin.link:
        return pin.link
    if pin.before.sha == pin.after.sha and pin.before.patches != pin.after.patches:
        return f"{pin.before.patches} patches before, {pin.after.patches} after"
    if pin.before.url != pin.after.url:
        return f"from {pin.before.url} to {pin.after.url}"
    return pin.after.url
