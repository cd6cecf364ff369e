"""Which build stage makes which artifacts, and which it takes from others.

The facts are in a data file of the form of TheRock's own ``BUILD_TOPOLOGY.toml``: stages build
groups, groups hold artifacts, and groups and artifacts depend on their like.
"""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from therock_outputs.artifacts.data_files import Table, near_matches, read_toml
from therock_outputs.errors import UsageError

__all__ = ["Artifact", "ArtifactGroup", "BuildStage", "Platforms", "StageInfo", "Topology"]

_ONCE_OR_PER_ARCH = {"generic": False, "per-arch": True}
_NEUTRAL_OR_SPECIFIC = {"target-neutral": False, "target-specific": True}


@dataclass(frozen=True, slots=True)
class Platforms:
    """The platforms that something is built on."""

    only: str | None = None
    """The single platform, None for all."""
    disabled: tuple[str, ...] = ()

    def __contains__(self, platform: str | None) -> bool:
        """Whether it is built on ``platform``; None asks for any platform."""
        if platform is None:
            return True
        return platform not in self.disabled and self.only in (None, platform)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact as the build knows it; each has archives for several components."""

    name: str
    group: str
    per_target: bool
    """Whether it has archives for GPU targets or families beside the generic ones."""
    needs: tuple[str, ...]
    """Names of the artifacts that have to be there to build it."""
    platforms: Platforms


@dataclass(frozen=True, slots=True)
class ArtifactGroup:
    """Artifacts that are built together."""

    name: str
    per_arch: bool
    """Whether it is built once for each GPU family."""
    needs: tuple[str, ...]
    """Names of the groups that have to be built before."""
    platforms: Platforms


@dataclass(frozen=True, slots=True)
class BuildStage:
    """A CI job that builds groups; not to be confused with an archive's stage directories."""

    name: str
    per_arch: bool
    groups: tuple[str, ...]
    platforms: Platforms


@dataclass(frozen=True, slots=True)
class StageInfo:
    """A row of ``stage-info``."""

    stage: str
    per_arch: bool
    makes: tuple[str, ...]
    """Names of the artifacts that it builds, in the file's order."""
    takes: tuple[str, ...]
    """Names of the artifacts that it takes from other stages, in the file's order."""
    takes_from: tuple[str, ...]
    """Names of the stages that make those, in the file's order."""


@dataclass(frozen=True, slots=True)
class Topology:
    """All stages, groups and artifacts by name, in the file's order."""

    source: str
    """The file that they are from, for messages."""
    stages: Mapping[str, BuildStage]
    groups: Mapping[str, ArtifactGroup]
    artifacts: Mapping[str, Artifact]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The project's own table, or a newer one such as a checkout's BUILD_TOPOLOGY.toml.

        NotFoundError when the file cannot be read; UsageError with file and key for a name
        that is not there, for things that depend on each other in a circle, and for values
        of the wrong kind.
        """
        root = read_toml(path, "topology.toml")
        stages = {
            name: BuildStage(
                name,
                _choice(table, "type", "generic", _ONCE_OR_PER_ARCH),
                table.strings("artifact_groups"),
                _platforms(table),
            )
            for name, table in root.tables("build_stages").items()
        }
        groups = {
            name: ArtifactGroup(
                name,
                _choice(table, "type", "generic", _ONCE_OR_PER_ARCH),
                table.strings("artifact_group_deps"),
                _platforms(table),
            )
            for name, table in root.tables("artifact_groups").items()
        }
        artifacts = {
            name: Artifact(
                name,
                table.string("artifact_group"),
                _choice(table, "type", "target-neutral", _NEUTRAL_OR_SPECIFIC),
                table.strings("artifact_deps"),
                _platforms(table),
            )
            for name, table in root.tables("artifacts").items()
        }
        topology = cls(root.source, stages, groups, artifacts)
        topology._check(root)
        return topology

    def makes(self, stage: str, platform: str | None = None) -> tuple[str, ...]:
        """Names of the artifacts that a stage builds; UsageError for an unknown stage."""
        found = self._stage(stage)
        if platform not in found.platforms:
            return ()
        return tuple(
            artifact.name
            for artifact in self.artifacts.values()
            if artifact.group in found.groups and self._is_built(artifact, platform)
        )

    def takes(self, stage: str, platform: str | None = None) -> tuple[str, ...]:
        """Names of the artifacts that a stage takes from others; UsageError for an unknown one.

        Two things together, without what the stage makes itself and without what is not built
        on the platform:

        * the artifacts that the stage's artifacts depend on, and what those depend on, and so
          on: a library is of no use without the libraries below it;
        * everything in the groups that the stage's groups depend on. This goes one level down
          and brings no dependencies of its own: a group names all groups that it builds with.
        """
        made = set(self.makes(stage, platform))
        if not made:
            return ()
        taken = set(self._below(made, platform))
        for group in self._stage(stage).groups:
            if platform in self.groups[group].platforms:
                below = self.groups[group].needs
                taken |= {name for name, item in self.artifacts.items() if item.group in below}
        return tuple(
            name
            for name, artifact in self.artifacts.items()
            if name in taken and name not in made and self._is_built(artifact, platform)
        )

    def stage_info(self, platform: str | None = None) -> tuple[StageInfo, ...]:
        """What each stage makes and takes, for the stages that make anything on the platform."""
        made = {name: self.makes(name, platform) for name in self.stages}
        rows = []
        for name, stage in self.stages.items():
            if not made[name]:
                continue
            takes = self.takes(name, platform)
            sources = (other for other in made if not set(takes).isdisjoint(made[other]))
            rows.append(StageInfo(name, stage.per_arch, made[name], takes, tuple(sources)))
        return tuple(rows)

    def _stage(self, name: str) -> BuildStage:
        try:
            return self.stages[name]
        except KeyError:
            raise UsageError(
                f"{name!r} is no build stage of {self.source}; {near_matches(name, self.stages)}"
            ) from None

    def _is_built(self, artifact: Artifact, platform: str | None) -> bool:
        return platform in artifact.platforms and platform in self.groups[artifact.group].platforms

    def _below(self, names: set[str], platform: str | None) -> Iterator[str]:
        """All that the artifacts depend on; what is not built needs nothing either."""
        seen = set(names)
        pending = list(names)
        while pending:
            artifact = self.artifacts[pending.pop()]
            if not self._is_built(artifact, platform):
                continue
            fresh = set(artifact.needs) - seen
            seen |= fresh
            pending += fresh
            yield from fresh

    def _check(self, root: Table) -> None:
        """Raise UsageError when a name stands for nothing or dependencies run in a circle."""
        for stage in self.stages.values():
            key = f"build_stages.{stage.name}.artifact_groups"
            _check_known(root, key, stage.groups, self.groups)
        for group in self.groups.values():
            key = f"artifact_groups.{group.name}.artifact_group_deps"
            _check_known(root, key, group.needs, self.groups)
        for artifact in self.artifacts.values():
            key = f"artifacts.{artifact.name}"
            _check_known(root, f"{key}.artifact_group", (artifact.group,), self.groups)
            _check_known(root, f"{key}.artifact_deps", artifact.needs, self.artifacts)
        _check_no_circle(root, "artifact_groups", self.groups)
        _check_no_circle(root, "artifacts", self.artifacts)


def _platforms(table: Table) -> Platforms:
    return Platforms(table.string("platform", "") or None, table.strings("disable_platforms"))


def _choice(table: Table, key: str, default: str, choices: Mapping[str, bool]) -> bool:
    value = table.string(key, default)
    if value not in choices:
        raise table.error(key, f"is {value!r}, which is not one of {', '.join(choices)}")
    return choices[value]


def _check_known(root: Table, key: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise root.error(
                key, f"names {name!r}, which is not there; {near_matches(name, known)}"
            )


def _check_no_circle(
    root: Table, table: str, items: Mapping[str, Artifact] | Mapping[str, ArtifactGroup]
) -> None:
    try:
        graphlib.TopologicalSorter({item.name: item.needs for item in items.values()}).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        # The sorter names each after the one that depends on it.
        raise root.error(
            f"{table}.{circle[0]}", f"depends on itself: {' needs '.join(reversed(circle))}"
        ) from None
