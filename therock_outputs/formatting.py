"""How numbers, tables and text from outside are put in words, without printing them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["format_duration", "format_size", "is_address", "table_lines", "visible"]

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def visible(text: str) -> str:
    """The text with whatever would act on a terminal or a log spelled out as an escape.

    That is control and formatting characters (bidirectional overrides among them), line
    separators, and the lone surrogates that stand for undecodable bytes.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        else char
        for char in text
    )


def is_address(where: str) -> bool:
    """Whether a place is reached over HTTP; else it is a path on this disk."""
    return where.startswith(("https://", "http://"))


def format_size(size: int) -> str:
    """A number of bytes for people, in decimal units: ``84.1 MB``."""
    if abs(size) < 1000:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        # Round first: 999,999 bytes are 1.0 MB and not 1000.0 kB.
        if abs(round(value, 1)) < 1000:
            return f"{value:.1f} {unit}"
    return f"{value:.1f} {_UNITS[-1]}"


def format_duration(seconds: float) -> str:
    """A span of time for people: ``3.2 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
) -> list[str]:
    """The lines of a table: a title, a head, and a line for each row."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max((_width(row[at]) for row in cells), default=0) for at in range(len(columns))]
    widths = [max(width, _width(name)) for width, name in zip(widths, columns, strict=True)]
    right = [
        bool(rows) and all(_is_quantity(row[at]) for row in rows) for at in range(len(columns))
    ]

    def line(row: Sequence[str]) -> str:
        padded = []
        for cell, width, to_the_right in zip(row, widths, right, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if to_the_right else cell + space)
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    head = [line(list(columns)), rule] if any(columns) else []
    return [*([title] if title else []), *head, *(line(row) for row in cells)]


def _is_quantity(cell: object) -> bool:
    if isinstance(cell, (int, float)):
        return True
    number, _, unit = str(cell).partition(" ")
    return unit in {"B", *_UNITS} and number.replace(".", "", 1).isdigit()


def _width(text: str) -> int:
    # Terminals give East Asian wide characters two columns and combining marks none.
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in {"W", "F"})
        for char in text
    )
