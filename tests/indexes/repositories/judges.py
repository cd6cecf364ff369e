"""The package managers that judge the repositories, each with a state of its own and no root."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from therock_outputs.indexes.repositories import Snippet


@dataclass(frozen=True, slots=True)
class Answer:
    """What a package manager said."""

    code: int
    out: str
    text: str
    """All of it, with the warnings and errors."""


class Apt:
    """apt-get with its own directories, its own dpkg status, and one source."""

    def __init__(self, top: Path, snippet: Snippet, key: bytes | None = None) -> None:
        self.top = top
        for name in ("etc/sources.list.d", "etc/keyrings", "etc/apt.conf.d", "etc/trusted.gpg.d",
                     "etc/preferences.d", "lists/partial", "cache/archives/partial",
                     "dpkg"):  # fmt: skip
            (top / name).mkdir(parents=True, exist_ok=True)
        (top / "dpkg/status").write_text("")
        (top / "apt.conf").write_text("")
        text = snippet.text.replace("/etc/apt/keyrings", str(top / "etc/keyrings"))
        (top / "etc/sources.list.d" / Path(snippet.path).name).write_text(text)
        if key is not None:
            (top / "etc/keyrings/rocm.asc").write_bytes(key)
        options = {
            "Dir::Etc": top / "etc",
            "Dir::Etc::sourcelist": top / "none",
            "Dir::Etc::sourceparts": top / "etc/sources.list.d",
            "Dir::Etc::parts": top / "etc/apt.conf.d",
            "Dir::Etc::main": top / "etc/apt.conf",
            "Dir::Etc::trusted": top / "none",
            "Dir::Etc::trustedparts": top / "etc/trusted.gpg.d",
            "Dir::Etc::preferencesparts": top / "etc/preferences.d",
            "Dir::State": top,
            "Dir::State::lists": top / "lists",
            "Dir::State::status": top / "dpkg/status",
            "Dir::Cache": top / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "0",
            "APT::Update::Error-Mode": "any",
            "Debug::NoLocking": "1",
        }
        self._options = [w for name, value in options.items() for w in ("-o", f"{name}={value}")]

    def run(self, program: str, *words: str) -> Answer:
        """Run apt-get or apt-cache."""
        return _run(
            [program, *self._options, *words], self.top, APT_CONFIG=str(self.top / "apt.conf")
        )

    def update(self) -> Answer:
        """``apt-get update``."""
        return self.run("apt-get", "update")

    def versions(self, package: str) -> list[str]:
        """The versions of a package that apt knows, the newest first."""
        answer = self.run("apt-cache", "madison", package)
        return [line.split("|")[1].strip() for line in answer.out.splitlines() if "|" in line]

    def packages(self) -> set[str]:
        """All packages that apt knows."""
        return set(self.run("apt-cache", "pkgnames").out.split())

    def download(self, *packages: str) -> Answer:
        """Fetch packages with all that they need and compare their digests.

        They lie in ``archives`` then, unless their address is a ``file:`` one.
        """
        return self.run("apt-get", "--yes", "--download-only", "install", *packages)

    @property
    def archives(self) -> set[str]:
        """The packages that were fetched."""
        return {path.name for path in (self.top / "cache/archives").glob("*.deb")}

    def install_on_paper(self, *files: tuple[str, bytes]) -> None:
        """Have dpkg's status say that packages are installed."""
        paragraphs = []
        for _, data in files:
            with TemporaryDirectory() as top:
                path = Path(top, "package.deb")
                path.write_bytes(data)
                control = subprocess.check_output(["dpkg-deb", "--field", str(path)], text=True)
            paragraphs.append(control.replace("\n", "\nStatus: install ok installed\n", 1))
        (self.top / "dpkg/status").write_text("\n".join(paragraphs))


class Dnf:
    """dnf with an installation root, a configuration and a cache of its own."""

    def __init__(self, top: Path, snippet: Snippet) -> None:
        self.top = top
        (top / "repos").mkdir(parents=True)
        (top / "root").mkdir()
        (top / "repos/rocm.repo").write_text(snippet.text)
        (top / "dnf.conf").write_text("[main]\nplugins=0\nretries=1\ntimeout=20\n")

    def run(self, *words: str) -> Answer:
        """Run dnf without looking at what it kept of earlier metadata."""
        command = [
            *("dnf", "--config", str(self.top / "dnf.conf"), "--installroot"),
            *(str(self.top / "root"), "--releasever", "1", "--forcearch", "x86_64"),
            f"--setopt=reposdir={self.top / 'repos'}",
            f"--setopt=cachedir={self.top / 'cache'}",
            *("--assumeyes", "--quiet", "--refresh", *words),
        ]
        return _run(command, self.top)

    def available(self) -> set[str]:
        """Names, versions and releases of all packages."""
        answer = self.run("repoquery", "--qf", "%{name}-%{evr}", "--all", "--available")
        assert answer.code == 0, answer.text
        return set(answer.out.split())

    def download(self, *packages: str) -> Answer:
        """Fetch packages with all that they need, as an installation would."""
        return self.run("install", "--downloadonly", f"--destdir={self.top / 'out'}", *packages)

    @property
    def archives(self) -> set[str]:
        """The packages that were fetched."""
        return {path.name for path in (self.top / "out").glob("*.rpm")}


class Zypper:
    """zypper over a root of its own."""

    def __init__(self, top: Path, snippet: Snippet) -> None:
        self.top = top
        (top / "etc/zypp/repos.d").mkdir(parents=True)
        (top / "etc/zypp/repos.d/rocm.repo").write_text(snippet.text)

    def run(self, *words: str) -> Answer:
        """Run zypper without questions."""
        command = ["zypper", "--root", str(self.top), "--non-interactive", *words]
        return _run(command, self.top, ZYPP_LOCK_TIMEOUT="60")

    def refresh(self, *words: str) -> Answer:
        """Read the metadata."""
        return self.run(*words, "refresh", "--force")

    def available(self) -> set[str]:
        """Names and versions of all packages."""
        answer = self.run("search", "--details", "--type", "package")
        rows = [
            re.split(r" *\| *", line) for line in answer.out.splitlines() if "| package |" in line
        ]
        return {f"{row[1].strip()}-{row[3]}" for row in rows}


def _run(command: Sequence[str], home: Path, **environ: str) -> Answer:
    done = subprocess.run(
        command,
        env={
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
            "HOME": str(home),
            "LC_ALL": "C",
            **environ,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stdout + done.stderr)
