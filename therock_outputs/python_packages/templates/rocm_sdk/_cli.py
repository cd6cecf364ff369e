"""The ``rocm-sdk`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import _dist_info
from ._errors import RocmSdkError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for a failure, or 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "version":
            print(_dist_info.VERSION)
        elif options.command == "targets":
            print(" ".join(_targets()))
        elif options.command == "path":
            print(_path(options.what))
        elif options.command == "init":
            print(_init(again=options.again))
        else:
            return _test()
    except RocmSdkError as error:
        print(f"rocm-sdk: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rocm-sdk", description="Find and test the ROCm that pip installed."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("version", help="the version that all packages have")
    commands.add_parser("targets", help="the GPU targets that the run was built for")
    path = commands.add_parser("path", help="directories of the development files")
    what = path.add_mutually_exclusive_group(required=True)
    for name, text in (
        ("root", "the install prefix, as ROCM_PATH"),
        ("bin", "the programs"),
        ("cmake", "for CMAKE_PREFIX_PATH"),
    ):
        what.add_argument(f"--{name}", dest="what", action="store_const", const=name, help=text)
    init = commands.add_parser("init", help="expand the development files now")
    init.add_argument("--again", action="store_true", help="even if that has been done")
    commands.add_parser("test", help="test the installation; needs no GPU")
    return parser


def _targets() -> Sequence[str]:
    own = _dist_info.WINDOWS_TARGETS if sys.platform == "win32" else _dist_info.LINUX_TARGETS
    if not _dist_info.LINUX_TARGETS and not _dist_info.WINDOWS_TARGETS:
        return _dist_info.TARGETS
    return [target for target in _dist_info.TARGETS if target in own]


def _path(what: str) -> str:
    from ._devel import devel_root
    from ._environment import installation

    root = devel_root(installation())
    return str(root / {"root": "", "bin": "bin", "cmake": os.path.join("lib", "cmake")}[what])


def _init(*, again: bool) -> str:
    from ._devel import expand
    from ._environment import installation

    return str(expand(installation(), os.environ, again=again))


def _test() -> int:
    from ._checks import Status, run_checks

    counts = dict.fromkeys(Status, 0)
    for outcome in run_checks():
        counts[outcome.status] += 1
        detail = f": {outcome.detail}" if outcome.detail else ""
        print(f"{outcome.status.value:<5}{outcome.name}{detail}", flush=True)
    print(", ".join(f"{number} {status.value.lower()}" for status, number in counts.items()))
    return 1 if counts[Status.FAILED] else 0
