"""What this machine has and lacks for each task; nothing is changed, nothing is fetched."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.console import Console
from therock_outputs.formatting import format_size
from therock_outputs.settings import Settings

__all__ = ["Finding", "examine", "report"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a task needs or is better with."""

    tasks: str
    """The tasks that it is for."""
    what: str
    present: bool
    found: str
    """What is there: a path, a version, an amount."""
    advice: str = ""
    """What to do when it is not there."""


@dataclass(frozen=True, slots=True)
class _Program:
    tasks: str
    names: tuple[str, ...]
    """Any of these will do."""
    advice: str


_PROGRAMS = (
    _Program("baseline-artifacts, test", ("git",), "apt install git"),
    _Program("test", ("bsdtar",), "apt install libarchive-tools"),
    _Program("test", ("7z", "7zz"), "apt install p7zip-full"),
    _Program("test", ("node",), "apt install nodejs"),
    _Program("test", ("java",), "apt install default-jdk-headless"),
    _Program("test", ("javac",), "apt install default-jdk-headless"),
    _Program("test", ("go",), "apt install golang-go"),
    _Program("test", ("curl",), "apt install curl"),
    _Program("test, bench", ("tar",), "apt install tar"),
    _Program("test, bench", ("zstd",), "apt install zstd"),
    _Program("test", ("xz",), "apt install xz-utils"),
    _Program("test", ("gcc", "cc"), "apt install gcc"),
    _Program("test", ("chromium",), "apt install chromium"),
    _Program("test", ("dpkg-deb",), "apt install dpkg"),
    _Program("test", ("dpkg-buildpackage",), "apt install dpkg-dev"),
    _Program("test", ("dh",), "apt install debhelper"),
    _Program("test", ("apt-get",), "apt install apt"),
    _Program("test", ("rpmbuild",), "apt install rpm"),
    _Program("test", ("createrepo_c",), "apt install createrepo-c"),
    _Program("test", ("dnf",), "apt install dnf"),
    _Program("test", ("zypper",), "apt install zypper"),
    _Program("test", ("lintian",), "apt install lintian"),
    _Program("test", ("rpmlint",), "apt install rpmlint"),
    _Program("test", ("readelf",), "apt install binutils"),
    _Program("test", ("unshare",), "apt install util-linux"),
    _Program("test", ("mmdebstrap",), "apt install mmdebstrap"),
    _Program("test", ("busybox",), "apt install busybox"),
    _Program("test", ("cpio",), "apt install cpio"),
    _Program("build-native-packages, promote, test", ("gpg",), "apt install gnupg"),
)

_MODULES = {
    "mirror-deps": ("pip",),
    "test": ("pytest", "xdist", "pytest_cov", "moto"),
    "lint": ("ruff", "mypy"),
    "bench": ("isal", "zlib_ng"),
}

_ENOUGH_DISK = 20_000_000_000
"""Bytes: a full run, its tarballs and their segments."""


def examine(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at this machine."""
    environ = os.environ if environ is None else environ
    return [
        *_machine(settings),
        *_storage(settings, environ),
        _github(settings, environ),
        *(_program(program, environ) for program in _PROGRAMS),
        *(_module(task, name) for task, names in _MODULES.items() for name in names),
    ]


def report(findings: list[Finding], console: Console) -> None:
    """Print the findings as a table, and what to do about what is lacking."""
    rows = [
        (finding.tasks, finding.what, "yes" if finding.present else "NO", finding.found)
        for finding in findings
    ]
    console.table(("for", "what", "here", "found"), rows)
    lacking = [finding for finding in findings if not finding.present]
    console.say()
    for finding in lacking:
        console.say(f"{finding.what} is lacking for {finding.tasks}: {finding.advice}")
    if not lacking:
        console.say("Nothing is lacking.")


def _machine(settings: Settings) -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    return [
        Finding("all", "Python 3.11 or newer", present=True, found=platform.python_version()),
        Finding("all", "processors", present=True, found=str(settings.jobs)),
        Finding(
            "release",
            "room on this disk",
            present=free >= _ENOUGH_DISK,
            found=format_size(free),
            advice=f"a full run needs about {format_size(_ENOUGH_DISK)}; see --work-dir",
        ),
    ]


def _storage(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    findings = []
    if settings.staging_dir is not None:
        above = _nearest_directory(settings.staging_dir)
        findings.append(
            Finding(
                "all",
                "a staging directory to write to",
                present=os.access(above, os.W_OK),
                found=str(settings.staging_dir),
                advice=f"{above} is not writable for this user",
            )
        )
    source = _credentials(environ)
    findings.append(
        Finding(
            "upload, push",
            "credentials for S3",
            present=source is not None,
            found=source or "",
            advice="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
            "reading needs none, and --staging-dir needs none",
        )
    )
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    findings.append(Finding("all", "S3 server", present=True, found=endpoint or "Amazon's"))
    return findings


def _github(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Whether there may be a token; gh is not asked, because it may ask a person."""
    found = (
        "GITHUB_TOKEN" if settings.github_token else shutil.which("gh", path=environ.get("PATH"))
    )
    return Finding(
        "find-artifacts, --commit, --latest",
        "a token for GitHub",
        present=bool(found),
        found=found or "",
        advice="set GITHUB_TOKEN, or install gh and log in; without one GitHub answers 60 "
        "questions an hour",
    )


def _credentials(environ: Mapping[str, str]) -> str | None:
    """Where boto3 will find credentials; their value is never looked at."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        if environ.get(name):
            return name
    home = Path(environ.get("HOME") or "/")
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    return str(path) if path.is_file() else None


def _nearest_directory(path: Path) -> Path:
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _program(program: _Program, environ: Mapping[str, str]) -> Finding:
    search = environ.get("PATH", "")
    paths = [shutil.which(name, path=search) for name in program.names]
    found = next((path for path in paths if path), "")
    return Finding(program.tasks, program.names[0], bool(found), found, program.advice)


def _module(task: str, name: str) -> Finding:
    present = importlib.util.find_spec(name) is not None
    return Finding(
        task,
        f"Python module {name}",
        present=present,
        found="installed" if present else "",
        advice="remove .venv and run ./inv again",
    )
