"""Read a run's archives once and hand every file to the packages that want it.

One thread decodes, one writes; the others rewrite, digest and compress. Files are written in the
order in which they were read, so the same archives give the same bytes whatever the number of
threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from posixpath import join, relpath

from therock_outputs.artifacts.archives import ArchiveReader, Kind, Member, open_archive
from therock_outputs.artifacts.elf import is_code_object
from therock_outputs.artifacts.names import ArchiveName, Component
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.python_packages.catalog import Catalog, PackageKind, PackageRules
from therock_outputs.python_packages.content import (
    ElfWork,
    FileKind,
    Processed,
    process,
)
from therock_outputs.python_packages.devel import (
    DevelFile,
    Spool,
    Stored,
    digest_devel,
    digest_large_devel,
)
from therock_outputs.python_packages.large import Source, inspect_large, pack_large
from therock_outputs.python_packages.plan import PlannedWheel, PythonPackagePlan
from therock_outputs.python_packages.trees import (
    Leftover,
    PackageTree,
    TreeFile,
    directories_above,
    library_place,
)
from therock_outputs.python_packages.wheel import WheelWriter
from therock_outputs.storage import Progress
from therock_outputs.storage.direct_io import Disk

__all__ = ["Collection", "Collector", "DevelSink", "RuntimeSink"]

_BUDGET = 448 << 20
_BUDGET_PER_JOB = 64 << 20
"""Bytes of files that are read and not yet written: the larger of the two.

So much that all cores have work while a large file is decoded to look at its headers.
"""
_SLICES = 4
"""Of the smallest file that is cut into slices."""


@dataclass(slots=True)
class RuntimeSink:
    """A package that installs files."""

    wheel: PlannedWheel
    rules: PackageRules
    tree: PackageTree
    writer: WheelWriter | None
    """None: the package is only looked at, for what devel links to."""

    def name_of(self, place: str) -> str:
        """The name in the wheel."""
        return join(self.wheel.directory, place)


@dataclass(slots=True)
class DevelSink:
    """A devel package being collected."""

    wheel: PlannedWheel
    tree: PackageTree
    stored: dict[str, Stored] = field(default_factory=dict)


@dataclass(slots=True)
class Collection:
    """What all archives hold, by package."""

    runtime: list[RuntimeSink]
    devel: list[DevelSink]
    spool: Spool
    leftovers: list[Leftover] = field(default_factory=list)

    def sharing(self, sink: RuntimeSink) -> list[RuntimeSink]:
        """The other packages whose files go into the same directory."""
        return [
            other
            for other in self.runtime
            if other is not sink and other.wheel.directory == sink.wheel.directory
        ]


@dataclass(slots=True)
class _Pending:
    """A file that is being worked on."""

    path: str
    archive: str
    executable: bool
    size: int
    runtime: list[RuntimeSink]
    devel: list[DevelSink]
    future: Future[Processed] | Future[DevelFile] | None = None
    settled: Future[None] | None = None
    """Done when it is where it belongs."""

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.archive}: {self.path}"


class Collector:
    """Reads archives into a collection."""

    def __init__(
        self,
        plan: PythonPackagePlan,
        collection: Collection,
        pool: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        work_dir: Path,
        *,
        mtime: int,
        jobs: int,
        large: int,
        progress: Progress | None,
    ) -> None:
        self._jobs = jobs
        self._large = large
        self._budget = max(_BUDGET, jobs * _BUDGET_PER_JOB)
        self._archive = Path()
        self._plan = plan
        self._collection = collection
        self._pool = pool
        self._writer = writer
        self._large_files = 0
        self._work_dir = work_dir
        self._mtime = mtime
        self._progress = progress or (lambda _label, _count: None)
        self._pending: deque[_Pending] = deque()
        self._weight = 0
        self._level = plan.options.level_of(PackageKind.DEVEL)
        self._reported = 0

    def read(self, name: ArchiveName, path: Path) -> None:
        """Read one archive; what comes of its files is noted in the order of the calls."""
        runtime = [s for s in self._collection.runtime if name in s.wheel.archives]
        devel = [s for s in self._collection.devel if name in s.wheel.archives]
        self._reported = 0
        self._archive = path
        with open_archive(path) as reader:
            for member in reader:
                if member.path:
                    self._take(reader, member, name, runtime, devel)
                    self._report(name.filename, reader.consumed)
            self._report(name.filename, path.stat().st_size)

    def finish(self) -> None:
        """Wait for all files and write what is not written."""
        self._settle_all()

    def cancel(self) -> None:
        """Give up what has not begun, and wait for what has."""
        for item in self._pending:
            for future in (item.settled, item.future):
                if future is not None:
                    future.cancel()
        wait([item.settled for item in self._pending if item.settled is not None])

    def _report(self, label: str, consumed: int) -> None:
        if consumed > self._reported:
            self._progress(label, consumed - self._reported)
            self._reported = consumed

    # ------------------------------------------------------------------------ members

    def _take(
        self,
        reader: ArchiveReader,
        member: Member,
        name: ArchiveName,
        runtime: Sequence[RuntimeSink],
        devel: Sequence[DevelSink],
    ) -> None:
        takers = [sink for sink in runtime if not sink.rules.excludes(member.path)]
        if member.kind is Kind.DIRECTORY:
            for tree in (*(s.tree for s in takers), *(s.tree for s in devel)):
                tree.directories.add(member.path)
                tree.directories.update(directories_above(member.path))
        elif member.kind is Kind.FILE:
            if takers or devel:
                self._submit(reader, member, name, takers, list(devel) if not takers else [])
        else:
            text = member.link
            if member.kind is Kind.HARDLINK:
                target = member.link.removeprefix(f"{member.stage}/")
                if target == member.link:  # of another stage, which flattens to its own place
                    target = _below_stage(member.link, reader.stages)
                text = relpath(target, os.path.dirname(member.path) or ".")  # noqa: PTH120
            for tree in (*(s.tree for s in takers), *(s.tree for s in devel)):
                tree.add_link(member.path, text, name.filename)

    def _submit(
        self,
        reader: ArchiveReader,
        member: Member,
        name: ArchiveName,
        runtime: list[RuntimeSink],
        devel: list[DevelSink],
    ) -> None:
        is_elf = (
            self._plan.options.platform == "linux"
            and name.artifact.component is not Component.DBG
            and not is_code_object(member.path)
        )
        item = _Pending(
            member.path, name.filename, bool(member.mode & 0o111), member.size, runtime, devel
        )
        if member.size >= self._large:
            self._take_large(reader, item, is_elf=is_elf)
            return
        while self._pending and self._weight + item.size > self._budget:
            self._wait_for_first()
        data = bytearray(member.size)
        with memoryview(data) as view:
            reader.readinto(view)
        item.future = self._work_on(data, item, is_elf=is_elf)
        del data
        self._weight += item.size
        self._settle_in_turn(item, item.future.result)

    def _work_on(
        self, data: bytearray, item: _Pending, *, is_elf: bool
    ) -> Future[Processed] | Future[DevelFile]:
        if item.runtime:
            return self._pool.submit(
                process, data, _elf_work(item, is_elf=is_elf), item.label, self._level_of(item)
            )
        return self._pool.submit(
            digest_devel,
            data,
            path=item.path,
            executable=item.executable,
            label=item.label,
            level=self._level,
            mtime=self._mtime,
            is_elf=is_elf,
        )

    def _take_large(self, reader: ArchiveReader, item: _Pending, *, is_elf: bool) -> None:
        """Work on a file in slices, on all threads."""
        if not item.runtime:
            self._settle_all()  # what was read before goes into the spool before
            digest, stored = digest_large_devel(
                item.size,
                reader.readinto,
                path=item.path,
                executable=item.executable,
                level=self._level,
                mtime=self._mtime,
                spool=self._collection.spool,
                pool=self._pool,
                in_flight=self._jobs + 1,
            )
            self._note_devel(item, item.size, digest, FileKind(), lambda: stored)
            return
        source = Source(item.size, item.label, partial(_reopened, self._archive, item.path))
        kind, rewrite = inspect_large(source, _elf_work(item, is_elf=is_elf))
        self._large_files += 1
        packed = pack_large(
            source,
            reader.readinto,
            rewrite,
            self._work_dir / f"large-{self._large_files}",
            level=self._level_of(item),
            pool=self._pool,
            slice_size=max(1, self._large // _SLICES),
            in_flight=self._jobs + 1,
        )
        item.size = 0  # no memory waits for it
        self._settle_in_turn(item, lambda: Processed(packed(), kind))

    def _level_of(self, item: _Pending) -> int:
        """The level to compress at; 0 where the file is only digested."""
        kinds = (s.wheel.kind for s in item.runtime if s.writer is not None)
        return max(map(self._plan.options.level_of, kinds), default=0)

    # ------------------------------------------------------------------------ results

    def _settle_in_turn(self, item: _Pending, result: Callable[[], Processed | DevelFile]) -> None:
        """Have the outcome put where it belongs after all that was read before."""
        item.settled = self._writer.submit(self._settle, item, result)
        self._pending.append(item)
        while self._pending and (first := self._pending[0].settled) and first.done():
            self._wait_for_first()

    def _wait_for_first(self) -> None:
        item = self._pending.popleft()
        if item.settled is not None:
            item.settled.result()
        self._weight -= item.size

    def _settle_all(self) -> None:
        while self._pending:
            self._wait_for_first()

    def _settle(self, item: _Pending, result: Callable[[], Processed | DevelFile]) -> None:
        """Wait for a file's work and put the outcome where it belongs."""
        outcome = result()
        item.future = None  # nobody else needs the bytes
        if isinstance(outcome, DevelFile):
            put = partial(self._collection.spool.put, outcome)
            self._note_devel(item, outcome.size, outcome.sha256, outcome.kind, put)
        else:
            self._settle_result(item, outcome)

    def _settle_result(self, item: _Pending, result: Processed) -> None:
        try:
            for sink in item.runtime:
                self._settle_runtime(item, sink, result)
        finally:
            if result.packed.source is not None:
                result.packed.source.unlink(missing_ok=True)

    def _settle_runtime(self, item: _Pending, sink: RuntimeSink, result: Processed) -> None:
        packed = result.packed
        keep = sink.rules.keeps_name(item.path)
        file = TreeFile(
            place=library_place(item.path, result.kind, keep=keep),
            archive=item.archive,
            size=packed.size,
            sha256=packed.sha256.hex(),
            executable=item.executable,
            kind=result.kind,
        )
        if self._is_elsewhere(sink, file) or not sink.tree.add_file(item.path, file):
            return
        if sink.writer is not None:
            sink.writer.add(sink.name_of(file.place), packed, executable=item.executable)

    def _is_elsewhere(self, sink: RuntimeSink, file: TreeFile) -> bool:
        """Whether a package that this one requires has the file at the same place."""
        for other in self._collection.sharing(sink):
            path = other.tree.by_place.get(file.place)
            if path is None:
                continue
            known = other.tree.files[path]
            if known.sha256 != file.sha256:
                raise ConflictError(
                    f"{file.place!r} differs between {known.archive} and {file.archive}, which "
                    "install it to one place; leave one of them out"
                )
            required = other.wheel.kind is PackageKind.LIBRARIES
            what = "is there too, the same" if not required else "has it already, the same"
            self._collection.leftovers.append(
                Leftover(
                    file.place,
                    sink.wheel.distribution,
                    f"{other.wheel.distribution} {what}",
                    is_fault=False,
                )
            )
            return required
        return False

    def _note_devel(
        self, item: _Pending, size: int, digest: str, kind: FileKind, put: Callable[[], Stored]
    ) -> None:
        stored = None
        for sink in item.devel:
            file = TreeFile(
                place=item.path,
                archive=item.archive,
                size=size,
                sha256=digest,
                executable=item.executable,
                kind=kind,
            )
            if sink.tree.add_file(item.path, file):
                stored = stored or put()
                sink.stored[item.path] = stored


def _elf_work(item: _Pending, *, is_elf: bool) -> ElfWork | None:
    wheel = item.runtime[0].wheel
    return ElfWork(join(wheel.directory, item.path), wheel.rpath) if is_elf else None


@contextmanager
def _reopened(archive: Path, path: str) -> Iterator[Callable[[memoryview], int]]:
    """Read a member of an archive from its beginning, once more."""
    with open_archive(archive) as reader:
        for member in reader:
            if member.path == path and member.kind is Kind.FILE:
                yield reader.readinto
                return
    raise IntegrityError(f"{archive}: changed while it was read; fetch it again")


def _below_stage(name: str, stages: Sequence[str]) -> str:
    for stage in sorted(stages, key=len, reverse=True):
        if name.startswith(f"{stage}/"):
            return name[len(stage) + 1 :]
    return name


def open_collection(
    plan: PythonPackagePlan, output_dir: Path, spool: Spool, mtime: int
) -> Collection:
    """A collection with every package that the plan reads, and a writer for each that is wanted."""
    catalog, wanted = Catalog.load(), set(plan.wanted)
    names = set(plan.archives)
    collection = Collection([], [], spool)
    disk = Disk()
    for wheel in plan.wheels:
        if wheel not in wanted and not names.issuperset(wheel.archives):
            continue
        tree = PackageTree(wheel.distribution)
        if wheel.kind is PackageKind.DEVEL:
            if wheel in wanted:
                collection.devel.append(DevelSink(wheel, tree))
            continue
        writer = None
        if wheel in wanted:
            path = output_dir / wheel.place
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = WheelWriter(path, mtime, disk)
        collection.runtime.append(RuntimeSink(wheel, catalog[wheel.kind], tree, writer))
    return collection
