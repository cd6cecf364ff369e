"""The three places that an index can stand in, each with a bucket of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server, moto_server, rclone_server
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import LocalStorage, S3Storage, Storage, Upload


@dataclass(frozen=True, slots=True)
class Place:
    """A storage with an empty ``python/`` of a run in it."""

    storage: Storage
    python: StorageLocation
    server: S3Server | None = None
    staging_dir: Path | None = None

    def put(self, *files: tuple[str, bytes], below: str = "") -> None:
        """Upload files as a job does."""
        self.storage.upload([Upload(data, self.python / (below + name)) for name, data in files])

    def read(self, name: str) -> str:
        """A page, as text."""
        return self.storage.read(self.python / name).decode()

    def url(self, name: str) -> str:
        """The address of something below the place, for an installer."""
        location = self.python / name if name else self.python
        if self.server is not None:
            return location.url_at(self.server.endpoint)
        assert self.staging_dir is not None
        uri = location.local_path(self.staging_dir).as_uri()
        return uri + ("/" if location.is_prefix else "")

    def let_anybody_read(self) -> None:
        """What a bucket policy does on S3; moto goes by each object's own permission."""
        if self.server is None or self.server.name != "moto":
            return
        client = boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )
        for entry in client.list_objects_v2(Bucket=self.python.bucket)["Contents"]:
            client.put_object_acl(Bucket=self.python.bucket, Key=entry["Key"], ACL="public-read")
        client.close()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    with ExitStack() as stack:
        yield {
            "moto": stack.enter_context(moto_server()),
            # Installers send no signature.
            "rclone": stack.enter_context(
                rclone_server(tmp_path_factory.mktemp("rclone"), signed=False)
            ),
        }


@pytest.fixture
def local(tmp_path: Path) -> Place:
    staging = tmp_path / "staging"
    return Place(
        LocalStorage(staging), StorageLocation("local-run", "7-linux/python/"), None, staging
    )


@pytest.fixture(params=["local", "moto", "rclone"])
def place(
    request: pytest.FixtureRequest,
    local: Place,
    servers: dict[str, S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    if request.param == "local":
        return local
    return place_on(servers[request.param], monkeypatch)


def place_on(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place in a new bucket, with the environment pointed at its server."""
    server.use(monkeypatch)
    bucket = f"index-{secrets.token_hex(6)}"
    server.make_bucket(bucket)
    return Place(S3Storage(), StorageLocation(bucket, "7-linux/python/"), server)
