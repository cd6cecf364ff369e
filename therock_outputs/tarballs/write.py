"""Write tarballs from their segments, several at once, and digest what they share once."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from therock_outputs.storage.direct_io import BLOCK, DirectFile, Disk, block
from therock_outputs.storage.local_io import os_errors
from therock_outputs.tarballs.assemble import Assembly, Part
from therock_outputs.tarballs.store import SegmentStore

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["WrittenTarball", "write_tarballs"]

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


def write_tarballs(
    assemblies: Sequence[Assembly],
    store: SegmentStore,
    *,
    jobs: int,
    progress: Callable[[str, int], None] | None = None,
) -> tuple[WrittenTarball, ...]:
    """Write each tarball beside its name and rename it.

    What several tarballs begin with is read and digested once.
    """
    report = progress or (lambda _label, _count: None)
    disk = Disk()
    written: dict[Path, WrittenTarball] = {}
    with ThreadPoolExecutor(jobs + _WAITING, "write") as pool:
        for group in _groups(assemblies):
            for result in _write_group(_Writing(store, pool, disk, report, jobs), group):
                written[result.path] = result
    return tuple(written[assembly.path] for assembly in assemblies)


@dataclass(frozen=True, slots=True)
class _Writing:
    """What all writing of one call has in common."""

    store: SegmentStore
    pool: ThreadPoolExecutor
    disk: Disk
    report: Callable[[str, int], None]
    jobs: int


class _Output:
    """One tarball on its way to the disk, under a hidden name."""

    def __init__(self, assembly: Assembly, writing: _Writing) -> None:
        self.assembly = assembly
        self.store = writing.store
        self._report = writing.report
        path = assembly.path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = DirectFile(self._partial, writing.disk)

    def put(self, data: memoryview, offset: int) -> None:
        """Write one block."""
        with self.errors():
            self._file.put(data, offset)
        self._report(self.assembly.path.name, len(data))

    def end(self, digest: str) -> WrittenTarball:
        """All is written: give it its name."""
        with self.errors():
            self._file.close()
            self._partial.replace(self.assembly.path)
        contents = sum(part.length for part in self.assembly.parts)
        return WrittenTarball(self.assembly.path, self.assembly.size, digest, contents)

    def close(self) -> None:
        """Remove what was not finished."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of this file by its final name."""
        with os_errors(f"{self.assembly.path} cannot be written"):
            yield


def _write_group(writing: _Writing, group: Sequence[Assembly]) -> Iterator[WrittenTarball]:
    """Write tarballs that begin alike: first that, then the rest of each."""
    with ExitStack() as stack:
        outputs = []
        for assembly in group:
            with os_errors(f"{assembly.path} cannot be written"):
                outputs.append(_Output(assembly, writing))
            stack.callback(outputs[-1].close)
        common = _common_parts(group)
        digest = hashlib.sha256()
        offset, carried = _write_common(writing, outputs, group[0].parts[:common], digest)
        rest = [
            writing.pool.submit(_write_rest, output, common, offset, carried, digest)
            for output in outputs
        ]
        try:
            for future in rest:
                yield future.result()
        finally:
            _end(rest)


def _write_common(
    writing: _Writing, outputs: Sequence[_Output], parts: Sequence[Part], digest: HASH
) -> tuple[int, bytes]:
    """Write whole blocks into all outputs; where they end, and what is left of the parts.

    A block goes into all files while it is in the processor's cache.
    """
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    for _ in range(writing.jobs + _WAITING):
        free.put(block())
    writes: list[Future[None]] = []

    def write(data: memoryview, offset: int) -> None:
        try:
            for output in outputs:
                output.put(data, offset)
        finally:
            free.put(data)

    offset = 0
    try:
        for data in _blocks(writing.store, parts, digest, b"", free.get):
            if len(data) < BLOCK:
                return offset, bytes(data)
            for done in (future for future in writes if future.done()):
                done.result()
            writes = [future for future in writes if not future.done()]
            writes.append(writing.pool.submit(write, data, offset))
            offset += BLOCK
        return offset, b""
    finally:
        _end(writes)
        for future in writes:
            if not future.cancelled():
                future.result()


def _write_rest(
    output: _Output, common: int, offset: int, carried: bytes, digest: HASH
) -> WrittenTarball:
    """Write what only this tarball has."""
    digest, only = digest.copy(), block()
    parts = output.assembly.parts[common:]
    for data in _blocks(output.store, parts, digest, carried, lambda: only):
        output.put(data, offset)
        offset += len(data)
    return output.end(digest.hexdigest())


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
