"""What a release has finished, kept in its work directory, so that a rerun does not repeat it."""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import OutputsError
from therock_outputs.storage.files import sha256_of_file

__all__ = ["Output", "ReleaseState", "fingerprint", "only_one_release"]

_VERSION = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a step has made."""

    path: Path
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A step that ended."""

    inputs: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class _Content:
    """What the file says."""

    run: str
    steps: Mapping[str, _Entry]
    date: dt.date | None
    """The day of its first call, where a version needed one."""


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """A JSON file: for each finished step its inputs and settings as one digest, its outputs.

    It speaks of one run. For any other run it counts as empty, and is replaced by the first
    step of that run that ends.
    """

    path: Path
    run: str
    """The run that is read, in words."""

    @property
    def other_run(self) -> str | None:
        """The run that the file speaks of, when it is another one."""
        content = self._read()
        return content.run if content is not None and content.run != self.run else None

    def recorded(self, step: str) -> tuple[Output, ...] | None:
        """What a step of this run noted as its outputs, not verified; None when it never ended."""
        entry = self._steps().get(step)
        return entry.outputs if entry else None

    @property
    def date(self) -> dt.date | None:
        """The day of this run's first release here; None when none was noted."""
        content = self._read()
        return content.date if content is not None and content.run == self.run else None

    def note_date(self, date: dt.date) -> None:
        """Remember the day: a version without a date of its own stays when all is repeated."""
        if self.date != date:
            self._write(self._steps(), date)

    def outputs_of(self, step: str, inputs: str) -> tuple[Output, ...] | None:
        """The outputs of a step that need not be repeated; None when it has to be.

        It has to be when it never ended, when its inputs or settings are others, and when an
        output is gone or is not what it was: outputs are read and digested, never assumed.
        """
        entry = self._steps().get(step)
        if entry is None or entry.inputs != inputs:
            return None
        for output in entry.outputs:
            if not _is_whole(output):
                _log.info("%s: %s is not what it was, so the step is repeated", step, output.path)
                return None
        return entry.outputs

    def record(self, step: str, inputs: str, outputs: Sequence[Output]) -> None:
        """Note a finished step."""
        self._write({**self._steps(), step: _Entry(inputs, tuple(outputs))}, self.date)

    def _write(self, steps: Mapping[str, _Entry], date: dt.date | None) -> None:
        content = {
            "version": _VERSION,
            "run": self.run,
            **({"date": date.isoformat()} if date else {}),
            "steps": {name: self._as_json(entry) for name, entry in steps.items()},
        }
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def _as_json(self, entry: _Entry) -> dict[str, object]:
        # Relative paths, so that a work directory can be moved.
        return {
            "inputs": entry.inputs,
            "outputs": [
                {
                    "path": os.path.relpath(output.path, self.path.parent),
                    "size": output.size,
                    "sha256": output.sha256,
                }
                for output in entry.outputs
            ],
        }

    def _steps(self) -> Mapping[str, _Entry]:
        content = self._read()
        return content.steps if content is not None and content.run == self.run else {}

    def _read(self) -> _Content | None:
        try:
            data = json.loads(self.path.read_bytes())
            if data["version"] != _VERSION:
                return None
            steps = {name: self._entry(entry) for name, entry in data["steps"].items()}
            date = dt.date.fromisoformat(data["date"]) if "date" in data else None
            return _Content(str(data["run"]), steps, date)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            # Worth a repetition, not an error: everything in it can be made again.
            _log.warning("%s: unreadable, so every step is repeated", self.path)
            return None

    def _entry(self, data: Mapping[str, object]) -> _Entry:
        outputs = data["outputs"]
        if not isinstance(outputs, list):
            raise TypeError
        return _Entry(
            str(data["inputs"]),
            tuple(
                Output(self.path.parent / o["path"], int(o["size"]), str(o["sha256"]))
                for o in outputs
            ),
        )


def fingerprint(values: Mapping[str, object]) -> str:
    """One digest of everything that decides what a step makes."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def only_one_release(work_dir: Path) -> Iterator[None]:
    """Hold the work directory; OutputsError when another release works in it."""
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputsError(
                f"{work_dir}: another release is at work there; wait for it, or give --work-dir"
            ) from None
        yield


def _is_whole(output: Output) -> bool:
    try:
        if output.path.stat().st_size != output.size:
            return False
        return sha256_of_file(output.path) == output.sha256
    except OSError:
        return False
