"""The two files that Debian's policy wants in every package."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from therock_outputs.artifacts.reproducible import FIXED_EPOCH
from therock_outputs.native_packages.package import PackagePlan

__all__ = ["CHANGE", "changelog", "copyright_text"]

CHANGE = "Package the files of one build of TheRock."


def changelog(plan: PackagePlan, mtime: int) -> str:
    """A changelog of one entry (Policy 4.4)."""
    date = format_datetime(datetime.fromtimestamp(mtime, UTC))
    return (
        f"{plan.name} ({plan.version}-{plan.release}) stable; urgency=medium\n\n"
        f"  * {CHANGE}\n\n"
        f" -- {plan.maintainer}  {date}\n"
    )


def copyright_text(plan: PackagePlan, mtime: int) -> str:
    """Where the files come from and under which licences, in the machine-readable format 1.0.

    The year is that of SOURCE_DATE_EPOCH; without one, none is known.
    """
    year = f"{datetime.fromtimestamp(mtime, UTC).year} " if mtime != FIXED_EPOCH else ""
    name = plan.license.strip() or "unknown"
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        f"Source: {plan.homepage}\n"
        f"Upstream-Contact: {plan.maintainer}\n\n"
        "Files: *\n"
        f"Copyright: \u00a9 {year}{plan.vendor or plan.maintainer}\n"
        f"License: {name}\n"
        " The full text of each licence is among the files of the packages, below\n"
        f" {plan.prefix}/share/doc.\n"
    )
