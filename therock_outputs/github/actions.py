"""How a job speaks with GitHub Actions: step outputs, the step summary, log groups, its event.

The formats are the runner's "workflow commands" and "environment files". What is written can
come from a hostile run, so that nothing in a value may end it and begin another command.
Functions either return text or append to the file that the runner named; nothing prints.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError, UsageError
from therock_outputs.layout import is_fork_pull_request

__all__ = [
    "SUMMARY_LIMIT",
    "append_environment",
    "append_outputs",
    "append_path",
    "append_summary",
    "escape_data",
    "group_end",
    "group_start",
    "is_ci",
    "is_fork_pr",
    "load_event",
    "markdown_table",
    "markdown_text",
    "output_text",
]

_log = logging.getLogger(__name__)

SUMMARY_LIMIT = 1 << 20
"""Bytes of a step's summary; of a longer one the runner shows nothing at all."""

_CUT = "\n\n… cut: the summary of a step holds 1 MiB.\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&@$]")


def is_ci(environ: Mapping[str, str]) -> bool:
    """Whether this runs in CI, where nobody watches a terminal."""
    said = {environ.get(name, "").strip().lower() for name in ("CI", "GITHUB_ACTIONS")}
    return not said <= {"", "false", "0"}


def load_event(environ: Mapping[str, str]) -> Mapping[str, object]:
    """The payload of the event that started this job; empty outside GitHub Actions.

    NotFoundError when GITHUB_EVENT_PATH names a file that cannot be read, IntegrityError when
    the file holds no JSON object.
    """
    name = environ.get("GITHUB_EVENT_PATH")
    if not name:
        return {}
    try:
        event: object = json.loads(Path(name).read_bytes())
    except OSError as error:
        raise NotFoundError(
            f"the event payload {name} (GITHUB_EVENT_PATH) cannot be read: {error.strerror}; "
            "unset the variable or name the file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"the event payload {name} (GITHUB_EVENT_PATH) is not JSON: {error}"
        ) from error
    if not isinstance(event, dict):
        raise IntegrityError(f"the event payload {name} (GITHUB_EVENT_PATH) is no JSON object")
    return event


def is_fork_pr(environ: Mapping[str, str], event: Mapping[str, object] | None = None) -> bool:
    """Whether this job belongs to a fork's pull request.

    ``IS_PR_FROM_FORK`` says so, else the event, which is read when it is not handed in.
    """
    if event is None and not environ.get("IS_PR_FROM_FORK", "").strip():
        event = load_event(environ)
    return is_fork_pull_request(environ, event)


def output_text(name: str, value: str) -> str:
    """The lines that give a step's output ``name`` a value, for the file of outputs.

    Line ends become newlines. UsageError for a name that is not letters, digits, ``_`` and
    ``-``: it could hold a second output.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"step output {name!r} is not a name; use letters, digits, '_' and '-', "
            "beginning with a letter"
        )
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in value:
        return f"{name}={value}\n"
    # Known to everyone, and yet safe: it grows until the value does not hold it.
    delimiter = "END_OF_VALUE"
    while delimiter in value:
        delimiter += "_"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def append_outputs(environ: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Set outputs of this step; False where there is no file for them (not in GitHub Actions).

    All names are checked before anything is written. OutputsError when the file cannot be.
    """
    text = "".join(output_text(name, value) for name, value in outputs.items())
    return _append(environ, "GITHUB_OUTPUT", text, limit=None)


def append_environment(environ: Mapping[str, str], variables: Mapping[str, str]) -> bool:
    """Set variables of later steps; False outside GitHub Actions."""
    text = "".join(output_text(name, value) for name, value in variables.items())
    return _append(environ, "GITHUB_ENV", text, limit=None)


def append_path(environ: Mapping[str, str], directory: Path) -> bool:
    """Have later steps look for programs here first; False outside GitHub Actions."""
    line = str(directory)
    if line.splitlines() != [line]:
        raise UsageError(f"{line!r} holds a line's end, which GITHUB_PATH cannot; rename it")
    return _append(environ, "GITHUB_PATH", line + "\n", limit=None)


def append_summary(environ: Mapping[str, str], markdown: str) -> bool:
    """Add Markdown to this step's summary; False where there is no file for it.

    A summary that would be larger than the runner shows is cut at a line's end, with a note.
    """
    return _append(environ, "GITHUB_STEP_SUMMARY", markdown.rstrip("\n") + "\n", SUMMARY_LIMIT)


def markdown_text(text: str) -> str:
    """The text as Markdown that shows it and does nothing else; one line."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are Markdown already, so pass names through `markdown_text`."""
    head = [list(columns), ["---"] * len(columns)]
    return "".join(
        "| " + " | ".join(" ".join(cell.split()) for cell in row) + " |\n" for row in [*head, *rows]
    )


def group_start(title: str) -> str:
    """The line after which the log folds under a title."""
    return f"::group::{escape_data(title)}"


def group_end() -> str:
    """The line that ends a group; they do not nest."""
    return "::endgroup::"


def escape_data(text: str) -> str:
    """The text as the runner reads it back from a workflow command: always one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _append(environ: Mapping[str, str], variable: str, text: str, limit: int | None) -> bool:
    name = environ.get(variable)
    if not name:
        return False
    data = text.encode(errors="backslashreplace")
    try:
        with Path(name).open("a+b") as file:
            size = file.seek(0, 2)
            if size:
                # Whoever wrote before may have left a line open, which ours would become part of.
                file.seek(-1, 2)
                data = data if file.read(1) == b"\n" else b"\n" + data
            file.write(_fitting(data, None if limit is None else limit - size, variable))
    except OSError as error:
        raise OutputsError(
            f"{name} ({variable}) cannot be written: {error.strerror}; "
            "unset the variable outside GitHub Actions"
        ) from error
    return True


def _fitting(data: bytes, room: int | None, variable: str) -> bytes:
    """As many whole lines as there is room for, in bytes."""
    if room is None or len(data) <= room:
        return data
    _log.warning("%s is full: %d bytes are cut to %d", variable, len(data), max(room, 0))
    note = _CUT.encode()
    if room < len(note):
        return b""
    kept = data[: room - len(note)]
    return kept[: kept.rfind(b"\n") + 1] + note
