"""TheRock's ``package.json``, read as it is: a list of objects whose flags are words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from therock_outputs.native_packages.definition import (
    Alternatives,
    Definition,
    Definitions,
    DefinitionsError,
    Place,
    Selection,
    parse_components,
)
from therock_outputs.native_packages.located_json import Located, parse_located

__all__ = ["parse_package_json"]

_TEXTS = frozenset(
    {
        "Package", "Architecture", "BuildArch", "Maintainer", "Description_Short",
        "Description_Long", "Section", "Priority", "Group", "License", "Vendor", "Homepage",
    }
)  # fmt: skip
_LISTS = frozenset(
    {
        "DEBDepends", "RPMRequires", "DEBRecommends", "RPMRecommends", "DEBSuggests",
        "RPMSuggests", "Provides", "Replaces", "Conflicts", "Obsoletes",
    }
)  # fmt: skip
_FLAGS = frozenset({"Gfxarch", "Metapackage", "DisablePackaging", "Postinstall"})
_WITHOUT_EFFECT = frozenset(
    {"Disable_DWZ", "Disable_DEB_STRIP", "Disable_RPM_STRIP", "Disable_Debug_Package"}
)
"""What tells debhelper and rpmbuild to leave files alone; here nothing touches them."""
_KNOWN = _TEXTS | _LISTS | _FLAGS | _WITHOUT_EFFECT | {"Artifactory"}
_ARTIFACT_KEYS = frozenset({"Artifact", "Artifact_Gfxarch", "Artifact_Subdir"})
_SUBDIRECTORY_KEYS = frozenset({"Name", "Components"})
_PYTHON_OF_DEBUGGER = ("rocgdb", "libpython*")
"""The artifact whose packages do not require the Python that they were built with."""


def parse_package_json(text: str, source: str, own: Definitions) -> Definitions:
    """Read the text of a file; ``source`` names it.

    ``own`` are the project's definitions, which know what the scripts of a package with
    ``Postinstall`` register. DefinitionsError for what is wrong in it; keys that nothing is
    known of become remarks.
    """
    try:
        root = parse_located(text)
    except json.JSONDecodeError as error:
        raise DefinitionsError(
            Place(source, error.lineno), f"not JSON ({error.msg})", "look for a comma or a quote"
        ) from None
    except RecursionError:
        raise DefinitionsError(
            Place(source, 1), "not a list of packages", "its brackets are nested too deep"
        ) from None
    if not isinstance(root.value, list):
        raise DefinitionsError(
            Place(source, root.line), "not a list", "a package.json is a list of objects"
        )
    whole = _Object(source, root.line, {})
    packages = [_definition(whole.inner(item, "a package"), own) for item in root.value]
    unknown = [_unknown(key, places) for key, places in whole.unknown.items()]
    return Definitions(source, tuple(packages), (*whole.remarks, *unknown))


def _unknown(key: str, places: list[Place]) -> str:
    """The remark about a key, once for all the packages that have it."""
    more = f" (and {len(places) - 1} times more)" if len(places) > 1 else ""
    return f"{places[0]}: {key} is not known, so nothing was made of it{more}"


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of the file, which knows where it stands."""

    source: str
    line: int
    values: dict[str, Located]
    remarks: list[str] = field(default_factory=list)
    """Of the whole file, as is the next."""
    unknown: dict[str, list[Place]] = field(default_factory=dict)

    def inner(self, item: Located, what: str) -> _Object:
        """The object that an item of this one has to be."""
        if not isinstance(item.value, dict):
            place = Place(self.source, item.line)
            raise DefinitionsError(place, f"{what} has to be an object", "write {…}")
        return _Object(self.source, item.line, item.value, self.remarks, self.unknown)

    def place(self, key: str = "") -> Place:
        line = self.values[key].line if key in self.values else self.line
        return Place(self.source, line)

    def refuse(self, key: str, problem: str, advice: str) -> DefinitionsError:
        return DefinitionsError(self.place(key), f"{key} {problem}", advice)

    def note_unknown(self, known: frozenset[str]) -> None:
        for key in self.values:
            if key not in known:
                self.unknown.setdefault(key, []).append(self.place(key))

    def text(self, key: str, default: str | None = None) -> str:
        item = self.values.get(key)
        if item is None or item.value is None:
            if default is None:
                raise DefinitionsError(self.place(), f"{key} is missing", f'add "{key}": "…"')
            return default
        if not isinstance(item.value, str):
            raise self.refuse(key, "has to be a text", "put it in quotes")
        return item.value.strip() or (default or "")

    def flag(self, key: str) -> bool | None:
        """A flag, which is the word True or False; None where it is not said."""
        item = self.values.get(key)
        if item is None:
            return None
        if isinstance(item.value, bool):
            return item.value
        word = item.value.strip().lower() if isinstance(item.value, str) else None
        if word not in ("true", "false"):
            raise self.refuse(key, "is neither True nor False", 'write "True" or "False"')
        return word == "true"

    def list(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        item = self.values.get(key)
        if item is None or item.value is None:
            return ()
        if isinstance(item.value, str):
            return (item.value.strip(),) if item.value.strip() else ()
        texts = item.value if isinstance(item.value, list) else [item]
        found = [text.value.strip() for text in texts if isinstance(text.value, str)]
        if len(found) != len(texts):
            raise self.refuse(key, "has to be a list of texts", 'write it as ["one", "two"]')
        return tuple(dict.fromkeys(text for text in found if text))

    def places(self, keys: Iterable[str]) -> dict[str, Place]:
        """Where the texts of these lists stand."""
        found = {}
        for key in keys:
            item = self.values.get(key)
            for text in item.value if item and isinstance(item.value, list) else [item]:
                if text is not None and isinstance(text.value, str):
                    found[text.value.strip()] = Place(self.source, text.line)
        return found

    def objects(self, key: str, what: str) -> Iterator[_Object]:
        item = self.values.get(key)
        if item is None or item.value is None:
            return
        if not isinstance(item.value, list):
            raise self.refuse(key, "has to be a list of objects", "write it as [{…}, {…}]")
        for entry in item.value:
            yield self.inner(entry, what)


def _definition(package: _Object, own: Definitions) -> Definition:
    package.note_unknown(_KNOWN)
    name = package.text("Package")
    metapackage = package.flag("Metapackage") or False
    selections = tuple(_selections(package))
    if metapackage and selections:
        # TheRock's script looks at neither files nor artifacts of a metapackage.
        package.remarks.append(
            f"{package.place('Artifactory')}: {name} is a metapackage, so nothing was made of its "
            "artifacts"
        )
        selections = ()
    python = any(selection.artifact == _PYTHON_OF_DEBUGGER[0] for selection in selections)
    summary = package.text("Description_Short", name)
    return Definition(
        name=name,
        place=package.place("Package"),
        summary=" ".join(summary.split()).removesuffix("."),
        description=package.text("Description_Long", summary),
        metapackage=metapackage,
        disabled=package.flag("DisablePackaging") or False,
        gpu=package.flag("Gfxarch") or False,
        architecture=package.text("Architecture", "amd64"),
        deb_depends=package.list("DEBDepends"),
        rpm_depends=package.list("RPMRequires"),
        deb_recommends=package.list("DEBRecommends"),
        rpm_recommends=package.list("RPMRecommends"),
        deb_suggests=package.list("DEBSuggests"),
        rpm_suggests=package.list("RPMSuggests"),
        provides=package.list("Provides"),
        replaces=package.list("Replaces"),
        conflicts=package.list("Conflicts"),
        obsoletes=package.list("Obsoletes"),
        rpm_ignored_requires=(_PYTHON_OF_DEBUGGER[1],) if python else (),
        relation_places=package.places(_LISTS),
        alternatives=_alternatives(package, name, own),
        selections=selections,
        maintainer=package.text("Maintainer", "ROCm Dev Support <rocm-dev.support@amd.com>"),
        vendor=package.text("Vendor", "Advanced Micro Devices, Inc."),
        homepage=package.text("Homepage", "https://github.com/ROCm/TheRock"),
        license=package.text("License", "MIT"),
        section=package.text("Section", "devel"),
        priority=package.text("Priority", "optional"),
        group=package.text("Group", "Development/Libraries"),
    )


def _selections(package: _Object) -> Iterator[Selection]:
    for artifact in package.objects("Artifactory", "an entry of Artifactory"):
        artifact.note_unknown(_ARTIFACT_KEYS)
        name = artifact.text("Artifact")
        gpu = artifact.flag("Artifact_Gfxarch")
        for subdirectory in artifact.objects("Artifact_Subdir", "an entry of Artifact_Subdir"):
            subdirectory.note_unknown(_SUBDIRECTORY_KEYS)
            place = subdirectory.place("Components")
            components = parse_components(subdirectory.list("Components"), place)
            yield Selection(name, subdirectory.text("Name"), components, gpu, place)


def _alternatives(package: _Object, name: str, own: Definitions) -> Alternatives:
    if not package.flag("Postinstall"):
        return Alternatives()
    known = own.get(name)
    if known is None or not known.alternatives:
        package.remarks.append(
            f"{package.place('Postinstall')}: nothing is known that {name} could run after its "
            "installation, so it runs nothing"
        )
        return Alternatives()
    return known.alternatives
