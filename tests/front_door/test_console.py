"""The console: what goes where, in which form, and that hostile text stays text."""

from __future__ import annotations

import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from therock_outputs.console import Console, format_duration, format_size, visible
from therock_outputs.layout.names import Platform


def _console(
    *, json: bool = False, github: bool = False, interactive: bool = False
) -> tuple[Console, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Console(out, err, json=json, github=github, interactive=interactive), out, err


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (84_100_000, "84.1 MB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (4_000_000_000, "4.0 GB"),
        (10**19, "10000.0 PB"),
    ],
)
def test_size_is_decimal_and_never_a_thousand_of_a_unit(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (245, "4 min 05 s"), (7800, "2 h 10 min")],
)
def test_duration_is_in_words(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lib/libä.so", "lib/libä.so"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\r", r"a\nb\r"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("a\udcffb", r"a\udcffb"),
        ("a\x9bb", r"a\x9bb"),
    ],
)
def test_control_characters_are_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_results_go_to_stdout_and_errors_to_stderr() -> None:
    console, out, err = _console()
    console.say("made")
    console.note("working")
    console.warn("odd")
    console.error("broken\x1b[0m")
    assert out.getvalue() == "made\n"
    assert err.getvalue() == "working\nwarning: odd\nerror: broken\\x1b[0m\n"


def test_json_leaves_stdout_to_one_document() -> None:
    @dataclass(frozen=True)
    class Made:
        path: Path
        platforms: frozenset[Platform]
        size: int

    console, out, err = _console(json=True)
    console.say("made")
    console.table(("a",), [(1,)])
    console.document({"made": [Made(Path("x"), frozenset({Platform.LINUX}), 3)]})
    console.document({"a second one": "is not printed"})
    assert json.loads(out.getvalue()) == {
        "made": [{"path": "x", "platforms": ["linux"], "size": 3}]
    }
    assert "made" in err.getvalue()


def test_document_is_not_printed_without_json() -> None:
    console, out, _ = _console()
    console.document({"a": 1})
    assert out.getvalue() == ""


def test_document_with_what_json_cannot_say_is_a_bug() -> None:
    console, _, _ = _console(json=True)
    with pytest.raises(TypeError, match="a result holds a complex"):
        console.document({"a": 1j})


def test_table_is_aligned_with_quantities_right_and_nothing_cut() -> None:
    console, out, _ = _console()
    name = "therock-dist-linux-gfx94X-dcgpu-7.13.0.dev0.tar.gz" * 4
    console.table(("file", "size", "files"), [("a", "9 B", 1), (name, "84.1 MB", 20)], title="Made")
    lines = out.getvalue().splitlines()
    assert lines[0] == "Made"
    assert lines[3] == f"{'a':{len(name)}}      9 B      1"
    assert lines[4] == f"{name}  84.1 MB     20"


def test_table_with_wide_characters_and_no_rows() -> None:
    console, out, _ = _console()
    console.table(("a", "b"), [("日本", "x"), ("abcd", "y"), ("e\u0301", "z")])
    assert [
        line.index(end) for line, end in zip(out.getvalue().splitlines()[2:], "xyz", strict=True)
    ] == [4, 6, 7]
    console.table(("only", "head"), [])
    assert out.getvalue().endswith("only  head\n----  ----\n")


def test_text_cannot_speak_to_github() -> None:
    console, out, err = _console(github=True)
    console.say("::set-output name=x::y")
    console.say(" ::add-mask::y and ##[error]z")
    assert out.getvalue().splitlines() == [
        r"\x3a:set-output name=x::y",
        r" \x3a:add-mask::y and #\x23[error]z",
    ]
    console.error("100% broken\n::stop-commands::x")
    assert err.getvalue() == "::error::100%25 broken\\n::stop-commands::x\n"


def test_group_folds_in_githubs_log_even_after_a_failure() -> None:
    console, _, err = _console(github=True)
    with pytest.raises(ValueError, match="x"), console.group("Fetch"):
        raise ValueError("x")
    assert err.getvalue() == "::group::Fetch\n::endgroup::\n"
    console, _, err = _console()
    with console.group("Fetch"):
        console.note("inside")
    assert err.getvalue() == "Fetch\ninside\n"


def test_log_messages_are_shown_from_their_level_on() -> None:
    console, _, err = _console()
    logger = logging.getLogger("therock_outputs.layout")
    with console.log_messages(logging.INFO):
        logger.debug("not this")
        logger.info("bucket %s", "b\x07")
        logger.warning("odd")
    logger.info("nor this")
    assert err.getvalue() == "bucket b\\x07\nwarning: odd\n"


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    console, _, err = _console()
    seconds = count(0, 10)
    console.clock = lambda: float(next(seconds))
    with console.progress("fetch", 400_000_000) as progress:
        progress.advance("a", 100_000_000)
        progress.advance("b", 100_000_000)
        progress.extend(100_000_000)
        progress.advance("b", 300_000_000)
    assert err.getvalue().splitlines() == [
        "fetch: 200.0 MB of 400.0 MB (50 %), 10.0 MB/s, 20.0 s left",
        "fetch: 2 files, 500.0 MB in 40.0 s (12.5 MB/s)",
    ]


def test_progress_counts_from_many_threads() -> None:
    console, _, err = _console()
    with console.progress("sign", 800, items=True) as progress, ThreadPoolExecutor(8) as pool:
        for _ in range(800):
            pool.submit(progress.advance, "x", 1)
    assert err.getvalue().startswith("sign: 800 in ")


def test_progress_that_fails_says_nothing_of_success() -> None:
    console, _, err = _console()
    with pytest.raises(ValueError, match="x"), console.progress("fetch"):
        raise ValueError("x")
    assert err.getvalue() == ""


def test_quiet_console_shows_no_progress() -> None:
    console, _, err = _console()
    console.quiet = True
    with console.group("x"), console.progress("fetch") as progress:
        progress.advance("a", 1)
    assert err.getvalue() == ""


@pytest.mark.parametrize("items", [True, False])
def test_progress_in_a_terminal_is_a_bar_and_one_closing_line(items: bool) -> None:
    console, _, err = _console(interactive=True)
    with console.progress("fetch [red]\x1b[2J", 10, items=items) as progress:
        progress.extend(10)
        progress.advance("a", 20)
    assert "fetch [red]\\x1b[2J" in err.getvalue()
    assert "\x1b[2J" not in err.getvalue()
    assert "20" in err.getvalue().splitlines()[-1]


def test_standard_console_knows_where_it_is() -> None:
    assert Console.standard({"GITHUB_ACTIONS": "true"}).github
    assert not Console.standard({"CI": "true"}).interactive
    assert not Console.standard({}, json=True).github


def test_traceback_is_printed_line_by_line() -> None:
    console, _, err = _console()
    with pytest.raises(ValueError, match="bad") as caught:
        int("bad\x1b")
    console.traceback(caught.value)
    assert "Traceback" in err.getvalue()
    assert err.getvalue().endswith("'bad\\x1b'\n")
