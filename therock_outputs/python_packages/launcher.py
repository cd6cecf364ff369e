"""The small program that stands for a link to a program: it runs what the link pointed to.

It comes prebuilt in ``data/``; ``python -m therock_outputs.python_packages.launcher gcc`` makes
it anew from the source beside it, into that directory.
"""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from therock_outputs.errors import NotFoundError, OutputsError, UsageError

__all__ = ["build_launcher", "launcher_for", "prebuilt_launcher"]

_PACKAGE = "therock_outputs.python_packages"
_PLACEHOLDER = b"@therock-launcher-target@"
_ROOM = 1024
"""Bytes of the placeholder, the end mark included."""
_PREBUILT = ("x86_64",)
_FLAGS = (
    "-Os", "-std=gnu11", "-Wall", "-Wextra", "-static", "-nostdlib", "-nostartfiles",
    "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-fno-builtin", "-fcf-protection=none", "-fno-pie", "-no-pie", "-s",
    "-Wl,-z,max-page-size=4096", "-Wl,--build-id=none",
    "-Wl,-z,noseparate-code", "-Wl,-z,norelro", "-Wl,-z,noexecstack",
)  # fmt: skip


def launcher_for(target: str, template: bytes) -> bytes:
    """A launcher for the program at ``target``, relative to the launcher's own directory."""
    text = target.encode("utf-8", "surrogateescape")
    if len(text) >= _ROOM:
        raise OutputsError(f"a link to {target!r} is too long for a launcher; shorten its path")
    at = template.find(_PLACEHOLDER)
    if at < 0 or template.count(_PLACEHOLDER) != 1:
        raise UsageError("the launcher has no placeholder; build it from the project's own source")
    return template[:at] + text.ljust(_ROOM, b"\0") + template[at + _ROOM :]


def prebuilt_launcher(platform_tag: str) -> bytes:
    """The launcher for a wheel's platform; NotFoundError when none comes with the project."""
    for machine in _PREBUILT:
        if platform_tag.endswith(machine) and "linux" in platform_tag:
            return _data(f"launcher-{machine}.bin")
    raise NotFoundError(
        f"no launcher for {platform_tag} comes with this project; give --launcher-cc with a C "
        "compiler for it"
    )


def build_launcher(compiler: str) -> bytes:
    """Compile the launcher. OutputsError when the compiler fails."""
    flags = [f for f in _FLAGS if platform.machine() == "x86_64" or "cf-protection" not in f]
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "launcher.c"
        source.write_bytes(_data("launcher.c"))
        output = source.with_suffix("")
        try:
            subprocess.run(
                [compiler, *flags, "-o", str(output), str(source)],
                check=True,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise NotFoundError(f"--launcher-cc: there is no {compiler!r}") from None
        except subprocess.CalledProcessError as error:
            raise OutputsError(
                f"--launcher-cc: {compiler} cannot build the launcher: {error.stderr}"
            ) from None
        return output.read_bytes()


@functools.cache
def _data(name: str) -> bytes:
    return resources.files(_PACKAGE).joinpath("data", name).read_bytes()


if __name__ == "__main__":
    _place = Path(__file__).parent / "data" / f"launcher-{platform.machine()}.bin"
    _place.write_bytes(build_launcher(*sys.argv[1:]))
