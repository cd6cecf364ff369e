"""Who writes to S3: the role that the bucket table names, the runner itself, or nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server, moto_server
from tests.workflows.conftest import SPLIT
from tests.workflows.runner import JobResult, Runner
from therock_outputs.artifacts.sample_run import write_sample_run

_OURS, _EXTERNAL = "therock-ci-artifacts", "therock-ci-artifacts-external"
_KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
_ROLE = "Take the role that may write there"
_MADE = ["gfx94X-dcgpu", "multiarch"]
_INPUTS = {"run_id": SPLIT, "families": "gfx94X-dcgpu"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Buckets that anybody may read, and that only somebody with keys may write."""
    sample = write_sample_run(tmp_path_factory.mktemp("sample"), run_id=SPLIT).root
    with moto_server() as running:
        client = _client(running)
        for bucket in (_OURS, _EXTERNAL):
            running.make_bucket(bucket)
            places = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
            read = {"Effect": "Allow", "Principal": "*", "Resource": places,
                    "Action": ["s3:GetObject", "s3:ListBucket"]}  # fmt: skip
            policy = {"Version": "2012-10-17", "Statement": [read]}
            client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        for path in sample.rglob("*"):
            if path.is_file():
                key = f"{SPLIT}-linux/{path.relative_to(sample)}"
                client.put_object(Bucket=_OURS, Key=key, Body=path.read_bytes())
        client.close()
        yield running


def _client(server: S3Server):  # type: ignore[no-untyped-def]  # noqa: ANN202 - boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture
def runner(tmp_path: Path, server: S3Server) -> Runner:
    environ = {"AWS_ENDPOINT_URL_S3": server.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    return Runner(tmp_path / "machines", environ, role_environ=_KEYS)


def _job(runner: Runner) -> JobResult:
    return runner.run("build-tarballs.yml", _INPUTS).job("tarballs")


def _tarballs(server: S3Server, bucket: str, run: str) -> list[str]:
    """What a run's tarballs are of."""
    client = _client(server)
    listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{run}/tarballs/")
    client.close()
    names = [item["Key"] for item in listed.get("Contents", [])]
    found = (
        re.search(r"/therock-dist-linux-(.+)-7\.13\.0\.dev0\.tar\.gz$", name) for name in names
    )
    return [match[1] for match in found if match]


def test_job_takes_the_role_that_the_bucket_table_names(runner: Runner, server: S3Server) -> None:
    job = _job(runner)
    assert job.outcome == "success", job.log
    taken = job.step(_ROLE)
    assert taken.given["role-to-assume"] == "arn:aws:iam::692859939525:role/therock-ci"
    assert taken.given["aws-region"] == REGION
    assert _tarballs(server, _OURS, "7001-linux") == _MADE


def _fork(tmp_path: Path) -> Path:
    event = tmp_path / "event.json"
    head, base = ({"repo": {"full_name": f"{owner}/TheRock"}} for owner in ("someone", "ROCm"))
    event.write_text(json.dumps({"pull_request": {"head": head, "base": base}}))
    return event


def test_forks_pull_request_takes_no_role_and_uses_what_the_runner_has(
    runner: Runner, server: S3Server, tmp_path: Path
) -> None:
    fork = replace(runner, event=_fork(tmp_path), run_id="7002")
    job = _job(fork)
    assert job.step(_ROLE).outcome == "skipped"
    assert job.step("Upload").outcome == "failure"
    assert "a fork's pull request gets no write role" in job.log
    assert "::error::s3://therock-ci-artifacts-external/" in job.log
    assert "access denied" in job.log
    job = _job(replace(fork, environ={**fork.environ, **_KEYS}))
    assert job.outcome == "success", job.log
    assert job.step(_ROLE).outcome == "skipped"
    assert _tarballs(server, _EXTERNAL, "ROCm-TheRock/7002-linux") == _MADE


def test_other_repositories_take_a_role_only_when_their_owner_lists_them(
    runner: Runner, server: S3Server
) -> None:
    other = replace(runner, repository="someone/rocm", run_id="7003")
    job = _job(other)
    assert job.step(_ROLE).outcome == "skipped"
    assert "jobs of someone/rocm may not assume" in job.log
    assert job.outcome == "failure"
    other.variables["THEROCK_OUTPUTS_REPOSITORIES"] = "a/b, someone/rocm"
    job = _job(other)
    assert job.outcome == "success", job.log
    role = job.step(_ROLE).given["role-to-assume"]
    assert role == "arn:aws:iam::692859939525:role/therock-ci-external"
    assert _tarballs(server, _EXTERNAL, "someone-rocm/7003-linux") == _MADE
