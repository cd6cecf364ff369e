"""Downloads that grow: what a record vouches for, and what it must never be believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.partial import PartialFile

_SOURCE = StorageLocation("therock-ci-artifacts", "1-linux/f")


def begin(path: Path, *intervals: tuple[int, int], size: int = 100) -> None:
    """Leave a partial file as a killed process would."""
    partial = PartialFile(path, _SOURCE)
    partial.etag, partial.size = "tag", size
    for start, end in intervals:
        os.pwrite(partial.descriptor, b"x" * (end - start), start)
        partial.note(start, end)
    partial.close()


def test_record_is_taken_up_again(tmp_path: Path) -> None:
    begin(tmp_path / "f", (0, 10), (50, 60), (10, 20))
    partial = PartialFile(tmp_path / "f", _SOURCE)
    assert (partial.etag, partial.size, partial.done) == ("tag", 100, [(0, 20), (50, 60)])
    assert partial.gaps() == [(20, 50), (60, 100)]
    partial.note(20, 50)
    partial.close()
    assert PartialFile(tmp_path / "f", _SOURCE).gaps() == [(60, 100)]


def test_torn_last_line_is_ignored(tmp_path: Path) -> None:
    begin(tmp_path / "f", (0, 10), (10, 20))
    record = tmp_path / ".f.partial.json"
    record.write_text(record.read_text() + "[20, 3")
    assert PartialFile(tmp_path / "f", _SOURCE).done == [(0, 20)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "no json\n[0, 10]\n",
        '{"source": "s3://therock-ci-artifacts/1-linux/f", "etag": "tag"}\n[0, 10]\n',
        '{"source": "s3://therock-ci-artifacts/1-linux/g", "etag": "t", "size": 100}\n[0, 10]\n',
        '{"source": "s3://therock-ci-artifacts/1-linux/f", "etag": "t", "size": 100}\n[0, 11]\n',
        '{"source": "s3://therock-ci-artifacts/1-linux/f", "etag": "t", "size": 100}\n[-1, 5]\n',
        '{"source": "s3://therock-ci-artifacts/1-linux/f", "etag": "t", "size": 5}\n[0, 10]\n',
        '{"source": "s3://therock-ci-artifacts/1-linux/f", "etag": "t", "size": 100}\n[0]\n',
        '["source"]\n[0, 10]\n',
    ],
)
def test_record_that_makes_no_sense_is_not_believed(tmp_path: Path, text: str) -> None:
    begin(tmp_path / "f", (0, 10))
    (tmp_path / ".f.partial.json").write_text(text)
    partial = PartialFile(tmp_path / "f", _SOURCE)
    assert (partial.done, partial.size) == ([], None)
    assert os.fstat(partial.descriptor).st_size == 0
    partial.close()


def test_record_without_its_file_is_not_believed(tmp_path: Path) -> None:
    begin(tmp_path / "f", (0, 10))
    (tmp_path / ".f.partial").unlink()
    assert PartialFile(tmp_path / "f", _SOURCE).done == []


def test_nothing_is_left_of_a_download_that_got_nothing(tmp_path: Path) -> None:
    PartialFile(tmp_path / "f", _SOURCE).close()
    assert list(tmp_path.iterdir()) == []


def test_bytes_without_a_version_are_not_kept_for_later(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "f", _SOURCE)
    partial.size = 100
    partial.note(0, 10)
    partial.close()
    assert not (tmp_path / ".f.partial.json").exists()
    assert PartialFile(tmp_path / "f", _SOURCE).done == []


def test_second_process_goes_on_beside_the_first(tmp_path: Path) -> None:
    first = PartialFile(tmp_path / "f", _SOURCE)
    second = PartialFile(tmp_path / "f", _SOURCE)
    assert first.path != second.path
    for partial, text in ((second, b"two"), (first, b"one")):
        partial.etag, partial.size = "tag", 3
        os.pwrite(partial.descriptor, text, 0)
        partial.note(0, 1)
        partial.publish()
        assert (tmp_path / "f").read_bytes() == text
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_long_names_fit(tmp_path: Path) -> None:
    name = "n" * 255
    begin(tmp_path / name, (0, 10))
    assert PartialFile(tmp_path / name, _SOURCE).done == [(0, 10)]


def test_record_is_readable_text(tmp_path: Path) -> None:
    begin(tmp_path / "f", (0, 10), (20, 30))
    lines = (tmp_path / ".f.partial.json").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source": _SOURCE.s3_uri, "etag": "tag", "size": 100},
        [0, 10],
        [20, 30],
    ]
