"""A promotion that is killed anywhere: what is served stays whole, and a rerun ends the same."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.publish.promotable import PromotableRun
from tests.running import Killable, tree
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import parse_catalogue, parse_latest
from therock_outputs.storage import LocalStorage

RC1, RC2 = "7.13.0rc1", "7.13.0rc2"
BUCKETS = tuple(f"therock-prerelease-{kind}" for kind in ("tarball", "python", "packages"))
POINTS = 8


def _task(top: Path, *words: str, release_type: str = "prerelease") -> Killable:
    staging, work = top / "staging", top / "work"
    places = ("--staging-dir", str(staging), "--work-dir", str(work), "--jobs", "2")
    own = ("--run-id", "72", "--platform", "linux", "--release-type", release_type)
    return Killable(
        ("promote", *own, *places, *words), (staging, work), top / "report", {"CI": "true"}
    )


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging directory where one prerelease was promoted and another one can be."""
    top = tmp_path_factory.mktemp("two-runs")
    storage = LocalStorage(top / "staging")
    for version, run_id in ((RC1, "71"), (RC2, "72")):
        run = PromotableRun.of(storage, version, run_id=run_id, release_type="prerelease")
        run.put_tarballs(["gfx942"])
        run.put_wheels()
        run.put_packages(top / version, ["rocm-a"], rpms=False)
    words = [word.replace("72", "71") if word == "72" else word for word in _task(top).words]
    Killable(tuple(words), (), top / "report").run()
    return top / "staging"


@pytest.fixture(scope="session")
def undisturbed(
    two_runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, dict[str, str]]:
    """How many things a promotion does to files, and what lies there afterwards."""
    top = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(two_runs, top / "staging")
    events = _task(top).run()
    return events, tree(top / "staging")


@pytest.fixture(scope="session")
def final(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str]]:
    """The same of a promotion that makes final versions."""
    top = tmp_path_factory.mktemp("final")
    shutil.copytree(two_runs, top / "staging")
    events = _task(top, "--yes", release_type="release").run()
    return events, tree(top / "staging")


def _point(number: int, events: int, seed: int) -> int:
    """A place in the n-th part of all events."""
    part = events / POINTS
    return 1 + int(part * number + random.Random(seed + number).random() * part)


def _check_served(staging: Path) -> None:
    """Everything that an index names is there, whole: the state of before or a newer one."""
    storage = LocalStorage(staging)
    for bucket in BUCKETS:
        for path in sorted((staging / bucket).rglob("*.json")):
            if path.name not in {"index.json", "latest.json"} or "simple" in path.parts:
                continue
            data = path.read_bytes()
            entries = (
                parse_catalogue(data, str(path))
                if path.name == "index.json"
                else parse_latest(data, str(path)).files
            )
            for entry in entries:
                assert (path.parent / entry.path).stat().st_size == entry.size
            assert entries
        for path in sorted((staging / bucket).rglob("SHA256SUMS")):
            for line in path.read_text().splitlines():
                digest, _, name = line.partition("  ")
                location = StorageLocation(
                    bucket, (path.parent / name).relative_to(staging / bucket).as_posix()
                )
                assert storage.sha256(location) == digest


@pytest.mark.parametrize("number", range(POINTS))
def test_killed_promotion_serves_a_whole_state_and_a_rerun_ends_the_same(
    number: int, two_runs: Path, undisturbed: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    events, whole = undisturbed
    shutil.copytree(two_runs, tmp_path / "staging")
    task = _task(tmp_path)
    assert task.kill_at(_point(number, events, seed=1))
    _check_served(tmp_path / "staging")
    if number % 2:
        task.kill_at(1 + _point(number, events, seed=2) // 2)
        _check_served(tmp_path / "staging")
    task.run()
    assert tree(tmp_path / "staging") == whole


@pytest.mark.parametrize("number", range(2))
def test_killed_final_release_leaves_nothing_half_made(
    number: int, two_runs: Path, final: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    events, whole = final
    shutil.copytree(two_runs, tmp_path / "staging")
    task = _task(tmp_path, "--yes", release_type="release")
    assert task.kill_at(1 + events * (number + 1) // 3)
    task.run()
    assert tree(tmp_path / "staging") == whole
