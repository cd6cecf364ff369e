"""Relations between packages: as definitions write them, and in each format's own syntax."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from therock_outputs.native_packages.definition import DefinitionsError, Place
from therock_outputs.native_packages.package import PackageFormat

__all__ = ["Relation", "Term"]

# A rich dependency of rpm, or a capability like pkgconfig(zlib) or libz.so.1()(64bit), has
# brackets of its own.
_TERM = re.compile(
    r"(?P<name>[A-Za-z0-9/](?:[A-Za-z0-9+._:/~-]|\([A-Za-z0-9_.:-]*\))*)"
    r"(?:\s*\(\s*(?P<deb_operator><<|<=|==?|>=|>>|<|>)\s*(?P<deb_version>[^\s()]+)\s*\)"
    r"|\s*(?P<operator><<|<=|==?|>=|>>|<|>)\s*(?P<version>[^\s()]+))?"
    r"(?P<architectures>\s*\[[a-z0-9! -]+\])?",
    re.ASCII,
)
_VERSION = re.compile(r"(?:\d+:)?[A-Za-z0-9.+~^-]+", re.ASCII)
_DEB_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?", re.ASCII)
_IN_DEB = {"<": "<<", ">": ">>", "==": "="}
_IN_RPM = {"<<": "<", ">>": ">", "==": "="}


@dataclass(frozen=True, slots=True)
class Term:
    """One package, perhaps in certain versions only."""

    name: str
    operator: str = ""
    version: str = ""
    architectures: str = ""
    """deb only, as in ``[amd64]``."""

    def written(self, kind: PackageFormat) -> str:
        """In the format's own syntax."""
        if kind is PackageFormat.RPM:
            operator = _IN_RPM.get(self.operator, self.operator)
            return f"{self.name} {operator} {self.version}" if operator else self.name
        operator = _IN_DEB.get(self.operator, self.operator)
        version = f" ({operator} {self.version})" if operator else ""
        return f"{self.name}{version}{self.architectures}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation: one of its terms is enough."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str, kind: PackageFormat, place: Place) -> Self:
        """Read ``a | b``, ``a (>= 1)`` and ``a >= 1``, whichever format the relation is for.

        A rich dependency of rpm, ``(a or b)``, is taken as it is. DefinitionsError for anything
        else.
        """
        if kind is PackageFormat.RPM and text.startswith("(") and text.endswith(")"):
            return cls((Term(text),))
        return cls(tuple(_term(part.strip(), text, kind, place) for part in text.split("|")))

    @classmethod
    def on(cls, names: Iterable[str], version: str = "") -> Self:
        """A relation to any one of some packages, in exactly this version when there is one."""
        return cls(tuple(Term(name, "=" if version else "", version) for name in names))

    @staticmethod
    def names_in(text: str, kind: PackageFormat) -> Iterator[str]:
        """The names in a relation that ``written`` wrote."""
        inner = text
        if kind is PackageFormat.RPM and text.startswith("("):
            inner = re.sub(r"\b(?:or|and|if|else|unless|with|without)\b", "|", text[1:-1])
        for part in inner.split("|"):
            if match := _TERM.fullmatch(part.strip(" ()")) or _TERM.match(part.strip(" ()")):
                yield match["name"]

    def with_terms(self, terms: Iterable[Term]) -> Self:
        """The same with other terms, each once."""
        return replace(self, terms=tuple(dict.fromkeys(terms)))

    def written(self, kind: PackageFormat) -> str:
        """In the format's own syntax."""
        words = [term.written(kind) for term in self.terms]
        if kind is PackageFormat.DEB or len(words) == 1:
            return " | ".join(words)
        return f"({' or '.join(words)})"


def _term(part: str, text: str, kind: PackageFormat, place: Place) -> Term:
    match = _TERM.fullmatch(part)
    advice = 'write it as "libc6", "python3 >= 3.6" or "libgcc-13-dev | libgcc-12-dev"'
    if match is None:
        raise DefinitionsError(place, f"{text!r} is no relation to a package", advice)
    operator = match["deb_operator"] or match["operator"] or ""
    version = match["deb_version"] or match["version"] or ""
    if version and not _VERSION.fullmatch(version):
        raise DefinitionsError(place, f"{text!r} names no version", advice)
    architectures = f" {match['architectures'].strip()}" if match["architectures"] else ""
    if kind is PackageFormat.DEB and not _DEB_NAME.fullmatch(match["name"]):
        raise DefinitionsError(
            place,
            f"{match['name']!r} is no name of a Debian package",
            "put what only rpm knows into rpm_depends (RPMRequires)",
        )
    if kind is PackageFormat.RPM and architectures:
        raise DefinitionsError(
            place,
            f"{text!r} restricts an architecture, which rpm cannot",
            "put it into deb_depends (DEBDepends)",
        )
    return Term(match["name"], operator, version, architectures)
