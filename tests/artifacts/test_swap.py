"""A directory takes another one's place, whatever comes between."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path

import pytest

from therock_outputs.artifacts import swap
from therock_outputs.artifacts.swap import (
    fresh_directory,
    recover,
    remove_tree,
    replace_directory,
)


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the system can swap two names in one step."""
    if request.param != "exchange":
        monkeypatch.setattr(swap, "_exchange", lambda _one, _other: False)
    return str(request.param)


def _tree(path: Path, text: str) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "sub/file").write_text(text)
    return path


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_new_tree_takes_the_place_of_the_old_one(tmp_path: Path, way: str) -> None:
    final = tmp_path / "final"
    replace_directory(_tree(tmp_path / "one", "1"), final)
    assert (final / "sub/file").read_text() == "1"
    (final / "sub").chmod(0o500)
    replace_directory(_tree(tmp_path / "two", "2"), final)
    assert (final / "sub/file").read_text() == "2"
    assert _names(tmp_path) == ["final"]


def test_old_tree_is_put_back_when_the_new_one_cannot_come(tmp_path: Path, way: str) -> None:
    final = _tree(tmp_path / "final", "1")
    with pytest.raises(FileNotFoundError):
        replace_directory(tmp_path / "nothing", final)
    assert (final / "sub/file").read_text() == "1"
    assert _names(tmp_path) == ["final"]


def test_death_between_two_renames_is_undone(tmp_path: Path) -> None:
    final = tmp_path / "final"
    _tree(tmp_path / ".final.old", "1")
    recover(final)
    assert (final / "sub/file").read_text() == "1"
    recover(final)
    _tree(tmp_path / ".final.old", "0")
    recover(final)
    assert (final / "sub/file").read_text() == "1"
    assert _names(tmp_path) == ["final"]
    final.rename(tmp_path / ".final.old")
    replace_directory(_tree(tmp_path / "two", "2"), final)
    assert (final / "sub/file").read_text() == "2"
    assert _names(tmp_path) == ["final"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL])
def test_file_system_without_the_exchange_gets_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    class _Library:
        @staticmethod
        def renameat2(*_: object) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: _Library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    final = _tree(tmp_path / "final", "1")
    replace_directory(_tree(tmp_path / "two", "2"), final)
    assert (final / "sub/file").read_text() == "2"


def test_system_without_the_call_gets_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    final = _tree(tmp_path / "final", "1")
    replace_directory(_tree(tmp_path / "two", "2"), final)
    assert (final / "sub/file").read_text() == "2"


def test_fresh_directory_is_gone_afterwards_and_before(tmp_path: Path) -> None:
    final = tmp_path / "final"
    _tree(tmp_path / ".final.partial", "left")
    with fresh_directory(final) as partial:
        assert list(partial.iterdir()) == []
        (partial / "x").mkdir(mode=0o000)
    assert _names(tmp_path) == []


def test_trees_files_and_links_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = _tree(tmp_path / "kept", "1")
    (tmp_path / "link").symlink_to("kept")
    tree = _tree(tmp_path / "tree", "2")
    (tree / "link").symlink_to("../kept")
    (tree / "sub").chmod(0o000)
    for name in ("link", "tree", "nothing"):
        remove_tree(tmp_path / name)
    assert _names(tmp_path) == ["kept"]
    assert (kept / "sub/file").read_text() == "1"
