"""Names that hold unfinished work beside finished files, and who may remove them.

A file is written under a hidden name in the directory of its final one, so that the last step
is a rename within one file system. A writer holds a lock on its hidden file for as long as it
lives; the kernel drops the lock when the process dies, which is how the next writer knows
what was abandoned.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "exclusive",
    "is_at",
    "is_hidden",
    "partial_download",
    "sweep_abandoned",
    "temporary_file",
    "try_lock",
]

_PARTIAL = ".partial-"
_LOCK = ".lock-"
_DOWNLOAD_SUFFIXES = (".partial", ".partial.json")
_NAME_MAX = 255


def is_hidden(name: str) -> bool:
    """Whether a file of this name is unfinished work: never listed, never uploaded."""
    return name.startswith((_PARTIAL, _LOCK)) or (
        name.startswith(".") and name.endswith(_DOWNLOAD_SUFFIXES)
    )


def partial_download(path: Path) -> Path:
    """The name under which a download to ``path`` grows: the same again after a crash."""
    name = f".{path.name}.partial"
    if len(os.fsencode(name)) + len(".json") > _NAME_MAX:
        name = f".{_short(path.name)}.partial"
    return path.with_name(name)


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file unless someone else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def temporary_file(directory: Path) -> Iterator[tuple[int, Path]]:
    """A new locked file in ``directory``, open for reading and writing; gone afterwards.

    It is created with the permissions of an ordinary new file, since it becomes one.
    """
    while True:
        path = directory / f"{_PARTIAL}{os.urandom(8).hex()}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        # Between these two lines a sweep may have taken the file for an abandoned one.
        if try_lock(descriptor) and is_at(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield descriptor, path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for and hold the right to change ``path``, among threads and processes."""
    lock = path.with_name(f"{_LOCK}{_short(path.name)}")
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The one who had it before removed the name; only the file of that name counts.
        if is_at(descriptor, lock):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink()
        os.close(descriptor)


def sweep_abandoned(directory: Path) -> None:
    """Remove the hidden files of writers that died in ``directory``; leave those in use."""
    try:
        hidden = [path for path in directory.iterdir() if path.name.startswith((_PARTIAL, _LOCK))]
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in hidden:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # finished meanwhile, or someone else's
            continue
        try:
            if try_lock(descriptor) and is_at(descriptor, path):
                path.unlink()
        finally:
            os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _short(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
