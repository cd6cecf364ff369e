"""Which tarballs a run gives, and which archives each of them holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, Component, base_target
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.tarballs.encoding import Encoding

__all__ = [
    "MULTIARCH",
    "TEST_ONLY_ARTIFACTS",
    "PlannedTarball",
    "TarballOptions",
    "TarballPlan",
    "plan_tarballs",
]

MULTIARCH = "multiarch"
"""Stands in a file name where a family does: the tarball with all of them."""

TEST_ONLY_ARTIFACTS = frozenset({"fftw3"})
"""Needed by nothing but tests; the test components of every artifact stay out with them."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")


@dataclass(frozen=True, slots=True)
class TarballOptions:
    """What is asked for."""

    version: str
    """The package version, which ends each file name."""
    platform: str = "linux"
    families: tuple[str, ...] = ()
    """Families to make tarballs for; none: those that the run names."""
    split: bool = False
    """Whether the run's GPU code is split per target (kpack)."""
    include_tests: bool = False
    encoding: Encoding = field(default_factory=Encoding)
    on_conflict: OnConflict = OnConflict.ERROR


@dataclass(frozen=True, slots=True)
class PlannedTarball:
    """One tarball."""

    filename: str
    family: str
    """A family, a target, or ``multiarch``."""
    archives: tuple[ArchiveName, ...]
    """Those that serve every GPU first, then by name."""
    missing_targets: tuple[str, ...] = ()
    """Targets of the family that the run was not built for."""


@dataclass(frozen=True, slots=True)
class TarballPlan:
    """All tarballs of a run."""

    options: TarballOptions
    tarballs: tuple[PlannedTarball, ...]

    @property
    def archives(self) -> tuple[ArchiveName, ...]:
        """Every archive that some tarball holds, once."""
        distinct = {name for tarball in self.tarballs for name in tarball.archives}
        return tuple(sorted(distinct, key=lambda name: name.sort_key))


def plan_tarballs(
    archives: Sequence[ArchiveName], options: TarballOptions, families: GpuFamilies
) -> TarballPlan:
    """Decide which tarballs to make from these archives (one per artifact).

    UsageError for a version that cannot stand in a file name or an unknown family;
    NotFoundError for a family that the run has nothing for.
    """
    if not _VERSION.fullmatch(options.version):
        raise UsageError(
            f"package version {options.version!r} cannot stand in a file name; "
            "give --package-version as in 7.13.0 or 7.13.0a20260101"
        )
    if not archives:
        raise NotFoundError("no archives to make tarballs of; fetch the run first")
    names = _families(archives, options)
    planned: list[PlannedTarball] = []
    targets_of = {name: _targets(name, families, archives) for name in names}
    for family, targets in targets_of.items():
        planned.extend(_planned(family, {family: targets}, archives, options))
    if options.split:
        planned.extend(_planned(MULTIARCH, targets_of, archives, options))
    return TarballPlan(options, tuple(planned))


def _families(archives: Sequence[ArchiveName], options: TarballOptions) -> tuple[str, ...]:
    """The families asked for, else those that the archives name, sorted; each once."""
    if options.families:
        # A target is matched without its feature suffixes, so its tarball is not called by them:
        # GNU tar takes a file name with a colon for one on another machine.
        return tuple(dict.fromkeys(map(base_target, options.families)))
    found = {a.artifact.base_target for a in archives if not a.artifact.is_generic}
    if not found:
        raise NotFoundError(
            "this run has generic archives only, so it names no GPU family; "
            "give --dist-amdgpu-families"
        )
    return tuple(sorted(found))


def _targets(
    family: str, families: GpuFamilies, archives: Sequence[ArchiveName]
) -> tuple[str, ...]:
    """The family's targets; NotFoundError when the run has nothing for it or any of them."""
    named = {a.artifact.base_target for a in archives if not a.artifact.is_generic}
    if families.is_known(family):
        targets = families.targets_of(family)
    elif family in named:
        targets = ()
    else:
        families.targets_of(family)  # raises, with near matches
        raise AssertionError
    if not {family, *targets} & named:
        have = ", ".join(sorted(named)) or "generic archives only"
        raise NotFoundError(f"family {family!r} has no archives in this run, which has: {have}")
    return targets


def _planned(
    title: str,
    families: Mapping[str, tuple[str, ...]],
    archives: Sequence[ArchiveName],
    options: TarballOptions,
) -> list[PlannedTarball]:
    """The tarballs of these families with their targets, under one title."""
    wanted = {*families, *(target for targets in families.values() for target in targets)}
    chosen = sorted(
        (a for a in archives if a.artifact.is_generic or a.artifact.base_target in wanted),
        key=lambda archive: archive.sort_key,
    )
    plain = [archive for archive in chosen if not _is_for_tests(archive)]
    named = {archive.artifact.base_target for archive in chosen}
    # An archive of the whole family serves all its targets.
    lacking = [t for family, targets in families.items() if family not in named for t in targets]
    missing = tuple(target for target in dict.fromkeys(lacking) if target not in named)
    variants = [("", plain)]
    if options.include_tests:
        variants.append(("-tests", chosen))
    ending = f"tar.{options.encoding.format.value}"
    return [
        PlannedTarball(
            f"therock-dist-{options.platform}-{title}{mark}-{options.version}.{ending}",
            title,
            tuple(members),
            missing,
        )
        for mark, members in variants
    ]


def _is_for_tests(archive: ArchiveName) -> bool:
    artifact = archive.artifact
    return artifact.component is Component.TEST or artifact.name in TEST_ONLY_ARTIFACTS
