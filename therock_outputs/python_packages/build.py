"""Build a run's Python packages: verify the archives, collect, finish each package, check."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.python_packages.collect import (
    Collector,
    open_collection,
)
from therock_outputs.python_packages.devel import Spool
from therock_outputs.python_packages.finish import Finisher
from therock_outputs.python_packages.large import LARGE
from therock_outputs.python_packages.launcher import (
    build_launcher,
    prebuilt_launcher,
)
from therock_outputs.python_packages.plan import (
    PythonPackagePlan,
)
from therock_outputs.python_packages.trees import (
    Leftover,
)
from therock_outputs.python_packages.wheel import (
    WrittenFile,
)
from therock_outputs.storage import Progress
from therock_outputs.storage.files import sha256_of_file

__all__ = ["ArchiveFile", "PythonPackageResult", "build_python_packages", "builder_digest"]


@dataclass(frozen=True, slots=True)
class PythonPackageResult:
    """What was built, and what was left out."""

    files: tuple[WrittenFile, ...]
    leftovers: tuple[Leftover, ...]

    @property
    def faults(self) -> tuple[Leftover, ...]:
        """What ``--strict`` objects to."""
        return tuple(leftover for leftover in self.leftovers if leftover.is_fault)


def build_python_packages(
    plan: PythonPackagePlan,
    archives: Sequence[ArchiveFile],
    output_dir: Path,
    work_dir: Path,
    *,
    mtime: int,
    jobs: int | None = None,
    large: int = LARGE,
    progress: Progress | None = None,
) -> PythonPackageResult:
    """Make the planned packages below ``output_dir``.

    ``mtime`` (seconds since the epoch) is every member's time. Files from ``large`` bytes are never
    held whole. ``work_dir`` is for temporary
    files, which are gone afterwards. ``progress`` counts the archives' bytes. Nothing is used
    before its digest was checked, and no package has its name before it is whole. Raises
    IntegrityError and ConflictError as the archives deserve.
    """
    jobs = jobs or os.cpu_count() or 1
    files = {archive.name: archive for archive in archives}
    if lacking := [name.filename for name in plan.archives if name not in files]:
        raise NotFoundError(f"{lacking[0]} is in the plan and not on disk; fetch the run again")
    launcher = _launcher(plan)
    output_dir.mkdir(parents=True, exist_ok=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs, "package"))
        writer = stack.enter_context(ThreadPoolExecutor(1, "write"))
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=work_dir, prefix="python-"))
        )
        list(pool.map(_verify, (files[name] for name in plan.archives)))
        spool = stack.enter_context(Spool(scratch / "devel"))
        collection = open_collection(plan, output_dir, spool, mtime)
        for sink in collection.runtime:
            if sink.writer is not None:
                stack.enter_context(sink.writer)
        collector = Collector(
            plan,
            collection,
            pool,
            writer,
            scratch,
            mtime=mtime,
            jobs=jobs,
            large=large,
            progress=progress,
        )
        try:
            for name in plan.archives:
                collector.read(name, files[name].path)
            collector.finish()
        except BaseException:
            collector.cancel()
            raise
        directories = (output_dir, scratch)
        finisher = Finisher(
            plan, collection, directories, launcher=launcher, mtime=mtime, pool=pool
        )
        written = finisher.finish()
    leftovers = (
        *(Leftover(u.name.filename, "", u.reason, u.is_fault) for u in plan.unused),
        *collection.leftovers,
    )
    result = PythonPackageResult(tuple(written), leftovers)
    _check(plan, result, output_dir)
    return result


def builder_digest() -> str:
    """A digest of the files that make packages: with others, the same run may give other bytes."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    rewriters = (root / "artifacts/elf.py", root / "artifacts/rpath.py")
    for path in (*rewriters, *sorted((root / "python_packages").rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _launcher(plan: PythonPackagePlan) -> bytes:
    """The launcher's template; empty on platforms where links become copies."""
    options = plan.options
    if options.platform != "linux":
        return b""
    if options.launcher_cc:
        return build_launcher(options.launcher_cc)
    return prebuilt_launcher(options.platform_tag)


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


def _check(plan: PythonPackagePlan, result: PythonPackageResult, output_dir: Path) -> None:
    """Every file that was planned is there, whole, and holds more than metadata."""
    sizes = {file.path: file.size for file in result.files}
    for place in plan.places:
        path = output_dir / place
        if path not in sizes or path.stat().st_size != sizes[path]:
            raise IntegrityError(f"{path}: was planned and is not there as it was written")
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                names = wheel.namelist()
            if not any(
                (".dist-info/" not in name and name.count("/") > 1) or "_devel/" in name
                for name in names
            ):
                raise IntegrityError(f"{path}: holds no file of the run; is the run complete?")
