from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.artifacts.data_files import Table, near_matches, read_toml
from therock_outputs.errors import NotFoundError, UsageError


def write(path: Path, text: str) -> Table:
    path.write_text(text, "utf-8")
    return read_toml(path, "unused")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cannot read .*gone\.toml: No such file"):
        read_toml(tmp_path / "gone.toml", "unused")


@pytest.mark.parametrize("content", [b"[half", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.toml is not a TOML file"):
        read_toml(path, "unused")


def test_values_are_read_with_their_kinds(tmp_path: Path) -> None:
    table = write(tmp_path / "f.toml", '[a.b]\ntext = "t"\nlist = ["x", "y"]\n')
    inner = table.tables("a")["b"]
    assert inner.string("text") == "t"
    assert inner.string("absent", "default") == "default"
    assert inner.strings("list") == ("x", "y")
    assert inner.strings("absent") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nb = 1\n", r"f\.toml: a\.b has to be a table"),
        ("a = []\n", r"f\.toml: a has to be a table"),
        ("", r"f\.toml: a is missing or empty"),
        ("[a.b]\n", r"f\.toml: a\.b\.text is missing"),
        ("[a.b]\ntext = 1\n", r"f\.toml: a\.b\.text has to be a text"),
        ('[a.b]\ntext = "t"\nlist = "x"\n', r"f\.toml: a\.b\.list has to be a list of texts"),
        ('[a.b]\ntext = "t"\nlist = ["x", 1]\n', r"f\.toml: a\.b\.list has to be a list of text"),
    ],
)
def test_value_of_the_wrong_kind_is_told_with_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    table = write(tmp_path / "f.toml", text)
    with pytest.raises(UsageError, match=message):
        _ = [(inner.string("text"), inner.strings("list")) for inner in table.tables("a").values()]


@pytest.mark.parametrize(
    ("wanted", "known", "message"),
    [
        ("GFX942", ["gfx942", "gfx1100"], "did you mean gfx942?"),
        ("zzz", ["b", "a"], "known are a, b"),
        ("zzz", [], "there are none"),
        ("zzz", [f"a{n:02}" for n in range(25)], "a19 and 5 more"),
    ],
)
def test_unknown_name_is_answered_with_near_ones(
    wanted: str, known: list[str], message: str
) -> None:
    assert near_matches(wanted, known).endswith(message)
