"""What ``./inv`` runs: tasks.py's jobs behind a strict command line, a list and help pages.

Exit codes: 0 done; 1 failed, with one line; 2 usage; 3 a look-up failed; 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit

from therock_outputs.command_line import CommandLine, parse_command_line
from therock_outputs.console import Console
from therock_outputs.ending import end_process
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.flags import COMMON, SHARED, Flag, Kind
from therock_outputs.jobs import Heading, Job

__all__ = ["jobs_of", "list_lines", "main", "run", "task_help_lines"]

_INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""


def main() -> None:
    """Run the jobs of tasks.py as this process's arguments say, and exit."""
    # What is loaded lives as long as the process. To look at it again and again for garbage, and
    # once more at the end, takes an eighth of the time of a short task.
    gc.freeze()
    tasks_file = Path(__file__).resolve().parents[1] / "tasks.py"
    console = Console.standard(os.environ)
    try:
        code = run(sys.argv[1:], jobs_of(_load(tasks_file)), console)
        sys.stdout.flush()
    except OutputsError as error:
        console.error(str(error))
        code = error.exit_code
    except BrokenPipeError:
        # The reader of a pipe has seen enough; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        console.error("interrupted")
        code = _INTERRUPTED
    gc.freeze()
    end_process(code)


def run(arguments: Sequence[str], jobs: Mapping[str, Job], console: Console) -> int:
    """Do what a command line asks for, and return the exit code."""
    try:
        line = parse_command_line(arguments, jobs)
        if line.core.get("version"):
            console.say(f"therock-outputs {importlib.metadata.version('therock-outputs')}")
        elif line.wants_help or line.core.get("list") or not line.calls:
            _explain(line, jobs, console)
        else:
            _execute(line)
    except Exit as stop:
        return int(stop.code)
    except OutputsError as error:
        if "--json" in arguments:
            console.json = True
            console.document({"error": str(error), "exit_code": error.exit_code})
        console.error(str(error))
        return error.exit_code
    return 0


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"there is no {path}: run ./inv in a checkout of the project")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def jobs_of(module: ModuleType) -> dict[str, Job]:
    """The jobs of a module, by the name that is typed, in the order of its lines."""
    return {item.name: item for item in vars(module).values() if isinstance(item, Job)}


def _execute(line: CommandLine) -> None:
    # lazy: what invoke would read from configuration files in /etc and HOME is not ours.
    context = Context(Config(lazy=True), remainder=line.remainder)
    for call in line.calls:
        call.job(context, **call.values)


def _explain(line: CommandLine, jobs: Mapping[str, Job], console: Console) -> None:
    width = max(60, min(shutil.get_terminal_size().columns, 100))
    if line.help_for is not None:
        lines = task_help_lines(jobs[line.help_for], width)
    else:
        lines = list_lines(jobs)
        if line.wants_help:
            lines += ["", "Flags before or behind any task:", ""]
            lines += _flag_lines([SHARED[name] for name in COMMON], width)
    for text in lines:
        console.say(text)


def list_lines(jobs: Mapping[str, Job]) -> list[str]:
    """The list of tasks as a table of contents."""
    lines = ["Usage: ./inv TASK [FLAGS]        ./inv --help TASK explains a task's flags"]
    width = max((len(name) for name in jobs), default=0)
    for heading in Heading:
        under = [task for task in jobs.values() if task.heading is heading]
        if under:
            lines += ["", heading.value, ""]
            lines += [f"  {task.name:{width}}  {task.summary}" for task in under]
    return lines


def task_help_lines(task: Job, width: int) -> list[str]:
    """The help page of one task: what it does, an example, and every flag."""
    extra = f" [-- {task.takes_extra}]" if task.takes_extra else ""
    words = "".join(f" {flag.metavar}" for flag in task.flags if flag.positional)
    lines = [f"Usage: ./inv {task.name}{words} [FLAGS]{extra}", ""]
    for paragraph in _paragraphs(task):
        lines += [*textwrap.wrap(paragraph, width), ""]
    examples = [part for line in task.example.splitlines() for part in _folded(line, width)]
    lines += ["Example:", "", *examples, ""]
    own = [flag for flag in task.flags if not flag.is_shared]
    shared = [flag for flag in task.flags if flag.is_shared]
    for title, flags in (("Flags of this task:", own), ("Flags of many tasks:", shared)):
        if flags:
            lines += [title, "", *_flag_lines(flags, width), ""]
    return lines[:-1]


def _folded(command: str, width: int) -> list[str]:
    """A command in lines that a shell takes as one, broken before flags."""
    lines = ["  " + command]
    while len(lines[-1]) > width:
        at = lines[-1].rfind(" -", 8, width - 2)
        if at < 0:
            break
        lines[-1:] = [lines[-1][:at] + " \\", "      " + lines[-1][at + 1 :]]
    return lines


def _paragraphs(task: Job) -> list[str]:
    text = textwrap.dedent(task.body.__doc__ or "")
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _flag_lines(flags: Sequence[Flag], width: int) -> list[str]:
    specs = [_spec(flag) for flag in flags]
    left = max(len(spec) for spec in specs) + 4
    lines: list[str] = []
    for flag, spec in zip(flags, specs, strict=True):
        about = textwrap.wrap(_about(flag), width - left, break_on_hyphens=False)
        lines.append(f"  {spec:{left - 2}}{about[0]}")
        lines += [" " * left + more for more in about[1:]]
    return lines


def _spec(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else ""
    value = "" if flag.kind is Kind.SWITCH else f" {flag.metavar or 'VALUE'}"
    return f"{short}{flag.spelling}{value}"


def _about(flag: Flag) -> str:
    about = flag.help
    if flag.choices:
        about += f" One of {', '.join(flag.choices)}."
    if flag.kind is Kind.REGEX:
        about += " Repeat the flag for more."
    if flag.environment:
        about += f" Else {', else '.join(flag.environment)}."
    if flag.example:
        about += f" E.g. {flag.spelling} {flag.example}"
    return about
