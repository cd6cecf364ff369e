"""Which bytes a ``Range`` header asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ByteRange", "UnsatisfiableError", "parse_ranges"]

_RANGES = re.compile(r"bytes=(.+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,18})?-(\d{1,18})?", re.ASCII)
_MOST = 64


class UnsatisfiableError(Exception):
    """None of the ranges lies in the file: the answer is 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from ``start``; never empty."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of Content-Range for a file of ``size`` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_ranges(header: str | None, size: int) -> tuple[ByteRange, ...]:
    """The ranges asked for, in their order; empty: the whole file.

    A header that is no list of byte ranges counts as none, as does one that asks for more than
    the file altogether, or for very many pieces. UnsatisfiableError when no range begins in the
    file.
    """
    match = _RANGES.fullmatch(header.strip()) if header else None
    if match is None:
        return ()
    found = []
    for text in match[1].split(","):
        part = _RANGE.fullmatch(text.strip())
        if part is None or part[0] == "-":
            return ()
        first, last = part[1], part[2]
        if first is None:  # the last so many bytes
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < start:
                return ()
        if start < end:
            found.append(ByteRange(start, end - start))
    if not found:
        raise UnsatisfiableError
    if len(found) > _MOST or (len(found) > 1 and sum(r.length for r in found) > size):
        return ()
    return tuple(found)
