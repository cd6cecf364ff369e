"""What the run that this package came from holds. The sdist's writer fills this file."""

from __future__ import annotations

VERSION: str = "0.0.0"
SPLIT: bool = True
"""Whether the GPU code is in a wheel for each target instead of in the libraries' wheel."""
TARGETS: tuple[str, ...] = ()
LINUX_TARGETS: tuple[str, ...] = ()
WINDOWS_TARGETS: tuple[str, ...] = ()
"""What each system's job builds; both empty when every target is built for every system."""
DEFAULT_TARGET: str = ""
FAMILIES: dict[str, tuple[str, ...]] = {}
"""Targets of each GPU family of the run."""
HAS_PROFILER: bool = False
LIBRARIES: dict[str, tuple[str, str, str, bool]] = {}
"""Short name to package, stem of the file name, directory on Linux, whether it is optional."""
PROGRAMS: dict[str, tuple[str, str, str, bool]] = {}
"""Attribute of ``_programs`` to program, package, directory, whether it is a compiler tool."""
