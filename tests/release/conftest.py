"""A run in a bucket of a real S3 server, and what lies there afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import S3Server, moto_server, rclone_server
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Upload, files_to_upload, open_storage

RUN_ID = "4711"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    with ExitStack() as stack:
        yield {
            "moto": stack.enter_context(moto_server()),
            "rclone": stack.enter_context(rclone_server(tmp_path_factory.mktemp("rclone"))),
        }


@pytest.fixture(scope="session")
def kept() -> dict[str, dict[str, object]]:
    return {"moto": {}, "rclone": {}}


@pytest.fixture(scope="session")
def sample_staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging directory with the run ``4711-linux``; nobody may change it."""
    staging = tmp_path_factory.mktemp("sample")
    write_sample_run(staging, run_id=RUN_ID)
    return staging


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of one test."""

    name: str

    def fill(self, staging: Path) -> None:
        """Put all that lies in a staging directory."""
        uploads = [
            Upload(file.path, StorageLocation(self.name, file.name))
            for file in files_to_upload(staging)
        ]
        open_storage(None).upload(uploads, jobs=8)

    def objects(self) -> dict[str, str]:
        """The SHA-256 of every object, by key."""
        storage = open_storage(None)
        return {
            info.location.key: hashlib.sha256(storage.read(info.location, 1 << 30)).hexdigest()
            for info in storage.list(StorageLocation(self.name))
        }


@dataclass(frozen=True, slots=True)
class Store:
    """A server that this test's environment points at."""

    server: S3Server
    test: str
    kept: dict[str, object]
    """What tests of this server make once and share."""

    def source(self, staging: Path) -> Bucket:
        """A bucket that holds what lies in a staging directory; nobody may change it."""
        bucket = Bucket("therock-source")
        if bucket.name not in self.kept:
            self.server.make_bucket(bucket.name)
            bucket.fill(staging)
            self.kept[bucket.name] = bucket
        return bucket

    def bucket(self, name: str) -> Bucket:
        """An empty bucket that no other test has."""
        digest = hashlib.sha256(self.test.encode()).hexdigest()[:16]
        bucket = f"{name}-{digest}"
        self.server.make_bucket(bucket)
        return Bucket(bucket)


@pytest.fixture(params=["rclone", "moto"])
def store(
    request: pytest.FixtureRequest,
    servers: dict[str, S3Server],
    kept: dict[str, dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    servers[request.param].use(monkeypatch)
    return Store(servers[request.param], request.node.nodeid, kept[request.param])


@pytest.fixture
def rclone(
    request: pytest.FixtureRequest,
    servers: dict[str, S3Server],
    kept: dict[str, dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    servers["rclone"].use(monkeypatch)
    return Store(servers["rclone"], request.node.nodeid, kept["rclone"])
