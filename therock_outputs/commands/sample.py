"""The task ``sample-run``: a small, complete run in a staging directory."""

from __future__ import annotations

from pathlib import Path

from therock_outputs.artifacts.sample_run import SAMPLE_TARGETS, SampleRun, write_sample_run
from therock_outputs.console import Console
from therock_outputs.settings import Settings

__all__ = ["DEFAULT_STAGING", "write_sample"]

DEFAULT_STAGING = Path("build") / "staging"


def write_sample(settings: Settings, layout: str, console: Console) -> SampleRun:
    """Write it and say where."""
    staging = settings.staging_dir or DEFAULT_STAGING
    sample = write_sample_run(
        staging,
        platform=settings.platform,
        split=layout == "split",
        targets=settings.amdgpu_targets or SAMPLE_TARGETS,
        jobs=settings.jobs,
    )
    console.say(f"{len(sample.archives)} archives: {sample.root}")
    console.say(f"Next: ./inv release --run-id {sample.run_id} --staging-dir {staging}")
    return sample
