"""A virtual environment on this machine: made, filled and asked, with uv or with pip."""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import NotFoundError, OutputsError, UsageError
from therock_outputs.indexes.lookup import Source, SourceKind

__all__ = ["Installer", "VirtualEnv", "choose_installer", "run_told"]

_MARK = "pyvenv.cfg"
# What else could make an installer look elsewhere: its files, and these variables.
_ELSEWHERE = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_PRE",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_CONFIG_FILE",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_OFFLINE",
    "UV_PRERELEASE",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)


class Installer(enum.Enum):
    """The program that makes the environment and installs into it."""

    UV = "uv"
    PIP = "pip"


@dataclass(frozen=True, slots=True)
class VirtualEnv:
    """An environment, whether it is there yet or not, and the installer to use on it."""

    directory: Path
    installer: Installer
    uv: str = "uv"
    """The program, where uv is the installer."""

    @property
    def bin(self) -> Path:
        """Where its programs lie."""
        return self.directory / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / ("python.exe" if os.name == "nt" else "python")

    def must_be_made(self, *, clean: bool) -> bool:
        """Whether it is still to be made; with ``clean`` one that is there does not count.

        UsageError for a directory with anything else in it, which is never removed.
        """
        if not os.path.lexists(self.directory):
            return True
        is_env = (self.directory / _MARK).is_file() and not self.directory.is_symlink()
        if not is_env:
            if not self.directory.is_dir() or any(self.directory.iterdir()):
                raise UsageError(
                    f"{self.directory} is there and is no virtual environment; name another "
                    "directory or remove it"
                )
            return True
        if not clean and not self.python.exists():
            raise UsageError(f"{self.directory} has lost its interpreter; give --clean")
        return clean

    def clear(self) -> None:
        """Remove the environment that is there, if any."""
        if (self.directory / _MARK).is_file():
            shutil.rmtree(self.directory)

    def create_command(self, python: str | None) -> list[str]:
        """Make it; ``python`` is another interpreter than this one, by version or path."""
        if self.installer is Installer.UV:
            return [self.uv, "venv", "--no-config", "--python", python or sys.executable,
                    str(self.directory)]  # fmt: skip
        return [_interpreter(python), "-m", "venv", str(self.directory)]

    def install_command(
        self, sources: Sequence[Source], requirements: Sequence[str], *, pre: bool
    ) -> list[str]:
        """Install from the sources and nowhere else.

        What the selector requires depends on the machine, so that one that was built before is
        not used again.
        """
        where = _where(sources)
        if self.installer is Installer.UV:
            command = [self.uv, "pip", "install", "--no-config", "--python", str(self.python)]
            command += ["--refresh-package", "rocm"]
            prerelease = ["--prerelease=allow"]
        else:
            command = [str(self.python), "-m", "pip", "install", "--no-input", "--no-cache-dir"]
            prerelease = ["--pre"]
        return [*command, *where, *(prerelease if pre else []), "--", *requirements]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The variables for these commands: none that names another index.

        pip's configuration files are left out as a whole; certificates and proxies that stand in
        them can be given as PIP_CERT and PIP_PROXY.
        """
        kept = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
        return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def choose_installer(wanted: str | None, directory: Path) -> VirtualEnv:
    """uv when there is one, else pip, unless one is asked for by name."""
    uv = shutil.which("uv")
    if uv is None:
        beside = Path(sys.prefix) / "bin" / "uv"
        uv = str(beside) if beside.is_file() else None
    directory = directory.absolute()
    if wanted == Installer.PIP.value or (wanted is None and uv is None):
        return VirtualEnv(directory, Installer.PIP)
    if uv is None:
        raise NotFoundError("there is no uv on PATH; install it, or leave out --installer")
    return VirtualEnv(directory, Installer.UV, uv)


def run_told(
    command: Sequence[str], environ: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Run a program and pass on each line that it says; OutputsError when it fails."""
    last = ""
    try:
        with subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 - piped
            for line in process.stdout:
                tell(line.rstrip("\n"))
                last = line.strip() or last
    except OSError as error:
        raise NotFoundError(f"{command[0]} cannot be run: {error.strerror}") from error
    if process.returncode:
        raise OutputsError(
            f"{' '.join(command[:4])} … failed with {process.returncode}: {last or 'no word'}"
        )


def _where(sources: Sequence[Source]) -> list[str]:
    words: list[str] = []
    indexes = [source.url for source in sources if source.kind is SourceKind.INDEX]
    words += ["--index-url", indexes[0]] if indexes else ["--no-index"]
    words += [word for url in indexes[1:] for word in ("--extra-index-url", url)]
    for source in sources:
        if source.kind is SourceKind.FIND_LINKS:
            words += ["--find-links", source.url]
    return words


def _interpreter(python: str | None) -> str:
    if python is None:
        return sys.executable
    for name in (python, f"python{python}"):
        found = shutil.which(name)
        if found:
            return found
    raise NotFoundError(f"there is no Python {python!r} on PATH; name its file, or install uv")
