"""The task ``sample-run``: a small, complete run in a staging directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from therock_outputs.artifacts.names import parse_archive_filename
from therock_outputs.artifacts.sample_run import (
    SAMPLE_RUN_ID,
    SAMPLE_TARGETS,
    SampleRun,
    write_sample_run,
)
from therock_outputs.console import Console
from therock_outputs.errors import ConflictError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.places import places_of
from therock_outputs.settings import Settings
from therock_outputs.storage import IfExists, LocalStorage, Upload, files_to_upload
from therock_outputs.storage.hidden import exclusive, sweep_abandoned

__all__ = ["DEFAULT_STAGING", "complete_sample", "write_sample"]

DEFAULT_STAGING = Path("build") / "staging"

_WANTED = "wanted.json"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a sample run is made of."""

    targets: tuple[str, ...] = SAMPLE_TARGETS
    split: bool = True


def write_sample(settings: Settings, layout: str, console: Console) -> SampleRun:
    """Write it and say where. ConflictError where another run of that name lies."""
    staging = settings.staging_dir or DEFAULT_STAGING
    settings = replace(settings, run_id=SAMPLE_RUN_ID, staging_dir=staging)
    wanted = _Wanted(settings.amdgpu_targets or SAMPLE_TARGETS, layout == "split")
    place = _Place(staging, places_of(settings).source)
    with place.held():
        sample = place.write(wanted, settings.jobs)
    console.say(f"{len(sample.archives)} archives: {sample.root}")
    console.say(f"Next: ./inv release --run-id {sample.run_id} --staging-dir {staging}")
    return sample


def complete_sample(staging: Path, root: WorkflowOutputRoot, jobs: int) -> SampleRun | None:
    """Write a sample run where there is none, or finish one that was interrupted.

    None when it is there already.
    """
    place = _Place(staging, root)
    with place.held():
        if place.is_written():
            return None
        return place.write(place.wanted_before() or _Wanted(), jobs)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sample run lies in a staging directory.

    It is written into a hidden directory first, which is renamed, so that it is there as a
    whole or not at all. What that directory says of itself survives until all is done: whoever
    finds it goes on with the same run.
    """

    staging: Path
    layout: WorkflowOutputRoot

    @property
    def root(self) -> Path:
        return self.layout.root.local_path(self.staging)

    @property
    def partial(self) -> Path:
        return self.root.with_name(f".{self.root.name}.partial")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from writing it meanwhile."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(self.root.parent)
        with exclusive(self.root):
            yield

    def is_written(self) -> bool:
        """Whether it is there and nobody was interrupted; a finished write is tidied up."""
        if not self.root.exists():
            return False
        if self.partial.exists() and self.wanted_before() is None:
            shutil.rmtree(self.partial)
        return not self.partial.exists()

    def wanted_before(self) -> _Wanted | None:
        """What an interrupted call was writing."""
        try:
            data = json.loads((self.partial / _WANTED).read_bytes())
            return _Wanted(tuple(map(str, data["targets"])), bool(data["split"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, wanted: _Wanted, jobs: int) -> SampleRun:
        """Write it, or what is missing of it; ConflictError where it would differ."""
        self._note(wanted)
        fresh = self.partial / "run"
        if fresh.exists():
            shutil.rmtree(fresh)
        try:
            sample = write_sample_run(
                fresh,
                platform=self.layout.platform,
                targets=wanted.targets,
                split=wanted.split,
                jobs=jobs,
            )
            self._publish(sample)
        finally:
            shutil.rmtree(self.partial)
        archives = tuple(
            replace(archive, path=self.root / archive.path.name) for archive in sample.archives
        )
        return replace(sample, root=self.root, archives=archives)

    def _note(self, wanted: _Wanted) -> None:
        self.partial.mkdir(exist_ok=True)
        text = json.dumps({"targets": wanted.targets, "split": wanted.split})
        unfinished = self.partial / f"{_WANTED}.new"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self.partial / _WANTED)

    def _publish(self, sample: SampleRun) -> None:
        if not self.root.exists():
            sample.root.rename(self.root)
            return
        self._refuse_other_runs({archive.path.name for archive in sample.archives})
        uploads = [
            Upload(file.path, self._location(file.name), self._rule(file.name))
            for file in files_to_upload(sample.root)
        ]
        LocalStorage(self.staging).upload(uploads)

    def _location(self, name: str) -> StorageLocation:
        return self.layout.root / name

    @staticmethod
    def _rule(name: str) -> IfExists:
        return IfExists.REPLACE if "/" in name else IfExists.SAME

    def _refuse_other_runs(self, ours: set[str]) -> None:
        """A directory that holds more than this run's archives would be a mixture of two."""
        for path in sorted(self.root.iterdir()):
            if path.name not in ours and parse_archive_filename(path.name) is not None:
                raise ConflictError(
                    f"{self.root} holds {path.name}, which is not of this run: remove the "
                    "directory or give another --staging-dir"
                )
