"""What goes into which Python package: the facts of ``data/catalog.toml``, and look-ups in it."""

from __future__ import annotations

import enum
import functools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Self

from therock_outputs.artifacts.data_files import Table
from therock_outputs.artifacts.names import ArtifactName, Component
from therock_outputs.python_packages.sdist import SelectorLibrary, SelectorProgram

__all__ = ["Catalog", "PackageKind", "PackageRules"]

_SOURCE = "catalog.toml"


class PackageKind(enum.Enum):
    """The distributions of a run; the value is the word that ``--only`` takes."""

    CORE = "core"
    LIBRARIES = "libraries"
    DEVICE = "device"
    PROFILER = "profiler"
    DEVEL = "devel"
    SELECTOR = "rocm"


@dataclass(frozen=True, slots=True)
class PackageRules:
    """What one kind of package takes."""

    kind: PackageKind
    summary: str
    directory: str
    """Below site-packages: the package's own install prefix."""
    artifacts: tuple[str, ...]
    """Names or shell patterns."""
    components: tuple[Component, ...]
    components_of: dict[str, tuple[Component, ...]]
    """For single artifacts."""
    required: tuple[str, ...]
    """Artifacts without whose ``lib`` component a run is incomplete."""
    exclude: tuple[re.Pattern[str], ...]
    keep_names: tuple[str, ...]
    """File names, as patterns, under which a library stays beside its SONAME."""
    rpath: tuple[str, ...]
    """Below site-packages."""
    some_targets_only: tuple[str, ...]
    not_when_split: tuple[Component, ...]

    def takes_artifact(self, name: str) -> bool:
        """Whether anything of an artifact goes into the package."""
        return any(fnmatchcase(name, pattern) for pattern in self.artifacts)

    def takes(self, artifact: ArtifactName, *, split: bool = False) -> bool:
        """Whether an archive's component goes into the package; its target is not looked at."""
        components = self.components_of.get(artifact.name, self.components)
        if split and artifact.component in self.not_when_split:
            return False
        return self.takes_artifact(artifact.name) and artifact.component in components

    def excludes(self, path: str) -> bool:
        """Whether a file of a taken archive is left out by its place."""
        return any(pattern.fullmatch(path) for pattern in self.exclude)

    def keeps_name(self, path: str) -> bool:
        """Whether a library stays under this name, whatever its SONAME says."""
        name = path.rpartition("/")[2]
        return any(fnmatchcase(name, pattern) for pattern in self.keep_names)

    @classmethod
    def of(cls, kind: PackageKind, table: Table, core: str) -> Self:
        """Read one package's table."""
        components_of = table.table("components_of")
        return cls(
            kind=kind,
            summary=table.string("summary"),
            directory=table.string("directory"),
            artifacts=table.strings("artifacts"),
            components=_components(table.strings("components")),
            components_of={
                name: _components(components_of.strings(name)) for name in components_of.values
            },
            required=table.strings("required"),
            exclude=tuple(_pattern(text) for text in table.strings("exclude")),
            keep_names=table.strings("keep_names"),
            rpath=tuple(text.replace("{core}", core) for text in table.strings("rpath")),
            some_targets_only=table.strings("some_targets_only"),
            not_when_split=_components(table.strings("not_when_split")),
        )


@dataclass(frozen=True, slots=True)
class Catalog:
    """The whole file."""

    packages: dict[PackageKind, PackageRules]
    no_package: tuple[str, ...]
    """Artifacts, as patterns, that no package takes on purpose."""
    libraries: tuple[SelectorLibrary, ...]
    programs: tuple[SelectorProgram, ...]
    platforms_of: dict[str, tuple[str, ...]]
    """For programs that some platforms only have."""

    @classmethod
    @functools.cache
    def load(cls) -> Self:
        """The project's catalog."""
        data = resources.files("therock_outputs.python_packages").joinpath("data", _SOURCE)
        root = Table(_SOURCE, "", tomllib.loads(data.read_text("utf-8")))
        core = root.table(PackageKind.CORE.value).string("directory")
        programs = list(_programs(root))
        return cls(
            packages={
                kind: PackageRules.of(kind, root.table(kind.value), core)
                for kind in PackageKind
                if kind is not PackageKind.SELECTOR
            },
            no_package=root.table("none").strings("artifacts"),
            libraries=tuple(_libraries(root)),
            programs=tuple(program for program, _ in programs),
            platforms_of={program.name: platforms for program, platforms in programs if platforms},
        )

    def __getitem__(self, kind: PackageKind) -> PackageRules:
        return self.packages[kind]

    def programs_of(self, kind: PackageKind, platform: str) -> tuple[SelectorProgram, ...]:
        """The programs of a package that get console scripts, if they are in it."""
        return tuple(
            program
            for program in self.programs
            if program.package == kind.value
            and platform in self.platforms_of.get(program.name, (platform,))
        )

    def is_for_no_package(self, artifact: ArtifactName) -> bool:
        """Whether an archive is left out on purpose: of no package, or tests."""
        return artifact.component is Component.TEST or any(
            fnmatchcase(artifact.name, pattern) for pattern in self.no_package
        )


def _components(names: Sequence[str]) -> tuple[Component, ...]:
    return tuple(Component.parse(name) for name in names)


def _pattern(text: str) -> re.Pattern[str]:
    """``**`` stands for any directories, none included; ``*`` for a part of one name."""
    pieces = re.split(r"(\*\*/|/\*\*|\*)", text)
    meanings = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*"}
    return re.compile("".join(meanings.get(piece, re.escape(piece)) for piece in pieces))


def _libraries(root: Table) -> Iterator[SelectorLibrary]:
    for package, names in root.tables("names").items():
        for name in names.values:
            entry = names.table(name)
            yield SelectorLibrary(
                name=name,
                package=package,
                stem=entry.string("stem", name),
                directory=entry.string("directory", "lib"),
                optional=entry.values.get("optional") is True,
            )


def _programs(root: Table) -> Iterator[tuple[SelectorProgram, tuple[str, ...]]]:
    groups = root.values.get("programs")
    if not isinstance(groups, list):
        raise root.error("programs", "has to be a list of tables")
    for number, values in enumerate(groups):
        group = Table(root.source, f"programs[{number}]", values)
        for name in group.strings("names"):
            program = SelectorProgram(
                name=name,
                package=group.string("package"),
                directory=group.string("directory"),
                is_compiler_tool=group.values.get("compiler_tool") is True,
            )
            yield program, group.strings("platforms")
