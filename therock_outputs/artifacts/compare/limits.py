"""Thresholds as people write them: ``500MB``, ``1.5 GiB``, ``2%``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from therock_outputs.artifacts.compare.changes import Change
from therock_outputs.errors import UsageError

__all__ = ["GrowthLimit", "parse_growth_limit", "parse_size"]

_NUMBER = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(?P<unit>[A-Za-z%]*)")
_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}


@dataclass(frozen=True, slots=True)
class GrowthLimit:
    """How much a whole may grow."""

    text: str
    """As it was written."""
    size: int | None
    """Bytes; None: a share is meant."""
    percent: Decimal | None = None

    def allows(self, change: Change) -> bool:
        """Whether the growth stays within the limit; to be as large as the limit is allowed.

        What grows from nothing grows by more than any share.
        """
        if change.delta <= 0:
            return True
        if self.size is not None:
            return change.delta <= self.size
        assert self.percent is not None  # noqa: S101 - one of the two is given
        return Decimal(change.delta) * 100 <= self.percent * (change.before or 0)


def parse_size(text: str, flag: str) -> int:
    """Bytes; UsageError names the flag."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found["unit"].lower() not in _UNITS:
        raise UsageError(f"{flag} is a size such as 500kB, 10MB or 1.5GiB, not {text!r}")
    return int(Decimal(found["number"]) * _UNITS[found["unit"].lower()])


def parse_growth_limit(text: str, flag: str) -> GrowthLimit:
    """A size or a percentage; UsageError names the flag."""
    found = _NUMBER.fullmatch(text.strip())
    if found is not None and found["unit"] == "%":
        return GrowthLimit(text.strip(), None, Decimal(found["number"]))
    if found is None or found["unit"].lower() not in _UNITS:
        raise UsageError(f"{flag} is a size or a share such as 500MB, 1.5GiB or 2%, not {text!r}")
    return GrowthLimit(text.strip(), parse_size(text, flag))
