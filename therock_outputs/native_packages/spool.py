"""One temporary file for what is read once and written into several packages."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from therock_outputs.errors import IntegrityError
from therock_outputs.storage.local_io import os_errors

__all__ = ["Range", "Spool"]

_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """Where something lies in the spool."""

    at: int
    size: int


class Spool(AbstractContextManager["Spool"]):
    """A file without a name, which is gone with the process; any thread may use it."""

    def __init__(self, directory: Path) -> None:
        self._what = f"{directory} cannot hold the temporary files"
        with os_errors(self._what):
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()
        self._end = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the space back."""
        self._file.close()

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        return self._file.fileno()

    def reserve(self, size: int) -> int:
        """Where there is room for so many bytes that nobody else writes to."""
        with self._lock:
            at, self._end = self._end, self._end + size
        return at

    def put(self, data: bytes | bytearray | memoryview) -> Range:
        """Keep some bytes."""
        place = Range(self.reserve(len(data)), len(data))
        self.write(place.at, data)
        return place

    def write(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Write into room that was reserved."""
        with os_errors(self._what), memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self.descriptor, view[done:], at + done)

    def read(self, place: Range) -> bytes:
        """What was kept."""
        return b"".join(self.parts(place))

    def parts(self, place: Range, step: int = _STEP) -> Iterator[bytes]:
        """What was kept, in pieces of at most ``step`` bytes."""
        at, end = place.at, place.at + place.size
        while at < end:
            with os_errors(self._what):
                data = os.pread(self.descriptor, min(step, end - at), at)
            if not data:
                raise IntegrityError("the temporary files were cut short while they were in use")
            yield data
            at += len(data)
