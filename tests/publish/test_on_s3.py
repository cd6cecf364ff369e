"""Promotions on real S3 servers: the same objects, failures half-way, and who may not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faulty_server import Break, Fault, faulty_server
from tests.publish.conftest import Remote, Tasks
from tests.publish.promotable import PromotableRun
from tests.python_files import install, installed
from tests.running import Done, finish, start
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import IfExists, LocalStorage, Storage, Upload

RC = "7.13.0rc2"
TARBALLS, PYTHON = "therock-prerelease-tarball", "therock-prerelease-python"
PACKAGES, PRODUCT = "therock-prerelease-packages", "therock-repo-amd-rc-core"


def put_run(
    storage: Storage, directory: Path, version: str = RC, run_id: str = "77", *, rpms: bool = False
) -> None:
    run = PromotableRun.of(storage, version, run_id=run_id, release_type="prerelease")
    run.put_tarballs(["gfx942"])
    run.put_wheels()
    run.put_packages(directory / version, ["rocm-a"], rpms=rpms)


def promote(tasks: Tasks, *words: object) -> Done:
    defaults = {"--run-id": "77", "--release-type": "prerelease", "--platform": "linux"}
    return tasks.on_s3("promote", *words, **defaults)


def test_objects_are_those_of_a_staging_directory(
    tasks: Tasks, remote: Remote, storage: LocalStorage, tmp_path: Path
) -> None:
    for where in (storage, remote.storage):
        put_run(where, tmp_path, rpms=True)
    assert tasks.promote("--release-type", "prerelease").code == 0
    done = promote(tasks)
    assert done.code == 0, done.err
    found = remote.objects(TARBALLS, PYTHON, PACKAGES)
    folded = remote.server.name == "rclone"
    for uri, data in found.items():
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        location = StorageLocation(bucket, key)
        if location.name in {"index.json", "latest.json"} and "/simple/" not in key:
            text = data.decode().replace(f'"{remote.server.endpoint}/{bucket}/', '"')
            files = json.loads(text)["files"]
            assert all(file["url"].endswith(file["path"]) for file in files)
            continue
        is_page = key.endswith("/") or (folded and not storage.exists(location))
        path = key.rstrip("/") + "/index.html" if is_page else key
        assert storage.read(StorageLocation(bucket, path)) == data, uri
    again = promote(tasks)
    assert again.code == 0, again.err
    assert remote.objects(TARBALLS, PYTHON, PACKAGES) == found


@pytest.mark.parametrize("layout", ["classic", "product"])
def test_installers_take_promoted_wheels_from_s3(
    tasks: Tasks, moto: Remote, tmp_path: Path, layout: str
) -> None:
    put_run(moto.storage, tmp_path)
    done = promote(tasks, "--only", "wheels", "--layout", layout, "--json")
    assert done.code == 0, done.err
    index = json.loads(done.out)["places"][0]["index"]
    moto.let_anybody_read(PYTHON if layout == "classic" else PRODUCT)
    for judge, pre in (("pip", "--pre"), ("uv", "--prerelease=allow")):
        install(judge, tmp_path / judge, "--index-url", index, pre, "rocm")
        assert installed(tmp_path / judge) == {f"rocm-{RC}", f"rocm_sdk_core-{RC}"}


def test_prerelease_becomes_final_on_s3(tasks: Tasks, remote: Remote, tmp_path: Path) -> None:
    put_run(remote.storage, tmp_path)
    done = promote(tasks, "--release-type", "release", "--yes", "--json")
    assert done.code == 0, done.err
    found = remote.objects("therock-release-tarball", "therock-release-python")
    wheel = "s3://therock-release-python/v4/whl/rocm_sdk_core-7.13.0-py3-none-linux_x86_64.whl"
    assert wheel in found
    assert not any(b"rc2" in data for uri, data in found.items() if uri.endswith(".html"))
    assert list((tmp_path / "build/77/promote").iterdir()) == []
    assert promote(tasks, "--release-type", "release", "--yes").code == 0
    assert remote.objects("therock-release-tarball", "therock-release-python") == found


def test_files_that_nobody_noted_a_digest_of_are_read_and_compared(
    tasks: Tasks, moto: Remote
) -> None:
    run = PromotableRun.of(moto.storage, RC, release_type="prerelease")
    name, data = next(iter(run.put_tarballs(["gfx942"]).items()))
    client = moto.storage._client.boto
    place = run.root.tarball(name)
    # As another tool uploads it.
    client.call("put_object", place.bucket, {"Key": place.key, "Body": data[::-1]})
    done = promote(tasks)
    assert done.code == 1
    assert "by SHA256SUMS beside it; upload it again" in done.err
    client.call("put_object", place.bucket, {"Key": place.key, "Body": data})
    assert promote(tasks).code == 0
    assert moto.objects(TARBALLS)[f"s3://{TARBALLS}/v4/tarball/{name}"] == data


@pytest.mark.parametrize(
    "key",
    [
        f"/{PYTHON}/v4/whl/rocm_sdk_libraries",  # a copy
        f"/{PACKAGES}/v3/packages/deb/dists/stable/Release",
        f"/{TARBALLS}/v4/tarball/index.json",
    ],
)
def test_failure_half_way_leaves_the_old_state_and_a_rerun_ends_as_if_undisturbed(
    tasks: Tasks, rclone: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    put_run(rclone.storage, tmp_path, "7.13.0rc1", "76")
    put_run(rclone.storage, tmp_path)
    with faulty_server(rclone.server) as faulty:
        faulty.server.use(monkeypatch)
        assert promote(tasks, "--run-id", "76").code == 0
        before = rclone.objects(TARBALLS, PYTHON, PACKAGES)
        faulty.break_with(
            Fault(
                kind=Break.REFUSE, method="PUT", key=key, status=403, code="AccessDenied", times=99
            )
        )
        failed = promote(tasks)
        assert failed.code == 1
        assert "access denied" in failed.err
        assert "the role is arn:aws:iam::692859939525:role/therock-prerelease" in failed.err
        after = rclone.objects(TARBALLS, PYTHON, PACKAGES)
        for uri, data in before.items():
            # Repositories go first, and each is whole by itself; then tarballs, then wheels.
            may_be_new = PACKAGES in uri or TARBALLS in uri
            is_refused = uri.removeprefix("s3:/").startswith(key) or "rocm_sdk_libraries" in key
            if not may_be_new or uri.endswith("latest.json") or is_refused:
                assert after[uri] == data, uri
        faulty.break_with()
        assert promote(tasks).code == 0
        disturbed = rclone.objects(TARBALLS, PYTHON, PACKAGES)
        for uri in disturbed:
            bucket, _, name = uri.removeprefix("s3://").partition("/")
            rclone.storage.delete(StorageLocation(bucket, name))
        for run_id in ("76", "77"):
            assert promote(tasks, "--run-id", run_id).code == 0
        assert rclone.objects(TARBALLS, PYTHON, PACKAGES) == disturbed


def test_nobody_has_automated_access_to_release(
    tasks: Tasks, moto: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PromotableRun.of(moto.storage, RC, release_type="prerelease")
    run.put_tarballs(["gfx942"])
    with faulty_server(moto.server) as faulty:
        fault = Fault(kind=Break.REFUSE, method="PUT", key="therock-release-tarball", status=403,
                      code="AccessDenied", times=99)  # fmt: skip
        faulty.break_with(fault)
        faulty.server.use(monkeypatch)
        done = promote(tasks, "--release-type", "release", "--yes", "-v")
    assert done.code == 1
    assert (
        "nobody has automated write access to release: somebody with access of their own"
        in (done.err.splitlines()[-1])
    )
    assert "write role: nobody has automated access" in done.err
    assert moto.objects("therock-release-tarball") == {}


def test_writers_of_two_runs_at_once_lose_nothing(
    tasks: Tasks, moto: Remote, tmp_path: Path
) -> None:
    for version, run_id in (("7.13.0rc1", "76"), (RC, "77")):
        put_run(moto.storage, tmp_path, version, run_id)
    words = ("promote", "--release-type", "prerelease", "--platform", "linux")
    both = [
        start(*words, "--run-id", run_id, "--work-dir", tmp_path / run_id)
        for run_id in ("76", "77")
    ]
    for process in both:
        done = finish(process)
        assert done.code == 0, done.err
    for place in (f"s3://{TARBALLS}/v4/tarball/", f"s3://{PYTHON}/v4/whl/",
                  f"s3://{PACKAGES}/v3/packages/deb/"):  # fmt: skip
        found = moto.objects(TARBALLS, PYTHON, PACKAGES)
        versions = {file["version"] for file in json.loads(found[place + "index.json"])["files"]}
        assert versions == {"7.13.0rc1", RC}
        assert json.loads(found[place + "latest.json"])["version"] == RC
    page = moto.storage.read(StorageLocation(PYTHON, "v4/whl/simple/rocm/"))
    assert page.count(b"<a ") == 2


def test_yank_works_on_s3(tasks: Tasks, remote: Remote, tmp_path: Path) -> None:
    put_run(remote.storage, tmp_path)
    assert promote(tasks).code == 0
    done = tasks.on_s3("yank", RC, "--release-type", "prerelease", "--reason", "late")
    assert done.code == 0, done.err
    found = remote.objects(TARBALLS, PYTHON, PACKAGES)
    assert json.loads(found[f"s3://{TARBALLS}/v4/tarball/latest.json"])["version"] is None
    flat = found[f"s3://{PYTHON}/v4/whl/index.html"].decode()
    assert flat.count('data-yanked="late"') == flat.count("<a ") > 0
    assert (
        b"Package:"
        not in found[f"s3://{PACKAGES}/v3/packages/deb/dists/stable/main/binary-amd64/Packages"]
    )
    assert tasks.on_s3("yank", RC, "--release-type", "prerelease", "--undo").code == 0


def test_product_layout_on_both_servers(tasks: Tasks, remote: Remote, tmp_path: Path) -> None:
    put_run(remote.storage, tmp_path)
    done = promote(tasks, "--layout", "product")
    assert done.code == 0, done.err
    found = remote.objects(PRODUCT)
    root = f"s3://{PRODUCT}/v5/rocm/core/"
    assert b"rocm-7.13.0rc2.tar.gz#sha256=" in found[f"{root}whl-next/rocm/index.html"]
    page = StorageLocation(PRODUCT, "v5/rocm/core/whl-next/rocm/")
    assert remote.storage.exists(page) is (remote.server.name == "moto")
    assert f"{root}whl-next/index.json" in found
    assert f"{root}packages/deb/dists/stable/Release" in found
    assert not any("probe-" in uri for uri in found)
    foreign = Upload(b"x", StorageLocation(PRODUCT, "v5/rocm/core/tarball/note"), IfExists.REPLACE)
    remote.storage.upload([foreign])
    assert promote(tasks, "--layout", "product").code == 0
