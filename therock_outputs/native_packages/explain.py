"""A plan for people: the rows of its tables, and why one package looks as it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.data_files import near_matches
from therock_outputs.errors import UsageError
from therock_outputs.formatting import format_size
from therock_outputs.native_packages.package import PackagePlan
from therock_outputs.native_packages.plan import NativePlan
from therock_outputs.native_packages.relations import Relation

__all__ = ["PackageRow", "SkippedRow", "explain", "package_rows", "skipped_rows"]

_RELATIONS = (
    "depends", "recommends", "suggests", "provides", "replaces", "conflicts", "obsoletes",
)  # fmt: skip
_PLURALS = {
    Kind.FILE: ("file", "files"),
    Kind.DIRECTORY: ("directory", "directories"),
    Kind.SYMLINK: ("link", "links"),
    Kind.HARDLINK: ("hard link", "hard links"),
}


@dataclass(frozen=True, slots=True)
class PackageRow:
    """One package of the plan, as a table shows it."""

    filename: str
    size: int
    """Bytes of its files."""
    files: int
    """Files and links."""
    holds: str
    """What it is: files of a definition, or what it gathers."""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """Packages that are not built for one reason; both formats and all targets in one row."""

    definition: str
    packages: tuple[str, ...]
    reason: str


def package_rows(plan: NativePlan) -> tuple[PackageRow, ...]:
    """A row for each package, in the plan's order."""
    return tuple(
        PackageRow(
            package.filename,
            package.size,
            sum(content.kind is not Kind.DIRECTORY for content in package.contents),
            package.summary if package.contents else f"gathers {len(package.depends)}",
        )
        for package in plan.packages
    )


def skipped_rows(plan: NativePlan) -> tuple[SkippedRow, ...]:
    """What is not built, with those of one definition and reason together."""
    rows: dict[tuple[str, str], dict[str, None]] = {}
    for skipped in plan.skipped:
        rows.setdefault((skipped.definition, skipped.reason), {})[skipped.name] = None
    return tuple(SkippedRow(name, tuple(names), why) for (name, why), names in rows.items())


def explain(plan: NativePlan, name: str) -> str:
    """Why a package looks as it does, for one of this name in each format.

    A definition's name stands for all of its packages; of one that has the name of a package
    too, all are told. UsageError for a name that is neither.
    """
    packages = [p for p in plan.packages if name in (p.name, p.definition)]
    skipped = [s for s in plan.skipped if name in (s.name, s.definition)]
    if not packages and not skipped:
        known = {p.name for p in plan.packages} | {p.definition for p in plan.packages}
        raise UsageError(f"--explain: no package {name!r} is planned; {near_matches(name, known)}")
    parts = ["\n".join(_about(package, plan)) for package in packages]
    parts += [f"{s.name} ({s.format}) is not built: {s.reason}." for s in skipped]
    return "\n\n".join(parts)


def _about(package: PackagePlan, plan: NativePlan) -> Iterator[str]:
    yield package.filename
    yield f"  {package.summary}"
    yield from _section("why", package.reasons)
    yield from _section(f"holds, in {package.prefix}", list(_holdings(package)))
    for field in _RELATIONS:
        yield from _section(field, getattr(package, field))
    yield from _section("needed by", list(_needed_by(package, plan)))
    circles = [
        f"Its dependencies lead back to it through {', '.join(circle)}; apt and dnf install that."
        for circle in plan.cycles
        if package.definition in circle
    ]
    yield from _section("circles", circles)


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"  {title}:"
        yield from (f"    {line}" for line in lines)


def _holdings(package: PackagePlan) -> Iterator[str]:
    """What is in a package, by archive and stage."""
    origin = sorted(package.contents, key=lambda content: (content.archive, content.stage))
    for (archive, stage), group in groupby(origin, key=lambda c: (c.archive, c.stage)):
        contents = list(group)
        kinds = Counter(content.kind for content in contents)
        counts = [
            f"{kinds[kind]} {words[kinds[kind] != 1]}"
            for kind, words in _PLURALS.items()
            if kinds[kind]
        ]
        size = format_size(sum(content.size for content in contents))
        whence = f"{archive}, {stage}" if archive else "above these"
        yield f"{whence}: {', '.join(counts)}, {size}"


def _needed_by(package: PackagePlan, plan: NativePlan) -> Iterator[str]:
    for other in plan.of(package.format):
        if any(package.name in Relation.names_in(text, other.format) for text in other.depends):
            yield other.name
