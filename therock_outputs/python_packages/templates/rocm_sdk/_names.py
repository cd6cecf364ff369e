"""Names that the wheels of a run and this package agree on."""

from __future__ import annotations

import re

__all__ = [
    "CORE_PACKAGE",
    "DEVEL_ARCHIVE",
    "DEVEL_MANIFEST",
    "DEVEL_PACKAGE",
    "DEVEL_TREE",
    "LIBRARIES_PACKAGE",
    "PROFILER_PACKAGE",
    "device_marker",
    "libraries_package",
    "program_attribute",
]

CORE_PACKAGE = "_rocm_sdk_core"
LIBRARIES_PACKAGE = "_rocm_sdk_libraries"
PROFILER_PACKAGE = "_rocm_profiler"

DEVEL_PACKAGE = "rocm_sdk_devel"
"""Import package of the devel wheel: it holds the archive and its manifest."""
DEVEL_ARCHIVE = "_devel.tar.gz"
DEVEL_MANIFEST = "devel_manifest.json"
DEVEL_TREE = "_rocm_sdk_devel"
"""Directory in site-packages that the archive is expanded to."""

_PROGRAM = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*")


def libraries_package(family: str = "") -> str:
    """Directory of the host libraries; ``family`` for those of an unsplit run."""
    if not family:
        return LIBRARIES_PACKAGE
    return f"{LIBRARIES_PACKAGE}_{family.lower().replace('-', '_')}"


def device_marker(target: str) -> str:
    """The one file that a device wheel has directly in the libraries' directory.

    Without one, pip leaves empty directories behind when that wheel is the last to go.
    """
    return f".device-{target}"


def program_attribute(program: str) -> str:
    """The attribute of ``rocm_sdk._programs`` that runs a program: ``amdclang_plus_plus``.

    ValueError for a name that no command should have.
    """
    if not _PROGRAM.fullmatch(program):
        raise ValueError(f"{program!r} is not the name of a program")
    return program.replace("-", "_").replace("+", "_plus")
