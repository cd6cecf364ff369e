"""``upload-logs`` and ``upload-report``, through the program."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.publish.build_trees import make_build_tree
from tests.running import invoke, tree
from tests.servers import REGION, S3Server, clean_environment, moto_server

_STAGE = ("--stage", "math-libs", "--amdgpu-family", "gfx94X-dcgpu")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with moto_server() as running:
        running.make_bucket("therock-ci-artifacts-external")
        yield running


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """What the runner reads after a step."""
    found = {}
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        found[name] = tmp_path / name
        monkeypatch.setenv(name, str(found[name]))
    return found


def test_failed_stage_uploads_its_logs_but_links_no_artifacts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, Path]
) -> None:
    build = make_build_tree(tmp_path / "build")
    words = (
        *("upload-logs", "--run-id", "7", "--build-dir", build, *_STAGE),
        *("--staging-dir", tmp_path / "staging"),
    )
    done = invoke(capsys, *words, "--job-status", "failure", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    logs = tmp_path / "staging/7-linux/logs/math-libs/gfx94X-dcgpu"
    assert report["index"] == f"{logs}/index.html"
    assert report["artifacts"] is None
    assert {row["outcome"] for row in report["files"]} == {"written"}
    summary = files["GITHUB_STEP_SUMMARY"].read_text()
    assert summary.startswith("### Logs of math-libs, gfx94X-dcgpu (failure)\n")
    assert "Artifacts" not in summary
    for words_of_summary in ("Build-time analysis", "Compile summary", "Manifest"):
        assert words_of_summary in summary
    assert "artifacts_url" not in files["GITHUB_OUTPUT"].read_text()
    done = invoke(capsys, *words, "--job-status", "success")
    assert done.code == 0, done.err
    assert "- Artifacts: " in files["GITHUB_STEP_SUMMARY"].read_text()
    outputs = dict(line.split("=") for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    assert outputs == {
        "logs_url": f"{logs}/index.html",
        "manifest_url": f"{tmp_path}/staging/7-linux/manifests/therock_manifest.json",
        "artifacts_url": f"{tmp_path}/staging/7-linux/index.html",
    }


def test_dry_run_says_what_would_go_where_and_does_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, Path]
) -> None:
    build = make_build_tree(tmp_path / "build")
    before = tree(tmp_path)
    words = ("--build-dir", build, "--artifact-group", "g", "--staging-dir", tmp_path / "s")
    done = invoke(capsys, "upload-logs", "--run-id", "7", *words, "--dry-run")
    assert done.code == 0, done.err
    assert "logs/g/ninja_logs.tar.gz" in done.out
    assert "manifests/g/therock_manifest.json" in done.out
    assert tree(tmp_path) == before
    words = ("--report-dir", build / "logs", "--subfolder", "t", "--staging-dir", tmp_path / "s")
    done = invoke(capsys, "upload-report", "--run-id", "7", *words, "--dry-run")
    assert "logs/t/rocBLAS_build.log" in done.out
    assert tree(tmp_path) == before
    assert not [path for path in files.values() if path.exists()]


def test_missing_parts_are_said_and_are_no_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, Path]
) -> None:
    words = ("upload-logs", "--run-id", "7", "--stage", "s", "--staging-dir", tmp_path / "staging")
    done = invoke(capsys, *words, "--build-dir", tmp_path / "build")
    assert done.code == 0
    assert f"not uploaded: the build directory {tmp_path}/build" in done.err
    assert "nothing to upload" in done.out
    assert not (tmp_path / "staging").exists()
    (tmp_path / "build/logs").mkdir(parents=True)
    (tmp_path / "build/logs/a.log").write_text("a")
    (tmp_path / "build/logs/b.log").symlink_to("/etc/hostname")
    done = invoke(capsys, *words, "--build-dir", tmp_path / "build")
    assert done.code == 0
    assert "not there, and not uploaded: ninja logs, ccache logs," in done.err
    assert "warning: left out: " in done.err
    assert "b.log is a link out of" in done.err
    assert "Not there: ninja logs" in files["GITHUB_STEP_SUMMARY"].read_text()
    words = ("upload-report", "--run-id", "7", "--subfolder", "t", "--report-dir", tmp_path / "x")
    done = invoke(capsys, *words, "--staging-dir", tmp_path / "staging")
    assert done.code == 0
    assert f"the report directory {tmp_path}/x" in done.err


def test_report_is_uploaded_with_its_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, Path]
) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "a.xml").write_text("<a/>")
    words = ("upload-report", "--run-id", "7", "--report-dir", report, "--subfolder", "rocblas")
    done = invoke(capsys, *words, "--staging-dir", tmp_path / "staging")
    assert done.code == 0, done.err
    page = tmp_path / "staging/7-linux/logs/rocblas/index.html"
    assert f"Test report rocblas: {page}" in done.out
    assert "a.xml" in page.read_text()
    assert files["GITHUB_OUTPUT"].read_text() == f"logs_url={page}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("upload-logs",),
        ("upload-logs", "--stage", "a", "--artifact-group", "b"),
        ("upload-logs", "--artifact-group", "b", "--amdgpu-family", "c"),
        ("upload-logs", "--stage", "../../x"),
        ("upload-logs", "--stage", "a", "--job-status", "fine"),
        ("upload-report", "--report-dir", "."),
        ("upload-report", "--subfolder", "t"),
        ("upload-report", "--report-dir", ".", "--subfolder", "../x"),
    ],
)
def test_nonsense_is_a_usage_error_and_uploads_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = invoke(capsys, *words, "--run-id", "7", "--staging-dir", tmp_path / "staging")
    assert done.code == 2, done.err
    assert not (tmp_path / "staging").exists()


def _as_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {
        "pull_request": {
            "head": {"repo": {"full_name": "someone/TheRock"}},
            "base": {"repo": {"full_name": "ROCm/TheRock"}},
        }
    }
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    for name, value in {
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_REPOSITORY": "ROCm/TheRock",
        "GITHUB_RUN_ID": "77",
    }.items():
        monkeypatch.setenv(name, value)


def test_forks_pull_request_writes_with_the_runners_credentials_and_says_so(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: S3Server,
) -> None:
    build = make_build_tree(tmp_path / "build")
    server.use(monkeypatch)
    _as_fork(tmp_path, monkeypatch)
    done = invoke(capsys, "upload-logs", "--build-dir", build, *_STAGE, "--json")
    assert done.code == 0, done.err
    assert "a fork's pull request gets no write role; the credentials at hand decide" in done.err
    [index] = {json.loads(done.out)["index"]}
    below = "ROCm-TheRock/77-linux/logs/math-libs/gfx94X-dcgpu/index.html"
    assert index == f"{server.endpoint}/therock-ci-artifacts-external/{below}"
    done = invoke(capsys, "upload-logs", "--build-dir", build, *_STAGE, "--bucket", "no-such")
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith(
        "(no write role is known for no-such: the credentials at hand decide)"
    )


def test_media_types_let_a_browser_show_logs(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: S3Server,
) -> None:
    build = make_build_tree(tmp_path / "build")
    server.use(monkeypatch)
    server.make_bucket("logs-of-mine")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    words = ("--run-id", "8", "--build-dir", build, "--artifact-group", "g")
    done = invoke(capsys, "upload-logs", *words, "--bucket", "logs-of-mine", "--json")
    assert done.code == 0, done.err
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    types = {}
    for row in json.loads(done.out)["files"]:
        answer = client.head_object(Bucket="logs-of-mine", Key=f"8-linux/{row['name']}")
        types[row["name"].rpartition("/")[2]] = answer["ContentType"]
    client.close()
    assert types["rocBLAS_build.log"] == "text/plain; charset=utf-8"
    assert types["build_time_analysis.html"] == "text/html; charset=utf-8"
    assert types["comp-summary.md"] == "text/markdown; charset=utf-8"
    assert types["ninja_logs.tar.gz"] == "application/gzip"
    assert types["ccache_logs.tar.zst"] == "application/zstd"
    assert types["therock_manifest.json"] == "application/json"


def test_fork_without_any_credentials_is_told_why(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: S3Server,
) -> None:
    build = make_build_tree(tmp_path / "build")
    clean_environment(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    _as_fork(tmp_path, monkeypatch)
    done = invoke(capsys, "upload-logs", "--build-dir", build, *_STAGE, "--bucket", "none-here")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "none-here" in last
