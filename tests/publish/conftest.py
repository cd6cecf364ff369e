"""A staging directory of a test's own, and tasks that promote into it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.indexes.conftest import Place
from tests.running import Done, invoke
from tests.servers import S3Server, moto_server, rclone_server
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import LocalStorage, S3Storage


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
        """Run a task with these words, and with those of the defaults that are not given."""
        return self.on_s3(task, "--staging-dir", self._staging, *words, **defaults)

    def on_s3(self, task: str, *words: object, **defaults: str) -> Done:
        """The same without the staging directory."""
        rest = [word for item in defaults.items() if item[0] not in words for word in item]
        return invoke(self._capsys, task, *words, *rest)


@pytest.fixture
def tasks(
    capsys: pytest.CaptureFixture[str],
    staging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Tasks:
    monkeypatch.chdir(tmp_path)  # where build/ is made
    return Tasks(capsys, staging)


# --------------------------------------------------------------------------------- on S3

BUCKETS = (
    "therock-prerelease-artifacts",
    *(
        f"therock-{kind}-{what}"
        for kind in ("prerelease", "release")
        for what in ("tarball", "python", "packages")
    ),
    "therock-repo-amd-rc-core",
)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    with ExitStack() as stack:
        yield {
            "moto": stack.enter_context(moto_server()),
            "rclone": stack.enter_context(rclone_server(tmp_path_factory.mktemp("rclone"))),
        }


@dataclass(frozen=True, slots=True)
class Remote:
    """The distribution buckets on a server, empty at first."""

    server: S3Server
    storage: S3Storage

    def objects(self, *buckets: str) -> dict[str, bytes]:
        """All objects, by URI."""
        return {
            info.location.s3_uri: self.storage.read(info.location)
            for bucket in buckets or BUCKETS
            for info in self.storage.list(StorageLocation(bucket))
        }

    def let_anybody_read(self, bucket: str) -> None:
        """What a bucket policy does on S3; moto goes by each object's own permission."""
        Place(self.storage, StorageLocation(bucket), self.server).let_anybody_read()

    def empty(self) -> None:
        """Make all buckets as they were at first."""
        if self.server.name == "moto":  # a listing does not show pages of directories
            reset = urllib.request.Request(f"{self.server.endpoint}/moto-api/reset", method="POST")
            with urllib.request.urlopen(reset):
                pass
        for bucket in BUCKETS:
            self.server.make_bucket(bucket)
            for info in list(self.storage.list(StorageLocation(bucket))):
                self.storage.delete(info.location)


def _remote(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Remote:
    server.use(monkeypatch)
    remote = Remote(server, S3Storage())
    remote.empty()
    return remote


@pytest.fixture(params=["moto", "rclone"])
def remote(
    request: pytest.FixtureRequest,
    servers: dict[str, S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Remote:
    return _remote(servers[request.param], monkeypatch)


@pytest.fixture
def moto(servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch) -> Remote:
    return _remote(servers["moto"], monkeypatch)


@pytest.fixture
def rclone(servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch) -> Remote:
    return _remote(servers["rclone"], monkeypatch)
