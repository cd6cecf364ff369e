"""A staging directory of a test's own, and tasks that promote into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import Done, invoke
from therock_outputs.storage import LocalStorage


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def storage(staging: Path) -> LocalStorage:
    return LocalStorage(staging)


class Tasks:
    """Runs tasks in this process, on the staging directory."""

    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path) -> None:
        self._capsys = capsys
        self._staging = staging

    def promote(self, *words: object) -> Done:
        """A Linux nightly of run 77, unless the words say otherwise."""
        return self.run(
            "promote",
            *words,
            **{"--run-id": "77", "--release-type": "nightly", "--platform": "linux"},
        )

    def run(self, task: str, *words: object, **defaults: str) -> Done:
        rest = [word for item in defaults.items() if item[0] not in words for word in item]
        return invoke(self._capsys, task, "--staging-dir", self._staging, *rest, *words)


@pytest.fixture
def tasks(
    capsys: pytest.CaptureFixture[str],
    staging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Tasks:
    monkeypatch.chdir(tmp_path)  # where build/ is made
    return Tasks(capsys, staging)
