from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.servers import rclone_server
from therock_outputs.artifacts.fetch import FetchedArchive, Fetcher, FetchPlan, plan_fetch
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import RunManifest, list_run
from therock_outputs.artifacts.selection import Selection
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.storage import LocalStorage, Outcome, S3Storage, Storage

FAMILIES = GpuFamilies.load()
TOPOLOGY = Topology.load()
RUN = WorkflowOutputRoot.for_local("111")
NAMES = ("base_lib_generic.tar.zst", "blas_lib_gfx906.tar.zst", "blas_lib_gfx942.tar.xz")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A staging directory with a run of three archives; the run's directory in it."""
    folder = tmp_path / "staging/111-linux"
    for name in NAMES:
        make.write(folder, name, make.file(f"{make.STAGE}/{name}", name.encode() * 1000))
    return folder


def _plan(storage: Storage, selection: Selection | None = None) -> FetchPlan:
    return plan_fetch(
        list_run(storage, RUN),
        RunManifest(kpack_split=True),
        selection or Selection(),
        families=FAMILIES,
        topology=TOPOLOGY,
    )


def _fetch(
    run: Path,
    output: Path | None,
    *,
    cache: Path | None = None,
    allow_unverified: bool = False,
    jobs: int | None = None,
) -> tuple[FetchedArchive, ...]:
    storage = LocalStorage(run.parent)
    fetcher = Fetcher(storage, allow_unverified, cache_dir=cache, jobs=jobs)
    return fetcher.execute(_plan(storage), output)


def _outcomes(fetched: Sequence[FetchedArchive]) -> list[Outcome]:
    return [archive.outcome for archive in fetched]


def _fill(folder: Path) -> dict[str, tuple[str, ...]]:
    return make.tree_of(folder, modes=False)


def test_archives_and_their_digests_are_fetched_in_the_plans_order(
    run: Path, tmp_path: Path
) -> None:
    fetched = _fetch(run, tmp_path / "out")
    assert [archive.name.filename for archive in fetched] == list(NAMES)
    assert [archive.sha256 for archive in fetched] == [make.digest_of(run / n) for n in NAMES]
    assert [archive.size for archive in fetched] == [(run / n).stat().st_size for n in NAMES]
    assert _outcomes(fetched) == [Outcome.WRITTEN] * 3
    assert _fill(tmp_path / "out") == _fill(run)


def test_a_digest_without_a_name_is_enough(run: Path, tmp_path: Path) -> None:
    sums = run / f"{NAMES[0]}.sha256sum"
    sums.write_text(make.digest_of(run / NAMES[0]).upper())
    assert len(_fetch(run, tmp_path / "out")) == 3
    assert (tmp_path / "out" / sums.name).read_text().endswith(f"  {NAMES[0]}\n")


def test_archives_that_are_there_already_are_not_copied_again(run: Path, tmp_path: Path) -> None:
    _fetch(run, tmp_path / "out")
    (tmp_path / "out" / NAMES[1]).write_bytes(b"damaged")
    before = (tmp_path / "out" / NAMES[0]).stat().st_ino
    assert _outcomes(_fetch(run, tmp_path / "out")) == [Outcome.SAME, Outcome.WRITTEN, Outcome.SAME]
    assert (tmp_path / "out" / NAMES[0]).stat().st_ino == before
    assert _fill(tmp_path / "out") == _fill(run)


@pytest.mark.parametrize("in_place", [False, True])
def test_fetch_refuses_an_archive_with_a_wrong_digest(
    run: Path, tmp_path: Path, *, in_place: bool
) -> None:
    (run / NAMES[1]).write_bytes((run / NAMES[0]).read_bytes())
    for allow in (False, True):
        with pytest.raises(IntegrityError, match=rf"{NAMES[1]}.*SHA-256"):
            _fetch(run, None if in_place else tmp_path / "out", allow_unverified=allow)
    assert not (tmp_path / "out" / NAMES[1]).exists()


_MALFORMED = {
    "empty": "",
    "short": "0" * 63,
    "no hex": "g" * 64,
    "of another file": f"{'0' * 64}  other.tar.zst\n",
    "two lines": f"{'0' * 64}\n{'1' * 64}\n",
    "huge": "0" * 10_000,
    "a web page": "<html>not found</html>",
}


@pytest.mark.parametrize("text", [None, *_MALFORMED.values()], ids=["missing", *_MALFORMED])
def test_a_missing_or_malformed_digest_stops_all_before_the_first_archive(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    sums = run / f"{NAMES[2]}.sha256sum"
    sums.unlink()
    if text is not None:
        sums.write_text(text)
    for output in (tmp_path / "out", None):
        with pytest.raises(IntegrityError, match=NAMES[2]):
            _fetch(run, output)
    assert not (tmp_path / "out").exists()
    with caplog.at_level(logging.WARNING):
        fetched = _fetch(run, tmp_path / "out", allow_unverified=True)
    assert [archive.sha256 is None for archive in fetched] == [False, False, True]
    assert "not verified" in caplog.text
    assert NAMES[2] in caplog.text
    assert not (tmp_path / "out" / sums.name).exists()
    assert (tmp_path / "out" / NAMES[2]).read_bytes() == (run / NAMES[2]).read_bytes()
    assert _fetch(run, None, allow_unverified=True)[2].sha256 is None


def test_all_missing_digests_are_counted(run: Path, tmp_path: Path) -> None:
    for sums in run.glob("*.sha256sum"):
        sums.unlink()
    with pytest.raises(IntegrityError, match=r"and 2 more"):
        _fetch(run, tmp_path / "out")


def test_a_digest_that_vanishes_after_the_listing_is_a_missing_one(
    run: Path, tmp_path: Path
) -> None:
    storage = LocalStorage(run.parent)
    plan = _plan(storage)
    (run / f"{NAMES[0]}.sha256sum").unlink()
    with pytest.raises(IntegrityError, match=NAMES[0]):
        Fetcher(storage).execute(plan, tmp_path / "out")
    fetched = Fetcher(storage, allow_unverified=True).execute(plan, tmp_path / "out")
    assert fetched[0].sha256 is None


def test_archives_are_verified_where_they_lie(run: Path) -> None:
    fetched = _fetch(run, None)
    assert [archive.path for archive in fetched] == [run / name for name in NAMES]
    assert _outcomes(fetched) == [Outcome.SAME] * 3
    storage = LocalStorage(run.parent)
    plan = _plan(storage)
    (run / NAMES[0]).unlink()
    with pytest.raises(NotFoundError, match=NAMES[0]):
        Fetcher(storage).execute(plan, None)


def test_the_cache_gives_what_it_has_and_verifies_it(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    assert _outcomes(_fetch(run, tmp_path / "a", cache=cache)) == [Outcome.WRITTEN] * 3
    assert _outcomes(_fetch(run, tmp_path / "b", cache=cache)) == [Outcome.SAME] * 3
    assert _fill(tmp_path / "b") == _fill(run)
    digest = make.digest_of(run / NAMES[1])
    entry = cache / digest[:2] / digest
    entry.unlink()
    entry.write_bytes(b"damaged")
    fetched = _fetch(run, tmp_path / "c", cache=cache)
    assert _outcomes(fetched) == [Outcome.SAME, Outcome.WRITTEN, Outcome.SAME]
    assert "damaged, so it is fetched again" in caplog.text
    assert _fill(tmp_path / "c") == _fill(run)
    assert make.digest_of(entry) == digest
    assert _outcomes(_fetch(run, tmp_path / "d", cache=cache)) == [Outcome.SAME] * 3


def test_a_cache_hit_replaces_what_is_wrong_in_the_output(run: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _fetch(run, tmp_path / "a", cache=cache)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / NAMES[0]).write_bytes(b"old")
    _fetch(run, tmp_path / "b", cache=cache)
    assert _fill(tmp_path / "b") == _fill(run)


def test_unverified_archives_stay_out_of_the_cache(run: Path, tmp_path: Path) -> None:
    (run / f"{NAMES[0]}.sha256sum").unlink()
    for output in ("a", "b"):
        fetched = _fetch(run, tmp_path / output, cache=tmp_path / "cache", allow_unverified=True)
        assert fetched[0].outcome is Outcome.WRITTEN
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 2


def test_equal_archives_of_two_targets_share_a_cache_entry(run: Path, tmp_path: Path) -> None:
    for target in ("gfx1100", "gfx1101", "gfx1102"):
        make.write(run, f"fft_lib_{target}.tar.zst")
    for output in ("a", "b"):
        _fetch(run, tmp_path / output, cache=tmp_path / "cache", jobs=8)
        assert _fill(tmp_path / output).keys() == _fill(run).keys()


def test_a_fetch_that_failed_is_completed_by_the_next(run: Path, tmp_path: Path) -> None:
    whole = (run / NAMES[2]).read_bytes()
    (run / NAMES[2]).write_bytes(whole[:-1])
    with pytest.raises(IntegrityError):
        _fetch(run, tmp_path / "out", jobs=1)
    there = set(_fill(tmp_path / "out"))
    assert there <= {*NAMES[:2], *(f"{name}.sha256sum" for name in NAMES)}
    (run / NAMES[2]).write_bytes(whole)
    assert _outcomes(_fetch(run, tmp_path / "out"))[2] is Outcome.WRITTEN
    assert _fill(tmp_path / "out") == _fill(run)


def test_of_two_compressions_zst_is_fetched(run: Path, tmp_path: Path) -> None:
    make.write(run, "blas_lib_gfx942.tar.zst")
    _fetch(run, tmp_path / "out")
    fetched = {path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".sha256sum"}
    assert fetched == {NAMES[0], NAMES[1], "blas_lib_gfx942.tar.zst"}


def test_the_plan_knows_its_size_and_only_what_was_chosen(run: Path) -> None:
    plan = _plan(LocalStorage(run.parent), Selection(amdgpu_targets=("gfx942",)))
    assert [archive.filename for archive in plan.archives] == [NAMES[0], NAMES[2]]
    assert plan.size == sum((run / name).stat().st_size for name in (NAMES[0], NAMES[2]))


def test_a_run_without_archives_is_an_error(tmp_path: Path) -> None:
    logs = tmp_path / "staging/111-linux/logs"
    logs.mkdir(parents=True)
    (logs / "build.log").write_text("x")
    with pytest.raises(NotFoundError, match="has no archives; has its build finished"):
        _plan(LocalStorage(tmp_path / "staging"))


def test_an_output_that_is_a_file_is_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputsError, match="out cannot be filled"):
        _fetch(run, tmp_path / "out")


def test_progress_counts_all_bytes_however_they_come(run: Path, tmp_path: Path) -> None:
    storage = LocalStorage(run.parent)
    plan = _plan(storage)
    for output in (tmp_path / "out", tmp_path / "from-cache", None):
        seen: list[int] = []
        fetcher = Fetcher(
            storage,
            cache_dir=tmp_path / "cache",
            progress=lambda _name, count, seen=seen: seen.append(count),  # type: ignore[misc]
        )
        fetcher.execute(plan, output)
        assert sum(seen) == plan.size


def test_archives_come_from_a_real_server(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = tmp_path / "buckets"
    root = WorkflowOutputRoot.for_local("111")
    (buckets / root.bucket).mkdir(parents=True)
    os.rename(run, buckets / root.bucket / run.name)  # noqa: PTH104 - the directory itself
    with rclone_server(buckets) as server:
        server.use(monkeypatch)
        storage = S3Storage()
        plan = _plan(storage)
        fetched = Fetcher(storage).execute(plan, tmp_path / "out")
        with pytest.raises(NotFoundError, match="have to be fetched; give --output-dir"):
            Fetcher(storage).execute(plan, None)
    assert _outcomes(fetched) == [Outcome.WRITTEN] * 3
    assert _fill(tmp_path / "out") == _fill(buckets / root.bucket / run.name)
