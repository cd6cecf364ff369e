"""What is asked of GitHub, against a server that answers in its shapes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.github.conftest import Ask
from tests.github_server import Broken, GitHubServer, sha, stamp
from therock_outputs.errors import LookupFailedError, NotFoundError

REPOSITORY = "ROCm/TheRock"


def test_run_says_what_it_is(server: GitHubServer, ask: Ask) -> None:
    server.repository().add_run(
        4711,
        sha(1),
        head="someone/TheRock",
        hours=2.5,
        display_title="<b>it</b>",
        path=".github/workflows/multi_arch_ci.yml@refs/heads/main",
    )
    run = ask().run("rocm/therock", "4711")
    assert run.run_id == "4711"
    assert run.repository == REPOSITORY
    assert run.head_repository == "someone/TheRock"
    assert run.workflow == "multi_arch_ci.yml"
    assert run.title == "<b>it</b>"
    assert run.commit == sha(1)
    assert run.created_at == datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    assert run.state == "success"
    assert run.is_done
    assert run.url == "https://github.com/ROCm/TheRock/actions/runs/4711"
    assert run.for_layout() == {
        "id": 4711,
        "head_repository": {"full_name": "someone/TheRock"},
        "updated_at": "2026-11-20T15:20:00+00:00",
    }


def test_run_under_way_and_of_a_deleted_fork(server: GitHubServer, ask: Ask) -> None:
    server.repository().add_run(5, sha(1), status="in_progress", head=None)
    run = ask().run(REPOSITORY, "5")
    assert (run.state, run.is_done, run.conclusion) == ("in progress", False, "")
    assert run.for_layout()["head_repository"] is None


def test_unknown_run_suggests_the_repository_flag(server: GitHubServer, ask: Ask) -> None:
    server.repository()
    with pytest.raises(NotFoundError, match="--run-github-repo"):
        ask().run(REPOSITORY, "4712")


def test_runs_of_a_commit_are_newest_first_and_of_one_workflow(
    server: GitHubServer, ask: Ask
) -> None:
    repository = server.repository()
    repository.add_run(1, sha(1), hours=1)
    repository.add_run(3, sha(1), hours=2)
    repository.add_run(2, sha(1), hours=2)
    repository.add_run(4, sha(1), hours=3, workflow="ci.yml")
    repository.add_run(5, sha(2), hours=4)
    github = ask()
    runs = github.runs(REPOSITORY, commit=sha(1), workflow="multi_arch_ci.yml")
    assert [run.run_id for run in runs] == ["3", "2", "1"]
    assert [run.run_id for run in github.runs(REPOSITORY, commit=sha(1))] == ["4", "3", "2", "1"]
    assert github.runs(REPOSITORY, commit=sha(3)) == []
    assert [run.run_id for run in github.runs(REPOSITORY, branch="main", limit=2)] == ["5", "4"]


def test_unknown_workflow_is_named(server: GitHubServer, ask: Ask) -> None:
    server.repository()
    with pytest.raises(NotFoundError, match=r"no workflow a/b\.yml.*--workflow any"):
        ask().runs(REPOSITORY, commit=sha(1), workflow="a/b.yml")
    with pytest.raises(NotFoundError, match="no repository a/b"):
        ask().runs("a/b", commit=sha(1))


def test_lists_are_read_page_by_page_and_no_further_than_needed(
    server: GitHubServer, ask: Ask
) -> None:
    server.per_page = 3
    commits = server.repository().line_of_commits(8)
    found = list(ask().commits(REPOSITORY, "main", 100))
    assert [commit.sha for commit in found] == commits[::-1]
    assert len(server.targets()) == 3
    server.asked.clear()
    few = ask().commits(REPOSITORY, "main", 100)
    assert [next(few).sha for _ in range(3)] == commits[:4:-1]
    assert len(server.targets()) == 1
    assert [c.sha for c in ask().commits(REPOSITORY, "main", 4)] == commits[:3:-1]


def test_commit_by_branch_and_by_the_beginning_of_its_hash(server: GitHubServer, ask: Ask) -> None:
    repository = server.repository()
    repository.line_of_commits(2)
    repository.branches["users/me/fix #1"] = sha(0)
    github = ask()
    assert github.commit(REPOSITORY, "main").sha == sha(1)
    assert github.commit(REPOSITORY, sha(0)[:8]).sha == sha(0)
    commit = github.commit(REPOSITORY, "users/me/fix #1")
    assert (commit.sha, commit.title) == (sha(0), "Change it")
    for ref in ("nonsense", "..", "../../user", "a?b=c"):
        with pytest.raises(NotFoundError, match="knows no commit"):
            github.commit(REPOSITORY, ref)
    assert "/repos/ROCm/TheRock/commits/%2E%2E" in server.targets()


def test_comparisons(server: GitHubServer, ask: Ask) -> None:
    repository = server.repository()
    commits = repository.line_of_commits(4)
    side = repository.add_commit(sha("side"), commits[1], branch="side")
    alone = repository.add_commit(sha("alone"))
    github = ask()
    comparison = github.compare(REPOSITORY, "main", side)
    assert (comparison.relation, comparison.ahead_by, comparison.behind_by) == ("diverged", 1, 2)
    assert comparison.merge_base == github.merge_base(REPOSITORY, side, "main") == commits[1]
    assert github.compare(REPOSITORY, commits[0], commits[2]).relation == "ahead"
    assert github.compare(REPOSITORY, commits[2], commits[0]).relation == "behind"
    with pytest.raises(NotFoundError, match="No common ancestor"):
        github.compare(REPOSITORY, "main", alone)
    with pytest.raises(NotFoundError, match="cannot compare"):
        github.compare(REPOSITORY, "main", "nonsense")


def test_commits_between_two(server: GitHubServer, ask: Ask) -> None:
    server.per_page = 2
    commits = server.repository().line_of_commits(7)
    found = ask().commits_between(REPOSITORY, commits[1], "main", 100)
    assert [commit.sha for commit in found] == commits[:1:-1]
    newest = ask().commits_between(REPOSITORY, commits[1], "main", 2)
    assert [commit.sha for commit in newest] == [commits[6], commits[5]]
    assert ask().commits_between(REPOSITORY, "main", commits[1], 9) == []
    with pytest.raises(NotFoundError, match="check both names"):
        ask().commits_between(REPOSITORY, "nonsense", "main", 9)


def test_jobs_default_branch_and_files(server: GitHubServer, ask: Ask) -> None:
    repository = server.repository("ROCm/rocm-libraries")
    repository.default_branch = "develop"
    repository.add_run(7, sha(1))
    repository.add_job(7, "Linux / Build")
    repository.add_job(7, "Linux / Test", None)
    repository.files["dir/a b.yml", sha(1)] = b"\xffbytes"
    github = ask()
    jobs = github.jobs(github.run("ROCm/rocm-libraries", "7"))
    assert [(job.name, job.status, job.conclusion) for job in jobs] == [
        ("Linux / Build", "completed", "success"),
        ("Linux / Test", "in_progress", ""),
    ]
    assert github.default_branch("ROCm/rocm-libraries") == "develop"
    assert github.file("ROCm/rocm-libraries", "dir/a b.yml", sha(1)) == b"\xffbytes"
    with pytest.raises(NotFoundError, match=r"dir/b\.yml"):
        github.file("ROCm/rocm-libraries", "dir/b.yml", sha(1))
    with pytest.raises(NotFoundError, match="no repository a/b"):
        github.default_branch("a/b")
    repository.files["large", sha(1)] = bytes((1 << 20) + 1)
    with pytest.raises(LookupFailedError, match="1048577 bytes"):
        github.file("ROCm/rocm-libraries", "large", sha(1))


# ------------------------------------------------------------------- answers that cannot be


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "4711"}, "numeric 'id'"),
        ({"id": True}, "numeric 'id'"),
        ({"id": 12}, "about run 12"),
        ({"id": -4}, "numeric 'id'"),
        ({"repository": {"full_name": "a/b/c"}}, "not owner/name"),
        ({"repository": {"full_name": "../.."}}, "not owner/name"),
        ({"repository": {"full_name": 7}}, "not owner/name"),
        ({"repository": None}, "usual form"),
        ({"head_repository": {"full_name": "../../etc"}}, "owner/name"),
        ({"head_sha": "f" * 39}, "'head_sha'"),
        ({"head_sha": "../" + "f" * 37}, "'head_sha'"),
        ({"head_sha": None}, "'head_sha'"),
        ({"status": "<script>"}, "'status'"),
        ({"status": 3}, "'status'"),
        ({"conclusion": "a\nb"}, "'conclusion'"),
        ({"created_at": "yesterday"}, "'created_at'"),
        ({"created_at": None}, "'created_at'"),
        ({"updated_at": 5}, "'updated_at'"),
        ({"run_attempt": -1}, "'run_attempt'"),
    ],
)
def test_run_that_cannot_be_is_a_failed_lookup(
    server: GitHubServer, ask: Ask, change: dict[str, object], said: str
) -> None:
    run = server.repository().add_run(4711, sha(1))
    server.break_with(Broken(200, {**run, **change}))
    with pytest.raises(LookupFailedError) as raised:
        ask().run(REPOSITORY, "4711")
    assert said in str(raised.value)
    assert len(str(raised.value)) < 500
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("value", [["a", 1], 5, None, "text", [{}]])
def test_list_that_is_none_is_a_failed_lookup(
    server: GitHubServer, ask: Ask, value: object
) -> None:
    for body in (value, {"workflow_runs": value}):
        server.break_with(Broken(200, body))
        with pytest.raises(LookupFailedError, match="GitHub's answer about"):
            ask().runs(REPOSITORY, commit=sha(1))


def test_run_of_another_commit_is_refused(server: GitHubServer, ask: Ask) -> None:
    run = server.repository().add_run(1, sha(2))
    server.break_with(Broken(200, {"workflow_runs": [run]}))
    with pytest.raises(LookupFailedError, match=sha(2)):
        ask().runs(REPOSITORY, commit=sha(1))


def test_odd_values_that_decide_nothing_are_let_be(server: GitHubServer, ask: Ask) -> None:
    server.repository().add_run(
        *(1, sha(1)),
        head_branch=None,
        display_title=7,
        name=None,
        path=None,
        html_url="javascript:alert(1)",
        created_at="2026-11-20T12:00:00",
    )
    run = ask().run(REPOSITORY, "1")
    assert (run.branch, run.title, run.workflow, run.url) == ("", "", "", "")
    assert stamp(run.created_at) == "2026-11-20T12:00:00Z"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "beside"},
        {"ahead_by": "2"},
        {"behind_by": None},
        {"merge_base_commit": {"sha": "main"}},
        {"merge_base_commit": None},
    ],
)
def test_comparison_that_cannot_be_is_a_failed_lookup(
    server: GitHubServer, ask: Ask, change: dict[str, object]
) -> None:
    good = {"status": "ahead", "ahead_by": 1, "behind_by": 0, "merge_base_commit": {"sha": sha(1)}}
    server.break_with(Broken(200, {**good, **change}))
    with pytest.raises(LookupFailedError, match="GitHub's answer about"):
        ask().compare(REPOSITORY, "a", "b")


@pytest.mark.parametrize("body", [{}, {"default_branch": ""}, {"default_branch": 1}, []])
def test_repository_without_a_default_branch_is_a_failed_lookup(
    server: GitHubServer, ask: Ask, body: object
) -> None:
    server.break_with(Broken(200, body))
    with pytest.raises(LookupFailedError):
        ask().default_branch(REPOSITORY)
