"""One object on its way into one file: what is there, what is missing, who fetches what."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from therock_outputs.errors import IntegrityError, StorageError
from therock_outputs.storage.base import Download
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.failures import ObjectChanged
from therock_outputs.storage.s3.get import Body
from therock_outputs.storage.s3.partial import PartialFile

__all__ = ["Fetch", "Range", "wants_help"]

_DIGEST = re.compile("[0-9a-f]{64}")

Range: TypeAlias = tuple[int, int]
"""First byte, and the one after the last."""


class Fetch:
    """One object on its way into one file."""

    def __init__(self, item: Download, range_size: int) -> None:
        self.item = item
        self.expected = item.sha256
        self.size = item.size
        self.partial = PartialFile(item.path, item.source)
        self.resumed = self.partial.size is not None
        self.etag = self.partial.etag
        self.hasher = hashlib.sha256()
        self.hashed = 0
        self.confirmed = False
        """Whether the server has said which version it has."""
        self.gaps: deque[Range] = deque()
        """What nobody has begun to fetch."""
        self.workers = 1
        self.lock = threading.Lock()
        self._hashing = threading.Lock()
        self._range_size = range_size

    def first_range(self) -> tuple[int, int | None]:
        """What to ask for before anything is known of the object; an end of None: all."""
        if self.resumed:
            # Without a gap one byte tells whether the object is still the same.
            start, end = next(iter(self.partial.gaps()), (0, 1))
            return start, min(end, start + self._range_size)
        if self.size is not None and self.size <= self._range_size:
            return 0, None
        return 0, self._range_size

    def learn(self, body: Body, begun: Range) -> None:
        """Take size and version from the first answer; check those of all others.

        ``begun`` is the range that this answer is for. ObjectChanged when the object is
        not the one that the rest of the file is from.
        """
        with self.lock:
            if self.confirmed:
                if body.size != self.size or body.etag != self.etag:
                    raise ObjectChanged
                return
            if self.resumed and (body.size, body.etag) != (self.partial.size, self.partial.etag):
                raise ObjectChanged
            if self.item.size not in {None, body.size}:
                raise IntegrityError(
                    f"{self.item.source.s3_uri} has {body.size} bytes but {self.item.size} were "
                    "expected; list the run again"
                )
            self.size = self.partial.size = body.size
            self.etag = self.partial.etag = body.etag
            if self.expected is None and body.sha256 and _DIGEST.fullmatch(body.sha256):
                self.expected = body.sha256
            self._divide(begun)
            self.confirmed = True

    def _divide(self, begun: Range) -> None:
        """Cut what is missing, but for the range under way, into pieces for all workers."""
        for start, end in self.partial.gaps():
            position = begun[1] if start == begun[0] else start
            while position < end:
                piece = min(end, position + self._range_size)
                self.gaps.append((position, piece))
                position = piece

    def start_over(self) -> None:
        """Forget what an earlier process fetched of another version."""
        self.partial.start_over()
        self.resumed = False
        self.etag = None
        self.hasher, self.hashed = hashlib.sha256(), 0

    def claim(self, *, joining: bool = False) -> Range | None:
        """The first range that nobody fetches yet; None when there is none left.

        A worker that has not been at this file before joins with its first range.
        """
        with self.lock:
            if not self.gaps:
                return None
            self.workers += joining
            return self.gaps.popleft()

    def note(self, start: int, end: int) -> None:
        """Remember that these bytes are in the file."""
        with self.lock:
            self.partial.note(start, end)

    def begin_hashing(self, position: int) -> bool:
        """Take over the hash if it stands at ``position`` and nobody has it."""
        if not self._hashing.acquire(blocking=False):
            return False
        if self.hashed == position:
            return True
        self._hashing.release()
        return False

    def end_hashing(self) -> None:
        """Hand the hash on."""
        self._hashing.release()

    def catch_up(self, buffer: memoryview, stop: Stop) -> None:
        """Hash what follows the hashed bytes and is in the file already, unless another does."""
        while self._hashing.acquire(blocking=False):
            try:
                with self.lock:
                    done = self.partial.done
                    limit = next((e for s, e in done if s <= self.hashed < e), self.hashed)
                if limit == self.hashed:
                    return
                self._hash_until(limit, buffer, stop)
            finally:
                self._hashing.release()

    def _hash_until(self, limit: int, buffer: memoryview, stop: Stop) -> None:
        while self.hashed < limit:
            stop.check()
            view = buffer[: min(len(buffer), limit - self.hashed)]
            count = os.preadv(self.partial.descriptor, [view], self.hashed)
            if not count:
                raise StorageError(
                    f"{self.partial.path} became shorter while it was written; "
                    "make sure that nobody else changes it"
                )
            self.hasher.update(view[:count])
            self.hashed += count

    def leave(self) -> bool:
        """One worker is done here; whether it was the last and the file is whole."""
        with self.lock:
            self.workers -= 1
            return self.workers == 0 and not self.gaps


def wants_help(left: Sequence[int], waiting: int, jobs: int) -> bool:
    """Whether one of the files that are begun would be what all others wait for at the end.

    ``left``: bytes of each of them that nobody fetches yet. ``waiting``: bytes of all files that
    are not begun. That is one with more left than each worker's share of all: its SHA-256 can be
    made by one worker only.
    """
    return jobs * max(left, default=0) > waiting + sum(left)
