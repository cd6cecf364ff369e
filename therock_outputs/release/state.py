"""What a release has finished, kept in its work directory, so that a rerun does not repeat it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from therock_outputs.errors import OutputsError
from therock_outputs.storage.files import sha256_of_file

__all__ = ["Output", "ReleaseState", "fingerprint", "only_one_release"]

_VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a step has made."""

    path: Path
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """A JSON file: for each finished step its inputs and settings as one digest, its outputs."""

    path: Path

    def outputs_of(self, step: str, inputs: str) -> tuple[Output, ...] | None:
        """The outputs of a step that need not be repeated; None when it has to be.

        It has to be when it never ended, when its inputs or settings are others, and when an
        output is gone or is not what it was: outputs are read and digested, never assumed.
        """
        entry = self._load().get(step)
        if entry is None or entry["inputs"] != inputs:
            return None
        outputs = tuple(
            Output(self.path.parent / output["path"], output["size"], output["sha256"])
            for output in entry["outputs"]
        )
        for output in outputs:
            if not _is_whole(output):
                _log.info("%s: %s is not what it was, so the step is repeated", step, output.path)
                return None
        return outputs

    def record(self, step: str, inputs: str, outputs: Sequence[Output]) -> None:
        """Note a finished step."""
        steps = self._load()
        steps[step] = {
            "inputs": inputs,
            "outputs": [
                {
                    "path": os.path.relpath(output.path, self.path.parent),
                    "size": output.size,
                    "sha256": output.sha256,
                }
                for output in outputs
            ],
        }
        partial = self.path.with_name(f".{self.path.name}.partial")
        text = json.dumps({"version": _VERSION, "steps": steps}, indent=1, sort_keys=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def _load(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_bytes())
            steps = data["steps"] if data["version"] == _VERSION else {}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            # Worth a repetition, not an error: everything in it can be made again.
            _log.warning("%s: unreadable, so every step is repeated", self.path)
            return {}
        return dict(steps)


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
    except FileNotFoundError:
        return False
