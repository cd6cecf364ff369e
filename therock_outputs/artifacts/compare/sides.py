"""The two things that are compared, as data: archives and files with their sizes, and the pins."""

from __future__ import annotations

from dataclasses import dataclass

from therock_outputs.artifacts.compare.pins import Provenance
from therock_outputs.artifacts.names import ArtifactName

__all__ = ["Side", "SideArchive", "SizedFile"]


@dataclass(frozen=True, slots=True)
class SizedFile:
    """One file of a side. Another name of a file (a hard link) has no bytes of its own."""

    path: str
    """In the install prefix."""
    size: int
    """Bytes, unpacked."""
    archive: str = ""
    """The artifact that holds it, as in ``blas_lib_gfx942``; empty outside of archives."""
    stage: str = ""
    """The stage directory in the archive; empty outside of archives."""


@dataclass(frozen=True, slots=True)
class SideArchive:
    """One artifact of a side."""

    name: ArtifactName
    size: int | None
    """Bytes of the archive; None of a directory that was never packed."""
    sha256: str | None = None
    """64 hex digits, where they were asked for and are known."""

    @property
    def stem(self) -> str:
        """``{name}_{component}_{target}``."""
        return self.name.stem


@dataclass(frozen=True, slots=True)
class Side:
    """A run, a directory or a tarball."""

    label: str
    """What a reader calls it: ``run 24217435275``, or a file's path."""
    place: str
    """Where it lies: an address or a path."""
    archives: tuple[SideArchive, ...] = ()
    """Empty for a tarball or an install prefix."""
    files: tuple[SizedFile, ...] | None = None
    """None: only archives were listed."""
    unread: frozenset[str] = frozenset()
    """Artifacts whose files are not in ``files``: both sides hold the same bytes of them."""
    compressed: int | None = None
    """Bytes of all archives, or of the tarball; None where nothing is compressed."""
    provenance: Provenance | None = None
    """What its manifest says; None: it has none."""

    @property
    def is_flat(self) -> bool:
        """Whether it is a tree of files without archives."""
        return not self.archives
