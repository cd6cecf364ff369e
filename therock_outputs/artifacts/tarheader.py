"""Write tar headers that say nothing of when, where and by whom they were written."""

from __future__ import annotations

import tarfile

from therock_outputs.artifacts.archives import Kind

__all__ = ["END_OF_ARCHIVE", "RECORD", "tar_header"]

RECORD = tarfile.RECORDSIZE
"""Bytes; tar files are filled up to a multiple of this."""
END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)

_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
}


def tar_header(
    path: str, kind: Kind, *, mode: int, mtime: int, size: int = 0, link: str = "", owner: str = ""
) -> bytes:
    """The header blocks of one member, with a long-name extension where the name needs it.

    GNU's format: long names, sizes above 8 GiB and UTF-8 names are read by every tar in use,
    and short ones take one block. ``owner`` is the name beside the ids, which are 0.
    """
    info = tarfile.TarInfo(path)
    info.type = _TYPES[kind]
    info.uname = info.gname = owner
    info.mode, info.mtime, info.size, info.linkname = mode, mtime, size, link
    return info.tobuf(format=tarfile.GNU_FORMAT, encoding="utf-8", errors="strict")
