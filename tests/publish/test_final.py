"""A prerelease becomes a release: new names and pins, nothing else, and only on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.publish.conftest import Tasks
from tests.publish.promotable import FAMILIES, TARGETS, PromotableRun
from tests.python_files import install, installed
from tests.running import tree
from tests.wheel_makers import TARGETS as SELECTOR_TARGETS
from tests.wheel_makers import make_run, make_selector
from therock_outputs.errors import UsageError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import read_catalogue, read_latest
from therock_outputs.publish.promotion import final_version
from therock_outputs.storage import LocalStorage, Upload

RC = "7.13.0rc2"
RELEASE = ("--release-type", "release")
TARBALLS = StorageLocation("therock-release-tarball", "v4/tarball/")
WHEELS = StorageLocation("therock-release-python", "v4/whl/")


@pytest.fixture
def run(storage: LocalStorage) -> PromotableRun:
    return PromotableRun.of(storage, RC, release_type="prerelease")


def test_prerelease_becomes_the_final_version(
    tasks: Tasks, run: PromotableRun, storage: LocalStorage, staging: Path, tmp_path: Path
) -> None:
    tarballs = run.put_tarballs()
    run.put_wheels()
    run.put_packages(tmp_path / "native", rpms=False)
    done = tasks.promote(*RELEASE, "--yes", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["version"], report["promoted_version"]) == (RC, "7.13.0")
    for name, data in tarballs.items():
        assert storage.read(TARBALLS / name.replace("rc2", "")) == data
    assert read_latest(storage, TARBALLS).version == "7.13.0"
    named = {entry.name for entry in read_catalogue(storage, WHEELS)}
    assert len(named) == 5
    assert not any("rc2" in name for name in named)
    assert not (staging / "therock-release-packages").exists()
    [left_out] = report["left_out"]
    assert left_out["name"] == "deb packages"
    assert "build them anew with --package-version 7.13.0" in left_out["why"]
    index = (staging / "therock-release-python/v4/whl/simple").as_uri() + "/"
    for judge in ("pip", "uv"):
        install(judge, tmp_path / judge, "--index-url", index, "rocm-sdk-device-gfx942")
        assert installed(tmp_path / judge) == {
            "rocm_sdk_device_gfx942-7.13.0", "rocm_sdk_libraries-7.13.0",
        }  # fmt: skip
    before = tree(staging)
    assert tasks.promote(*RELEASE, "--yes").code == 0
    assert tree(staging) == before


def test_nothing_happens_without_yes(
    tasks: Tasks, run: PromotableRun, staging: Path, tmp_path: Path
) -> None:
    run.put_tarballs()
    run.put_wheels()
    before = tree(staging)
    done = tasks.promote(*RELEASE)
    assert done.code == 2
    assert f"{RC} would become 7.13.0 for good; give --yes to do it" in done.err
    assert "made anew" in done.out
    dry = tasks.promote(*RELEASE, "--dry-run")
    assert dry.code == 0, dry.err
    assert "rocm_sdk_core-7.13.0-py3-none-linux_x86_64.whl" in dry.out
    assert tree(staging) == before
    assert not (tmp_path / "build").exists()


def test_only_some_targets_are_kept(
    tasks: Tasks, run: PromotableRun, storage: LocalStorage, tmp_path: Path, staging: Path
) -> None:
    assert SELECTOR_TARGETS == TARGETS
    run.put_tarballs()
    make_run(tmp_path / "run", RC)
    files = [path for path in sorted((tmp_path / "run").iterdir()) if path.is_file()]
    storage.upload([Upload(path, run.root.python(path.name)) for path in files])
    build_indexes(storage, run.root.python_files())
    done = tasks.promote(*RELEASE, "--yes", "--multi-arch-targets", "gfx94X-dcgpu", "--json")
    assert done.code == 0, done.err
    names = {entry.name for entry in read_catalogue(storage, WHEELS)}
    assert "rocm_sdk_device_gfx942-7.13.0-py3-none-any.whl" in names
    assert not any("gfx1100" in name for name in names)
    expected = tmp_path / "expected"
    expected.mkdir()
    selector = storage.read(WHEELS / "rocm-7.13.0.tar.gz")
    full = make_selector(expected, "7.13.0").read_bytes()
    assert selector != full
    tarballs = {entry.target for entry in read_catalogue(storage, TARBALLS)}
    assert tarballs == {"gfx94X-dcgpu"}
    why = {item["name"]: item["why"] for item in json.loads(done.out)["left_out"]}
    assert why[f"therock-dist-linux-multiarch-{RC}.tar.gz"] == "is for targets that are left out"
    again = tasks.promote(*RELEASE, "--yes", "--multi-arch-targets", "gfx906")
    assert again.code == 2
    assert "the run has nothing for gfx906; --multi-arch-targets takes gfx1100, gfx942" in again.err


def test_wheels_of_an_unsplit_run_become_final_in_each_family(
    tasks: Tasks, run: PromotableRun, storage: LocalStorage, staging: Path, tmp_path: Path
) -> None:
    run.put_family_wheels()
    done = tasks.promote(*RELEASE, "--yes", "--multi-arch-targets", "gfx94X-dcgpu")
    assert done.code == 0, done.err
    families = sorted(path.name for path in (staging / "therock-release-python/v3/whl").iterdir())
    assert families == [FAMILIES[0]]
    index = staging / f"therock-release-python/v3/whl/{FAMILIES[0]}/simple"
    install("uv", tmp_path / "site", "--index-url", index.as_uri() + "/", "rocm")
    assert installed(tmp_path / "site") == {
        "rocm-7.13.0", "rocm_sdk_core-7.13.0", "rocm_sdk_libraries_gfx94x_dcgpu-7.13.0",
    }  # fmt: skip


def test_other_bytes_under_a_final_name_are_refused(
    tasks: Tasks, run: PromotableRun, storage: LocalStorage
) -> None:
    run.put_wheels()
    assert tasks.promote(*RELEASE, "--yes").code == 0
    later = PromotableRun.of(storage, "7.13.0rc3", run_id="78", release_type="prerelease")
    later.put_wheels(content=b"# other\n")
    page = storage.read(WHEELS / "simple/rocm/index.html")
    done = tasks.promote(*RELEASE, "--yes", "--run-id", "78")
    assert done.code == 1
    assert "is published with " in done.err
    assert storage.read(WHEELS / "simple/rocm/index.html") == page


@pytest.mark.parametrize(
    ("version", "asked", "expected"),
    [
        ("7.13.0rc2", None, "7.13.0"),
        ("7.13.0rc2", "7.13.0", "7.13.0"),
        ("7.13.0rc2", "7.13.0.post1", "7.13.0.post1"),
    ],
)
def test_final_version_is_the_candidates(version: str, asked: str | None, expected: str) -> None:
    assert final_version(version, asked) == expected


@pytest.mark.parametrize(
    ("version", "asked", "words"),
    [
        ("7.13.0", None, "only a release candidate"),
        ("7.13.0a20251124", None, "give the --run-id of a prerelease"),
        ("7.13.0rc2+local", None, "only a release candidate"),
        ("7.13.0rc2", "7.13.1", "'7.13.1' is no final version of 7.13.0rc2"),
        ("7.13.0rc2", "7.13.0rc3", "it is 7.13.0, or 7.13.0.post1"),
        ("7.13.0rc2", "7.13", "is no final version"),
        ("7.13.0rc2", "seven", "is no final version"),
    ],
)
def test_what_is_no_final_version_is_refused(version: str, asked: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        final_version(version, asked)


def test_native_packages_of_a_candidate_alone_are_refused(
    tasks: Tasks, run: PromotableRun, tmp_path: Path
) -> None:
    run.put_packages(tmp_path / "native", rpms=False)
    done = tasks.promote(*RELEASE, "--only", "packages", "--yes")
    assert done.code == 2
    assert "are never published as final; build them anew" in done.err
    done = tasks.promote(*RELEASE, "--package-version", RC, "--yes")
    assert done.code == 1
    assert "is to be promoted (deb packages: those of a release candidate" in done.err
