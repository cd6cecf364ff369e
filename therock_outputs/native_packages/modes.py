"""Which files of a package may be executed, by the custom of each format."""

from __future__ import annotations

import enum

from therock_outputs.artifacts.elf_traits import Bytes, ElfTraits, is_elf
from therock_outputs.layout.names import PackageFormat

__all__ = ["Use", "packaged_mode", "use_of"]

_EXECUTE = 0o111
_READ = 0o444


class Use(enum.Enum):
    """What a file is there for."""

    PROGRAM = "program"
    """To be run: an ELF program, a script, or an ELF file that is not looked into."""
    LIBRARY = "library"
    """To be loaded by a program of the host."""
    MODULE = "module"
    """To be loaded by Perl, though it begins as a script does."""
    DATA = "data"
    """To be read: code for GPUs and object files too."""


def use_of(path: str, data: Bytes, traits: ElfTraits | None) -> Use:
    """What a file is there for, by its name and the beginning of its content."""
    if traits is not None:
        if not traits.is_for_host:
            return Use.DATA
        if traits.is_program:
            return Use.PROGRAM
        return Use.LIBRARY if traits.is_library else Use.DATA
    if is_elf(data):
        return Use.PROGRAM
    if bytes(data[:2]) != b"#!":
        return Use.DATA
    return Use.MODULE if path.endswith(".pm") else Use.PROGRAM


def packaged_mode(mode: int, use: Use, form: PackageFormat) -> int:
    """The permission bits that a file has in a package.

    A library may not be executed in a deb (as after dh_fixperms), and may be in an rpm, whose
    generator of relations looks at executables only. Data may not be in either. Of a module debs
    keep what the build says, for lintian goes by the first line; rpmlint goes by the name.
    """
    if use is Use.PROGRAM or (use is Use.MODULE and form is PackageFormat.DEB):
        return mode
    if use is Use.LIBRARY and form is PackageFormat.RPM:
        return mode | (mode & _READ) >> 2
    return mode & ~_EXECUTE
