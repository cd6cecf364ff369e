"""The command line: each mistake is one line that names it and what was meant."""

from __future__ import annotations

import pytest

from therock_outputs.command_line import CommandLine, parse_command_line
from therock_outputs.errors import UsageError
from therock_outputs.flags import Flag, Kind
from therock_outputs.jobs import Heading, Job, Work, job


@job(
    Heading.INPUTS,
    shared=("run_id", "amdgpu_targets", "jobs"),
    own=(
        Flag("extract", "Extract.", Kind.SWITCH),
        Flag("include", "Names.", Kind.REGEX, "RE", "blas"),
    ),
    example="./inv fetch --run-id 1",
)
def fetch(work: Work, *, extract: bool, include: tuple[str, ...]) -> None:
    """Fetch a run."""
    del work, extract, include


@job(Heading.PROJECT, example="./inv lint")
def lint(work: Work) -> None:
    """Check style."""
    del work


@job(
    Heading.TRYING,
    shared=("run_id", "amdgpu_targets"),
    own=(Flag("directory", "Where.", Kind.PATH, "DIR", "here", positional=True),),
    example="./inv enter here",
)
def enter(work: Work, *, directory: str) -> None:
    """Enter a directory."""
    del work, directory


_JOBS: dict[str, Job] = {"fetch": fetch, "lint": lint, "enter": enter}


def _parse(*words: str) -> CommandLine:
    return parse_command_line(words, _JOBS)


def test_flags_and_values_are_read_in_every_form() -> None:
    line = _parse(
        "fetch", "--run-id=1=2", "--extract", "--include", "a=b", "--include=--c", "-v",
        "--amdgpu-targets", "x,y", "lint", "-vv",
    )  # fmt: skip
    first, second = line.calls
    assert first.job is fetch
    assert first.values == {
        "run_id": "1=2",
        "extract": True,
        "include": ["a=b", "--c"],
        "verbose": True,
        "amdgpu_targets": ["x,y"],
    }
    assert second.values == {"verbose": True}


@pytest.mark.parametrize(
    "words",
    [
        ("enter", "./lint", "--run-id", "7"),
        ("enter", "--run-id", "7", "./lint"),
        ("enter", "--directory", "./lint", "--run-id=7"),
    ],
)
def test_word_of_its_own_is_the_value_of_the_flag_that_takes_it(words: tuple[str, ...]) -> None:
    [call] = _parse(*words).calls
    assert call.values == {"directory": "./lint", "run_id": "7"}


def test_second_word_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match="enter takes no word 'there'"):
        _parse("enter", "here", "there")
    with pytest.raises(UsageError, match="'here' belongs to no flag; separate the values"):
        _parse("enter", "--amdgpu-targets", "x", "here")


def test_common_flags_before_a_task_hold_for_all_tasks() -> None:
    line = _parse("--debug", "fetch", "lint", "--json")
    assert [call.values for call in line.calls] == [{"debug": True}, {"json": True, "debug": True}]


def test_value_may_be_the_name_of_a_task_or_a_dash() -> None:
    assert _parse("fetch", "--run-id", "lint").calls[0].values == {"run_id": "lint"}
    assert _parse("fetch", "--run-id", "-").calls[0].values == {"run_id": "-"}


def test_words_after_two_dashes_are_kept_apart() -> None:
    line = _parse("lint", "--", "-k", "a b", "--")
    assert line.remainder == "-k 'a b' --"


@pytest.mark.parametrize(
    "words",
    [("--help", "fetch"), ("-h", "fetch"), ("--help=fetch",), ("fetch", "--help"), ("fetch", "-h")],
)
def test_help_for_a_task_is_asked_for_in_every_way(words: tuple[str, ...]) -> None:
    line = _parse(*words)
    assert line.wants_help
    assert line.help_for == "fetch"


def test_nothing_is_asked_for() -> None:
    line = _parse()
    assert line.calls == []
    assert not line.wants_help


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftech"], "no task is called 'ftech'; did you mean fetch? (see ./inv --list)"),
        (["zzz"], "no task is called 'zzz' (see ./inv --list)"),
        (["--help", "ftech"], "no task is called 'ftech'; did you mean fetch?"),
        (["fetch", "--rn-id", "1"],
         "fetch has no flag --rn-id; did you mean --run-id? (see"),
        (["fetch", "--run_id", "1"], "did you mean --run-id?"),
        (["fetch", "-x"], "fetch has no flag -x (see ./inv --help fetch)"),
        (["fetch", "--run-id"], "--run-id needs a value, for instance --run-id 24217435275"),
        (["fetch", "--run-id="], "--run-id needs a value"),
        (["fetch", "--run-id", ""], "--run-id needs a value"),
        (["fetch", "--run-id", "--extract"],
         "--run-id needs a value, but '--extract' follows; write --run-id=--ex"),
        (["fetch", "--run-id", "--typo"], "--run-id needs a value, but '--typo' follows"),
        (["fetch", "--include", "a", "--include"], "--include needs a value"),
        (["fetch", "--run-id", "1", "--run-id", "2"], "--run-id is given twice"),
        (["fetch", "--extract=yes"], "--extract takes no value"),
        (["--list=x"], "--list takes no value"),
        (["fetch", "24217435275"], "fetch takes no word '24217435275'"),
        (["fetch", "--amdgpu-targets", "a", "b"],
         "'b' belongs to no flag; separate the values of --amd"),
        (["--run-id", "1", "fetch"], "no flag --run-id; the flags of a task stand behind its name"),
        (["--hlep"], "no flag --hlep; did you mean --help? (see ./inv --help)"),
        (["--nonsense"], "no flag --nonsense (see ./inv --help)"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_what_was_meant(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        _parse(*words)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
