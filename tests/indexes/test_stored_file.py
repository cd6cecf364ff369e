"""A wheel's metadata is read in a few ranges, however large the wheel is."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.python_files import wheel
from therock_outputs.indexes.distributions import parse_distribution, read_metadata
from therock_outputs.indexes.stored_file import StoredFile
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import LocalStorage, Upload

WHERE = StorageLocation("local-run", "7-linux/python/file")


class CountingStorage(LocalStorage):
    """A staging directory that notes what it is asked for."""

    def __init__(self, staging_dir: Path) -> None:
        super().__init__(staging_dir)
        self.asked: list[int] = []

    @contextmanager
    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> Iterator[BinaryIO]:
        assert length is not None
        self.asked.append(length)
        with super().open(location, start, length) as stream:
            yield stream


def stored(tmp_path: Path, data: bytes) -> tuple[CountingStorage, StoredFile]:
    storage = CountingStorage(tmp_path)
    storage.upload([Upload(data, WHERE)])
    return storage, StoredFile(storage, WHERE, len(data))


def test_metadata_of_a_large_wheel_takes_two_small_requests(tmp_path: Path) -> None:
    name, data = wheel("rocm-sdk-core", "1.0", content=os.urandom(5 << 20))
    storage, file = stored(tmp_path, data)
    metadata = read_metadata(io.BufferedReader(file, 16 << 10), parse_distribution(name))
    assert metadata.startswith(b"Metadata-Version: 2.1")
    assert len(storage.asked) <= 2
    assert sum(storage.asked) <= 128 << 10


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_every_read_gives_the_bytes_of_the_file(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    _, file = stored(tmp_path, data)
    plain = io.BytesIO(data)
    chance = random.Random(size)
    for _ in range(200):
        position, length = chance.randint(0, size + 5), chance.randint(0, size + 5)
        assert file.seek(position) == plain.seek(position)
        assert file.read(length) == plain.read(length)
        assert file.tell() == plain.tell()


def test_place_before_the_first_byte_is_refused(tmp_path: Path) -> None:
    _, file = stored(tmp_path, b"x")
    with pytest.raises(ValueError, match="nothing before its first byte"):
        file.seek(-2, io.SEEK_END)
