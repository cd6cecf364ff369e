"""Overlay stages of archives into one package's contents, path by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import dirname

from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.native_packages.inventory import InventoriedArchive, Inventory, StageMember
from therock_outputs.native_packages.package import Content

__all__ = ["Source", "directory_modes", "overlay"]

_IMPLIED_MODE = 0o755
"""Of directories that no archive lists."""

Source = tuple[InventoriedArchive, str]
"""A stage of an archive."""


def directory_modes(inventory: Inventory) -> dict[str, int]:
    """The permission bits of each directory, the same for all packages that have it.

    Whichever package came first would decide otherwise. The first archive that lists it does.
    """
    modes: dict[str, int] = {}
    for archive in inventory.archives:
        for members in archive.stages.values():
            for member in members:
                if member.kind is Kind.DIRECTORY:
                    modes.setdefault(member.path, member.mode)
    return modes


def overlay(
    package: str, sources: Sequence[Source], modes: Mapping[str, int]
) -> tuple[Content, ...]:
    """All that is in these stages, by path, with every directory above something.

    Nothing at all when there are directories only. ConflictError, naming both archives, for
    different things at one path; the same file or link twice is there once. ``package`` is
    what messages call it.
    """
    contents: dict[str, Content] = {}
    taken = {(archive.name.filename, stage) for archive, stage in sources}
    for archive, stage in sources:
        filename = archive.name.filename
        for member in archive.stages[stage]:
            if member.link_stage and (filename, member.link_stage) not in taken:
                raise IntegrityError(
                    f"{filename}: {member.path!r} is a hard link into stage {member.link_stage}, "
                    f"which {package} does not take; let it take both stages"
                )
            content = _content(member, filename, stage, modes)
            known = contents.setdefault(member.path, content)
            if known is not content and _essence(known) != _essence(content):
                raise _conflict(package, known, content)
    if all(content.kind is Kind.DIRECTORY for content in contents.values()):
        return ()
    _add_directories(package, contents, modes)
    return tuple(contents[path] for path in sorted(contents))


def _content(member: StageMember, archive: str, stage: str, modes: Mapping[str, int]) -> Content:
    mode = modes[member.path] if member.kind is Kind.DIRECTORY else member.mode
    return Content(
        path=member.path,
        kind=member.kind,
        mode=mode,
        size=member.size,
        link=member.link,
        archive=archive,
        stage=stage,
        digest=member.digest,
        is_code=member.is_code,
    )


def _essence(content: Content) -> tuple[str, str]:
    """What two contents of one path must share; a hard link is the file that it names."""
    if content.kind is Kind.DIRECTORY:
        return "directory", ""
    if content.kind is Kind.SYMLINK:
        return "link", content.link
    return "file", content.digest


def _add_directories(package: str, contents: dict[str, Content], modes: Mapping[str, int]) -> None:
    for path in list(contents):
        parent = dirname(path)
        while parent:
            known = contents.get(parent)
            if known is None:
                mode = modes.get(parent, _IMPLIED_MODE)
                contents[parent] = Content(parent, Kind.DIRECTORY, mode, 0, "", "", "")
            elif known.kind is not Kind.DIRECTORY:
                raise _conflict(package, known, contents[path])
            parent = dirname(parent)


def _conflict(package: str, first: Content, second: Content) -> ConflictError:
    """The error for two contents that cannot both be there."""
    if first.path != second.path:
        return ConflictError(
            f"{package}: {first.path!r} of {first.archive} is no directory, but {second.archive} "
            f"has {second.path!r}; leave one of them out of the package's definition"
        )
    return ConflictError(
        f"{package}: {first.path!r} differs between {first.archive} ({first.stage}) and "
        f"{second.archive} ({second.stage}); leave one of them out of the package's definition"
    )
