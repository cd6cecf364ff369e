"""One process at a time, by a lock on a file that is there anyway, so that none is left over."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["locked"]

_FAR = 1 << 40
"""Windows locks bytes and keeps others from reading them: these are beyond the end of the file."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that exists; waits for as long as another process holds it.

    The lock goes with the process that holds it, however it ends.
    """
    with _opened(path) as file:
        _lock(file)
        try:
            yield
        finally:
            _unlock(file)


def _opened(path: Path) -> BinaryIO:
    try:
        # Network file systems lock only what is open for writing.
        return path.open("r+b")
    except OSError:
        return path.open("rb")


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:
        file.seek(_FAR)
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.1)
            else:
                return

    def _unlock(file: BinaryIO) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
