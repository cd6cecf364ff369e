"""JSON whose values know their line, so that an error about one can say where it stands."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Located", "parse_located"]

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()

Value: TypeAlias = "str | int | float | bool | list[Located] | dict[str, Located] | None"


@dataclass(frozen=True, slots=True)
class Located:
    """A value and the line that it begins in; lists and objects hold further ones."""

    value: Value
    line: int
    """From 1."""


def parse_located(text: str) -> Located:
    """Parse a whole text.

    ValueError (``json.JSONDecodeError`` with its line) when it is no JSON, RecursionError when
    it is nested too deep to be anything sensible.
    """
    json.loads(text)  # from here on the text is JSON, and the walk below need not doubt it
    walk = _Walk(text)
    return walk.value()


class _Walk:
    """One pass over a valid text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def value(self) -> Located:
        self._skip_blank()
        line = bisect_right(self._starts, self._at)
        match self._text[self._at]:
            case "{":
                return Located(self._object(), line)
            case "[":
                return Located(self._list(), line)
            case _:
                return Located(self._plain(), line)

    def _object(self) -> dict[str, Located]:
        found: dict[str, Located] = {}
        self._at += 1
        while self._peek() != "}":
            key = str(self._plain())
            self._peek()
            self._at += 1  # the colon
            found[key] = self.value()
            if self._peek() == ",":
                self._at += 1
        self._at += 1
        return found

    def _list(self) -> list[Located]:
        found: list[Located] = []
        self._at += 1
        while self._peek() != "]":
            found.append(self.value())
            if self._peek() == ",":
                self._at += 1
        self._at += 1
        return found

    def _plain(self) -> str | int | float | bool | None:
        """A text, a number or a word."""
        value: str | int | float | bool | None
        value, self._at = _DECODER.raw_decode(self._text, self._at)
        return value

    def _peek(self) -> str:
        self._skip_blank()
        return self._text[self._at]

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None  # noqa: S101 - it matches nothing too
        self._at = blank.end()
