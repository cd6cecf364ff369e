"""What is known of local files before they move: which ones, of what type, with what digest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import NotFoundError, StorageError, UsageError
from therock_outputs.storage.hidden import is_hidden

__all__ = ["SourceFile", "content_type_of", "files_to_upload", "key_order", "sha256_of_file"]

# A bracket expression needs at least one member; a lone bracket stands for itself.
_GLOB_PIECE = re.compile(r"\[!?\]?[^]/]+\]|.", re.DOTALL)
_TEXT = "text/plain; charset=utf-8"

# By suffix, the longest first. Archives carry no Content-Encoding: a browser or a proxy would
# unpack them on the way and the digest would no longer fit.
_CONTENT_TYPES = {
    ".tar.gz": "application/gzip",
    ".tar.xz": "application/x-xz",
    ".tar.zst": "application/zstd",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".deb": "application/vnd.debian.binary-package",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".log": _TEXT,
    ".md": "text/markdown; charset=utf-8",
    ".metadata": _TEXT,
    ".png": "image/png",
    ".rpm": "application/x-rpm",
    ".sha256": _TEXT,
    ".sha256sum": _TEXT,
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".txt": _TEXT,
    ".whl": "application/zip",
    ".xml": "application/xml",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}
# Files without a suffix that package managers and people read as text.
_TEXT_NAMES = frozenset({"InRelease", "Packages", "Release", "SHA256SUMS", "Sources"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One regular file below a directory that is to be uploaded."""

    path: Path
    name: str
    """Relative to the directory, segments joined by ``/``."""
    size: int
    """Bytes."""


def content_type_of(name: str) -> str:
    """The media type of a file or key by its name."""
    base = name.rpartition("/")[2]
    if base in _TEXT_NAMES:
        return _TEXT
    lowered = base.lower()
    for suffix, content_type in _CONTENT_TYPES.items():
        if lowered.endswith(suffix):
            return content_type
    return "application/octet-stream"


def key_order(name: str) -> bytes:
    """A sort key that puts names in the order of an S3 listing, by their UTF-8 bytes."""
    return name.encode("utf-8", "surrogateescape")


def sha256_of_file(path: Path) -> str:
    """The file's SHA-256, 64 hex digits."""
    with path.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_to_upload(
    directory: Path,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    *,
    leave_out: Callable[[StorageError], None] | None = None,
) -> list[SourceFile]:
    """The regular files below ``directory``, in the order of their keys.

    Patterns are globs: one without a slash is matched with the name at any depth, one with a
    slash with the whole relative name (``*`` stays within a segment, ``**`` does not).
    ``include`` empty: all; ``exclude`` wins and leaves out whole directories too. Links are
    followed within the directory only: one that leads out of it, in a loop or nowhere is a
    StorageError, as are sockets and devices; ``leave_out`` is handed these errors instead, and
    the rest is found.
    """
    wanted = _compile(include)
    unwanted = _compile(exclude)
    try:
        root = directory.resolve(strict=True)
        files = list(_walk(_Walk(root, wanted, unwanted, leave_out), root, "", ()))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{error.filename or directory} is not there; check the directory to upload"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory} cannot be read ({error.strerror}); "
            "give a readable directory"
        ) from error
    return sorted(files, key=lambda file: key_order(file.name))


@dataclass(frozen=True, slots=True)
class _Walk:
    """What a search for files looks for, and the directory that it stays in."""

    root: Path
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    leave_out: Callable[[StorageError], None] | None

    def wants(self, name: str) -> bool:
        """Whether a file of this relative name is asked for."""
        return not self.include or any(pattern.fullmatch(name) for pattern in self.include)

    def skips(self, name: str) -> bool:
        """Whether a file or a whole directory of this relative name is left out."""
        return any(pattern.fullmatch(name) for pattern in self.exclude)


def _walk(
    walk: _Walk, directory: Path, prefix: str, parents: tuple[Path, ...]
) -> Iterator[SourceFile]:
    """The chosen files below ``directory``, links checked."""
    here = directory.resolve()
    if here in parents:
        raise StorageError(f"{directory} is a link to a directory above it; remove the link")
    with os.scandir(directory) as scanned:
        entries = list(scanned)
    for entry in entries:
        if is_hidden(entry.name) or walk.skips(prefix + entry.name):
            continue
        try:
            yield from _entry(walk, entry, prefix, (*parents, here))
        except StorageError as error:
            if walk.leave_out is None:
                raise
            walk.leave_out(error)


def _entry(
    walk: _Walk, entry: os.DirEntry[str], prefix: str, parents: tuple[Path, ...]
) -> Iterator[SourceFile]:
    """A file, or what a directory holds."""
    path, name = Path(entry.path), prefix + entry.name
    if entry.is_symlink():
        _require_inside(walk.root, path)
    if entry.is_dir():
        yield from _walk(walk, path, f"{name}/", parents)
    elif walk.wants(name):
        if not entry.is_file():
            raise StorageError(f"{path} is neither a file nor a directory; remove or exclude it")
        yield SourceFile(path, name, entry.stat().st_size)


def _require_inside(root: Path, link: Path) -> None:
    """StorageError unless the link leads to something below ``root``."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{link} is a link that leads nowhere; replace, remove or exclude it"
        ) from error
    if not target.is_relative_to(root):
        raise StorageError(
            f"{link} is a link out of {root}; copy what it points at, or remove or exclude it"
        )


def _compile(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(_translate(pattern), re.DOTALL))
        except re.error as error:  # a range that runs backwards
            raise UsageError(f"the pattern {pattern!r} is no glob: {error}; correct it") from error
    return tuple(compiled)


def _translate(pattern: str) -> str:
    """A glob as a regular expression over relative names."""
    segments = pattern.split("/") if "/" in pattern else ["**", pattern]
    parts = []
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "**":
            parts.append(".*" if last else "(?:.*/)?")
        else:
            parts.append(_translate_segment(segment) + ("" if last else "/"))
    return "".join(parts)


def _translate_segment(segment: str) -> str:
    """One segment of a glob: ``*``, ``?`` and ``[...]`` never match a slash."""
    parts = []
    for piece in _GLOB_PIECE.findall(segment):
        if piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif len(piece) > 1:
            negated = piece[1] == "!"
            members = "".join(
                character if character == "-" else re.escape(character)
                for character in piece[2 if negated else 1 : -1]
            )
            parts.append(f"[^/{members}]" if negated else f"[{members}]")
        else:
            parts.append(re.escape(piece))
    return "".join(parts)
