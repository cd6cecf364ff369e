"""How a segment is compressed, and what makes two segments the same.

A segment is a run of whole tar blocks that is compressed by itself, as one gzip member or one
zstd frame. Both formats define that members follow one another (RFC 1952 section 2.2, RFC 8878
section 3.1), so a tarball is its segments one after the other.

Why libdeflate at level 5: see docs/tarballs.md, which has the measurements.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import deflate
import zstandard

__all__ = ["DEFAULT_LEVELS", "SEGMENT_SIZE", "Encoding", "TarballFormat"]

SEGMENT_SIZE = 4 << 20
"""Bytes of tar data in one segment at most. Larger ones would not shrink the result by
another 0.1 %, and cost memory for each worker."""


class TarballFormat(enum.Enum):
    """The compression of a tarball; the value ends its file name."""

    GZ = "gz"
    ZST = "zst"


DEFAULT_LEVELS = {TarballFormat.GZ: 5, TarballFormat.ZST: 6}
_LIMITS = {TarballFormat.GZ: range(1, 13), TarballFormat.ZST: range(1, 20)}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A format at a level: everything that decides the bytes of a compressed segment."""

    format: TarballFormat = TarballFormat.GZ
    level: int = DEFAULT_LEVELS[TarballFormat.GZ]

    def __post_init__(self) -> None:
        if self.level not in _LIMITS[self.format]:
            allowed = _LIMITS[self.format]
            raise ValueError(
                f"compression level {self.level} is not one of {allowed[0]} to {allowed[-1]}"
            )

    @property
    def name(self) -> str:
        """A directory name: segments of two encodings are never mixed up.

        The library's version is part of it, since another version may write other bytes.
        """
        library = (
            f"libdeflate-{deflate.__version__}"
            if self.format is TarballFormat.GZ
            else f"zstd-{'.'.join(map(str, zstandard.ZSTD_VERSION))}"
        )
        return f"{self.format.value}-{self.level}-{library}-{SEGMENT_SIZE}"

    def compressor(self) -> Callable[[memoryview], bytes]:
        """A function that compresses one segment; not to be shared by threads."""
        level = self.level
        if self.format is TarballFormat.GZ:
            return lambda data: bytes(deflate.gzip_compress(data, level))
        zstd = zstandard.ZstdCompressor(level=level, write_checksum=True)
        return zstd.compress
