"""Which bucket a run lies in: the table of the layout's documentation, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout import CI_CUTOVER, choose_bucket

OURS, OTHER = "ROCm/TheRock", "ROCm/rocm-libraries"
ARN = "arn:aws:iam::692859939525:role/"


@pytest.mark.parametrize(
    ("release_type", "repository", "fork", "expected"),
    [
        ("ci", OURS, False, ("therock-ci-artifacts", "", "therock-ci")),
        ("ci", OURS, True, ("therock-ci-artifacts-external", "ROCm-TheRock/", None)),
        (
            "ci",
            OTHER,
            False,
            ("therock-ci-artifacts-external", "ROCm-rocm-libraries/", "therock-ci-external"),
        ),
        ("ci", OTHER, True, ("therock-ci-artifacts-external", "ROCm-rocm-libraries/", None)),
        ("dev", OURS, False, ("therock-dev-artifacts", "", "therock-dev")),
        ("dev", OTHER, False, ("therock-dev-artifacts", "", "therock-dev")),
        ("dev-bkc", OURS, False, ("therock-dev-artifacts", "", "therock-dev")),
        ("nightly", OURS, False, ("therock-nightly-artifacts", "", "therock-nightly")),
        ("nightly", OTHER, False, ("therock-nightly-artifacts", "", "therock-nightly")),
        ("nightly-bkc", OURS, False, ("therock-nightly-artifacts", "", "therock-nightly")),
        ("prerelease", OTHER, False, ("therock-prerelease-artifacts", "", "therock-prerelease")),
    ],
)
def test_bucket_follows_release_type_and_repository(
    release_type: str, repository: str, fork: bool, expected: tuple[str, str, str | None]
) -> None:
    bucket, external_repo, role = expected
    choice = choose_bucket(repository=repository, release_type=release_type, is_fork_pr=fork)
    assert choice.bucket == bucket
    assert choice.external_repo == external_repo
    assert choice.write_role == (ARN + role if role else None)
    assert any(bucket in reason for reason in choice.reasons)


@pytest.mark.parametrize(
    ("moment", "bucket"),
    [
        (CI_CUTOVER - timedelta(days=100), "therock-artifacts"),
        (CI_CUTOVER, "therock-artifacts"),
        (CI_CUTOVER + timedelta(seconds=1), "therock-ci-artifacts"),
        (None, "therock-ci-artifacts"),
        (datetime(2025, 11, 11, 16, 18, 48), "therock-artifacts"),  # noqa: DTZ001 naive is UTC
        (
            datetime(2025, 11, 11, 17, 18, 48, tzinfo=timezone(timedelta(hours=1))),
            "therock-artifacts",
        ),
        (
            datetime(2025, 11, 11, 16, 18, 48, tzinfo=timezone(-timedelta(hours=1))),
            "therock-ci-artifacts",
        ),
    ],
)
@pytest.mark.parametrize("external", [False, True])
def test_ci_run_from_before_the_cutover_stays_in_the_old_bucket(
    moment: datetime | None, bucket: str, external: bool
) -> None:
    choice = choose_bucket(
        repository=OURS, release_type="ci", is_fork_pr=external, updated_at=moment
    )
    assert choice.bucket == bucket + ("-external" if external else "")
    assert choice.external_repo == ("ROCm-TheRock/" if external else "")
    if bucket == "therock-artifacts":
        assert choice.write_role is None
        assert any("cutover" in reason for reason in choice.reasons)


@pytest.mark.parametrize("release_type", ["dev", "nightly", "prerelease", "dev-bkc"])
def test_cutover_concerns_ci_only(release_type: str) -> None:
    old = datetime(2025, 1, 1, tzinfo=UTC)
    now = choose_bucket(repository=OURS, release_type=release_type)
    assert choose_bucket(repository=OURS, release_type=release_type, updated_at=old) == now


@pytest.mark.parametrize(
    ("bucket", "fork", "external", "role"),
    [
        ("my-bucket", False, "", None),
        ("therock-nightly-artifacts", False, "", "therock-nightly"),
        ("therock-ci-artifacts-external", False, "ROCm-TheRock/", "therock-ci-external"),
        ("therock-ci-artifacts-external", True, "ROCm-TheRock/", None),
        ("my-bucket", True, "", None),
    ],
)
def test_asked_bucket_overrides_the_table(
    bucket: str, fork: bool, external: str, role: str | None
) -> None:
    choice = choose_bucket(repository=OURS, release_type="ci", is_fork_pr=fork, bucket=bucket)
    assert (choice.bucket, choice.external_repo) == (bucket, external)
    assert choice.write_role == (ARN + role if role else None)
    assert choice.reasons[0] == f"bucket {bucket} was asked for"


def test_release_has_no_bucket_for_runs() -> None:
    with pytest.raises(UsageError, match="choose one of ci, dev, dev-bkc, nightly"):
        choose_bucket(repository=OURS, release_type="release")


@pytest.mark.parametrize(
    ("repository", "release_type", "word"),
    [("TheRock", "ci", "owner/name"), (OURS, "weekly", "release type 'weekly' is not known")],
)
def test_names_that_mean_nothing_are_usage_errors(
    repository: str, release_type: str, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        choose_bucket(repository=repository, release_type=release_type)


def test_own_repository_is_known_in_any_case() -> None:
    assert choose_bucket(repository="rocm/THEROCK", release_type="ci").external_repo == ""
