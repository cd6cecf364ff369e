"""Which files may be executed, in a deb and in an rpm."""

from __future__ import annotations

import struct

import pytest

from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.elf_traits import elf_traits
from therock_outputs.native_packages.modes import Use, packaged_mode, use_of
from therock_outputs.native_packages.package import PackageFormat

DEB, RPM = PackageFormat.DEB, PackageFormat.RPM
LIBRARY = sample_elf.shared_library("liba.so.1", ["f"])
I386 = struct.pack(
    "<16sHHIIIIIHHHHHH8I2I", b"\x7fELF\x01\x01\x01", 3, 3, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0,
    2, 84, 0, 0, 8, 8, 4, 4, 14, 1,
)  # fmt: skip
"""A header, one program header, and a dynamic section without its end."""
OTHER_ORDER = struct.pack(">16sHHIIIIIHHHHHH", b"\x7fELF\x01\x02\x01", 3, 20, 1, *[0] * 10)


@pytest.mark.parametrize(
    ("path", "data", "use"),
    [
        ("lib/liba.so.1", LIBRARY, Use.LIBRARY),
        ("lib/python/a.so", sample_elf.shared_library("", ["f"]), Use.LIBRARY),
        ("lib/misnamed.co", LIBRARY, Use.LIBRARY),
        ("bin/tool", sample_elf.program("hello"), Use.PROGRAM),
        ("lib/liba-32.so", I386, Use.LIBRARY),
        ("lib/liba-big-endian.so", OTHER_ORDER, Use.PROGRAM),
        ("lib/a.o", sample_elf.object_file("f", b"\xc3"), Use.DATA),
        ("lib/gfx942.co", sample_elf.gpu_code_object("gfx942", 512), Use.DATA),
        ("lib/libgfx942.so", sample_elf.gpu_code_object("gfx942", 512), Use.DATA),
        ("bin/script", b"#!/bin/sh\n", Use.PROGRAM),
        ("bin/HIP/Module.pm", b"#!/usr/bin/perl\n1;\n", Use.MODULE),
        ("bin/HIP/Plain.pm", b"package Plain;\n1;\n", Use.DATA),
        ("bin/without-first-line", b"echo hello\n", Use.DATA),
        ("share/empty", b"", Use.DATA),
        ("share/short", b"\x7fELF", Use.PROGRAM),
    ],
)
def test_use_of_a_file_is_told_by_its_content(path: str, data: bytes, use: Use) -> None:
    assert use_of(path, data, elf_traits(data)) is use


@pytest.mark.parametrize(
    ("use", "mode", "deb", "rpm"),
    [
        (Use.LIBRARY, 0o755, 0o644, 0o755),
        (Use.LIBRARY, 0o644, 0o644, 0o755),
        (Use.LIBRARY, 0o640, 0o640, 0o750),
        (Use.LIBRARY, 0o444, 0o444, 0o555),
        (Use.PROGRAM, 0o755, 0o755, 0o755),
        (Use.PROGRAM, 0o644, 0o644, 0o644),
        (Use.PROGRAM, 0o4755, 0o4755, 0o4755),
        (Use.MODULE, 0o755, 0o755, 0o644),
        (Use.MODULE, 0o644, 0o644, 0o644),
        (Use.DATA, 0o755, 0o644, 0o644),
        (Use.DATA, 0o600, 0o600, 0o600),
    ],
)
def test_mode_follows_the_custom_of_the_format(use: Use, mode: int, deb: int, rpm: int) -> None:
    assert oct(packaged_mode(mode, use, DEB)) == oct(deb)
    assert oct(packaged_mode(mode, use, RPM)) == oct(rpm)
