"""``baseline-artifacts``: the nearest ancestor that will do, and why others will not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

from tests.github_server import GitHubServer, Repository, sha, stamp
from tests.lookup_servers import github_in_use, pinned_repository, put_archives
from tests.running import Done, invoke

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


class _Clock(datetime):
    """It stands still, so that ages do not tell how busy the machine is."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitHubServer]:
    with github_in_use(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def therock(server: GitHubServer, tmp_path: Path) -> Repository:
    """Main has five commits, with archives of all but the last; a topic leaves it at the fourth."""
    repository = server.repository()
    commits = repository.line_of_commits(5)
    for number, commit in enumerate(commits):
        began = stamp(NOW - timedelta(hours=10 * (5 - number)))
        repository.add_run(100 + number, commit, created_at=began, updated_at=began)
    topic = repository.add_commit(sha("t1"), commits[3])
    repository.add_commit(sha("t2"), topic, branch="topic")
    for number in range(4):
        put_archives(tmp_path / "staging", 100 + number)
    return repository


class _Baseline:
    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path) -> None:
        self.capsys = capsys
        self.staging = staging

    def __call__(self, *words: object) -> Done:
        return invoke(self.capsys, "baseline-artifacts", *words, "--staging-dir", self.staging)

    def report(self, *words: object) -> Any:  # noqa: ANN401 - JSON
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def reasons(self, *words: object) -> dict[str, str]:
        return {row["run_id"]: row["reason"] for row in self.report(*words)["rejected"]}


@pytest.fixture
def baseline(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> _Baseline:
    monkeypatch.setattr("therock_outputs.commands.baseline.datetime", _Clock)
    return _Baseline(capsys, tmp_path / "staging")


def _checkout(directory: Path, remote: str = "") -> str:
    """A git checkout with one commit; its hash."""
    git = ["git", "-C", str(directory), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    directory.mkdir()
    words = [["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x", "--no-gpg-sign"]]
    if remote:
        words.append(["remote", "add", "origin", remote])
    for command in words:
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()


def test_walk_begins_where_the_history_meets_the_default_branch(
    baseline: _Baseline, therock: Repository
) -> None:
    done = baseline("--commit", sha("t2")[:12])
    assert done.code == 0, done.err
    assert done.out.startswith(
        f"baseline of {sha('t2')[:12]}: run 103 (success) of commit {sha(3)[:12]} (main): "
        "https://github.com/ROCm/TheRock/actions/runs/103, 2 commits and 20 h 00 min before\n"
    )
    assert "4 archives, 4.0 kB: s3://therock-ci-artifacts/103-linux/" in done.out
    report = baseline.report("--commit", sha("t2"))
    assert report["commit"] == sha("t2")
    assert report["distance"] == 2
    assert report["age_hours"] == 20.0
    assert report["followed"] is None
    assert report["run"]["run_id"] == "103"
    assert report["rejected"] == []


def test_commit_of_the_branch_itself_counts_as_its_own_ancestor(
    baseline: _Baseline, therock: Repository
) -> None:
    report = baseline.report("--commit", sha(2))
    assert (report["run"]["run_id"], report["distance"]) == ("102", 0)
    report = baseline.report("--commit", sha(4))
    assert (report["run"]["run_id"], report["distance"]) == ("103", 1)
    assert report["rejected"][0]["reason"] == "it is without archives"


def test_outputs_of_the_step(
    baseline: _Baseline, therock: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    assert baseline("--commit", sha("t2")).code == 0
    lines = (tmp_path / "outputs").read_text().splitlines()
    assert lines == ["run_id=103", f"commit={sha(3)}", "distance=2"]


def test_nearer_runs_are_rejected_each_with_its_reason(
    baseline: _Baseline, therock: Repository, tmp_path: Path
) -> None:
    (baseline.staging / "102-linux/blas_lib_gfx942.tar.zst").unlink()
    words = ("--commit", sha("t2"), "--exclude-run", "103,7", "--amdgpu-targets", "gfx942")
    report = baseline.report(*words)
    assert report["run"]["run_id"] == "101"
    assert report["distance"] == 4
    assert [row["reason"] for row in report["rejected"]] == [
        "it is excluded",
        "it is without gfx942",
    ]
    done = baseline(*words, "--max-age-hours", "35")
    assert done.code == 1
    assert "none of 4 ancestors" in done.err
    assert "run 103: it is excluded" in done.err
    done = baseline(*words, "--max-commits", "2", "-v")
    assert done.code == 1
    assert "run 102 is rejected: it is without gfx942" in done.err
    assert "none of 2 ancestors" in done.err


def test_age_is_bounded(baseline: _Baseline, therock: Repository) -> None:
    words = ("--commit", sha("t2"), "--exclude-run", "103", "--max-age-hours")
    assert baseline.report(*words, "31")["run"]["run_id"] == "102"
    done = baseline(*words, "29", "-v")
    assert done.code == 1
    assert "run 102 is rejected: it is 30 hours old" in done.err


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ([("Linux / Build math-libs", "failure")], "'Linux / Build math-libs' ended with failure"),
        ([("Linux / Stage - base", "cancelled")], "ended with cancelled"),
        ([("Linux / Build", None)], "is not done"),
        ([("Linux / Test", "failure")], "none of its jobs"),
        ([], "none of its jobs"),
        ([("Linux / Build", "success"), ("Linux / Build and test / Test x", "failure")], None),
        ([("Linux / Build", "success"), ("Windows / Build", "failure")], None),
        ([("Linux / Build", "success"), ("Build PyTorch / Linux", "failure")], None),
        ([("Linux / Build (gfx94X)", "success"), ("Linux / Build (gfx110X)", "failure")], None),
        ([("Linux / Build (gfx94X-dcgpu)", "failure")], "ended with failure"),
        ([("Linux / Build (gfx942)", "failure")], "ended with failure"),
        ([("Linux / Build", "skipped"), ("Linux / Build 2", "neutral")], None),
    ],
)
def test_run_that_failed_will_do_when_its_needed_jobs_did_not(
    baseline: _Baseline,
    therock: Repository,
    jobs: list[tuple[str, str | None]],
    reason: str | None,
) -> None:
    therock.runs[3]["conclusion"] = "failure"
    for name, conclusion in jobs:
        therock.add_job(103, name, conclusion)
    words = ("--commit", sha("t2"), "--amdgpu-families", "gfx94X-dcgpu")
    if reason is None:
        assert baseline.reasons(*words) == {}
    else:
        assert reason in baseline.reasons(*words)["103"]


def test_job_of_a_targets_family_is_needed(baseline: _Baseline, therock: Repository) -> None:
    therock.runs[3]["conclusion"] = "failure"
    therock.add_job(103, "Linux / Build (gfx94X-dcgpu)", "failure")
    therock.add_job(103, "Linux / Build (gfx110X-all)")
    words = ("--commit", sha("t2"), "--amdgpu-targets")
    assert "ended with failure" in baseline.reasons(*words, "gfx942")["103"]
    assert baseline.reasons(*words, "gfx1100") == {}
    assert "ended with failure" in baseline.reasons(*words, "gfx942:xnack+")["103"]


def test_run_under_way_will_do_when_its_needed_jobs_are_done(
    baseline: _Baseline, therock: Repository
) -> None:
    therock.runs[3].update(status="in_progress", conclusion=None)
    therock.add_job(103, "Linux / Build")
    therock.add_job(103, "Linux / Later", None)
    assert baseline.report("--commit", sha("t2"))["run"]["run_id"] == "103"
    words = ("--commit", sha("t2"), "--needed-jobs", "Build", "--needed-jobs", "Later$")
    assert baseline.reasons(*words) == {"103": "its job 'Linux / Later' is not done"}


def test_run_that_is_named_is_judged(baseline: _Baseline, therock: Repository) -> None:
    report = baseline.report("--commit", sha("t2"), "--run-id", "101")
    assert (report["run"]["run_id"], report["distance"]) == ("101", 4)
    alone = therock.add_commit(sha("alone"))
    side = therock.add_commit(sha("side"), sha(0))
    for number, commit in ((900, alone), (901, side), (902, sha("t2"))):
        therock.add_run(number, commit)
        put_archives(baseline.staging, number)
    for commit, run, said in (
        (sha(2), "103", "is a descendant, 1 commits later"),
        (sha(2), "900", "is unrelated"),
        (sha(2), "901", "no ancestor, the two have diverged"),
        (sha(4), "104", "it is without archives"),
        (sha(4), "102", "it is excluded"),
    ):
        done = baseline("--commit", commit, "--run-id", run, "--exclude-run", "102")
        assert done.code == 1, done.out
        assert f"run {run} is no baseline of {commit[:12]}" in done.err
        assert said in done.err
    assert baseline("--commit", sha("t2"), "--run-id", "902").code == 0
    assert baseline("--commit", sha("t2"), "--run-id", "x!").code == 2


def test_commit_without_a_common_ancestor_has_none(
    baseline: _Baseline, therock: Repository
) -> None:
    therock.add_commit(sha("alone"))
    done = baseline("--commit", sha("alone"))
    assert done.code == 1
    assert "No common ancestor" in done.err


def test_other_branch_can_be_walked(baseline: _Baseline, therock: Repository) -> None:
    release = therock.add_commit(sha("r1"), sha(1))
    therock.add_commit(sha("r2"), release, branch="release/7.13")
    therock.add_run(700, release)
    put_archives(baseline.staging, 700)
    report = baseline.report("--commit", sha("r2"), "--branch", "release/7.13")
    assert report["run"]["run_id"] == "700"
    assert baseline.report("--commit", sha("r2"))["run"]["run_id"] == "101"


# ---------------------------------------------------------------------- what is checked out


def test_head_of_a_checkout_is_the_default(
    baseline: _Baseline, therock: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = _checkout(tmp_path / "TheRock")
    therock.add_commit(head, sha("t2"))
    report = baseline.report("--checkout", tmp_path / "TheRock")
    assert (report["commit"], report["distance"]) == (head, 3)
    monkeypatch.chdir(tmp_path / "TheRock")
    assert baseline.report()["commit"] == head


def test_head_that_was_not_pushed_is_said(
    baseline: _Baseline, therock: Repository, tmp_path: Path
) -> None:
    head = _checkout(tmp_path / "TheRock")
    done = baseline("--checkout", tmp_path / "TheRock")
    assert done.code == 1
    assert f"no commit {head}" in done.err
    assert "push it" in done.err


def test_directory_that_is_no_checkout_is_said(
    baseline: _Baseline, therock: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    done = baseline("--checkout", tmp_path)
    assert done.code == 1
    assert f"{tmp_path}: git says" in done.err
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    done = baseline("--checkout", tmp_path)
    assert "git is not installed" in done.err


@pytest.mark.parametrize(
    "remote",
    ["https://github.com/someone/rocm-libraries.git", "git@github.com:ROCm/rocm-libraries"],
)
def test_pinned_repository_has_the_baseline_of_the_commit_it_pins(
    baseline: _Baseline, therock: Repository, server: GitHubServer, tmp_path: Path, remote: str
) -> None:
    head = _checkout(tmp_path / "libraries", remote)
    pinned_repository(server, sha("t1"), head)
    report = baseline.report("--checkout", tmp_path / "libraries")
    assert report["repository"] == "ROCm/rocm-libraries"
    assert (report["commit"], report["followed"]) == (head, sha("t1"))
    assert (report["run"]["run_id"], report["distance"]) == ("103", 1)
    done = baseline("--commit", head, "--repo", "ROCm/rocm-libraries")
    assert f"which builds with TheRock {sha('t1')[:12]}" in done.out


def test_checkout_of_something_else_is_looked_up_in_therock(
    baseline: _Baseline,
    therock: Repository,
    server: GitHubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, remote in enumerate(("https://example.org/me/TheRock", "/srv/git/TheRock.git")):
        head = _checkout(tmp_path / str(number), remote)
        therock.add_commit(head, sha("t2"))
        report = baseline.report("--checkout", tmp_path / str(number))
        assert report["repository"] == "ROCm/TheRock"
    head = _checkout(tmp_path / "libraries", "https://github.com/ROCm/rocm-libraries")
    fork = server.repository("me/TheRock")
    fork.add_commit(head, branch="main")
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/TheRock")
    done = baseline("--checkout", tmp_path / "libraries")
    assert "on main has archives" in done.err  # the repository that was named was asked
    assert done.code == 1


def test_pinned_repository_that_pins_nothing_is_said(
    baseline: _Baseline, therock: Repository, server: GitHubServer
) -> None:
    repository = server.repository("ROCm/rocm-systems")
    repository.add_commit(sha("s"), branch="develop")
    words = ("--commit", sha("s"), "--repo", "rocm/rocm-systems")
    done = baseline(*words)
    assert done.code == 1
    assert "no workflow file of rocm/rocm-systems" in done.err
    repository.files[".github/workflows/therock-ci.yml", sha("s")] = b"on: push\n"
    assert "names a commit of TheRock" in baseline(*words).err
    repository.files[".github/workflows/therock-ci.yml", sha("s")] = b"a: [\n"
    done = baseline(*words)
    assert done.code == 1
    assert "therock-ci.yml of rocm/rocm-systems" in done.err
    assert "is not YAML" in done.err


def test_fork_s_run_is_no_baseline(
    baseline: _Baseline, therock: Repository, tmp_path: Path
) -> None:
    began = stamp(NOW - timedelta(hours=1))
    therock.add_run(666, sha(3), head="evil/TheRock", created_at=began, updated_at=began)
    put_archives(tmp_path / "staging", 666, above="ROCm-TheRock")
    report = baseline.report("--commit", sha("t2"))
    assert report["run"]["run_id"] == "103"
    assert {row["run_id"]: row["reason"] for row in report["rejected"]} == {"666": "it is a fork's"}
    done = baseline("--commit", sha("t2"), "--run-id", "666")
    assert done.code == 1
    assert "it is a fork's" in done.err
