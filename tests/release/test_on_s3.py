"""The chain against real S3 servers ends in the same bytes as in a staging directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.release.conftest import RUN_ID, Bucket, Store
from tests.running import finish, invoke, start, tree
from tests.servers import by_page
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import open_storage

RUN = f"{RUN_ID}-linux"


def _files(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file, by its path as a key."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_release_ends_in_the_same_objects_as_in_a_staging_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, store: Store, sample_staging: Path
) -> None:
    staging = tmp_path / "staging"
    shutil.copytree(sample_staging, staging)
    version = ("--package-version", "7.13.0.dev0+f689a8ea", "--date", "20251124")
    words = ("release", "--run-id", RUN_ID, *version)
    done = invoke(capsys, *words, "--staging-dir", staging, "--work-dir", tmp_path / "local")
    assert done.code == 0, done.err
    bucket = store.bucket("run")
    bucket.fill(sample_staging)
    on_s3 = (*words, "--bucket", bucket.name, "--work-dir", tmp_path / "work")
    before = bucket.objects()
    plan = invoke(capsys, *on_s3, "--dry-run")
    assert plan.code == 0, plan.err
    assert "fetch 64 archives, 3.9 MB" in plan.out
    assert bucket.objects() == before
    assert not (tmp_path / "work").exists()
    done = invoke(capsys, *on_s3, "--json")
    assert done.code == 0, done.err
    assert by_page(bucket.objects()) == by_page(_files(staging), store.server.name)
    report = json.loads(done.out)
    url = f"{store.server.endpoint}/{bucket.name}/{RUN}/tarballs/"
    name = "therock-dist-linux-gfx1100-7.13.0.dev0%2Bf689a8ea.tar.gz"
    assert url + name in [tarball["url"] for tarball in report["tarballs"]]
    commands = {way["what"]: way["commands"] for way in report["install"]}
    assert f"curl -fL {url}{name} | tar -xz -C rocm" in commands["a tarball"]
    index = f"{store.server.endpoint}/{bucket.name}/{RUN}/python/simple/"
    dependencies = f"{store.server.endpoint}/{bucket.name}/python-deps/simple/"
    install = f"pip install --index-url {dependencies} --extra-index-url {index}"
    requirement = "'rocm[libraries,device-gfx1100]==7.13.0.dev0+f689a8ea'"
    assert commands["Python packages"] == [f"{install} {requirement}"]
    assert report["package_index_urls"] == [index]
    again = invoke(capsys, *on_s3)
    assert "3 tarballs are there and whole; nothing to do" in again.out
    assert by_page(bucket.objects()) == by_page(_files(staging), store.server.name)


def test_steps_of_their_own_go_on_from_what_was_left(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    source, target = rclone.source(sample_staging), rclone.bucket("target")
    words = ("--run-id", RUN_ID, "--bucket", source.name, "--work-dir", tmp_path / "work")
    done = invoke(capsys, "release", *words, "--only", "tarballs")
    assert done.code == 1
    assert "fetch the run first" in done.err.splitlines()[-1]
    assert invoke(capsys, "build-tarballs", *words).code == 0
    assert invoke(capsys, "release", *words, "--only", "tarballs").code == 0
    done = invoke(capsys, "upload", *words, "--upload-bucket", target.name, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert len(report["tarballs"]) == 3
    assert report["kpack_split"] is True
    keys = set(target.objects())
    assert f"{RUN}/manifests/therock_manifest.json" in keys  # out of the base archive
    assert f"{RUN}/tarballs/SHA256SUMS" in keys
    assert f"{RUN}/blas_lib_generic.tar.zst" not in keys  # copy-artifacts does that
    archive = tmp_path / "work/archives/blas_lib_gfx942.tar.zst"
    archive.with_name(f"{archive.name}.sha256sum").write_text("0" * 64)
    done = invoke(capsys, "release", *words, "--only", "tarballs")
    assert done.code == 1
    assert "fetch the run again" in done.err.splitlines()[-1]


def test_archives_of_another_run_in_the_work_directory_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    words = ("--bucket", rclone.source(sample_staging).name, "--work-dir", tmp_path / "work")
    assert invoke(capsys, "release", "--run-id", RUN_ID, *words, "--only", "fetch").code == 0
    done = invoke(capsys, "release", "--run-id", "4712", *words, "--only", "tarballs")
    assert done.code == 1
    assert "give another --work-dir" in done.err.splitlines()[-1]


def test_prefix_replaces_what_stands_before_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    target = rclone.bucket("target")
    done = invoke(
        capsys,
        *("release", "--run-id", RUN_ID, "--bucket", rclone.source(sample_staging).name),
        *("--upload-bucket", target.name, "--upload-prefix", "try/it", "--no-listings"),
        *("--work-dir", tmp_path / "work"),
    )
    assert done.code == 0, done.err
    assert {key.split("/")[:3] == ["try", "it", RUN] for key in target.objects()} == {True}
    pages = {key for key in target.objects() if key.endswith(".html")}
    assert pages == {f"try/it/{RUN}/python/simple/index.html"}  # what pip reads is no listing


# --------------------------------------------------- S3 by way of a staging directory


def _into_staging(
    capsys: pytest.CaptureFixture[str], bucket: Bucket, staging: Path, *words: object
) -> None:
    where = ("--run-id", RUN_ID, "--bucket", bucket.name, "--staging-dir", staging)
    done = invoke(capsys, *words, *where, "--work-dir", staging.parent / "work")
    assert done.code == 0, done.err


def test_run_that_is_not_in_the_staging_directory_is_fetched_into_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rclone: Store,
    sample_staging: Path,
) -> None:
    staging, bucket = tmp_path / "staging", rclone.source(sample_staging)
    before = bucket.objects()
    _into_staging(capsys, bucket, staging, "release")
    assert bucket.objects() == before  # nothing is uploaded to S3
    fetched = tree(sample_staging).items() - tree(staging).items()
    assert {name for name, _ in fetched if not name.startswith(f"{RUN}/logs")} == set()
    assert (staging / RUN / "tarballs/SHA256SUMS").is_file()
    # From now on it is there, and nobody asks a server for it.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _nowhere())
    _into_staging(capsys, bucket, staging, "release")
    _into_staging(capsys, bucket, staging, "fetch", "--amdgpu-targets", "gfx942")
    words = ("fetch", "--run-id", RUN_ID, "--staging-dir", staging, "--include", "nothing")
    done = invoke(capsys, *words)
    assert done.code == 1  # told from what is there, without asking


def test_part_of_a_run_in_the_staging_directory_is_not_taken_for_the_whole(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rclone: Store,
    sample_staging: Path,
) -> None:
    staging, bucket = tmp_path / "staging", rclone.source(sample_staging)
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    _into_staging(capsys, bucket, staging, "fetch", "--amdgpu-targets", "gfx942")
    assert not list((staging / RUN).glob("*gfx1100*"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _nowhere())
    _into_staging(capsys, bucket, staging, "fetch", "--amdgpu-targets", "gfx942")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    _into_staging(capsys, bucket, staging, "release")
    names = {path.name for path in (staging / RUN / "tarballs").iterdir()}
    assert "therock-dist-linux-gfx1100-7.13.0.dev0.tar.gz" in names
    assert not [path for path in (staging / RUN).iterdir() if path.name.startswith(".")]


def test_damaged_record_of_a_part_asks_the_server_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    staging, bucket = tmp_path / "staging", rclone.source(sample_staging)
    _into_staging(capsys, bucket, staging, "fetch", "--amdgpu-targets", "gfx942")
    for text in ("{", '{"a": 1}', "[1]"):
        (staging / RUN / ".run.partial").write_text(text)
        _into_staging(capsys, bucket, staging, "fetch", "--amdgpu-targets", "gfx942")
    assert len(json.loads((staging / RUN / ".run.partial").read_text())) == 128


def test_parts_of_a_run_that_have_other_artifacts_only_ask_the_server(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    staging, bucket = tmp_path / "staging", rclone.source(sample_staging)
    _into_staging(capsys, bucket, staging, "fetch", "--include", "^blas_lib_gfx942")
    _into_staging(capsys, bucket, staging, "fetch", "--include", "^rand_lib_gfx942")
    where = ("--run-id", RUN_ID, "--bucket", bucket.name, "--staging-dir", staging)
    done = invoke(capsys, "fetch", *where, "--include", "nothing")
    assert done.code == 1
    assert len(list((staging / RUN).glob("*.zst"))) == 2


def test_later_step_says_fetch_first_without_asking_a_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _nowhere())
    where = ("--run-id", RUN_ID, "--staging-dir", tmp_path / "s", "--work-dir", tmp_path / "w")
    for words in (("--only", "tarballs"), ("--only", "tarballs", "--dry-run")):
        done = invoke(capsys, "release", *where, *words)
        assert done.code == 1
        assert "fetch it first" in done.err.splitlines()[-1]


def test_upload_of_logs_alone_asks_for_no_archives(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store
) -> None:
    bucket = rclone.bucket("logs")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text("x")
    words = ("upload", "--run-id", RUN_ID, "--bucket", bucket.name, "--work-dir", tmp_path / "w")
    done = invoke(capsys, *words, "--logs-dir", tmp_path / "logs")
    assert done.code == 0, done.err
    assert f"Outputs: {rclone.server.endpoint}/{bucket.name}/{RUN}/" in done.out
    assert set(bucket.objects()) == {
        f"{RUN}/{name}" for name in ("index.html", "logs/a.log", "logs/index.html")
    }


def test_fetch_to_an_output_directory_leaves_the_staging_directory_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    staging, out = tmp_path / "staging", tmp_path / "out"
    bucket = rclone.source(sample_staging)
    _into_staging(capsys, bucket, staging, "fetch", "--output-dir", out)
    assert not staging.exists()
    assert len(list(out.iterdir())) == 128


# ----------------------------------------------------------------------- several writers


def test_concurrent_uploads_of_one_run_lose_nothing(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = store.bucket("shared")
    # A run by family has no tarball of all of them, which each job would make differently.
    sample = write_sample_run(
        tmp_path / "staging", run_id=RUN_ID, targets=("gfx942", "gfx1100", "gfx90a"), split=False
    )
    processes = []
    for family in sample.families:
        words = ("--run-id", RUN_ID, "--work-dir", tmp_path / family)
        given = ("--artifacts-dir", sample.root, "--dist-amdgpu-families", family)
        assert invoke(capsys, "build-tarballs", *words, *given).code == 0
        (tmp_path / "logs" / family / family).mkdir(parents=True)
        (tmp_path / "logs" / family / family / "build.log").write_text(family)
        logs = ("--logs-dir", tmp_path / "logs" / family)
        processes.append(start("upload", *words, "--bucket", bucket.name, *logs))
    for process in processes:
        done = finish(process)
        assert done.code == 0, done.err
    sums = _read(bucket, f"{RUN}/tarballs/SHA256SUMS").splitlines()
    objects = bucket.objects()
    assert len(sums) == len(sample.families)
    for line in sums:
        digest, name = line.split("  ")
        assert objects[f"{RUN}/tarballs/{name}"] == digest
    for family in sample.families:
        assert f"{family}/" in _read(bucket, f"{RUN}/logs/index.html")
        assert f"-{family}-" in _read(bucket, f"{RUN}/tarballs/index.html")


def _read(bucket: Bucket, key: str) -> str:
    return open_storage(None).read(StorageLocation(bucket.name, key)).decode()


def _nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
