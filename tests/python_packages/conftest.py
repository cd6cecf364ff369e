"""A small run's packages, made once for all tests that install them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheel_makers import make_run, repack_installed


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every package of the sample run, and setuptools."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    make_run(directory)
    repack_installed("setuptools", directory)
    return directory
