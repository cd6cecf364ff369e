"""Read a tarball of an install prefix member by member, under the rules of artifact archives.

It has no manifest and no stages: every member's name is its place in the prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from therock_outputs.artifacts.archives import ArchiveReader, Member
from therock_outputs.artifacts.decompress import GZIP, Decompressor
from therock_outputs.artifacts.names import Compression
from therock_outputs.artifacts.tarstream import TypeFlag
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError

__all__ = ["TarballReader", "open_tarball"]

_COMPRESSIONS: dict[str, Compression | str] = {
    ".tar.gz": GZIP,
    ".tgz": GZIP,
    ".tar.zst": Compression.ZST,
    ".tar.xz": Compression.XZ,
}


class TarballReader(ArchiveReader):
    """An open tarball; its members' paths are their names."""

    def __init__(self, stream: BinaryIO, compression: Compression | str, label: str) -> None:
        self._begin(stream, Decompressor(stream, compression, label), label)
        self.manifest = b""
        self.stages = ()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members; the prefix itself, which tar lists as ``./``, is none."""
        for raw in self._members:
            if raw.kind is TypeFlag.DIRECTORY and raw.name in {".", "./"}:
                continue
            yield self._validated(raw)
        self._check_links()
        self._tar.drain()

    def _split(self, name: str) -> tuple[str, str]:
        return "", name


def open_tarball(path: Path) -> TarballReader:
    """Open a tarball by its file name (``….tar.gz``, ``….tar.zst`` or ``….tar.xz``)."""
    compression = next(
        (kind for suffix, kind in _COMPRESSIONS.items() if path.name.endswith(suffix)), None
    )
    if compression is None:
        raise IntegrityError(f"{path}: not the name of a tarball ({', '.join(_COMPRESSIONS)})")
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such tarball; fetch it first") from None
    except OSError as error:
        raise OutputsError(f"{path}: cannot be read ({error.strerror})") from error
    return TarballReader(stream, compression, path.name)
