"""What artifacts, their archives and their digest files are called, and who may carry such a name.

Names come from listings of buckets and directories, so they are input: everything here either
is a valid name or raises. Nothing in this module touches a file.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from therock_outputs.errors import IntegrityError

__all__ = [
    "GENERIC_TARGET",
    "SHA256_SUFFIX",
    "ArchiveName",
    "ArtifactName",
    "Component",
    "Compression",
    "base_target",
    "is_target_name",
    "parse_archive_filename",
    "parse_sha256sum",
    "prefer_zst",
]

GENERIC_TARGET = "generic"
SHA256_SUFFIX = ".sha256sum"

# Letters are ASCII on purpose: look-alikes of other scripts would make two names that print alike.
_NAME = re.compile(r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?::[a-z][a-z0-9-]*[a-z0-9][+-])*")
_SHA256SUM = re.compile(r"(?P<digest>[0-9A-Fa-f]{64})(?: [ *](?P<filename>[^\r\n]+))?(?:\r?\n)*")
# The longest name that file systems take, in bytes; the digest file's is the longest of ours.
_MAX_FILENAME = 255


class Component(enum.Enum):
    """The part of an artifact that an archive holds, in the order in which they are listed."""

    LIB = "lib"
    RUN = "run"
    DBG = "dbg"
    DEV = "dev"
    DOC = "doc"
    TEST = "test"

    @property
    def rank(self) -> int:
        """Place in the order above, from 0."""
        return _COMPONENT_RANKS[self]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The component of that name; IntegrityError for any other word."""
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(component.value for component in cls)
            raise IntegrityError(f"component {text!r} is not one of {known}") from None


_COMPONENT_RANKS = {component: rank for rank, component in enumerate(Component)}


class Compression(enum.Enum):
    """How an archive is compressed; the value is the end of its file name."""

    ZST = ".tar.zst"
    XZ = ".tar.xz"


def base_target(target: str) -> str:
    """The target without its feature suffixes: ``gfx942`` of ``gfx942:xnack+``."""
    return target.partition(":")[0]


def is_target_name(text: str) -> bool:
    """Whether ``text`` may stand as a target: a GPU target, a family, or ``generic``."""
    return _TARGET.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ArtifactName:
    """One component of one artifact for one target, as in ``blas_lib_gfx942:xnack+``.

    IntegrityError when a part cannot stand in such a name.
    """

    name: str
    """Letters, digits and hyphens."""
    component: Component
    target: str
    """``generic``, a family, or a GPU target with or without feature suffixes."""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise IntegrityError(
                f"artifact name {self.name!r} is not made of letters, digits and hyphens"
            )
        if not is_target_name(self.target):
            raise IntegrityError(
                f"target {self.target!r} of artifact {self.name!r} is neither generic, "
                "nor a family like gfx94X-dcgpu, nor a GPU target like gfx942:xnack+"
            )
        if len(self.stem) + len(Compression.ZST.value) + len(SHA256_SUFFIX) > _MAX_FILENAME:
            raise IntegrityError(f"artifact {self.stem!r} is too long for a file name")

    @classmethod
    def parse(cls, stem: str) -> Self:
        """The artifact that ``{name}_{component}_{target}`` names; IntegrityError otherwise."""
        parts = stem.split("_")
        if len(parts) != 3:
            raise IntegrityError(f"{stem!r} is not of the form name_component_target")
        name, component, target = parts
        try:
            return cls(name, Component.parse(component), target)
        except IntegrityError as error:
            raise IntegrityError(f"{stem!r} is not an artifact: {error}") from None

    @property
    def stem(self) -> str:
        """``{name}_{component}_{target}``: the archive's name without its compression."""
        return f"{self.name}_{self.component.value}_{self.target}"

    @property
    def base_target(self) -> str:
        """The target without feature suffixes, which is what targets are matched by."""
        return base_target(self.target)

    @property
    def is_generic(self) -> bool:
        """Whether the artifact serves every GPU."""
        return self.target == GENERIC_TARGET

    @property
    def sort_key(self) -> tuple[bool, str, int, str]:
        """Generic artifacts first, then by name, component (in its enum's order) and target."""
        return (not self.is_generic, self.name, self.component.rank, self.target)

    def __str__(self) -> str:
        return self.stem


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """An artifact's archive: the artifact and how it is compressed."""

    artifact: ArtifactName
    compression: Compression = Compression.ZST

    @property
    def filename(self) -> str:
        """The archive's file name."""
        return self.artifact.stem + self.compression.value

    @property
    def sha256_filename(self) -> str:
        """The name of the file beside the archive that holds its digest."""
        return self.filename + SHA256_SUFFIX

    @property
    def sort_key(self) -> tuple[bool, str, int, str, str]:
        """As the artifact's, with the compression deciding between two of one artifact."""
        return (*self.artifact.sort_key, self.compression.value)

    def __str__(self) -> str:
        return self.filename


def parse_archive_filename(filename: str) -> ArchiveName | None:
    """The archive that a file name stands for, or None when it stands for no archive at all.

    A run's root holds other files as well (``index.html``, digests, logs that somebody put
    there), and those are None. A tar file with at least two underscores is meant as an archive:
    when it is not a valid one (a new component, a stray character) that is an IntegrityError,
    because leaving it out silently would make an installation that lacks files.
    """
    for compression in Compression:
        stem = filename.removesuffix(compression.value)
        if stem == filename:
            continue
        if stem.count("_") < 2:
            return None
        return ArchiveName(ArtifactName.parse(stem), compression)
    return None


def prefer_zst(names: Iterable[ArchiveName]) -> tuple[ArchiveName, ...]:
    """One archive per artifact, sorted: of two compressions of one artifact the zst one."""
    chosen: dict[ArtifactName, ArchiveName] = {}
    for archive in names:
        if archive.compression is Compression.ZST or archive.artifact not in chosen:
            chosen[archive.artifact] = archive
    return tuple(sorted(chosen.values(), key=lambda archive: archive.sort_key))


def parse_sha256sum(text: str, archive_filename: str) -> str:
    """The digest in a ``.sha256sum`` file: 64 lower-case hex digits.

    The file holds one line: the digits alone, or the digits and the archive's own name as
    ``sha256sum`` writes it. IntegrityError for anything else, another file's name included.
    """
    digest_file = archive_filename + SHA256_SUFFIX
    match = _SHA256SUM.fullmatch(text)
    if match is None:
        raise IntegrityError(
            f"{digest_file} does not hold 64 hex digits (optionally followed by two spaces and "
            f"{archive_filename}); upload it again, or use --allow-unverified"
        )
    if match["filename"] not in (None, archive_filename):
        raise IntegrityError(
            f"{digest_file} is the digest of another file, {match['filename']!r}; "
            "upload it again, or use --allow-unverified"
        )
    return match["digest"].lower()
