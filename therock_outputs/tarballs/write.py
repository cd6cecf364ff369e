"""Write tarballs from their segments, several at once, and digest what they share once."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from therock_outputs.storage.direct_io import BLOCK, DirectFile, Disk, block
from therock_outputs.storage.local_io import os_errors
from therock_outputs.tarballs.assemble import Assembly, Part
from therock_outputs.tarballs.store import SegmentStore

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["TarballWriter", "WrittenTarball"]

_WAITING = 2
"""Threads besides those that work: a direct write waits for the disk."""


@dataclass(frozen=True, slots=True)
class WrittenTarball:
    """A finished tarball."""

    path: Path
    size: int
    sha256: str
    contents: int | None
    """Bytes of the tar file inside; None where only the tarball itself was read."""


class TarballWriter(AbstractContextManager["TarballWriter"]):
    """Writes tarballs beside their names and renames them.

    What several tarballs begin with is read and digested once, and may be written while other
    segments are still being made. Leaving it removes what was not finished.
    """

    def __init__(self, store: SegmentStore, jobs: int) -> None:
        self._stack = ExitStack()
        self._jobs = jobs
        self._store = store
        self._disk = Disk()
        self._report = _Report()
        self._stop = threading.Event()
        # A direct write waits for the disk, so there may be more of them than cores.
        self._pool = self._stack.enter_context(ThreadPoolExecutor(jobs + _WAITING, "write"))
        self._readers = self._stack.enter_context(ThreadPoolExecutor(1, "segments"))
        self._stack.callback(self._stop.set)
        self._begun: list[_Beginning] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and remove what was not finished."""
        self._stack.close()
        for beginning in self._begun:
            for output in beginning.outputs:
                output.close()

    def begin(self, paths: Sequence[Path], parts: Sequence[Part]) -> None:
        """Write the first parts of these tarballs, in the background."""
        outputs: list[_Output] = []
        beginning = _Beginning(outputs, tuple(parts), hashlib.sha256())
        self._begun.append(beginning)
        for path in paths:
            with os_errors(f"{path} cannot be written"):
                outputs.append(_Output(path, self._disk, self._report))
        beginning.future = self._readers.submit(
            _write_common, beginning, self._store, self._pool, self._jobs, self._stop
        )

    def finish(
        self,
        assemblies: Sequence[Assembly],
        progress: Callable[[str, int], None] | None = None,
    ) -> tuple[WrittenTarball, ...]:
        """Write all of these; what was begun otherwise than they are is begun anew.

        ``progress`` gets a file's name and bytes, of what was written before as well.
        """
        by_path = {assembly.path: assembly for assembly in assemblies}
        fitting = [output.path for begun in self._begun for output in begun.fitting(by_path)]
        self._report.attach(progress)
        for group in _groups([a for a in assemblies if a.path not in fitting]):
            self.begin([a.path for a in group], group[0].parts[: _common_parts(group)])
        rest: list[Future[WrittenTarball]] = []
        try:
            for begun in self._begun:
                if begun.future is not None:
                    carried = begun.future.result()
                    rest += [
                        self._pool.submit(
                            _write_rest, output, by_path[output.path], begun, carried, self._store
                        )
                        for output in begun.outputs
                    ]
            written = {future.result().path: future.result() for future in rest}
        finally:
            _end(rest)
        return tuple(written[assembly.path] for assembly in assemblies)


class _Report:
    """Counts what is written for whoever wants to know, who may come later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Callable[[str, int], None] | None = None
        self._before: dict[str, int] = {}

    def __call__(self, label: str, count: int) -> None:
        with self._lock:
            if self._progress is None:
                self._before[label] = self._before.get(label, 0) + count
            else:
                self._progress(label, count)

    def attach(self, progress: Callable[[str, int], None] | None) -> None:
        """From now on tell this one, and first what it has missed."""
        with self._lock:
            self._progress = progress or (lambda _label, _count: None)
            for label, count in self._before.items():
                self._progress(label, count)

    def forget(self, label: str) -> None:
        """What was written of this will be written again."""
        with self._lock:
            self._before.pop(label, None)


class _Output:
    """One tarball on its way to the disk, under a hidden name."""

    def __init__(self, path: Path, disk: Disk, report: _Report) -> None:
        self.path = path
        self.report = report
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = DirectFile(self._partial, disk)
        self._is_open = True

    def put(self, data: memoryview, offset: int) -> None:
        """Write one block."""
        with self._errors():
            self._file.put(data, offset)
        self.report(self.path.name, len(data))

    def end(self) -> None:
        """All is written: give it its name."""
        with self._errors():
            self._file.close()
            self._partial.replace(self.path)
        self._is_open = False

    def close(self) -> None:
        """Remove what was not finished."""
        if self._is_open:
            self._is_open = False
            self._file.close()
            self._partial.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of this file by its final name."""
        with os_errors(f"{self.path} cannot be written"):
            yield


@dataclass(slots=True)
class _Beginning:
    """What tarballs begin with, and how far that has been written."""

    outputs: list[_Output]
    parts: tuple[Part, ...]
    digest: HASH
    """Of all the parts, once they are written."""
    offset: int = 0
    """Bytes in whole blocks."""
    future: Future[bytes] | None = None
    """What is left behind the last whole block."""

    def fitting(self, assemblies: Mapping[Path, Assembly]) -> list[_Output]:
        """The outputs that do begin so; the others are given up."""
        kept = []
        for output in self.outputs:
            assembly = assemblies.get(output.path)
            if assembly is not None and assembly.parts[: len(self.parts)] == self.parts:
                kept.append(output)
        if len(kept) < len(self.outputs):
            if self.future is not None:
                self.future.exception()  # nobody writes to them any more
            for output in self.outputs:
                if output not in kept:
                    output.close()
                    output.report.forget(output.path.name)
        self.outputs = kept
        return kept


def _write_common(
    begun: _Beginning,
    store: SegmentStore,
    pool: ThreadPoolExecutor,
    jobs: int,
    stop: threading.Event,
) -> bytes:
    """Write whole blocks into all outputs; what is left of the parts behind the last of them.

    A block goes into all files while it is in the processor's cache.
    """
    outputs = tuple(begun.outputs)
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    for _ in range(jobs + _WAITING):
        free.put(block())
    writes: list[Future[None]] = []

    def write(data: memoryview, offset: int) -> None:
        try:
            for output in outputs:
                output.put(data, offset)
        finally:
            free.put(data)

    left = b""
    try:
        for data in _blocks(store, begun.parts, begun.digest, b"", free.get):
            if len(data) < BLOCK or stop.is_set():
                left = bytes(data)
                break
            for done in (future for future in writes if future.done()):
                done.result()
            writes = [future for future in writes if not future.done()]
            writes.append(pool.submit(write, data, begun.offset))
            begun.offset += BLOCK
        for future in writes:
            future.result()
    except BaseException:
        _end(writes)
        raise
    return left


def _write_rest(
    output: _Output, assembly: Assembly, begun: _Beginning, carried: bytes, store: SegmentStore
) -> WrittenTarball:
    """Write what only this tarball has."""
    digest, only, offset = begun.digest.copy(), block(), begun.offset
    parts = assembly.parts[len(begun.parts) :]
    for data in _blocks(store, parts, digest, carried, lambda: only):
        output.put(data, offset)
        offset += len(data)
    output.end()
    contents = sum(part.length for part in assembly.parts)
    return WrittenTarball(assembly.path, assembly.size, digest.hexdigest(), contents)


def _blocks(
    store: SegmentStore,
    parts: Sequence[Part],
    digest: HASH,
    carried: bytes,
    take: Callable[[], memoryview],
) -> Iterator[memoryview]:
    """The segments one after the other, in blocks from ``take``; only the last may be shorter.

    ``carried`` stands before them and is digested already.
    """
    buffer = memoryview(bytearray(max((part.size for part in parts), default=0)))
    space, used = take(), len(carried)
    space[:used] = carried
    for part in parts:
        data = store.read_into(part.key, part.size, buffer)
        digest.update(data)
        while data:
            count = min(len(data), BLOCK - used)
            space[used : used + count] = data[:count]
            data, used = data[count:], used + count
            if used == BLOCK:
                yield space
                space, used = take(), 0
    if used:
        yield space[:used]


def _end(futures: Sequence[Future[WrittenTarball]] | Sequence[Future[None]]) -> None:
    """Begin no more of them, and wait for those that have begun."""
    for future in futures:
        future.cancel()
    for future in futures:
        if not future.cancelled():
            future.exception()


def _groups(assemblies: Sequence[Assembly]) -> Iterator[list[Assembly]]:
    """Tarballs that begin with the same part."""
    groups: dict[str, list[Assembly]] = {}
    for assembly in assemblies:
        groups.setdefault(assembly.parts[0].key, []).append(assembly)
    yield from groups.values()


def _common_parts(group: Sequence[Assembly]) -> int:
    """How many parts all of them begin with; always less than any of them has."""
    columns = zip(*(assembly.parts[:-1] for assembly in group), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
