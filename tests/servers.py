"""Real S3 servers on the loopback interface, for tests of any room."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
REGION = "us-east-2"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and how to reach it."""

    name: str
    endpoint: str
    signed: bool = True
    """Whether it wants credentials."""

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point this test's environment at the server, and at nothing else."""
        clean_environment(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", self.endpoint)
        if self.signed:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)

    def make_bucket(self, bucket: str) -> None:
        """A bucket of this name, if there is none yet."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )
        existing = {entry["Name"] for entry in client.list_buckets()["Buckets"]}
        if bucket not in existing:
            client.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        client.close()


def by_page(objects: Mapping[str, str], server: str | None = None) -> dict[str, set[str]]:
    """Digests by one key for each page of a pip index, however a server holds it.

    A staging directory has the page of a project at ``simple/{project}/index.html``, S3 at
    ``simple/{project}/`` as well. rclone, which keeps objects in files, has it at
    ``simple/{project}`` and nothing below: no JSON either, which is then not looked for.
    """
    held: dict[str, set[str]] = {}
    for key, digest in objects.items():
        above, simple, page = key.partition("/simple/")
        if server == "rclone" and page.endswith("/index.json"):
            continue
        page = page.removesuffix("index.html").removesuffix("/")
        held.setdefault(above + simple + page, set()).add(digest)
    return held


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's AWS settings, and no question to a cloud's metadata."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """moto: honours the conditions of writes, keeps objects in memory, checks no digest."""
    with _running([_tool("moto_server"), "-H", "127.0.0.1", "-p", "0"]) as endpoint:
        yield S3Server("moto", endpoint)


@contextmanager
def rclone_server(directory: Path, *, signed: bool = True) -> Iterator[S3Server]:
    """Rclone over a directory whose children are the buckets: ignores all conditions."""
    command = [_tool("rclone"), "serve", "s3", "--addr", "127.0.0.1:0", "--config", os.devnull]
    if signed:
        command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    with _running([*command, str(directory)]) as endpoint:
        yield S3Server("rclone", endpoint, signed)


@contextmanager
def _running(command: list[str]) -> Iterator[str]:
    """A server process, by the address that it says it listens at."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                match = _ADDRESS.search(line)
                if match:
                    break
            else:
                raise AssertionError(f"{command[0]} did not start: {''.join(said)}")
            # A full pipe would stop the server.
            drain = threading.Thread(target=process.stderr.read, daemon=True)
            drain.start()
            yield match[0]
        finally:
            process.terminate()
            process.wait()
            drain.join()


def _tool(name: str) -> str:
    """A program of the environment that the tests run in."""
    return str(Path(sys.prefix) / "bin" / name)
