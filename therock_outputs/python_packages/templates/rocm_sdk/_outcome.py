"""What a check of ``rocm-sdk test`` found."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Outcome", "Status"]


class Status(enum.Enum):
    """How a check ended."""

    PASSED = "ok"
    SKIPPED = "skip"
    FAILED = "FAIL"


@dataclass(frozen=True)
class Outcome:
    """One line of the report."""

    name: str
    status: Status
    detail: str = ""
    """Why it was skipped or what is wrong."""

    @classmethod
    def of(cls, name: str, wrong: list[str]) -> Outcome:
        """Passed when nothing is wrong; else the first findings and how many there are."""
        if not wrong:
            return cls(name, Status.PASSED)
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        return cls(name, Status.FAILED, "; ".join(wrong[:_SHOWN]) + more)


_SHOWN = 5
