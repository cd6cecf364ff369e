"""The task ``promote`` in a staging directory: what lies where, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.indexes.repositories.site import keyring
from tests.publish.conftest import Tasks
from tests.publish.promotable import FAMILIES, TARGETS, PromotableRun
from tests.python_files import install, installed
from tests.running import tree
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import read_catalogue, read_latest
from therock_outputs.storage import LocalStorage, Upload

NIGHTLY = "7.13.0a20251124"
TARBALLS = StorageLocation("therock-nightly-tarball", "v4/tarball/")
WHEELS = StorageLocation("therock-nightly-python", "v4/whl/")
DEBS = StorageLocation("therock-nightly-packages", "deb/")


def test_everything_of_a_run_is_promoted(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    tarballs, wheels = run.put_tarballs(), run.put_wheels()
    run.put_packages(tmp_path / "native")
    done = tasks.promote("--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["version"], report["promoted_version"]) == (NIGHTLY, NIGHTLY)
    assert report["is_done"] is True
    for name, data in tarballs.items():
        assert storage.read(TARBALLS / name) == data
    assert set(storage.read(TARBALLS / "SHA256SUMS").decode().split()[1::2]) == set(tarballs)
    page = storage.read(WHEELS / "simple/rocm-sdk-core/index.html").decode()
    assert f"rocm_sdk_core-{NIGHTLY}-py3-none-linux_x86_64.whl#sha256=" in page
    latest = read_latest(storage, WHEELS)
    assert latest.version == NIGHTLY
    assert {entry.name for entry in latest.files} == set(wheels)
    assert {entry.target for entry in latest.files} == {None, *TARGETS}
    debs = read_catalogue(storage, DEBS)
    assert [(entry.kind, entry.path) for entry in debs] == [
        ("deb", f"20251124-77/pool/main/rocm-{name}_7.13.0~20251124-1_amd64.deb") for name in "ab"
    ]
    rpms = read_catalogue(storage, StorageLocation(DEBS.bucket, "rpm/"))
    assert all(entry.path.startswith("20251124-77/x86_64/rocm-") for entry in rpms)
    for place, entries in ((DEBS, debs), (WHEELS, latest.files)):
        for entry in entries:
            assert storage.sha256(entry.location(place)) == entry.sha256
    kinds = [place["part"] for place in report["places"]]
    assert kinds == ["tarballs", "wheels", "packages", "packages"]


def test_promoting_again_changes_nothing(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_tarballs()
    run.put_wheels()
    run.put_packages(tmp_path / "native", rpms=False)
    assert tasks.promote().code == 0
    before = tree(staging)
    done = tasks.promote()
    assert done.code == 0, done.err
    assert tree(staging) == before
    assert [line.split()[1:3] for line in done.out.splitlines()[2:5]] == [
        ["3", "3"], ["5", "5"], ["2", "2"],
    ]  # fmt: skip


def test_dry_run_shows_each_file_with_its_size_and_writes_nothing(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    tarballs = run.put_tarballs()
    run.put_packages(tmp_path / "native", rpms=False)
    before = tree(tmp_path)
    done = tasks.promote("--dry-run")
    assert done.code == 0, done.err
    for name in tarballs:
        assert re.search(rf"^ *\d+ B +copied +{re.escape(name)}$", done.out, re.MULTILINE)
    assert "rocm-a_7.13.0~20251124-1_amd64.deb" in done.out
    assert "5 of 5 files, " in done.out
    assert tree(tmp_path) == before


def test_two_runs_lie_beside_each_other_and_latest_is_the_newer(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    newer = PromotableRun.of(storage, NIGHTLY)
    newer.put_tarballs()
    newer.put_wheels()
    older = PromotableRun.of(storage, "7.13.0a20251101", run_id="66")
    older.put_tarballs()
    older.put_wheels()
    assert tasks.promote().code == 0
    assert tasks.promote("--run-id", "66").code == 0
    entries = read_catalogue(storage, TARBALLS)
    assert [entry.version for entry in entries] == [NIGHTLY] * 3 + ["7.13.0a20251101"] * 3
    assert read_latest(storage, TARBALLS).version == NIGHTLY
    assert len(storage.read(TARBALLS / "SHA256SUMS").splitlines()) == 6
    page = storage.read(WHEELS / "simple/rocm/index.html").decode()
    assert page.count("<a ") == 2


@pytest.mark.parametrize("judge", ["pip", "uv"])
@pytest.mark.parametrize("layout", ["classic", "product"])
def test_promoted_wheels_install(
    tasks: Tasks, storage: LocalStorage, tmp_path: Path, judge: str, layout: str
) -> None:
    PromotableRun.of(storage, NIGHTLY).put_wheels()
    done = tasks.promote("--layout", layout, "--json")
    assert done.code == 0, done.err
    index = Path(json.loads(done.out)["places"][0]["index"])
    assert str(index).endswith("v4/whl/simple" if layout == "classic" else "core/whl-next")
    pre = "--pre" if judge == "pip" else "--prerelease=allow"
    target = tmp_path / "site"
    install(judge, target, "--index-url", index.as_uri() + "/", pre, "rocm")
    assert installed(target) == {f"rocm-{NIGHTLY}", f"rocm_sdk_core-{NIGHTLY}"}


def test_wheels_of_an_unsplit_run_go_to_each_family_with_the_generic_ones(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    PromotableRun.of(storage, NIGHTLY).put_family_wheels()
    done = tasks.promote("--only", "wheels")
    assert done.code == 0, done.err
    for family in FAMILIES:
        place = StorageLocation("therock-nightly-python", f"v3/whl/{family}/")
        names = {entry.name for entry in read_catalogue(storage, place)}
        libraries = f"rocm_sdk_libraries_{family.lower().replace('-', '_')}"
        assert names == {
            f"rocm_sdk_core-{NIGHTLY}-py3-none-linux_x86_64.whl",
            f"{libraries}-{NIGHTLY}-py3-none-linux_x86_64.whl",
            f"rocm-{NIGHTLY}.tar.gz",
        }
    page = staging / "therock-nightly-python/v3/whl/gfx94X-dcgpu/simple/"
    install("uv", tmp_path / "site", "--index-url", page.as_uri() + "/", "--prerelease=allow",
            "rocm")  # fmt: skip
    assert len(installed(tmp_path / "site")) == 3
    done = tasks.promote("--only", "wheels", "--layout", "product")
    assert (done.code, "wheels by family have no place" in done.err) == (2, True)


def test_asan_build_has_places_of_its_own_and_no_wheels(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_tarballs()
    run.put_wheels()
    run.put_packages(tmp_path / "native", rpms=False)
    done = tasks.promote("--build-variant", "asan")
    assert done.code == 0, done.err
    place = StorageLocation(TARBALLS.bucket, "v4/tarball-asan/")
    assert read_latest(storage, place).version == NIGHTLY
    debs = StorageLocation(DEBS.bucket, "packages-asan/deb/")
    assert len(read_catalogue(storage, debs)) == 2
    assert not (staging / "therock-nightly-python").exists()
    done = tasks.promote("--build-variant", "asan", "--only", "wheels")
    assert (done.code, "the asan variant has no wheels" in done.err) == (2, True)


def test_only_chooses(tasks: Tasks, staging: Path, storage: LocalStorage) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_tarballs()
    run.put_wheels()
    assert tasks.promote("--only", "tarballs").code == 0
    assert not (staging / "therock-nightly-python").exists()
    done = tasks.promote("--only", "packages")
    assert done.code == 1
    assert "has nothing to promote; release the run first" in done.err


def test_windows_joins_linux_and_each_keeps_its_latest(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    linux = PromotableRun.of(storage, "7.13.0a20251123")
    windows = PromotableRun.of(storage, NIGHTLY, run_id="78", platform="windows")
    linux.put_tarballs(["gfx110X-all"])
    windows.put_tarballs(["gfx110X-all"])
    assert tasks.promote().code == 0
    done = tasks.promote("--run-id", "78", "--platform", "windows")
    assert done.code == 0, done.err
    latest = read_latest(storage, TARBALLS)
    assert latest.version == NIGHTLY
    assert [(entry.platform, entry.version) for entry in latest.files] == [
        ("windows", NIGHTLY), ("linux", "7.13.0a20251123"),
    ]  # fmt: skip


# ------------------------------------------------------------------------------ refusals


def test_other_bytes_under_a_published_name_are_refused_and_change_nothing(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    PromotableRun.of(storage, NIGHTLY).put_tarballs()
    assert tasks.promote().code == 0
    before = tree(staging / TARBALLS.bucket)
    for number, content in (("78", "!"), ("79", "other bytes")):
        other = PromotableRun.of(storage, NIGHTLY, run_id=number)
        other.put_tarballs(content=content)
        done = tasks.promote("--run-id", number)
        assert done.code == 1
        assert "is published with " in done.err
        assert "give the new file another" in done.err
        assert tree(staging / TARBALLS.bucket) == before


def test_set_that_is_not_closed_is_not_promoted(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    for name in run.put_wheels(index=False):
        if "gfx942" in name:
            storage.delete(run.root.python(name))
    done = tasks.promote()
    assert done.code == 1
    assert f"rocm-{NIGHTLY}.tar.gz requires rocm-sdk-device-gfx942=={NIGHTLY}" in done.err
    assert not (staging / "therock-nightly-python").exists()


def test_file_that_its_sums_contradict_is_not_promoted(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    name = next(iter(run.put_tarballs()))
    path = run.root.tarball(name).local_path(staging)
    path.write_bytes(path.read_bytes()[::-1])
    done = tasks.promote()
    assert done.code == 1
    assert f"{name} has SHA-256 " in done.err
    assert "by SHA256SUMS beside it; upload it again" in done.err
    assert not (staging / TARBALLS.bucket).exists()


def test_file_that_the_sums_name_must_be_there(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    name = next(iter(run.put_tarballs()))
    storage.delete(run.root.tarball(name))
    done = tasks.promote()
    assert (done.code, f"names {name}, which is not there; upload it again" in done.err) == (
        1,
        True,
    )


def test_run_of_several_versions_needs_a_choice(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_tarballs(["gfx942"])
    other = b"other"
    storage.upload(
        [Upload(other, run.root.tarball("therock-dist-linux-gfx942-7.13.0a20251125.tar.gz"))]
    )
    done = tasks.promote()
    assert done.code == 2
    assert "has several versions: 7.13.0a20251124, 7.13.0a20251125; choose one" in done.err
    done = tasks.promote("--package-version", "7.13.0a20251125")
    assert done.code == 0, done.err
    assert [entry.version for entry in read_catalogue(storage, TARBALLS)] == ["7.13.0a20251125"]
    assert f"therock-dist-linux-gfx942-{NIGHTLY}.tar.gz  is not of version" in done.out
    done = tasks.promote("--package-version", "7.14.0")
    assert (done.code, "has nothing of version 7.14.0, only 7.13.0a2" in done.err) == (1, True)


def test_file_that_an_index_names_and_that_is_damaged_is_told(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    PromotableRun.of(storage, "7.13.0a20251101", run_id="66").put_tarballs(["gfx942"])
    PromotableRun.of(storage, NIGHTLY).put_tarballs(["gfx942"])
    assert tasks.promote("--run-id", "66").code == 0
    old = TARBALLS / "therock-dist-linux-gfx942-7.13.0a20251101.tar.gz"
    old.local_path(staging).write_bytes(b"cut")
    done = tasks.promote()
    assert done.code == 1
    assert f"{old.s3_uri} has 3 bytes and 7 by the catalogue beside it" in done.err
    storage.delete(old)
    done = tasks.promote()
    assert done.code == 1
    assert f"{old.s3_uri} is named by an index of {TARBALLS.s3_uri} and is not there" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--release-type", "ci"), "release type ci is not promoted in the classic layout"),
        (("--dest-version", "7.13.0"), "--dest-version is for --release-type release"),
        (("--multi-arch-targets", "gfx942"), "--multi-arch-targets is for --release-type release"),
        (("--only", "everything"), "--only takes tarballs, wheels, packages"),
        (("--date", "yesterday"), "is not a calendar date as YYYYMMDD"),
        (("--release-type", "release", "--layout", "product"), "release is not promoted in the p"),
    ],
)
def test_flags_that_mean_nothing_are_usage_errors(
    tasks: Tasks,
    staging: Path,
    storage: LocalStorage,
    words: tuple[str, ...],
    message: str,
) -> None:
    PromotableRun.of(storage, "7.13.0.dev0+abcdef12").put_tarballs(["gfx942"])
    done = tasks.promote(*words)
    assert (done.code, message in done.err) == (2, True), done.err


# --------------------------------------------------------------------------------- dates


def test_date_of_a_version_without_one_stays_when_the_promotion_is_repeated(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, "7.13.0.dev0+abcdef12", release_type="dev")
    run.put_tarballs(["gfx942"])
    run.put_packages(tmp_path / "native", rpms=False)
    own = ("--work-dir", tmp_path / "other")
    done = tasks.promote("--date", "20260102", *own, "--release-type", "dev")
    assert done.code == 0, done.err
    before = tree(staging)
    assert tasks.promote("--release-type", "dev").code == 0
    assert tree(staging) == before
    assert (staging / "therock-dev-packages/deb/20260102-77/dists/stable/Release").is_file()


def test_interrupted_promotion_remembers_its_date(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, "7.13.0.dev0+abcdef12", release_type="dev")
    run.put_tarballs(["gfx942"])
    work = tmp_path / "work"
    work.mkdir()
    remembered = work / "promotion-date.json"
    remembered.write_text(json.dumps({"run_id": "77", "date": "20260103"}))
    done = tasks.promote("--work-dir", work, "--release-type", "dev")
    assert done.code == 0, done.err
    place = StorageLocation("therock-dev-tarball", "v4/tarball/")
    assert [entry.date for entry in read_catalogue(storage, place)] == ["20260103"]


def test_native_packages_alone_take_the_version_of_the_manifest_or_the_one_asked_for(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_packages(tmp_path / "native", rpms=False)
    done = tasks.promote()
    assert (done.code, "give --package-version" in done.err) == (2, True)
    manifest = json.dumps({"rocm_package_version": NIGHTLY}).encode()
    storage.upload([Upload(manifest, run.root.manifest())])
    assert tasks.promote().code == 0
    assert {entry.version for entry in read_catalogue(storage, DEBS)} == {NIGHTLY}


def test_packages_without_metadata_are_half_a_repository(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    run = PromotableRun.of(storage, NIGHTLY)
    run.put_tarballs(["gfx942"])
    storage.upload([Upload(b"x", run.root.deb_repository() / "pool/main/a_1_amd64.deb")])
    done = tasks.promote()
    assert (done.code, "Release is not there; publish packages there first" in done.err) == (
        1,
        True,
    )


def test_reasons_name_each_place_and_its_write_role(
    tasks: Tasks, staging: Path, storage: LocalStorage
) -> None:
    PromotableRun.of(storage, NIGHTLY).put_tarballs(["gfx942"])
    done = tasks.promote("-v")
    assert f"written: {TARBALLS.s3_uri} ({staging}/therock-nightly-tarball/v4/tarball" in done.err
    assert "write role: arn:aws:iam::692859939525:role/therock-nightly" in done.err


def test_step_outputs_and_summary_say_where_everything_is(
    tasks: Tasks,
    staging: Path,
    storage: LocalStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    PromotableRun.of(storage, NIGHTLY).put_wheels()
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert tasks.promote().code == 0
    outputs = (tmp_path / "GITHUB_OUTPUT").read_text()
    assert f"promoted_version={NIGHTLY}\n" in outputs
    assert "v4/whl/simple" in outputs
    assert f"## Promoted {NIGHTLY} to nightly" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()


def test_signed_repository_stays_signed(
    tasks: Tasks, staging: Path, storage: LocalStorage, tmp_path: Path
) -> None:
    for number, version in (("71", "7.13.0rc1"), ("72", "7.13.0rc2")):
        run = PromotableRun.of(storage, version, run_id=number, release_type="prerelease")
        run.put_packages(tmp_path / number, rpms=False)
        manifest = json.dumps({"rocm_package_version": version}).encode()
        storage.upload([Upload(manifest, run.root.manifest())])
    prerelease = ("--release-type", "prerelease", "--run-id")
    with (
        TemporaryDirectory(prefix="keys-") as top,
        keyring(Path(top, "home"), ("Tester <a@example.com>", "ed25519")) as home,
    ):
        export = ["gpg", "--homedir", str(home), "--armor", "--export-secret-keys"]
        key = tmp_path / "key.asc"
        key.write_bytes(subprocess.run(export, check=True, capture_output=True).stdout)
    done = tasks.promote(*prerelease, "71", "--sign-key", key)
    assert done.code == 0, done.err
    dists = staging / "therock-prerelease-packages/v3/packages/deb/dists/stable"
    assert (dists / "InRelease").is_file()
    before = tree(staging)
    done = tasks.promote(*prerelease, "72")
    assert done.code == 1
    assert "is signed, and its users would refuse it unsigned; give --sign-key" in done.err
    assert tree(staging) == before
    assert tasks.promote(*prerelease, "72", "--sign-key", key).code == 0
    assert "rc2" in (dists / "main/binary-amd64/Packages").read_text()
