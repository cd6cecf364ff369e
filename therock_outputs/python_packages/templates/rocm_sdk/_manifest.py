"""The manifest of the devel archive: every path of the devel tree, and what stands there.

``rocm_sdk_devel/devel_manifest.json`` is ``{"format": 1, "version": "7.10.0", "entries": [...]}``,
the entries sorted by path. The archive beside it holds the bytes of the entries of kind ``file``,
and nothing else, as regular members of a gzipped tar file, in the manifest's order.
"""

from __future__ import annotations

import enum
import json
import posixpath
import re
from dataclasses import dataclass

__all__ = ["FORMAT", "DevelEntry", "DevelManifest", "EntryKind", "ManifestError"]

FORMAT = 1

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKAGE = re.compile(r"_rocm_[a-z0-9_]+")
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f\\]")


class ManifestError(ValueError):
    """A manifest, or an entry of one, that cannot be right."""


class EntryKind(str, enum.Enum):
    """What stands at a path of the devel tree."""

    DIRECTORY = "directory"
    """A directory; only those that would not exist otherwise have to be named."""
    FILE = "file"
    """A file whose bytes the archive holds."""
    PACKAGE = "package"
    """A file that a runtime package installs: ``target`` is its path in ``package``."""
    SYMLINK = "symlink"
    """Another name of a file or directory of this tree: ``target`` is relative to the directory
    that the link lies in, as ``readlink`` gives it."""


@dataclass(frozen=True)
class DevelEntry:
    """One path of the devel tree.

    Paths are relative, with ``/``. ``size`` (bytes) and ``sha256`` (hex) are those of the file,
    for the kinds FILE and PACKAGE; ``executable`` counts for FILE only.
    """

    path: str
    kind: EntryKind
    size: int = 0
    sha256: str = ""
    executable: bool = False
    package: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        """ManifestError for a path that leaves the tree or a field that is missing."""
        _check_inside(self.path, self.path)
        if self.kind in (EntryKind.FILE, EntryKind.PACKAGE) and (
            self.size < 0 or not _SHA256.fullmatch(self.sha256)
        ):
            raise ManifestError(f"{self.path}: a {self.kind.value} needs its size and sha256")
        if self.kind is EntryKind.PACKAGE:
            if not _PACKAGE.fullmatch(self.package):
                raise ManifestError(f"{self.path}: {self.package!r} is not a runtime package")
            _check_inside(self.path, self.target)
        if self.kind is EntryKind.SYMLINK:
            if not self.target or self.target.startswith("/"):
                raise ManifestError(f"{self.path}: {self.target!r} is not a relative link")
            _check_inside(self.path, self.resolved)

    @property
    def resolved(self) -> str:
        """The path in the tree that a SYMLINK points to, which may be a link again."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.target))

    def to_json(self) -> dict[str, object]:
        """The entry without its empty fields."""
        fields: dict[str, object] = {"path": self.path, "kind": self.kind.value}
        if self.kind in (EntryKind.FILE, EntryKind.PACKAGE):
            fields["size"] = self.size
            fields["sha256"] = self.sha256
        if self.executable:
            fields["executable"] = True
        if self.package:
            fields["package"] = self.package
        if self.target:
            fields["target"] = self.target
        return fields


@dataclass(frozen=True)
class DevelManifest:
    """All entries of the devel tree of one version."""

    version: str
    entries: tuple[DevelEntry, ...]

    def to_bytes(self) -> bytes:
        """The manifest as JSON, one entry a line; the same entries give the same bytes.

        ManifestError for entries that contradict each other.
        """
        entries = sorted(self.entries, key=lambda entry: entry.path)
        _check_tree(entries)
        lines = ",\n".join(
            json.dumps(entry.to_json(), ensure_ascii=True, separators=(",", ":"))
            for entry in entries
        )
        head = f'{{"format":{FORMAT},"version":{json.dumps(self.version)},"entries":[\n'
        return f"{head}{lines}\n]}}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> DevelManifest:
        """Read a manifest; ManifestError for anything that ``to_bytes`` does not write."""
        try:
            document = json.loads(data)
        except ValueError as error:
            raise ManifestError(f"not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ManifestError(f"not a devel manifest of format {FORMAT}")
        version, items = document.get("version"), document.get("entries")
        if not isinstance(version, str) or not isinstance(items, list):
            raise ManifestError("the version or the entries are missing")
        entries = tuple(_entry(item) for item in items)
        _check_tree(entries)
        return cls(version=version, entries=entries)


def _entry(item: object) -> DevelEntry:
    if not isinstance(item, dict):
        raise ManifestError(f"an entry is {item!r}")
    try:
        return DevelEntry(
            path=str(item["path"]),
            kind=EntryKind(item["kind"]),
            size=int(item.get("size", 0)),
            sha256=str(item.get("sha256", "")),
            executable=item.get("executable", False) is True,
            package=str(item.get("package", "")),
            target=str(item.get("target", "")),
        )
    except ManifestError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"an entry is {item!r}") from error


def _check_inside(path: str, place: str) -> None:
    """A path must be what it is after normalization, relative, and not go up."""
    if (
        not place
        or place.startswith("/")
        or place != posixpath.normpath(place)
        or place.split("/", 1)[0] in (".", "..")
        or _NOT_IN_PATHS.search(place)
    ):
        raise ManifestError(f"{path!r}: {place!r} is not a path inside the tree")


def _check_tree(entries: tuple[DevelEntry, ...] | list[DevelEntry]) -> None:
    """No path twice, none below something that is not a directory."""
    kinds: dict[str, EntryKind] = {}
    for entry in entries:
        if entry.path in kinds:
            raise ManifestError(f"{entry.path} is named twice")
        kinds[entry.path] = entry.kind
    for path in kinds:
        parent = posixpath.dirname(path)
        while parent:
            if kinds.get(parent, EntryKind.DIRECTORY) is not EntryKind.DIRECTORY:
                raise ManifestError(f"{path} lies below {parent}, which is not a directory")
            parent = posixpath.dirname(parent)
