"""The commands that install what a release has made. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from therock_outputs.formatting import is_address
from therock_outputs.indexes.repositories import Snippet
from therock_outputs.layout import PackageFormat

__all__ = [
    "Installation",
    "NativeRepository",
    "PythonPlace",
    "install_native",
    "install_python",
    "install_tarball",
]

_SDIST = re.compile(r"rocm-(?P<version>\d[^/]*)\.tar\.gz")
_PACKAGE = re.compile(r"(?P<name>[a-z0-9.+-]+?)(?:_|-(?=\d))[^/]*\.(?:deb|rpm)")
_GATHERING = ("amdrocm-core-sdk", "amdrocm-core")
"""Packages that bring much of ROCm; the first one that there is, is shown."""
_DEVICE = re.compile(r"rocm_sdk_device_(?P<target>gfx[0-9a-z]+)-")


@dataclass(frozen=True, slots=True)
class Installation:
    """One way to install something of a run."""

    what: str
    """As in ``a tarball``."""
    commands: tuple[str, ...]
    """For a POSIX shell, in this order."""


@dataclass(frozen=True, slots=True)
class PythonPlace:
    """A directory of Python packages with an index of its own, and where its parts are reached."""

    group: str | None
    """The family of an unsplit run; None where one place has them all."""
    filenames: tuple[str, ...]
    index_url: str
    """An address, or a path on this disk."""
    deps_url: str
    """The index of what they depend on, in the same form."""
    has_deps: bool
    """Whether that index is there already."""
    run_flags: tuple[str, ...]
    """What tells the tasks which run in which staging directory: ``--run-id``, ``N``, …"""


@dataclass(frozen=True, slots=True)
class NativeRepository:
    """A repository of deb or rpm packages."""

    kind: PackageFormat
    url: str
    """What a source line names: ``file:``, ``http:`` or ``https:``; ends in ``/``."""
    packages: int
    size: int
    """Bytes of the packages of this release."""
    snippets: tuple[Snippet, ...]
    """Files that tell a package manager of it; the first is enough."""
    key_url: str | None
    """The public key of its signatures; None: not signed."""
    filenames: tuple[str, ...]


def install_tarball(urls: Sequence[str]) -> Installation | None:
    """Unpack the first tarball; None without one."""
    if not urls:
        return None
    url = urls[0]
    flags = "--zstd -x" if url.endswith(".zst") else "-xz"
    unpack = (
        f"curl -fL {shlex.quote(url)} | tar {flags} -C rocm"
        if is_address(url)
        else f"tar {flags} -f {shlex.quote(url)} -C rocm"
    )
    return Installation("a tarball", ("mkdir -p rocm", unpack))


def install_python(places: Iterable[PythonPlace]) -> Installation | None:
    """Install the selector with what it selects; None where no place has a selector."""
    for place in places:
        requirement = _requirement(place.filenames)
        if requirement is None:
            continue
        if is_address(place.index_url):
            command = ["pip", "install", "--index-url", place.deps_url]
            command += ["--extra-index-url", place.index_url, requirement]
            return Installation("Python packages", (shlex.join(command),))
        commands = []
        if not place.has_deps:
            staging = place.run_flags[place.run_flags.index("--staging-dir") :]
            commands.append(shlex.join(["./inv", "mirror-deps", *staging]))
        command = ["./inv", "setup-venv", "rocm-venv", *place.run_flags]
        if place.group:
            command += ["--artifact-group", place.group]
        commands.append(shlex.join([*command, "--packages", requirement]))
        return Installation("Python packages", tuple(commands))
    return None


def install_native(repository: NativeRepository) -> Installation:
    """Tell the machine of the repository, and install what gathers most of it."""
    source = repository.snippets[0]
    lines = source.text.splitlines()
    commands = []
    if repository.key_url is not None and repository.kind is PackageFormat.DEB:
        key = shlex.join(["curl", "-fL", repository.key_url])
        commands.append(f"{key} | sudo tee /etc/apt/keyrings/rocm.asc >/dev/null")
    commands.append(f"printf '%s\\n' {shlex.join(lines)} | sudo tee {source.path}")
    names = [match["name"] for name in repository.filenames if (match := _PACKAGE.fullmatch(name))]
    wanted = next((name for name in (*_GATHERING, *sorted(names)) if name in names), None)
    program = "apt-get" if repository.kind is PackageFormat.DEB else "dnf"
    if repository.kind is PackageFormat.DEB:
        commands.append("sudo apt-get update")
    if wanted:
        commands.append(f"sudo {program} install {wanted}")
    return Installation(f"{repository.kind} packages", tuple(commands))


def _requirement(filenames: Iterable[str]) -> str | None:
    """What pip is asked for: libraries, and the code of one GPU target where it is apart."""
    names = sorted(filenames)
    version = next((match["version"] for name in names if (match := _SDIST.fullmatch(name))), None)
    if version is None:
        return None
    targets = [match["target"] for name in names if (match := _DEVICE.match(name))]
    extras = ["libraries"] if any(name.startswith("rocm_sdk_libraries") for name in names) else []
    extras += [f"device-{targets[0]}"] if targets else []
    return f"rocm[{','.join(extras)}]=={version}" if extras else f"rocm=={version}"
