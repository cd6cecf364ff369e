"""Write members of several archives into one directory at once, deciding who owns a path.

The archives arrive in any order, on any number of threads; the result depends on their
numbers alone. A path that is claimed twice is written aside and compared when all are there.
"""

from __future__ import annotations

import enum
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.errors import ConflictError, IntegrityError, OutputsError
from therock_outputs.storage.files import sha256_of_file

__all__ = ["OnConflict", "TreeWriter"]

_ASIDE = ".therock-collisions"


class OnConflict(enum.Enum):
    """What happens when two archives hold different content at one path."""

    ERROR = "error"
    FIRST = "first"
    LAST = "last"


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

    ``number`` is an archive's position in ``labels``; a lower one comes first.
    """

    def __init__(self, root: Path, labels: Sequence[str], on_conflict: OnConflict) -> None:
        self._root = root
        self._labels = labels
        self._on_conflict = on_conflict
        self._lock = threading.Lock()
        self._claims: dict[str, list[_Claim]] = {}
        self._links: dict[str, str] = {}
        self._directories: dict[str, tuple[int, int | None]] = {}
        self._made: set[str] = {""}
        self._aside = 0

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
        self._make(path)

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
            except FileExistsError:
                raise
            except OSError:
                shutil.copy2(existing, place)
        return place

    def finish(self) -> None:
        """Decide about paths that were claimed twice, check all links, set directories' modes.

        ConflictError for different content at one path, naming both archives; IntegrityError
        for links that together lead out of the tree.
        """
        for path in sorted(path for path, claims in self._claims.items() if len(claims) > 1):
            self._settle(path, sorted(self._claims[path], key=lambda claim: claim.number))
        for path in self._links:
            try:
                follow(path, self._links)
            except LeavesRootError:
                raise IntegrityError(
                    f"{self._labels[self._claims[path][0].number]}: link {path!r} leads out of "
                    "the tree through other links"
                ) from None
        shutil.rmtree(self._root / _ASIDE, ignore_errors=True)
        for path, (_, mode) in sorted(self._directories.items(), reverse=True):
            if mode is not None:
                # The owner keeps the right to replace the tree, whatever the archive says.
                (self._root / path).chmod(mode | 0o700)

    def _settle(self, path: str, claims: Sequence[_Claim]) -> None:
        first = claims[0]
        other = next((c for c in claims[1:] if self._differ(first, c)), None)
        if other is not None and self._on_conflict is OnConflict.ERROR:
            raise ConflictError(
                f"{path!r} differs between {self._labels[first.number]} and "
                f"{self._labels[other.number]}; leave one of them out, or choose with "
                "--on-conflict first or last"
            )
        winner = first
        if other is not None and self._on_conflict is OnConflict.LAST:
            winner = claims[-1]
        final = self._root / path
        if winner.written != final:
            winner.written.replace(final)
        self._links.pop(path, None)
        if winner.kind is Kind.SYMLINK:
            self._links[path] = winner.target

    @staticmethod
    def _differ(one: _Claim, other: _Claim) -> bool:
        links = [claim.kind is Kind.SYMLINK for claim in (one, other)]
        if all(links):
            return one.target != other.target
        if any(links):
            return True
        sizes = {claim.written.stat().st_size for claim in (one, other)}
        return len(sizes) > 1 or sha256_of_file(one.written) != sha256_of_file(other.written)

    def _claim(self, number: int, path: str, kind: Kind, target: str = "") -> Path:
        """Where to write this path: its own place for who comes first, else aside."""
        with self._lock:
            self._above(number, path)
            if path in self._directories:
                raise self._not_both(number, path, self._directories[path][0])
            claims = self._claims.setdefault(path, [])
            place = self._root / path
            if claims:
                aside = self._root / _ASIDE
                aside.mkdir(exist_ok=True)
                place = aside / str(self._aside)
                self._aside += 1
            claims.append(_Claim(number, kind, place, target))
            # Until the end a path counts as a link when any archive says so.
            if kind is Kind.SYMLINK:
                self._links[path] = target
        self._make(path.rpartition("/")[0])
        return place

    def _above(self, number: int, path: str) -> None:
        """Note the directories above a path; none of them may be anything else."""
        parent = path.rpartition("/")[0]
        while parent and parent not in self._directories:
            if parent in self._claims:
                raise self._not_both(number, parent, self._claims[parent][0].number)
            self._directories[parent] = (number, None)
            parent = parent.rpartition("/")[0]

    def _make(self, path: str) -> None:
        if path not in self._made:
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
        try:
            yield
        except FileExistsError:
            raise ConflictError(
                f"{self._labels[number]}: {path!r} is there already under a name that this file "
                "system takes for the same; unpack on one that tells upper from lower case"
            ) from None
        except OSError as error:
            raise OutputsError(
                f"{self._labels[number]}: {path!r} cannot be written ({error.strerror}); "
                "check the disk"
            ) from error
