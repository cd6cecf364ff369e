"""Jobs and the program around them: settled values, help pages, exit codes."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

import tasks
from therock_outputs.console import Console
from therock_outputs.errors import IntegrityError, LookupFailedError, UsageError
from therock_outputs.flags import Flag, Kind
from therock_outputs.jobs import Heading, Job, Work, job
from therock_outputs.program import jobs_of, list_lines, run, task_help_lines

_FAILURES = {
    "usage": UsageError("--a and --b contradict each other"),
    "integrity": IntegrityError("blas_lib_generic.tar.zst: wrong digest\nsecond line"),
    "lookup": LookupFailedError("the API did not answer"),
    "system": FileNotFoundError(2, "No such file or directory", "/nowhere/x"),
    "renamed": OSError(18, "Invalid cross-device link", "a", None, "b"),
    "bare": OSError("disk on fire"),
}


@job(
    Heading.MAIN,
    shared=("run_id", "staging_dir", "dry_run"),
    own=(
        Flag("fail", "Fail so.", Kind.CHOICE, "HOW", "usage", choices=tuple(_FAILURES)),
        Flag("only", "These steps.", Kind.LIST, "STEPS", "fetch"),
        Flag("skip", "Not these.", Kind.LIST, "STEPS", "fetch"),
    ),
    exclusive=(("only", "skip"),),
    example="./inv release --run-id sample",
    takes_extra="WORDS",
)
def release(
    work: Work, *, fail: str | None, only: tuple[str, ...], skip: tuple[str, ...]
) -> object:
    """Make everything.

    A second paragraph, which
    is filled.
    """
    logging.getLogger("therock_outputs.test").info("because %s", "of this")
    if fail:
        raise _FAILURES[fail]
    work.console.say(f"run {work.settings.run_id}")
    return {"only": only, "skip": skip, "extra": work.extra, "dry": work.settings.dry_run}


@job(Heading.PROJECT, example="./inv lint")
def lint(work: Work) -> None:
    """Check style."""
    work.console.say("clean")


_JOBS: dict[str, Job] = {"release": release, "lint": lint}


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(words, _JOBS, Console.standard({}))
    return code, *capsys.readouterr()


def test_job_gets_settled_values(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(
        capsys, "release", "--run-id", "7", "--only", "a;b", "--dry-run", "--json", "--", "x y"
    )
    assert code == 0
    assert json.loads(out) == {"only": ["a", "b"], "skip": [], "extra": ["x y"], "dry": True}
    assert err == "run 7\n"


def test_several_tasks_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "lint", "release", "--run-id", "7") == (0, "clean\nrun 7\n", "")


def test_task_without_a_result_prints_an_empty_document(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "lint", "--json")
    assert (code, json.loads(out)) == (0, {})


def test_reasons_are_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert "because" not in _run(capsys, "release", "--run-id", "7")[2]
    assert "because of this" in _run(capsys, "release", "--run-id", "7", "-v")[2]
    assert "because of this" in _run(capsys, "release", "--run-id", "7", "--debug")[2]


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("usage", 2, "error: --a and --b contradict each other (see ./inv --help release)"),
        ("integrity", 1, "error: blas_lib_generic.tar.zst: wrong digest second line"),
        ("lookup", 3, "error: the API did not answer"),
        ("system", 1, "error: /nowhere/x: No such file or directory"),
        ("renamed", 1, "error: a and b: Invalid cross-device link"),
        ("bare", 1, "error: disk on fire"),
    ],
)
def test_failure_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], how: str, code: int, line: str
) -> None:
    assert _run(capsys, "release", "--fail", how) == (code, "", line + "\n")
    debugged = _run(capsys, "release", "--fail", how, "--debug")
    assert debugged[0] == code
    assert "Traceback" in debugged[2]
    with_json = _run(capsys, "release", "--fail", how, "--json")
    assert json.loads(with_json[1]) == {"error": line.removeprefix("error: "), "exit_code": code}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["release", "--only", "a", "--skip", "b"], "--only and --skip contradict each other"),
        (["lint", "--", "x"], "lint takes nothing after --, but 'x' stands there"),
        (["release", "--run-id", "a b"], "run id 'a b'"),
        (["release", "--nonsense"], "release has no flag --nonsense"),
    ],
)
def test_usage_errors_exit_2_with_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, out, err = _run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")
    code, out, _ = _run(capsys, "--json", *words)
    assert json.loads(out)["exit_code"] == 2


def test_list_is_a_table_of_contents(capsys: pytest.CaptureFixture[str]) -> None:
    listed = _run(capsys, "--list")
    assert listed == _run(capsys)
    lines = listed[1].splitlines()
    assert lines == list_lines(_JOBS)
    assert lines.index("The main job") < lines.index("For people who work on this project")
    assert "  release  Make everything" in lines
    assert all(len(line) <= 80 for line in lines)


def test_help_lists_tasks_and_common_flags(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "--help")
    assert code == 0
    assert "release" in out
    assert "--debug" in out


def test_task_help_explains_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "--help", "release")
    assert code == 0
    for flag in release.flags:
        assert flag.spelling in out
    assert "Usage: ./inv release [FLAGS] [-- WORDS]" in out
    assert "A second paragraph, which is filled." in out
    assert "  ./inv release --run-id sample" in out
    assert "-v, --verbose" in out
    flat = " ".join(out.split())
    assert "Else THEROCK_RUN_ID, else GITHUB_RUN_ID. E.g. --run-id 24217435275" in flat
    assert all(len(line) <= 60 for line in task_help_lines(release, 60))


def test_example_that_is_too_long_is_folded_as_a_shell_reads_it() -> None:
    @job(Heading.MAIN, example="./inv long --run-id 24217435275 -v --staging-dir 'a b' --debug")
    def long(work: Work) -> None:
        """Be long."""
        del work

    lines = task_help_lines(long, 40)
    at = lines.index("Example:") + 2
    assert lines[at : at + 3] == [
        "  ./inv long --run-id 24217435275 -v \\",
        "      --staging-dir 'a b' --debug",
        "",
    ]


def test_flag_may_be_called_like_a_word_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    @job(Heading.MAIN, own=(Flag("from_", "Begin here.", example="x"),), example="./inv go")
    def go(work: Work, *, from_: str | None) -> object:
        """Go."""
        del work
        return {"from": from_}

    assert run(["go", "--from", "x", "--json"], {"go": go}, Console.standard({})) == 0
    assert json.loads(capsys.readouterr().out) == {"from": "x"}
    argument = next(argument for argument in go.get_arguments() if argument.name == "from_")
    assert argument.names == ("from",)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "--version")[1].startswith("therock-outputs ")


def test_job_whose_parameters_are_not_its_flags_is_a_bug() -> None:
    def body(work: Work, *, other: bool) -> None:
        del work, other

    with pytest.raises(TypeError, match="other"):
        job(Heading.MAIN, example="x")(body)


def test_the_real_tasks_read_as_a_table_of_contents() -> None:
    jobs = jobs_of(sys.modules[tasks.__name__])
    lines = list_lines(jobs)
    assert {"test", "lint", "bench", "docs", "doctor"} <= set(jobs)
    assert max(map(len, lines)) <= 80
    for task in jobs.values():
        assert task.summary
        assert f"./inv {task.name}" in task.example
        assert max(map(len, task_help_lines(task, 80))) <= 80
        for flag in task.flags:
            assert flag.kind is Kind.SWITCH or flag.example, f"{task.name} {flag.spelling}"
    assert Path(tasks.__file__).name == "tasks.py"


def test_error_text_of_a_hostile_name_is_shown_not_emitted() -> None:
    out, err = io.StringIO(), io.StringIO()
    Console(out, err).error(str(IntegrityError("\x1b]0;x\x07.tar")))
    assert err.getvalue() == "error: \\x1b]0;x\\x07.tar\n"
