"""The console scripts of the run's programs: each attribute of this module runs one.

The process becomes the program, started from its real place, so that it finds its files there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from . import _dist_info
from ._environment import Installation, installation
from ._errors import PackageMissingError, RocmSdkError

TYPE_CHECKING = False  # as typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["INTERPRETER_MISSING", "MESSAGE_START", "program_file"]

MESSAGE_START = "rocm-sdk: "
"""How the one line begins that says why a program was not started."""
INTERPRETER_MISSING = "is not on this machine"
"""Part of the line when the program is a script for something that is not installed."""

_NOT_STARTED = 127
"""As a shell answers for a command that is not there."""


def __getattr__(name: str) -> Callable[[], int]:
    if name not in _dist_info.PROGRAMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    program, package, directory, is_compiler_tool = _dist_info.PROGRAMS[name]

    def run() -> int:
        try:
            installed = installation()
            root = _root(installed, package, is_compiler_tool=is_compiler_tool)
            path = program_file(os.path.join(root, *directory.split("/")), program)
            environ = dict(os.environ)
            if package == "profiler":
                _add_profiler_paths(environ, installed)
            return _become(path, environ)
        except (OSError, RocmSdkError) as error:
            sys.stderr.write(f"{MESSAGE_START}{program}: {error}\n")
            return _NOT_STARTED

    return run


def program_file(directory: str, program: str) -> str:
    """A program's file; PackageMissingError when there is none."""
    suffixes = ("", ".exe", ".bat", ".cmd") if os.name == "nt" else ("",)
    for suffix in suffixes:
        path = os.path.join(directory, program + suffix)
        if os.path.isfile(path):
            return path
    raise PackageMissingError(f"{os.path.join(directory, program)} is not there")


def _root(installed: Installation, package: str, *, is_compiler_tool: bool) -> str:
    if is_compiler_tool and installed.has_devel:
        from ._ready import ready_root

        root = ready_root(installed)
        if root is None:
            from ._devel import devel_root

            root = str(devel_root(installed))
        return root
    return installed.require_package(package)


def _become(path: str, environ: dict[str, str]) -> int:
    """Run a program in place of this process; OSError when it cannot be started."""
    arguments = [path, *sys.argv[1:]]
    interpreter = _interpreter(path)
    if "python" in os.path.basename(interpreter):
        # The environment's own, whichever is first on PATH.
        arguments.insert(0, sys.executable)
    elif interpreter and not os.path.exists(interpreter) and not _on_path(interpreter):
        raise FileNotFoundError(f"needs {interpreter}, which {INTERPRETER_MISSING}")
    return _wait_for(arguments, environ) if sys.platform == "win32" else _exec(arguments, environ)


def _exec(arguments: list[str], environ: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environ)  # noqa: S606  # the point of it


def _wait_for(arguments: list[str], environ: dict[str, str]) -> int:
    # On Windows no process becomes another: the shell would not wait for it.
    import subprocess

    return subprocess.run(arguments, env=environ, check=False).returncode


def _interpreter(path: str) -> str:
    """What a script's first line names, for ``env`` what it would look for; else nothing."""
    with open(path, "rb") as file:
        start = file.read(256)
    if not start.startswith(b"#!"):
        return ""
    words = start[2:].split(b"\n", 1)[0].decode(errors="replace").split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words else ""


def _on_path(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


def _add_profiler_paths(environ: dict[str, str], installed: Installation) -> None:
    """What the profilers look for beyond their own files: ROCm's libraries, Python modules."""
    own, core = installed.package("profiler"), installed.package("core")
    libraries = [
        os.path.join(own, "lib"),
        os.path.join(own, "lib", "rocprofiler-systems"),
        os.path.join(core, "lib"),
        os.path.join(core, "lib", "rocm_sysdeps", "lib"),
        os.path.join(core, "lib", "llvm", "lib"),
    ]
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    modules = [os.path.join(own, "libexec", "rocprofiler-compute")]
    modules += [
        os.path.join(root, "lib", python, "site-packages")
        for root in (own, core)
        for python in ("python3", version, "python")
    ]
    _prepend(environ, "PATH" if os.name == "nt" else "LD_LIBRARY_PATH", libraries)
    _prepend(environ, "PYTHONPATH", modules)
    environ.setdefault("ROCM_PATH", core)


def _prepend(environ: dict[str, str], variable: str, places: list[str]) -> None:
    there = [place for place in places if os.path.isdir(place)]
    before = environ.get(variable)
    if there:
        environ[variable] = os.pathsep.join([*there, *([before] if before else [])])
