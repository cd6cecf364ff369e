"""Every place of a run's outputs, and which run is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.layout import LayoutError, Platform, StorageLocation, WorkflowOutputRoot

Root = WorkflowOutputRoot
OURS = "ROCm/TheRock"
EXTERNAL = "therock-ci-artifacts-external"
ROOT = Root.from_workflow_run(environ={}, run_id="123")

PLACES: list[tuple[Callable[[Root], StorageLocation], str]] = [
    (lambda r: r.root, ""),
    (lambda r: r.archive("blas_lib_gfx942.tar.zst"), "blas_lib_gfx942.tar.zst"),
    (lambda r: r.archive_digest("a_lib_generic.tar.xz"), "a_lib_generic.tar.xz.sha256sum"),
    (lambda r: r.archive_index(), "index.html"),
    (lambda r: r.archive_index("gfx94X-dcgpu"), "index-gfx94X-dcgpu.html"),
    (lambda r: r.logs(), "logs/"),
    (lambda r: r.logs("a", "b.log"), "logs/a/b.log"),
    (lambda r: r.logs_index(), "logs/index.html"),
    (lambda r: r.group_logs("gfx110X-all"), "logs/gfx110X-all/"),
    (lambda r: r.group_logs("g", "ninja_logs.tar.gz"), "logs/g/ninja_logs.tar.gz"),
    (lambda r: r.stage_logs("math-libs", None, "x.log"), "logs/math-libs/x.log"),
    (lambda r: r.stage_logs("math-libs", "gfx942", "x.log"), "logs/math-libs/gfx942/x.log"),
    (lambda r: r.packaging_logs("deb", "x.log"), "logs/packaging/deb/x.log"),
    (lambda r: r.packaging_logs("rpm"), "logs/packaging/rpm/"),
    (lambda r: r.test_reports("unit", "r.xml"), "logs/unit/r.xml"),
    (lambda r: r.manifests(), "manifests/"),
    (lambda r: r.manifests("x"), "manifests/x"),
    (lambda r: r.manifests_index(), "manifests/index.html"),
    (lambda r: r.manifest(), "manifests/therock_manifest.json"),
    (lambda r: r.manifest("g"), "manifests/g/therock_manifest.json"),
    (lambda r: r.python(), "python/"),
    (lambda r: r.python("a.whl"), "python/a.whl"),
    (lambda r: r.python_files(), "python/"),
    (lambda r: r.python_files("g", "a.whl"), "python/g/a.whl"),
    (lambda r: r.python_find_links(), "python/index.html"),
    (lambda r: r.python_find_links("g"), "python/g/index.html"),
    (lambda r: r.python_simple(), "python/simple/"),
    (lambda r: r.python_simple("g", "rocm/"), "python/g/simple/rocm/"),
    (lambda r: r.packages("deb"), "packages/deb/"),
    (lambda r: r.packages("deb", "pool/main/a.deb"), "packages/deb/pool/main/a.deb"),
    (lambda r: r.packages("rpm"), "packages/rpm/"),
    (lambda r: r.deb_repository(), "packages/deb/"),
    (lambda r: r.rpm_repository(), "packages/rpm/x86_64/"),
    (lambda r: r.tarballs(), "tarballs/"),
    (lambda r: r.tarball("SHA256SUMS"), "tarballs/SHA256SUMS"),
    (lambda r: r.tarballs_index(), "tarballs/index.html"),
]


@pytest.mark.parametrize(("place", "expected"), PLACES)
@pytest.mark.parametrize(
    ("root", "prefix"),
    [
        (ROOT, "123-linux/"),
        (
            Root.from_workflow_run(
                environ={}, run_id="7", platform="windows", repository="ROCm/rocm-libraries"
            ),
            "ROCm-rocm-libraries/7-windows/",
        ),
        (Root.for_local(), "local-linux/"),
    ],
)
def test_place_lies_below_the_root(
    place: Callable[[Root], StorageLocation], expected: str, root: Root, prefix: str
) -> None:
    assert place(root) == StorageLocation(root.bucket, prefix + expected)


def test_dependencies_lie_beside_the_runs() -> None:
    root = Root.from_workflow_run(environ={"IS_PR_FROM_FORK": "true"}, run_id="1", prefix="p")
    assert root.python_deps().s3_uri == f"s3://{EXTERNAL}/python-deps/simple/"
    assert root.python_deps("numpy/", "index.html").key == "python-deps/simple/numpy/index.html"
    assert root.python_deps_files("a.whl").key == "python-deps/a.whl"


def test_every_public_place_is_tabled_in_this_test() -> None:
    code = {name for place, _ in PLACES for name in place.__code__.co_names}
    places = {
        name
        for name, member in vars(Root).items()
        if not name.startswith("_")
        and getattr(member, "__annotations__", {}).get("return") == "StorageLocation"
    }
    assert places - code == {"python_deps", "python_deps_files"}


@pytest.mark.parametrize(
    "place",
    [
        lambda r: r.archive("../x"),
        lambda r: r.archive("a/b"),
        lambda r: r.archive(""),
        lambda r: r.archive_index("../x"),
        lambda r: r.logs(".."),
        lambda r: r.logs("a", "../../.."),
        lambda r: r.logs("/etc"),
        lambda r: r.logs("a\nb"),
        lambda r: r.logs(""),
        lambda r: r.manifest(".."),
        lambda r: r.manifest("a/b"),
        lambda r: r.stage_logs("a", ".."),
        lambda r: r.python_files("a/b"),
        lambda r: r.python_simple(None, "../.."),
        lambda r: r.python_deps("../.."),
        lambda r: r.packages("deb", "..\\x"),
        lambda r: r.tarball("a/b"),
        lambda r: r.tarball(".."),
    ],
)
def test_no_part_leaves_its_directory(place: Callable[[Root], StorageLocation]) -> None:
    with pytest.raises(LayoutError):
        place(ROOT)


def test_unknown_package_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="deb, rpm"):
        ROOT.packages("apk")


@pytest.mark.parametrize(
    ("environ", "arguments", "uri"),
    [
        ({"GITHUB_RUN_ID": "5"}, {}, "s3://therock-ci-artifacts/5-linux/"),
        (
            {"GITHUB_RUN_ID": "5", "THEROCK_RUN_ID": "6", "THEROCK_PLATFORM": "windows"},
            {},
            "s3://therock-ci-artifacts/6-windows/",
        ),
        (
            {"THEROCK_RUN_ID": "6", "THEROCK_PLATFORM": "windows"},
            {"run_id": "7", "platform": "linux"},
            "s3://therock-ci-artifacts/7-linux/",
        ),
        (
            {"RELEASE_TYPE": "nightly", "GITHUB_REPOSITORY": "a/b"},
            {"run_id": "7"},
            "s3://therock-nightly-artifacts/7-linux/",
        ),
        (
            {"RELEASE_TYPE": "nightly", "GITHUB_REPOSITORY": "a/b"},
            {"run_id": "7", "release_type": "ci"},
            f"s3://{EXTERNAL}/a-b/7-linux/",
        ),
        ({"GITHUB_REPOSITORY": "a/b"}, {"run_id": "7", "repository": OURS}, None),
        ({"RELEASE_TYPE": "", "GITHUB_REPOSITORY": ""}, {"run_id": "7"}, None),
        ({}, {"run_id": "7", "bucket": "mine"}, "s3://mine/7-linux/"),
        ({}, {"run_id": "7", "bucket": ""}, None),
        ({}, {"run_id": "7", "prefix": "try/1"}, "s3://therock-ci-artifacts/try/1/7-linux/"),
        ({"GITHUB_REPOSITORY": "a/b"}, {"run_id": "7", "prefix": ""}, f"s3://{EXTERNAL}/7-linux/"),
        ({"IS_PR_FROM_FORK": "true"}, {"run_id": "7"}, f"s3://{EXTERNAL}/ROCm-TheRock/7-linux/"),
    ],
)
def test_arguments_win_over_the_environment(
    environ: dict[str, str], arguments: dict[str, str], uri: str | None
) -> None:
    root = Root.from_workflow_run(environ=environ, **arguments)  # type: ignore[arg-type]
    assert root.root.s3_uri == (uri or "s3://therock-ci-artifacts/7-linux/")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "no run is named; give --run-id"),
        ({"run_id": "7-linux"}, "run id '7-linux'"),
        ({"run_id": "7", "platform": "beos"}, "linux, windows"),
        ({"run_id": "7", "repository": "x"}, "owner/name"),
        ({"run_id": "7", "release_type": "x"}, "release type 'x'"),
        ({"run_id": "7", "bucket": "Not A Bucket"}, "bucket"),
        ({"run_id": "7", "prefix": "/abs"}, "absolute"),
        ({"run_id": "7", "prefix": "../up"}, "segment"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: dict[str, str], word: str) -> None:
    with pytest.raises(OutputsError, match=word):
        Root.from_workflow_run(environ={}, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "updated", "uri"),
    [
        (OURS, "2026-01-01T00:00:00Z", "s3://therock-ci-artifacts/9-linux/"),
        (OURS, "2025-11-11T16:18:48Z", "s3://therock-artifacts/9-linux/"),
        ("x/TheRock", "2026-01-01T00:00:00Z", f"s3://{EXTERNAL}/ROCm-TheRock/9-linux/"),
        (
            "x/TheRock",
            "2025-01-01T00:00:00Z",
            "s3://therock-artifacts-external/ROCm-TheRock/9-linux/",
        ),
    ],
)
def test_answer_about_a_run_decides_over_this_job(head: str, updated: str, uri: str) -> None:
    answer = {"id": 9, "head_repository": {"full_name": head}, "updated_at": updated}
    environ = {"IS_PR_FROM_FORK": "true" if head == OURS else "false"}
    assert Root.from_workflow_run(environ=environ, run=answer).root.s3_uri == uri


def test_answer_about_another_run_is_refused() -> None:
    with pytest.raises(LayoutError, match="run 8 was asked for but the answer is about run 9"):
        Root.from_workflow_run(environ={}, run_id="8", run={"id": 9})


def test_being_a_fork_says_nothing_about_another_run() -> None:
    environ = {"GITHUB_RUN_ID": "5", "GITHUB_REPOSITORY": OURS, "IS_PR_FROM_FORK": "true"}
    here = Root.from_workflow_run(environ=environ)
    there = Root.from_workflow_run(environ=environ, run_id="4")
    elsewhere = Root.from_workflow_run(environ=environ, run_id="5", repository="a/b")
    assert here.root.s3_uri == f"s3://{EXTERNAL}/ROCm-TheRock/5-linux/"
    assert there.root.s3_uri == "s3://therock-ci-artifacts/4-linux/"
    assert here.write_role is None
    assert elsewhere.write_role is not None


def test_event_tells_that_this_run_is_a_forks() -> None:
    event = {
        "pull_request": {
            "head": {"repo": {"full_name": "x/TheRock"}},
            "base": {"repo": {"full_name": OURS}},
        }
    }
    root = Root.from_workflow_run(environ={"GITHUB_RUN_ID": "5"}, event=event)
    assert root.root.s3_uri == f"s3://{EXTERNAL}/ROCm-TheRock/5-linux/"


CI = {"GITHUB_RUN_ID": "50", "GITHUB_REPOSITORY": OURS}


@pytest.mark.parametrize(
    ("source_repo", "environ", "arguments", "uri"),
    [
        (OURS, {}, {}, "s3://therock-ci-artifacts/40-linux/"),
        (OURS, CI, {}, "s3://therock-ci-artifacts/50-linux/"),
        ("a/b", CI, {}, "s3://therock-ci-artifacts/50-linux/"),
        ("a/b", {}, {}, f"s3://{EXTERNAL}/a-b/40-linux/"),
        ("a/b", {}, {"upload_run_id": "60"}, f"s3://{EXTERNAL}/a-b/60-linux/"),
        (OURS, CI, {"upload_run_id": "60"}, "s3://therock-ci-artifacts/60-linux/"),
        (OURS, CI, {"upload_run_id": "40"}, "s3://therock-ci-artifacts/40-linux/"),
        (
            OURS,
            {**CI, "IS_PR_FROM_FORK": "true"},
            {},
            f"s3://{EXTERNAL}/ROCm-TheRock/50-linux/",
        ),
        (OURS, CI, {"bucket": "mine", "prefix": "p/"}, "s3://mine/p/50-linux/"),
        (OURS, {}, {"bucket": "mine"}, "s3://mine/40-linux/"),
        (OURS, CI, {"release_type": "dev"}, "s3://therock-dev-artifacts/50-linux/"),
    ],
)
def test_outputs_go_to_this_jobs_run_not_to_the_one_read(
    source_repo: str, environ: dict[str, str], arguments: dict[str, str], uri: str
) -> None:
    source = Root.from_workflow_run(environ=environ, run_id="40", repository=source_repo)
    target = source.destination(environ=environ, **arguments)  # type: ignore[arg-type]
    assert target.root.s3_uri == uri


def test_destination_keeps_the_platform_of_the_source() -> None:
    source = Root.from_workflow_run(environ={}, run_id="1", platform="windows")
    assert source.destination(environ=CI).platform is Platform.WINDOWS


def test_rewriting_the_same_run_keeps_what_was_looked_up() -> None:
    answer = {
        "id": 9,
        "head_repository": {"full_name": "x/TheRock"},
        "updated_at": "2025-01-01T00:00:00Z",
    }
    source = Root.from_workflow_run(environ={}, run=answer)
    assert source.destination(environ={}) is source


def test_local_run_mirrors_the_layout_in_a_staging_directory(tmp_path: Path) -> None:
    root = Root.for_local()
    assert root.manifest().local_path(tmp_path) == (
        tmp_path / "local-linux/manifests/therock_manifest.json"
    )
    assert root.write_role is None
    assert Root.for_local("sample", "windows", prefix="p").root.key == "p/sample-windows/"
    assert root.destination(environ={}) is root


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("../x",), "run id"), (("local", "beos"), "platform"), (("local", "linux", "x"), "owner")],
)
def test_local_run_refuses_names_that_mean_nothing(arguments: tuple[str, ...], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Root.for_local(*arguments)
