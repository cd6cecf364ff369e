"""What judges installed deb and rpm packages of a run, for tests and for a script on real runs."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from tests.native_roots import AptRoot, Root
from tests.package_judges import JudgementError


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
                data = tar.extractfile(member) if member.isfile() else None
                _compare(manager.root, member, data, owner, package.name)
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
        if not path.is_symlink() or str(path.readlink()) != member.linkname:
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


def sums(paths: Iterable[Path]) -> dict[str, str]:
    """Digests by name."""
    found = {}
    for path in sorted(paths):
        with path.open("rb") as file:
            found[path.name] = _digest(file)
    return found
