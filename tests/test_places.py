"""Where a task reads and writes, and how its user is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout.names import Platform
from therock_outputs.places import places_of
from therock_outputs.settings import Settings


def test_source_and_destination_are_one_run_by_default() -> None:
    places = places_of(Settings(run_id="4711"), environ={})
    assert places.source.root.s3_uri == "s3://therock-ci-artifacts/4711-linux/"
    assert places.destination.root == places.source.root
    assert not places.is_local


def test_outputs_of_ci_go_under_its_own_run() -> None:
    environ = {"GITHUB_RUN_ID": "5000", "GITHUB_REPOSITORY": "someone/else"}
    places = places_of(Settings(run_id="4711"), environ=environ)
    assert places.source.root.s3_uri == "s3://therock-ci-artifacts/4711-linux/"
    expected = "s3://therock-ci-artifacts-external/someone-else/5000-linux/"
    assert places.destination.root.s3_uri == expected


@pytest.mark.parametrize(
    ("settings", "upload", "source", "destination"),
    [
        ({"bucket": "mine"}, {}, "s3://mine/7-linux/", "s3://mine/7-linux/"),
        ({"prefix": "a/"}, {}, "therock-ci-artifacts/a/7-linux/", "a/7-linux/"),
        ({"bucket": "mine"}, {"upload_bucket": "yours"}, "mine/7-linux/", "yours/7-linux/"),
        ({"prefix": "a"}, {"upload_prefix": ""}, "s/a/7-linux/", "artifacts/7-linux/"),
        ({"upload_run_id": "8"}, {"upload_prefix": "b/c"}, "s/7-linux/", "s/b/c/8-linux/"),
    ],
)
def test_flags_move_each_of_the_two(
    settings: dict[str, str], upload: dict[str, str], source: str, destination: str
) -> None:
    places = places_of(Settings(run_id="7", **settings), environ={}, **upload)  # type: ignore[arg-type]
    assert places.source.root.s3_uri.endswith(source)
    assert places.destination.root.s3_uri.endswith(destination)


def test_run_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="--run-id"):
        places_of(Settings(), environ={})


def test_url_is_a_path_in_a_staging_directory(tmp_path: Path) -> None:
    places = places_of(Settings(run_id="7", staging_dir=tmp_path), environ={})
    assert places.is_local
    url = places.url(places.destination.tarball("a+b.tar.gz"))
    assert url == f"{tmp_path}/7-linux/tarballs/a+b.tar.gz"


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({}, "https://therock-ci-artifacts.s3.amazonaws.com/"),
        ({"AWS_ENDPOINT_URL_S3": ""}, "https://therock-ci-artifacts.s3.amazonaws.com/"),
        ({"AWS_ENDPOINT_URL": "http://localhost:9"}, "http://localhost:9/therock-ci-artifacts/"),
        (
            {"AWS_ENDPOINT_URL": "http://no", "AWS_ENDPOINT_URL_S3": "https://s3.local/x/"},
            "https://s3.local/x/therock-ci-artifacts/",
        ),
    ],
)
def test_url_is_at_the_server_that_is_asked(environ: dict[str, str], start: str) -> None:
    places = places_of(Settings(run_id="7", platform=Platform.WINDOWS), environ=environ)
    url = places.url(places.destination.tarball("a+b.tar.gz"))
    assert url == f"{start}7-windows/tarballs/a%2Bb.tar.gz"


def test_each_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="therock_outputs"):
        places_of(Settings(run_id="7", bucket="mine"), environ={})
    assert len(caplog.messages) == len(set(caplog.messages)) == 3
    assert caplog.messages[0].startswith("read and written: s3://mine/7-linux/")


def test_fork_pull_request_of_this_job_decides_where_it_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    event = tmp_path / "event.json"
    sides = {
        side: {"repo": {"full_name": name}}
        for side, name in {"head": "someone/TheRock", "base": "ROCm/TheRock"}.items()
    }
    event.write_text(json.dumps({"pull_request": sides}))
    environ = {"GITHUB_EVENT_PATH": str(event), "GITHUB_RUN_ID": "5000"}
    with caplog.at_level(logging.INFO, logger="therock_outputs"):
        places = places_of(Settings(run_id="4711"), environ=environ)
    assert places.source.bucket == "therock-ci-artifacts"
    assert places.destination.bucket == "therock-ci-artifacts-external"
    assert places.destination.write_role is None
    assert [m for m in caplog.messages if m.startswith(("read: ", "written: "))]
