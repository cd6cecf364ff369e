"""What packages there are to be, before a run, a version and a format make them into some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from therock_outputs.artifacts.data_files import near_matches
from therock_outputs.artifacts.names import Component
from therock_outputs.errors import UsageError

__all__ = [
    "Alternatives",
    "Definition",
    "Definitions",
    "DefinitionsError",
    "Place",
    "Selection",
    "check_definition",
    "parse_components",
]

# Debian Policy 5.6.1; rpm takes these names too.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*", re.ASCII)
_ARCHITECTURES = ("amd64", "all")
_LONGEST_SUMMARY = 80  # lintian and rpmlint agree


class DefinitionsError(UsageError):
    """A definitions file says what cannot be; told as ``file:line: what: what to try``."""

    def __init__(self, place: Place, problem: str, advice: str) -> None:
        super().__init__(f"{place}: {problem}: {advice}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a definition says something."""

    source: str
    """The file."""
    line: int
    """From 1."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Files that a package takes: of one artifact, in one kind of stage, some components."""

    artifact: str
    subdirectory: str
    """Selects the stages whose path has a part of this name, whatever its case."""
    components: tuple[Component, ...]
    gpu: bool | None
    """Whether it is GPU code; None: as the package. False: from the generic archive only."""
    place: Place

    def takes_stage(self, stage: str) -> bool:
        """Whether a stage directory is one of the selection's."""
        wanted = self.subdirectory.casefold()
        return any(part.casefold() == wanted for part in stage.split("/"))


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What a package registers with update-alternatives."""

    prefix: bool = False
    """The install prefix and its directories."""
    programs: tuple[str, ...] = ()
    """Programs of the prefix that get a name in /usr/bin, where they exist."""

    def __bool__(self) -> bool:
        return self.prefix or bool(self.programs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One package, before a run, a version and a format make it into some."""

    name: str
    place: Place
    summary: str
    """One line."""
    description: str
    """Paragraphs, parted by empty lines."""
    metapackage: bool = False
    """Whether it only gathers others."""
    disabled: bool = False
    gpu: bool = False
    """Whether it holds GPU code, or gathers packages that do."""
    architecture: str = "amd64"
    """Debian's word: amd64 or all."""
    deb_depends: tuple[str, ...] = ()
    rpm_depends: tuple[str, ...] = ()
    deb_recommends: tuple[str, ...] = ()
    rpm_recommends: tuple[str, ...] = ()
    deb_suggests: tuple[str, ...] = ()
    rpm_suggests: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()
    rpm_ignored_requires: tuple[str, ...] = ()
    """Shell patterns of derived Requires that an rpm leaves out."""
    relation_places: Mapping[str, Place] = field(default_factory=dict)
    """Where relations stand, by their text."""
    alternatives: Alternatives = Alternatives()
    selections: tuple[Selection, ...] = ()
    maintainer: str
    vendor: str
    homepage: str
    license: str
    section: str
    priority: str
    group: str

    def place_of(self, relation: str) -> Place:
        """Where the definition writes a relation."""
        return self.relation_places.get(relation, self.place)

    @property
    def is_devel(self) -> bool:
        """Whether it is what others are built with."""
        return self.name.endswith("-devel")

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The artifacts that it draws on, each once."""
        return tuple(dict.fromkeys(selection.artifact for selection in self.selections))


@dataclass(frozen=True, slots=True)
class Definitions:
    """A whole file."""

    source: str
    packages: tuple[Definition, ...]
    """In the file's order."""
    remarks: tuple[str, ...] = ()
    """What the file says that nothing was made of, with file and line."""

    def __iter__(self) -> Iterator[Definition]:
        return iter(self.packages)

    def get(self, name: str) -> Definition | None:
        """The definition of this name."""
        return next((package for package in self.packages if package.name == name), None)

    def named(self, names: tuple[str, ...]) -> tuple[Definition, ...]:
        """The definitions of these names, in the file's order; none given: all.

        UsageError for a name that is none of them.
        """
        known = [package.name for package in self.packages]
        for name in names:
            if name not in known:
                raise UsageError(
                    f"package {name!r} is not defined in {self.source}; {near_matches(name, known)}"
                )
        return tuple(p for p in self.packages if not names or p.name in names)


def check_definition(definition: Definition) -> None:
    """DefinitionsError for what no file may say, whatever its form."""
    place, name = definition.place, definition.name

    def refuse(problem: str, advice: str) -> None:
        raise DefinitionsError(place, problem, advice)

    if not _NAME.fullmatch(name):
        refuse(
            f"{name!r} is no package name",
            "take lower-case letters, digits and . + -, two at least, as in amdrocm-fft",
        )
    if not definition.summary or "\n" in definition.summary:
        refuse(f"{name} has no summary of one line", "say in a few words what it is")
    if len(definition.summary) > _LONGEST_SUMMARY:
        refuse(
            f"the summary of {name} has {len(definition.summary)} characters",
            f"{_LONGEST_SUMMARY} are the most",
        )
    if definition.architecture not in _ARCHITECTURES:
        refuse(
            f"architecture {definition.architecture!r} of {name} is none that is built",
            f"give {' or '.join(_ARCHITECTURES)}",
        )
    if definition.metapackage and definition.selections:
        refuse(
            f"{name} is a metapackage and names artifacts",
            "a metapackage only gathers others: take out one or the other",
        )
    if not (definition.metapackage or definition.selections or definition.disabled):
        refuse(
            f"{name} names no artifact and is no metapackage",
            "say which files it takes, or that it only gathers others",
        )
    for program in definition.alternatives.programs:
        if not _PROGRAM.fullmatch(program):
            refuse(f"{program!r} of {name} is no name of a program", "as in hipcc or amdclang++")


def parse_components(names: Sequence[str], place: Place) -> tuple[Component, ...]:
    """The components of these names; DefinitionsError for another word."""
    known = [component.value for component in Component]
    for name in names:
        if name not in known:
            raise DefinitionsError(
                place, f"{name!r} is no component of an artifact", near_matches(name, known)
            )
    return tuple(Component(name) for name in dict.fromkeys(names))
