"""Tarballs of an install prefix: unpacked whole or not at all, and what they may not hold."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.running import tree
from therock_outputs.artifacts.tarball_reader import open_tarball
from therock_outputs.artifacts.unpack import PREFIX_MARKER, check_prefix, unpack_tarball
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError, OutputsError

_MEMBERS = (
    make.directory("./"),
    make.directory("bin"),
    make.file("bin/tool", b"#!/bin/sh\n", mode=0o755),
    make.file("./lib/libx.so.1", b"x" * 5000),
    make.symlink("lib/libx.so", "libx.so.1"),
    make.hardlink("lib/same", "./lib/libx.so.1"),
)
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.zst": make.zst,
    ".tar.xz": make.xz,
}


def _tarball(directory: Path, *members: bytes, ending: str = ".tar.gz") -> Path:
    path = directory / f"rocm{ending}"
    path.write_bytes(_COMPRESSORS[ending](b"".join(members) + make.END))
    return path


@pytest.mark.parametrize("ending", _COMPRESSORS)
def test_tarball_becomes_a_prefix(tmp_path: Path, ending: str) -> None:
    tarball = _tarball(tmp_path, *_MEMBERS, ending=ending)
    counted: list[int] = []
    unpacked = unpack_tarball(
        tarball, tmp_path / "rocm", note=b"it", progress=lambda _, count: counted.append(count)
    )
    assert unpacked.files == 4
    assert sum(counted) == tarball.stat().st_size
    found = tree(tmp_path / "rocm")
    assert set(found) == {
        *("bin", "bin/tool", "lib", "lib/libx.so", "lib/libx.so.1", "lib/same", PREFIX_MARKER),
    }
    assert found["lib/libx.so"] == "-> libx.so.1"
    assert found["bin/tool"].startswith("755 ")
    assert (tmp_path / "rocm/lib/same").samefile(tmp_path / "rocm/lib/libx.so.1")
    assert (tmp_path / "rocm" / PREFIX_MARKER).read_bytes() == b"it"
    check_prefix(tmp_path / "rocm")
    unpack_tarball(tarball, tmp_path / "rocm")
    assert (tmp_path / "rocm" / PREFIX_MARKER).read_bytes() == b""


def test_tarball_of_several_gzip_members_and_pythons_headers(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a" * 150, "deep/" * 30 + "ü"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    data = buffer.getvalue()
    pieces = [gzip.compress(data[at : at + 700]) for at in range(0, len(data), 700)]
    (tmp_path / "x.tar.gz").write_bytes(b"".join(pieces))
    assert unpack_tarball(tmp_path / "x.tar.gz", tmp_path / "rocm").files == 2


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (make.file("../x"), "climbs"),
        (make.file("/etc/x"), "absolute"),
        (make.file("a\\b"), "backslash"),
        (make.symlink("up", "../x"), "leads out"),
        (make.symlink("abs", "/etc"), "leads out"),
        (make.hardlink("hard", "/etc/passwd"), "not an earlier file"),
        (make.header("pipe", kind=b"6"), "named pipe"),
        (make.header("dev", kind=b"3"), "character device"),
        (make.file("bin/tool", b"2"), "there twice"),
        (make.file("bin/tool/x"), "no folder"),
        (make.symlink("lib2", "lib") + make.file("lib2/x"), "no folder"),
        (
            make.directory("a") + make.symlink("a/up", "..") + make.symlink("b", "a/up/../x"),
            "through other links",
        ),
        (b"\1" * 512, "checksum|not a number"),
    ],
)
def test_tarball_that_reaches_out_leaves_nothing(tmp_path: Path, member: bytes, said: str) -> None:
    (tmp_path / "in").mkdir()
    tarball = _tarball(tmp_path / "in", *_MEMBERS, member)
    with pytest.raises(IntegrityError, match=said) as raised:
        unpack_tarball(tarball, tmp_path / "rocm")
    assert str(raised.value).startswith("rocm.tar.gz: ")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_tarball_may_not_hold_our_marker(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="kept for us"):
        unpack_tarball(_tarball(tmp_path, make.file(PREFIX_MARKER)), tmp_path / "rocm")


@pytest.mark.parametrize("ending", _COMPRESSORS)
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_damaged_tarball_is_named(tmp_path: Path, ending: str, damage: str) -> None:
    tarball = _tarball(tmp_path, *_MEMBERS, ending=ending)
    data = bytearray(tarball.read_bytes())
    data[len(data) // 2] ^= 0x10
    damaged = {"cut": data[:-9], "flip": data, "empty": b"", "text": b"<html>" * 100}[damage]
    tarball.write_bytes(bytes(damaged))
    with pytest.raises(IntegrityError, match=tarball.name):
        unpack_tarball(tarball, tmp_path / "rocm")
    assert not (tmp_path / "rocm").exists()


def test_file_that_is_no_tarball_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not the name of a tarball"):
        open_tarball(tmp_path / "x.zip")
    with pytest.raises(NotFoundError, match="no such tarball"):
        open_tarball(tmp_path / "x.tar.gz")
    (tmp_path / "d.tar.gz").mkdir()
    with pytest.raises(OutputsError, match="cannot be read"):
        open_tarball(tmp_path / "d.tar.gz")
