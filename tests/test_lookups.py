"""What stands for a run in any task: a commit, a branch, a baseline, or a number to look up."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
from tests.github_server import Broken, GitHubServer, Repository, sha
from tests.lookup_servers import github_in_use, put_archives
from tests.running import Done, invoke
from tests.servers import clean_environment
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.errors import UsageError
from therock_outputs.jobs import Job
from therock_outputs.program import jobs_of
from therock_outputs.settings import Settings, settings_from


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitHubServer]:
    clean_environment(monkeypatch)
    # Nobody is there: what is looked for beyond the staging directory is an error at once.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with github_in_use(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def sample_staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging directory with the run ``4711-linux``; nobody may change it."""
    staging = tmp_path_factory.mktemp("sample")
    write_sample_run(staging, run_id="4711")
    return staging


@pytest.fixture
def therock(server: GitHubServer) -> Repository:
    """Three commits on main; run 4711 is of the second."""
    repository = server.repository()
    commits = repository.line_of_commits(3)
    repository.add_run(4711, commits[1])
    return repository


class _Fetch:
    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path, work: Path) -> None:
        self.capsys = capsys
        self.where = ("--staging-dir", staging, "--work-dir", work)

    def __call__(self, *words: object) -> Done:
        return invoke(self.capsys, "fetch", "--dry-run", *words, *self.where)

    def run(self, *words: object) -> str:
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return str(json.loads(done.out)["run"])


@pytest.fixture
def fetch(capsys: pytest.CaptureFixture[str], sample_staging: Path, tmp_path: Path) -> _Fetch:
    return _Fetch(capsys, sample_staging, tmp_path / "work")


_RUN = "s3://therock-ci-artifacts/4711-linux/"


def test_commit_stands_for_its_run(fetch: _Fetch, therock: Repository) -> None:
    assert fetch.run("--commit", sha(1)[:9], "--amdgpu-targets", "gfx942") == _RUN
    done = fetch("--commit", sha(1))
    assert (
        f"reading run 4711 (success) of commit {sha(1)[:12]} (main): "
        "https://github.com/ROCm/TheRock/actions/runs/4711" in done.err
    )


def test_branch_and_latest_stand_for_the_newest_run_with_archives(
    fetch: _Fetch, therock: Repository
) -> None:
    assert fetch.run("--branch", "main") == _RUN
    assert fetch.run("--latest") == _RUN
    therock.add_commit(sha("dev"), sha(1), branch="develop")
    therock.default_branch = "develop"
    assert fetch.run("--latest") == _RUN


def test_run_under_way_is_read_only_when_its_commit_was_named(
    fetch: _Fetch, therock: Repository
) -> None:
    therock.runs[0].update(status="in_progress", conclusion=None)
    done = fetch("--commit", sha(1))
    assert done.code == 0, done.err
    assert "warning: run 4711 is still under way; it may get more archives" in done.err
    done = fetch("--latest")
    assert done.code == 1
    assert "without the end of its jobs" not in done.err  # the newest commit has no run at all
    assert f"the newest, {sha(2)[:8]}, has no run" in done.err


def test_finished_run_is_read_before_one_under_way(
    fetch: _Fetch, therock: Repository, sample_staging: Path, tmp_path: Path
) -> None:
    therock.runs[0]["conclusion"] = "failure"
    therock.add_run(4999, sha(1), hours=9, status="queued")
    staging = shutil.copytree(sample_staging, tmp_path / "staging")
    put_archives(staging, 4999)
    fetch.where = ("--staging-dir", staging, "--work-dir", tmp_path / "work")
    assert fetch.run("--commit", sha(1)) == _RUN


def test_fork_s_run_is_read_only_when_its_commit_was_named_and_has_no_other(
    server: GitHubServer, therock: Repository, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    staging = tmp_path / "staging"
    fetch = _Fetch(capsys, staging, tmp_path / "work")
    therock.add_run(666, sha(1), hours=30, head="evil/TheRock", event="pull_request")
    write_sample_run(staging / "ROCm-TheRock", run_id="666", targets=("gfx942",))
    write_sample_run(staging, run_id="4711", targets=("gfx942",))
    for words in (("--commit", sha(1)), ("--latest",)):
        assert fetch.run(*words) == _RUN
    server.repositories.clear()
    repository = server.repository()
    repository.line_of_commits(2)
    repository.add_run(666, sha(1), head="evil/TheRock", event="pull_request")
    done = fetch("--commit", sha(1))
    assert "run 666 built what evil/TheRock has: trust it no further" in done.err
    done = fetch("--latest")
    assert done.code == 1
    assert "run 666 (success) without trust: it is a fork's" in done.err


def test_work_directory_is_called_after_the_run_that_was_found(
    capsys: pytest.CaptureFixture[str],
    therock: Repository,
    sample_staging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--latest", "--staging-dir", sample_staging, "--flatten", "--include", "^blas_lib")
    assert invoke(capsys, "fetch", *words).code == 0
    assert (tmp_path / "build/4711/flatten/lib").is_dir()


def test_run_of_this_job_does_not_count_beside_a_commit(
    fetch: _Fetch, therock: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "5000")
    monkeypatch.setenv("THEROCK_RUN_ID", "5001")
    assert fetch.run("--commit", sha(1)) == _RUN


def test_commit_without_archives_is_said(
    fetch: _Fetch, therock: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fetch("--commit", sha(2))
    assert done.code == 1
    assert f"commit {sha(2)[:12]} of ROCm/TheRock has no run; find-artifacts" in done.err
    assert fetch("--commit", "main").code == 2


def test_runs_beyond_the_staging_directory_are_looked_for_in_s3(
    fetch: _Fetch, therock: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    therock.add_run(4712, sha(2))
    monkeypatch.setattr("therock_outputs.storage.s3.retry.RetryPolicy.pause", lambda *_: None)
    done = fetch("--commit", sha(2))
    assert done.code == 3
    assert "what run 4712 has could not be asked" in done.err


def test_release_type_decides_bucket_and_workflow(fetch: _Fetch, therock: Repository) -> None:
    therock.runs[0]["path"] = ".github/workflows/nightly.yml"
    assert fetch("--commit", sha(1)).code == 1
    assert fetch.run("--commit", sha(1), "--workflow", "any") == _RUN
    assert (
        fetch.run("--commit", sha(1), "--release-type", "nightly")
        == "s3://therock-nightly-artifacts/4711-linux/"
    )


def test_baseline_prepares_a_local_build_in_one_command(
    capsys: pytest.CaptureFixture[str],
    therock: Repository,
    sample_staging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkout = tmp_path / "TheRock"
    checkout.mkdir()
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(checkout)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    therock.add_commit(head.stdout.strip(), sha(1))
    monkeypatch.chdir(checkout)
    words = ("fetch", "--baseline", "--bootstrap", "--output-dir", "build", "--include", "^blas")
    done = invoke(capsys, *words, "--staging-dir", sample_staging, "--work-dir", tmp_path / "w")
    assert done.code == 0, done.err
    assert "run 4711 (success)" in done.err
    assert "1 commit and " in done.err
    assert (checkout / "build/math-libs/BLAS/rocBLAS/stage.prebuilt").is_file()
    done = invoke(capsys, *words, "--commit", sha(0), "--staging-dir", sample_staging)
    assert done.code == 1
    assert f"none of 1 ancestors of {sha(0)[:12]}" in done.err


# --------------------------------------------------------------------------------- --lookup


def test_lookup_finds_where_a_forks_run_lies(
    fetch: _Fetch, therock: Repository, server: GitHubServer, tmp_path: Path
) -> None:
    therock.add_run(600, sha(2), head="someone/TheRock")
    put_archives(tmp_path / "staging", 600, above="ROCm-TheRock")
    fetch.where = ("--staging-dir", tmp_path / "staging", "--work-dir", tmp_path / "work")
    words = ("--run-id", "600", "--run-github-repo", "rocm/therock", "--lookup", "-v")
    done = fetch(*words, "--include", "^fft")
    assert "s3://therock-ci-artifacts-external/ROCm-TheRock/600-linux/" in done.err
    assert "a fork's pull request gets no write role" in done.err


def test_lookup_of_an_old_run_reads_its_bucket(
    capsys: pytest.CaptureFixture[str], fetch: _Fetch, therock: Repository
) -> None:
    therock.runs[0]["updated_at"] = "2025-11-11T16:18:48Z"
    assert fetch.run("--run-id", "4711", "--lookup") == "s3://therock-artifacts/4711-linux/"
    assert fetch.run("--run-id", "4711") == _RUN


def test_lookup_of_an_unknown_run_suggests_the_repository(
    fetch: _Fetch, therock: Repository
) -> None:
    done = fetch("--run-id", "4712", "--lookup")
    assert done.code == 1
    assert "--run-github-repo" in done.err


def test_lookup_that_fails_is_exit_code_3(
    fetch: _Fetch, therock: Repository, server: GitHubServer
) -> None:
    server.break_with(Broken(403, {"message": "no"}, times=9))
    assert fetch("--run-id", "4711", "--lookup").code == 3
    assert fetch("--commit", sha(1)).code == 3
    server.break_with(Broken(200, {**therock.runs[0], "id": "4711; rm"}, times=9))
    done = fetch("--run-id", "4711", "--lookup")
    assert done.code == 3
    assert "numeric" in done.err


def test_copy_artifacts_looks_up_the_run_that_is_copied(
    capsys: pytest.CaptureFixture[str], therock: Repository, sample_staging: Path
) -> None:
    therock.runs[0]["updated_at"] = "2025-11-11T16:18:48Z"
    therock.add_run(4800, sha(2))
    words = ("copy-artifacts", "--source-run-id", "4711", "--staging-dir", sample_staging)
    done = invoke(capsys, *words, "--run-id", "4800", "--lookup", "--dry-run", "-v")
    assert done.code == 0, done.err
    assert "read: s3://therock-artifacts/4711-linux/" in done.err
    assert "written: s3://therock-ci-artifacts/4800-linux/" in done.err


# ------------------------------------------------------------------------------ every task


def test_runs_that_were_never_on_github_are_read_without_asking(
    capsys: pytest.CaptureFixture[str], server: GitHubServer, tmp_path: Path
) -> None:
    write_sample_run(tmp_path)
    words = ("--staging-dir", tmp_path, "--work-dir", tmp_path / "w", "--dry-run")
    assert invoke(capsys, "fetch", "--run-id", "sample", *words).code == 0
    assert server.asked == []
    done = invoke(capsys, "fetch", "--run-id", "sample", "--lookup", *words)
    assert done.code == 2
    assert "'sample' was never there" in done.err


_READERS = [
    job
    for job in jobs_of(tasks).values()
    if any(flag.name == "run_id" and flag.is_shared for flag in job.flags)
]


@pytest.mark.parametrize("job", _READERS, ids=lambda job: job.name)
def test_every_task_that_takes_a_run_takes_what_stands_for_one(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {flag.name for flag in job.flags if flag.is_shared}
    assert {"commit", "branch", "latest", "workflow", "lookup"} <= names
    for words in (
        ("--run-id", "1", "--commit", "abcd"),
        ("--run-id", "1", "--latest"),
        ("--commit", "abcd", "--branch", "main"),
        ("--branch", "main", "--latest"),
    ):
        done = invoke(capsys, job.name, *words)
        assert done.code == 2
        assert "contradict each other" in done.err


def test_there_are_such_tasks() -> None:
    names = {job.name for job in _READERS}
    assert {"release", "fetch", "push", "build-tarballs", "upload", "setup-venv"} <= names


def test_own_flag_of_a_shared_flags_name_stays_the_tasks_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = invoke(
        capsys,
        *("compute-version", "--release-type", "dev", "--rocm-version", "7.13.0"),
        *("--date", "20251124", "--commit", "f689a8ea", "--json"),
    )
    assert json.loads(done.out)["python"] == "7.13.0.dev0+f689a8ea"
    page = invoke(capsys, "--help", "compute-version").out
    own, _, shared = page.partition("Flags of many tasks:")
    assert "--commit SHA" in own
    assert "--commit SHA" not in shared


# -------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HOME": "/home/me"}, Path("/home/me/.cache")),
        ({"HOME": "relative"}, None),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/c"}, Path("/c")),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "c"}, Path("/home/me/.cache")),
    ],
)
def test_cache_is_the_users(environ: dict[str, str], expected: Path | None) -> None:
    assert settings_from({}, environ).cache_home == expected


def test_settings_know_whether_github_has_to_be_asked() -> None:
    assert not settings_from({"run_id": "1"}, {}).needs_lookup
    assert settings_from({"run_id": "1", "lookup": True}, {}).needs_lookup
    for flags in ({"commit": "abcd"}, {"branch": "x"}, {"latest": True}, {"baseline": True}):
        settings = settings_from(flags, {"GITHUB_RUN_ID": "5"})
        assert settings.needs_lookup
        assert settings.finds_run
        assert settings.run_id is None
        assert settings.upload_run_id == "5"
    with pytest.raises(UsageError, match="--commit, --branch or --latest"):
        _ = Settings().required_run_id


def test_address_of_the_api_is_the_environments() -> None:
    assert settings_from({}, {}).github_api_url == "https://api.github.com"
    environ = {"GITHUB_API_URL": "https://git.example.org/api/v3"}
    assert settings_from({}, environ).github_api_url == "https://git.example.org/api/v3"
