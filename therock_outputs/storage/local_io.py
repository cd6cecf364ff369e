"""Moving bytes between local files so that a name appears in one step, whole and flushed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from therock_outputs.errors import NotFoundError, StorageError
from therock_outputs.storage.base import IfExists, Progress
from therock_outputs.storage.hidden import exclusive
from therock_outputs.storage.parallel import Stop

__all__ = ["copy_into", "os_errors", "publish", "version_of", "write_all"]

# What is copied between two looks at the stop flag and two reports of progress.
_BLOCK = 16 << 20
# copy_file_range says one of these where the kernel or the file systems cannot do it.
_NO_COPY_RANGE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)
# link() says one of these where the file system has no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


@contextmanager
def os_errors(what: str) -> Iterator[None]:
    """Turn the operating system's refusals into one line that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{what}: {error.filename} is not there; check the name") from error
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        raise StorageError(
            f"{what}: {error.filename} is a directory in one name and a file in the other; "
            "a staging directory cannot hold both, rename or remove one"
        ) from error
    except OSError as error:
        fix = {
            errno.ENOSPC: "free some space",
            errno.EDQUOT: "free some of your quota",
            errno.EACCES: "check the permissions",
            errno.EPERM: "check the permissions",
            errno.EROFS: "choose a directory that can be written",
            errno.ENAMETOOLONG: "shorten the name",
        }.get(error.errno or 0, "check the disk")
        raise StorageError(f"{what} ({error.strerror}); {fix}") from error


def version_of(status: os.stat_result) -> str:
    """A tag that changes with the file; stands in for S3's ETag."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def publish(temporary: Path, path: Path, if_exists: IfExists) -> bool:
    """Give a finished file its name in one step; False when the name was taken meanwhile."""
    if if_exists is IfExists.REPLACE:
        with exclusive(path):
            temporary.replace(path)
    else:
        try:
            # rename() would overwrite what another writer has just published; link() cannot.
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with exclusive(path):
                if os.path.lexists(path):
                    return False
                temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True


def write_all(data: bytes | memoryview, descriptor: int) -> int:
    """Write all of ``data``; its size in bytes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


def copy_into(
    source: Path, descriptor: int, stop: Stop, progress: Progress | None, label: str
) -> int:
    """Copy a file's bytes into an open one, in the kernel where it can; the size in bytes.

    Never by a hard link: a source that its owner changes later must not change what is
    published.
    """
    done = 0
    in_kernel = True
    with source.open("rb", buffering=0) as stream:
        while True:
            stop.check()
            copied = 0
            if in_kernel:
                try:
                    copied = os.copy_file_range(stream.fileno(), descriptor, _BLOCK)
                except OSError as error:
                    if error.errno not in _NO_COPY_RANGE:
                        raise
                    in_kernel = False
            # Some pseudo file systems answer 0 to copy_file_range; only read() can be trusted
            # to mean the end.
            if not copied:
                copied = write_all(stream.read(1 << 20), descriptor)
            if not copied:
                return done
            done += copied
            if progress is not None:
                progress(label, copied)
