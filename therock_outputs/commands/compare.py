"""The task ``compare``: what grew between two runs, directories or tarballs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.compare.changes import Comparison
from therock_outputs.artifacts.compare.diff import compare_sides
from therock_outputs.artifacts.compare.document import comparison_document
from therock_outputs.artifacts.compare.limits import GrowthLimit, parse_growth_limit, parse_size
from therock_outputs.artifacts.compare.local import TARBALL_SUFFIXES, source_at
from therock_outputs.artifacts.compare.read import ReadOptions, plan_reading, read_sides
from therock_outputs.artifacts.compare.sources import SideSource, source_of_run
from therock_outputs.artifacts.compare.where import Hotspot, Part, change_tree, find_hotspot
from therock_outputs.artifacts.selection import Selection
from therock_outputs.console import Console
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.formatting import format_size
from therock_outputs.github.actions import append_summary
from therock_outputs.indexes.comparison_page import comparison_page
from therock_outputs.indexes.comparison_words import (
    Thresholds,
    comparison_markdown,
    comparison_tables,
    count_sentence,
    format_change,
    format_percent,
    full_headline,
    hotspot_sentence,
    pin_lines,
    whole_lines,
)
from therock_outputs.places import places_of
from therock_outputs.release.source import Source, located
from therock_outputs.settings import Settings
from therock_outputs.storage import IfExists
from therock_outputs.storage.hidden import temporary_file
from therock_outputs.storage.local_io import os_errors, publish, write_all

__all__ = ["CommitLookup", "CompareOptions", "GrowthError", "compare_runs", "resolve_side"]

CommitLookup = Callable[[str, Settings], Settings]
"""From a commit, 7 to 40 hex digits, to the settings with the run that built it, and with all
that was learnt of that run."""

_COMMIT = re.compile(r"(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}|0[0-9]{6,39}|[0-9]{40}")
"""A word of letters alone may be a local run's name, digits alone are a run's number, which never
begins with 0 and never has 40 of them."""


class GrowthError(OutputsError):
    """More growth than was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What the flags of ``compare`` say beyond the settings."""

    before: str
    after: str
    files: bool | None = None
    """None: what is on this disk is read, what is on a server is listed."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    max_growth: GrowthLimit | None = None
    html: Path | None = None
    markdown: Path | None = None
    cache_dir: Path | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags; UsageError for a threshold that is none."""
        if own["before"] is None or own["after"] is None:
            raise UsageError("compare what with what? give two runs, directories or tarballs")
        least, growth = own["min_change"], own["max_growth"]
        files = True if own["files"] else False if own["no_files"] else None
        return cls(
            before=own["before"],
            after=own["after"],
            files=files,
            thresholds=Thresholds(
                1 if least is None else parse_size(least, "--min-change"),
                Thresholds().top if own["top"] is None else own["top"],
            ),
            max_growth=None if growth is None else parse_growth_limit(growth, "--max-growth"),
            html=own["html"],
            markdown=own["markdown"],
            cache_dir=own["cache_dir"],
        )


def compare_runs(
    settings: Settings,
    options: CompareOptions,
    console: Console,
    *,
    find_run: CommitLookup | None = None,
) -> dict[str, Any]:
    """Compare and tell; GrowthError, after everything was told, for more than was allowed.

    ``find_run`` looks a commit up; None: GitHub is asked.
    """
    find_run = find_run or partial(_run_of_commit, console)
    before = resolve_side(options.before, settings, find_run=find_run)
    after = resolve_side(options.after, settings, find_run=find_run)
    comparison = _read_and_compare(before, after, settings, options, console)
    tree = change_tree(comparison)
    hotspot = find_hotspot(tree, comparison)
    _tell(comparison, hotspot, options.thresholds, console)
    _write_reports(comparison, tree, hotspot, options, console)
    document = comparison_document(comparison, hotspot)
    if options.max_growth is not None:
        console.document(document)
        _check_growth(comparison, options.max_growth)
    return document


def _run_of_commit(console: Console, commit: str, settings: Settings) -> Settings:
    """The settings with the newest run that built a commit and has its archives."""
    from therock_outputs.lookups import settle_run  # noqa: PLC0415 - HTTP is rarely needed here

    asked = replace(settings, commit=commit, run_id=None, upload_run_id=None)
    return replace(settle_run(asked, console), commit=None)


def resolve_side(
    text: str, settings: Settings, *, find_run: CommitLookup | None = None
) -> SideSource:
    """What a word on the command line stands for.

    A path that is there, or that looks like one, is a directory or a tarball; 7 to 40 hex
    digits are a commit, whose run ``find_run`` names; all else is a run of the settings'
    repository and platform, in the staging directory or on its server.
    """
    path = Path(text).expanduser()
    if path.exists() or "/" in text or text.lower().endswith(TARBALL_SUFFIXES):
        return source_at(path)
    chosen = replace(settings, run_id=text)
    if _COMMIT.fullmatch(text):
        if find_run is None:
            raise UsageError(
                f"{text} looks like a commit, which is not looked up here: give the number of a "
                "run that built it"
            )
        chosen = find_run(text, settings)
    run_id = chosen.required_run_id
    chosen = replace(chosen, upload_run_id=run_id)
    places = places_of(chosen)
    source = Source(places, chosen.run_work_dir / "archives", settings.jobs)
    plan, storage, _ = located(source, Selection())
    label = f"run {run_id}" if run_id == text else f"run {run_id} (commit {text[:12]})"
    return source_of_run(
        label, places.url(places.source.root), storage, plan.contents, plan.archives
    )


def _read_and_compare(
    before: SideSource,
    after: SideSource,
    settings: Settings,
    options: CompareOptions,
    console: Console,
) -> Comparison:
    reading = ReadOptions(options.files, options.cache_dir, settings.jobs)
    plan = plan_reading(before, after, reading)
    if not plan.files or not plan.size:
        return compare_sides(*read_sides(plan, reading))
    with console.progress("read", plan.size) as progress:
        return compare_sides(*read_sides(plan, replace(reading, progress=progress.advance)))


def _tell(
    comparison: Comparison, hotspot: Hotspot | None, thresholds: Thresholds, console: Console
) -> None:
    for name, side in (("A", comparison.before), ("B", comparison.after)):
        where = "" if side.place == side.label else f": {side.place}"
        console.say(f"{name}  {side.label}{where}")
    console.say()
    console.say(full_headline(comparison))
    if hotspot is not None:
        console.say(hotspot_sentence(hotspot, comparison.total))
    for what, change in whole_lines(comparison):
        sizes = " → ".join(format_size(size or 0) for size in (change.before, change.after))
        console.say(f"  {what}: {sizes}, {format_change(change.delta)} ({format_percent(change)})")
    if counts := count_sentence(comparison):
        console.say(f"  {counts}")
    for table in comparison_tables(comparison, thresholds):
        console.say()
        console.table(*table.aligned())
        if table.more:
            console.say(f"… and {table.more} more {table.title}; --top 0 shows all")
    if comparison.pins:
        console.say()
        console.table(("pin", "before", "after", ""), list(pin_lines(comparison.pins)))
    if comparison.flags:
        rows = [(flag.name, flag.before or "-", flag.after or "-") for flag in comparison.flags]
        console.say()
        console.table(("build flag", "before", "after"), rows)
    console.say()
    for note in comparison.notes:
        console.note(f"note: {note}")


def _write_reports(
    comparison: Comparison,
    tree: Part,
    hotspot: Hotspot | None,
    options: CompareOptions,
    console: Console,
) -> None:
    markdown = comparison_markdown(comparison, hotspot, options.thresholds)
    append_summary(os.environ, markdown)
    if options.markdown is not None:
        _write(options.markdown, markdown, console)
    if options.html is not None:
        _write(options.html, comparison_page(comparison, tree, hotspot), console)


def _write(path: Path, text: str, console: Console) -> None:
    """Write a report beside its name, then rename it."""
    data = text.encode(errors="backslashreplace")
    with os_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path.parent) as (descriptor, temporary):
            write_all(data, descriptor)
            publish(temporary, path, IfExists.REPLACE)
    console.say(f"{format_size(len(data))}: {path}")


def _check_growth(comparison: Comparison, limit: GrowthLimit) -> None:
    """Judge both measures: zeros compress to nothing, and random bytes do not compress."""
    for what, change in whole_lines(comparison):
        if limit.size is None and change is comparison.unpacked and not comparison.unpacked_whole:
            continue  # a share of what was read says nothing
        if not limit.allows(change):
            raise GrowthError(
                f"{comparison.after.label} is {format_size(change.delta)} "
                f"({format_percent(change)}, {what}) larger than {comparison.before.label}; "
                f"--max-growth allows {limit.text}"
            )
