"""What people who work on this project run: its tests, its linters, its benchmarks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from therock_outputs.console import Console
from therock_outputs.errors import OutputsError, UsageError

__all__ = ["PROJECT", "run_benchmarks", "run_lint", "run_tests"]

PROJECT = Path(__file__).resolve().parents[1]
"""The checkout."""

_BENCHMARK_PREFIX = "bench_"


def run_tests(
    console: Console,
    arguments: Sequence[str],
    *,
    jobs: int,
    coverage: bool = True,
    allow_skips: bool = False,
    project: Path = PROJECT,
) -> None:
    """Run pytest in the project; OutputsError when a test failed, was skipped, or none ran."""
    command = [sys.executable, "-m", "pytest", "-n", str(jobs)]
    if coverage:
        command += ["--cov", "--cov-report=term"]
    if not allow_skips:
        command.append("--fail-on-skip")
    command += [_from_here(argument) for argument in arguments]
    code = _run(console, command, project)
    if code != 0:
        raise OutputsError(f"the tests did not pass (pytest's exit code is {code})")


def run_lint(console: Console, *, fix: bool = False, project: Path = PROJECT) -> None:
    """Run ruff's two halves and mypy; OutputsError names those that found something."""
    ruff = [sys.executable, "-m", "ruff"]
    if fix:
        _run(console, [*ruff, "check", "--fix", "--quiet", "."], project)
        _run(console, [*ruff, "format", "--quiet", "."], project)
    checks = {
        "ruff check": [*ruff, "check", "."],
        "ruff format": [*ruff, "format", "--check", "."],
        "mypy": [sys.executable, "-m", "mypy"],
    }
    failed = []
    for name, command in checks.items():
        with console.group(name):
            if _run(console, command, project) != 0:
                failed.append(name)
    if failed:
        raise OutputsError(f"{' and '.join(failed)} found something; ./inv lint --fix may help")


def run_benchmarks(
    console: Console, only: Sequence[str], arguments: Sequence[str], *, project: Path = PROJECT
) -> None:
    """Run ``benchmarks/bench_*.py``, all or those named; UsageError for a name that is none."""
    found = {
        path.stem.removeprefix(_BENCHMARK_PREFIX): path
        for path in sorted((project / "benchmarks").glob(f"{_BENCHMARK_PREFIX}*.py"))
    }
    for name in only:
        if name not in found:
            raise UsageError(f"no benchmark is called {name!r}; there are {', '.join(found)}")
    for name in only or found:
        with console.group(name):
            code = _run(console, [sys.executable, str(found[name]), *arguments], Path.cwd())
        if code != 0:
            raise OutputsError(f"the benchmark {name} failed (exit code {code})")


def _from_here(argument: str) -> str:
    """A path that the user's directory holds, made absolute: pytest runs in the checkout."""
    path, colons, rest = argument.partition("::")
    if not path.startswith("-") and Path(path).exists():
        return f"{Path(path).resolve()}{colons}{rest}"
    return argument


def _run(console: Console, command: Sequence[str], cwd: Path) -> int:
    # With --json, standard output is for the document alone.
    stdout = console.stderr if console.json else console.stdout
    stdout.flush()
    return subprocess.run(command, cwd=cwd, stdout=stdout, check=False).returncode
