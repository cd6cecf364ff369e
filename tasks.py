"""The front door: one function per task, and no logic.

``./inv --list`` is the table of contents, ``./inv --help TASK`` explains a task. Each function
is handed settled values and calls one thing that does the work.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from therock_outputs.flags import Flag, Kind
from therock_outputs.jobs import Heading, Work, job


@job(
    Heading.PROJECT,
    shared=("staging_dir", "jobs"),
    example="./inv doctor\n./inv doctor --json",
)
def doctor(work: Work) -> object:
    """Say what this machine has and lacks for each task.

    Nothing is changed and nothing is fetched. A task that lacks something says what to install.
    """
    from therock_outputs.doctor import examine, report

    findings = examine(work.settings)
    report(findings, work.console)
    return findings


@job(
    Heading.PROJECT,
    shared=("jobs",),
    own=(
        Flag("no_coverage", "Leave coverage out, which is quicker.", Kind.SWITCH),
        Flag("allow_skips", "Let skipped tests pass.", Kind.SWITCH),
    ),
    example="./inv test\n./inv test -- tests/layout -k bucket",
    takes_extra="PYTEST_ARGUMENTS",
)
def test(work: Work, *, no_coverage: bool, allow_skips: bool) -> None:
    """Run the tests, with coverage; a skipped test fails.

    Everything behind -- goes to pytest.
    """
    from therock_outputs.chores import run_tests

    run_tests(
        work.console,
        work.extra,
        jobs=work.settings.jobs,
        coverage=not no_coverage,
        allow_skips=allow_skips,
    )


@job(
    Heading.PROJECT,
    own=(Flag("fix", "Let ruff repair and format what it can first.", Kind.SWITCH),),
    example="./inv lint\n./inv lint --fix",
)
def lint(work: Work, *, fix: bool) -> None:
    """Check style, format and types: ruff and mypy."""
    from therock_outputs.chores import run_lint

    run_lint(work.console, fix=fix)


@job(
    Heading.PROJECT,
    own=(Flag("only", "These benchmarks; all by default.", Kind.LIST, "NAMES", "tarballs"),),
    example="./inv bench\n./inv bench --only tarballs -- --help",
    takes_extra="ARGUMENTS",
)
def bench(work: Work, *, only: Sequence[str]) -> None:
    """Run the benchmarks, which print ratios and keep them as JSON.

    Each one is a file benchmarks/bench_NAME.py; everything behind -- goes to it.
    """
    from therock_outputs.chores import run_benchmarks

    run_benchmarks(work.console, tuple(only), work.extra)


@job(Heading.PROJECT, example="./inv docs")
def docs(work: Work) -> object:
    """Check the documentation: links, diagrams, and the commands it shows."""
    from therock_outputs.chores import PROJECT
    from therock_outputs.documentation import check_documentation
    from therock_outputs.program import jobs_of

    checked = check_documentation(PROJECT, jobs_of(sys.modules[__name__]))
    work.console.say(f"{checked['files']} files, nothing to mend")
    return checked
