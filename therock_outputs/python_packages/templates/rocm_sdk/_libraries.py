"""Find shared libraries by short names, and load them before somebody else's loader looks."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from . import _dist_info
from ._environment import Installation, installation
from ._errors import PackageMissingError, UnknownNameError

__all__ = ["find_libraries", "is_optional", "library_file", "preload_libraries"]

_loaded: dict[str, ctypes.CDLL] = {}
"""Keeps every library loaded for as long as the process lives."""
_dll_directories: dict[str, object] = {}
"""As ``os.add_dll_directory`` gives them: closing one would take it away again."""


def find_libraries(*names: str) -> list[Path]:
    """The files of libraries, by their short names, in the order asked.

    ModuleNotFoundError for a name that ROCm does not have, and for one whose package is not
    installed or came without it; RuntimeError when packages of several runs are installed.
    """
    installed = installation()
    return [library_file(installed, name) for name in names]


def preload_libraries(*names: str, rtld_global: bool = True) -> None:
    """Load libraries into this process, in the order asked, each once.

    An optional one that the run came without is passed over. Errors as ``find_libraries``, and
    OSError for a library that cannot be loaded.
    """
    installed = installation()
    for name in names:
        if name in _loaded:
            continue
        try:
            path = library_file(installed, name)
        except PackageMissingError:
            if is_optional(name):
                continue
            raise
        _loaded[name] = _load(path, rtld_global=rtld_global)


def is_optional(name: str) -> bool:
    """Whether a run may come without a library."""
    return name in _dist_info.LIBRARIES and _dist_info.LIBRARIES[name][3]


def library_file(installed: Installation, name: str) -> Path:
    """As ``find_libraries``, of an installation."""
    if name not in _dist_info.LIBRARIES:
        raise UnknownNameError(
            f"ROCm has no library {name!r}; it has {', '.join(sorted(_dist_info.LIBRARIES))}"
        )
    package, stem, directory, _ = _dist_info.LIBRARIES[name]
    on_windows = sys.platform == "win32"
    place = Path(installed.require_package(package), "bin" if on_windows else directory)
    pattern = file_pattern(stem, is_windows=on_windows)
    found = sorted(entry for entry in _names(place) if pattern.fullmatch(entry))
    if not found:
        raise PackageMissingError(f"the library {name!r} is not in {place}: the run has none")
    return place / found[0]


def file_pattern(stem: str, *, is_windows: bool) -> re.Pattern[str]:
    """What a library's file may be called: ``libx.so.7``; on Windows ``x.dll`` or ``x0701.dll``."""
    if is_windows:
        return re.compile(rf"(?:lib)?{re.escape(stem)}[-_]?[0-9._]*\.dll", re.IGNORECASE)
    return re.compile(rf"lib{re.escape(stem)}\.so(?:\.[0-9]+)*")


def _names(place: Path) -> list[str]:
    try:
        return os.listdir(place)
    except FileNotFoundError:
        return []


def _load(path: Path, *, rtld_global: bool) -> ctypes.CDLL:
    if sys.platform == "win32":
        directory = str(path.parent)
        if directory not in _dll_directories:
            _dll_directories[directory] = os.add_dll_directory(directory)
    mode = ctypes.RTLD_GLOBAL if rtld_global else ctypes.RTLD_LOCAL
    return ctypes.CDLL(str(path), mode=mode)
