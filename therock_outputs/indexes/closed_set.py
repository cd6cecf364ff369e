"""Whether a set of packages is closed: all that they pin of each other is among them.

A device wheel that was missing once made installers take one of weeks before from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.indexes.distributions import IndexedFile

__all__ = ["Unmet", "check_closed", "in_order_of_need", "unmet_requirements"]

_SYSTEMS: Mapping[str, Mapping[str, str]] = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "win32": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}
_OURS = "rocm"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unmet:
    """A requirement that nothing in the set satisfies."""

    filename: str
    """Whose requirement it is."""
    requirement: str
    """Without its extra and marker: several of a package's extras may want the same."""
    system: str
    """The ``sys_platform`` where it is lacking."""


def unmet_requirements(files: Iterable[IndexedFile]) -> tuple[Unmet, ...]:
    """The pinned requirements (``==``) among ROCm's own packages that the set lacks.

    Own are ``rocm``, ``rocm-…`` and every project in the set. Each is looked at with each of
    its package's extras, on each system that the set has wheels for (Linux, if for none).
    """
    files = sorted(files)
    systems = sorted({system for file in files for system in file.name.systems}) or ["linux"]
    by_project: dict[str, list[IndexedFile]] = {}
    for file in files:
        by_project.setdefault(file.name.project, []).append(file)
    lacking = (
        Unmet(file.name.filename, f"{requirement.name}{requirement.specifier}", system)
        for file in files
        for requirement in _own_pins(file, by_project)
        for system in systems
        if _serves(file, system)
        and _applies(requirement, file, system)
        and not _is_met(requirement, by_project, system)
    )
    return tuple(dict.fromkeys(lacking))


def check_closed(files: Iterable[IndexedFile]) -> None:
    """NotFoundError that names what is lacking, and who wants it, unless the set is closed."""
    unmet = unmet_requirements(files)
    if unmet:
        shown = "; ".join(f"{u.filename} requires {u.requirement}" for u in unmet[:_SHOWN])
        more = f" (and {len(unmet) - _SHOWN} more)" if len(unmet) > _SHOWN else ""
        raise NotFoundError(
            f"the set of packages is not closed: {shown}{more}, which is not there; "
            "build or upload what is missing before the index"
        )


def in_order_of_need(files: Iterable[IndexedFile]) -> list[list[IndexedFile]]:
    """The files in groups, each of which requires files of earlier groups only.

    Whoever adds one group after the other has a closed set at any moment, if it ends as one.
    Files that require each other are the last group.
    """
    left = sorted(files)
    groups = []
    while left:
        waiting = {(file.name.project, file.name.version) for file in left}
        ready = [
            file
            for file in left
            if not any(
                (project, file.name.version) in waiting
                for project in _required_projects(file)
                if project != file.name.project
            )
        ]
        groups.append(ready or left)
        taken = {file.path for file in ready}
        left = [file for file in left if ready and file.path not in taken]
    return groups


def _required_projects(file: IndexedFile) -> set[str]:
    names: set[str] = set()
    for text in file.metadata.requires:
        try:
            names.add(canonicalize_name(Requirement(text).name))
        except InvalidRequirement:
            continue  # whoever checks whether the set is closed tells it
    return names


def _own_pins(
    file: IndexedFile, by_project: Mapping[str, Sequence[IndexedFile]]
) -> Iterator[Requirement]:
    for text in file.metadata.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise IntegrityError(
                f"{file.name.filename} requires {text!r}, which is no requirement; build it again"
            ) from error
        project = canonicalize_name(requirement.name)
        own = project == _OURS or project.startswith(f"{_OURS}-") or project in by_project
        pinned = any(pin.operator in {"==", "==="} for pin in requirement.specifier)
        if own and pinned:
            yield requirement


def _serves(file: IndexedFile, system: str) -> bool:
    return not file.name.systems or system in file.name.systems


def _applies(requirement: Requirement, file: IndexedFile, system: str) -> bool:
    """Whether the requirement holds on a system, with any extra or none."""
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**_SYSTEMS[system], "extra": extra})
        for extra in ("", *file.metadata.extras)
    )


def _is_met(
    requirement: Requirement, by_project: Mapping[str, Sequence[IndexedFile]], system: str
) -> bool:
    return any(
        _serves(file, system)
        and requirement.specifier.contains(file.name.version, prereleases=True)
        for file in by_project.get(canonicalize_name(requirement.name), ())
    )
