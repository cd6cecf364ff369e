"""Reading a command line strictly: every mistake is one line that names it and what was meant.

invoke's own parser takes ``--typo`` as the value of the flag before it, and splits words it does
not know into letters; CI jobs that run for hours deserve better.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from therock_outputs.errors import UsageError
from therock_outputs.flags import COMMON, SHARED, Flag, Kind, RawValue
from therock_outputs.jobs import Job

__all__ = ["CommandLine", "JobCall", "parse_command_line"]

_HELP = Flag("help", "Explain the program, or one task with all its flags.", Kind.SWITCH, short="h")
_LIST = Flag("list", "List the tasks.", Kind.SWITCH, short="l")
_VERSION = Flag("version", "Print the version.", Kind.SWITCH, short="V")


@dataclass(slots=True)
class JobCall:
    """One task with the flags that stood behind it."""

    job: Job
    values: dict[str, RawValue] = field(default_factory=dict)


@dataclass(slots=True)
class CommandLine:
    """What was asked for."""

    calls: list[JobCall] = field(default_factory=list)
    core: dict[str, RawValue] = field(default_factory=dict)
    """The flags before the first task: help, list, version and the common ones."""
    help_for: str | None = None
    """The task to explain."""
    remainder: str = ""
    """What stood after ``--``, quoted as a shell would."""

    @property
    def wants_help(self) -> bool:
        """Whether to print help instead of doing anything."""
        return bool(self.core.get("help"))


def parse_command_line(arguments: Sequence[str], jobs: Mapping[str, Job]) -> CommandLine:
    """Read the arguments behind the program's name; UsageError says in one line what is wrong."""
    return _Reader(arguments, jobs).read()


class _Reader:
    """Goes through the words once, from left to right."""

    def __init__(self, arguments: Sequence[str], jobs: Mapping[str, Job]) -> None:
        self._words = list(arguments)
        self._jobs = jobs
        self._at = 0
        self._line = CommandLine()
        self._last_flag: Flag | None = None

    def read(self) -> CommandLine:
        while self._at < len(self._words):
            word = self._next()
            if word == "--":
                self._line.remainder = shlex.join(self._words[self._at :])
                break
            if word.startswith("-") and word != "-":
                self._read_flag(word)
            else:
                self._read_task(word)
        for call in self._line.calls:
            for name in COMMON:
                if self._line.core.get(name):
                    call.values[name] = True
        return self._line

    def _next(self) -> str:
        self._at += 1
        return self._words[self._at - 1]

    @property
    def _call(self) -> JobCall | None:
        return self._line.calls[-1] if self._line.calls else None

    def _read_task(self, word: str) -> None:
        if word in self._jobs:
            if self._line.wants_help and self._line.help_for is None:
                self._line.help_for = word
            else:
                self._line.calls.append(JobCall(self._jobs[word]))
            self._last_flag = None
            return
        if self._last_flag is not None and self._last_flag.repeatable:
            raise UsageError(
                f"{word!r} belongs to no flag; separate the values of "
                f"{self._last_flag.spelling} with commas{self._see()}"
            )
        if self._call is not None:
            for flag in self._call.job.flags:
                if flag.positional and flag.name not in self._call.values:
                    self._call.values[flag.name] = word
                    self._last_flag = None
                    return
            raise UsageError(f"{self._call.job.name} takes no word {word!r}{self._see()}")
        meant = _did_you_mean(word, self._jobs)
        raise UsageError(f"no task is called {word!r}{meant} (see ./inv --list)")

    def _read_flag(self, word: str) -> None:
        if not word.startswith("--") and len(word) > 2 and set(word[1:]) == {word[1]}:
            word = word[:2]  # -vv is -v
        name, has_value, value = word.partition("=")
        flag = self._find(name)
        self._last_flag = flag
        if flag in (_HELP, _LIST, _VERSION):
            if has_value and flag is not _HELP:
                raise UsageError(f"{name} takes no value{self._see()}")
            self._read_core(flag, value)
            return
        values = self._call.values if self._call else self._line.core
        if flag.kind is Kind.SWITCH:
            if has_value:
                raise UsageError(f"{name} takes no value{self._see()}")
            values[flag.name] = True
            return
        text = value if has_value else self._value_of(flag)
        if not text:
            raise UsageError(f"{flag.spelling} needs a value{_instance(flag)}{self._see()}")
        if flag.repeatable:
            before = values.setdefault(flag.name, [])
            assert isinstance(before, list)  # noqa: S101
            before.append(text)
        elif flag.name in values:
            raise UsageError(f"{flag.spelling} is given twice{self._see()}")
        else:
            values[flag.name] = text

    def _read_core(self, flag: Flag, value: str) -> None:
        self._line.core[flag.name] = True
        if flag is not _HELP:
            return
        if value:
            self._read_task(value)
        elif self._call is not None:
            self._line.help_for = self._call.job.name

    def _value_of(self, flag: Flag) -> str:
        """The next word, unless it is missing or a flag itself."""
        following = self._words[self._at] if self._at < len(self._words) else ""
        if not following:
            raise UsageError(f"{flag.spelling} needs a value{_instance(flag)}{self._see()}")
        if following.startswith("-") and following != "-":
            raise UsageError(
                f"{flag.spelling} needs a value, but {following!r} follows; write "
                f"{flag.spelling}={shlex.quote(following)} if it is the value{self._see()}"
            )
        return self._next()

    def _find(self, name: str) -> Flag:
        core = (_HELP, _LIST, _VERSION)
        flags = (*(self._call.job.flags if self._call else _common()), *core)
        for flag in flags:
            if name == flag.spelling or (flag.short and name == f"-{flag.short}"):
                return flag
        where = f"{self._call.job.name} has no flag {name}" if self._call else f"no flag {name}"
        meant = _did_you_mean(name, (flag.spelling for flag in flags))
        if (
            not meant
            and self._call is None
            and any(name == flag.spelling for job in self._jobs.values() for flag in job.flags)
        ):
            meant = "; the flags of a task stand behind its name"
        raise UsageError(f"{where}{meant}{self._see()}")

    def _see(self) -> str:
        task = f" {self._call.job.name}" if self._call else ""
        return f" (see ./inv --help{task})"


def _common() -> tuple[Flag, ...]:
    return tuple(SHARED[name] for name in COMMON)


def _instance(flag: Flag) -> str:
    return f", for instance {flag.spelling} {flag.example}" if flag.example else ""


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""
