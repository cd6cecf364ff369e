"""An archive on disk, as a builder is given it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.names import ArchiveName

__all__ = ["ArchiveFile"]


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """An archive on disk."""

    name: ArchiveName
    path: Path
    sha256: str | None
    """Its published digest; None where an unverified archive was allowed."""
