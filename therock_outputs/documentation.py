"""Checks of the documentation: links lead somewhere, diagrams are closed, commands are real."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from therock_outputs.command_line import parse_command_line
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.jobs import Job

__all__ = ["Problem", "check_documentation", "find_problems"]

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*```+\s*([\w-]*)")
_SHELL = {"sh", "bash", "console", "shell"}
_DIAGRAMS = (
    "flowchart",
    "graph",
    "sequenceDiagram",
    "stateDiagram-v2",
    "classDiagram",
    "erDiagram",
    "gantt",
)
_PLACEHOLDER = re.compile(r"…|\.\.\.")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a reader would stumble over."""

    path: Path
    line: int
    what: str


def check_documentation(project: Path, jobs: Mapping[str, Job]) -> dict[str, int]:
    """Check README.md and docs/; OutputsError names the first problem and counts the rest."""
    files = [path for path in (project / "README.md",) if path.is_file()]
    files += sorted((project / "docs").rglob("*.md"))
    problems = [problem for path in files for problem in find_problems(path, project, jobs)]
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        where = f"{first.path.relative_to(project)}:{first.line}"
        raise OutputsError(f"{where}: {first.what}{more}")
    return {"files": len(files)}


def find_problems(path: Path, project: Path, jobs: Mapping[str, Job]) -> Iterator[Problem]:
    """The problems of one Markdown file."""
    fence: str | None = None
    opened = 0
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        mark = _FENCE.match(line)
        if mark:
            fence, opened = (mark[1], number) if fence is None else (None, 0)
        elif fence is None:
            for target in _LINK.findall(line):
                what = _bad_link(path, project, unquote(target))
                if what:
                    yield Problem(path, number, what)
        elif fence == "mermaid" and number == opened + 1 and not line.startswith(_DIAGRAMS):
            yield Problem(path, number, f"mermaid knows no diagram {line.strip()!r}")
        elif fence in _SHELL:
            what = _bad_command(line, jobs)
            if what:
                yield Problem(path, number, what)
    if fence is not None:
        yield Problem(path, opened, "this fence is never closed")


def _bad_link(path: Path, project: Path, target: str) -> str | None:
    if re.match(r"[a-z]+:", target):
        return None  # another host's pages come and go; they are not this project's
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    if not file.is_relative_to(project.resolve()) and file != path:
        return f"the link {target} leaves the project"
    if not file.exists():
        return f"the link {target} leads nowhere"
    if anchor and file.suffix == ".md" and anchor not in _anchors(file):
        return f"no heading of {file.name} answers to #{anchor}"
    return None


def _anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a file's headings."""
    headings = (_HEADING.match(line) for line in path.read_text("utf-8").splitlines())
    return {
        re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
        for heading in headings
        if heading
    }


def _bad_command(line: str, jobs: Mapping[str, Job]) -> str | None:
    command = line.strip().removeprefix("$ ")
    if not command.startswith("./inv ") or _PLACEHOLDER.search(command):
        return None
    try:
        words = shlex.split(command, comments=True)
        parse_command_line(words[1:], jobs)
    except (UsageError, ValueError) as error:
        return f"{command!r} does not work: {error}"
    return None
