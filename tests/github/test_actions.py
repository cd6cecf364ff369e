"""What is written for GitHub's runner, read back by the rules of the runner."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError, UsageError
from therock_outputs.github.actions import (
    SUMMARY_LIMIT,
    append_environment,
    append_outputs,
    append_path,
    append_summary,
    escape_data,
    group_end,
    group_start,
    is_ci,
    is_fork_pr,
    load_event,
    markdown_table,
    markdown_text,
    output_text,
)


def read_outputs(text: str) -> dict[str, str]:
    """As the runner does: ``name=value``, or ``name<<delimiter`` up to a line that equals it."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc >= 0 and (equals < 0 or heredoc < equals):
            name, delimiter = line.split("<<", 1)
            value = []
            while (part := next(lines)) != delimiter:
                value.append(part)
            found[name] = "\n".join(value)
        elif line:
            name, single = line.split("=", 1)
            found[name] = single
    return found


HOSTILE = [
    "",
    "plain",
    "a=b<<c",
    "::set-output name=x::y",
    "::set-env name=PATH::/tmp",
    "one\ntwo",
    "\n",
    "x\nevil=1",
    "x\nEND_OF_VALUE\nevil=1",
    "x\nEND_OF_VALUE_\nEND_OF_VALUE\nevil=1",
    "END_OF_VALUE" + "_" * 50 + "\nevil<<X\n1\nX",
    "ends\n",
    "ü 日本",
    "%0A::error::x",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_output_is_read_back_as_it_was(value: str) -> None:
    assert read_outputs(output_text("tarball_urls", value)) == {"tarball_urls": value}


@pytest.mark.parametrize("value", ["a\r\nevil=1", "a\revil=1", "a\r"])
def test_carriage_returns_become_newlines(value: str) -> None:
    read = read_outputs(output_text("name", value))
    assert read == {"name": value.replace("\r\n", "\n").replace("\r", "\n")}


@pytest.mark.parametrize(
    "name", ["", "a=b", "a\nb", "a<<b", "1a", "a b", "ä", "a\n", "::x", "-a", "a" * 101]
)
def test_output_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "out"
    with pytest.raises(UsageError, match="is not a name"):
        append_outputs({"GITHUB_OUTPUT": str(file)}, {"good": "1", name: "x"})
    assert not file.exists()


def test_outputs_are_appended_to_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "out"
    environ = {"GITHUB_OUTPUT": str(file)}
    file.write_text("left_open=1")
    assert append_outputs(environ, {"a": "1", "b": "2\n3"})
    assert append_outputs(environ, {"c": "\udcff"})
    assert read_outputs(file.read_text("utf-8")) == {
        "left_open": "1",
        "a": "1",
        "b": "2\n3",
        "c": "\\udcff",
    }


@pytest.mark.parametrize("environ", [{}, {"GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}])
def test_nothing_is_written_outside_github(environ: dict[str, str]) -> None:
    assert append_outputs(environ, {"a": "1"}) is False
    assert append_summary(environ, "# Made") is False


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputsError, match=r"GITHUB_OUTPUT\) cannot be written: Is a directory"):
        append_outputs({"GITHUB_OUTPUT": str(tmp_path)}, {"a": "1"})


def test_summaries_follow_one_another(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    assert append_summary(environ, "# One")
    assert append_summary(environ, "# Two\n\n")
    assert (tmp_path / "summary.md").read_text() == "# One\n# Two\n"


def test_summary_is_cut_at_a_line_where_the_runner_would_drop_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "summary.md"
    environ = {"GITHUB_STEP_SUMMARY": str(file)}
    line = "x" * 99 + "\n"
    with caplog.at_level(logging.WARNING):
        append_summary(environ, line * 20_000)
        append_summary(environ, line)
    text = file.read_text("utf-8")
    assert len(text.encode()) <= SUMMARY_LIMIT
    kept, _, note = text.partition("\n\n")
    assert set(kept.split("\n")) <= {"x" * 99, ""}
    assert "cut" in note
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](javascript:x)", r"\[a\](javascript:x)"),
        ("`x`\n# heading", r"\`x\` # heading"),
        ("gfx94X-dcgpu_7.10.0+a.tar.gz", r"gfx94X-dcgpu\_7.10.0+a.tar.gz"),
        ("&lt; @everyone ~~x~~", r"\&lt; \@everyone \~\~x\~\~"),
    ],
)
def test_markdown_shows_hostile_names_as_text(text: str, expected: str) -> None:
    assert markdown_text(text) == expected


def test_markdown_table_keeps_a_row_on_a_line() -> None:
    table = markdown_table(["name", "size"], [["a\nb", "1"], [markdown_text("c|d"), "2"]])
    assert table == "| name | size |\n| --- | --- |\n| a b | 1 |\n| c\\|d | 2 |\n"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Fetch", "::group::Fetch"),
        ("100%", "::group::100%25"),
        ("a\n::set-output name=x::y", "::group::a%0A::set-output name=x::y"),
        ("a\r\nb", "::group::a%0D%0Ab"),
    ],
)
def test_group_title_stays_on_its_line(title: str, expected: str) -> None:
    assert group_start(title) == expected
    assert group_end() == "::endgroup::"


def test_percent_is_escaped_before_line_ends() -> None:
    assert escape_data("%0A\n") == "%250A%0A"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"CI": ""}, False),
        ({"CI": "false"}, False),
        ({"CI": "true"}, True),
        ({"CI": "1"}, True),
        ({"GITHUB_ACTIONS": "true"}, True),
        ({"GITHUB_ACTIONS": "false", "CI": "0"}, False),
    ],
)
def test_ci_is_known_by_its_variables(environ: dict[str, str], expected: bool) -> None:
    assert is_ci(environ) is expected


def test_event_is_read_from_the_file_that_the_runner_names(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"ref": "refs/heads/main"}))
    assert load_event({"GITHUB_EVENT_PATH": str(file)}) == {"ref": "refs/heads/main"}
    assert load_event({}) == {}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
    ],
)
def test_event_that_is_no_object_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=word) as caught:
        load_event({"GITHUB_EVENT_PATH": str(file)})
    assert str(file) in str(caught.value)


def test_missing_event_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.json .* cannot be read"):
        load_event({"GITHUB_EVENT_PATH": str(tmp_path / "none.json")})


def test_fork_is_told_by_the_event_file_unless_the_variable_says(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    head = {"repo": {"full_name": "x/TheRock"}}
    base = {"repo": {"full_name": "ROCm/TheRock"}}
    event = {"pull_request": {"head": head, "base": base}}
    file.write_text(json.dumps(event))
    environ = {"GITHUB_EVENT_PATH": str(file)}
    assert is_fork_pr(environ)
    assert not is_fork_pr({**environ, "IS_PR_FROM_FORK": "false"})
    assert is_fork_pr({}, event)
    assert not is_fork_pr(environ, {})
    assert not is_fork_pr({})


def test_later_steps_get_variables_and_a_path(tmp_path: Path) -> None:
    environ = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_PATH": str(tmp_path / "path")}
    assert append_environment(environ, {"VIRTUAL_ENV": "/a b", "NOTES": "x\ny"})
    assert append_path(environ, Path("/a b/bin"))
    assert append_path(environ, Path("/c"))
    assert (tmp_path / "path").read_text() == "/a b/bin\n/c\n"
    assert (tmp_path / "env").read_text() == (
        "VIRTUAL_ENV=/a b\nNOTES<<END_OF_VALUE\nx\ny\nEND_OF_VALUE\n"
    )
    assert not append_environment({}, {"A": "b"})
    assert not append_path({}, Path("/c"))


def test_path_with_a_line_end_is_refused(tmp_path: Path) -> None:
    environ = {"GITHUB_PATH": str(tmp_path / "path")}
    with pytest.raises(UsageError, match="holds a line's end"):
        append_path(environ, Path("/a\n/b"))
    assert not (tmp_path / "path").exists()
