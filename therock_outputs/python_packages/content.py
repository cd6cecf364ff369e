"""What is done to one file of a package: its ELF rewrite, its digest and its compression."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from posixpath import join

from therock_outputs.artifacts.elf import ElfFile
from therock_outputs.artifacts.rpath import Rewrite, origin_paths, rewrite_rpath
from therock_outputs.errors import IntegrityError
from therock_outputs.python_packages.wheel import Packed, pack

__all__ = [
    "ElfWork",
    "FileKind",
    "Processed",
    "check_rewrite",
    "look_at",
    "prepare",
    "process",
]


@dataclass(frozen=True, slots=True)
class ElfWork:
    """What to do where a file turns out to be ELF."""

    path: str
    """Where it will lie below site-packages."""
    rpath: tuple[str, ...]
    """Places below site-packages that it is to look in."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file turned out to be."""

    soname: str = ""
    is_library: bool = False
    is_program: bool = False
    """Whether it can be run: an ELF program or a script."""


@dataclass(frozen=True, slots=True)
class Processed:
    """A file as it goes into a package."""

    packed: Packed
    kind: FileKind


def process(content: bytearray, work: ElfWork | None, label: str, level: int) -> Processed:
    """Rewrite, digest and compress a file in memory.

    ``level`` 0 digests only. IntegrityError, naming ``label``, for an ELF file that is cut short.
    """
    kind = prepare(content, work, label)
    if level:
        return Processed(pack(content, level), kind)
    digest = hashlib.sha256(content).digest()
    return Processed(Packed(len(content), 0, digest, b"", stored=True), kind)


def prepare(content: bytearray, work: ElfWork | None, label: str) -> FileKind:
    """Rewrite a file where it is ELF and wants it; say what it is."""
    if content.startswith(b"#!"):
        return FileKind(is_program=True)
    if work is None:
        return FileKind()
    with memoryview(content) as view:
        elf = ElfFile.read(view, label)
    if elf is None:
        return FileKind()
    kind, rewrite = look_at(elf, work)
    if rewrite is not None:
        rewrite.apply(content)
        with memoryview(content) as view:
            check_rewrite(view, elf, label)
    return kind


def look_at(elf: ElfFile, work: ElfWork) -> tuple[FileKind, Rewrite | None]:
    """What an ELF file is, and how it has to be rewritten."""
    kind = FileKind(elf.soname, elf.is_library, elf.is_program)
    if not (elf.is_library or elf.is_program):
        return kind, None
    places = work.rpath
    if places and not elf.search_path:
        # Built for a directory that the system's loader looks in by itself, as its package's is
        # not. What TheRock builds finds its neighbours already.
        places = (*places, join(work.path.split("/", 1)[0], "lib"))
    return kind, rewrite_rpath(elf, origin_paths(work.path, places))


def check_rewrite(view: memoryview, before: ElfFile, label: str) -> None:
    """What was rewritten must read as before, but for where it looks."""
    after = ElfFile.read(view, label)
    looks = tuple(dict.fromkeys(before.search_path))
    if (
        after is None
        or (after.soname, after.needed) != (before.soname, before.needed)
        or after.search_path[: len(looks)] != looks
    ):
        raise IntegrityError(f"{label}: its headers cannot be rewritten; report this file")
