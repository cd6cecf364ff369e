"""The one room that prints: lines, tables, progress, JSON, and errors.

Results go to standard output, progress and errors to standard error. With ``json`` the one
document of a task is all that standard output ever sees. Text from outside (a file name out of
an archive, a server's answer) can hold anything, so every text passes :func:`visible`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import TextIO

from therock_outputs.formatting import format_duration, format_size, table_lines, visible
from therock_outputs.progress import BarProgress, PlainProgress, Progress

__all__ = ["Console", "Progress", "format_duration", "format_size", "visible"]


@dataclass(slots=True)
class Console:
    """Where a task's words go and in what form; safe to use from several threads."""

    stdout: TextIO
    stderr: TextIO
    json: bool = False
    interactive: bool = False
    """Whether a person watches standard error in a terminal."""
    github: bool = False
    """Whether GitHub Actions reads the log: groups fold there, and ``::`` is a command."""
    quiet: bool = False
    """Leave out progress altogether."""
    clock: Callable[[], float] = time.monotonic
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _spoken: bool = False

    @classmethod
    def standard(cls, environ: Mapping[str, str], *, json: bool = False) -> Console:
        """The console of this process."""
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks must not end a release.
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        in_ci = bool(environ.get("CI")) or bool(environ.get("GITHUB_ACTIONS"))
        return cls(
            stdout=sys.stdout,
            stderr=sys.stderr,
            json=json,
            interactive=sys.stderr.isatty() and not in_ci and environ.get("TERM") != "dumb",
            github=environ.get("GITHUB_ACTIONS") == "true",
        )

    def say(self, text: str = "") -> None:
        """Print a line of a result; with ``json`` it goes to standard error."""
        self._write(self.stderr if self.json else self.stdout, text)

    def note(self, text: str) -> None:
        """Print a line about the work, to standard error."""
        self._write(self.stderr, text)

    def warn(self, text: str) -> None:
        """Print a warning; GitHub shows it on the run's page."""
        self._report("warning", text)

    def error(self, text: str) -> None:
        """Print what went wrong, as one line."""
        self._report("error", text)

    def traceback(self, error: BaseException) -> None:
        """Print how a failure came about, for whoever mends the program."""
        for chunk in traceback.format_exception(error):
            for line in chunk.splitlines():
                self.note(line)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
    ) -> None:
        """Print aligned columns; numbers stand right, and nothing is ever cut off."""
        for line in table_lines(columns, rows, title=title):
            self.say(line)

    def document(self, value: object) -> None:
        """Print a task's one JSON document; without ``json``, nothing."""
        if not self.json or self._spoken:
            return
        self._spoken = True
        with self._lock:
            self.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")
            self.stdout.flush()

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Let the lines printed inside fold under a title in GitHub's log. They do not nest."""
        if not self.github:
            if not self.quiet:
                self.note(title)
            yield
            return
        self._command(f"::group::{_command_text(title)}")
        try:
            yield
        finally:
            self._command("::endgroup::")

    @contextlib.contextmanager
    def progress(
        self, title: str, total: int | None = None, *, items: bool = False
    ) -> Iterator[Progress]:
        """Show how far work has come, with its rate and the time left.

        ``total`` counts bytes, or things with ``items``; None where it is not known. In a
        terminal that is a bar; elsewhere a line now and then, and one at the end.
        """
        lines = PlainProgress(title, total, items=items, clock=self.clock, note=self._progress_note)
        if self.interactive and not self.quiet:
            with BarProgress(lines, self.stderr) as bar:
                yield bar
        else:
            yield lines
        self._progress_note(lines.closing_line())

    @contextlib.contextmanager
    def log_messages(self, level: int) -> Iterator[None]:
        """Show the project's log messages of this level and above, as lines about the work."""
        logger = logging.getLogger("therock_outputs")
        handler = _ConsoleHandler(self)
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(level)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)

    def _progress_note(self, line: str) -> None:
        if not self.quiet:
            self.note(line)

    def _report(self, kind: str, text: str) -> None:
        if self.github:
            self._command(f"::{kind}::{_command_text(text)}")
        else:
            self._write(self.stderr, f"{kind}: {text}")

    def _command(self, line: str) -> None:
        with self._lock:
            self.stderr.write(line + "\n")
            self.stderr.flush()

    def _write(self, stream: TextIO, text: str) -> None:
        line = visible(text).rstrip()
        if self.github:
            line = _not_a_command(line)
        with self._lock:
            stream.write(line + "\n")
            stream.flush()


def _command_text(text: str) -> str:
    # The runner's own escapes for the data of a workflow command.
    return visible(text).replace("%", "%25")


def _not_a_command(line: str) -> str:
    # The runner takes "::" at the start of a line and "##[" anywhere for a command to it, and a
    # file name can begin so.
    if line.lstrip().startswith("::"):
        line = line.replace("::", r"\x3a:", 1)
    return line.replace("##[", r"#\x23[")


def _plain(value: object) -> object:
    """What JSON has no word for: dataclasses as objects, sets as sorted lists, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON cannot say")


class _ConsoleHandler(logging.Handler):
    """Hands log messages to the console, warnings as warnings."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._console.warn(text)
        else:
            self._console.note(text)
