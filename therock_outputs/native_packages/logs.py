"""A log of each package: what went in, how large, with which digest; no times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from therock_outputs.artifacts.archives import Kind
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackageFormat, PackagePlan
from therock_outputs.native_packages.rpm_relations import elf_relations
from therock_outputs.storage.local_io import os_errors

__all__ = ["log_of", "write_log"]


def log_of(plan: PackagePlan, entries: Sequence[Entry], *, size: int, sha256: str) -> str:
    """The log of a package that was built."""
    return "".join(f"{line}\n" for line in _lines(plan, entries, size, sha256))


def write_log(path: Path, text: str) -> None:
    """Write a log, in place of the one of an earlier build."""
    with os_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _lines(plan: PackagePlan, entries: Sequence[Entry], size: int, sha256: str) -> Iterator[str]:
    files = [entry for entry in entries if entry.kind is Kind.FILE]
    yield plan.filename
    yield f"  {size} bytes, SHA-256 {sha256}"
    yield f"  {len(entries)} paths below {plan.prefix}, {sum(f.size for f in files)} bytes of files"
    for reason in plan.reasons:
        yield f"  {reason}"
    for archive in sorted({content.archive for content in plan.contents} - {""}):
        yield f"from {archive}"
    for what in ("depends", "recommends", "suggests", "provides", "replaces", "conflicts"):
        for relation in getattr(plan, what):
            yield f"{what} {relation}"
    for relation in plan.obsoletes:
        yield f"obsoletes {relation}"
    if plan.format is PackageFormat.RPM:
        provides, requires = elf_relations(plan, entries)
        yield from (f"found that it provides {name}" for name in sorted(provides))
        yield from (f"found that it requires {name}" for name in sorted(requires))
    yield from (_line(entry) for entry in entries)


def _line(entry: Entry) -> str:
    what = {
        Kind.DIRECTORY: "directory",
        Kind.SYMLINK: f"link to {entry.link}",
        Kind.HARDLINK: f"the same file as /{entry.link}",
    }.get(entry.kind)
    if what is None and entry.file is not None:
        what = f"{entry.size} bytes, SHA-256 {entry.file.sha256}"
    return f"{entry.mode:04o} /{entry.path}: {what}"
