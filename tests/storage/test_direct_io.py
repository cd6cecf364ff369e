"""Writing files in blocks past the page cache, and the usual way where that is not to be had."""

from __future__ import annotations

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from therock_outputs.storage.direct_io import BLOCK, DirectFile, DirectStream, Disk, block

_CONTENT = random.Random(4).randbytes(2 * BLOCK + 4096 + 17)


class _Clock:
    """Every look at it finds it so many seconds later."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def _write(path: Path, content: bytes, disk: Disk) -> None:
    file, space = DirectFile(path, disk), block()
    for offset in range(0, len(content), BLOCK):
        piece = content[offset : offset + BLOCK]
        space[: len(piece)] = piece
        file.put(space[: len(piece)], offset)
    file.close()
    file.close()


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, len(_CONTENT)]
)
def test_a_file_holds_what_was_put_at_every_size(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"longer, from before" * 300_000)
    _write(tmp_path / "file", _CONTENT[:size], Disk())
    assert (tmp_path / "file").read_bytes() == _CONTENT[:size]


def test_many_threads_write_blocks_in_any_order(tmp_path: Path) -> None:
    content = _CONTENT * 3
    file = DirectFile(tmp_path / "file", Disk())

    def put(offset: int) -> None:
        piece, space = content[offset : offset + BLOCK], block()
        space[: len(piece)] = piece
        file.put(space[: len(piece)], offset)

    offsets = list(range(0, len(content), BLOCK))
    random.Random(2).shuffle(offsets)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, offsets))
    file.close()
    assert (tmp_path / "file").read_bytes() == content


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each descriptor that is opened from now on is a direct one."""
    ways: list[bool] = []
    real = os.open

    def spy(path: Path, flags: int, mode: int = 0o777) -> int:
        ways.append(bool(flags & os.O_DIRECT))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", spy)
    return ways


@pytest.mark.parametrize(("rate", "ways"), [(2e9, [True]), (2e8, [True, False])])
def test_a_slow_disk_is_left_to_the_kernel(
    tmp_path: Path, opened: list[bool], rate: float, ways: list[bool]
) -> None:
    disk = Disk(_Clock(BLOCK / rate))
    _write(tmp_path / "file", _CONTENT * 17, disk)
    assert opened == ways
    assert disk.is_fast == (len(ways) == 1)
    assert (tmp_path / "file").read_bytes() == _CONTENT * 17


def test_time_in_which_several_threads_write_counts_once() -> None:
    clock = _Clock(0.0)
    disk = Disk(clock)
    with disk.writing(50 * BLOCK), disk.writing(50 * BLOCK):
        clock.now += 100 * BLOCK / 700e6  # each at 350 MB/s
    assert disk.is_fast
    with disk.writing(BLOCK):
        clock.now += 1
    assert not disk.is_fast


@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_a_file_system_without_direct_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    refused = []
    real_open, real_pwrite = os.open, os.pwrite
    direct: set[int] = set()

    def refuse() -> OSError:
        refused.append(call)
        return OSError(errno.EINVAL, "no direct writes here")

    def fake_open(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT and call == "open":
            raise refuse()
        descriptor = real_open(path, flags, mode)
        if flags & os.O_DIRECT:
            direct.add(descriptor)
        return descriptor

    def fake_pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        if descriptor in direct:
            raise refuse()
        return real_pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "open", fake_open)
    monkeypatch.setattr(os, "pwrite", fake_pwrite)
    _write(tmp_path / "file", _CONTENT, Disk())
    assert refused == [call]
    assert (tmp_path / "file").read_bytes() == _CONTENT


def test_other_refusals_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        DirectFile(tmp_path / "missing/file", Disk())
    file = DirectFile(tmp_path / "file", Disk())

    def full(_descriptor: int, _data: memoryview, _offset: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="full"):
        file.put(block(), 0)
    file.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "file").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"(?i)symbolic links"):
        DirectFile(tmp_path / "file", Disk())
    assert (tmp_path / "elsewhere").read_text() == "kept"


@pytest.mark.parametrize("step", [1 << 20, BLOCK, BLOCK + 5, 99_991])
@pytest.mark.parametrize("rate", [2e9, 2e8], ids=["fast", "slow"])
def test_a_stream_is_written_in_pieces_of_any_size(tmp_path: Path, step: int, rate: float) -> None:
    content = _CONTENT * (17 if rate < 1e9 else 1)
    with DirectStream(tmp_path / "file", Disk(_Clock(BLOCK / rate))) as stream:
        for at in range(0, len(content), step):
            stream.write(content[at : at + step])
        stream.sync()
    assert (tmp_path / "file").read_bytes() == content


def test_a_stream_can_be_read_back_while_it_grows(tmp_path: Path) -> None:
    seeded = random.Random(8)
    with DirectStream(tmp_path / "file", Disk()) as stream:
        stream.write(b"")
        assert stream.read_back(0, 9) == b""
        for end in range(0, len(_CONTENT), 700_001):
            stream.write(_CONTENT[end : end + 700_001])
            written = min(end + 700_001, len(_CONTENT))
            for _ in range(20):
                at = seeded.randrange(written)
                piece = stream.read_back(at, 5_000)
                assert piece
                assert piece == _CONTENT[at : at + len(piece)]
                assert len(piece) == min(5_000, written - at) or (at + len(piece)) % BLOCK == 0
        stream.sync()
    assert (tmp_path / "file").read_bytes() == _CONTENT


def test_a_stream_goes_on_after_it_was_synced(tmp_path: Path) -> None:
    with DirectStream(tmp_path / "file", Disk()) as stream:
        for at in range(0, len(_CONTENT), 1_000_003):
            stream.write(memoryview(_CONTENT)[at : at + 1_000_003])
            stream.sync()
            assert (tmp_path / "file").stat().st_size == min(at + 1_000_003, len(_CONTENT))
    assert (tmp_path / "file").read_bytes() == _CONTENT
