"""Write members of several archives into one directory at once, deciding who owns a path.

The archives arrive in any order, on any number of threads; the result depends on their
numbers alone. A path that is claimed twice is written aside and compared when all are there.
"""

from __future__ import annotations

import enum
import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.local_io import os_errors

__all__ = ["OnConflict", "TreeWriter"]

_IMPLIED_MODE = 0o755
"""Of directories that no archive lists; the umask must not decide about a result."""


class OnConflict(enum.Enum):
    """What happens when two archives hold different content at one path."""

    ERROR = "error"
    FIRST = "first"
    LAST = "last"


# link() says one of these where the file system has no hard links, or no more of them.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class _Claim:
    number: int
    kind: Kind
    written: Path
    """Where the content lies: at the path itself, or aside."""
    target: str = ""
    """Of a symlink."""


class TreeWriter:
    """A directory being filled; all methods but ``finish`` are safe to call from any thread.

    ``number`` is an archive's position in ``labels``; a lower one comes first. ``root`` and
    ``aside``, for what is claimed twice, are empty directories of one file system.
    """

    def __init__(
        self, root: Path, aside: Path, labels: Sequence[str], on_conflict: OnConflict
    ) -> None:
        self._root = root
        self._aside = aside
        self._labels = labels
        self._on_conflict = on_conflict
        self._lock = threading.Lock()
        self._claims: dict[str, list[_Claim]] = {}
        self._links: dict[str, str] = {}
        self._directories: dict[str, tuple[int, int | None]] = {}
        self._made: set[str] = {""}
        self._collisions = 0

    @property
    def files(self) -> int:
        """How many paths there are that are no directories."""
        return len(self._claims)

    def directory(self, number: int, path: str, mode: int) -> None:
        """Make a directory; its permission bits are set at the end."""
        with self._lock:
            self._above(number, path + "/")
            known = self._directories.get(path)
            if path and (known is None or known[1] is None or number < known[0]):
                self._directories[path] = (number, mode)
        self._make(number, path)

    @contextmanager
    def file(self, number: int, path: str, mode: int) -> Iterator[tuple[int, Path]]:
        """Create a file; yields its descriptor and where it is written."""
        place = self._claim(number, path, Kind.FILE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with self._naming(number, path):
            descriptor = os.open(place, flags, 0o600)
            try:
                yield descriptor, place
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)

    def symlink(self, number: int, path: str, target: str) -> None:
        """Create a symbolic link."""
        place = self._claim(number, path, Kind.SYMLINK, target)
        with self._naming(number, path):
            place.symlink_to(target)

    def hardlink(self, number: int, path: str, existing: Path) -> Path:
        """Link to a file that this archive has written; a copy where links cannot be made."""
        place = self._claim(number, path, Kind.HARDLINK)
        with self._naming(number, path):
            try:
                os.link(existing, place, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                shutil.copy2(existing, place)
        return place

    def finish(self) -> None:
        """Decide about paths that were claimed twice, check all links, set directories' modes.

        ConflictError for different content at one path, naming both archives; IntegrityError
        for links that together lead out of the tree.
        """
        for path in sorted(path for path, claims in self._claims.items() if len(claims) > 1):
            self._settle(path, sorted(self._claims[path], key=_by_number))
        for path in sorted(self._links):
            try:
                follow(path, self._links)
            except LeavesRootError:
                raise IntegrityError(
                    f"{self._labels[min(self._claims[path], key=_by_number).number]}: link "
                    f"{path!r} leads out of the tree through other links"
                ) from None
        for path, (_, mode) in sorted(self._directories.items(), reverse=True):
            # The owner keeps the right to replace the tree, whatever the archive says.
            (self._root / path).chmod(_IMPLIED_MODE if mode is None else mode | 0o700)

    def _settle(self, path: str, claims: Sequence[_Claim]) -> None:
        winner = claims[0]
        for other in claims[1:]:
            if self._on_conflict is OnConflict.FIRST or not _differ(winner, other):
                continue
            if self._on_conflict is OnConflict.ERROR:
                raise ConflictError(
                    f"{path!r} differs between {self._labels[winner.number]} and "
                    f"{self._labels[other.number]}; leave one of them out, or choose with "
                    "--on-conflict first or last"
                )
            winner = other
        final = self._root / path
        if winner.written != final:
            winner.written.replace(final)
        self._links.pop(path, None)
        if winner.kind is Kind.SYMLINK:
            self._links[path] = winner.target

    def _claim(self, number: int, path: str, kind: Kind, target: str = "") -> Path:
        """Where to write this path: its own place for who comes first, else aside."""
        with self._lock:
            self._above(number, path)
            if path in self._directories:
                raise self._not_both(number, path, self._directories[path][0])
            claims = self._claims.setdefault(path, [])
            place = self._root / path
            if claims:
                place = self._aside / str(self._collisions)
                self._collisions += 1
            claims.append(_Claim(number, kind, place, target))
            # Until the end a path counts as a link when any archive says so.
            if kind is Kind.SYMLINK:
                self._links[path] = target
        self._make(number, path.rpartition("/")[0])
        return place

    def _above(self, number: int, path: str) -> None:
        """Note the directories above a path; none of them may be anything else."""
        parent = path.rpartition("/")[0]
        while parent and parent not in self._directories:
            if parent in self._claims:
                raise self._not_both(number, parent, self._claims[parent][0].number)
            self._directories[parent] = (number, None)
            parent = parent.rpartition("/")[0]

    def _make(self, number: int, path: str) -> None:
        if path not in self._made:
            with self._naming(number, path):
                (self._root / path).mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def _not_both(self, number: int, path: str, other: int) -> ConflictError:
        first, second = sorted((number, other))
        return ConflictError(
            f"{path!r} is a directory in one and not in the other of {self._labels[first]} and "
            f"{self._labels[second]}; leave one of them out"
        )

    @contextmanager
    def _naming(self, number: int, path: str) -> Iterator[None]:
        """Say which member a file system refused."""
        with os_errors(f"{self._labels[number]}: {path!r} cannot be written"):
            try:
                yield
            except (FileExistsError, NotADirectoryError):
                raise ConflictError(
                    f"{self._labels[number]}: {path!r} is there already under a name that this "
                    "file system takes for the same; unpack on one that tells upper from lower case"
                ) from None


def _by_number(claim: _Claim) -> int:
    return claim.number


def _differ(one: _Claim, other: _Claim) -> bool:
    links = [claim.kind is Kind.SYMLINK for claim in (one, other)]
    if all(links):
        return one.target != other.target
    if any(links):
        return True
    sizes = {claim.written.stat().st_size for claim in (one, other)}
    return len(sizes) > 1 or _digest(one.written) != _digest(other.written)


def _digest(path: Path) -> str:
    """The file's digest, also where its permission bits forbid its owner to read it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o400:
        return sha256_of_file(path)
    path.chmod(mode | 0o400)
    try:
        return sha256_of_file(path)
    finally:
        path.chmod(mode)
