"""The project's own form of definitions: a TOML table for each package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from therock_outputs.artifacts.data_files import near_matches
from therock_outputs.native_packages.definition import (
    Alternatives,
    Definition,
    Definitions,
    DefinitionsError,
    Place,
    Selection,
    parse_components,
)
from therock_outputs.native_packages.toml_lines import KeyLines

__all__ = ["parse_package_toml"]

_DEFAULTS = "defaults"
_COMMON = frozenset(
    {"architecture", "maintainer", "vendor", "homepage", "license", "section", "priority", "group"}
)
"""What ``[defaults]`` may say, and a package says anew where it differs."""
_TEXTS = frozenset({"summary", "description"})
_FLAGS = frozenset({"metapackage", "disabled", "gpu"})
_RELATIONS = frozenset({"depends", "recommends", "suggests"})
_OTHER_RELATIONS = ("provides", "replaces", "conflicts", "obsoletes")
_LISTS = frozenset(
    {
        *_RELATIONS,
        *(f"{kind}_{relation}" for kind in ("deb", "rpm") for relation in _RELATIONS),
        *_OTHER_RELATIONS,
        "rpm_ignored_requires",
        "host_only",
    }
)
_TABLES = frozenset({"files", "alternatives"})
_ALL = _COMMON | _TEXTS | _FLAGS | _LISTS | _TABLES
_POSITION = re.compile(r"\s*\(at line (\d+), column \d+\)")


def parse_package_toml(text: str, source: str) -> Definitions:
    """Read the text of a file; ``source`` names it. DefinitionsError for what is wrong in it."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        place = Place(source, int(position[1]) if position else 1 + text.count("\n"))
        reason = _POSITION.sub("", str(error)).removesuffix(" (at end of document)")
        raise DefinitionsError(
            place, f"not TOML ({reason})", "look for a missing quote, comma or bracket"
        ) from None
    lines = KeyLines(text)
    defaults = _Table(source, lines, (_DEFAULTS,), values.pop(_DEFAULTS, {}))
    defaults.check_keys(_COMMON)
    common = {key: defaults.text(key) for key in defaults.values}
    tables = (_Table(source, lines, (name,), table) for name, table in values.items())
    return Definitions(source, tuple(_definition(table, common) for table in tables))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, which knows where it stands."""

    source: str
    lines: KeyLines
    key: tuple[str, ...]
    values: Mapping[str, object]

    def __post_init__(self) -> None:
        if not isinstance(self.values, dict):
            raise self.refused("has to be a table", f"write [{self.key[0]}] and its keys below")

    @property
    def name(self) -> str:
        return self.key[0]

    def place(self, *key: str) -> Place:
        return Place(self.source, self.lines.line(*self.key, *key))

    def refused(self, problem: str, advice: str, *key: str) -> DefinitionsError:
        return DefinitionsError(
            self.place(*key), f"{'.'.join((*self.key, *key))} {problem}", advice
        )

    def check_keys(self, known: frozenset[str]) -> None:
        for key in self.values:
            if key not in known:
                raise self.refused("is not known", near_matches(key, known), key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if value is None:
            raise self.refused(f"has no {key}", f'add {key} = "…"')
        if not isinstance(value, str) or not value.strip():
            raise self.refused("has to be a text", "put it in quotes", key)
        return value.strip()

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.refused("has to be true or false", "write it without quotes", key)
        return value is True

    def list(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refused("has to be a list of texts", 'write it as ["one", "two"]', key)
        if doubled := next((item for item in value if value.count(item) > 1), None):
            raise self.refused(f"names {doubled!r} twice", "take one out", key)
        return tuple(value)

    def table(self, key: str) -> _Table:
        values = self.values.get(key, {})
        if not isinstance(values, dict):
            raise self.refused("has to be a table", f"write {key}.NAME = …", key)
        return _Table(self.source, self.lines, (*self.key, key), values)


def _definition(table: _Table, common: Mapping[str, str]) -> Definition:
    table.check_keys(_ALL)
    relations = {
        f"{kind}_{relation}": (*table.list(relation), *table.list(f"{kind}_{relation}"))
        for kind in ("deb", "rpm")
        for relation in _RELATIONS
    }
    places = {
        text: table.place(key)
        for key in (*relations, *_RELATIONS, *_OTHER_RELATIONS)
        for text in table.list(key)
    }
    shared = {key: table.text(key, common.get(key)) for key in _COMMON}
    return Definition(
        name=table.name,
        place=table.place(),
        summary=table.text("summary"),
        description=_paragraphs(table.text("description")),
        metapackage=table.flag("metapackage"),
        disabled=table.flag("disabled"),
        gpu=table.flag("gpu"),
        deb_depends=relations["deb_depends"],
        rpm_depends=relations["rpm_depends"],
        deb_recommends=relations["deb_recommends"],
        rpm_recommends=relations["rpm_recommends"],
        deb_suggests=relations["deb_suggests"],
        rpm_suggests=relations["rpm_suggests"],
        provides=table.list("provides"),
        replaces=table.list("replaces"),
        conflicts=table.list("conflicts"),
        obsoletes=table.list("obsoletes"),
        rpm_ignored_requires=table.list("rpm_ignored_requires"),
        relation_places=places,
        alternatives=_alternatives(table.table("alternatives")),
        selections=tuple(_selections(table)),
        architecture=shared["architecture"],
        maintainer=shared["maintainer"],
        vendor=shared["vendor"],
        homepage=shared["homepage"],
        license=shared["license"],
        section=shared["section"],
        priority=shared["priority"],
        group=shared["group"],
    )


def _selections(table: _Table) -> Iterator[Selection]:
    host_only = table.list("host_only")
    files = table.table("files")
    for artifact in files.values:
        of_artifact = files.table(artifact)
        for subdirectory in of_artifact.values:
            place = of_artifact.place(subdirectory)
            names = of_artifact.list(subdirectory)
            if not names:
                raise of_artifact.refused(
                    "names no component", 'as in ["lib", "run"]', subdirectory
                )
            components = parse_components(names, place)
            gpu = False if artifact in host_only else None
            yield Selection(artifact, subdirectory, components, gpu, place)
    for artifact in host_only:
        if artifact not in files.values:
            advice = near_matches(artifact, files.values)
            raise table.refused(
                f"names {artifact!r}, of which it takes no files", advice, "host_only"
            )


def _alternatives(table: _Table) -> Alternatives:
    table.check_keys(frozenset({"prefix", "programs"}))
    return Alternatives(table.flag("prefix"), table.list("programs"))


def _paragraphs(text: str) -> str:
    """Line breaks of the file mean nothing; empty lines part paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
