"""What ``promote``, ``yank`` and ``unpublish`` tell: tables, JSON, outputs for the next steps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from therock_outputs.console import Console, format_size
from therock_outputs.github.actions import (
    append_outputs,
    append_summary,
    markdown_table,
    markdown_text,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.places import Places
from therock_outputs.publish.catalogue import CATALOGUE, LATEST
from therock_outputs.publish.promote import Promoted
from therock_outputs.publish.promotion import LeftOut, PlannedPlace, Promotion
from therock_outputs.publish.run_outputs import Part
from therock_outputs.publish.withdraw import AffectedPlace

__all__ = [
    "PromotedFile",
    "PromotedPlace",
    "PromotionReport",
    "WithdrawnReport",
    "planned_report",
    "report_of",
    "tell_plan",
    "tell_promoted",
    "tell_withdrawn",
    "withdrawn_report",
]


@dataclass(frozen=True, slots=True)
class PromotedFile:
    """One file of a promotion."""

    name: str
    size: int
    """Bytes; of a planned file that is made anew, those of the one that it is made from."""
    sha256: str | None
    """None in a plan, where nothing vouches for the file."""
    source: str
    url: str
    is_there: bool
    """Whether its name was taken before."""


@dataclass(frozen=True, slots=True)
class PromotedPlace:
    """A place that files go to."""

    part: Part
    place: str
    write_role: str | None
    catalogue: str
    latest_pointer: str
    index: str | None
    """What installers are given; None where there is nothing but files."""
    files: tuple[PromotedFile, ...]
    latest: str | None = None
    """The newest version there afterwards; None in a plan."""


@dataclass(frozen=True, slots=True)
class PromotionReport:
    """The JSON document of ``promote``."""

    run_id: str
    release_type: str
    layout: str
    version: str
    promoted_version: str
    is_done: bool
    places: tuple[PromotedPlace, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class WithdrawnPlace:
    """A place that a version was taken back from, or put back to."""

    place: str
    files: int
    latest: str | None
    """The newest version there that is not yanked."""


@dataclass(frozen=True, slots=True)
class WithdrawnReport:
    """The JSON document of ``yank`` and ``unpublish``."""

    task: str
    version: str
    is_undone: bool
    is_done: bool
    places: tuple[WithdrawnPlace, ...]


def planned_report(plan: Promotion, places: Places, there: frozenset[str]) -> PromotionReport:
    """What would be done."""
    return _report(plan, places, there, None)


def report_of(plan: Promotion, places: Places, promoted: Promoted) -> PromotionReport:
    """What was done."""
    return _report(plan, places, frozenset(), promoted)


def _report(
    plan: Promotion, places: Places, there: frozenset[str], promoted: Promoted | None
) -> PromotionReport:
    known = {} if promoted is None else _sizes(promoted)
    latest = {} if promoted is None else {one.place: one.latest for one in promoted.places}
    same = there
    if promoted is not None:
        same = frozenset(
            transfer.location.s3_uri
            for transfer in promoted.transfers
            if transfer.outcome.value == "same"
        )
    found = []
    for one in plan.indexes:
        place = one.place.location
        files = []
        for file in one.files:
            size, digest = known.get(file.target.name, (file.size, file.sha256))
            files.append(
                PromotedFile(
                    file.target.name,
                    size,
                    None if promoted is None and file.retag else digest,
                    file.source.s3_uri,
                    places.url(file.target),
                    file.target.s3_uri in same,
                )
            )
        found.append(
            _place(places, one.part, place, one.place.write_role, _index(one), files, latest)
        )
    for repository in plan.repositories:
        place = repository.place.location
        files = [
            PromotedFile(
                entry.name,
                entry.size,
                entry.sha256,
                (repository.source / package.path).s3_uri,
                places.url(entry.location(place)),
                entry.location(place).s3_uri in same,
            )
            for package, entry in zip(repository.packages, repository.entries, strict=True)
        ]
        role = repository.place.write_role
        found.append(_place(places, Part.PACKAGES, place, role, repository.target, files, latest))
    return PromotionReport(
        plan.run_id,
        plan.places.release_type.value,
        plan.places.layout.value,
        plan.version,
        plan.new_version,
        promoted is not None,
        tuple(found),
        plan.left_out,
    )


def _place(  # noqa: PLR0917 - the fields of a place, in their order
    places: Places,
    part: Part,
    place: StorageLocation,
    role: str | None,
    index: StorageLocation | None,
    files: Sequence[PromotedFile],
    latest: Mapping[StorageLocation, str | None],
) -> PromotedPlace:
    return PromotedPlace(
        part,
        places.url(place),
        role,
        places.url(place / CATALOGUE),
        places.url(place / LATEST),
        None if index is None else places.url(index),
        tuple(files),
        latest.get(place),
    )


def _index(one: PlannedPlace) -> StorageLocation | None:
    if one.shape is None:
        return None
    return one.place.location / one.shape.pages if one.shape.pages else one.place.location


def _sizes(promoted: Promoted) -> dict[str, tuple[int, str]]:
    return {entry.name: (entry.size, entry.sha256) for entry in promoted.entries}


# ---------------------------------------------------------------------------- for people


def tell_plan(report: PromotionReport, console: Console) -> None:
    """Each file that would be copied or made, by the place that it goes to."""
    for place in report.places:
        made = report.version != report.promoted_version and place.part is Part.WHEELS
        rows = [
            (
                format_size(file.size),
                "there already" if file.is_there else "made anew" if made else "copied",
                file.name,
            )
            for file in place.files
        ]
        title = f"{_words(place, report)} to {place.place}"
        console.table(("size", "would be", "file"), rows, title=title)
        console.say()
    _tell_left_out(report.left_out, console)
    files = [file for place in report.places for file in place.files]
    new = [file for file in files if not file.is_there]
    console.say(
        f"{report.promoted_version}: {len(new)} of {len(files)} files, "
        f"{format_size(sum(file.size for file in new))}, then indexes and pointers"
    )


def tell_promoted(
    report: PromotionReport,
    promoted: Promoted,
    console: Console,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """What lies where now, for people, for the steps that follow in CI and for the summary."""
    rows = [
        (
            place.part.value,
            len(place.files),
            sum(file.is_there for file in place.files),
            format_size(sum(file.size for file in place.files)),
            place.latest or "none",
            place.place,
        )
        for place in report.places
    ]
    columns = ("promoted", "files", "there already", "size", "latest", "place")
    console.table(columns, rows)
    _tell_left_out(report.left_out, console)
    checked = sum(place.checked for place in promoted.places)
    console.say(f"{report.promoted_version}: {checked} files that the indexes name are there")
    for place in report.places:
        if place.index is not None:
            console.say(f"Index of {place.part.value}: {place.index}")
    append_outputs(
        environ,
        {
            "promoted_version": report.promoted_version,
            "tarball_urls": json.dumps(_urls(report, Part.TARBALLS)),
            "wheel_indexes": json.dumps(_indexes(report, Part.WHEELS)),
            "package_repositories": json.dumps(_indexes(report, Part.PACKAGES)),
        },
    )
    append_summary(environ, _summary(report))


def _urls(report: PromotionReport, part: Part) -> list[str]:
    return [file.url for place in report.places if place.part is part for file in place.files]


def _indexes(report: PromotionReport, part: Part) -> list[str]:
    return [place.index for place in report.places if place.part is part and place.index]


def _words(place: PromotedPlace, report: PromotionReport) -> str:
    return f"{place.part.value} of {report.promoted_version}"


def _tell_left_out(left_out: Iterable[LeftOut], console: Console) -> None:
    rows = [(item.name, item.why) for item in left_out]
    if rows:
        console.table(("left out", "why"), rows)


def _summary(report: PromotionReport) -> str:
    rows = [
        (
            place.part.value,
            str(len(place.files)),
            format_size(sum(file.size for file in place.files)),
            markdown_text(place.latest or "none"),
            f"{place.index or place.catalogue}",
        )
        for place in report.places
    ]
    title = f"## Promoted {markdown_text(report.promoted_version)} to {report.release_type}"
    table = markdown_table(("What", "Files", "Size", "Latest there", "Index"), rows)
    return f"{title}\n\n{table}\n"


def withdrawn_report(
    affected: Sequence[AffectedPlace],
    places: Places,
    version: str,
    task: str,
    *,
    undo: bool,
    done: bool,
) -> WithdrawnReport:
    """What was, or would be, taken back."""
    rows = tuple(
        WithdrawnPlace(places.url(one.place), len(one.entries), one.latest) for one in affected
    )
    return WithdrawnReport(task, version, undo, done, rows)


def tell_withdrawn(report: WithdrawnReport, console: Console) -> None:
    """Where the version was, and what is newest there now."""
    console.table(
        ("place", "files listed", "latest"),
        [(place.place, place.files, place.latest or "none") for place in report.places],
    )
    verbs = {"yank": "yanked", "unpublish": "unpublished"}
    what = "put back" if report.is_undone else verbs[report.task]
    console.say(f"{report.version} {'is' if report.is_done else 'would be'} {what}")
