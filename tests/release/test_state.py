"""The state of a release: what it believes, and what it does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from therock_outputs.errors import OutputsError
from therock_outputs.release.state import Output, ReleaseState, fingerprint, only_one_release


def _output(path: Path, text: str) -> Output:
    path.write_text(text)
    return Output(path, len(text), hashlib.sha256(text.encode()).hexdigest())


def test_finished_step_is_known_by_its_inputs(tmp_path: Path) -> None:
    state = ReleaseState(tmp_path / "state.json", "run 1")
    output = _output(tmp_path / "a", "a")
    assert state.outputs_of("x", "1") is None
    state.record("x", "1", [output])
    assert state.outputs_of("x", "1") == (output,)
    assert state.outputs_of("x", "2") is None
    assert state.outputs_of("y", "1") is None
    assert state.recorded("x") == (output,)


@pytest.mark.parametrize("damage", ["gone", "shorter", "other", "directory"])
def test_outputs_are_verified_not_assumed(tmp_path: Path, damage: str) -> None:
    state = ReleaseState(tmp_path / "state.json", "run 1")
    output = _output(tmp_path / "a", "abc")
    state.record("x", "1", [output])
    output.path.unlink()
    if damage == "directory":
        output.path.mkdir()
    elif damage != "gone":
        output.path.write_text({"shorter": "ab", "other": "abd"}[damage])
    assert state.outputs_of("x", "1") is None


def test_work_directory_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    state = ReleaseState(tmp_path / "old/state.json", "run 1")
    state.record("x", "1", [_output(tmp_path / "old/a", "a")])
    (tmp_path / "old").rename(tmp_path / "new")
    moved = ReleaseState(tmp_path / "new/state.json", "run 1").outputs_of("x", "1")
    assert moved is not None
    assert moved[0].path == tmp_path / "new/a"


def test_state_of_another_run_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    one = ReleaseState(tmp_path / "state.json", "run 1")
    two = ReleaseState(tmp_path / "state.json", "run 2")
    assert one.other_run is None
    one.record("x", "1", [])
    assert (one.other_run, two.other_run) == (None, "run 1")
    assert two.recorded("x") is None
    two.record("y", "1", [])
    assert one.recorded("x") is None
    assert one.other_run == "run 2"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", '{"version": 2}', '{"version": 2, "run": "run 1", "steps": []}'),
        '{"version": 2, "run": "run 1", "steps": {"x": {"inputs": "1", "outputs": {}}}}',
        '{"version": 2, "run": "run 1", "steps": {"x": {"inputs": "1", "outputs": [3]}}}',
    ],
)
def test_unreadable_state_is_a_warning(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = ReleaseState(tmp_path / "state.json", "run 1")
    state.path.write_text(text)
    assert state.outputs_of("x", "1") is None
    assert "every step is repeated" in caplog.text


def test_fingerprint_depends_on_content_not_on_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_one_release_at_a_time(tmp_path: Path) -> None:
    with only_one_release(tmp_path / "work"):
        with (
            pytest.raises(OutputsError, match="another release is at work"),
            only_one_release(tmp_path / "work"),
        ):
            pass
        with only_one_release(tmp_path / "other"):
            pass
    with only_one_release(tmp_path / "work"):
        pass
