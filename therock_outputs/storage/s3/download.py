"""Fetching many objects at once: large ones in ranges, verified while they arrive.

Each file has one worker that fetches it range by range. A worker that finds no further file, or
one that will take longer than all others, helps with the one that has most left, at its front
too: a SHA-256 can only be made in order, so
whoever fetches the range at which it stands hashes what is still in the processor's cache, and
whoever finishes a range hashes what has become contiguous.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence

from therock_outputs.errors import IntegrityError, StorageError
from therock_outputs.storage.base import Download, Outcome, Progress, Transfer
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.local_io import os_errors
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.s3.client import S3Client
from therock_outputs.storage.s3.errors import explain
from therock_outputs.storage.s3.failures import (
    REQUEST_ERRORS,
    ObjectChanged,
    Refusal,
    Truncated,
    can_pass,
)
from therock_outputs.storage.s3.fetch import Fetch, Range, wants_help
from therock_outputs.storage.s3.get import Body, RangeReader

__all__ = ["download_all"]

_LOG = logging.getLogger(__name__)

# Small enough to stay in a core's cache between receiving, hashing and writing.
_BUFFER = 512 << 10
# What is asked for at once of a connection that takes longer than this to bring it: whoever
# watches or interrupts a slow transfer does not wait for whole buffers.
_STEP = 64 << 10
_SLOW = 0.05
# A request that moved this much before it broke was no failure to make progress.
_PROGRESS = 1 << 20


def download_all(
    client: S3Client,
    downloads: Sequence[Download],
    jobs: int,
    progress: Progress | None,
) -> list[Transfer]:
    """Fetch all of them; results in their order."""
    paths = [item.path for item in downloads]
    if len(set(paths)) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise StorageError(f"{twice} would be fetched from two objects; give each its own file")
    reader = RangeReader(client)
    batch = _Batch(client, reader, downloads, jobs, progress)
    try:
        run_parallel(batch.work, range(jobs), jobs)
    finally:
        reader.close()
        batch.close()
    return batch.results()


class _Batch:
    """The files of one call and the workers' next steps."""

    def __init__(
        self,
        client: S3Client,
        reader: RangeReader,
        downloads: Sequence[Download],
        jobs: int,
        progress: Progress | None,
    ) -> None:
        self._client = client
        self._reader = reader
        self._progress = progress
        self._downloads = downloads
        # Those of unknown size may be large; large ones first, so that the end is even.
        order = sorted(
            range(len(downloads)),
            key=lambda i: (downloads[i].size is not None, -(downloads[i].size or 0)),
        )
        self._waiting = deque(order)
        self._waiting_bytes = sum(item.size or 0 for item in downloads)
        self._range_size = client.settings.range_size
        self._jobs = jobs
        self._active: dict[int, Fetch] = {}
        self._results: dict[int, Transfer] = {}
        self._changed = threading.Condition()

    def results(self) -> list[Transfer]:
        """What was done, in the order given."""
        return [self._results[index] for index in range(len(self._downloads))]

    def close(self) -> None:
        """Leave unfinished files for a later process."""
        for fetch in self._active.values():
            fetch.partial.close()

    def work(self, _worker: int, stop: Stop) -> None:
        """Fetch until there is nothing left to begin."""
        buffer = _Buffer()
        while True:
            index = self._next_file()
            if index is not None:
                self._own(index, buffer, stop)
                continue
            found = self._find_help(stop)
            if found is not None:
                self._help(*found, buffer, stop)
            elif not self._waiting:
                return

    def _next_file(self) -> int | None:
        """The file to begin; None when there is none, or one that is begun wants help first."""
        with self._changed:
            if not self._waiting:
                return None
            left = [len(fetch.gaps) * self._range_size for fetch in self._active.values()]
            if wants_help(left, self._waiting_bytes, self._jobs):
                return None
            index = self._waiting.popleft()
            self._waiting_bytes -= self._downloads[index].size or 0
            return index

    def _find_help(self, stop: Stop) -> tuple[int, Range] | None:
        """The file with most left, and a range of it; None when no file wants help."""
        with self._changed:
            while True:
                stop.check()
                ready = [(len(f.gaps), i) for i, f in self._active.items() if f.gaps]
                if ready:
                    index = max(ready)[1]
                    fetch = self._active[index]
                    claimed = fetch.claim(joining=True)
                    if claimed is not None:
                        return index, claimed
                elif self._waiting or all(fetch.confirmed for fetch in self._active.values()):
                    return None
                else:
                    self._changed.wait(0.05)

    def _help(self, index: int, claimed: Range, buffer: _Buffer, stop: Stop) -> None:
        fetch = self._active[index]
        with os_errors(f"{fetch.item.source.s3_uri} cannot be fetched to {fetch.item.path}"):
            self._transfer(fetch, claimed, buffer, stop)
            fetch.catch_up(buffer.memory, stop)
            self._leave(index, fetch, buffer, stop)

    def _own(self, index: int, buffer: _Buffer, stop: Stop) -> None:
        """Bring one file from its front to where others have begun."""
        item = self._downloads[index]
        with os_errors(f"{item.source.s3_uri} cannot be fetched to {item.path}"):
            same = self._already_there(item, stop)
            if same is not None:
                self._results[index] = same
                return
            fetch = Fetch(item, self._client.settings.range_size)
            with self._changed:
                self._active[index] = fetch
            fetch.catch_up(buffer.memory, stop)
            self._begin(fetch, buffer, stop)
            fetch.catch_up(buffer.memory, stop)
            while claimed := fetch.claim():
                self._transfer(fetch, claimed, buffer, stop)
                fetch.catch_up(buffer.memory, stop)
            self._leave(index, fetch, buffer, stop)

    def _already_there(self, item: Download, stop: Stop) -> Transfer | None:
        """The answer for a file that needs no fetching."""
        if not item.path.is_file():
            return None
        size = item.path.stat().st_size
        if item.size is not None and item.size != size:
            return None
        expected = item.sha256
        if expected is None:
            known = self._client.head(item.source, stop)
            if known is None or known.info.size != size:
                return None
            expected = known.sha256
        if expected is None or sha256_of_file(item.path) != expected:
            return None
        return Transfer(item.source, Outcome.SAME, size, expected)

    def _begin(self, fetch: Fetch, buffer: _Buffer, stop: Stop) -> None:
        """Make the first request, which tells size and version, and fetch its range."""
        try:
            self._transfer(fetch, fetch.first_range(), buffer, stop)
        except ObjectChanged:
            fetch.start_over()
            self._transfer(fetch, fetch.first_range(), buffer, stop)

    def _transfer(
        self,
        fetch: Fetch,
        wanted: tuple[int, int | None],
        buffer: _Buffer,
        stop: Stop,
    ) -> None:
        """Fetch one range, going on from where it stopped after each failure that can pass.

        ObjectChanged means that what an earlier process left is of no use.
        """
        hashing = fetch.begin_hashing(wanted[0])
        stream = _Stream(fetch, wanted, buffer, stop, hashing=hashing, progress=self._progress)
        retry = self._client.settings.retry
        source = fetch.item.source
        failures = 0
        try:
            while not stream.complete:
                before = stream.position
                try:
                    with self._reader.open(source, stream.position, stream.end, fetch.etag) as body:
                        stream.receive(body)
                    with self._changed:
                        self._changed.notify_all()
                except (ObjectChanged, *REQUEST_ERRORS) as error:
                    if _is_range_refusal(error) and not fetch.confirmed:
                        stream.end = None  # an empty object has no range at all
                        continue
                    if _is_change(error):
                        raise _changed(fetch) from error
                    failures = 1 if stream.position - before >= _PROGRESS else failures + 1
                    if not can_pass(error) or failures >= retry.attempts:
                        raise explain(error, "GetObject", source, self._client.caller) from error
                    _LOG.info("%s: %s; going on at %d", source.s3_uri, error, stream.position)
                    retry.pause(failures, stop)
        finally:
            fetch.note(stream.start, stream.position)
            if hashing:
                fetch.end_hashing()

    def _leave(self, index: int, fetch: Fetch, buffer: _Buffer, stop: Stop) -> None:
        """Finish the file when this was its last worker."""
        if not fetch.leave():
            return
        fetch.catch_up(buffer.memory, stop)
        actual = fetch.hasher.hexdigest()
        item = fetch.item
        if fetch.expected is not None and actual != fetch.expected:
            fetch.partial.discard()
            raise IntegrityError(
                f"{item.path} fetched from {item.source.s3_uri} has SHA-256 {actual} but "
                f"{fetch.expected} was expected; what was fetched is removed, run it again and "
                "if that does not help have the run's artifact uploaded again"
            )
        fetch.partial.publish()
        size = fetch.size or 0
        self._results[index] = Transfer(item.source, Outcome.WRITTEN, size, actual)
        with self._changed:
            del self._active[index]
            self._changed.notify_all()


class _Buffer:
    """A worker's memory, and how much of it one read is to fill."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(_BUFFER))
        self._step = _STEP

    def fill(self, body: Body, limit: int) -> memoryview:
        """What a body brings next, at most ``limit`` bytes; none at its end or when it breaks."""
        begun = time.monotonic()
        count = body.read_into(self.memory[: min(self._step, limit)])
        is_slow = time.monotonic() - begun > _SLOW
        self._step = _STEP if is_slow else min(2 * self._step, len(self.memory))
        return self.memory[:count]


class _Stream:
    """One range on its way through a worker's buffer into the file."""

    def __init__(
        self,
        fetch: Fetch,
        wanted: tuple[int, int | None],
        buffer: _Buffer,
        stop: Stop,
        *,
        hashing: bool,
        progress: Progress | None,
    ) -> None:
        self.start, self.end = wanted
        self.position = self.start
        self._fetch = fetch
        self._buffer = buffer
        self._stop = stop
        self._hasher = fetch.hasher if hashing else None
        self._progress = progress

    @property
    def complete(self) -> bool:
        """Whether all that was wanted is in the file."""
        return self.end is not None and self.position >= self.end and self._fetch.confirmed

    def receive(self, body: Body) -> None:
        """Write what an answer brings; Truncated when it ends too early."""
        fetch = self._fetch
        end = body.size if self.end is None else min(self.end, body.size)
        fetch.learn(body, (self.start, end))
        self.end = end
        # A server that knows no ranges sends the object from its first byte.
        skip = self.position - body.start
        if skip < 0:
            raise Truncated(f"the answer begins {-skip} bytes late")
        while self.position < end:
            self._stop.check()
            view = self._buffer.fill(body, end - self.position + skip)
            count = len(view)
            if not count:
                raise Truncated(f"the answer ended {end - self.position} bytes early")
            fresh = view[min(skip, count) : count]
            skip -= min(skip, count)
            self._write(fresh)

    def _write(self, view: memoryview) -> None:
        path = self._fetch.partial.path
        with os_errors(f"{self._fetch.item.source.s3_uri} cannot be written to {path}"):
            written = 0
            while written < len(view):
                written += os.pwrite(
                    self._fetch.partial.descriptor, view[written:], self.position + written
                )
        if self._hasher is not None:
            self._hasher.update(view)
            self._fetch.hashed += len(view)
        self.position += len(view)
        if self._progress is not None:
            self._progress(self._fetch.item.source.name, len(view))


def _is_range_refusal(error: BaseException) -> bool:
    return isinstance(error, Refusal) and error.is_range


def _is_change(error: BaseException) -> bool:
    """Whether the object is not the one that was asked for: our check's word or the server's."""
    if isinstance(error, Refusal):
        return error.is_condition
    return isinstance(error, ObjectChanged)


def _changed(fetch: Fetch) -> Exception:
    """What follows from a change: another start, where the old bytes are an earlier process's."""
    if fetch.resumed and not fetch.confirmed:
        return ObjectChanged()
    return IntegrityError(
        f"{fetch.item.source.s3_uri} changed while it was fetched; fetch it again"
    )
