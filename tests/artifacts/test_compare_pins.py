"""Pins and thresholds: what a manifest says, what becomes a link, what is a size."""

from __future__ import annotations

import json

import pytest

from tests.comparison_makers import NEW, OLD, manifest, run
from therock_outputs.artifacts.compare.changes import Change, FlagChange
from therock_outputs.artifacts.compare.diff import compare_sides
from therock_outputs.artifacts.compare.limits import parse_growth_limit, parse_size
from therock_outputs.artifacts.compare.pins import Pin, PinChange, Provenance
from therock_outputs.errors import IntegrityError, UsageError

LLVM = "https://github.com/ROCm/llvm-project.git"


def test_pins_that_changed_are_linked_and_the_others_are_left_out() -> None:
    systems = "https://github.com/ROCm/rocm-systems"
    before = manifest(OLD, {LLVM: OLD, systems: OLD})
    after = manifest(NEW, {LLVM: NEW, systems: OLD})
    comparison = compare_sides(run({}, manifest=before), run({}, manifest=after))
    assert [pin.name for pin in comparison.pins] == ["TheRock", "llvm-project"]
    assert [pin.link for pin in comparison.pins] == [
        f"https://github.com/ROCm/TheRock/compare/{OLD}...{NEW}",
        f"https://github.com/ROCm/llvm-project/compare/{OLD}...{NEW}",
    ]


@pytest.mark.parametrize(
    ("url", "sha"),
    [
        ("http://github.com/ROCm/x", NEW),
        ("https://github.com.example/ROCm/x", NEW),
        ("https://example.com/ROCm/x", NEW),
        ("https://github.com/ROCm/x/../../evil", NEW),
        ("https://github.com/ROCm/..", NEW),
        ('https://github.com/ROCm/x" onclick="alert(1)', NEW),
        ("javascript:alert(1)//https://github.com/ROCm/x", NEW),
        ("https://user@github.com/ROCm/x", NEW),
        ("https://github.com/ROCm/other", NEW),
        ("https://github.com/ROCm/x", "not-a-commit"),
        ("https://github.com/ROCm/x", f"{NEW}?x"),
        ("https://github.com/ROCm/x", OLD),
    ],
)
def test_only_one_repository_at_github_with_two_commits_becomes_a_link(url: str, sha: str) -> None:
    before = Pin("x", "https://github.com/ROCm/x", OLD)
    assert PinChange("x", before, Pin("x", url, sha)).link is None


def test_pin_that_only_one_side_has_is_told_without_a_link() -> None:
    comparison = compare_sides(
        run({}, manifest=manifest(OLD, {})), run({}, manifest=manifest(OLD, {LLVM: NEW}))
    )
    [pin] = comparison.pins
    assert (pin.name, pin.before, pin.link) == ("llvm-project", None, None)


def test_one_sided_manifest_is_said_and_no_pins_are_compared() -> None:
    comparison = compare_sides(
        run({}, label="run 1"), run({}, label="run 2", manifest=manifest(NEW, {LLVM: NEW}))
    )
    assert comparison.pins == ()
    assert any("no manifest in run 1:" in note for note in comparison.notes)


def test_flags_of_the_build_that_changed_are_told() -> None:
    comparison = compare_sides(
        run({}, manifest=manifest(OLD, {}, {"KPACK_SPLIT_ARTIFACTS": True, "A": 1})),
        run({}, manifest=manifest(OLD, {}, {"KPACK_SPLIT_ARTIFACTS": False, "A": 1, "B": "x"})),
    )
    assert comparison.flags == (
        FlagChange("B", None, "x"),
        FlagChange("KPACK_SPLIT_ARTIFACTS", "True", "False"),
    )


@pytest.mark.parametrize(
    ("submodules", "what"),
    [
        ({"a": 1}, "is not a list"),
        (["a"], "is not a JSON object"),
        ([{"submodule_url": "x"}], "has no name"),
        ([{"submodule_name": "x", "pin_sha": 5}], "'pin_sha' of a submodule"),
    ],
)
def test_malformed_submodules_are_named(submodules: object, what: str) -> None:
    with pytest.raises(IntegrityError, match=what) as caught:
        Provenance.parse(json.dumps({"submodules": submodules}).encode(), "m.json")
    assert str(caught.value).startswith("m.json: ")


@pytest.mark.parametrize(
    ("text", "size"),
    [("5", 5), ("10MB", 10_000_000), ("1.5 GiB", 3 << 29), ("2kb", 2000), ("0", 0)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text, "--min-change") == size


@pytest.mark.parametrize("text", ["", "MB", "-5MB", "5 apples", "1e9", "5%", "1,5MB", "٣MB"])
def test_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--min-change is a size such as"):
        parse_size(text, "--min-change")


@pytest.mark.parametrize("text", ["%", "-2%", "two", "5 %%", "2%MB"])
def test_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-growth is a size or a share"):
        parse_growth_limit(text, "--max-growth")


@pytest.mark.parametrize(
    ("limit", "change", "allowed"),
    [
        ("100", Change(1000, 1100), True),
        ("100", Change(1000, 1101), False),
        ("10%", Change(1000, 1100), True),
        ("10%", Change(1000, 1101), False),
        ("0%", Change(1000, 1001), False),
        ("0", Change(1000, 900), True),
        ("1000%", Change(None, 1), False),
        ("1000%", Change(0, 0), True),
    ],
)
def test_limit_allows_growth_up_to_itself(limit: str, change: Change, *, allowed: bool) -> None:
    assert parse_growth_limit(limit, "--max-growth").allows(change) is allowed
