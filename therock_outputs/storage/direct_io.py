"""Writing large new files past the page cache, where the disk keeps up.

Gigabytes that are written once would push all else out of the page cache, and copying them into
it costs more processor time than compressing some of them: on a virtual machine, whose pages the
host has to find first, several times more. Direct I/O (open(2), O_DIRECT) hands memory to the
disk as it is. It wants memory, offsets and sizes in whole blocks, some file systems have none of
it, and a slow disk is better fed by the kernel in its own time: then writes go the usual way.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

__all__ = ["BLOCK", "DirectFile", "DirectStream", "Disk", "block"]

BLOCK = 4 << 20
"""Bytes that are written at once."""
_ALIGNMENT = 4096
"""Of memory, offset and size: the largest that disks ask for."""
_FAST = 600_000_000
"""Bytes per second below which the page cache serves better."""
_TRIAL = 32 * BLOCK
"""Bytes after which a disk is judged."""
_NO_DIRECT = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY})


def block() -> memoryview:
    """``BLOCK`` bytes of memory that a disk can be given."""
    return memoryview(mmap.mmap(-1, BLOCK))


class Disk:
    """What direct writes to one directory have taken so far. For many threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._active = 0
        self._since = 0.0
        self._bytes = 0
        self._seconds = 0.0

    @contextmanager
    def writing(self, size: int) -> Iterator[None]:
        """Watch a write of so many bytes; time counts once, however many threads write."""
        with self._lock:
            if not self._active:
                self._since = self._clock()
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                self._bytes += size
                now = self._clock()
                self._seconds += now - self._since
                self._since = now

    @property
    def is_fast(self) -> bool:
        """Whether direct writes are worth it; true until that is known."""
        return self._bytes < _TRIAL or self._bytes >= _FAST * self._seconds


class DirectFile:
    """A new file, written in blocks in any order. For many threads."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._lock = threading.Lock()
        self._direct: int | None = None
        self._plain: int | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        if hasattr(os, "O_DIRECT"):
            try:
                self._direct = os.open(path, flags | os.O_DIRECT, 0o666)
            except OSError as error:
                if error.errno not in _NO_DIRECT:
                    raise
        if self._direct is None:
            self._plain = os.open(path, flags, 0o666)

    def put(self, data: memoryview, offset: int) -> None:
        """Write what begins a ``block()``, at a multiple of ``BLOCK``.

        Only the file's last may be shorter, with nothing put beside it; behind its end the
        block's memory is overwritten. Raises OSError.
        """
        if self._direct is not None and self._plain is None and self._disk.is_fast:
            try:
                self._put_direct(self._direct, data, offset)
            except OSError as error:
                if error.errno not in _NO_DIRECT:
                    raise
            else:
                return
        _pwrite_all(self._plain_descriptor(), data, offset)

    def sync(self) -> None:
        """Wait until all is on the disk. Raises OSError."""
        for descriptor in (self._direct, self._plain):
            if descriptor is not None:
                os.fsync(descriptor)

    def close(self) -> None:
        """Close it; the second time nothing happens."""
        descriptors = [self._direct, self._plain]
        self._direct = self._plain = None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)

    def _put_direct(self, descriptor: int, data: memoryview, offset: int) -> None:
        size = len(data)
        rest = -size % _ALIGNMENT
        if rest:
            whole = memoryview(data.obj)[: size + rest]
            whole[size:] = bytes(rest)
            data = whole
        with self._disk.writing(size):
            _pwrite_all(descriptor, data, offset)
        if rest:
            os.ftruncate(descriptor, offset + size)

    def _plain_descriptor(self) -> int:
        """The one for the usual way; from the first time on, all blocks go it."""
        with self._lock:
            if self._plain is None:
                self._plain = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            return self._plain


class DirectStream(AbstractContextManager["DirectStream"]):
    """A new file, written from its front. Not for several threads."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._file = DirectFile(path, disk)
        self._space = block()
        self._offset = 0
        self._used = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; what was not synced may be missing."""
        self._file.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; the bytes are on their way to the disk a block at a time. Raises OSError."""
        view = memoryview(data)
        while view:
            count = min(len(view), BLOCK - self._used)
            self._space[self._used : self._used + count] = view[:count]
            self._used += count
            view = view[count:]
            if self._used == BLOCK:
                self._file.put(self._space, self._offset)
                self._offset, self._used = self._offset + BLOCK, 0

    def read_back(self, at: int, size: int) -> bytes:
        """What was written there, at most ``size`` bytes of it; fewer at a block's end."""
        if at >= self._offset:
            start = at - self._offset
            return bytes(self._space[start : min(start + size, self._used)])
        descriptor = os.open(self._file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.pread(descriptor, min(size, self._offset - at), at)
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Have all that was written on the disk. Raises OSError."""
        if self._used:
            self._file.put(self._space[: self._used], self._offset)
        self._file.sync()


def _pwrite_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
