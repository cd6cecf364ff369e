"""Which of a run's archives a job wants: a pure function from names and options to names.

It stands between the listing of a run and everything that reads archives. The rules are told
for users in ``docs/artifacts.md``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from therock_outputs.artifacts.data_files import near_matches
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import (
    GENERIC_TARGET,
    ArtifactName,
    Component,
    Compression,
    base_target,
)
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import NotFoundError, UsageError

__all__ = [
    "ALL_STAGES",
    "NamedArchive",
    "Selection",
    "SelectionResult",
    "parse_components",
    "select",
]

ALL_STAGES = "all"
"""The stage name that means every artifact, whoever takes it."""

_SHOWN = 12  # names of each kind in a message: enough to see what a run is, on a few lines


class NamedArchive(Protocol):
    """What can be selected: an ``ArchiveName``, or anything that carries the same three."""

    @property
    def artifact(self) -> ArtifactName:
        """The artifact in the archive."""

    @property
    def compression(self) -> Compression:
        """How the archive is compressed."""

    @property
    def filename(self) -> str:
        """The archive's file name, which regular expressions are matched against."""


ArchiveT = TypeVar("ArchiveT", bound=NamedArchive)


@dataclass(frozen=True, slots=True)
class Selection:
    """The options that choose archives. UsageError for options that contradict each other."""

    artifact_group: str | None = None
    """The family of a single-stage build."""
    amdgpu_families: tuple[str, ...] = ()
    amdgpu_targets: tuple[str, ...] = ()
    expand_family_to_targets: bool = False
    """Whether the families' targets are wanted beside archives of the families' own names."""
    include: tuple[str, ...] = ()
    """Regular expressions, of which one has to be found in the file name; none: all."""
    exclude: tuple[str, ...] = ()
    """Regular expressions, of which none may be found in the file name."""
    components: tuple[Component, ...] = ()
    """The wanted components; none: all."""
    exclude_artifacts: tuple[str, ...] = ()
    """Artifact names, as in ``fftw3``."""
    generic_only: bool = False
    stage: str | None = None
    """A build stage, for what it takes from others; None or ``all`` for everything."""
    platform: str | None = None
    """The run's platform, for what a stage takes there; None for any."""

    def __post_init__(self) -> None:
        chosen = {
            "--artifact-group": self.artifact_group is not None,
            "--amdgpu-families": bool(self.amdgpu_families),
            "--amdgpu-targets": bool(self.amdgpu_targets),
        }
        flags = [flag for flag, given in chosen.items() if given]
        if len(flags) > 1:
            raise UsageError(
                f"{' and '.join(flags)} contradict each other: give one "
                "(--amdgpu-families takes targets too, each is a family of its own)"
            )
        if self.generic_only and (flags or self.expand_family_to_targets):
            other = flags[0] if flags else "--expand-family-to-targets"
            raise UsageError(f"--generic-only and {other} contradict each other: give one")
        if self.expand_family_to_targets and flags not in (
            ["--artifact-group"],
            ["--amdgpu-families"],
        ):
            raise UsageError("--expand-family-to-targets has no family: add --amdgpu-families")
        for flag, expressions in (("--include", self.include), ("--exclude", self.exclude)):
            for expression in expressions:
                _compile(flag, expression)

    @property
    def families(self) -> tuple[str, ...]:
        """The named families, whichever flag named them."""
        return (self.artifact_group,) if self.artifact_group is not None else self.amdgpu_families


@dataclass(frozen=True, slots=True)
class SelectionResult(Generic[ArchiveT]):
    """What was chosen, what was not and why."""

    selected: tuple[ArchiveT, ...]
    """Generic first, then by name, component and target."""
    skipped: tuple[tuple[ArchiveT, str], ...]
    """Each with the reason, in the same order."""
    warnings: tuple[str, ...] = ()
    """Lines for the user: asked-for families and targets of which the run has nothing."""


def parse_components(names: Iterable[str]) -> tuple[Component, ...]:
    """The components of these names, each once, in their enum's order; UsageError otherwise."""
    known = {component.value: component for component in Component}
    found = set()
    for name in names:
        if name not in known:
            raise UsageError(f"--components: {name!r} is none; known are {', '.join(known)}")
        found.add(known[name])
    return tuple(component for component in Component if component in found)


def select(
    archives: Sequence[ArchiveT],
    selection: Selection,
    *,
    families: GpuFamilies,
    topology: Topology,
    split: bool,
) -> SelectionResult[ArchiveT]:
    """Choose among a run's archives; ``split`` says whether its GPU code is split per target.

    UsageError for a name that is neither known nor in the run, NotFoundError when nothing is
    left. A stage that takes nothing from others is the exception: its selection is empty.
    """
    archives = sorted(archives, key=lambda a: (a.artifact.sort_key, a.compression.value))
    wanted = _Wanted.of(archives, selection, families, split=split)
    reasons = (
        _stage_reason(selection, topology),
        _artifact_reason(archives, selection, topology),
        _component_reason(selection),
        wanted.reason,
        _pattern_reason(selection),
    )
    selected: list[ArchiveT] = []
    skipped: list[tuple[ArchiveT, str]] = []
    for archive in archives:
        reason = next(filter(None, (reason(archive) for reason in reasons)), None)
        if reason is None:
            selected.append(archive)
        else:
            skipped.append((archive, reason))
    zst = {a.artifact: a.filename for a in selected if a.compression is Compression.ZST}
    doubled = [a for a in selected if a.compression is Compression.XZ and a.artifact in zst]
    skipped += [(archive, f"{zst[archive.artifact]} is the same artifact") for archive in doubled]
    result = SelectionResult(
        tuple(archive for archive in selected if archive not in doubled),
        tuple(skipped),
        wanted.warnings(archives),
    )
    if not result.selected and not _stage_takes_nothing(selection, topology):
        raise NotFoundError(_nothing_selected(result))
    return result


_Reason = Callable[[NamedArchive], str | None]
"""Why an archive is not wanted, or None when it is."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The wanted families and targets, resolved against the table and the run."""

    everything: bool
    asked: tuple[tuple[str, frozenset[str], frozenset[str]], ...]
    """For each asked name: the archive targets that match as they stand, and the GPU targets
    that match by their base."""
    families: GpuFamilies

    @classmethod
    def of(
        cls,
        archives: Sequence[NamedArchive],
        selection: Selection,
        families: GpuFamilies,
        *,
        split: bool,
    ) -> _Wanted:
        in_run = {archive.artifact.base_target for archive in archives} - {GENERIC_TARGET}
        asked = []
        for name in selection.families:
            asked.append((name, frozenset({name}), cls._targets(name, selection, families, split)))
            if not families.is_known(name) and base_target(name) not in in_run:
                flag = "--amdgpu-families" if selection.amdgpu_families else "--artifact-group"
                known = {*families.families, *(t.name for t in families.targets), *in_run}
                raise UsageError(
                    f"{flag}: {name!r} is no family of {families.source} and the run has nothing "
                    f"of that name; {near_matches(name, known)}"
                )
        for name in selection.amdgpu_targets:
            _check_target(name, in_run, families)
            asked.append((name, frozenset(), frozenset({name})))
        everything = not asked and not selection.generic_only
        return cls(everything, tuple(asked), families)

    @staticmethod
    def _targets(
        family: str, selection: Selection, families: GpuFamilies, split: bool
    ) -> frozenset[str]:
        if not families.is_known(family):
            return frozenset({family})
        targets = families.targets_of(family)
        if split or selection.expand_family_to_targets or targets == (family,):
            return frozenset(targets)
        return frozenset()

    def reason(self, archive: NamedArchive) -> str | None:
        target = archive.artifact.target
        if self.everything or archive.artifact.is_generic:
            return None
        if any(_matches(target, names, targets) for _, names, targets in self.asked):
            return None
        return f"target {target} is not asked for"

    def warnings(self, archives: Sequence[NamedArchive]) -> tuple[str, ...]:
        """A line for each asked name of which a run with GPU archives has nothing."""
        in_run = dict.fromkeys(a.artifact.target for a in archives if not a.artifact.is_generic)
        lines = []
        for name, names, targets in self.asked:
            if not in_run or any(_matches(target, names, targets) for target in in_run):
                continue
            line = f"the run has no archive for {name}, only for {_shown(in_run)}"
            if self.families.is_known(name):
                holding = set(self.families.expand([base_target(name)]))
                close = [t for t in in_run if self._holds(t, holding)]
                line += f"; {close[0]} shares its GPUs" if close else ""
            lines.append(line)
        return tuple(lines)

    def _holds(self, archive_target: str, targets: set[str]) -> bool:
        if not self.families.is_known(archive_target):
            return False
        return not targets.isdisjoint(self.families.expand([base_target(archive_target)]))


def _check_target(name: str, in_run: set[str], families: GpuFamilies) -> None:
    targets = {target.name for target in families.targets} | (in_run - set(families.families))
    if base_target(name) in targets:
        return
    if name in families.families:
        raise UsageError(f"--amdgpu-targets: {name} is a family; use --amdgpu-families")
    raise UsageError(
        f"--amdgpu-targets: {name!r} is no target of {families.source} and the run has nothing of "
        f"that name; {near_matches(base_target(name), targets)}"
    )


def _matches(archive_target: str, names: frozenset[str], targets: frozenset[str]) -> bool:
    """Whether an archive's target is one of ``names`` or serves one of the GPU ``targets``.

    A GPU target is matched by its base. Only when both carry feature suffixes, a feature that
    one switches on and the other off keeps them apart: such code does not run there.
    """
    if archive_target in names:
        return True
    base, _, features = archive_target.partition(":")
    opposite = {_switched(feature) for feature in features.split(":") if feature}
    return any(
        base == base_target(target) and opposite.isdisjoint(target.split(":")[1:])
        for target in targets
    )


def _switched(feature: str) -> str:
    return feature[:-1] + ("-" if feature.endswith("+") else "+")


def _stage_reason(selection: Selection, topology: Topology) -> _Reason:
    if selection.stage in (None, ALL_STAGES):
        return lambda _: None
    takes = set(topology.takes(selection.stage, selection.platform))
    return lambda archive: (
        None if archive.artifact.name in takes else f"stage {selection.stage} does not take it"
    )


def _stage_takes_nothing(selection: Selection, topology: Topology) -> bool:
    if selection.stage in (None, ALL_STAGES):
        return False
    return not topology.takes(selection.stage, selection.platform)


def _artifact_reason(
    archives: Sequence[NamedArchive], selection: Selection, topology: Topology
) -> _Reason:
    known = {*topology.artifacts, *(archive.artifact.name for archive in archives)}
    for name in selection.exclude_artifacts:
        if name not in known:
            raise UsageError(
                f"--exclude-artifacts: there is no artifact {name!r}; {near_matches(name, known)}"
            )
    return lambda archive: (
        f"artifact {archive.artifact.name} is excluded"
        if archive.artifact.name in selection.exclude_artifacts
        else None
    )


def _component_reason(selection: Selection) -> _Reason:
    return lambda archive: (
        f"component {archive.artifact.component.value} is not asked for"
        if selection.components and archive.artifact.component not in selection.components
        else None
    )


def _pattern_reason(selection: Selection) -> _Reason:
    include = [_compile("--include", expression) for expression in selection.include]
    exclude = [_compile("--exclude", expression) for expression in selection.exclude]

    def reason(archive: NamedArchive) -> str | None:
        if include and not any(pattern.search(archive.filename) for pattern in include):
            return "no --include matches it"
        for pattern in exclude:
            if pattern.search(archive.filename):
                return f"--exclude {pattern.pattern!r} matches it"
        return None

    return reason


def _compile(flag: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{flag} {expression!r} is no regular expression: {error}") from None


def _nothing_selected(result: SelectionResult[ArchiveT]) -> str:
    archives = [archive.artifact for archive, _ in result.skipped]
    if not archives:
        return "the run has no artifact archives; check --run-id, --run-github-repo and --platform"
    reasons = (reason for _, reason in result.skipped)
    names = dict.fromkeys(artifact.name for artifact in archives)
    return (
        f"nothing is selected of the run's {len(archives)} archives: "
        f"{_counted(reasons, 3)}; it has targets {_counted(a.target for a in archives)}; "
        f"components {_counted(a.component.value for a in archives)}; artifacts {_shown(names)}"
    )


def _counted(values: Iterable[str], most: int = _SHOWN) -> str:
    counts = Counter(values).most_common()
    texts = [f"{value} ({count})" for value, count in counts[:most]]
    return ", ".join(texts) + (f" and {len(counts) - most} more" if len(counts) > most else "")


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
