"""Write the ``rocm`` sdist, which decides on the machine that installs it what it needs.

Its files are those of ``templates``, with ``rocm_sdk/_dist_info.py`` written for the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SelectorLibrary", "SelectorProgram", "write_selector"]


@dataclass(frozen=True, slots=True)
class SelectorLibrary:
    """A library that ``rocm_sdk.find_libraries`` knows by a short name."""

    name: str
    """The short name: ``miopen``."""
    package: str
    """``core`` or ``libraries``."""
    stem: str
    """The file name between ``lib`` and ``.so``: ``MIOpen``."""
    directory: str = "lib"
    """Where it lies in its package on Linux; on Windows that is ``bin``."""
    optional: bool = False
    """Whether a run may come without it."""


@dataclass(frozen=True, slots=True)
class SelectorProgram:
    """A program that a console script runs."""

    name: str
    package: str
    """``core`` or ``profiler``."""
    directory: str = "bin"
    is_compiler_tool: bool = False
    """Whether it runs from the expanded devel tree when devel is installed."""


def write_selector(
    output_dir: Path,
    *,
    version: str,
    targets: Sequence[str],
    families: Mapping[str, Sequence[str]],
    default_target: str,
    linux_targets: Sequence[str],
    windows_targets: Sequence[str],
    libraries: Sequence[SelectorLibrary],
    programs: Sequence[SelectorProgram],
    has_profiler: bool,
    split: bool,
    mtime: int,
) -> Path:
    """Write ``rocm-{version}.tar.gz`` into a directory.

    The same arguments give the same bytes.
    """
    raise AssertionError
