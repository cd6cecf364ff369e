"""The servers of the storage tests, started once for each test process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import S3Server, moto_server, rclone_server


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    with ExitStack() as stack:
        yield {
            "moto": stack.enter_context(moto_server()),
            "rclone": stack.enter_context(rclone_server(tmp_path_factory.mktemp("rclone"))),
        }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory
