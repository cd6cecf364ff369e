"""Sample runs and a run of GitHub Actions for tests of workflows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheel_makers import repack_installed
from tests.workflows.runner import Runner
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.storage import LocalStorage, Upload

SPLIT, BY_FAMILY = "24217435275", "24217435276"


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A staging directory with the sample run, and what its packages are built with."""
    staging = tmp_path / "staging"
    write_sample_run(staging, run_id=SPLIT)
    (tmp_path / "wheels").mkdir()
    setuptools = repack_installed("setuptools", tmp_path / "wheels")
    root = WorkflowOutputRoot.for_local(SPLIT)
    storage = LocalStorage(staging)
    storage.upload([Upload(setuptools, root.python_deps_files(setuptools.name))])
    build_indexes(storage, root.python_deps_files())
    return staging


@pytest.fixture
def runner(tmp_path: Path, staging: Path) -> Runner:
    """A run whose jobs work in the staging directory."""
    return Runner(tmp_path / "machines", {"THEROCK_LOCAL_STAGING_DIR": str(staging)})
