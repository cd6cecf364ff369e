"""Versions in three spellings, and the dates that some of them carry."""

from __future__ import annotations

import datetime as dt
from typing import TypedDict

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout import (
    PackageVersions,
    compute_versions,
    derive_native_versions,
    format_date,
    parse_date,
    version_date,
)

DAY = dt.date(2025, 11, 24)
LATER = dt.date(2025, 12, 3)
COMMIT = "f689a8ea1b2c3d4e5f60718293a4b5c6d7e8f901"


class Inputs(TypedDict, total=False):
    date: dt.date
    commit: str
    prerelease: int
    bkc_base: dt.date


CASES: list[tuple[str, Inputs, tuple[str, str, str]]] = [
    ("release", {}, ("7.10.0", "7.10.0", "7.10.0")),
    ("prerelease", {"prerelease": 2}, ("7.10.0rc2", "7.10.0~pre2", "7.10.0~rc2")),
    ("prerelease", {"prerelease": 0}, ("7.10.0rc0", "7.10.0~pre0", "7.10.0~rc0")),
    ("nightly", {"date": DAY}, ("7.10.0a20251124", "7.10.0~20251124", "7.10.0~20251124")),
    (
        "nightly-bkc",
        {"date": LATER, "bkc_base": DAY},
        (
            "7.10.0a20251124+bkc.20251203",
            "7.10.0~20251124.bkc.20251203",
            "7.10.0~20251124.bkc.20251203",
        ),
    ),
    *(
        (
            kind,
            Inputs(date=LATER, commit=COMMIT),
            (f"7.10.0.dev0+{COMMIT}", "7.10.0~dev20251203", "7.10.0~20251203gf689a8ea"),
        )
        for kind in ("ci", "dev", "dev-bkc")
    ),
]


@pytest.mark.parametrize(("release_type", "inputs", "expected"), CASES)
def test_build_has_its_three_versions(
    release_type: str, inputs: Inputs, expected: tuple[str, str, str]
) -> None:
    assert compute_versions("7.10.0", release_type, **inputs) == PackageVersions(*expected)


@pytest.mark.parametrize(("release_type", "inputs", "expected"), CASES)
def test_native_versions_follow_from_the_python_version(
    release_type: str, inputs: Inputs, expected: tuple[str, str, str]
) -> None:
    derived = derive_native_versions(expected[0], date=inputs.get("date"))
    assert derived == compute_versions("7.10.0", release_type, **inputs)


@pytest.mark.parametrize(("release_type", "inputs", "expected"), CASES)
def test_date_is_found_again_in_every_form_that_has_one(
    release_type: str, inputs: Inputs, expected: tuple[str, str, str]
) -> None:
    python, deb, rpm = map(version_date, expected)
    assert deb == rpm == inputs.get("date")
    assert python == (None if "commit" in inputs else inputs.get("date"))


def test_commit_is_written_in_lower_case() -> None:
    versions = compute_versions("7.10.0", "ci", date=DAY, commit="ABCDEF0123")
    assert versions.python == "7.10.0.dev0+abcdef0123"
    assert versions.rpm == "7.10.0~20251124gabcdef01"


@pytest.mark.parametrize(
    ("base", "release_type", "inputs", "word"),
    [
        ("7.10", "release", {}, "form X.Y.Z"),
        ("7.10.0.1", "release", {}, "form X.Y.Z"),
        ("07.10.0", "release", {}, "form X.Y.Z"),
        ("7.10.0rc1", "prerelease", {"prerelease": 1}, "form X.Y.Z"),
        ("7.10.0\n", "release", {}, "form X.Y.Z"),
        ("\u0667.1.0", "release", {}, "form X.Y.Z"),
        ("7.10.0", "weekly", {}, "release type 'weekly'"),
        ("7.10.0", "prerelease", {}, "--prerelease N"),
        ("7.10.0", "prerelease", {"prerelease": -1}, "not -1"),
        ("7.10.0", "nightly", {}, "nightly needs --date"),
        ("7.10.0", "nightly-bkc", {"bkc_base": DAY}, "nightly-bkc needs --date"),
        ("7.10.0", "nightly-bkc", {"date": DAY}, "nightly-bkc needs --bkc-base"),
        ("7.10.0", "dev", {"date": DAY}, "dev needs --commit"),
        ("7.10.0", "ci", {"commit": COMMIT}, "ci needs --date"),
        ("7.10.0", "ci", {"date": DAY, "commit": "f689a8e"}, "8 to 64"),
        ("7.10.0", "ci", {"date": DAY, "commit": "main"}, "8 to 64"),
        ("7.10.0", "ci", {"date": DAY, "commit": COMMIT + "\n"}, "8 to 64"),
    ],
)
def test_missing_or_malformed_input_is_named(
    base: str, release_type: str, inputs: Inputs, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        compute_versions(base, release_type, **inputs)


@pytest.mark.parametrize(
    ("version", "word"),
    [
        ("", "give --deb-version"),
        ("7.10", "give --deb-version"),
        ("7.10.0-1", "give --deb-version"),
        ("7.10.0~20251124", "give --deb-version"),
        ("7.10.0b1", "give --deb-version"),
        ("7.10.0rc1\n", "give --deb-version"),
        ("7.10.0+local", "give --deb-version"),
        ("07.10.0", "give --deb-version"),
        ("7.10.0a20251324", "date '20251324'"),
        ("7.10.0a20251124+bkc.20250229", "date '20250229'"),
        (f"7.10.0.dev0+{COMMIT}", "give --date"),
    ],
)
def test_python_version_without_native_forms_is_refused(version: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        derive_native_versions(version)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("8.1.0~dev20251203", "20251203"),
        ("8.1.0~20251203gf689a8e", "20251203"),
        ("8.1.0~20251203g20240101", "20251203"),
        ("7.10.0a20251021", "20251021"),
        ("7.10.0~20251021-24217435275", "20251021"),
        ("1:7.10.0~20251021-1", "20251021"),
        ("7.10.0~dev20240229", "20240229"),
        ("7.10.0a20251124+bkc.20251203", "20251203"),
        ("7.10.0~20251124.bkc.20251203", "20251203"),
        ("7.10.0~20251203.bkc.20251124-5", "20251124"),
        ("7.10.0a20251124+bkc.20251399", "20251124"),
        ("7.10.0", None),
        ("7.10.0rc1", None),
        ("7.10.0.dev0+1234567890abcdef", None),
        ("7.10.0.dev0+20251203", None),
        ("7.10.0.dev0+20251203abcdef", None),
        ("7.10.0.dev0+gf20251203", None),
        ("7.10.0.dev0+f.20251203", None),
        ("gf20251203aabb", None),
        ("20251203", None),
        ("7.10.20251203", None),
        ("7.10.0-20251203", None),
        ("7.10.0~20251303", None),
        ("7.10.0~dev20250229", None),
        ("7.10.0~00000101", None),
        ("7.10.0~202512031", None),
        ("7.10.0a20251203x", None),
        ("7.10.0~f20251203", None),
        ("7.10.0~\u0662\u0660\u0662\u0665\u0661\u0662\u0660\u0663", None),
        ("", None),
    ],
)
def test_only_a_real_date_in_its_place_is_a_date(version: str, expected: str | None) -> None:
    assert version_date(version) == (parse_date(expected) if expected else None)


def test_digits_of_a_commit_are_never_taken_for_a_date() -> None:
    for day in range(366):
        eight = format_date(dt.date(2024, 1, 1) + dt.timedelta(days=day))
        for commit in (eight, eight + "ab" * 16, "ab" * 16 + eight, eight * 5):
            versions = compute_versions("7.10.0", "ci", date=DAY, commit=commit)
            assert version_date(versions.python) is None
            assert version_date(versions.deb) == DAY
            assert version_date(versions.rpm) == DAY


@pytest.mark.parametrize("text", ["", "2025-11-24", "20251301", "20250229", "2025112", "²0251124"])
def test_text_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="calendar date as YYYYMMDD"):
        parse_date(text)


def test_dates_are_written_with_eight_digits() -> None:
    assert format_date(parse_date("20240229")) == "20240229"
    assert format_date(dt.date(7, 1, 2)) == "00070102"
