"""Put a directory in the place of another one, so that either the old or the new one is there."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["fresh_directory", "recover", "remove_tree", "replace_directory"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What renameat2 says where the kernel or the file system does not know the exchange.
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def fresh_directory(final: Path) -> Iterator[Path]:
    """An empty directory beside ``final``, for as long as it is needed."""
    partial = final.with_name(f".{final.name}.partial")
    remove_tree(partial)  # a call that was killed may have left one
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        remove_tree(partial)


def replace_directory(new: Path, final: Path) -> None:
    """Put ``new`` in the place of ``final``, in one step where the system can swap two names.

    Where it cannot, ``final`` is set aside for the moment between two renames; it is put back
    when the second one fails, and by `recover` when the process died there.
    """
    if not os.path.lexists(final):
        recover(final)
    if not os.path.lexists(final):
        new.rename(final)
        return
    if _exchange(new, final):
        remove_tree(new)
        return
    aside = _aside(final)
    remove_tree(aside)
    final.rename(aside)
    try:
        new.rename(final)
    except BaseException:
        aside.rename(final)
        raise
    remove_tree(aside)


def recover(final: Path) -> None:
    """Finish or undo what a process that died in `replace_directory` has left."""
    aside = _aside(final)
    if not os.path.lexists(aside):
        return
    if os.path.lexists(final):
        remove_tree(aside)
    else:
        _log.warning("%s: put back after an interruption", final)
        aside.rename(final)


def remove_tree(directory: Path) -> None:
    """Remove a tree, read-only directories included."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
        return
    if not directory.exists():
        return
    directory.chmod(0o700)
    for path, names, _ in os.walk(directory):
        for below in (Path(path, name) for name in names):
            if not below.is_symlink():
                below.chmod(0o700)  # before the walk goes on into it
    shutil.rmtree(directory)


def _aside(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux's renameat2); False where that is not known."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))
