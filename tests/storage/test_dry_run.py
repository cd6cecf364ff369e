"""A dry run reads, plans and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import (
    Download,
    DryRunStorage,
    LocalStorage,
    Outcome,
    S3Storage,
    Upload,
    copy_between,
    open_storage,
)

_RUN = StorageLocation("therock-ci-artifacts", "1-linux/")


@pytest.fixture
def inner(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "staging")
    storage.upload([Upload(b"hello", _RUN / "a")])
    return storage


def tree(directory: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_nothing_changes_and_everything_is_noted(inner: LocalStorage, tmp_path: Path) -> None:
    before = tree(tmp_path)
    storage = DryRunStorage(inner)
    done = storage.upload([Upload(b"xy", _RUN / "up")])
    done += storage.download([Download(_RUN / "a", tmp_path / "down")])
    done += storage.copy([(_RUN / "a", _RUN / "copy")])
    assert storage.update(_RUN / "new", lambda old: (old or b"none") + b"!") == b"none!"
    assert storage.update(_RUN / "a", lambda old: (old or b"none") + b"!") == b"hello!"
    storage.delete(_RUN / "a")
    storage.delete(_RUN / "none")
    assert tree(tmp_path) == before
    assert storage.planned[: len(done)] == done
    assert [(t.location.name, t.size) for t in storage.planned] == [
        ("up", 2),
        ("a", 5),
        ("copy", 5),
        ("new", 5),
        ("a", 6),
        ("a", 0),
    ]
    assert {t.outcome for t in storage.planned} == {Outcome.PLANNED}
    assert {t.sha256 for t in storage.planned} == {None}


def test_reads_pass_through(inner: LocalStorage) -> None:
    storage = DryRunStorage(inner)
    assert storage.read(_RUN / "a") == b"hello"
    assert storage.exists(_RUN / "a")
    assert [info.location.name for info in storage.list(_RUN)] == ["a"]


def test_plan_fails_where_the_work_would(inner: LocalStorage, tmp_path: Path) -> None:
    storage = DryRunStorage(inner)
    with pytest.raises(NotFoundError, match="1-linux/none is not there"):
        storage.download([Download(_RUN / "none", tmp_path / "x")])
    with pytest.raises(NotFoundError, match="1-linux/none is not there"):
        storage.copy([(_RUN / "none", _RUN / "b")])
    with pytest.raises(NotFoundError, match="missing"):
        storage.upload([Upload(tmp_path / "missing", _RUN / "b")])
    assert storage.planned == []


def test_copying_into_a_dry_run_moves_no_bytes(inner: LocalStorage, tmp_path: Path) -> None:
    destination = DryRunStorage(LocalStorage(tmp_path / "other"))
    [transfer] = copy_between(inner, destination, [(_RUN / "a", _RUN / "b")])
    assert (transfer.outcome, transfer.size) == (Outcome.PLANNED, 5)
    assert not (tmp_path / "other").exists()
    with pytest.raises(NotFoundError, match="none is not there"):
        copy_between(inner, destination, [(_RUN / "none", _RUN / "b")])


def test_copying_out_of_a_dry_run_reads_what_is_there(inner: LocalStorage, tmp_path: Path) -> None:
    other = LocalStorage(tmp_path / "other")
    [transfer] = copy_between(DryRunStorage(inner), other, [(_RUN / "a", _RUN / "b")])
    assert transfer.outcome is Outcome.WRITTEN
    assert other.read(_RUN / "b") == b"hello"


def test_copying_within_one_storage_is_its_own_copy(inner: LocalStorage) -> None:
    copy_between(inner, inner, [(_RUN / "a", _RUN / "b")])
    assert inner.read(_RUN / "b") == b"hello"


def test_storage_is_chosen_by_the_staging_directory(tmp_path: Path) -> None:
    assert isinstance(open_storage(tmp_path), LocalStorage)
    assert isinstance(open_storage(None), S3Storage)
    planned = open_storage(tmp_path, dry_run=True)
    assert isinstance(planned, DryRunStorage)
    assert isinstance(planned.inner, LocalStorage)
