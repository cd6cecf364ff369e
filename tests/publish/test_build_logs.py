"""What is found in a build tree, and what is left alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.publish.build_trees import make_build_tree
from therock_outputs.publish.build_logs import BuildLogs, find_build_logs, find_report


def _names(logs: BuildLogs) -> list[str]:
    return [file.name for file in logs.files]


def test_everything_a_build_leaves_is_found(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    logs = find_build_logs(build)
    assert _names(logs) == [
        "build_observability.html",
        "build_time_analysis.html",
        "comp-summary.html",
        "comp-summary.md",
        "index.html",
        "rocBLAS_build.log",
        "therock-build-prof/comp-summary.html",
        "therock-build-prof/comp-summary.md",
        "therock-build-prof/data/a.json",
    ]
    assert [file.name for file in logs.ninja] == [
        "core/clr/build/.ninja_log",
        "math-libs/BLAS/rocBLAS/build/.ninja_log",
    ]
    assert {file.name for file in logs.ccache} == {"ccache.log", "worker/ccache.log"}
    assert logs.manifest == build / "base/aux-overlay/build/therock_manifest.json"
    assert logs.missing == ()
    assert logs.left_out == ()


def test_what_a_failed_build_did_not_get_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/configure.log").write_text("error")
    logs = find_build_logs(tmp_path)
    assert _names(logs) == ["configure.log"]
    assert logs.missing == (
        "ninja logs",
        "ccache logs",
        "a profiling summary",
        "a build-time analysis",
        "a manifest",
    )


def test_build_that_never_began_has_no_logs(tmp_path: Path) -> None:
    logs = find_build_logs(tmp_path / "build")
    assert logs == BuildLogs(missing=(f"the build directory {tmp_path}/build",))
    assert find_build_logs(tmp_path).missing[0] == f"any log in {tmp_path}/logs"


def test_installed_manifest_is_taken_where_the_written_one_is_gone(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path)
    installed = build / "base/aux-overlay/stage/share/therock/therock_manifest.json"
    installed.parent.mkdir(parents=True)
    shutil.move(build / "base/aux-overlay/build/therock_manifest.json", installed)
    assert find_build_logs(build).manifest == installed


def test_page_among_the_logs_is_taken_before_one_at_the_top(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path)
    (build / "logs/build_time_analysis.html").write_text("newer")
    [page] = [f for f in find_build_logs(build).files if f.name == "build_time_analysis.html"]
    assert page.path == build / "logs/build_time_analysis.html"


def test_links_out_of_the_tree_are_left_out_and_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("key.log", "therock_manifest.json", ".ninja_log"):
        (secret / name).write_text("secret")
    build = make_build_tree(tmp_path / "build")
    (build / "logs/key.log").symlink_to(secret / "key.log")
    (build / "logs/all").symlink_to(secret)
    (build / "logs/gone.log").symlink_to(tmp_path / "nowhere")
    (build / "logs/latest.log").symlink_to("rocBLAS_build.log")
    (build / "logs/loop").symlink_to(".")
    (build / "elsewhere").symlink_to(secret)
    (build / "core/.ninja_log").symlink_to(secret / ".ninja_log")
    manifest = build / "base/aux-overlay/build/therock_manifest.json"
    manifest.unlink()
    manifest.symlink_to(secret / "therock_manifest.json")
    analysis = build / "build_time_analysis.html"
    analysis.unlink()
    analysis.symlink_to(secret / "key.log")
    logs = find_build_logs(build)
    every = [*logs.files, *logs.ninja, *logs.ccache]
    assert not [file for file in every if "secret" in str(file.path.resolve())]
    assert "latest.log" in _names(logs)
    assert len(logs.ninja) == 2
    assert logs.manifest is None
    said = "\n".join(logs.left_out)
    for name in ("key.log", "all", "gone.log", "loop", manifest.name, analysis.name):
        assert f"/{name} is a link" in said


def test_directory_of_logs_that_is_a_link_out_of_the_tree_is_left_out(tmp_path: Path) -> None:
    elsewhere = make_build_tree(tmp_path / "elsewhere")
    build = tmp_path / "build"
    build.mkdir()
    (build / "logs").symlink_to(elsewhere / "logs")
    logs = find_build_logs(build)
    assert logs.files == ()
    assert logs.left_out == (f"{build}/logs is a link out of {build}; copy what it points at",)
    (tmp_path / "linked").symlink_to(elsewhere)  # the user's own choice
    assert find_build_logs(tmp_path / "linked") == find_build_logs(tmp_path / "linked")
    assert len(find_build_logs(tmp_path / "linked").files) == 9


@pytest.mark.parametrize("name", ["a\nb.log", "a\\b.log", "\udcff.log"])
def test_names_that_no_key_can_hold_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    build = make_build_tree(tmp_path)
    (build / "logs" / name).write_text("x")
    (build / name).mkdir()
    (build / name / ".ninja_log").write_text("x")
    logs = find_build_logs(build)
    assert name not in _names(logs)
    assert len(logs.ninja) == 2
    assert len(logs.left_out) == 2


def test_pipes_among_the_logs_are_left_out_and_said(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path)
    os.mkfifo(build / "logs/pipe.log")
    (build / "core/clr/build/.ninja_log").unlink()
    os.mkfifo(build / "core/clr/build/.ninja_log")
    logs = find_build_logs(build)
    assert len(logs.ninja) == 1
    assert [text for text in logs.left_out if "pipe.log is neither a file" in text]


def test_report_is_all_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.xml").write_text("<a/>")
    assert _names(find_report(tmp_path)) == ["sub/a.xml"]
    (tmp_path / "sub/a.xml").unlink()
    assert find_report(tmp_path).missing == (f"any file in {tmp_path}",)
    assert find_report(tmp_path / "x").missing == (f"the report directory {tmp_path}/x",)
