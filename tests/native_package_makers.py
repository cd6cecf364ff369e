"""Archives, plans and packages for the tests of the writers, and the system's tools on them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.archives import Kind, open_archive
from therock_outputs.artifacts.entries import Entry
from therock_outputs.artifacts.names import parse_archive_filename
from therock_outputs.artifacts.pack import PackSettings, write_archive
from therock_outputs.native_packages.build import (
    Compression,
    NativePackageResult,
    build_native_packages,
)
from therock_outputs.native_packages.package import Content, PackageFormat, PackagePlan, Scripts
from therock_outputs.signing import Signer

MTIME = 315532800
STAGE = "core/clr/stage"
ARCHIVE = "core-hip_lib_generic.tar.zst"
PREFIX = "/opt/rocm/core-7.13"
DEB, RPM = PackageFormat.DEB, PackageFormat.RPM

_PLAIN = PackagePlan(
    format=DEB,
    name="amdrocm-runtime7.13",
    version="7.13.0~20251124",
    release="1",
    architecture="amd64",
    summary="Runtime that programs for AMD GPUs are started with",
    description="Libraries and tools of the runtime.\n\nThey come from one build of TheRock.",
    section="devel",
    priority="optional",
    group="Development/Libraries",
    license="MIT",
    vendor="Advanced Micro Devices, Inc.",
    homepage="https://github.com/ROCm/TheRock",
    maintainer="ROCm Packages <rocm-packages@example.org>",
    prefix=PREFIX,
)


def make_archive(
    directory: Path, entries: Mapping[str, Entry | bytes], name: str = ARCHIVE
) -> ArchiveFile:
    """An archive of one stage: content by path, or an entry below the stage."""
    members = [
        replace(entry, path=f"{STAGE}/{path}")
        if isinstance(entry, Entry)
        else Entry.file(f"{STAGE}/{path}", entry)
        for path, entry in entries.items()
    ]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    write_archive(path, [STAGE], members, PackSettings(mtime=MTIME))
    archive = parse_archive_filename(name)
    assert archive is not None
    return ArchiveFile(archive, path, hashlib.sha256(path.read_bytes()).hexdigest())


def hardlink(target: str) -> Entry:
    """Another name of a file of the stage."""
    return Entry.hardlink("", f"{STAGE}/{target}")


def executable(data: bytes) -> Entry:
    """A file that can be run."""
    return Entry.file("", data, executable=True)


def contents_of(archives: Iterable[ArchiveFile]) -> tuple[Content, ...]:
    """Everything in these archives, laid over one another, with the directories above."""
    found: dict[str, Content] = {}
    for archive in archives:
        with open_archive(archive.path) as reader:
            for member in reader:
                link = member.link.removeprefix(f"{member.stage}/")
                if member.path:
                    found[member.path] = Content(
                        member.path,
                        member.kind,
                        member.mode,
                        member.size,
                        member.link if member.kind is Kind.SYMLINK else link,
                        archive.name.filename,
                        member.stage,
                    )
    for path in list(found):
        while path := path.rpartition("/")[0]:
            found.setdefault(path, Content(path, Kind.DIRECTORY, 0o755, 0, "", "", ""))
    return tuple(found[path] for path in sorted(found))


def planned(
    kind: PackageFormat,
    archives: Iterable[ArchiveFile] = (),
    *,
    name: str = _PLAIN.name,
    version: str = _PLAIN.version,
    depends: tuple[str, ...] = (),
    provides: tuple[str, ...] = (),
    conflicts: tuple[str, ...] = (),
    scripts: Scripts | None = None,
) -> PackagePlan:
    """A package of all that is in these archives."""
    return replace(
        _PLAIN,
        format=kind,
        name=name,
        version=version,
        architecture="amd64" if kind is DEB else "x86_64",
        depends=depends,
        provides=provides,
        conflicts=conflicts,
        contents=contents_of(archives),
        scripts=scripts or Scripts(),
        reasons=("It holds what the test made.",),
    )


def directories(output: Path) -> dict[PackageFormat, Path]:
    """Where the packages of each format go."""
    return {kind: output / kind.value for kind in (DEB, RPM)}


@dataclass(frozen=True, slots=True)
class Built:
    """A deb and an rpm of the same files."""

    deb: Path
    rpm: Path
    result: NativePackageResult
    compression: Compression


def build_both(
    directory: Path,
    archives: Sequence[ArchiveFile],
    *,
    compression: Compression = Compression.ZSTD,
    scripts: Scripts | None = None,
    jobs: int = 2,
    large: int = 32 << 20,
    keep_runpath: bool = False,
    signer: Signer | None = None,
    name: str = _PLAIN.name,
    ignored_requires: tuple[str, ...] = (),
) -> Built:
    """One package in both formats."""
    plans = [planned(kind, archives, scripts=scripts, name=name) for kind in (DEB, RPM)]
    result = build_native_packages(
        [replace(plan, ignored_requires=ignored_requires) for plan in plans],
        archives,
        directories(directory / "out"),
        directory / "work",
        mtime=MTIME,
        jobs=jobs,
        compression=compression,
        keep_runpath=keep_runpath,
        signer=signer,
        logs_dir=directory / "logs",
        large=large,
    )
    assert not result.failures, result.failures[0].error
    assert list((directory / "work").iterdir()) == []
    return Built(result.files[0].path, result.files[1].path, result, compression)


def run(*words: str | Path, cwd: Path | None = None, data: bytes | None = None) -> str:
    """What a system's tool prints; it has to succeed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        input=data,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def extract_deb(package: Path, directory: Path) -> Path:
    """What dpkg-deb unpacks."""
    run("dpkg-deb", "-x", package, directory)
    return directory


def extract_rpm(package: Path, directory: Path) -> Path:
    """What rpm2cpio and cpio unpack."""
    directory.mkdir(parents=True)
    archive = subprocess.run(["rpm2cpio", str(package)], capture_output=True, check=True).stdout
    run("cpio", "-idm", "--quiet", "--no-absolute-filenames", cwd=directory, data=archive)
    return directory


def elfdeps(path: Path, what: str) -> set[str]:
    """What rpm's own generator says of a file: ``provides`` or ``requires``."""
    command = ["/usr/lib/rpm/elfdeps", f"--{what}"]
    # It fails on what is no ELF file, and says nothing of it.
    done = subprocess.run(command, input=f"{path}\n", capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines())
