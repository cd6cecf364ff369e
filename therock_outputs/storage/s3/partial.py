"""A download that grows under a hidden name, and a record beside it of what it holds already.

The record is text: one line of JSON that says of which version of which object the bytes are,
then one line ``[start, end]`` for each range that is complete. It is only ever appended to, so
that whatever moment a process is killed at, all its whole lines are true.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.hidden import is_at, partial_download, try_lock

__all__ = ["PartialFile"]


class PartialFile:
    """The unfinished file of one download. Not for several threads, but for the descriptor."""

    def __init__(self, final: Path, source: StorageLocation) -> None:
        """Open the file that an earlier process may have left, or a new one."""
        self._final = final
        self._source = source
        self._record: int | None = None
        self.etag: str | None = None
        self.size: int | None = None
        self.done: list[tuple[int, int]] = []
        final.parent.mkdir(parents=True, exist_ok=True)
        self.path = partial_download(final)
        self._record_path: Path | None = self.path.with_name(self.path.name + ".json")
        self.descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            descriptor = os.open(self.path, flags, 0o666)
            if not try_lock(descriptor):
                # Another process fetches the same: go on beside it, without a record.
                os.close(descriptor)
                self.path = self._final.with_name(f".partial-{os.urandom(8).hex()}")
                self._record_path = None
            elif is_at(descriptor, self.path):
                break
            else:  # the other one has just finished
                os.close(descriptor)
        present = os.fstat(descriptor).st_size
        # Not an empty file: ext4 takes that for somebody replacing a file's content, and writes
        # all of it to the disk while it is closed.
        if present and not self._load(present):
            os.ftruncate(descriptor, 0)
        return descriptor

    def _load(self, present: int) -> bool:
        """Take over the record of an earlier process; False when there is no use for it."""
        if self._record_path is None:
            return False
        try:
            lines = self._record_path.read_text(encoding="utf-8").split("\n")[:-1]
            head: dict[str, Any] = json.loads(lines[0])
            done = [(int(start), int(end)) for start, end in map(json.loads, lines[1:])]
            etag, size, source = str(head["etag"]), int(head["size"]), head["source"]
        except (OSError, ValueError, LookupError, TypeError):
            return False
        fits = all(0 <= start < end <= min(size, present) for start, end in done)
        if not done or not fits or source != self._source.s3_uri:
            return False
        self.etag, self.size, self.done = etag, size, _merged(done)
        return True

    def start_over(self) -> None:
        """Forget all that is there: it belongs to another version of the object."""
        self._drop_record()
        os.ftruncate(self.descriptor, 0)
        self.etag, self.size, self.done = None, None, []

    def gaps(self) -> list[tuple[int, int]]:
        """What is missing, once the size is known."""
        position, missing = 0, []
        for start, end in [*self.done, (self.size or 0, self.size or 0)]:
            if position < start:
                missing.append((position, start))
            position = end
        return missing

    def note(self, start: int, end: int) -> None:
        """Remember that the bytes from ``start`` to before ``end`` are there."""
        if start >= end:
            return
        self.done = _merged([*self.done, (start, end)])
        if self.done == [(0, self.size)]:
            return  # it gets its name at once
        if self._record_path is None or not self.etag:
            return  # without a version nobody could tell later whether these bytes still fit
        if self._record is None:
            head = {"source": self._source.s3_uri, "etag": self.etag, "size": self.size}
            lines = [json.dumps(head), *(json.dumps(known) for known in self.done)]
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            self._record = os.open(self._record_path, flags | os.O_NOFOLLOW, 0o666)
        else:
            lines = [json.dumps((start, end))]
        os.write(self._record, "".join(line + "\n" for line in lines).encode())

    def publish(self) -> None:
        """Give the finished file its name."""
        # The record goes first: it must never be found beside another file's bytes.
        self._drop_record()
        self.path.replace(self._final)
        self.close()

    def discard(self) -> None:
        """Remove all traces."""
        self._drop_record()
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the file for a later process, or nothing when there is nothing to go on from."""
        if self.descriptor < 0:
            return
        if self._record is None and not self.done and is_at(self.descriptor, self.path):
            self.path.unlink()
        if self._record_path is None and is_at(self.descriptor, self.path):
            self.path.unlink()
        if self._record is not None:
            os.close(self._record)
            self._record = None
        os.close(self.descriptor)
        self.descriptor = -1

    def _drop_record(self) -> None:
        if self._record is not None:
            os.close(self._record)
            self._record = None
        if self._record_path is not None:
            with suppress(FileNotFoundError):
                self._record_path.unlink()


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in as few intervals as possible, in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
