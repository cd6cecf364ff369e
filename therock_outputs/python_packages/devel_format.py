"""What the wheels have to hold so that the ``rocm`` selector finds and expands it.

The devel wheel holds in ``rocm_sdk_devel/``: ``__init__.py`` (``DEVEL_INIT``), ``_devel.tar.gz``
(``DEVEL_ARCHIVE``: the bytes of the FILE entries as regular tar members, named by their paths, in
the manifest's order) and ``devel_manifest.json`` (``DEVEL_MANIFEST``: ``manifest_bytes``). The
reading half of the format is ``templates/rocm_sdk/_manifest.py``.

Every wheel needs a file directly in its package directory, or pip leaves empty directories behind
when it removes it: ``__init__.py`` (``PACKAGE_INIT``) of core, libraries and profiler, and of a
device wheel, which shares the directory of the libraries, a name of its own (``device_marker``).
"""

from __future__ import annotations

from collections.abc import Iterable

from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.python_packages.templates.rocm_sdk._manifest import (
    DevelEntry,
    DevelManifest,
    EntryKind,
    ManifestError,
)
from therock_outputs.python_packages.templates.rocm_sdk._names import (
    CORE_PACKAGE,
    DEVEL_ARCHIVE,
    DEVEL_MANIFEST,
    DEVEL_PACKAGE,
    DEVEL_TREE,
    LIBRARIES_PACKAGE,
    PROFILER_PACKAGE,
    device_marker,
    libraries_package,
    program_attribute,
)

__all__ = [
    "CORE_PACKAGE",
    "DEVEL_ARCHIVE",
    "DEVEL_INIT",
    "DEVEL_MANIFEST",
    "DEVEL_PACKAGE",
    "DEVEL_TREE",
    "LIBRARIES_PACKAGE",
    "PACKAGE_INIT",
    "PROFILER_PACKAGE",
    "DevelEntry",
    "EntryKind",
    "device_marker",
    "entry_point",
    "libraries_package",
    "manifest_bytes",
    "manifest_order",
]

DEVEL_INIT = b'"""Headers, static libraries and CMake files, expanded by `rocm-sdk init`."""\n'
PACKAGE_INIT = b'"""A part of ROCm; use it through rocm_sdk."""\n'


def manifest_order(entries: Iterable[DevelEntry]) -> list[DevelEntry]:
    """The entries as the manifest lists them; the archive's members follow the same order."""
    return sorted(entries, key=lambda entry: entry.path)


def manifest_bytes(version: str, entries: Iterable[DevelEntry]) -> bytes:
    """``devel_manifest.json``; IntegrityError for entries that contradict each other."""
    try:
        return DevelManifest(version=version, entries=tuple(entries)).to_bytes()
    except ManifestError as error:
        raise IntegrityError(f"{DEVEL_MANIFEST}: {error}") from error


def entry_point(program: str) -> str:
    """The value of a program's console script: ``rocm_sdk._programs:amdclang_plus_plus``.

    UsageError for a name that no command should have.
    """
    try:
        return f"rocm_sdk._programs:{program_attribute(program)}"
    except ValueError as error:
        raise UsageError(str(error)) from error
