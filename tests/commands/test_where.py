"""``where``: the place and the role of a job, and when there is no role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import invoke

_ROLE = "arn:aws:iam::692859939525:role/"


def _asked(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, str]:
    done = invoke(capsys, "where", "--run-id", "7", *words, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert isinstance(answer, dict)
    return answer


def test_place_and_role_are_outputs_of_the_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "out"))
    done = invoke(capsys, "where", "--run-id", "7")
    assert done.code == 0
    assert f"write role  {_ROLE}therock-ci" in done.out
    assert (tmp_path / "out").read_text().splitlines() == [
        "bucket=therock-ci-artifacts",
        "root=s3://therock-ci-artifacts/7-linux/",
        "url=https://therock-ci-artifacts.s3.amazonaws.com/7-linux/",
        "region=us-east-2",
        f"write_role={_ROLE}therock-ci",
    ]


def test_place_is_of_the_run_that_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "99")
    monkeypatch.setenv("GITHUB_REPOSITORY", "ROCm/rockrel")
    place = _asked(capsys, "--run-github-repo", "ROCm/TheRock", "--release-type", "nightly")
    assert place["root"] == "s3://therock-nightly-artifacts/99-linux/"
    assert place["write_role"] == f"{_ROLE}therock-nightly"
    place = _asked(capsys, "--run-github-repo", "ROCm/TheRock")
    assert place["root"] == "s3://therock-ci-artifacts-external/ROCm-rockrel/99-linux/"
    assert place["write_role"] == f"{_ROLE}therock-ci-external"


@pytest.mark.parametrize(
    ("words", "bucket", "role"),
    [
        (("nightly",), "therock-nightly-tarball", f"{_ROLE}therock-nightly"),
        (
            ("prerelease", "--layout", "product"),
            "therock-repo-amd-rc-core",
            "arn:aws:iam::324352301041:role/therock-repo-rc-core",
        ),
        (("release",), "therock-release-tarball", ""),
    ],
)
def test_place_of_promoted_packages(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], bucket: str, role: str
) -> None:
    place = _asked(capsys, "--promote-to", *words)
    assert (place["bucket"], place["write_role"]) == (bucket, role)
    assert bucket in place["reason"]


def test_only_jobs_of_trusted_repositories_get_a_role(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/else")
    for words in ((), ("--promote-to", "nightly")):
        place = _asked(capsys, *words)
        assert place["write_role"] == ""
        assert place["reason"].startswith("jobs of someone/else may not assume arn:aws:iam::")
        place = _asked(capsys, *words, "--trusted-repositories", "a/b,Someone/Else")
        assert place["write_role"].startswith("arn:aws:iam::")


def test_forks_pull_request_and_staging_directory_get_no_role(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _asked(capsys, "--staging-dir", tmp_path)["reason"].startswith("a staging directory")
    monkeypatch.setenv("IS_PR_FROM_FORK", "true")
    for words in ((), ("--promote-to", "nightly")):
        place = _asked(capsys, *words)
        assert place["write_role"] == ""
        assert place["reason"] == "a fork's pull request gets no write role"


@pytest.mark.parametrize(
    "words",
    [
        ("--promote-to", "nightly", "--bucket", "mine"),
        ("--promote-to", "ci"),
        ("--promote-to", "release", "--layout", "product"),
        ("--trusted-repositories", "nonsense"),
        ("--layout", "other"),
    ],
)
def test_nonsense_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    done = invoke(capsys, "where", "--run-id", "7", *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
