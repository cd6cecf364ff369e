#!/usr/bin/env python3
"""Run the whole chain on a real run, in a staging directory and on two S3 servers, and compare.

    .venv/bin/python benchmarks/check_full_run.py RUN_DIRECTORY [--name full]

The run is copied to a staging directory, to ``rclone serve s3`` and to moto's server, and released
there by ``./inv release``, twice: the second call must find everything done. Then every object of
the run is compared, byte for byte. Figures are kept in ``benchmarks/results/chain-NAME.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.servers import (  # noqa: E402 - found only now
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    S3Server,
    by_page,
    moto_server,
    rclone_server,
)

RESULTS = PROJECT / "benchmarks" / "results"
BUCKET = "chain-check"


def release(run_id: str, work: Path, *flags: str, **environ: str) -> float:
    """Release a run as a user would; wall seconds."""
    command = [str(PROJECT / "inv"), "release", "--run-id", run_id, "--work-dir", str(work), *flags]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | environ)
    return round(time.perf_counter() - start, 2)


def client(server: S3Server) -> Any:  # noqa: ANN401 - boto3 has no types
    """A plain client, for putting the run there and reading the result."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            s3={"addressing_style": "path"}, response_checksum_validation="when_required"
        ),
    )


def files_of(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a directory, by its relative name."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path


def digest_of_object(s3: Any, key: str) -> str:  # noqa: ANN401
    """SHA-256 of an object, streamed."""
    digest = hashlib.sha256()
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"]
    while block := body.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def on_server(server: S3Server, run: Path, work: Path) -> dict[str, Any]:
    """Put the run on a server, release it there twice; times and digests of all objects."""
    server.make_bucket(BUCKET)
    s3 = client(server)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda f: s3.upload_file(str(f[1]), BUCKET, f"{run.name}/{f[0]}"), files_of(run)
            )
        )
    environ = {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    run_id = run.name.rpartition("-")[0]
    times = [release(run_id, work, "--bucket", BUCKET, **environ) for _ in range(2)]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{run.name}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    digests = {key[len(run.name) + 1 :]: digest_of_object(s3, key) for key in keys}
    return {"first_s": times[0], "again_s": times[1], "digests": digests}


def in_staging(run: Path, work: Path) -> dict[str, Any]:
    """The same in a staging directory."""
    staging = work / "staging"
    shutil.copytree(run, staging / run.name)
    run_id = run.name.rpartition("-")[0]
    times = [release(run_id, work / "work", "--staging-dir", str(staging)) for _ in range(2)]
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files_of(staging / run.name)
    }
    return {"first_s": times[0], "again_s": times[1], "digests": digests}


def main() -> None:
    """Release everywhere, compare, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run's directory, {run}-linux, with its archives")
    parser.add_argument("--name", default="full", help="which figures these are")
    parser.add_argument("--scratch", type=Path, help="a directory with 15 GB free for the full run")
    options = parser.parse_args()
    run = options.run.resolve()
    with tempfile.TemporaryDirectory(prefix="chain-", dir=options.scratch) as scratch:
        base = Path(scratch)
        places = {"staging": in_staging(run, base / "local")}
        (base / "objects").mkdir()
        servers = {"rclone": rclone_server(base / "objects"), "moto": moto_server()}
        for name, starting in servers.items():
            with starting as server:
                places[name] = on_server(server, run, base / f"work-{name}")
            shutil.rmtree(base / f"work-{name}")
    expected = places["staging"].pop("digests")
    for name in ("rclone", "moto"):
        found = places[name].pop("digests")
        ours, theirs = by_page(expected, name), by_page(found)
        differing = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
        if differing:
            sys.exit(f"{name} and the staging directory differ in {differing[:5]}")
    figures = {
        "run": options.name,
        "objects": len(expected),
        "objects_equal_everywhere": True,
        **places,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"chain-{options.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
