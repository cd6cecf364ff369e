"""A comparison as the JSON document of its task: plain values, in the order of the tables."""

from __future__ import annotations

from typing import Any

from therock_outputs.artifacts.compare.changes import (
    ArchiveChange,
    Change,
    Comparison,
    FileChange,
    GroupChange,
)
from therock_outputs.artifacts.compare.pins import Pin
from therock_outputs.artifacts.compare.sides import Side
from therock_outputs.artifacts.compare.where import Hotspot

__all__ = ["comparison_document"]


def comparison_document(comparison: Comparison, hotspot: Hotspot | None) -> dict[str, Any]:
    """Everything but the files that are the same, which are counted. Sizes are bytes."""
    return {
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "unpacked": _change(comparison.unpacked),
        "unpacked_is_whole": comparison.unpacked_whole,
        "compressed": _change(comparison.compressed),
        "hotspot": hotspot
        and {"path": hotspot.path, "change": hotspot.amount, "share": round(hotspot.share, 4)},
        "counts": {status.value: count for status, count in comparison.counts.items()},
        "archives": [_archive(archive) for archive in comparison.archives],
        "artifacts": [_group(group) for group in comparison.artifacts],
        "components": [_group(group) for group in comparison.components],
        "targets": [_group(group) for group in comparison.targets],
        "stages": [_group(group) for group in comparison.stages],
        "files": [_file(file) for file in comparison.changed_files],
        "pins": [
            {
                "name": pin.name,
                "before": _pin(pin.before),
                "after": _pin(pin.after),
                "link": pin.link,
            }
            for pin in comparison.pins
        ],
        "flags": [
            {"name": flag.name, "before": flag.before, "after": flag.after}
            for flag in comparison.flags
        ],
        "notes": list(comparison.notes),
    }


def _side(side: Side) -> dict[str, Any]:
    manifest = side.provenance.manifest if side.provenance else None
    return {
        "label": side.label,
        "place": side.place,
        "run_id": manifest and manifest.run_id,
        "commit": manifest and manifest.rock_commit,
        "version": manifest and manifest.package_version,
        "archives": len(side.archives),
        "files": None if side.files is None else len(side.files),
    }


def _sizes(change: Change) -> dict[str, Any]:
    return {"before": change.before, "after": change.after, "change": change.delta}


def _change(change: Change | None) -> dict[str, Any] | None:
    return None if change is None else _sizes(change)


def _archive(archive: ArchiveChange) -> dict[str, Any]:
    return {
        "name": archive.name.stem,
        "compressed": _change(archive.compressed),
        "unpacked": _change(archive.unpacked),
        "same_bytes": archive.same_bytes,
    }


def _group(group: GroupChange) -> dict[str, Any]:
    return {
        "name": group.name,
        "compressed": _change(group.compressed),
        "unpacked": _change(group.unpacked),
    }


def _file(file: FileChange) -> dict[str, Any]:
    said = {
        "archive": file.archive,
        "stage": file.stage,
        "was": file.was,
        "was_archive": file.was_archive,
        "was_stage": file.was_stage,
    }
    return {
        "path": file.path,
        "status": file.status.value,
        **_sizes(file.size),
        **{name: value for name, value in said.items() if value},
    }


def _pin(pin: Pin | None) -> dict[str, Any] | None:
    if pin is None:
        return None
    return {"url": pin.url, "sha": pin.sha, "patches": pin.patches}
