"""``rocm-sdk test``: whether every shared library loads, each in a process of its own."""

from __future__ import annotations

import concurrent.futures
import fnmatch
import os
import subprocess
import sys
from collections.abc import Iterator

from ._elf import is_loadable_library
from ._outcome import Outcome, Status

__all__ = ["check_libraries_load"]

_TIMEOUT = 120.0  # seconds
_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
_LOAD_DLL = "import os, sys; [os.add_dll_directory(d) for d in sys.argv[2:]]; "

_NOT_ALONE = {
    "*/clang/*/lib/*": "a part of programs that the compiler makes",
    "*.cpython-*": "a module of one Python",
    "*/site-packages/*": "a module of one Python",
}
"""Libraries that are not made to be loaded alone, with why."""


def check_libraries_load(package: str) -> Iterator[Outcome]:
    """Load each library of a package's directory, several at a time."""
    paths = sorted(_libraries(package))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        site = os.path.dirname(package)
        shown = [os.path.relpath(path, site) for path in paths]
        for name, (status, detail) in zip(shown, pool.map(_load, paths, shown)):
            yield Outcome(f"load {name}", status, detail)


def _libraries(package: str) -> Iterator[str]:
    for directory, _, names in os.walk(package):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.isfile(path):
                continue  # the check of the links names it
            if sys.platform == "win32":
                if name.lower().endswith(".dll"):
                    yield path
            elif (name.endswith(".so") or ".so." in name) and is_loadable_library(path):
                yield path


def _load(path: str, shown: str) -> tuple[Status, str]:
    """How loading ended, and why it was not tried or what went wrong."""
    for pattern, reason in _NOT_ALONE.items():
        if fnmatch.fnmatch(shown.replace(os.sep, "/"), pattern):
            return Status.SKIPPED, reason
    # What a user's shell is set to must not help.
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in {"LD_LIBRARY_PATH", "LD_PRELOAD"}
    }
    code = _LOAD
    places: list[str] = []
    if sys.platform == "win32":
        code, places = _LOAD_DLL + _LOAD, _dll_places(path)
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, path, *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Status.FAILED, f"did not end in {_TIMEOUT:.0f} s"
    if ran.returncode == 0:
        return Status.PASSED, ""
    lines = ran.stdout.decode(errors="replace").strip().splitlines()
    return Status.FAILED, lines[-1] if lines else f"exit code {ran.returncode}"


def _dll_places(path: str) -> list[str]:
    """The directories of DLLs in this package and its siblings."""
    place = path
    while not os.path.basename(place).startswith("_rocm_"):
        place = os.path.dirname(place)
    site = os.path.dirname(place)
    places = [os.path.dirname(path)]
    places += [
        os.path.join(site, name, "bin")
        for name in sorted(os.listdir(site))
        if name.startswith("_rocm_") and os.path.isdir(os.path.join(site, name, "bin"))
    ]
    return places
