"""What an rpm provides, requires and cannot stand beside, as it stands in its header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename

from therock_outputs.errors import UsageError
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackagePlan
from therock_outputs.native_packages.pieces import Compression
from therock_outputs.native_packages.rpm_header import Header, Tag

__all__ = ["SHELL", "add_relations", "elf_relations"]

SHELL = "/bin/sh"
"""What runs the scripts."""

_LESS, _GREATER, _EQUAL = 2, 4, 8
_SENSES = {
    "<": _LESS,
    "<=": _LESS | _EQUAL,
    "=": _EQUAL,
    ">=": _GREATER | _EQUAL,
    ">": _GREATER,
}
_INTERPRETER, _POST, _PREUN, _POSTUN = 1 << 8, 1 << 10, 1 << 11, 1 << 12
_POST_TRANSACTION = 1 << 5
_FOUND_REQUIRED, _FOUND_PROVIDED, _RPMLIB = 1 << 14, 1 << 15, 1 << 24
_RELATION = re.compile(r"(\S+)\s+(<=|>=|=|<|>)\s+(\S+)")
_ISA = {"x86_64": "(x86-64)", "aarch64": "(aarch-64)"}


@dataclass(frozen=True, slots=True, order=True)
class _Relation:
    """A name, perhaps with a version."""

    name: str
    version: str = ""
    flags: int = 0


def elf_relations(plan: PackagePlan, entries: Sequence[Entry]) -> tuple[set[str], set[str]]:
    """What the ELF files provide and require, as rpm's generator finds it.

    Less what the definition leaves out: the debugger loads the Python that it finds.
    """
    provides: set[str] = set()
    requires: set[str] = set()
    for entry in entries:
        if entry.file is not None and (elf := entry.file.elf) is not None:
            provides.update(elf.provides_as(basename(entry.path)))
            requires.update(elf.requires_with(entry.mode))
    ignored = plan.ignored_requires
    kept = {name for name in requires if not any(fnmatchcase(name, one) for one in ignored)}
    return provides, kept


def add_relations(
    header: Header,
    plan: PackagePlan,
    entries: Sequence[Entry],
    compression: Compression,
    *,
    is_large: bool,
) -> None:
    """Add all relations of a package: of its plan, of its ELF files, of its scripts and its form.

    UsageError for one that is written in no way that rpm knows.
    """
    evr = f"{plan.version}-{plan.release}"
    found, needed = elf_relations(plan, entries)
    provides = {_Relation(plan.name, evr, _EQUAL)}
    if plan.architecture in _ISA:
        provides.add(_Relation(plan.name + _ISA[plan.architecture], evr, _EQUAL))
    provides |= {_parse(text) for text in plan.provides}
    provides |= {_Relation(name, "", _FOUND_PROVIDED) for name in found}
    requires = {_parse(text) for text in plan.depends}
    requires |= {_Relation(name, "", _FOUND_REQUIRED) for name in needed}
    for text, flag in (
        (plan.scripts.after_install, _POST),
        (plan.scripts.before_remove, _PREUN),
        (plan.scripts.after_remove, _POSTUN),
        (plan.scripts.after_transaction, _POST_TRANSACTION),
    ):
        if text.strip():
            requires.add(_Relation(SHELL, "", flag | _INTERPRETER))
    requires |= set(_features(plan, entries, compression, is_large=is_large))
    for relations, names, versions, flags in (
        (provides, Tag.PROVIDE_NAMES, Tag.PROVIDE_VERSIONS, Tag.PROVIDE_FLAGS),
        (requires, Tag.REQUIRE_NAMES, Tag.REQUIRE_VERSIONS, Tag.REQUIRE_FLAGS),
        (
            {_parse(text) for text in plan.conflicts},
            Tag.CONFLICT_NAMES,
            Tag.CONFLICT_VERSIONS,
            Tag.CONFLICT_FLAGS,
        ),
        (
            {_parse(text) for text in plan.obsoletes},
            Tag.OBSOLETE_NAMES,
            Tag.OBSOLETE_VERSIONS,
            Tag.OBSOLETE_FLAGS,
        ),
        (
            {_parse(text) for text in plan.recommends},
            Tag.RECOMMEND_NAMES,
            Tag.RECOMMEND_VERSIONS,
            Tag.RECOMMEND_FLAGS,
        ),
        (
            {_parse(text) for text in plan.suggests},
            Tag.SUGGEST_NAMES,
            Tag.SUGGEST_VERSIONS,
            Tag.SUGGEST_FLAGS,
        ),
    ):
        ordered = sorted(relations)
        header.texts(names, [relation.name for relation in ordered])
        header.texts(versions, [relation.version for relation in ordered])
        header.int32(flags, [relation.flags for relation in ordered])


def _parse(text: str) -> _Relation:
    """A relation as it stands in a spec file: a name, a name with a version, or a condition."""
    text = text.strip()
    if text.startswith("("):
        return _Relation(text)
    found = _RELATION.fullmatch(text)
    if found is None:
        if not text or len(text.split()) > 1:
            raise UsageError(f"{text!r} is no relation of an rpm; write it as 'name >= version'")
        return _Relation(text)
    return _Relation(found[1], found[3], _SENSES[found[2]])


def _features(
    plan: PackagePlan, entries: Sequence[Entry], compression: Compression, *, is_large: bool
) -> Iterator[_Relation]:
    """What an rpm has to know to read this file."""
    features: Mapping[str, str] = {
        "CompressedFileNames": "3.0.4-1" if entries else "",
        "FileDigests": "4.6.0-1" if entries else "",
        "PayloadFilesHavePrefix": "4.0-1",
        "PayloadIsZstd": "5.4.18-1" if compression is Compression.ZSTD else "",
        "PayloadIsXz": "5.2-1" if compression is Compression.XZ else "",
        "LargeFiles": "4.12.0-1" if is_large else "",
        "TildeInVersions": "4.10.0-1" if _is_in_versions("~", plan) else "",
        "CaretInVersions": "4.15.0-1" if _is_in_versions("^", plan) else "",
        "RichDependencies": "4.12.0-1" if _has_conditions(plan) else "",
    }
    for name, version in features.items():
        if version:
            yield _Relation(f"rpmlib({name})", version, _LESS | _EQUAL | _RPMLIB)


def _all_relations(plan: PackagePlan) -> tuple[str, ...]:
    return (
        *plan.depends,
        *plan.recommends,
        *plan.suggests,
        *plan.provides,
        *plan.conflicts,
        *plan.obsoletes,
    )


def _is_in_versions(mark: str, plan: PackagePlan) -> bool:
    versions = [_parse(text).version for text in _all_relations(plan)]
    return any(mark in version for version in (plan.version, plan.release, *versions))


def _has_conditions(plan: PackagePlan) -> bool:
    return any(text.strip().startswith("(") for text in _all_relations(plan))
