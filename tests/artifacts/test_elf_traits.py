"""What a file is by its headers, judged by files of gcc and by readelf's own."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.elf_traits import ElfTraits, elf_traits

MAIN = "int main(void) { return 0; }\n"
FUNCTION = "int one(void) { return 1; }\n"


def compiled(directory: Path, name: str, source: str, *flags: str) -> bytes:
    (directory / "source.c").write_text(source)
    path = directory / name
    command = ["gcc", "-o", str(path), str(directory / "source.c"), *flags]
    subprocess.run(command, check=True, cwd=directory, capture_output=True)
    return path.read_bytes()


def traits_of(data: bytes) -> ElfTraits:
    traits = elf_traits(data)
    assert traits is not None
    return traits


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie",), ("-static",), ("-static-pie",)])
def test_programs_of_all_kinds_are_programs(flags: tuple[str, ...], tmp_path: Path) -> None:
    traits = traits_of(compiled(tmp_path, "tool", MAIN, *flags))

    assert traits.is_program
    assert not traits.is_library
    assert traits.is_for_host
    assert traits.has_symbols
    assert traits.needs_libraries == ("-static" not in flags[0])


def test_libraries_have_their_traits(tmp_path: Path) -> None:
    shared = ("-shared", "-fPIC")
    plain = traits_of(compiled(tmp_path, "a.so", FUNCTION, *shared, "-s", "-Wl,--no-as-needed"))
    named = ("-Wl,-soname,libb.so.1", "-Wl,-z,execstack")
    other = traits_of(compiled(tmp_path, "b.so", FUNCTION, *shared, *named))
    alone = traits_of(compiled(tmp_path, "c.so", FUNCTION, *shared, "-nostdlib"))

    assert plain.is_library
    assert other.is_library
    assert alone.is_library
    assert not plain.is_program
    assert (plain.has_soname, other.has_soname) == (False, True)
    assert (plain.has_symbols, other.has_symbols) == (False, True)
    assert (plain.has_executable_stack, other.has_executable_stack) == (False, True)
    assert (plain.needs_libraries, alone.needs_libraries) == (True, False)


def test_libraries_for_i386_are_looked_into(tmp_path: Path) -> None:
    flags = ("-m32", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,liba.so.1")
    traits = traits_of(compiled(tmp_path, "a.so", FUNCTION, *flags))

    assert traits.is_library
    assert traits.is_for_host
    assert traits.has_soname
    assert traits.has_symbols
    assert not traits.has_executable_stack


def test_object_files_and_debug_information_are_neither(tmp_path: Path) -> None:
    assert not traits_of(compiled(tmp_path, "a.o", FUNCTION, "-c")).is_library
    compiled(tmp_path, "a.so", FUNCTION, "-shared", "-fPIC", "-g")
    command = ["objcopy", "--only-keep-debug", "a.so", "a.debug"]
    subprocess.run(command, check=True, cwd=tmp_path)
    debug = traits_of((tmp_path / "a.debug").read_bytes())
    assert not debug.is_library
    assert not debug.is_program


def test_gpu_code_is_for_another_machine() -> None:
    traits = traits_of(sample_elf.gpu_code_object("gfx942", 512))

    assert not traits.is_for_host
    assert traits.is_shared


def test_what_makes_no_sense_is_passed_over() -> None:
    assert elf_traits(b"no ELF file") is None
    assert elf_traits(b"\x7fELF\x01\x01\x01" + bytes(40)) is None
    assert elf_traits(b"\x7fELF\x01\x02\x01" + bytes(60)) is None
    data = sample_elf.program("hello", needed=["libc.so.6"])
    for size in range(0, len(data), 61):
        elf_traits(data[:size])
    noise = random.Random(5)
    for _ in range(200):
        scrambled = bytearray(data)
        for _ in range(8):
            scrambled[noise.randrange(64)] = noise.randrange(256)
        elf_traits(scrambled)
