"""What judges deb and rpm packages of a run: real package managers, linters, loaders, elfdeps."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from tests.native_roots import AptRoot, Root
from tests.package_judges import JudgementError

LINTIAN_REASONS: dict[str, str] = {}
RPMLINT_REASONS: dict[str, str] = {}
MOST_TAGS = 10
"""Of both linters together."""

_LINTIAN_LINE = re.compile(r"^([EWIPXC]): (\S+): (\S+)")
_RPMLINT_LINE = re.compile(r"^(\S+?)(?:\.x86_64|\.noarch)?: ([EW]): (\S+)")


class Manager(Protocol):
    """apt or dnf over a root of its own."""

    root: Root

    def update(self) -> None: ...
    def install(self, *packages: str) -> None: ...
    def upgrade(self) -> None: ...
    def remove(self, *packages: str) -> None: ...
    def purge(self) -> None: ...
    def verify(self) -> None: ...
    def installed(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class Version:
    """A prefix that packages install to, by its version."""

    number: str
    """Major and minor."""

    @property
    def prefix(self) -> str:
        """Where its files go."""
        return f"/opt/rocm/core-{self.number}"


# ------------------------------------------------------------------------------ installations


def judge_debs(manager: AptRoot, pool: Path) -> int:
    """Compare each installed file with its package: content, mode, owner, links; how many."""
    owner = manager.root.path.stat().st_uid
    count = 0
    for name, version in sorted(manager.installed().items()):
        (package,) = pool.glob(f"{name}_{version}_*.deb")
        with _files_of_deb(package) as tar:
            for member in tar:
                _compare(manager.root, member, tar.extractfile(member), owner, package.name)
                count += not member.isdir()
    return count


def judge_alternatives(root: Root, version: Version, programs: Iterable[str]) -> dict[str, str]:
    """Where the alternatives lead; all have to lead into this version."""
    major = version.number.partition(".")[0]
    places = {"/opt/rocm/core": "", f"/opt/rocm/core-{major}": ""}
    for name in ("bin", "lib", "include", "llvm", "libexec", "share"):
        if root.has(f"{version.prefix}/{name}"):
            places[f"/opt/rocm/{name}"] = f"/{name}"
    places |= {f"/usr/bin/{name}": f"/bin/{name}" for name in programs}
    led = root.resolve(*places)
    meant = root.resolve(*(version.prefix + below for below in places.values()))
    for place, below in places.items():
        if led[place] != meant[version.prefix + below]:
            raise JudgementError(f"{place} leads to {led[place]}, not into {version.prefix}")
    return led


def judge_nothing_left(root: Root, before: Mapping[str, str]) -> None:
    """JudgementError when the root is not as it was."""
    after = root.files()
    differences = [
        f"{path}: {before.get(path, 'not there')} before, {after.get(path, 'not there')} now"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    if differences:
        raise JudgementError(f"{len(differences)} paths differ:\n" + "\n".join(differences[:20]))


def wants(manager: Manager, *absent: str, there: Iterable[str] = ()) -> None:
    """Of packages: none of the one kind is installed, and all of the other are."""
    installed = manager.installed()
    wrong = [name for name in absent if name in installed]
    lacking = [name for name in there if name not in installed]
    if wrong or lacking:
        raise JudgementError(f"not wanted: {wrong}; lacking: {lacking}")


@contextmanager
def _files_of_deb(package: Path) -> Iterator[tarfile.TarFile]:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar


def _compare(
    root: Root, member: tarfile.TarInfo, data: IO[bytes] | None, owner: int, package: str
) -> None:
    path = root.path / PurePosixPath(member.name)
    place = f"/{PurePosixPath(member.name)} of {package}"
    if not os.path.lexists(path):
        raise JudgementError(f"{place} is not installed")
    status = path.lstat()
    if (member.uid, member.gid, status.st_uid) != (0, 0, owner):
        raise JudgementError(f"{place} is not root's")
    if member.issym():
        if not path.is_symlink() or os.readlink(path) != member.linkname:
            raise JudgementError(f"{place} is no link to {member.linkname}")
        return
    if stat.S_IMODE(status.st_mode) != member.mode:
        raise JudgementError(f"{place} has mode {status.st_mode:o}, not {member.mode:o}")
    if member.islnk():
        if not path.samefile(root.path / PurePosixPath(member.linkname)):
            raise JudgementError(f"{place} is no hard link of {member.linkname}")
    elif member.isfile():
        assert data is not None
        with path.open("rb") as file:
            if _digest(file) != _digest(data):
                raise JudgementError(f"{place} has other content")


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------ linters


def lint_debs(packages: Iterable[Path]) -> dict[str, int]:
    """How often lintian gives each tag; JudgementError for errors and what has no reason."""
    command = ["lintian", "--no-cfg", "--allow-root", "--tag-display-limit", "0"]
    found = _lines(
        [*command, *map(str, packages)], _LINTIAN_LINE, letter=1, tag=3, environ={"TMPDIR": ""}
    )
    return _judged("lintian", found, LINTIAN_REASONS)


def lint_rpms(packages: Iterable[Path]) -> dict[str, int]:
    """How often rpmlint gives each tag; JudgementError for errors and what has no reason."""
    found = _lines(["rpmlint", *map(str, packages)], _RPMLINT_LINE, letter=2, tag=3, environ={})
    return _judged("rpmlint", found, RPMLINT_REASONS)


def _lines(
    command: list[str], line: re.Pattern[str], *, letter: int, tag: int, environ: dict[str, str]
) -> list[tuple[str, str, str]]:
    variables = {name: value for name, value in os.environ.items() if name not in environ}
    done = subprocess.run(
        command, env=variables | {"LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    found = [
        (match[letter], match[tag], said)
        for said in done.stdout.splitlines()
        if (match := line.match(said))
    ]
    if not found and done.returncode:
        raise JudgementError(f"{command[0]}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return found


def _judged(
    linter: str, found: list[tuple[str, str, str]], reasons: Mapping[str, str]
) -> dict[str, int]:
    wrong = [said for letter, tag, said in found if letter == "E" or tag not in reasons]
    if wrong:
        raise JudgementError(f"{linter} has {len(wrong)} complaints:\n" + "\n".join(wrong[:20]))
    return dict(sorted(Counter(tag for _, tag, _ in found).items()))


# ------------------------------------------------------------------------------------ elfdeps


def judge_elf_dependencies(packages: Iterable[Path], scratch: Path) -> int:
    """Compare the library names of each rpm with what ``elfdeps`` says of its files; how many.

    libpython is left out for the debugger.
    """
    count = 0
    for package in sorted(packages):
        listed = _listed_dependencies(package)
        directory = scratch / package.stem
        _unpack_rpm(package, directory)
        elf = [str(path) for path in sorted(directory.rglob("*")) if _is_elf(path)]
        for kind in ("provides", "requires"):
            told = {line for path in elf for line in _elfdeps(kind, path)}
            if "debugger" in package.name:
                told = {line for line in told if not line.startswith("libpython")}
            ours = {line for line in listed[kind] if _ELF_NAME.match(line)}
            if kind == "requires":
                told -= listed["provides"] & told - ours  # what rpm leaves out too
            if told != ours:
                raise JudgementError(
                    f"{package.name} {kind}: elfdeps only {sorted(told - ours)[:5]}, "
                    f"package only {sorted(ours - told)[:5]}"
                )
        count += len(elf)
        subprocess.run(["rm", "-rf", str(directory)], check=True)
    return count


_ELF_NAME = re.compile(r"^(\S+\(.*\)\(64bit\)|rtld\(GNU_HASH\)|\S+\(\)|\S+\.so\S*)$")


def _elfdeps(kind: str, path: str) -> list[str]:
    done = subprocess.run(
        ["/usr/lib/rpm/elfdeps", f"--{kind}"], input=f"{path}\n", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


def _listed_dependencies(package: Path) -> dict[str, set[str]]:
    return {
        kind: set(
            subprocess.check_output(["rpm", "-qp", f"--{kind}", str(package)], text=True)
            .splitlines()
        )
        for kind in ("provides", "requires")
    }  # fmt: skip


def _unpack_rpm(package: Path, directory: Path) -> None:
    directory.mkdir(parents=True)
    with subprocess.Popen(["rpm2cpio", str(package)], stdout=subprocess.PIPE) as process:
        subprocess.run(
            ["cpio", "-idm", "--quiet", "--no-absolute-filenames"], cwd=directory,
            stdin=process.stdout, check=True,
        )  # fmt: skip


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def sums(paths: Iterable[Path]) -> dict[str, str]:
    """Digests by name."""
    found = {}
    for path in sorted(paths):
        with path.open("rb") as file:
            found[path.name] = _digest(file)
    return found

