"""``yank`` and ``unpublish``: what no longer names a version, what still does, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.indexes.repositories.judges import Apt, Dnf
from tests.publish.conftest import Tasks
from tests.publish.promotable import PromotableRun
from tests.python_files import install, installed
from tests.running import Done, finish, start, tree
from therock_outputs.indexes.repositories import apt_snippets, rpm_snippets
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import read_catalogue, read_latest
from therock_outputs.storage import LocalStorage

OLD, NEW = "7.13.0rc1", "7.13.0rc2"
PRERELEASE = ("--release-type", "prerelease")
TARBALLS = StorageLocation("therock-prerelease-tarball", "v4/tarball/")
WHEELS = StorageLocation("therock-prerelease-python", "v4/whl/")
PACKAGES = StorageLocation("therock-prerelease-packages", "v3/packages/")


@pytest.fixture(scope="session")
def two_prereleases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging directory with two prereleases, everything of them, in the places they share."""
    top = tmp_path_factory.mktemp("two-prereleases")
    storage = LocalStorage(top / "staging")
    for version, run_id in ((OLD, "71"), (NEW, "72")):
        run = PromotableRun.of(storage, version, run_id=run_id, release_type="prerelease")
        run.put_tarballs(["gfx942"])
        run.put_wheels()
        run.put_packages(top / version)
        words = ["promote", *PRERELEASE, "--run-id", run_id, "--staging-dir", storage.staging_dir]
        done = finish(start(*words, "--platform", "linux", "--work-dir", top / "work"))
        assert done.code == 0, done.err
    return storage.staging_dir


@pytest.fixture
def promoted(storage: LocalStorage, two_prereleases: Path) -> LocalStorage:
    shutil.copytree(two_prereleases, storage.staging_dir)
    return storage


def withdraw(tasks: Tasks, task: str, *words: object) -> Done:
    return tasks.run(task, *PRERELEASE, *words)


def _apt(staging: Path, work: Path) -> Apt:
    url = (staging / PACKAGES.bucket / "v3/packages/deb").as_uri()
    apt = Apt(work, apt_snippets(url, signed=False)[0])
    answer = apt.update()
    assert answer.code == 0, answer.text
    return apt


def _dnf(staging: Path, work: Path) -> set[str]:
    url = (staging / PACKAGES.bucket / "v3/packages/rpm/x86_64").as_uri()
    return Dnf(work, rpm_snippets(url, signed=False)[0]).available()


def test_shared_repositories_have_both_versions_and_both_install(
    promoted: LocalStorage, staging: Path, tmp_path: Path
) -> None:
    apt = _apt(staging, tmp_path / "apt")
    assert apt.versions("rocm-a") == ["7.13.0~rc2-1", "7.13.0~rc1-1"]
    for version in apt.versions("rocm-b"):
        answer = apt.download(f"rocm-b={version}")
        assert answer.code == 0, answer.text
    assert _dnf(staging, tmp_path / "dnf") == {
        f"rocm-{name}-7.13.0~rc{number}-1" for name in "ab" for number in (1, 2)
    }
    entries = read_catalogue(promoted, PACKAGES / "deb/")
    assert [entry.version for entry in entries] == [NEW, NEW, OLD, OLD]


def test_yanked_version_is_taken_by_who_pins_it_only(
    tasks: Tasks, promoted: LocalStorage, staging: Path, tmp_path: Path
) -> None:
    done = withdraw(tasks, "yank", NEW, "--reason", "hangs")
    assert done.code == 0, done.err
    assert f"{NEW} is yanked" in done.out
    index = (staging / WHEELS.bucket / "v4/whl/simple").as_uri() + "/"
    for judge, pre in (("pip", "--pre"), ("uv", "--prerelease=allow")):
        for wanted, got in (("rocm-sdk-core", OLD), (f"rocm-sdk-core=={NEW}", NEW)):
            target = tmp_path / judge / got
            target.parent.mkdir(exist_ok=True)
            install(judge, target, "--index-url", index, pre, wanted)
            assert installed(target) == {f"rocm_sdk_core-{got}"}
    entries = read_catalogue(promoted, TARBALLS)
    assert [(entry.version, entry.yanked) for entry in entries] == [(NEW, "hangs"), (OLD, None)]
    for place in (TARBALLS, WHEELS, PACKAGES / "deb/", PACKAGES / "rpm/"):
        assert read_latest(promoted, place).version == OLD
    assert _apt(staging, tmp_path / "apt").versions("rocm-a") == ["7.13.0~rc1-1"]
    assert _dnf(staging, tmp_path / "dnf") == {"rocm-a-7.13.0~rc1-1", "rocm-b-7.13.0~rc1-1"}


def test_unpublished_version_is_named_nowhere_and_its_files_stay(
    tasks: Tasks, promoted: LocalStorage, staging: Path
) -> None:
    files = [path for path in staging.rglob("*") if NEW in path.name or "rc2" in path.name]
    done = withdraw(tasks, "unpublish", NEW)
    assert done.code == 0, done.err
    assert all(path.is_file() for path in files)
    for bucket in (TARBALLS.bucket, WHEELS.bucket, PACKAGES.bucket):
        for path in (staging / bucket).rglob("*"):
            if path.name in {"index.json", "latest.json", "index.html", "SHA256SUMS", "Packages"}:
                assert "rc2" not in path.read_text(), path
    assert read_latest(promoted, WHEELS).version == OLD


@pytest.mark.parametrize("task", ["yank", "unpublish"])
def test_undone_everything_is_listed_as_before(
    tasks: Tasks, promoted: LocalStorage, staging: Path, task: str, tmp_path: Path
) -> None:
    def state() -> dict[str, str]:
        # Repository metadata has a time, which grows; withdrawn.json and unlisted.txt are new.
        names = {"index.json", "latest.json", "index.html", "SHA256SUMS", "Packages"}
        return {
            name: what
            for name, what in tree(staging).items()
            if name.rpartition("/")[2] in names and not name.startswith("7")
        }

    before = state()
    assert withdraw(tasks, task, OLD).code == 0
    assert state() != before
    again = tasks.promote(*PRERELEASE, "--run-id", "71")
    assert again.code == 1
    assert f"has version {OLD} {task.rstrip('e')}" in again.err.replace("unpublished", "unpublish")
    assert f"put it back first with ./inv {task} {OLD} --undo" in again.err
    done = withdraw(tasks, task, OLD, "--undo")
    assert done.code == 0, done.err
    assert f"{OLD} is put back" in done.out
    assert state() == before
    assert _apt(staging, tmp_path / "apt").versions("rocm-a") == ["7.13.0~rc2-1", "7.13.0~rc1-1"]
    assert tasks.promote(*PRERELEASE, "--run-id", "71").code == 0


@pytest.mark.parametrize("task", ["yank", "unpublish"])
def test_what_was_interrupted_is_finished_by_the_same_command(
    tasks: Tasks, promoted: LocalStorage, staging: Path, task: str
) -> None:
    index = WHEELS / "index.json"
    listed = promoted.read(index)
    assert withdraw(tasks, task, NEW).code == 0
    whole = tree(staging)
    # The note was written and the catalogue was not yet.
    index.local_path(staging).write_bytes(listed)
    assert withdraw(tasks, task, NEW).code == 0
    assert tree(staging) == whole


def test_yanked_version_can_still_be_unpublished(tasks: Tasks, promoted: LocalStorage) -> None:
    assert withdraw(tasks, "yank", NEW, "--only", "wheels,tarballs").code == 0
    assert withdraw(tasks, "unpublish", NEW, "--only", "wheels,tarballs").code == 0
    assert NEW not in promoted.read(WHEELS / "simple/rocm/index.html").decode()
    assert NEW in promoted.read(PACKAGES / "deb/latest.json").decode()
    assert withdraw(tasks, "unpublish", NEW, "--undo").code == 0
    assert {entry.yanked for entry in read_catalogue(promoted, WHEELS)} == {None}


def test_families_and_the_product_layout_are_found(
    tasks: Tasks, storage: LocalStorage, staging: Path
) -> None:
    PromotableRun.of(storage, NEW, release_type="prerelease").put_family_wheels()
    split = PromotableRun.of(storage, NEW, run_id="78", release_type="prerelease")
    split.put_wheels()
    assert tasks.promote(*PRERELEASE).code == 0
    assert tasks.promote(*PRERELEASE, "--run-id", "78", "--layout", "product").code == 0
    done = withdraw(tasks, "unpublish", NEW, "--json")
    places = [place["place"] for place in json.loads(done.out)["places"]]
    assert [place.rpartition("v3/whl/")[2].rstrip("/") for place in places] == [
        "gfx110X-all", "gfx94X-dcgpu",
    ]  # fmt: skip
    assert withdraw(tasks, "unpublish", NEW, "--layout", "product").code == 0
    page = staging / "therock-repo-amd-rc-core/v5/rocm/core/whl-next/rocm/index.html"
    assert "<a " not in page.read_text()


def test_dated_repositories_are_found_by_their_catalogue(
    tasks: Tasks, storage: LocalStorage, staging: Path, tmp_path: Path
) -> None:
    for version, run_id in (("7.13.0a20251123", "76"), ("7.13.0a20251124", "77")):
        run = PromotableRun.of(storage, version, run_id=run_id)
        run.put_tarballs(["gfx942"])
        run.put_packages(tmp_path / run_id, ["rocm-a"])
        assert tasks.promote("--run-id", run_id).code == 0
    done = tasks.run("yank", "7.13.0a20251124", "--release-type", "nightly")
    assert done.code == 0, done.err
    place = staging / "therock-nightly-packages"
    lists = "dists/stable/main/binary-amd64/Packages"
    assert "rocm-a" not in (place / "deb/20251124-77" / lists).read_text()
    assert "rocm-a" in (place / "deb/20251123-76" / lists).read_text()
    packages = StorageLocation("therock-nightly-packages", "rpm/")
    [latest] = read_latest(storage, packages).files
    assert latest.path == "20251123-76/x86_64/rocm-a-7.13.0~20251123-1.x86_64.rpm"


def test_dry_run_says_where_and_changes_nothing(
    tasks: Tasks, promoted: LocalStorage, staging: Path
) -> None:
    before = tree(staging)
    done = withdraw(tasks, "yank", NEW, "--dry-run")
    assert done.code == 0, done.err
    assert f"{NEW} would be yanked" in done.out
    assert "therock-prerelease-python/v4/whl" in done.out
    assert tree(staging) == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "which version? write it behind yank, as in ./inv yank 7.13.0"),
        (("7.13.0 rc2",), 2, "is no version of Python's form (PEP 440)"),
        (("9.0",), 1, f"in the classic layout; the newest there: {NEW}, {OLD}"),
        ((NEW, "--undo", "--reason", "x"), 2, "so it takes no --reason"),
    ],
)  # fmt: skip
def test_version_that_is_not_there_or_is_none_is_refused(
    tasks: Tasks, storage: LocalStorage, words: tuple[str, ...], code: int, message: str
) -> None:
    for version, run_id in ((OLD, "71"), (NEW, "72")):
        run = PromotableRun.of(storage, version, run_id=run_id, release_type="prerelease")
        run.put_tarballs(["gfx942"])
        assert tasks.promote(*PRERELEASE, "--run-id", run_id).code == 0
    done = withdraw(tasks, "yank", *words)
    assert (done.code, message in done.err) == (code, True), done.err


def test_release_type_without_places_is_a_usage_error(tasks: Tasks) -> None:
    done = tasks.run("yank", NEW)
    assert (done.code, "release type ci is not promoted" in done.err) == (2, True)
