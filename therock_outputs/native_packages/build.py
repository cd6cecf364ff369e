"""Build a run's deb and rpm packages: verify the archives, read them once, write each package."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutputsError,
    UsageError,
)
from therock_outputs.native_packages import deb, rpm
from therock_outputs.native_packages.entries import entries_of
from therock_outputs.native_packages.files import LARGE, FileMaker
from therock_outputs.native_packages.logs import log_of, write_log
from therock_outputs.native_packages.options import DEFAULT_PREFIX
from therock_outputs.native_packages.package import PackageFormat, PackagePlan
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.pieces import Compression, PieceMaker
from therock_outputs.native_packages.reading import FileReader, ReadFiles
from therock_outputs.native_packages.spool import Spool
from therock_outputs.signing import Signer
from therock_outputs.storage import IfExists, Progress
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.hidden import sweep_abandoned, temporary_file
from therock_outputs.storage.local_io import os_errors, publish

__all__ = [
    "ArchiveFile",
    "Compression",
    "FailedPackage",
    "NativePackageResult",
    "WrittenPackage",
    "build_native_packages",
    "builder_digest",
]

_WRITERS = {PackageFormat.DEB: deb, PackageFormat.RPM: rpm}
_ROOT = dirname(DEFAULT_PREFIX)
"""Where all versions of ROCm lie, and links to what is the machine's own one."""
_LATEST = 0xFFFFFFFF
"""Seconds that an rpm can tell."""
_BUFFER = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """A finished package."""

    plan: PackagePlan
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FailedPackage:
    """A package that could not be built, and why."""

    plan: PackagePlan
    error: OutputsError


@dataclass(frozen=True, slots=True)
class NativePackageResult:
    """What was built and what was not, in the order of the plan."""

    files: tuple[WrittenPackage, ...]
    failures: tuple[FailedPackage, ...]


def build_native_packages(
    packages: Sequence[PackagePlan],
    archives: Sequence[ArchiveFile],
    directories: Mapping[PackageFormat, Path],
    work_dir: Path,
    *,
    mtime: int,
    jobs: int | None = None,
    compression: Compression = Compression.ZSTD,
    keep_runpath: bool = False,
    signer: Signer | None = None,
    logs_dir: Path | None = None,
    large: int = LARGE,
    progress: Progress | None = None,
) -> NativePackageResult:
    """Write the planned packages, each to the directory of its format.

    ``mtime`` (seconds since the epoch) is the only time in them. ``work_dir`` is for temporary
    files without names; files from ``large`` bytes are never held in memory.
    ``progress`` counts the archives' bytes. A log of each package goes below ``logs_dir``. No
    package has its name before it is whole, and one that fails does not keep others from being
    built: ``failures`` has to be looked at. Raises what concerns all of them: IntegrityError for
    an archive, StorageError for the disk.
    """
    jobs = jobs or os.cpu_count() or 1
    if mtime > _LATEST:
        raise UsageError(f"an rpm cannot tell the time {mtime}; set SOURCE_DATE_EPOCH lower")
    by_name = _checked(packages, archives)
    directories = {form: directories[form] for form in sorted({plan.format for plan in packages})}
    for directory in (work_dir, *directories.values()):
        with os_errors(f"{directory} cannot be made"):
            directory.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(directory)
    with ExitStack() as stack:
        spool = stack.enter_context(Spool(work_dir))
        pool = stack.enter_context(ThreadPoolExecutor(jobs, "package"))
        list(pool.map(_verify, by_name.values()))
        maker = PieceMaker(compression)
        files = FileMaker(
            maker,
            spool,
            work_dir,
            keep_runpath=keep_runpath,
            prefixes=sorted({_ROOT, *(plan.prefix for plan in packages)}),
            threads=jobs,
            large=large,
        )
        read = FileReader(files, jobs=jobs, progress=progress).read(packages, by_name)
        tools = Tools(maker, spool, files, mtime, signer)
        builder = _Builder(tools, read, directories, logs_dir)
        largest_first = sorted(packages, key=lambda plan: -plan.size)
        try:
            done = {plan.filename: one for plan, one in pool.map(builder.build, largest_first)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results = [done[plan.filename] for plan in packages]
    return NativePackageResult(
        tuple(one for one in results if isinstance(one, WrittenPackage)),
        tuple(one for one in results if isinstance(one, FailedPackage)),
    )


def builder_digest() -> str:
    """A digest of the files that make packages: with others, the same run may give other bytes."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    shared = [
        root / f"artifacts/{name}.py" for name in ("elf", "elf_traits", "elf_versions", "rpath")
    ]
    shared.append(root / "artifacts/tarheader.py")
    for path in (*shared, *sorted((root / "native_packages").rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _checked(
    packages: Iterable[PackagePlan], archives: Iterable[ArchiveFile]
) -> dict[str, ArchiveFile]:
    """The archives that are needed, by file name."""
    names = set()
    needed: set[str] = set()
    for plan in packages:
        if (plan.format, plan.filename) in names:
            raise ConflictError(f"{plan.filename} is planned twice; plan again")
        names.add((plan.format, plan.filename))
        needed.update(one.archive for one in plan.contents if one.kind is Kind.FILE)
    by_name = {archive.name.filename: archive for archive in archives}
    if lacking := sorted(needed - by_name.keys()):
        raise NotFoundError(f"{lacking[0]} is in the plan and not on disk; fetch the run again")
    return {name: by_name[name] for name in sorted(needed)}


def _verify(archive: ArchiveFile) -> None:
    try:
        digest = sha256_of_file(archive.path) if archive.sha256 else None
    except FileNotFoundError:
        raise NotFoundError(f"{archive.path}: is gone; fetch the run again") from None
    if digest != archive.sha256:
        raise IntegrityError(
            f"{archive.path}: its SHA-256 is {digest}, not {archive.sha256} as published; "
            "delete it and fetch it again"
        )


@dataclass(frozen=True, slots=True)
class _Builder:
    """Writes packages; any number of threads may use it."""

    tools: Tools
    read: ReadFiles
    directories: Mapping[PackageFormat, Path]
    logs_dir: Path | None

    def build(self, plan: PackagePlan) -> tuple[PackagePlan, WrittenPackage | FailedPackage]:
        """One package, or why there is none."""
        try:
            return plan, self._write(plan)
        except OutputsError as error:
            if getattr(error.__cause__, "errno", None) in _FULL:
                raise  # nothing else will fit either
            self._log(plan, f"failed: {error}\n")
            return plan, FailedPackage(plan, error)

    def _write(self, plan: PackagePlan) -> WrittenPackage:
        fault = self.read.fault_of(plan)
        if fault is not None:
            raise fault
        entries = entries_of(plan, self.read.stored)
        path = self.directories[plan.format] / plan.filename
        with (
            os_errors(f"{path} cannot be written"),
            temporary_file(path.parent) as (descriptor, temporary),
        ):
            with io.open(descriptor, "wb+", buffering=_BUFFER, closefd=False) as file:  # noqa: UP020
                _WRITERS[plan.format].write_package(plan, entries, file, self.tools)
            os.fsync(descriptor)
            size, digest = temporary.stat().st_size, sha256_of_file(temporary)
            publish(temporary, path, IfExists.REPLACE)
        self._log(plan, log_of(plan, entries, size=size, sha256=digest))
        return WrittenPackage(plan, path, size, digest)

    def _log(self, plan: PackagePlan, text: str) -> None:
        if self.logs_dir is not None:
            write_log(self.logs_dir / plan.format.value / f"{plan.filename}.log", text)
