"""The plan of an upload, and its order."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.publish.upload import UploadSources, execute_upload, plan_upload
from therock_outputs.storage import IfExists, LocalStorage

ROOT = WorkflowOutputRoot.for_local("local")


def _tarballs(directory: Path, **contents: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, content in contents.items():
        (directory / name).write_text(content)
        lines.append(f"{hashlib.sha256(content.encode()).hexdigest()}  {name}\n")
    (directory / "SHA256SUMS").write_text("".join(lines))
    return directory


def test_plan_says_where_everything_goes_and_what_may_be_replaced(tmp_path: Path) -> None:
    tarballs = _tarballs(tmp_path / "tarballs", a="a")
    (tarballs / "of-an-earlier-version").write_text("x")
    (tmp_path / "logs/blas").mkdir(parents=True)
    (tmp_path / "logs/blas/build.log").write_text("log")
    archive = tmp_path / "blas_lib_generic.tar.zst"
    archive.write_text("archive")
    archive.with_name(f"{archive.name}.sha256sum").write_text("digest")
    plan = plan_upload(
        ROOT,
        UploadSources(
            archives=((archive, "0" * 64),),
            tarballs=tarballs,
            logs=(tmp_path / "logs",),
            manifest=b"{}",
        ),
    )
    rules = {upload.target: upload.if_exists for upload in plan.uploads}
    assert rules == {
        ROOT.archive(archive.name): IfExists.SAME,
        ROOT.tarball("a"): IfExists.SAME,
        ROOT.logs("blas", "build.log"): IfExists.REPLACE,
        ROOT.manifest(): IfExists.REPLACE,
    }
    assert [item.target for item in plan.digests] == [ROOT.archive_digest(archive.name)]
    assert [location for location, _ in plan.sums] == [ROOT.tarball("SHA256SUMS")]
    assert plan.size == len("a" + "log" + "archive" + "{}" + "digest")


def test_sums_come_after_what_they_name(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "staging")
    tarballs = _tarballs(tmp_path / "tarballs", a="a", b="b")
    plan = plan_upload(ROOT, UploadSources(tarballs=tarballs))
    (tarballs / "b").unlink()
    with pytest.raises(NotFoundError):
        execute_upload(plan, storage, jobs=1)
    assert not storage.exists(ROOT.tarball("SHA256SUMS"))
    with pytest.raises(NotFoundError, match="run build-tarballs again"):
        plan_upload(ROOT, UploadSources(tarballs=tarballs))


def test_tarballs_of_two_jobs_share_one_file_of_sums(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "staging")
    for name in ("a", "b"):
        tarballs = _tarballs(tmp_path / name, **{name: name})
        execute_upload(plan_upload(ROOT, UploadSources(tarballs=tarballs)), storage)
    lines = storage.read(ROOT.tarball("SHA256SUMS")).decode().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["a", "b"]
    changed = _tarballs(tmp_path / "c", a="other")
    with pytest.raises(ConflictError):
        execute_upload(plan_upload(ROOT, UploadSources(tarballs=changed)), storage)
    assert storage.read(ROOT.tarball("SHA256SUMS")).decode().splitlines() == lines
