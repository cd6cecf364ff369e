"""Throw-away Debian roots that real packages are installed into, with no container engine.

``.ci/prepare-roots`` makes the root that all of them are copies of; nothing here needs a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.package_judges import PROJECT, JudgementError
from therock_outputs.indexes.repositories import Snippet

DEBIAN = PROJECT / "build" / "judges" / "debian.tar"

_NOT_COMPARED = (
    "etc/apt", "etc/ld.so.cache", "etc/yum.repos.d", "etc/zypp", "root/.rpmdb", "srv", "tmp",
    "var/cache", "var/log",
    "var/lib/apt", "var/lib/dnf", "var/lib/rpm", "var/lib/zypp", "usr/lib/sysimage",
    "var/tmp",
)  # fmt: skip
"""What package managers keep for themselves."""
_DPKG_STATE = "var/lib/dpkg"
_DPKG_COMPARED = ("alternatives", "info")
_APT_CONFIG = """\
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Dpkg::Use-Pty "false";
"""
# Programs find their libraries by /proc/self/exe. The mounts end with the command's namespace.
_WITH_MOUNTS = (
    'root=$1; shift; mount --bind /dev/null "$root/dev/null" &&'
    ' mount --rbind /proc "$root/proc" && exec "$@"'
)
_ENVIRON = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    # A program of the packages in Python must not write beside its files.
    "PYTHONDONTWRITEBYTECODE": "1",
}

_LOAD_EACH = r"""
import ctypes, os, sys
prefix, ignored, found, failed = sys.argv[1], sys.argv[2:], 0, []
for top, _, names in sorted(os.walk(prefix)):
    for name in sorted(names):
        path = f"{top}/{name}"
        if ".so" not in name or os.path.islink(path) or any(part in path for part in ignored):
            continue
        with open(path, "rb") as file:
            head = file.read(20)
        if head[:4] != b"\x7fELF" or head[16:20] != bytes([3, 0, 62, 0]):
            continue  # no shared library for x86-64
        found += 1
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            try:
                ctypes.CDLL(path)
            except OSError as error:
                os.write(write, f"{path}: {error}"[:4000].encode())
                os._exit(1)
            os._exit(0)
        os.close(write)
        said = b""
        while piece := os.read(read, 4096):
            said += piece
        os.close(read)
        if code := os.waitpid(child, 0)[1]:
            failed.append(said.decode() or f"{path}: ended with {code}")
print(found)
print("\n".join(failed))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said."""

    code: int
    text: str


@cache
def rights() -> tuple[str, ...]:
    """How a command gets root's rights and mounts of its own: in namespaces that end with it.

    JudgementError where there is no way.
    """
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    namespace = ("unshare", "--mount", *own)
    if _run([*namespace, "true"], os.environ).code == 0:
        return namespace
    raise JudgementError(
        "packages are installed with root's rights: run as root where mounting is allowed, or "
        "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    )


def unpack_base(tarball: Path, directory: Path) -> Path:
    """Unpack the root that others are copies of, with all that apt and dpkg need to be quick."""
    if not tarball.is_file():
        raise JudgementError(f"{tarball} is not there; run bash .ci/prepare-roots")
    directory.mkdir(parents=True)
    # In a user namespace there is one owner only, so all is root's everywhere.
    _checked(
        [*rights(), "tar", "-xf", str(tarball), "-C", str(directory), "--no-same-owner",
         "--exclude=./dev/*"]
    )  # fmt: skip
    (directory / "dev" / "null").touch()  # the machine's own is laid over it
    (directory / "etc/apt/apt.conf.d/99judges").write_text(_APT_CONFIG)
    (directory / "etc/dpkg/dpkg.cfg.d/judges").write_text("force-unsafe-io\n")
    # dpkg takes any empty directory away that a removed package had, /opt too; where people have
    # Debian, others have something in these.
    for place in ("opt/other", "usr/share/lintian/overrides"):
        (directory / place).mkdir(parents=True, exist_ok=True)
        (directory / place / "file").write_text("of another vendor\n")
    # What is written in place, or locked, is not shared by hard links.
    for lock in directory.glob("var/lib/dpkg/**/[Ll]ock*"):
        lock.unlink()
    return directory


@dataclass(frozen=True, slots=True)
class Root:
    """A root directory of its own, which shares the files of its base until they change."""

    path: Path

    @classmethod
    def copy(cls, base: Path, path: Path) -> Root:
        """A copy by hard links."""
        _checked([*rights(), "cp", "-al", str(base), str(path)])
        return cls(path)

    def discard(self) -> None:
        """Remove it."""
        _checked([*rights(), "rm", "-rf", "--", str(self.path)])

    def outside(self, *words: str | Path, codes: Sequence[int] | None = (0,)) -> Answer:
        """Run a program of this machine that works on the root; any exit code with None."""
        inner = ["sh", "-c", _WITH_MOUNTS, "sh", str(self.path), *map(str, words)]
        answer = _run([*rights(), *inner], _ENVIRON)
        if codes is not None and answer.code not in codes:
            said = " ".join(map(str, words))[:300]
            raise JudgementError(f"{said}: exit code {answer.code}\n{answer.text[-4000:]}")
        return answer

    def inside(self, *words: str, codes: Sequence[int] | None = (0,)) -> Answer:
        """Run a program of the root."""
        return self.outside("chroot", self.path, *words, codes=codes)

    def write(self, path: str, content: str | bytes) -> None:
        """Put a file into the root."""
        target = self.path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def lend(self, directory: Path) -> str:
        """The address of a directory of this machine, inside, where its files are shared."""
        place = self.path / "srv" / hashlib.sha256(str(directory).encode()).hexdigest()[:8]
        if not place.exists():
            _checked([*rights(), "cp", "-al", str(directory), str(place)])
        return f"file:///{place.relative_to(self.path)}"

    def resolve(self, *paths: str) -> dict[str, str]:
        """Where links lead inside; JudgementError when one leads nowhere."""
        answer = self.inside("realpath", "-e", *paths)
        return dict(zip(paths, answer.text.split(), strict=True))

    def has(self, path: str) -> bool:
        """Whether there is something of this name, be it a link to nowhere."""
        return os.path.lexists(self.path / path.lstrip("/"))

    def files(self) -> dict[str, str]:
        """All that lies in the root, but what package managers keep for themselves."""
        found: dict[str, str] = {}
        for top, directories, names in os.walk(self.path):
            below = Path(top).relative_to(self.path)
            for name in [*directories, *names]:
                path = (below / name).as_posix()
                if _is_compared(path):
                    found[path] = _description(self.path / path)
            directories[:] = [
                name for name in directories if (below / name).as_posix() not in _NOT_COMPARED
            ]
        return found

    def load_each(
        self, prefix: str, ignored: Iterable[str] = (), search: Iterable[str] = ()
    ) -> int:
        """Load each library below a prefix in a process of its own; how many there are.

        ``ignored`` are parts of paths; ``search`` are directories for libraries that name none.
        """
        words = ["python3", "-I", "-S", "-c", _LOAD_EACH, prefix, *ignored]
        count, _, failed = self.inside(*_searching(search), *words).text.partition("\n")
        if failed.strip():
            raise JudgementError(f"of {count} libraries, these do not load:\n{failed.strip()}")
        return int(count)

    def start(
        self, program: str, *words: str, codes: Sequence[int] = (0,), search: Iterable[str] = ()
    ) -> str:
        """What a program says that finds all its libraries."""
        text = self.inside(*_searching(search), program, *words, codes=codes).text
        if "shared libraries" in text:
            raise JudgementError(f"{program}: {text}")
        return text


class AptRoot:
    """A Debian with repositories of packages, used as a person does."""

    def __init__(self, base: Path, path: Path) -> None:
        self.root = Root.copy(base, path)

    def add(self, snippet: Snippet, key: bytes | None = None) -> None:
        """Put a source file where it belongs, and the key that it names."""
        self.root.write(snippet.path, snippet.text)
        if key is not None:
            self.root.write("/etc/apt/keyrings/rocm.asc", key)

    def get(self, *words: str, codes: Sequence[int] | None = (0,)) -> Answer:
        """``apt-get`` without questions."""
        return self.root.inside("apt-get", *words, codes=codes)

    def update(self) -> None:
        """``apt-get update``; a warning is a finding."""
        text = self.get("update").text
        if complaints := [line for line in text.splitlines() if line.startswith(("W:", "E:"))]:
            raise JudgementError("\n".join(complaints))

    def install(self, *packages: str) -> None:
        """Install packages and what they need."""
        self.get("install", *packages)

    def upgrade(self) -> None:
        """Bring all packages to their newest versions, new ones for that included."""
        self.get("dist-upgrade")

    def remove(self, *packages: str) -> None:
        """Remove packages, and what was installed for them alone."""
        self.get("remove", "--autoremove", *packages)

    def purge(self) -> None:
        """Remove all of ROCm, and whatever dpkg still knows of it."""
        names = [name for name, _ in self._known()]
        self.get("purge", *names)
        if left := self._known():
            raise JudgementError(f"purged, and dpkg knows of {left}")

    def installed(self) -> dict[str, str]:
        """Versions of the installed packages of ROCm by name."""
        answer = self.root.inside(
            "dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\\n"
        )
        rows = (line.split() for line in answer.text.splitlines())
        return {
            name: version
            for name, version, state in rows
            if name.startswith("amdrocm") and state == "installed"
        }

    def verify(self) -> None:
        """Let dpkg look for packages that are not whole, and for files that changed."""
        if not (names := self.installed()):
            raise JudgementError("no package is installed")
        for words in (("--audit",), ("--verify", *names)):
            if said := self.root.inside("dpkg", *words).text.strip():
                raise JudgementError(f"dpkg {words[0]}: {said}")
        self.get("check")

    def discard(self) -> None:
        """Remove it."""
        self.root.discard()

    def _known(self) -> list[tuple[str, str]]:
        answer = self.root.inside("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n")
        rows = (line.split() for line in answer.text.splitlines())
        return [(name, state) for name, state in rows if name.startswith("amdrocm")]


class DnfRoot:
    """The same Debian under dnf, to which one rpm stands for all that is there already."""

    def __init__(self, base: Path, path: Path, stub: Path) -> None:
        self.root = Root.copy(base, path)
        self.work = path.with_name(f"{path.name}-dnf")
        for name in ("repos", "logs"):
            (self.work / name).mkdir(parents=True)
        (self.work / "dnf.conf").write_text("[main]\nplugins=0\nretries=1\ntimeout=20\n")
        self.run("install", str(stub))

    def add(self, snippet: Snippet) -> None:
        """Put a source file among those that dnf reads."""
        (self.work / "repos" / Path(snippet.path).name).write_text(snippet.text)

    def run(self, *words: str, codes: Sequence[int] | None = (0,)) -> Answer:
        """Run dnf without questions, and without what it kept of earlier metadata."""
        return self.root.outside(
            "dnf", "--config", self.work / "dnf.conf", "--installroot", self.root.path,
            "--releasever", "1", "--forcearch", "x86_64",
            f"--setopt=reposdir={self.work / 'repos'}", f"--setopt=cachedir={self.work / 'cache'}",
            f"--setopt=logdir={self.work / 'logs'}", "--assumeyes", "--refresh", *words,
            codes=codes,
        )  # fmt: skip

    def update(self) -> None:
        """Read the metadata."""
        self.run("makecache")

    def install(self, *packages: str) -> None:
        """Install packages and what they need; a scriptlet that fails is a finding."""
        self._changed("install", *packages)

    def upgrade(self) -> None:
        """Bring all packages to their newest versions."""
        self._changed("upgrade")

    def remove(self, *packages: str) -> None:
        """Remove packages, and what was installed for them alone."""
        self._changed("remove", *packages)

    def purge(self) -> None:
        """Remove all of ROCm."""
        self._changed("remove", "amdrocm*")
        if left := self.installed():
            raise JudgementError(f"removed, and rpm knows of {sorted(left)}")

    def installed(self) -> dict[str, str]:
        """Versions and releases of the installed packages of ROCm by name."""
        text = self._rpm("-qa", "--qf", "%{name} %{version}-%{release}\\n").text
        rows = (line.split() for line in text.splitlines())
        return {name: version for name, version in rows if name.startswith("amdrocm")}

    def verify(self) -> None:
        """Let rpm compare size, mode, digest, owner, link and dependencies of all packages."""
        if not (names := self.installed()):
            raise JudgementError("no package is installed")
        self._rpm("-V", *names)

    def discard(self) -> None:
        """Remove it with what dnf kept."""
        self.root.discard()
        _checked([*rights(), "rm", "-rf", "--", str(self.work)])

    def _rpm(self, *words: str) -> Answer:
        return self.root.outside("rpm", "--root", self.root.path, *words)

    def _changed(self, *words: str) -> None:
        text = self.run(*words).text
        complaints = [
            line for line in text.splitlines()
            if "scriptlet" in line.lower() and "fail" in line.lower()
        ]  # fmt: skip
        if complaints:
            raise JudgementError("\n".join(complaints))


class ZypperRoot:
    """The same under zypper."""

    def __init__(self, base: Path, path: Path, stub: Path) -> None:
        self.root = Root.copy(base, path)
        self.root.outside("rpm", "--root", path, "--nodigest", "-i", stub)

    def add(self, snippet: Snippet) -> None:
        """Put a source file where it belongs."""
        self.root.write(snippet.path, snippet.text)

    def run(self, *words: str, codes: Sequence[int] | None = (0,)) -> Answer:
        """Run zypper without questions."""
        return self.root.outside(
            "zypper", "--root", self.root.path, "--non-interactive", *words, codes=codes
        )

    def found(self) -> set[str]:
        """The names of all packages that it knows of a repository."""
        rows = (
            line.split("|") for line in self.run("search", "--type", "package").text.split("\n")
        )
        return {row[1].strip() for row in rows if len(row) > 3 and "amdrocm" in row[1]}


def make_stub(base: Path, directory: Path, more: Iterable[str] = ()) -> Path:
    """An rpm that provides what the base has: /bin/sh, python3, its libraries as rpm names them.

    No rpm distribution can be had where the tests run, so Debian stands for one. ``more`` is what
    is taken for granted beyond that.
    """
    libraries = sorted((base / "usr/lib/x86_64-linux-gnu").glob("*.so.*"))
    told = subprocess.run(
        ["/usr/lib/rpm/elfdeps", "--provides"],
        input="".join(f"{path}\n" for path in libraries),
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    python = next((base / "usr/bin").glob("python3.[0-9]*")).name.removeprefix("python")
    provides = sorted({
        *told, "/bin/sh", "/bin/bash", "/usr/bin/env", "/usr/bin/perl", "/usr/bin/python3",
        "/usr/bin/sh", "/usr/bin/bash", f"python3 = {python}", "rtld(GNU_HASH)",
        *more,
    })  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    spec = directory / "stub.spec"
    spec.write_text(
        "Name: debian-base\nVersion: 1\nRelease: 1\nSummary: what is there\nLicense: MIT\n"
        "BuildArch: x86_64\nAutoReqProv: no\n"
        + "".join(f"Provides: {what}\n" for what in provides)
        + "%description\nWhat is there.\n%files\n"
    )
    _checked(
        ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", f"_topdir {directory}",
         "--define", f"_rpmdir {directory}/out", str(spec)]
    )  # fmt: skip
    (built,) = (directory / "out").rglob("*.rpm")
    return built


def _searching(directories: Iterable[str]) -> list[str]:
    return ["env", f"LD_LIBRARY_PATH={':'.join(directories)}"]


def _is_compared(path: str) -> bool:
    if path.startswith(f"{_DPKG_STATE}/"):
        inner = path.removeprefix(f"{_DPKG_STATE}/")
        return inner.startswith(_DPKG_COMPARED)
    return not path.startswith(tuple(f"{place}/" for place in _NOT_COMPARED)) and (
        path not in _NOT_COMPARED
    )


def _description(path: Path) -> str:
    status = path.lstat()
    if path.is_symlink():
        return f"-> {path.readlink()}"
    size = status.st_size if path.is_file() else 0
    return f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {size}"


def _checked(command: Sequence[str]) -> None:
    answer = _run(command, _ENVIRON)
    if answer.code:
        raise JudgementError(f"{' '.join(command)[:300]}: {answer.text[-2000:]}")


def _run(command: Sequence[str], environ: os._Environ[str] | dict[str, str]) -> Answer:
    if shutil.which(command[0], path=_ENVIRON["PATH"]) is None:
        raise JudgementError(f"{command[0]} is missing; .ci/system-packages.txt names its package")
    done = subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout)
