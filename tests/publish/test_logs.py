"""Where logs go, the archives they travel in, and the pages that come last."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.publish.build_trees import make_build_tree
from therock_outputs.errors import StorageError, UsageError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.publish.build_logs import find_build_logs, find_report
from therock_outputs.publish.log_archives import write_log_archive
from therock_outputs.publish.logs import LogScope, execute_logs, plan_logs, plan_report
from therock_outputs.storage import IfExists, LocalStorage, SourceFile

ROOT = WorkflowOutputRoot.for_local("local")
MTIME = 1_700_000_000


def _put(build: Path, staging: Path, scope: LogScope, *, listings: bool = True) -> set[str]:
    plan = plan_logs(ROOT, scope, find_build_logs(build), listings=listings)
    execute_logs(plan, LocalStorage(staging), mtime=MTIME)
    top = staging / "local-linux"
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            file = tar.extractfile(info)
            yield info, file.read() if file else b""


# ------------------------------------------------------------------------------ scopes


@pytest.mark.parametrize(
    ("scope", "logs", "manifest"),
    [
        (LogScope("gfx94X-dcgpu"), "logs/gfx94X-dcgpu/", "manifests/gfx94X-dcgpu/"),
        (LogScope(stage="compiler"), "logs/compiler/", "manifests/"),
        (LogScope(stage="math", family="gfx110X-all"), "logs/math/gfx110X-all/", "manifests/"),
    ],
)
def test_scope_decides_the_place(scope: LogScope, logs: str, manifest: str) -> None:
    assert scope.directory(ROOT).relative_to(ROOT.root) == logs
    place = scope.manifest(ROOT).relative_to(ROOT.root)
    assert place == f"{manifest}therock_manifest.json"


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"artifact_group": "a", "stage": "b"},
        {"artifact_group": "a", "family": "b"},
        {"family": "b"},
    ],
)
def test_scope_that_says_too_much_or_too_little_is_a_usage_error(words: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        LogScope(**words)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "a\nb"])
def test_scope_never_leaves_the_logs(name: str) -> None:
    with pytest.raises(UsageError):
        LogScope(stage=name).directory(ROOT)
    with pytest.raises(UsageError):
        plan_report(ROOT, name, find_report(Path()))


# ------------------------------------------------------------------------------- upload


def test_logs_of_a_single_stage_build_lie_in_their_layout(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    before = sorted(build.rglob("*"))
    assert _put(build, tmp_path / "staging", LogScope("gfx94X-dcgpu")) == {
        "index.html",
        "logs/index.html",
        "logs/gfx94X-dcgpu/index.html",
        "logs/gfx94X-dcgpu/rocBLAS_build.log",
        "logs/gfx94X-dcgpu/ninja_logs.tar.gz",
        "logs/gfx94X-dcgpu/ccache_logs.tar.zst",
        "logs/gfx94X-dcgpu/build_observability.html",
        "logs/gfx94X-dcgpu/build_time_analysis.html",
        "logs/gfx94X-dcgpu/comp-summary.html",
        "logs/gfx94X-dcgpu/comp-summary.md",
        "logs/gfx94X-dcgpu/therock-build-prof/comp-summary.html",
        "logs/gfx94X-dcgpu/therock-build-prof/comp-summary.md",
        "logs/gfx94X-dcgpu/therock-build-prof/data/a.json",
        "manifests/index.html",
        "manifests/gfx94X-dcgpu/therock_manifest.json",
    }
    assert sorted(build.rglob("*")) == before
    page = (tmp_path / "staging/local-linux/logs/gfx94X-dcgpu/index.html").read_text()
    assert "rocBLAS_build.log" in page
    assert "the build's own page" not in page
    assert 'href="../../index.html"' in page
    assert 'href="../index.html"' in page
    top = (tmp_path / "staging/local-linux/logs/index.html").read_text()
    assert "gfx94X-dcgpu/ninja_logs.tar.gz" in top


def test_two_families_of_a_stage_lie_beside_each_other(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    for family in ("gfx942", "gfx1100"):
        scope = LogScope(stage="math-libs", family=family)
        found = _put(build, tmp_path / "staging", scope)
    assert {f"logs/math-libs/{f}/index.html" for f in ("gfx942", "gfx1100")} <= found
    page = (tmp_path / "staging/local-linux/logs/math-libs/gfx942/index.html").read_text()
    assert "gfx1100" not in page
    assert 'href="../../../index.html"' in page
    assert 'href="../../index.html"' in page


def test_logs_belong_to_the_attempt_that_writes_last(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    scope = LogScope(stage="math-libs")
    plan = plan_logs(ROOT, scope, find_build_logs(build))
    assert {upload.if_exists for upload in plan.uploads} == {IfExists.REPLACE}
    _put(build, tmp_path / "staging", scope)
    (build / "logs/rocBLAS_build.log").write_text("second attempt")
    (build / "core/clr/build/.ninja_log").write_text("second attempt")
    _put(build, tmp_path / "staging", scope)
    logs = tmp_path / "staging/local-linux/logs/math-libs"
    assert (logs / "rocBLAS_build.log").read_text() == "second attempt"
    assert b"second attempt" in [data for _, data in _members(logs / "ninja_logs.tar.gz")]


def test_without_listings_the_builds_own_page_stays(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    found = _put(build, tmp_path / "staging", LogScope("g"), listings=False)
    assert {name for name in found if name.endswith("index.html")} == {"logs/g/index.html"}
    page = tmp_path / "staging/local-linux/logs/g/index.html"
    assert page.read_text() == "<p>the build's own page</p>"


def test_archives_take_the_place_of_older_ones_in_the_tree(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    for name in ("ninja_logs.tar.gz", "ccache_logs.tar.zst"):
        (build / "logs" / name).write_text("of an earlier attempt")
    plan = plan_logs(ROOT, LogScope("g"), find_build_logs(build))
    targets = [upload.target for upload in plan.uploads]
    assert len(plan.archives) == 2
    assert not {archive.target for archive in plan.archives} & set(targets)
    (build / "math-libs/BLAS/rocBLAS/build/.ninja_log").unlink()
    (build / "core/clr/build/.ninja_log").unlink()
    plan = plan_logs(ROOT, LogScope("g"), find_build_logs(build))
    assert ROOT.group_logs("g", "ninja_logs.tar.gz") in [u.target for u in plan.uploads]


def test_nothing_is_put_where_there_is_nothing(tmp_path: Path) -> None:
    assert _put(tmp_path / "build", tmp_path / "staging", LogScope("g")) == set()


def test_report_keeps_its_index_or_gets_one(tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "results.xml").write_text("<results/>")
    storage = LocalStorage(tmp_path / "staging")

    def put() -> bytes:
        execute_logs(plan_report(ROOT, "rocblas", find_report(report)), storage, mtime=MTIME)
        return storage.read(ROOT.test_reports("rocblas", "index.html"))

    assert b"results.xml" in put()
    (report / "index.html").write_text("<p>own</p>")
    assert put() == b"<p>own</p>"
    assert b"rocblas/results.xml" in storage.read(ROOT.logs_index())


# ----------------------------------------------------------------------------- archives


def test_archives_hold_every_log_and_nothing_of_this_machine(tmp_path: Path) -> None:
    build = make_build_tree(tmp_path / "build")
    _put(build, tmp_path / "staging", LogScope("g"))
    logs = tmp_path / "staging/local-linux/logs/g"
    ninja = dict(_members(logs / "ninja_logs.tar.gz"))
    assert [info.name for info in ninja] == [
        "core/clr/build/.ninja_log",
        "math-libs/BLAS/rocBLAS/build/.ninja_log",
    ]
    ccache = dict(_members(logs / "ccache_logs.tar.zst"))
    assert {info.name: data for info, data in ccache.items()} == {
        "ccache.log": b"hit\n" * 500,
        "worker/ccache.log": b"miss\n",
    }
    for info in (*ninja, *ccache):
        assert (info.mtime, info.uid, info.gid, info.uname, info.mode) == (MTIME, 0, 0, "", 0o644)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst"])
def test_same_logs_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    archives = []
    for order, directory in enumerate((tmp_path / "one", tmp_path / "two")):
        build = make_build_tree(directory / "build")
        for path in build.rglob(".ninja_log"):
            os.utime(path, (order, order))
            path.chmod(0o600 + order)
        members = find_build_logs(build).ninja
        write_log_archive(directory / name, members[:: 1 - 2 * order], mtime=MTIME)
        archives.append((directory / name).read_bytes())
    assert archives[0] == archives[1]


def test_log_that_went_away_or_became_a_link_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    member = SourceFile(log, "a.log", 1)
    with pytest.raises(StorageError, match=r"a\.log cannot be packed .* has ended"):
        write_log_archive(tmp_path / "a.tar.gz", [member], mtime=MTIME)
    log.symlink_to("/etc/hostname")
    with pytest.raises(StorageError, match=r"a\.log cannot be packed"):
        write_log_archive(tmp_path / "a.tar.zst", [member], mtime=MTIME)


def test_log_that_shrinks_while_it_is_packed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "a.log"
    log.write_text("short")
    status = os.stat_result((0o100644, 0, 0, 1, 0, 0, 1000, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _descriptor: status)
    with pytest.raises(StorageError, match="it shrank while it was packed"):
        write_log_archive(tmp_path / "a.tar.gz", [SourceFile(log, "a.log", 5)], mtime=MTIME)


_PACK = """
import re, sys
from pathlib import Path
from therock_outputs.publish.log_archives import write_log_archive
from therock_outputs.storage import SourceFile

def peak():
    # Unlike ru_maxrss this does not begin with the size of the process that started this one.
    return int(re.search("VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

log = Path(sys.argv[1])
before = peak()
write_log_archive(log.with_suffix(".tar.zst"), [SourceFile(log, "a", 0)], mtime=0)
print(peak() - before)
"""


def test_long_logs_stream(tmp_path: Path) -> None:
    log = tmp_path / "ccache.log"
    with log.open("wb") as file:
        file.truncate(300_000_000)
    done = subprocess.run(
        [sys.executable, "-c", _PACK, str(log)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 60_000  # KiB
