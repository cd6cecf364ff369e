"""Heads of deb and rpm files, as tools make them and as nobody should."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import createrepo_c
import pytest

from tests.native_files import deb, put, rpm
from tests.running import ROOT
from therock_outputs.errors import IntegrityError
from therock_outputs.indexes.repositories import apt
from therock_outputs.indexes.repositories import rpm as rpms
from therock_outputs.indexes.repositories.deb_file import parse_paragraph, read_control
from therock_outputs.indexes.repositories.unpack import unpack_index

DIGEST = "a" * 64


def ar(*members: tuple[str, bytes]) -> io.BytesIO:
    data = b"!<arch>\n"
    for name, body in members:
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
        data += body + b"\n" * (len(body) % 2)
    return io.BytesIO(data)


def tar(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_packages_of_dpkg_are_read(tmp_path: Path, compression: str) -> None:
    control = tmp_path / "package/DEBIAN/control"
    control.parent.mkdir(parents=True)
    text = (
        "Package: rocm-core\nVersion: 1:7.13~1-2\nArchitecture: amd64\n"
        "Maintainer: Ä <a@example.com>\nDescription: words\n"
    )
    control.write_text(text)
    path = tmp_path / "rocm-core.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--uniform-compression", "--build",
         str(tmp_path / "package"), str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with path.open("rb") as stream:
        entry = apt.read_package(stream, "pool/main/rocm-core.deb", 10, DIGEST)
    assert entry.identity == ("rocm-core", "1:7.13~1-2", "amd64")
    assert entry.record[0].decode() == (
        f"{text}Filename: pool/main/rocm-core.deb\nSize: 10\nSHA256: {DIGEST}\n"
    )


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (io.BytesIO(b""), "it does not begin as one"),
        (io.BytesIO(b"!<arch>\n"), "it ends early"),
        (ar(("debian-binary", b"2.0\n"), ("data.tar", b"")), "it has no control.tar before its"),
        (ar(("control.tar.lzma", b"x")), r"control\.tar\.lzma is packed in a way that is not"),
        (ar(("control.tar.gz", b"not gzip")), "incorrect header check"),
        (ar(("control.tar.xz", b"not xz")), "Input format not supported"),
        (ar(("control.tar.zst", b"not zstd")), "zstd decompress error"),
        (ar(("control.tar", b"not a tar")), "no whole Debian package"),
        (ar(("control.tar", tar("./other", b"x"))), "without a control file"),
        (ar(("control.tar", tar("control", b"\xff\xff"))), "utf-8"),
    ],
)
def test_what_is_no_deb_is_named(stream: io.BytesIO, reason: str) -> None:
    with pytest.raises(IntegrityError, match=rf"^x\.deb .*{reason}"):
        read_control(stream, "x.deb")


def test_control_archive_that_grows_without_bound_is_refused() -> None:
    bomb = ar(("control.tar.gz", gzip.compress(bytes(32 << 20))))
    with pytest.raises(IntegrityError, match="unpacks to more than"):
        read_control(bomb, "x.deb")


def test_paragraph_keeps_continuation_lines() -> None:
    fields = parse_paragraph("A: 1\u2028\x85\nDescription: x\n more\n .\n", "file")
    assert fields["Description"] == "x\n more\n ."


@pytest.mark.parametrize(
    "text", [" first", "no field", "A: 1\nA: 2", "-A: 1", "A: 1\n\nB: 2", "A: 1\n \nB: 2"]
)
def test_paragraph_that_is_none_is_named(text: str) -> None:
    with pytest.raises(IntegrityError, match="file has a control file with the line"):
        parse_paragraph(text, "file")


def test_package_for_another_architecture_is_refused() -> None:
    name, data = deb("a", architecture="arm64")
    with pytest.raises(IntegrityError, match="a is for arm64, and the repository for amd64"):
        apt.read_package(io.BytesIO(data), name, len(data), DIGEST)


@pytest.mark.parametrize("field", ["Version", "Architecture"])
def test_package_without_a_needed_field_is_refused(field: str) -> None:
    control = "Package: a\nVersion: 1\nArchitecture: all\n"
    lines = [line for line in control.splitlines(keepends=True) if not line.startswith(field)]
    stream = ar(("control.tar", tar("control", "".join(lines).encode())))
    with pytest.raises(IntegrityError, match=rf"x\.deb: a has no {field}"):
        apt.read_package(stream, "x.deb", 1, DIGEST)


def test_rpm_entry_equals_what_createrepo_makes_of_the_whole_file(tmp_path: Path) -> None:
    name, data = rpm("rocm-core", "7.13.0~20251124", requires="libc.so.6()(64bit)")
    (path,) = put(tmp_path, (name, data))
    package = createrepo_c.package_from_rpm(str(path), createrepo_c.SHA256, name, None, 10)
    package.time_file = package.time_build
    entry = rpms.read_package(io.BytesIO(data), name, len(data), package.pkgId)
    assert entry.record == (
        createrepo_c.xml_dump_primary(package).encode(),
        createrepo_c.xml_dump_filelists(package).encode(),
        createrepo_c.xml_dump_other(package).encode(),
    )
    assert entry.identity == ("rocm-core", "7.13.0~20251124-1", "x86_64")


def test_rpm_with_a_broken_header_is_named() -> None:
    name, data = rpm("a")
    begin = data.index(b"\x8e\xad\xe8\x01", 200)
    for broken in (data[:begin] + b"X" + data[begin + 1 :], data[: begin + 100]):
        with pytest.raises(IntegrityError, match=rf"{name} is no whole rpm"):
            rpms.read_package(io.BytesIO(broken), name, len(broken), DIGEST)
    garbage = data[: begin + 16] + b"\xff" * 64 + data[begin + 80 :]
    with pytest.raises(IntegrityError, match=rf"{name} has headers that rpm cannot read"):
        rpms.read_package(io.BytesIO(garbage), name, len(garbage), DIGEST)


def test_rpms_are_read_silently_where_rpm_is_not_installed(tmp_path: Path) -> None:
    (path,) = put(tmp_path, rpm("a"))
    program = f"""
from pathlib import Path
from therock_outputs.indexes.repositories import rpm, rpm_file
rpm_file._RPM = Path("/nonexistent")
with Path({str(path)!r}).open("rb") as stream:
    print(rpm.read_package(stream, "a.rpm", 1, "{DIGEST}").identity)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("('a', '1.0-1', 'x86_64')\n", "")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_damaged_metadata_is_named(suffix: str) -> None:
    with pytest.raises(IntegrityError, match=rf"place: x{suffix} cannot be unpacked"):
        unpack_index(b"damaged", f"x{suffix}", "place")
