"""Reading the tables of facts that come with the project, or a user's newer ones.

A user's file is input: what is wrong with it is told in one line with the file and the key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from therock_outputs.errors import NotFoundError, UsageError

__all__ = ["Table", "near_matches", "read_toml"]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a TOML file, which knows where it stands."""

    source: str
    """The file, for messages."""
    key: str
    """Dotted path of this table in the file; empty for the whole file."""
    values: dict[str, object]

    def error(self, key: str, problem: str) -> UsageError:
        """The error for a key of this table."""
        return UsageError(f"{self.source}: {self.path(key)} {problem}")

    def path(self, key: str) -> str:
        """Dotted path of a key of this table."""
        return f"{self.key}.{key}" if self.key else key

    def table(self, key: str) -> Self:
        """The table under ``key``; an absent one is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "has to be a table")
        return type(self)(self.source, self.path(key), value)

    def tables(self, key: str) -> dict[str, Self]:
        """The named tables under ``key``, of which there has to be one at least."""
        outer = self.table(key)
        if not outer.values:
            raise self.error(key, "is missing or empty; is this the right file?")
        return {name: outer.table(name) for name in outer.values}

    def string(self, key: str, default: str | None = None) -> str:
        """The text under ``key``, or the default; without one the key has to be there."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            problem = "is missing" if value is None else "has to be a text"
            raise self.error(key, problem)
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """The list of texts under ``key``; an absent one is empty."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, "has to be a list of texts")
        texts = tuple(item for item in value if isinstance(item, str))
        if len(texts) != len(value):
            raise self.error(key, "has to be a list of texts")
        return texts


def read_toml(path: Path | None, built_in: str) -> Table:
    """The user's file, or the project's own of that name when ``path`` is None.

    NotFoundError when the file cannot be read, UsageError when it is no TOML.
    """
    try:
        if path is None:
            data = resources.files("therock_outputs.artifacts").joinpath("data", built_in)
            return Table(built_in, "", tomllib.loads(data.read_text("utf-8")))
        return Table(str(path), "", tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise NotFoundError(f"cannot read {path or built_in}: {error.strerror}") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise UsageError(f"{path or built_in} is not a TOML file: {error}") from error


def near_matches(wanted: str, known: Iterable[str]) -> str:
    """What a message adds about a name that is unknown: the names like it, else all of them."""
    names = {name.casefold(): name for name in known}
    folded = wanted.casefold()
    begun = sorted(name for name in names if folded and name.startswith(folded))
    alike = difflib.get_close_matches(folded, names, n=4, cutoff=0.6)
    close = list(dict.fromkeys([*begun, *alike]))[:4]
    if close:
        return f"did you mean {' or '.join(names[name] for name in close)}?"
    if not names:
        return "there are none"
    listed = sorted(names.values())
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return f"known are {', '.join(listed[:20])}{more}"
