"""Reading a file of definitions: the project's own, or a user's in its form or as package.json."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.native_packages.definition import (
    Definition,
    Definitions,
    DefinitionsError,
    check_definition,
)
from therock_outputs.native_packages.package_json import parse_package_json
from therock_outputs.native_packages.package_toml import parse_package_toml

__all__ = ["OWN_DEFINITIONS", "load_definitions"]

OWN_DEFINITIONS = "definitions.toml"


def load_definitions(path: Path | None = None) -> Definitions:
    """The project's own definitions, or those of a user's file.

    A file whose name ends in ``.json`` is TheRock's ``package.json``, any other has the form of
    the project's own. NotFoundError when it cannot be read, DefinitionsError (with file and line)
    for what is wrong in it.
    """
    own = parse_package_toml(_own_text(), OWN_DEFINITIONS)
    if path is None:
        definitions = own
    elif path.suffix.lower() == ".json":
        # A package.json has a word for "runs scripts" only; ours say which.
        definitions = parse_package_json(_text(path), str(path), own)
    else:
        definitions = parse_package_toml(_text(path), str(path))
    for definition in definitions:
        check_definition(definition)
    _check_names(definitions)
    return definitions


def _own_text() -> str:
    data = resources.files("therock_outputs.native_packages").joinpath("data", OWN_DEFINITIONS)
    return data.read_text("utf-8")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8 text") from error


def _check_names(definitions: Definitions) -> None:
    """Each name has one definition."""
    seen: dict[str, Definition] = {}
    for definition in definitions:
        if other := seen.get(definition.name):
            raise DefinitionsError(
                definition.place,
                f"{definition.name} is defined in line {other.place.line} already",
                "take one of them out",
            )
        seen[definition.name] = definition
    if not seen:
        raise UsageError(f"{definitions.source}: defines no package: is this the right file?")
