"""What linters may say of our packages, and the file in which a deb declares it to lintian."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackagePlan

__all__ = ["LintException", "lint_exceptions", "overrides"]

_WIDTH = 77


@dataclass(frozen=True, slots=True)
class LintException:
    """A tag that is accepted."""

    tag: str
    level: str
    """``error`` or ``warning``: the worst that a linter calls it."""
    reason: str
    linters: frozenset[str]
    """Those that may say it; a deb with an override keeps lintian from saying it."""
    is_overridden: bool
    by_design: bool
    """Otherwise it is about the files of a build, whatever the package."""


@cache
def lint_exceptions() -> tuple[LintException, ...]:
    """All tags that are accepted, those that follow from the design first."""
    data = resources.files("therock_outputs.native_packages").joinpath("data", "lint.toml")
    read = tomllib.loads(data.read_text("utf-8"))
    return tuple(
        LintException(
            tag=entry["tag"],
            level=entry["level"],
            reason=entry["reason"],
            linters=frozenset(linter for linter in ("lintian", "rpmlint") if entry[linter]),
            is_overridden=entry["lintian"] == "override",
            by_design=kind == "design",
        )
        for kind in ("design", "files")
        for entry in read.get(kind, ())
    )


def overrides(plan: PackagePlan, entries: Sequence[Entry]) -> str:
    """A lintian override for each tag that concerns this package, below its reason."""
    return "".join(
        "".join(f"# {line}\n" for line in textwrap.wrap(exception.reason, _WIDTH))
        + f"{plan.name}: {exception.tag}\n"
        for exception in lint_exceptions()
        if exception.is_overridden and _CONCERNS[exception.tag](plan, entries)
    )


def _is_below_opt(plan: PackagePlan, entries: Sequence[Entry]) -> bool:
    return bool(entries) and plan.prefix.startswith("/opt/")


_CONCERNS: dict[str, Callable[[PackagePlan, Sequence[Entry]], bool]] = {
    "dir-or-file-in-opt": _is_below_opt,
}
