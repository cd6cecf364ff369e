"""The real program, killed with SIGKILL wherever it is: a rerun ends in the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.release.conftest import RUN_ID, Bucket, Store
from tests.running import Killable, tree
from therock_outputs.artifacts.sample_run import write_sample_run

POINTS = 21
"""At how many places, spread over the whole run, a release is killed."""
_JITTER = 8
"""By so much the number of events of two undisturbed runs may differ: threads take turns."""

_Tree = Mapping[str, str]


class _Case(NamedTuple):
    """A task in a directory of its own, and what of it must not depend on being killed."""

    task: Killable
    results: Callable[[], list[_Tree]]


class _Undisturbed(NamedTuple):
    events: int
    results: list[_Tree]


def _point(number: int, points: int, events: int, seed: int) -> int:
    """The event to die at: somewhere in this share of the run, the same at each call."""
    events -= _JITTER
    first = 1 + number * events // points
    return random.Random(f"{seed} {number}").randint(first, (number + 1) * events // points)


def _undisturbed(case: _Case) -> _Undisturbed:
    return _Undisturbed(case.task.run(), case.results())


def _task(directory: Path, places: tuple[Path, ...], *words: object) -> Killable:
    return Killable(tuple(map(str, words)), places, directory / "events")


# ----------------------------------------------------------------------- a whole release


def _release(directory: Path) -> _Case:
    staging, work, output = directory / "staging", directory / "work", directory / "out"
    task = _task(
        directory,
        (staging, work, output),
        *("release", "--run-id", "sample", "--jobs", 2, "--staging-dir", staging),
        *("--work-dir", work, "--output-dir", output),
    )
    return _Case(task, lambda: [tree(staging), tree(output)])


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> _Undisturbed:
    return _undisturbed(_release(tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.parametrize("number", range(POINTS))
def test_release_killed_anywhere_ends_in_the_same_bytes(
    number: int, tmp_path: Path, release: _Undisturbed
) -> None:
    assert release.events > 20 * POINTS  # or the points are not spread over the work
    case = _release(tmp_path)
    assert case.task.kill_at(_point(number, POINTS, release.events, seed=1))
    case.task.run()
    assert case.results() == release.results


@pytest.mark.parametrize("number", range(4))
def test_release_killed_again_and_again_ends_in_the_same_bytes(
    number: int, tmp_path: Path, release: _Undisturbed
) -> None:
    case = _release(tmp_path)
    assert case.task.kill_at(_point(number, 4, release.events, seed=2))
    # Less is left to do each time, so that these may come to the end.
    for seed in (3, 4):
        case.task.kill_at(1 + _point(number, 4, release.events, seed=seed) // 2)
    case.task.run()
    assert case.results() == release.results


# ------------------------------------------------------------------------ single tasks


def _sample_run(directory: Path) -> _Case:
    staging = directory / "staging"
    task = _task(
        directory,
        (staging,),
        *("sample-run", "--amdgpu-targets", "gfx90a", "--staging-dir", staging),
    )
    return _Case(task, lambda: [tree(staging)])


def _release_what_is_there(directory: Path) -> None:
    words = ("release", "--run-id", "sample", "--staging-dir", directory / "staging")
    _task(directory, (), *words, "--work-dir", directory / "work").run()


@pytest.fixture(scope="session")
def sample_released(tmp_path_factory: pytest.TempPathFactory) -> _Undisturbed:
    """The events of a ``sample-run``, and the results of a release after it."""
    directory = tmp_path_factory.mktemp("undisturbed-sample")
    case = _sample_run(directory)
    events = case.task.run()
    _release_what_is_there(directory)
    return _Undisturbed(events, case.results())


@pytest.mark.parametrize("number", range(4))
def test_sample_run_killed_is_completed_by_the_next_release(
    number: int, tmp_path: Path, sample_released: _Undisturbed
) -> None:
    case = _sample_run(tmp_path)
    assert case.task.kill_at(_point(number, 4, sample_released.events, seed=5))
    _release_what_is_there(tmp_path)
    assert case.results() == sample_released.results
    assert (tmp_path / "staging/sample-linux/blas_lib_gfx90a.tar.zst").exists()


def _flatten(directory: Path, staging: Path) -> _Case:
    prefix = directory / "prefix"
    task = _task(
        directory,
        (prefix,),
        *("fetch", "--run-id", RUN_ID, "--flatten", "--jobs", 2, "--staging-dir", staging),
        *("--output-dir", prefix / "rocm", "--work-dir", directory / "work"),
    )
    return _Case(task, lambda: [tree(prefix)])


@pytest.mark.parametrize("number", range(6))
def test_fetch_flatten_killed_ends_in_the_same_tree(
    number: int, tmp_path: Path, sample_staging: Path
) -> None:
    whole = _undisturbed(_flatten(tmp_path / "quiet", sample_staging))
    case = _flatten(tmp_path, sample_staging)
    assert case.task.kill_at(_point(number, 6, whole.events, seed=6))
    assert not (tmp_path / "prefix/rocm").exists() or case.results() == whole.results
    case.task.run()
    assert case.results() == whole.results
    again = Killable(case.task.words, case.task.places, case.task.report)
    again.kill_at(_point(number, 6, whole.events, seed=7))  # while it replaces the first tree
    again.run()
    assert case.results() == whole.results


# ------------------------------------------------------------------------------ with S3


def _fetch_from_s3(directory: Path, bucket: Bucket, *more: object) -> _Case:
    staging = directory / "staging"
    task = _task(
        directory,
        (staging,),
        *("fetch", "--run-id", RUN_ID, "--bucket", bucket.name, "--jobs", 2),
        *("--staging-dir", staging, "--work-dir", directory / "work", *more),
    )
    return _Case(task, lambda: [tree(staging)])


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("cached", [False, True])
def test_fetch_into_a_staging_directory_killed_ends_in_the_same_files(
    number: int, cached: bool, tmp_path: Path, rclone: Store, sample_staging: Path
) -> None:
    bucket = rclone.source(sample_staging)
    more = ("--cache-dir", tmp_path / "cache") if cached else ()
    whole = _undisturbed(_fetch_from_s3(tmp_path / "quiet", bucket, *more))
    case = _fetch_from_s3(tmp_path, bucket, *more)
    # What the cache has by now needs fewer events than fetching it.
    events = whole.events * 2 // 5 if cached else whole.events
    assert case.task.kill_at(_point(number, 5, events, seed=8))
    case.task.run()
    assert case.results() == whole.results


def _release_to_s3(directory: Path, source: Bucket, destination: Bucket) -> _Case:
    work, output = directory / "work", directory / "out"
    task = _task(
        directory,
        (work, output),
        *("release", "--run-id", RUN_ID, "--bucket", source.name, "--jobs", 2),
        *("--upload-bucket", destination.name, "--work-dir", work, "--output-dir", output),
    )
    return _Case(task, lambda: [destination.objects(), tree(output)])


@pytest.mark.parametrize("number", range(3))
def test_release_on_s3_killed_ends_in_the_same_objects(
    number: int, tmp_path: Path, store: Store, sample_staging: Path
) -> None:
    source = store.source(sample_staging)
    if "release" not in store.kept:
        quiet = _release_to_s3(tmp_path / "quiet", source, store.bucket("quiet"))
        store.kept["release"] = _undisturbed(quiet)
    whole = store.kept["release"]
    assert isinstance(whole, _Undisturbed)
    assert f"{RUN_ID}-linux/tarballs/SHA256SUMS" in whole.results[0]
    case = _release_to_s3(tmp_path, source, store.bucket("killed"))
    assert case.task.kill_at(_point(number, 3, whole.events, seed=9))
    case.task.run()
    assert case.results() == whole.results


def test_kill_points_reach_the_sample_run_that_release_writes(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "expected")
    case = _release(tmp_path)
    assert case.task.kill_at(40)
    assert not (tmp_path / "staging/sample-linux").exists()
    case.task.run()
    names = {path.name for path in (tmp_path / "expected/sample-linux").iterdir()}
    assert names <= {path.name for path in (tmp_path / "staging/sample-linux").iterdir()}
