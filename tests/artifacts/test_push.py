from __future__ import annotations

import hashlib
import os
import pickle
import threading
from pathlib import Path

import pytest

from therock_outputs.artifacts.archives import open_archive
from therock_outputs.artifacts.names import parse_sha256sum
from therock_outputs.artifacts.push import PushedArchive, Pusher, PushPlan, plan_push
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutputsError,
    UsageError,
)
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.storage import DryRunStorage, LocalStorage, Outcome

TOPOLOGY = Topology.load()
ROOT = WorkflowOutputRoot.for_local()
STAGE = "math-libs/BLAS/rocBLAS/stage"


def add_directory(build: Path, stem: str, content: str = "content") -> Path:
    directory = build / "artifacts" / stem
    (directory / STAGE / "lib").mkdir(parents=True)
    (directory / STAGE / "lib" / "file").write_text(content + stem)
    (directory / "artifact_manifest.txt").write_text(f"{STAGE}\nnothing/here/stage\n")
    return directory


def add_archive(build: Path, filename: str, content: bytes = b"packed", line: str = "{}") -> Path:
    path = build / "artifacts" / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(filename + ".sha256sum").write_text(line.format(digest))
    return path


def plan(build: Path, *stages: str) -> PushPlan:
    return plan_push(build, ROOT, topology=TOPOLOGY, stages=stages)


def push(tmp_path: Path, *stages: str) -> tuple[PushedArchive, ...]:
    pusher = Pusher(LocalStorage(tmp_path / "staging"), tmp_path / "work", mtime=0)
    return pusher.execute(plan(tmp_path / "build", *stages))


def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "staging" / "local-linux"


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_directories_are_packed_and_uploaded_with_their_digests(tmp_path: Path) -> None:
    for stem in ("blas_lib_gfx942", "base_run_generic", "blas_dev_generic"):
        add_directory(tmp_path / "build", stem)
    pushed = push(tmp_path)
    assert [p.name.artifact.stem for p in pushed] == [
        "base_run_generic",
        "blas_dev_generic",
        "blas_lib_gfx942",
    ]
    for item in pushed:
        path = run_dir(tmp_path) / item.name.filename
        assert item.location == ROOT.archive(path.name)
        assert item.outcome is Outcome.WRITTEN
        assert item.size == path.stat().st_size
        sums = path.with_name(path.name + ".sha256sum").read_text()
        assert parse_sha256sum(sums, path.name) == item.sha256
        assert item.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        with open_archive(path) as reader:
            assert "lib/file" in [member.path for member in reader]
    assert len(list(run_dir(tmp_path).iterdir())) == 6
    assert list((tmp_path / "work").iterdir()) == []


def test_pushing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    push(tmp_path)
    before = snapshot(run_dir(tmp_path))
    assert {p.outcome for p in push(tmp_path)} == {Outcome.SAME}
    assert snapshot(run_dir(tmp_path)) == before


def test_pushing_other_content_under_a_published_name_is_refused(tmp_path: Path) -> None:
    directory = add_directory(tmp_path / "build", "blas_lib_gfx942")
    push(tmp_path)
    before = snapshot(run_dir(tmp_path))
    (directory / STAGE / "lib" / "file").write_text("other")
    with pytest.raises(ConflictError, match="blas_lib_gfx942"):
        push(tmp_path)
    assert snapshot(run_dir(tmp_path)) == before


def test_push_that_was_interrupted_before_the_digest_is_completed(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    push(tmp_path)
    before = snapshot(run_dir(tmp_path))
    (run_dir(tmp_path) / "blas_lib_gfx942.tar.zst.sha256sum").unlink()
    push(tmp_path)
    assert snapshot(run_dir(tmp_path)) == before


@pytest.mark.parametrize("line", ["{}", "{}\n", "{}  base_lib_generic.tar.xz\n"])
def test_archive_that_is_there_is_taken_as_it_is(tmp_path: Path, line: str) -> None:
    path = add_archive(tmp_path / "build", "base_lib_generic.tar.xz", line=line)
    [pushed] = push(tmp_path)
    assert pushed.name.filename == path.name
    published = snapshot(run_dir(tmp_path))
    assert published == snapshot(path.parent)


def test_archive_is_taken_rather_than_its_directory(tmp_path: Path) -> None:
    directory = add_directory(tmp_path / "build", "base_lib_generic")
    os.utime(directory / "artifact_manifest.txt", (1000, 1000))
    add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    [pushed] = push(tmp_path)
    assert pushed.name.filename == "base_lib_generic.tar.xz"


def test_directory_is_packed_when_its_archive_is_older(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "base_lib_generic")
    archive = add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    os.utime(archive, (1000, 1000))
    [pushed] = push(tmp_path)
    assert pushed.name.filename == "base_lib_generic.tar.zst"


def test_archive_is_taken_when_its_directory_has_no_manifest(tmp_path: Path) -> None:
    directory = add_directory(tmp_path / "build", "base_lib_generic")
    (directory / "artifact_manifest.txt").unlink()
    add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    [pushed] = push(tmp_path)
    assert pushed.name.filename == "base_lib_generic.tar.xz"


def test_zst_is_taken_rather_than_xz(tmp_path: Path) -> None:
    for suffix in ("xz", "zst"):
        add_archive(tmp_path / "build", f"base_lib_generic.tar.{suffix}", suffix.encode())
    [pushed] = push(tmp_path)
    assert pushed.name.filename == "base_lib_generic.tar.zst"


def test_stage_means_what_it_makes(tmp_path: Path) -> None:
    for stem in ("blas_lib_gfx942", "base_lib_generic", "rccl_lib_generic"):
        add_directory(tmp_path / "build", stem)
    chosen = plan(tmp_path / "build", "math-libs", "comm-libs")
    assert [unit.name.artifact.name for unit in chosen.units] == ["rccl", "blas"]
    assert chosen.skipped == (("base_lib_generic", "not made by stage math-libs or comm-libs"),)
    assert len(plan(tmp_path / "build", "all").units) == 3


def test_plan_says_what_is_read_and_where_it_goes(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942", "x")
    add_archive(tmp_path / "build", "base_lib_generic.tar.zst", b"12345")
    chosen = plan(tmp_path / "build")
    assert [unit.size for unit in chosen.units] == [5, len("xblas_lib_gfx942")]
    assert chosen.size == sum(unit.size for unit in chosen.units)
    assert chosen.units[1].target == ROOT.archive("blas_lib_gfx942.tar.zst")
    assert pickle.loads(pickle.dumps(chosen)) == chosen  # noqa: S301 - our own


def test_dry_run_uploads_nothing(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    storage = DryRunStorage(LocalStorage(tmp_path / "staging"))
    [pushed] = Pusher(storage, tmp_path / "work", mtime=0).execute(plan(tmp_path / "build"))
    assert pushed.outcome is Outcome.PLANNED
    assert not (tmp_path / "staging").exists()


def test_what_is_no_artifact_is_let_be(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    artifacts = tmp_path / "build" / "artifacts"
    (artifacts / "notes").mkdir()
    (artifacts / ".cache_of_mine").mkdir()
    (artifacts / "build.log").touch()
    (artifacts / "gone_lib_generic.tar.xz.sha256sum").touch()
    assert len(plan(tmp_path / "build").units) == 1


@pytest.mark.parametrize("name", ["blas_libs_generic", "a_b_c_d", "blas_lib_..-x", "blas_lib_g f"])
def test_directory_whose_name_is_no_artifact_is_refused(tmp_path: Path, name: str) -> None:
    add_directory(tmp_path / "build", name)
    with pytest.raises(IntegrityError, match=r"artifacts: .*; rename or remove it"):
        plan(tmp_path / "build")


def test_archive_whose_name_is_no_artifact_is_refused(tmp_path: Path) -> None:
    add_archive(tmp_path / "build", "blas_libs_generic.tar.zst")
    with pytest.raises(IntegrityError, match=r"'blas_libs_generic' .*; rename or remove it"):
        plan(tmp_path / "build")


def test_directory_without_a_manifest_is_refused(tmp_path: Path) -> None:
    directory = add_directory(tmp_path / "build", "blas_lib_gfx942")
    (directory / "artifact_manifest.txt").unlink()
    with pytest.raises(NotFoundError, match="built to its end"):
        plan(tmp_path / "build")


def test_archive_without_a_digest_is_refused(tmp_path: Path) -> None:
    path = add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    path.with_name(path.name + ".sha256sum").unlink()
    with pytest.raises(NotFoundError, match=r"cannot be verified: base_lib_generic\.tar\.xz\.sha"):
        plan(tmp_path / "build")


def test_archive_with_a_malformed_digest_is_refused(tmp_path: Path) -> None:
    add_archive(tmp_path / "build", "base_lib_generic.tar.xz", line="{}  other.tar.xz")
    with pytest.raises(IntegrityError, match="is the digest of another file"):
        plan(tmp_path / "build")


def test_archive_with_a_wrong_digest_is_refused_and_not_uploaded(tmp_path: Path) -> None:
    path = add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    path.write_bytes(b"changed")
    with pytest.raises(IntegrityError, match=r"its SHA-256 is .* says; build it again"):
        push(tmp_path)
    assert not run_dir(tmp_path).exists()


def test_archive_that_vanishes_before_it_is_read_is_told(tmp_path: Path) -> None:
    path = add_archive(tmp_path / "build", "base_lib_generic.tar.xz")
    chosen = plan(tmp_path / "build")
    path.unlink()
    pusher = Pusher(LocalStorage(tmp_path / "staging"), tmp_path / "work", mtime=0)
    with pytest.raises(OutputsError, match=r"cannot read .*No such file"):
        pusher.execute(chosen)


def test_directory_that_changes_meanwhile_is_not_uploaded(tmp_path: Path) -> None:
    directory = add_directory(tmp_path / "build", "blas_lib_gfx942")
    late = directory / STAGE / "late"
    pusher = Pusher(
        LocalStorage(tmp_path / "staging"),
        tmp_path / "work",
        mtime=0,
        progress=lambda _label, _count: late.touch(),
    )
    with pytest.raises(OutputsError, match="changed while it was packed"):
        pusher.execute(plan(tmp_path / "build"))
    assert not run_dir(tmp_path).exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_nothing_to_push_is_an_error_that_shows_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"artifacts cannot be listed .* a build tree"):
        plan(tmp_path / "build")
    (tmp_path / "build" / "artifacts").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="holds no artifacts; has the build ended"):
        plan(tmp_path / "build")
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    with pytest.raises(NotFoundError, match="nothing that stage comm-libs makes; it holds blas"):
        plan(tmp_path / "build", "comm-libs")


def test_unknown_stage_is_refused(tmp_path: Path) -> None:
    add_directory(tmp_path / "build", "blas_lib_gfx942")
    with pytest.raises(UsageError, match="did you mean math-libs"):
        plan(tmp_path / "build", "math-lib")


def test_progress_counts_the_bytes_of_the_plan(tmp_path: Path) -> None:
    for number in range(5):
        add_directory(tmp_path / "build", f"blas{number}_lib_gfx942")
    add_archive(tmp_path / "build", "base_lib_generic.tar.zst", bytes(1000))
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def count(label: str, size: int) -> None:
        with lock:
            counts[label] = counts.get(label, 0) + size

    chosen = plan(tmp_path / "build")
    Pusher(
        LocalStorage(tmp_path / "staging"), tmp_path / "work", mtime=0, jobs=3, progress=count
    ).execute(chosen)
    manifests = 5 * len(f"{STAGE}\nnothing/here/stage\n")
    assert sum(counts.values()) == chosen.size + manifests
