"""What the packages of a definition are called in each format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from therock_outputs.errors import UsageError
from therock_outputs.native_packages.definition import Definition, Definitions
from therock_outputs.native_packages.package import PackageFormat

__all__ = ["Namer", "family_word"]

_HOST = "-host"


@dataclass(frozen=True, slots=True)
class Namer:
    """The names of one format, ROCm version and build variant.

    Debian Policy 5.6.1 allows lower-case letters, digits and ``+ - .``; rpm takes those too.
    """

    format: PackageFormat
    rocm: str
    """As in ``7.13``."""
    variant: str = ""
    split: bool = True
    """Whether packages are for targets; otherwise they are for families, shortened to a word."""

    def versioned(self, definition: Definition, target: str = "") -> str:
        """``amdrocm-fft7.13``, or ``amdrocm-fft7.13-gfx1100``."""
        return f"{self._stem(definition)}{self.rocm}{self._ending(target)}"

    def host(self, definition: Definition) -> str:
        """``amdrocm-fft-host7.13``: what serves every GPU."""
        return f"{self._stem(definition, _HOST)}{self.rocm}"

    def unversioned(self, definition: Definition, target: str = "") -> str:
        """``amdrocm-fft``, or ``amdrocm-fft-gfx94x``; it goes from one version to the next."""
        return f"{self._stem(definition)}{self._ending(target)}"

    def recognise(self, definitions: Definitions) -> Callable[[str], bool]:
        """Whether a name is one of these, of any definition, target and role."""
        stems = {self._stem(definition, role) for definition in definitions for role in ("", _HOST)}
        unversioned = {self.unversioned(definition) for definition in definitions}
        name = re.compile(rf"(.+?){re.escape(self.rocm)}(?:-[a-z0-9.+-]+)?")

        def is_ours(text: str) -> bool:
            match = name.fullmatch(text)
            return text in unversioned or (match is not None and match[1] in stems)

        return is_ours

    def _stem(self, definition: Definition, role: str = "") -> str:
        name = definition.name
        if self.format is PackageFormat.DEB and definition.is_devel:
            name = name.removesuffix("-devel") + "-dev"
        variant = f"-{self.variant}" if self.variant else ""
        return f"{name}{role}{variant}"

    def _ending(self, target: str) -> str:
        if not target:
            return ""
        return f"-{target.lower() if self.split else family_word(target)}"


def family_word(family: str) -> str:
    """What names carry of a family: ``gfx94x`` of ``gfx94X-dcgpu``.

    UsageError for a family that leaves nothing to call a package by.
    """
    word = family.partition("-")[0].lower()
    if not word:
        raise UsageError(f"GPU family {family!r} cannot stand in a package's name")
    return word
