"""Flags: how a value is read, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.flags import (
    COMMON,
    SHARED,
    Flag,
    FlagValue,
    Kind,
    RawValue,
    check_exclusive,
    parse_value,
    split_list,
)

_LIST = Flag("amdgpu_targets", "Targets.", Kind.LIST, example="gfx942,gfx1100")
_REGEX = Flag("include", "Names.", Kind.REGEX, example="'blas_.*'")
_NUMBER = Flag("jobs", "How many.", Kind.NUMBER, example="4")
_CHOICE = Flag("platform", "Where.", Kind.CHOICE, choices=("linux", "windows"))
_CHOICES = Flag("components", "Which.", Kind.LIST, choices=("lib", "run"))
_PATH = Flag("output_dir", "Where.", Kind.PATH)
_TEXT = Flag("bucket", "Where.", example="my-bucket")
_SWITCH = Flag("dry_run", "Only say.", Kind.SWITCH)


@pytest.mark.parametrize("text", ["a,b,c", "a;b;c", "a b c", " a, b;;c ,", "a\tb\nc"])
def test_list_values_are_split_at_commas_semicolons_and_spaces(text: str) -> None:
    assert split_list(text) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("flag", "raw", "value"),
    [
        (_SWITCH, True, True),
        (_SWITCH, False, False),
        (_SWITCH, None, False),
        (_LIST, None, ()),
        (_LIST, [], ()),
        (_LIST, ["gfx942;gfx1100", "gfx906"], ("gfx942", "gfx1100", "gfx906")),
        (_LIST, ["b,a,b"], ("b", "a")),
        (_LIST, "a,b", ("a", "b")),
        (_REGEX, ["a{1,2}", "b c;d"], ("a{1,2}", "b c;d")),
        (_NUMBER, "12", 12),
        (_NUMBER, None, None),
        (_CHOICE, "windows", "windows"),
        (_CHOICES, ["run,lib"], ("run", "lib")),
        (_PATH, "out/x", Path("out/x")),
        (_PATH, "~/x", Path.home() / "x"),
        (_TEXT, "my-bucket", "my-bucket"),
        (_TEXT, None, None),
    ],
)
def test_value_is_read_as_its_kind_says(flag: Flag, raw: RawValue, value: FlagValue) -> None:
    assert parse_value(flag, raw) == value


@pytest.mark.parametrize(
    ("flag", "raw", "message"),
    [
        (_TEXT, "", "--bucket needs a value, for instance --bucket my-bucket"),
        (_TEXT, "  ", "--bucket needs a value"),
        (_LIST, [" ,;"], "--amdgpu-targets needs a value, for instance"),
        (_REGEX, [""], "--include needs a value"),
        (_REGEX, ["(a"], "--include '(a' is not a regular expression: missing )"),
        (_NUMBER, "many", "--jobs is a whole number, not 'many'"),
        (_NUMBER, "1_0", "--jobs is a whole number"),
        (_NUMBER, "٣", "--jobs is a whole number"),
        (_NUMBER, "0", "--jobs is at least 1, not 0"),
        (_NUMBER, "-3", "--jobs is at least 1, not -3"),
        (_CHOICE, "beos", "--platform is one of linux, windows, not 'beos'"),
        (_CHOICES, ["lib,bin"], "--components takes lib, run, not 'bin'"),
    ],
)
def test_value_that_cannot_be_read_is_refused_by_name(
    flag: Flag, raw: RawValue, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_value(flag, raw)
    assert message in str(caught.value)


def test_contradicting_flags_are_both_named() -> None:
    extract = Flag("extract", "x", Kind.SWITCH)
    flatten = Flag("flatten", "x", Kind.SWITCH)
    check_exclusive({"extract": True, "flatten": False}, [(extract, flatten)])
    check_exclusive({"extract": None}, [(extract, flatten)])
    with pytest.raises(UsageError, match="--extract and --flatten contradict each other"):
        check_exclusive({"extract": True, "flatten": True}, [(extract, flatten)])


def test_every_shared_flag_that_takes_a_value_shows_an_example() -> None:
    for flag in SHARED.values():
        if flag.kind is not Kind.SWITCH:
            assert flag.example, flag.spelling
            assert flag.metavar, flag.spelling
        assert flag.help.endswith("."), flag.spelling
    assert set(COMMON) <= set(SHARED)


def test_the_example_of_every_shared_flag_is_a_value_that_it_takes() -> None:
    for flag in SHARED.values():
        if flag.kind is not Kind.SWITCH:
            example = flag.example.strip("'")
            parse_value(flag, [example] if flag.repeatable else example)
