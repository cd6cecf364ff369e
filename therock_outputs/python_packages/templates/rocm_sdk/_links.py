"""Link the devel tree's files to those that other packages installed, without copying them."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Mapping

from ._errors import DevelError

__all__ = ["LinkMode", "link_file", "link_mode"]

LINK_MODE_VARIABLE = "ROCM_SDK_LINK_MODE"

_NO_HARD_LINKS = frozenset(
    {
        errno.EXDEV,  # another device
        errno.EPERM,  # a file system without them, or a file of another user
        errno.EACCES,
        errno.EMLINK,  # too many of one file
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EINVAL,
    }
)


class LinkMode(enum.Enum):
    """How a file gets its second name."""

    AUTO = ""
    """A hard link where that is possible, else a symbolic one."""
    HARD = "hard"
    SYMBOLIC = "symbolic"


def link_mode(environ: Mapping[str, str]) -> LinkMode:
    """What ROCM_SDK_LINK_MODE says; DevelError for a value that it does not have."""
    value = environ.get(LINK_MODE_VARIABLE, "").strip().lower()
    try:
        return LinkMode(value)
    except ValueError as error:
        raise DevelError(f"{LINK_MODE_VARIABLE} is {value!r}; say hard or symbolic") from error


def link_file(
    source: str,
    name: str,
    mode: LinkMode,
    *,
    hard_link: Callable[[str, str], None] = os.link,
) -> None:
    """Give a file that exists another name, which does not exist.

    A symbolic link is relative, so that the two move together. DevelError where the mode asked is
    not possible.
    """
    if mode is not LinkMode.SYMBOLIC:
        try:
            # An installer may itself have installed a link into its cache.
            hard_link(os.path.realpath(source), name)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if mode is LinkMode.HARD:
                raise DevelError(
                    f"cannot make the hard link {name} to {source}: {error.strerror}; "
                    f"unset {LINK_MODE_VARIABLE}, or set it to symbolic"
                ) from error
        else:
            return
    target = os.path.relpath(source, os.path.dirname(name))
    try:
        os.symlink(target, name)
    except OSError as error:
        if os.name != "nt":
            raise
        raise DevelError(
            f"cannot link {name} to {source}: {error.strerror}; put the environment on one drive "
            "that has hard links, or allow symbolic links (developer mode)"
        ) from error
