from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import archive_makers as make
from therock_outputs.artifacts.archives import open_archive
from therock_outputs.artifacts.run_contents import (
    RunManifest,
    find_manifest,
    list_run,
    read_run_manifest,
)
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.storage import LocalStorage

RUN = WorkflowOutputRoot.for_local("111")
OVERLAY = "base/aux-overlay/stage"
INSIDE = f"{OVERLAY}/share/therock/therock_manifest.json"
FULL = {
    "the_rock_commit": "f689a8e",
    "github_run_id": 24217435275,
    "rocm_package_version": "7.13.0a20260101",
    "rocm_version": "7.13.0",
    "submodules": [{"name": "rocBLAS"}],
    "flags": {"KPACK_SPLIT_ARTIFACTS": True},
}


def _base(folder: Path, *members: bytes) -> Path:
    return make.write(folder, "base_lib_generic.tar.zst", *members, stages=(OVERLAY,))


def test_a_manifest_is_read_with_what_it_has() -> None:
    assert RunManifest.parse(json.dumps(FULL).encode(), "m") == RunManifest(
        "f689a8e", "24217435275", "7.13.0a20260101", "7.13.0", kpack_split=True
    )
    assert RunManifest.parse(b"{}", "m") == RunManifest()
    assert RunManifest.parse(b'{"flags": [], "rocm_version": ""}', "m") == RunManifest()


@pytest.mark.parametrize(
    ("flag", "split"),
    [
        (True, True),
        ("ON", True),
        ("on", True),
        ("TRUE", True),
        ("1", True),
        (1, True),
        (False, False),
        ("OFF", False),
        (0, False),
        (None, False),
        ("", False),
        ([], False),
    ],
)
def test_the_split_flag_is_a_boolean_of_cmake(flag: object, *, split: bool) -> None:
    data = json.dumps({"flags": {"KPACK_SPLIT_ARTIFACTS": flag}}).encode()
    assert RunManifest.parse(data, "m").kpack_split is split


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"github_run_id": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"rocm_version": ["7"]}', "'rocm_version' in the run's manifest is not text"),
        (b'{"the_rock_commit": true}', "'the_rock_commit' in the run's manifest is not text"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem) as failure:
        RunManifest.parse(data, "base.tar.zst")
    assert str(failure.value).startswith("base.tar.zst: ")


def test_a_run_is_listed_with_archives_digests_and_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "111-linux"
    for name in (
        "blas_lib_gfx942.tar.zst",
        "blas_lib_gfx942.tar.xz",
        "amd-llvm_run_generic.tar.xz",
    ):
        make.write(folder, name)
    (folder / "amd-llvm_run_generic.tar.xz.sha256sum").unlink()
    for other in ("index.html", "notes.tar.zst", "gone_lib_generic.tar.zst.sha256sum"):
        (folder / other).write_text("x")
    (folder / "logs").mkdir()
    (folder / "logs/blas_lib_gfx942.tar.zst").write_text("no archive here")
    contents = list_run(LocalStorage(tmp_path), RUN)
    assert [(a.filename, a.digest is not None) for a in contents.archives] == [
        ("amd-llvm_run_generic.tar.xz", False),
        ("blas_lib_gfx942.tar.xz", True),
        ("blas_lib_gfx942.tar.zst", True),
    ]
    assert [location.key for location in contents.others] == [
        "111-linux/gone_lib_generic.tar.zst.sha256sum",
        "111-linux/index.html",
        "111-linux/logs/blas_lib_gfx942.tar.zst",
        "111-linux/notes.tar.zst",
    ]


def test_another_run_whose_id_begins_alike_is_not_listed(tmp_path: Path) -> None:
    make.write(tmp_path / "1111-linux", "blas_lib_gfx942.tar.zst")
    with pytest.raises(NotFoundError, match="there is no such run; check --run-id"):
        list_run(LocalStorage(tmp_path), RUN)


def test_the_manifest_comes_from_its_copy_before_the_base_archive(tmp_path: Path) -> None:
    folder = tmp_path / "111-linux"
    storage = LocalStorage(tmp_path)
    make.write(folder, "blas_lib_generic.tar.zst")
    assert read_run_manifest(storage, list_run(storage, RUN)) == RunManifest()
    _base(folder)
    assert read_run_manifest(storage, list_run(storage, RUN)) == RunManifest()
    _base(folder, make.file(f"{OVERLAY}/a"), make.file(INSIDE, b'{"rocm_version": "7.1"}'))
    assert read_run_manifest(storage, list_run(storage, RUN)).rocm_version == "7.1"
    (folder / "manifests").mkdir()
    (folder / "manifests/therock_manifest.json").write_text('{"rocm_version": "7.2"}')
    assert read_run_manifest(storage, list_run(storage, RUN)).rocm_version == "7.2"


def test_a_manifest_that_is_too_large_or_a_link_is_not_read(tmp_path: Path) -> None:
    huge = _base(tmp_path, make.header(INSIDE, size=(16 << 20) + 1))
    with open_archive(huge) as reader, pytest.raises(IntegrityError, match="has 16777217 bytes"):
        find_manifest(reader)
    link = _base(tmp_path, make.symlink(INSIDE, "other.json"))
    with open_archive(link) as reader:
        assert find_manifest(reader) is None
