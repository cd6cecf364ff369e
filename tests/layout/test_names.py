"""What is taken as a release type, platform, repository or run id, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout import (
    is_distribution_bucket,
    parse_package_format,
    parse_platform,
    parse_release_type,
    parse_repository,
    parse_run_id,
    parse_variant,
)


@pytest.mark.parametrize(
    ("parse", "text", "allowed"),
    [
        (parse_release_type, "weekly", "ci, dev, nightly, prerelease, release, dev-bkc"),
        (parse_release_type, "CI", "ci, dev"),
        (parse_release_type, "", "ci, dev"),
        (parse_platform, "macos", "linux, windows"),
        (parse_platform, "Linux", "linux, windows"),
        (parse_package_format, "apk", "deb, rpm"),
        (parse_variant, "tsan", "release, asan"),
    ],
)
def test_unknown_word_is_a_usage_error_that_names_the_allowed(
    parse: Callable[[str], str], text: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert allowed in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ROCm/TheRock", "ROCm/TheRock"),
        ("rocm/therock", "ROCm/TheRock"),
        ("ROCm/rocm-libraries", "ROCm/rocm-libraries"),
        ("a/.github", "a/.github"),
        ("some_emu/x_y.z", "some_emu/x_y.z"),
    ],
)
def test_repository_is_owner_and_name(text: str, expected: str) -> None:
    assert parse_repository(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "TheRock", "a/b/c", "/b", "a/", "a/..", "a/.", "../a", "a b/c", "a/b\n", "ä/b", "-a/b"],
)
def test_bad_repository_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="owner/name"):
        parse_repository(text)


@pytest.mark.parametrize("text", ["1", "24217435275", "local", "sample", "sample_2"])
def test_run_id_is_a_number_or_a_name(text: str) -> None:
    assert parse_run_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "0", "01", "-1", "1.5", "1e3", "1-linux", "../1", "Local", "x" * 41, "1" * 21, "1\n", "²"],
)
def test_bad_run_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a workflow run's number"):
        parse_run_id(text)


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("therock-dev-tarball", True),
        ("therock-release-packages", True),
        ("therock-repo-amd-bkc-core", True),
        ("therock-nightly-artifacts", False),
        ("therock-ci-artifacts", False),
        ("therock-dev-tarball-mine", False),
        ("my-therock-dev-tarball", False),
    ],
)
def test_distribution_buckets_are_told_from_run_buckets(bucket: str, expected: bool) -> None:
    assert is_distribution_bucket(bucket) is expected
