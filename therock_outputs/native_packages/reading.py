"""Read archives once, and have every file that some package holds worked on by all cores."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.archives import ArchiveReader, Kind, Member, open_archive
from therock_outputs.artifacts.names import Component
from therock_outputs.errors import IntegrityError, OutputsError
from therock_outputs.native_packages.entries import FileKey, key_of
from therock_outputs.native_packages.files import FileMaker, StoredFile
from therock_outputs.native_packages.package import Content, PackagePlan
from therock_outputs.storage import Progress

__all__ = ["FileReader", "ReadFiles", "files_of"]

_BUDGET, _BUDGET_PER_JOB = 64 << 20, 48 << 20
"""Bytes of files that are read and not yet worked on."""
_JOBS_PER_READER = 4
"""A reader decodes about 1 GB/s where a worker compresses 0.1: four keep it busy."""


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """All files, and what was wrong with those that are not there."""

    stored: Mapping[FileKey, StoredFile]
    faults: Mapping[FileKey, OutputsError]

    def fault_of(self, plan: PackagePlan) -> OutputsError | None:
        """Why a package cannot be built."""
        return next((f for key in files_of(plan) if (f := self.faults.get(key))), None)


def files_of(plan: PackagePlan) -> dict[FileKey, Content]:
    """The files that a package holds."""
    return {key_of(one): one for one in plan.contents if one.kind is Kind.FILE}


class FileReader:
    """Reads archives; ``jobs`` decides about speed and memory, and about nothing else."""

    def __init__(self, maker: FileMaker, *, jobs: int, progress: Progress | None) -> None:
        self._maker = maker
        self._jobs = jobs
        self._progress = progress or (lambda _label, _count: None)
        self._budget = _Budget(_BUDGET + jobs * _BUDGET_PER_JOB)
        self._stop = threading.Event()
        self._one_large = threading.Lock()

    def read(self, plans: Iterable[PackagePlan], archives: Mapping[str, ArchiveFile]) -> ReadFiles:
        """Work on the files of all packages.

        What is wrong with a file is kept; what is wrong with an archive, or with the disk, is
        raised.
        """
        wanted: dict[str, dict[FileKey, Content]] = {}
        for plan in plans:
            for key, content in files_of(plan).items():
                wanted.setdefault(content.archive, {})[key] = content
        readers = max(1, self._jobs // _JOBS_PER_READER)
        names = sorted(wanted, key=lambda name: (-archives[name].path.stat().st_size, name))
        with (
            ThreadPoolExecutor(self._jobs, "work") as workers,
            ThreadPoolExecutor(readers, "read") as pool,
        ):
            jobs = [
                pool.submit(self._read_archive, archives[name], wanted[name], workers)
                for name in names
            ]
            try:
                wait(jobs, return_when=FIRST_EXCEPTION)
                for job in jobs:
                    if job.done():
                        job.result()  # raises what went wrong first, before others are waited for
                futures = {key: made for job in jobs for key, made in job.result().items()}
                return _gather(futures)
            except BaseException:
                self._stop.set()
                for executor in (pool, workers):
                    executor.shutdown(wait=False, cancel_futures=True)
                self._budget.release(1 << 62)  # nobody has to wait any more
                raise

    def _read_archive(
        self,
        archive: ArchiveFile,
        wanted: Mapping[FileKey, Content],
        workers: ThreadPoolExecutor,
    ) -> dict[FileKey, Future[StoredFile]]:
        futures: dict[FileKey, Future[StoredFile]] = {}
        reported = 0
        label = archive.name.filename
        rewrites = archive.name.artifact.component is not Component.DBG
        with open_archive(archive.path) as reader:
            for member in reader:
                if self._stop.is_set():
                    return futures
                key = (label, member.stage, member.path)
                content = wanted.get(key)
                if content is None or member.kind is not Kind.FILE:
                    continue
                if member.size != content.size:
                    raise _changed(archive, f"{member.path!r} has {member.size} bytes")
                futures[key] = self._take(reader, member, label, workers, rewrites=rewrites)
                self._progress(label, reader.consumed - reported)
                reported = reader.consumed
        self._progress(label, archive.path.stat().st_size - reported)
        if lacking := sorted(wanted.keys() - futures.keys()):
            raise _changed(archive, f"there is no file {lacking[0][2]!r} in it")
        return futures

    def _take(
        self,
        reader: ArchiveReader,
        member: Member,
        label: str,
        workers: ThreadPoolExecutor,
        *,
        rewrites: bool,
    ) -> Future[StoredFile]:
        name = f"{label}: {member.path}"
        if member.size >= self._maker.large:
            work = self._maker.make_large(
                member.size, reader.readinto, member.path, name, rewrites=rewrites
            )

            def alone() -> StoredFile:
                with self._one_large:  # which takes all cores
                    return work()

            return workers.submit(alone)
        self._budget.take(member.size)
        data = bytearray(member.size)
        with memoryview(data) as view:
            reader.readinto(view)
        holder = [data]
        del data

        def work_in_memory() -> StoredFile:
            try:
                return self._maker.make(holder.pop(), member.path, name, rewrites=rewrites)
            finally:
                self._budget.release(member.size)

        return workers.submit(work_in_memory)


def _gather(futures: Mapping[FileKey, Future[StoredFile]]) -> ReadFiles:
    stored: dict[FileKey, StoredFile] = {}
    faults: dict[FileKey, OutputsError] = {}
    for key, future in futures.items():
        try:
            stored[key] = future.result()
        except IntegrityError as error:
            faults[key] = error
    return ReadFiles(stored, faults)


def _changed(archive: ArchiveFile, problem: str) -> IntegrityError:
    return IntegrityError(f"{archive.path}: {problem}, which is not as planned; plan again")


class _Budget:
    """Bytes that may be in memory; who wants more than all of them gets them alone."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait for so many bytes."""
        with self._changed:
            self._changed.wait_for(lambda: self._left >= min(size, self._size))
            self._left -= size

    def release(self, size: int) -> None:
        """Give them back."""
        with self._changed:
            self._left += size
            self._changed.notify_all()
