from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from therock_outputs.artifacts.copy_artifacts import CopiedArchive, Copier, CopyPlan, plan_copy
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import list_run
from therock_outputs.artifacts.selection import Selection
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import (
    DryRunStorage,
    IfExists,
    LocalStorage,
    Outcome,
    Progress,
    Transfers,
)

FAMILIES = GpuFamilies.load()
TOPOLOGY = Topology.load()
SOURCE = WorkflowOutputRoot.for_local("111")
TARGET = WorkflowOutputRoot.for_local("222")
RUN = ("base_lib_generic", "blas_lib_gfx906", "blas_lib_gfx942", "rccl_lib_generic")


def fill(staging: Path, stems: Iterable[str] = RUN) -> Path:
    directory = staging / "111-linux"
    directory.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        path = directory / f"{stem}.tar.zst"
        path.write_bytes(stem.encode() * 1000)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(path.name + ".sha256sum").write_text(f"{digest}  {path.name}\n")
    return directory


def plan(storage: LocalStorage, *stages: str, selection: Selection | None = None) -> CopyPlan:
    return plan_copy(
        list_run(storage, SOURCE),
        TARGET,
        families=FAMILIES,
        topology=TOPOLOGY,
        split=True,
        stages=stages,
        selection=selection,
    )


def copied(staging: Path) -> set[str]:
    return {path.name for path in (staging / "222-linux").iterdir()}


def with_sums(*stems: str) -> set[str]:
    return {f"{stem}.tar.zst{end}" for stem in stems for end in ("", ".sha256sum")}


class ServerSide(LocalStorage):
    """Copies as S3 does: without telling the digest of what it has copied."""

    def copy(
        self,
        copies: Iterable[tuple[StorageLocation, StorageLocation]],
        *,
        if_exists: IfExists = IfExists.SAME,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        done = super().copy(copies, if_exists=if_exists, jobs=jobs, progress=progress)
        return [replace(transfer, sha256=None) for transfer in done]


def test_archives_and_digests_are_copied(tmp_path: Path) -> None:
    directory = fill(tmp_path)
    storage = LocalStorage(tmp_path)
    results = Copier(storage, storage).execute(plan(storage))
    assert [r.name.artifact.stem for r in results] == [
        "base_lib_generic",
        "rccl_lib_generic",
        "blas_lib_gfx906",
        "blas_lib_gfx942",
    ]
    for result in results:
        path = tmp_path / "222-linux" / result.name.filename
        data = path.read_bytes()
        expected = CopiedArchive(
            result.name,
            TARGET.archive(path.name),
            len(data),
            hashlib.sha256(data).hexdigest(),
            Outcome.WRITTEN,
        )
        assert result == expected
    assert {p.name: p.read_bytes() for p in (tmp_path / "222-linux").iterdir()} == {
        p.name: p.read_bytes() for p in directory.iterdir()
    }


def test_stages_mean_what_they_make(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = LocalStorage(tmp_path)
    chosen = plan(storage, "math-libs", "comm-libs")
    Copier(storage, storage).execute(chosen)
    assert copied(tmp_path) == with_sums("blas_lib_gfx906", "blas_lib_gfx942", "rccl_lib_generic")
    [(archive, reason)] = chosen.skipped
    assert (archive.artifact.name, reason) == ("base", "not made by stage math-libs or comm-libs")


def test_selection_narrows_what_is_copied(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = LocalStorage(tmp_path)
    selection = Selection(amdgpu_families=("gfx94X-dcgpu", "gfx1201"))
    chosen = plan(storage, "math-libs", selection=selection)
    assert [unit.name.artifact.stem for unit in chosen.units] == ["blas_lib_gfx942"]
    assert chosen.size == 1000 * len("blas_lib_gfx942")
    assert len(chosen.skipped) == 3
    assert chosen.warnings == ("the run has no archive for gfx1201, only for gfx906, gfx942",)


def test_copying_again_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = LocalStorage(tmp_path)
    Copier(storage, storage).execute(plan(storage))
    (tmp_path / "222-linux" / "base_lib_generic.tar.zst.sha256sum").unlink()
    results = Copier(storage, storage).execute(plan(storage))
    assert {result.outcome for result in results} == {Outcome.SAME}
    assert copied(tmp_path) == with_sums(*RUN)


def test_other_content_in_this_run_is_a_conflict(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = LocalStorage(tmp_path)
    Copier(storage, storage).execute(plan(storage))
    changed = tmp_path / "222-linux" / "base_lib_generic.tar.zst"
    changed.write_bytes(b"other")
    with pytest.raises(ConflictError, match="base_lib_generic"):
        Copier(storage, storage).execute(plan(storage))
    assert changed.read_bytes() == b"other"


@pytest.mark.parametrize("kind", [LocalStorage, ServerSide])
def test_archive_that_is_not_what_its_digest_says_is_not_left_there(
    tmp_path: Path, kind: type[LocalStorage]
) -> None:
    directory = fill(tmp_path, ["base_lib_generic"])
    (directory / "base_lib_generic.tar.zst").write_bytes(b"corrupt")
    storage = kind(tmp_path)
    with pytest.raises(IntegrityError, match=r"base_lib_generic.* its SHA-256 is .* push it again"):
        Copier(storage, storage).execute(plan(storage))
    assert copied(tmp_path) == set()


def test_copy_by_the_server_is_read_back(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = ServerSide(tmp_path)
    results = Copier(storage, storage).execute(plan(storage))
    assert copied(tmp_path) == with_sums(*RUN)
    assert all(result.outcome is Outcome.WRITTEN for result in results)


def test_reading_back_can_be_left_out(tmp_path: Path) -> None:
    directory = fill(tmp_path, ["base_lib_generic"])
    (directory / "base_lib_generic.tar.zst").write_bytes(b"corrupt")
    storage = ServerSide(tmp_path)
    Copier(storage, storage, verify=False).execute(plan(storage))
    assert copied(tmp_path) == with_sums("base_lib_generic")


def test_archives_come_over_from_another_storage(tmp_path: Path) -> None:
    fill(tmp_path / "theirs")
    source, target = LocalStorage(tmp_path / "theirs"), LocalStorage(tmp_path / "ours")
    Copier(source, target).execute(plan(source))
    assert copied(tmp_path / "ours") == with_sums(*RUN)
    assert not (tmp_path / "theirs" / "222-linux").exists()


def test_dry_run_copies_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    storage = DryRunStorage(LocalStorage(tmp_path))
    results = Copier(storage, storage).execute(plan(LocalStorage(tmp_path)))
    assert {result.outcome for result in results} == {Outcome.PLANNED}
    assert not (tmp_path / "222-linux").exists()


def test_malformed_digest_is_found_before_anything_is_copied(tmp_path: Path) -> None:
    directory = fill(tmp_path)
    (directory / "rccl_lib_generic.tar.zst.sha256sum").write_text("nonsense")
    storage = LocalStorage(tmp_path)
    with pytest.raises(IntegrityError, match="rccl_lib_generic"):
        Copier(storage, storage).execute(plan(storage))
    assert not (tmp_path / "222-linux").exists()


def test_archive_without_a_digest_is_refused(tmp_path: Path) -> None:
    directory = fill(tmp_path)
    (directory / "rccl_lib_generic.tar.zst.sha256sum").unlink()
    with pytest.raises(IntegrityError, match=r"rccl_lib_generic\.tar\.zst has no .* beside it"):
        plan(LocalStorage(tmp_path))


def test_run_is_not_copied_into_itself(tmp_path: Path) -> None:
    fill(tmp_path)
    contents = list_run(LocalStorage(tmp_path), SOURCE)
    with pytest.raises(UsageError, match="cannot be copied into itself; check --source-run-id"):
        plan_copy(contents, SOURCE, families=FAMILIES, topology=TOPOLOGY, split=True)


def test_stage_of_which_the_run_has_nothing_is_told(tmp_path: Path) -> None:
    fill(tmp_path, ["base_lib_generic", "rccl_lib_generic"])
    storage = LocalStorage(tmp_path)
    with pytest.raises(
        NotFoundError, match="nothing that stage math-libs makes; it has base, rccl"
    ):
        plan(storage, "math-libs")
    with pytest.raises(UsageError, match="did you mean math-libs"):
        plan(storage, "math-lib")


def test_plan_is_picklable(tmp_path: Path) -> None:
    fill(tmp_path)
    chosen = plan(LocalStorage(tmp_path))
    assert pickle.loads(pickle.dumps(chosen)) == chosen  # noqa: S301 - our own
