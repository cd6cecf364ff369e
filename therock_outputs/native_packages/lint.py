"""What linters are told of our packages: overrides in a deb for lintian, settings for rpmlint.

What stands in ``data/lint.toml`` becomes the one or the other.
"""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.elf_traits import ElfTraits
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackagePlan

__all__ = [
    "Declaration",
    "PrintedTag",
    "declarations",
    "overrides",
    "printed_tags",
    "rpmlint_settings",
]

_WIDTH = 77
_ANY_PREFIX = "/opt/rocm/core[^/ ]*"
_ANY_PACKAGE = "amdrocm[^ ]*"


@dataclass(frozen=True, slots=True)
class PrintedTag:
    """A tag that a linter prints."""

    tag: str
    linter: str
    """``lintian`` or ``rpmlint``."""
    reason: str


@dataclass(frozen=True, slots=True)
class Declaration:
    """What does not apply to our packages."""

    reason: str
    lintian: Mapping[str, tuple[str, ...]]
    """Contexts by tag."""
    rpmlint: Mapping[str, tuple[str, ...]]
    """Regular expressions for what follows the tag, by tag."""
    packages: str = _ANY_PACKAGE
    """A regular expression for the names of the rpms that are meant."""

    def filters(self) -> tuple[str, ...]:
        """Regular expressions for the lines that rpmlint is not to print."""
        start = rf"^{self.packages}\.(x86_64|noarch): [EW]: "
        return tuple(
            f"{start}{tag} {detail.replace('{prefix}', _ANY_PREFIX)}$"
            for tag, details in self.rpmlint.items()
            for detail in details
        )


@cache
def printed_tags() -> tuple[PrintedTag, ...]:
    """What linters say of our packages."""
    return tuple(PrintedTag(**entry) for entry in _data()["printed"])


@cache
def declarations() -> tuple[Declaration, ...]:
    """What linters are told not to say."""
    return tuple(
        Declaration(
            entry["reason"],
            {tag: tuple(contexts) for tag, contexts in entry.get("lintian", {}).items()},
            {tag: tuple(details) for tag, details in entry.get("rpmlint", {}).items()},
            entry.get("packages", _ANY_PACKAGE),
        )
        for entry in _data()["declared"]
    )


@cache
def _data() -> dict[str, Any]:
    data = resources.files("therock_outputs.native_packages").joinpath("data", "lint.toml")
    return tomllib.loads(data.read_text("utf-8"))


# ------------------------------------------------------------------------------------ lintian


def overrides(plan: PackagePlan, entries: Sequence[Entry]) -> str:
    """A lintian override for each file, or kind of file, that is in this package.

    Reasons stand above, as comments. Empty when nothing is to be declared.
    """
    blocks = []
    for declaration in declarations():
        if lines := list(_contexts(declaration, plan, entries)):
            blocks += [_comment(declaration.reason), *(f"{plan.name}: {line}\n" for line in lines)]
    return "".join(blocks)


def _contexts(
    declaration: Declaration, plan: PackagePlan, entries: Sequence[Entry]
) -> Iterator[str]:
    prefix = plan.prefix.strip("/")
    places = {"prefix": prefix, "top": "/".join(prefix.split("/")[:2])}
    for tag, contexts in declaration.lintian.items():
        found = [_pointer(entry) for entry in entries if _CONCERNS[tag](plan, entry)]
        for context in (text.format(**places) for text in contexts):
            pattern = _glob(context[context.index("[") :])
            if any(pattern.fullmatch(pointer) for pointer in found):
                yield f"{tag} {context}"


def _pointer(entry: Entry) -> str:
    """A path as lintian writes it."""
    return f"[{entry.path}{'/' if entry.kind is Kind.DIRECTORY else ''}]"


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))))


def _of_elf(says: Callable[[ElfTraits], bool]) -> Callable[[PackagePlan, Entry], bool]:
    def concerns(_: PackagePlan, entry: Entry) -> bool:
        return entry.file is not None and entry.file.traits is not None and says(entry.file.traits)

    return concerns


_CONCERNS: dict[str, Callable[[PackagePlan, Entry], bool]] = {
    "dir-or-file-in-opt": lambda _, entry: entry.path.startswith("opt/"),
    "binary-from-other-architecture": _of_elf(lambda elf: not elf.is_for_host),
    "shared-library-lacks-prerequisites": _of_elf(
        lambda elf: elf.is_shared and not elf.needs_libraries
    ),
    "unstripped-binary-or-object": _of_elf(lambda elf: elf.has_symbols),
    "embedded-library": _of_elf(lambda elf: elf.is_library),
    "no-code-sections": lambda _, entry: entry.path.endswith(".a"),
    "executable-stack-in-shared-library": _of_elf(
        lambda elf: elf.has_soname and elf.has_executable_stack
    ),
}
"""Which files lintian says a tag of, as far as that can be told from their headers."""


# ------------------------------------------------------------------------------------ rpmlint


def rpmlint_settings() -> str:
    """A file for ``rpmlint --config``: what it cannot know, and filters below their reasons."""
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in _data()["rpmlint"].items()]
    lines.append("Filters = [\n")
    for declaration in declarations():
        if filters := declaration.filters():
            lines += [_comment(declaration.reason), *(f"{json.dumps(one)},\n" for one in filters)]
    return "".join([*lines, "]\n"])


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, _WIDTH))
