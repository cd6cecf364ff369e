"""How far work has come: a bar in a terminal, a line now and then in a log.

Both are handed where their words go and print nothing by themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from therock_outputs.formatting import format_duration, format_size, visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["BarProgress", "PlainProgress", "Progress"]

_PLAIN_LINE_SECONDS = 15.0
"""Between two lines about the same work where there is no terminal: a log stays readable."""


class Progress(Protocol):
    """What work in progress reports to; every method may be called from any thread."""

    def advance(self, label: str, amount: int) -> None:
        """So many bytes (or items, where no bytes are counted) of this file are done."""

    def extend(self, amount: int) -> None:
        """There is more to do than was known."""


class PlainProgress:
    """Progress as lines in a log: rarely one while the work goes on, one at its end."""

    def __init__(
        self,
        title: str,
        total: int | None,
        *,
        items: bool,
        clock: Callable[[], float],
        note: Callable[[str], None],
    ) -> None:
        self.title = title
        self.total = total
        self.items = items
        self._clock = clock
        self._note = note
        self._done = 0
        self._labels: set[str] = set()
        self._lock = threading.Lock()
        self._start = self._last = clock()

    def extend(self, amount: int) -> None:
        """There is more to do than was known."""
        with self._lock:
            self.total = (self.total or 0) + amount

    def advance(self, label: str, amount: int) -> None:
        """So many more bytes or items are done."""
        line = self.count(label, amount)
        if line is not None:
            self._note(line)

    def count(self, label: str, amount: int) -> str | None:
        """Count without printing; a line about the work when it is time for one."""
        with self._lock:
            self._done += amount
            self._labels.add(label)
            now = self._clock()
            if now - self._last < _PLAIN_LINE_SECONDS:
                return None
            self._last = now
            return self._status_line(now)

    def closing_line(self) -> str:
        """What was done, in how much time, and how fast."""
        seconds = self._clock() - self._start
        count = len(self._labels)
        files = "" if self.items else f"{count} {'file' if count == 1 else 'files'}, "
        is_rated = self._done and seconds > 0.1
        rate = f" ({self._amount(self._done / seconds)}/s)" if is_rated else ""
        done = f"{files}{self._amount(self._done)} in {format_duration(seconds)}{rate}"
        return f"{self.title}: {done}"

    def _amount(self, count: float) -> str:
        return f"{count:,.0f}" if self.items else format_size(round(count))

    def _status_line(self, now: float) -> str:
        rate = self._done / max(now - self._start, 1e-9)
        line = f"{self.title}: {self._amount(self._done)}"
        if self.total:
            line += f" of {self._amount(self.total)} ({100 * self._done / self.total:.0f} %)"
        line += f", {self._amount(rate)}/s"
        if self.total and 0 < self._done < self.total:
            line += f", {format_duration((self.total - self._done) / rate)} left"
        return line


class BarProgress:
    """Progress as a bar in a terminal, drawn by rich, which vanishes when the work is done."""

    def __init__(self, lines: PlainProgress, stream: TextIO) -> None:
        self._lines = lines
        self._stream = stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # rich takes a tenth of a second to import, and most calls draw nothing.
        from rich import progress as rich_progress
        from rich.console import Console as RichConsole
        from rich.markup import escape

        counts: list[rich_progress.ProgressColumn] = (
            [rich_progress.MofNCompleteColumn()]
            if self._lines.items
            else [rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn()]
        )
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            *counts,
            rich_progress.TimeRemainingColumn(),
            console=RichConsole(file=self._stream),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(escape(visible(self._lines.title)), total=self._lines.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def extend(self, amount: int) -> None:
        """There is more to do than was known."""
        self._lines.extend(amount)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._lines.total)

    def advance(self, label: str, amount: int) -> None:
        """So many more bytes or items are done."""
        self._lines.count(label, amount)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
