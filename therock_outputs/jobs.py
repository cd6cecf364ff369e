"""A job: one task of the front door, with its flags, its help and its place in the list.

``@job(…)`` makes an invoke task out of a function that is handed settled values, so that
``./inv TASK`` and plain ``invoke TASK`` run the same thing.
"""

from __future__ import annotations

import enum
import inspect
import logging
import os
import shlex
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from therock_outputs.console import Console
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.flags import (
    COMMON,
    RUN_CHOICES,
    RUN_FLAGS,
    SHARED,
    Flag,
    Kind,
    RawValue,
    check_exclusive,
    parse_value,
)
from therock_outputs.settings import Settings, settings_from

__all__ = ["Heading", "Job", "Work", "job"]


class Heading(enum.Enum):
    """The parts of the list of tasks, in their order."""

    MAIN = "The main job"
    INPUTS = "Inputs: artifacts of a run"
    OUTPUTS = "Outputs: what people install"
    LOOKUPS = "Looking things up"
    TRYING = "Trying things here"
    PROJECT = "For people who work on this project"


@dataclass(frozen=True, slots=True)
class Work:
    """What every job is handed."""

    settings: Settings
    console: Console
    extra: tuple[str, ...] = ()
    """What stood after ``--``."""


Body = Callable[..., object]
"""A job's function: takes a Work, and its own flags by name; returns its JSON document."""


class Job(Task[Body]):
    """An invoke task whose arguments are declared as flags instead of being guessed."""

    def __init__(
        self,
        body: Body,
        *,
        heading: Heading,
        flags: tuple[Flag, ...],
        exclusive: tuple[tuple[Flag, ...], ...],
        example: str,
        takes_extra: str,
        name: str | None,
    ) -> None:
        super().__init__(body, name=name or body.__name__.replace("_", "-"), positional=())
        self.heading = heading
        self.flags = flags
        self.exclusive = exclusive
        self.example = example
        self.takes_extra = takes_extra

    @property
    def summary(self) -> str:
        """The first line of the docstring, which stands in the list of tasks."""
        return (inspect.getdoc(self.body) or "").partition("\n")[0].rstrip(".")

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The flags in invoke's form."""
        del ignore_unknown_help
        return [_argument(flag) for flag in self.flags]

    def __call__(self, context: Context, /, **raw: RawValue) -> object:  # type: ignore[override]
        """Settle the flags and do the job; a failure is one line and an exit code."""
        debug = bool(raw.get("debug"))
        console = Console.standard(os.environ, json=bool(raw.get("json")))
        try:
            result = self._run(context, console, raw)
        except UsageError as error:
            self._fail(console, f"{error} (see ./inv --help {self.name})", error, debug=debug)
        except OutputsError as error:
            self._fail(console, str(error), error, debug=debug)
        except OSError as error:
            self._fail(console, _describe(error), error, debug=debug)
        console.document(result if result is not None else {})
        return result

    def _run(self, context: Context, console: Console, raw: Mapping[str, RawValue]) -> object:
        check_exclusive(raw, self.exclusive)
        extra = tuple(shlex.split(context.remainder))
        if extra and not self.takes_extra:
            raise UsageError(f"{self.name} takes nothing after --, but {extra[0]!r} stands there")
        shared = {flag.name: raw.get(flag.name) for flag in self.flags if flag.is_shared}
        own = {
            flag.name: parse_value(flag, raw.get(flag.name))
            for flag in self.flags
            if not flag.is_shared
        }
        settings = settings_from(shared, os.environ)
        with console.log_messages(_log_level(settings)):
            if settings.needs_lookup:
                from therock_outputs.lookups import settle_run  # noqa: PLC0415 - HTTP loads slowly

                settings = settle_run(settings, console)
            return self.body(Work(settings, console, extra), **own)

    def _fail(self, console: Console, text: str, error: Exception, *, debug: bool) -> None:
        code = error.exit_code if isinstance(error, OutputsError) else 1
        console.document({"error": text, "exit_code": code})
        console.error(text)
        if debug:
            console.traceback(error)
        raise Exit(code=code) from error


def job(
    heading: Heading,
    *,
    shared: Iterable[str] = (),
    own: Iterable[Flag] = (),
    exclusive: Iterable[Iterable[str]] = (),
    example: str,
    takes_extra: str = "",
    name: str | None = None,
) -> Callable[[Body], Job]:
    """Make a job out of a function ``(work, *, own flags…) -> JSON document or None``.

    ``shared`` names flags of :data:`therock_outputs.flags.SHARED`, which arrive settled in
    ``work.settings``; with ``run_id`` come the other flags that may stand for a run. ``own``
    flags arrive as keyword arguments, under their names or all in a ``**`` one. Of each tuple of
    ``exclusive``, and of the shared flags that name a run, at most one flag may be given.
    ``takes_extra`` says what may stand after ``--``.
    """
    own = tuple(own)
    shared = _with_run_flags(shared, {flag.name for flag in own})
    choices = [[name for name in names if name in shared] for names in RUN_CHOICES]
    exclusive = (*exclusive, *(names for names in choices if len(names) > 1))
    flags = (*own, *(SHARED[name] for name in (*shared, *COMMON)))
    by_name = {flag.name: flag for flag in flags}

    def make(body: Body) -> Job:
        parameters = inspect.signature(body).parameters.values()
        expected = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        if not takes_any and expected != {flag.name for flag in own}:
            raise TypeError(f"{body.__name__} takes {sorted(expected)}, which are not its flags")
        return Job(
            body,
            heading=heading,
            flags=flags,
            exclusive=tuple(tuple(by_name[name] for name in names) for names in exclusive),
            example=example,
            takes_extra=takes_extra,
            name=name,
        )

    return make


def _with_run_flags(shared: Iterable[str], own: Container[str]) -> tuple[str, ...]:
    """The names, with what may stand for ``run_id`` behind it."""
    names: dict[str, None] = {}
    for name in shared:
        more = RUN_FLAGS if name == RUN_FLAGS[0] else (name,)
        names.update(dict.fromkeys(one for one in more if one == name or one not in own))
    return tuple(names)


def _argument(flag: Flag) -> Argument:
    kind: type = {Kind.SWITCH: bool, Kind.LIST: list, Kind.REGEX: list}.get(flag.kind, str)
    dashed = flag.spelling.removeprefix("--")
    return Argument(
        names=(dashed, flag.short) if flag.short else (dashed,),
        kind=kind,
        default=False if kind is bool else [] if kind is list else None,
        positional=flag.positional,
        help=flag.help,
        attr_name=flag.name if dashed != flag.name else None,
    )


def _log_level(settings: Settings) -> int:
    if settings.debug:
        return logging.DEBUG
    return logging.INFO if settings.verbose else logging.WARNING


def _describe(error: OSError) -> str:
    """A failure of the operating system in one line that names the file."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(names)}: {reason}" if names else reason
