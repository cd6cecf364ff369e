"""``find-artifacts`` and ``latest-artifacts``, through the program."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.github_server import Broken, GitHubServer, Repository, sha
from tests.lookup_servers import github_in_use, put_archives
from tests.running import ROOT, Done, invoke, start


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitHubServer]:
    with github_in_use(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def therock(server: GitHubServer, tmp_path: Path) -> Repository:
    """Five commits; the runs of the second and the fourth have archives."""
    repository = server.repository()
    commits = repository.line_of_commits(5)
    for number, commit in enumerate(commits):
        repository.add_run(100 + number, commit, hours=number)
    for number in (1, 3):
        put_archives(tmp_path / "staging", 100 + number)
    return repository


class _Tool:
    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path) -> None:
        self.capsys = capsys
        self.staging = staging

    def __call__(self, task: str, *words: object) -> Done:
        self.staging.mkdir(exist_ok=True)
        return invoke(self.capsys, task, *words, "--staging-dir", self.staging)

    def report(self, task: str, *words: object, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        done = self(task, *words, "--json")
        assert done.code == code, done.err
        return json.loads(done.out)


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> _Tool:
    return _Tool(capsys, tmp_path / "staging")


def test_commit_shows_its_runs_and_what_they_have(tool: _Tool, therock: Repository) -> None:
    done = tool("find-artifacts", "--commit", sha(3))
    assert done.code == 0, done.err
    head, _, row, last = done.out.splitlines()
    assert head.split("  ")[0] == "run"
    assert row.split() == [
        *("103", sha(3)[:8], "success", "2026-11-20", "15:00", "4", "4.0", "kB", "-"),
    ]
    assert last == "the run has archives for linux"
    report = tool.report("find-artifacts", "--commit", sha(3)[:10].upper())
    assert report["repository"] == "ROCm/TheRock"
    [commit] = report["commits"]
    assert commit["complete"] is True
    [run] = commit["runs"]
    assert run["run_id"] == "103"
    assert run["url"] == "https://github.com/ROCm/TheRock/actions/runs/103"
    assert run["targets"] == ["gfx1100", "gfx942"]
    assert run["root"] == "s3://therock-ci-artifacts/103-linux/"
    assert run["size"] == 4000
    assert run["is_done"] is True


def test_commit_without_archives_is_exit_code_1_with_the_document(
    tool: _Tool, therock: Repository
) -> None:
    done = tool("find-artifacts", "--commit", sha(4))
    assert done.code == 1
    assert f"the run of commit {sha(4)[:12]} does not have archives for linux" in done.err
    assert "archives" in done.out.splitlines()[2].split()
    report = tool.report("find-artifacts", "--commit", sha(4), code=1)
    assert report["commits"][0]["complete"] is False
    assert report["commits"][0]["runs"][0]["lacks"] == ["archives"]


def test_commit_without_runs_is_exit_code_1(tool: _Tool, therock: Repository) -> None:
    therock.add_commit(sha(77))
    done = tool("find-artifacts", "--commit", sha(77))
    assert done.code == 1
    assert "has no run of multi_arch_ci.yml" in done.err
    assert "--workflow any" in done.err
    done = tool("find-artifacts", "--commit", sha(77), "--workflow", "any", "--successful")
    assert "has no successful run;" in done.err


def test_asked_for_targets_and_patterns_decide(tool: _Tool, therock: Repository) -> None:
    commit = ("find-artifacts", "--commit", sha(3))
    for words in (
        ("--amdgpu-targets", "gfx942"),
        ("--amdgpu-targets", "gfx942:xnack+,gfx1100"),
        ("--amdgpu-families", "gfx94X-dcgpu"),
        ("--require", "^blas_lib_", "--require", "fft.{1,30}zst"),
        ("--artifact-group", "gfx110X-all", "--require", "^base"),
    ):
        assert tool(*commit, *words).code == 0
    for words, lacks in (
        (("--amdgpu-targets", "gfx906,gfx942"), ["gfx906"]),
        (("--amdgpu-families", "gfx120X-all"), ["gfx120X-all"]),
        (("--require", "^blas", "--require", "^rand"), ["'^rand'"]),
    ):
        report = tool.report(*commit, *words, code=1)
        assert report["commits"][0]["lacks"] == lacks
    done = tool(*commit, "--amdgpu-targets", "gfx9999")
    assert done.code == 1
    assert "gfx9999: no known GPU family or target" in done.err


def test_runs_of_one_commit_count_together_unless_single(
    tool: _Tool, therock: Repository, tmp_path: Path
) -> None:
    therock.add_run(201, sha(4), hours=9, conclusion="failure")
    therock.add_run(202, sha(4), hours=10)
    put_archives(tool.staging, 201, "blas_lib_gfx942")
    put_archives(tool.staging, 202, "blas_lib_gfx1100")
    words = ("find-artifacts", "--commit", sha(4), "--amdgpu-targets", "gfx942;gfx1100")
    report = tool.report(*words)
    assert [run["run_id"] for run in report["commits"][0]["runs"]] == ["202", "201", "104"]
    assert "together they have archives for linux and gfx942 and gfx1100" in tool(*words).out
    assert tool(*words, "--single-run").code == 1
    assert tool(*words, "--successful").code == 1
    assert tool(*words[:3], "--single-run", "--successful").code == 0


def test_latest_counts_the_runs_of_a_commit_together_unless_single(
    tool: _Tool, therock: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    therock.add_run(201, sha(4), hours=9)
    put_archives(tool.staging, 201, "rand_lib_gfx942")
    therock.add_run(202, sha(4), hours=10)
    put_archives(tool.staging, 202, "blas_lib_gfx942")
    words = ("latest-artifacts", "--require", "^blas", "--require", "^rand")
    done = tool(*words)
    assert done.code == 0, done.err
    assert "202" in done.out
    assert "Newest" not in done.out
    assert (tmp_path / "outputs").read_text().splitlines() == [f"commit={sha(4)}", "run_id="]
    assert tool(*words, "--single-run").code == 1


def test_run_of_which_only_logs_are_left_has_no_archives(tool: _Tool, therock: Repository) -> None:
    logs = tool.staging / "104-linux/logs"
    logs.mkdir(parents=True)
    (logs / "build.log").write_text("x")
    report = tool.report("find-artifacts", "--commit", sha(4), code=1)
    assert report["commits"][0]["runs"][0]["lacks"] == ["archives"]


def test_run_under_way_is_included_and_marked(tool: _Tool, therock: Repository) -> None:
    therock.add_run(300, sha(4), hours=20, status="in_progress")
    put_archives(tool.staging, 300, "blas_lib_gfx942")
    done = tool("find-artifacts", "--commit", sha(4))
    assert done.code == 0, done.err
    assert "300  " in done.out
    assert "in progress …" in done.out
    report = tool.report("find-artifacts", "--commit", sha(4))
    assert [run["is_done"] for run in report["commits"][0]["runs"]] == [False, True]


def test_ref_and_run_number(tool: _Tool, therock: Repository) -> None:
    therock.branches["users/me/topic"] = sha(1)
    report = tool.report("find-artifacts", "--ref", "users/me/topic")
    assert report["commits"][0]["commit"] == sha(1)
    report = tool.report("find-artifacts", "--run-id", "103")
    assert [run["run_id"] for run in report["commits"][0]["runs"]] == ["103"]
    done = tool("find-artifacts", "--run-id", "999")
    assert done.code == 1
    assert "--run-github-repo" in done.err


def test_range_is_newest_first(tool: _Tool, therock: Repository, server: GitHubServer) -> None:
    report = tool.report("find-artifacts", "--range", f"{sha(0)[:8]}..main")
    assert [c["commit"] for c in report["commits"]] == [sha(n) for n in (4, 3, 2, 1)]
    assert [c["complete"] for c in report["commits"]] == [False, True, False, True]
    done = tool("find-artifacts", "--range", f"{sha(0)}..main", "--max-commits", "2")
    assert "1 of 2 runs have" in done.out
    done = tool("find-artifacts", "--range", f"main..{sha(0)}")
    assert done.code == 1
    assert "wrong way round" in done.err


def test_archives_of_a_fork_and_of_an_old_run_are_looked_for_where_they_lie(
    tool: _Tool, therock: Repository
) -> None:
    therock.add_run(400, sha(4), head="someone/TheRock", hours=20)
    put_archives(tool.staging, 400, above="ROCm-TheRock")
    old = "2025-11-01T00:00:00Z"
    therock.add_run(401, sha(4), created_at=old, updated_at=old)
    put_archives(tool.staging, 401)
    runs = tool.report("find-artifacts", "--commit", sha(4))["commits"][0]["runs"]
    assert {run["run_id"]: run["root"] for run in runs if run["archives"]} == {
        "400": "s3://therock-ci-artifacts-external/ROCm-TheRock/400-linux/",
        "401": "s3://therock-artifacts/401-linux/",
    }


def test_other_platforms_and_repositories(tool: _Tool, server: GitHubServer) -> None:
    repository = server.repository("ROCm/rocm-libraries")
    repository.workflows.add("therock-ci.yml")
    repository.add_commit(sha("x"), branch="develop")
    repository.add_run(7, sha("x"), workflow="therock-ci.yml")
    put_archives(tool.staging, 7, platform="windows", above="ROCm-rocm-libraries")
    words = ("find-artifacts", "--ref", "develop", "--repo", "rocm/ROCm-Libraries")
    done = tool(*words)
    assert done.code == 1
    assert "--workflow any" in done.err
    of_file = ("--workflow", "therock-ci.yml")
    assert tool(*words, *of_file).code == 1
    report = tool.report(*words, *of_file, "--platform", "windows")
    # As GitHub spells it, and not as it was typed: S3 tells upper from lower case.
    assert report["commits"][0]["runs"][0]["root"].endswith("/ROCm-rocm-libraries/7-windows/")


def test_unreadable_listing_is_a_run_that_lacks(tool: _Tool, therock: Repository) -> None:
    (tool.staging / "103-linux/blas_lib_b@d.tar.zst").write_bytes(b"")
    report = tool.report("find-artifacts", "--commit", sha(3), code=1)
    assert "a readable listing" in report["commits"][0]["runs"][0]["lacks"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --commit, --ref, --run-id or --range"),
        (("--commit", "abcd", "--ref", "main"), "contradict"),
        (("--commit", "main"), "hexadecimal"),
        (("--commit", "ab"), "hexadecimal"),
        (("--run-id", "sample"), "never on GitHub"),
        (("--run-id", "12x"), "run id '12x'"),
        (("--range", "main"), "two ends"),
        (("--range", "a...b"), "two ends"),
        (("--range", "..b"), "two ends"),
        (("--ref", "main", "--repo", "a/b/c"), "owner/name"),
        (("--ref", "main", "--repo", "a/.."), "owner/name"),
        (("--ref", "main", "--require", "("), "regular expression"),
        (("--ref", "main", "--max-commits", "0"), "at least 1"),
    ],
)
def test_what_means_nothing_is_a_usage_error(
    tool: _Tool, server: GitHubServer, words: tuple[str, ...], said: str
) -> None:
    done = tool("find-artifacts", *words)
    assert done.code == 2, done.err
    assert said in done.err
    assert server.asked == []


@pytest.mark.parametrize("task", ["find-artifacts", "latest-artifacts"])
def test_failed_lookup_is_exit_code_3(
    tool: _Tool, therock: Repository, server: GitHubServer, task: str
) -> None:
    words = ("--ref", "main") if task == "find-artifacts" else ("--branch", "main")
    server.break_with(Broken(401, {"message": "Bad credentials"}, path="/runs", times=99))
    done = tool(task, *words)
    assert done.code == 3
    assert done.err.startswith("error: GitHub refuses")
    run = {**therock.runs[-1], "id": "../../x"}
    server.break_with(Broken(200, {"workflow_runs": [run]}, path="/runs", times=99))
    assert tool(task, *words).code == 3
    server.break_with()
    report = tool.report(task, *words[:1], "nonsense", code=1)
    assert report["exit_code"] == 1


def test_storage_that_cannot_be_asked_is_exit_code_3(
    tool: _Tool, therock: Repository, tmp_path: Path
) -> None:
    (tool.staging / "103-linux").rename(tmp_path / "elsewhere")
    (tool.staging / "103-linux").symlink_to("103-linux")
    done = tool("find-artifacts", "--commit", sha(3))
    assert done.code == 3, done.out
    assert "what run 103 has could not be asked" in done.err


def test_names_from_outside_are_shown_and_do_nothing(
    tool: _Tool, therock: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    title = "<script>alert(1)</script>\x1b[31m\n::set-output name=x::y"
    therock.add_run(500, sha(4), hours=30, display_title=title, branch="a\n::error::b")
    put_archives(tool.staging, 500)
    done = tool("latest-artifacts")
    assert done.code == 0, done.err
    assert not any(line.startswith("::") for line in (done.out + done.err).splitlines())
    assert "\x1b" not in done.out
    assert tool.report("latest-artifacts")["runs"][0]["title"] == title
    lines = (tmp_path / "outputs").read_text().splitlines()
    assert lines == [f"commit={sha(4)}", "run_id=500"] * 2


# ------------------------------------------------------------------------ latest-artifacts


def test_latest_is_the_newest_commit_with_everything(
    tool: _Tool, therock: Repository, server: GitHubServer
) -> None:
    done = tool("latest-artifacts")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "103" in done.out
    assert "104" not in done.out
    assert f"run 103 (success) of commit {sha(3)[:12]} (main): https://github.com/" in done.out
    assert tool.report("latest-artifacts", "--branch", "main")["commit"] == sha(3)


def test_latest_says_at_v_what_each_commit_has(tool: _Tool, therock: Repository) -> None:
    done = tool("latest-artifacts", "-v")
    assert f"{sha(4)}: has run 104 (success) without archives" in done.err
    assert f"{sha(3)}: has everything" in done.err


def test_latest_is_no_run_under_way_unless_patterns_say_what_is_needed(
    tool: _Tool, therock: Repository
) -> None:
    therock.add_run(300, sha(4), hours=20, status="in_progress")
    put_archives(tool.staging, 300, "blas_lib_gfx942")
    done = tool("latest-artifacts", "-v")
    assert "Newest with archives for linux: run 103 " in done.out
    assert (
        "has run 300 (in progress) without the end of its jobs "
        "and run 104 (success) without archives" in done.err
    )
    assert tool.report("latest-artifacts", "--single-run")["commit"] == sha(3)
    assert tool.report("latest-artifacts", "--require", "^blas_lib")["commit"] == sha(4)
    assert tool.report("latest-artifacts", "--require", "^fft_lib")["commit"] == sha(3)


def test_latest_looks_no_further_than_told(tool: _Tool, therock: Repository) -> None:
    done = tool("latest-artifacts", "--max-commits", "1")
    assert done.code == 1
    newest = f"of 1 commits of ROCm/TheRock none has archives for linux; the newest, {sha(4)[:8]}"
    assert newest in done.err


def test_latest_of_a_branch_that_is_not_there(tool: _Tool, therock: Repository) -> None:
    done = tool("latest-artifacts", "--branch", "no/such")
    assert done.code == 1
    assert "no branch or commit no/such" in done.err


def test_latest_of_many_commits_asks_in_windows(
    tool: _Tool, server: GitHubServer, tmp_path: Path
) -> None:
    repository = server.repository()
    commits = repository.line_of_commits(40)
    repository.add_run(1, commits[20])
    put_archives(tool.staging, 1)
    assert tool.report("latest-artifacts")["commit"] == commits[20]
    lookups = [target for target in server.targets() if "/runs" in target]
    assert 20 <= len(lookups) <= 24


def test_interrupt_does_not_wait_for_a_rate_limit(
    tool: _Tool, therock: Repository, server: GitHubServer
) -> None:
    server.break_with(Broken(429, {}, (("Retry-After", "80"),), path="/runs", times=99))
    with start("latest-artifacts", "--staging-dir", tool.staging) as process:
        assert process.stderr is not None
        assert "going on in 80 s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        # Another look-up may have been told of the limit in the same moment.
        *others, told = sorted(process.stderr.read().splitlines(), key="error: interrupted".__eq__)
        assert told == "error: interrupted"
        assert all("going on in 80 s" in other for other in others)


def test_interrupt_does_not_wait_for_an_answer_that_never_comes(
    tool: _Tool, therock: Repository, server: GitHubServer
) -> None:
    server.break_with(Broken(-1, path="/runs", times=99))
    with start("latest-artifacts", "--staging-dir", tool.staging) as process:
        assert server.silent.wait(timeout=60)
        process.send_signal(signal.SIGINT)
        # Reading is given up after 30 s, and tried again four times.
        assert process.wait(timeout=25) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "error: interrupted\n"


@pytest.mark.parametrize("status", [429, -1], ids=["rate-limit", "no-answer"])
def test_failure_of_one_lookup_does_not_wait_for_another(
    tool: _Tool, therock: Repository, server: GitHubServer, status: int
) -> None:
    headers = (("Retry-After", "80"),)
    server.break_with(
        Broken(status, {}, headers, path=f"/runs?head_sha={sha(4)}", times=99),
        Broken(401, {}, path=f"/runs?head_sha={sha(0)}", times=99),
    )
    # In a process of its own: the other one is left behind.
    with start("latest-artifacts", "--staging-dir", tool.staging) as process:
        assert process.wait(timeout=25) == 3
        assert process.stderr is not None
        assert "refuses the token" in process.stderr.read()


def test_second_call_is_answered_from_the_cache(
    tool: _Tool, therock: Repository, server: GitHubServer
) -> None:
    first = tool("latest-artifacts")
    server.asked.clear()
    assert tool("latest-artifacts") == first
    assert {asked.status for asked in server.asked} == {304}


# --------------------------------------------------------------------------- documentation


def test_documentation_shows_what_is_printed(tool: _Tool, server: GitHubServer) -> None:
    repository = server.repository()
    commits = repository.line_of_commits(4)
    repository.add_run(24217435275, commits[1], hours=7)
    repository.add_run(24226650133, commits[2], hours=14, conclusion="failure")
    repository.add_run(24231907710, commits[3], hours=21, status="in_progress")
    names = ("base_lib_generic", "blas_lib_gfx942", "fft_lib_gfx942", "rand_lib_gfx942")
    put_archives(tool.staging, 24217435275, *names)
    put_archives(tool.staging, 24231907710, "base_lib_generic", "blas_lib_generic")
    page = (ROOT / "docs/find-artifacts.md").read_text()
    commands = {
        f"find-artifacts --range {commits[0][:8]}..main --amdgpu-targets gfx942": 0,
        f"find-artifacts --commit {commits[3][:8]} --amdgpu-targets gfx942": 1,
        "latest-artifacts --amdgpu-targets gfx942": 0,
        "latest-artifacts --amdgpu-targets gfx1201 --max-commits 2": 1,
    }
    for command, code in commands.items():
        done = tool(*command.split())
        assert done.code == code, done.err
        block = f"    $ ./inv {command}\n" + "".join(
            f"    {line}\n" for line in (done.out + done.err).splitlines()
        )
        assert block in page, block


def _fork_of_the_newest(therock: Repository, staging: Path) -> None:
    """A pull request whose head is the branch's commit, with archives of its author's making."""
    therock.add_run(666, sha(3), hours=30, head="evil/TheRock", event="pull_request", branch="main")
    put_archives(staging, 666, above="ROCm-TheRock")


def test_fork_s_run_does_not_stand_for_a_branch(
    tool: _Tool, therock: Repository, tmp_path: Path
) -> None:
    _fork_of_the_newest(therock, tmp_path / "staging")
    report = tool.report("latest-artifacts")
    assert report["commit"] == sha(3)
    lacks = {run["run_id"]: run["lacks"] for run in report["runs"]}
    assert lacks == {"666": ["trust: it is a fork's"], "103": []}
    assert "run 103 (success)" in tool("latest-artifacts").out
    shutil.rmtree(tmp_path / "staging/103-linux")
    assert tool.report("latest-artifacts")["commit"] == sha(1)


def test_fork_s_run_is_marked_and_chosen_last(
    tool: _Tool, therock: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fork_of_the_newest(therock, tmp_path / "staging")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    done = tool("find-artifacts", "--commit", sha(3))
    assert ["success (fork)" in line for line in done.out.splitlines()[2:4]] == [True, False]
    assert "run_id=103" in (tmp_path / "outputs").read_text().splitlines()
    shutil.rmtree(tmp_path / "staging/103-linux")
    [commit] = tool.report("find-artifacts", "--commit", sha(3))["commits"]
    assert [run["is_forks"] for run in commit["runs"]] == [True, False]
    assert (tmp_path / "outputs").read_text().splitlines()[-1] == "run_id=666"
