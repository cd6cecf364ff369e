"""Wheels as other programs read them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from therock_outputs.errors import ConflictError
from therock_outputs.python_packages.wheel import Packed, WheelMetadata, WheelWriter, pack

MTIME = 1_700_000_000
METADATA = WheelMetadata(
    distribution="rocm-sdk-core",
    version="7.13.0",
    summary="A summary",
    platform_tag="manylinux_2_28_x86_64.linux_x86_64",
    description="# Title\n\nText.\n",
    requires=("other==7.13.0",),
    entry_points={"tool": "pkg:tool"},
)


def write(directory: Path, members: dict[str, bytes], name: str = "a.whl") -> Path:
    with WheelWriter(directory / name, MTIME) as writer:
        for path, data in members.items():
            writer.add(path, pack(data, 6), executable=path.startswith("bin/"))
        written = writer.finish(METADATA)
    data = written.path.read_bytes()
    assert (written.size, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    return written.path


def test_members_come_back_with_mode_and_digest(tmp_path: Path) -> None:
    members = {
        "bin/tool": b"#!/bin/sh\n" * 100,
        "p/empty": b"",
        "p/noise": hashlib.shake_256(b"x").digest(5000),
        'p/Überblick, "der".txt': b"text",
    }
    path = write(tmp_path, members)
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
        for name, data in members.items():
            info = wheel.getinfo(name)
            assert wheel.read(info) == data
            assert info.external_attr >> 16 == (0o100755 if name == "bin/tool" else 0o100644)
            assert info.date_time == (2023, 11, 14, 22, 13, 20)
        assert wheel.getinfo("p/noise").compress_type == zipfile.ZIP_STORED
        assert wheel.namelist()[-1] == "rocm_sdk_core-7.13.0.dist-info/RECORD"
        record = wheel.read("rocm_sdk_core-7.13.0.dist-info/RECORD").decode().splitlines()
        assert len(record) == len(wheel.namelist())
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"text").digest()).decode().rstrip("=")
        assert f'"p/Überblick, ""der"".txt",sha256={digest},4' in record
        wheel_file = wheel.read("rocm_sdk_core-7.13.0.dist-info/WHEEL").decode()
        assert "Tag: py3-none-manylinux_2_28_x86_64\nTag: py3-none-linux_x86_64\n" in wheel_file


def test_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    members = {"a": b"1" * 1000, "b": b"2"}
    first = write(tmp_path, members, "first.whl").read_bytes()
    assert write(tmp_path, members, "second.whl").read_bytes() == first


def test_copy_of_a_member_is_not_compressed_again(tmp_path: Path) -> None:
    content = b"content" * 1000
    packed = pack(content, 6)
    with WheelWriter(tmp_path / "a.whl", MTIME) as writer:
        writer.add("one", packed)
        writer.add_again("two", "one", executable=True)
        path = writer.finish(METADATA).path
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
        assert wheel.read("two") == content


def test_file_that_is_stored_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    content = hashlib.shake_256(b"s").digest(3 << 20)
    source.write_bytes(content)
    with WheelWriter(tmp_path / "a.whl", MTIME) as writer:
        digest = hashlib.sha256(content).digest()
        packed = Packed(len(content), zlib.crc32(content), digest, b"", stored=True, source=source)
        writer.add("it", packed)
        path = writer.finish(METADATA).path
    with zipfile.ZipFile(path) as wheel:
        assert wheel.read("it") == content


def test_name_twice_is_a_conflict(tmp_path: Path) -> None:
    with WheelWriter(tmp_path / "a.whl", MTIME) as writer:
        writer.add("x", pack(b"1", 6))
        with pytest.raises(ConflictError, match=r"a\.whl: two files claim 'x'"):
            writer.add("x", pack(b"2", 6))
    assert list(tmp_path.iterdir()) == []


def test_member_of_over_4_gb_has_zip64_headers(tmp_path: Path) -> None:
    size = (1 << 32) + 5
    huge = Packed(size, 0x1234, bytes(32), zlib.compress(b"not its data", wbits=-15))
    with WheelWriter(tmp_path / "a.whl", MTIME) as writer:
        writer.add("huge", huge)
        writer.add("next", pack(b"next", 6))
        path = writer.finish(METADATA).path
    with zipfile.ZipFile(path) as wheel:
        assert wheel.getinfo("huge").file_size == size
        assert wheel.getinfo("huge").compress_size == len(huge.data)
        assert wheel.read("next") == b"next"
        assert (
            f"huge,sha256={'A' * 43},{size}"
            in wheel.read("rocm_sdk_core-7.13.0.dist-info/RECORD").decode()
        )


def test_more_than_65535_members_have_a_zip64_end(tmp_path: Path) -> None:
    packed = pack(b"", 6)
    with WheelWriter(tmp_path / "a.whl", MTIME) as writer:
        for number in range(65_536):
            writer.add(f"f{number}", packed)
        path = writer.finish(METADATA).path
    with zipfile.ZipFile(path) as wheel:
        assert len(wheel.namelist()) == 65_536 + 4


def test_pip_takes_the_wheel_and_keeps_what_is_executable(tmp_path: Path) -> None:
    wheel = write(tmp_path, {"bin/tool": b"#!/bin/sh\n"}, METADATA_NAME)
    target = tmp_path / "site"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--disable-pip-version-check", "--target", target, "--platform", "linux_x86_64",
            "--only-binary", ":all:", wheel,
        ],
        check=True,
    )  # fmt: skip
    assert (target / "bin/tool").stat().st_mode & 0o111


METADATA_NAME = "rocm_sdk_core-7.13.0-py3-none-manylinux_2_28_x86_64.linux_x86_64.whl"
