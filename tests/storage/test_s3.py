"""What only S3 has to care for: what servers do themselves, what others uploaded, kills."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.faulty_server import Break, Fault, faulty_server
from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.storage.test_contract import CAPABILITIES
from therock_outputs.errors import ConflictError, StorageError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Download, IfExists, Outcome, S3Storage, Upload
from therock_outputs.storage.s3 import RetryPolicy, S3Settings

_MIB = 1 << 20
_BUCKET = "therock-ci-artifacts"
_PROJECT = Path(__file__).resolve().parents[2]
_SMALL = S3Settings(
    retry=RetryPolicy(attempts=3, base_delay=0.0),
    range_size=2 * _MIB,
    part_size=5 * _MIB,
    multipart_threshold=6 * _MIB,
    copy_part_size=5 * _MIB,
    copy_part_threshold=6 * _MIB,
)


@pytest.fixture(params=["moto", "rclone"])
def server(
    request: pytest.FixtureRequest, servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch
) -> S3Server:
    chosen = servers[request.param]
    chosen.use(monkeypatch)
    chosen.make_bucket(_BUCKET)
    return chosen


@pytest.fixture
def root(request: pytest.FixtureRequest) -> StorageLocation:
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return StorageLocation(_BUCKET, f"{name}-linux/")


def boto(server: S3Server) -> Any:  # noqa: ANN401
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def large(seed: int, size: int = 12 * _MIB + 345) -> bytes:
    block = hashlib.shake_256(seed.to_bytes(4, "big")).digest(1 << 16)
    return (block * (size // len(block) + 1))[:size]


def test_table_of_capabilities_is_true(server: S3Server, root: StorageLocation) -> None:
    """When this fails a server has learned something, and the documentation is out of date."""
    client = boto(server)
    known = CAPABILITIES[server.name]
    key = f"{root.key}a"
    client.put_object(Bucket=_BUCKET, Key=key, Body=b"one")
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": f'"{"0" * 32}"'}):
        try:
            client.put_object(Bucket=_BUCKET, Key=key, Body=b"two", **condition)
            honoured = False
        except ClientError as error:
            honoured = error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        assert honoured is known.conditional_writes
    upload = client.create_multipart_upload(Bucket=_BUCKET, Key=f"{root.key}b")["UploadId"]
    part = {"Bucket": _BUCKET, "Key": f"{root.key}b", "UploadId": upload, "PartNumber": 1}
    answer = client.upload_part_copy(CopySource=f"{_BUCKET}/{key}", **part)
    assert ("ETag" in answer["CopyPartResult"]) is known.part_copy
    client.close()


def test_what_others_uploaded_is_compared_by_its_bytes(
    server: S3Server, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(1, 3 * _MIB)
    client = boto(server)
    client.put_object(Bucket=_BUCKET, Key=f"{root.key}a", Body=data)
    client.close()
    storage = S3Storage(_SMALL)
    [transfer] = storage.upload([Upload(data, root / "a")])
    assert transfer.outcome is Outcome.SAME
    with pytest.raises(ConflictError, match=f"published with SHA-256 {sha256(data)}"):
        storage.upload([Upload(data[:-1] + b"!", root / "a")])
    storage.download([Download(root / "a", tmp_path / "a", sha256(data))])
    assert [t.outcome for t in storage.copy([(root / "a", root / "b")])] == [Outcome.WRITTEN]
    assert [t.outcome for t in storage.copy([(root / "a", root / "b")])] == [Outcome.SAME]


def test_uploads_carry_type_and_digest(server: S3Server, root: StorageLocation) -> None:
    storage = S3Storage(_SMALL)
    storage.upload(
        [
            Upload(b"<p>", root / "index.html", IfExists.REPLACE),
            Upload(b"x", root / "odd", content_type="text/x-odd"),
            Upload(large(2), root / "f.tar.zst"),
        ]
    )
    client = boto(server)
    types = {}
    for name in ("index.html", "odd", "f.tar.zst"):
        answer = client.head_object(Bucket=_BUCKET, Key=f"{root.key}{name}")
        types[name] = answer["ContentType"]
        metadata = {key.lower(): value for key, value in answer["Metadata"].items()}
        assert len(metadata["sha256"]) == 64
    client.close()
    assert types == {
        "index.html": "text/html; charset=utf-8",
        "odd": "text/x-odd",
        "f.tar.zst": "application/zstd",
    }


@pytest.mark.parametrize("profile", [False, True])
def test_listing_has_more_than_one_page(
    server: S3Server,
    root: StorageLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: bool,
) -> None:
    if profile:  # which makes botocore do it
        (tmp_path / "config").write_text("[default]\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    storage = S3Storage(S3Settings(page_size=2))
    names = ["a+b", "c d", "e/f", "é"]
    storage.upload([Upload(b"", root / name) for name in [*names, "z"]])
    assert [info.location.relative_to(root) for info in storage.list(root)] == sorted(
        [*names, "z"], key=lambda name: name.encode()
    )


def test_large_copy_streams_where_the_server_cannot_copy(
    servers: dict[str, S3Server], root: StorageLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = large(3)
    servers["rclone"].make_bucket(_BUCKET)
    with faulty_server(servers["rclone"]) as faulty:
        faulty.server.use(monkeypatch)
        storage = S3Storage(_SMALL)
        storage.upload([Upload(data, root / "a.bin")])
        faulty.break_with(
            Fault(
                kind=Break.REFUSE,
                method="PUT",
                key="b.bin",
                without="partNumber",
                status=400,
                code="InvalidRequest",
                times=100,
            )
        )
        storage.copy([(root / "a.bin", root / "b.bin")])
        assert storage.read(root / "b.bin") == data
        assert faulty.sent("a.bin") == len(data)


def test_copy_that_the_server_refuses_is_explained(
    servers: dict[str, S3Server], root: StorageLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers["moto"].make_bucket(_BUCKET)
    with faulty_server(servers["moto"]) as faulty:
        faulty.server.use(monkeypatch)
        storage = S3Storage(_SMALL)
        storage.upload([Upload(b"x", root / "a.bin")])
        fault = Fault(kind=Break.REFUSE, method="PUT", key="b.bin", status=403, code="AccessDenied")
        faulty.break_with(fault)
        with pytest.raises(StorageError, match=r"b\.bin .*access denied with the credentials"):
            storage.copy([(root / "a.bin", root / "b.bin")])
        assert faulty.count("PUT", "b.bin") == 1


_KILLED = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from therock_outputs.layout import StorageLocation\n"
    "from therock_outputs.storage import Download, S3Storage, Upload\n"
    "from therock_outputs.storage.s3 import S3Settings\n"
    "left = int(sys.argv[4])\n"
    "def die(label, count):\n"
    "    global left\n"
    "    left -= count\n"
    "    if left <= 0:\n"
    "        os.kill(os.getpid(), signal.SIGKILL)\n"
    "size = 1 << 20\n"
    "settings = S3Settings(range_size=size, part_size=5 * size, multipart_threshold=6 * size)\n"
    "place = StorageLocation('therock-ci-artifacts', sys.argv[2])\n"
    "path = Path(sys.argv[3])\n"
    "storage = S3Storage(settings)\n"
    "if sys.argv[1] == 'down':\n"
    "    storage.download([Download(place, path)], jobs=2, progress=die)\n"
    "else:\n"
    "    storage.upload([Upload(path, place)], jobs=2, progress=die)\n"
)


def run_and_kill(direction: str, place: StorageLocation, path: Path, after: int) -> None:
    command = [sys.executable, "-c", _KILLED, direction, place.key, str(path), str(after)]
    assert subprocess.run(command, cwd=_PROJECT, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("after", [1, 1_500_000, 5_000_000, 11_999_999])
def test_killed_download_is_completed(
    server: S3Server, root: StorageLocation, tmp_path: Path, after: int
) -> None:
    data = large(4)
    storage = S3Storage(_SMALL)
    storage.upload([Upload(data, root / "f.bin")])
    path = tmp_path / "f"
    run_and_kill("down", root / "f.bin", path, after)
    assert not path.exists()
    moved: list[int] = []
    storage.download(
        [Download(root / "f.bin", path, sha256(data))], progress=lambda _, n: moved.append(n)
    )
    assert path.read_bytes() == data
    assert sum(moved) <= len(data) - max(0, after - 3 * _MIB)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_killed_upload_shows_nothing_and_is_repeated(
    server: S3Server, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(5)
    (tmp_path / "f").write_bytes(data)
    storage = S3Storage(_SMALL)
    run_and_kill("up", root / "f.bin", tmp_path / "f", 1)
    assert list(storage.list(root)) == []
    [transfer] = storage.upload([Upload(tmp_path / "f", root / "f.bin")])
    assert transfer.outcome is Outcome.WRITTEN
    assert storage.read(root / "f.bin") == data


def test_two_downloads_into_one_file_are_refused(
    server: S3Server, root: StorageLocation, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="would be fetched from two objects"):
        S3Storage(_SMALL).download(
            [Download(root / "a", tmp_path / "f"), Download(root / "b", tmp_path / "f")]
        )


def test_writers_in_several_processes_lose_nothing(
    servers: dict[str, S3Server], root: StorageLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server honours conditions, as AWS does."""
    servers["moto"].make_bucket(_BUCKET)
    servers["moto"].use(monkeypatch)
    program = (
        "import sys\n"
        "from therock_outputs.layout import StorageLocation\n"
        "from therock_outputs.storage import S3Storage\n"
        "from therock_outputs.storage.s3 import RetryPolicy, S3Settings\n"
        "index = StorageLocation('therock-ci-artifacts', sys.argv[1])\n"
        "storage = S3Storage(S3Settings(retry=RetryPolicy(base_delay=0.01)))\n"
        "for n in range(5):\n"
        "    line = f'{sys.argv[2]}-{n}\\n'.encode()\n"
        "    storage.update(index, lambda old: (old or b'') + line)\n"
    )
    place = root / "index"
    command = [sys.executable, "-c", program, place.key]
    writers = [subprocess.Popen([*command, f"{n}"], cwd=_PROJECT) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = S3Storage().read(place).decode().split()
    assert sorted(lines) == sorted(f"{a}-{b}" for a in range(3) for b in range(5))
