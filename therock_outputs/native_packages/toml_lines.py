"""The line on which each key of a TOML file stands, which tomllib does not tell."""

from __future__ import annotations

import re

__all__ = ["KeyLines"]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_KEY})\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=(.*)", re.DOTALL)
_PARTS = re.compile(_PART)
_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|'
    r"'''.*?'''|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)


class KeyLines:
    """Made from a text that tomllib takes; ``line`` answers for any key of it."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, statement in _statements(text):
            if header := _HEADER.fullmatch(statement):
                table = _parts(header[1])
                self._note(table, number)
            elif assignment := _ASSIGNMENT.match(statement):
                self._note((*table, *_parts(assignment[1])), number)

    def line(self, *key: str) -> int:
        """The line of a key, else of what it stands in; 1 for the file."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return 1

    def _note(self, key: tuple[str, ...], number: int) -> None:
        for length in range(1, len(key) + 1):
            self._lines.setdefault(key[:length], number)


def _statements(text: str) -> list[tuple[int, str]]:
    """Each statement with its first line: lists and texts may go on over several lines."""
    found = []
    depth = start = 0
    first = number = 1
    for token in _TOKENS.finditer(text):
        word = token[0]
        if word == "\n" and depth == 0:
            found.append((first, text[start : token.start()]))
            start, first = token.end(), number + 1
        elif word in ("[", "{"):
            depth += 1
        elif word in ("]", "}"):
            depth -= 1
        number += word.count("\n")
    found.append((first, text[start:]))
    return found


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PARTS.findall(key))
