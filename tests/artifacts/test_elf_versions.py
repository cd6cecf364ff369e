from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_package_makers import elfdeps
from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.elf import ElfFile
from therock_outputs.artifacts.elf_versions import elf_dependencies
from therock_outputs.artifacts.rpath import runpath_to_rpath

VERSIONS = "FOO_1 { global: one; local: *; };\nFOO_2 { global: two; } FOO_1;\n"


def compiled(directory: Path, name: str, source: str, *flags: str) -> Path:
    (directory / "source.c").write_text(source)
    path = directory / name
    command = ["gcc", "-O1", "-o", str(path), str(directory / "source.c"), *flags]
    subprocess.run(command, check=True, cwd=directory)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("elf")
    (directory / "versions").write_text(VERSIONS)
    shared = ("-shared", "-fPIC")
    compiled(
        directory,
        "libfoo.so.1",
        '#include <stdio.h>\nint one(void) { return puts("x"); }\nint two(void) { return 2; }\n',
        *shared,
        "-Wl,-soname,libfoo.so.1",
        "-Wl,--version-script=versions",
    )
    user = "int one(void);\nint two(void);\nint main(void) { return one() + two(); }\n"
    compiled(directory, "tool", user, "libfoo.so.1", "-Wl,--enable-new-dtags,-rpath,$ORIGIN")
    compiled(directory, "static", "int main(void) { return 0; }\n", "-static")
    nothing = "int three(void) { return 3; }\n"
    compiled(directory, "libnameless.so", nothing, *shared)
    compiled(directory, "plugin.so", nothing, *shared, "-Wl,-soname,plugin.so")
    compiled(directory, "libold.so", nothing, *shared, "-Wl,--hash-style=sysv")
    compiled(directory, "object.o", nothing, "-c")
    (directory / "gpu.co").write_bytes(sample_elf.gpu_code_object("gfx942", 4096))
    (directory / "libsample.so").write_bytes(sample_elf.shared_library("libsample.so.1", ["f"]))
    shutil.copy2(directory / "tool", directory / "tool-not-executable")
    (directory / "tool-not-executable").chmod(0o644)
    (directory / "libfoo.so.1").chmod(0o644)
    (directory / "text").write_text("no ELF file")
    return directory


def everything(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_files_provide_and_require_what_elfdeps_says(files: Path) -> None:
    seen = {}
    for path in everything(files):
        found = elf_dependencies(path.read_bytes())
        provides = set(found.provides_as(path.name)) if found else set()
        requires = set(found.requires_with(path.stat().st_mode)) if found else set()
        assert provides == elfdeps(path, "provides"), path.name
        assert requires == elfdeps(path, "requires"), path.name
        seen[path.name] = provides, requires
    assert "libfoo.so.1(FOO_2)(64bit)" in seen["libfoo.so.1"][0]
    assert "libfoo.so.1(FOO_2)(64bit)" in seen["tool"][1]
    assert "rtld(GNU_HASH)" in seen["libfoo.so.1"][1]
    assert "rtld(GNU_HASH)" not in seen["libold.so"][1]
    assert seen["libnameless.so"][0] == {"libnameless.so()(64bit)"}
    assert seen["plugin.so"][0] == set()
    assert seen["tool-not-executable"] == (set(), set())


def test_system_files_provide_and_require_what_elfdeps_says() -> None:
    libraries = Path("/usr/lib/x86_64-linux-gnu")
    paths = [
        *sorted(libraries.glob("lib[cmz]*.so.*"))[:40],
        Path("/usr/bin/python3").resolve(),
        Path("/lib64/ld-linux-x86-64.so.2").resolve(),
    ]
    checked = 0
    for path in paths:
        found = None if path.is_symlink() else elf_dependencies(path.read_bytes())
        if found is not None:
            assert set(found.provides_as(path.name)) == elfdeps(path, "provides"), path
            assert set(found.requires_with(path.stat().st_mode)) == elfdeps(path, "requires"), path
            checked += 1
    assert checked > 10


def test_a_file_for_a_32_bit_big_endian_machine_is_read_too() -> None:
    header = struct.pack(">16sHHIIIIIHHHHHH", b"\x7fELF\x01\x02\x01", 3, 20, 1, *[0] * 10)

    found = elf_dependencies(header)

    assert found is not None
    assert not found.is_64_bit
    assert found.provides_as("libppc.so") == ("libppc.so",)


def test_a_file_that_is_cut_short_anywhere_is_no_failure(files: Path) -> None:
    data = (files / "tool").read_bytes()
    whole = elf_dependencies(data)
    assert whole is not None
    for size in range(0, len(data), 61):
        elf_dependencies(data[:size])
    scrambled = bytearray(data)
    for at in range(len(data) - 3000, len(data)):
        scrambled[at] ^= 0xFF
        elf_dependencies(scrambled)


def test_runpath_becomes_rpath_in_place(files: Path) -> None:
    before = (files / "tool").read_bytes()
    elf = ElfFile.read(memoryview(before), "tool")
    assert elf is not None
    rewrite = runpath_to_rpath(elf)
    assert rewrite is not None
    data = bytearray(before)
    rewrite.apply(data)

    assert len(data) == len(before)
    changed = files.parent / "tool-changed"
    changed.write_bytes(data)
    text = subprocess.run(
        ["readelf", "-dW", changed], capture_output=True, text=True, check=True
    ).stdout
    assert "(RPATH)" in text
    assert "(RUNPATH)" not in text
    again = ElfFile.read(memoryview(data), "tool")
    assert again is not None
    assert runpath_to_rpath(again) is None
    assert elf_dependencies(bytes(data)) == elf_dependencies(before)


def test_an_rpath_beside_a_runpath_goes() -> None:
    library = sample_elf.shared_library("liba.so", ["f"], runpath="$ORIGIN/a")
    elf = ElfFile.read(memoryview(library), "liba.so")
    assert elf is not None
    assert runpath_to_rpath(elf) is not None
    plain = sample_elf.shared_library("liba.so", ["f"], runpath="")
    without = ElfFile.read(memoryview(plain), "liba.so")
    assert without is not None
    assert runpath_to_rpath(without) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("$ORIGIN/../lib", "$ORIGIN/../lib"),
        ("$ORIGIN/../lib:/build/llvm/stage2/./lib", "$ORIGIN/../lib"),
        ("/build/llvm:$ORIGIN:${ORIGIN}/a", "$ORIGIN:${ORIGIN}/a"),
        ("$ORIGIN/a:/build/llvm/lib:$ORIGIN/b", "$ORIGIN/a:$ORIGIN/b"),
        ("/usr/lib64:/opt/rocm/lib:/opt/rocm/core-7.13/lib:/opt/rh/lib", None),
        ("$ORIGIN::lib", "$ORIGIN"),
        ("/build/llvm/lib", ""),
        ("/build/$ORIGIN:/usrlib/x:/opt/rocm-other", ""),
        # The end of the path may be the end of a name too: not to be written over.
        ("$ORIGIN/a:/b:$ORIGIN/a-long-step", "$ORIGIN/a:/b:$ORIGIN/a-long-step"),
    ],
)
@pytest.mark.parametrize("tag", ["runpath", "rpath"])
def test_directories_of_the_build_leave_a_search_path(
    tag: str, before: str, after: str | None, tmp_path: Path
) -> None:
    after = "/usr/lib64:/opt/rocm/lib:/opt/rocm/core-7.13/lib" if after is None else after
    library = sample_elf.shared_library("liba.so.1", ["f"], runpath=before, needed=["libc.so.6"])
    data = bytearray(library)
    if tag == "rpath":
        elf = ElfFile.read(memoryview(library), "liba.so.1")
        assert elf is not None
        rewrite = runpath_to_rpath(elf, [""])
        assert rewrite is not None
        rewrite.apply(data)
    elf = ElfFile.read(memoryview(bytes(data)), "liba.so.1")
    assert elf is not None
    rewrite = runpath_to_rpath(elf, ["/opt/rocm", "/opt/rocm/core-7.13"])
    if rewrite is not None:
        rewrite.apply(data)

    assert len(data) == len(library)
    path = tmp_path / "liba.so.1"
    path.write_bytes(data)
    told = subprocess.run(
        ["readelf", "-dW", path], capture_output=True, text=True, check=True
    ).stdout
    assert "(RUNPATH)" not in told
    assert (f"Library rpath: [{after}]" in told) == bool(after)
    assert ("(RPATH)" in told) == bool(after)
    assert "Library soname: [liba.so.1]" in told
    assert elf_dependencies(bytes(data)) == elf_dependencies(library)
    call = f"import ctypes, sys; sys.exit(ctypes.CDLL({str(path)!r}).f())"
    assert subprocess.run([sys.executable, "-c", call], check=False).returncode == 1


def test_search_path_of_an_i386_library_is_changed_in_place_too(tmp_path: Path) -> None:
    path = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:/build/lib"
    flags = ("-m32", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,liba.so.1", path)
    library = compiled(tmp_path, "liba.so.1", "int one(void) { return 1; }\n", *flags)
    before = library.read_bytes()
    assert ElfFile.read(memoryview(before), "liba.so.1") is None
    elf = ElfFile.read(memoryview(before), "liba.so.1", narrow=True)
    assert elf is not None
    assert elf.is_library
    assert elf.soname == "liba.so.1"
    rewrite = runpath_to_rpath(elf)
    assert rewrite is not None
    data = bytearray(before)
    rewrite.apply(data)
    library.write_bytes(data)

    assert len(data) == len(before)
    command = ["readelf", "-dW", str(library)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "(RPATH)" in told
    assert "Library rpath: [$ORIGIN/../lib]\n" in told
    assert "(RUNPATH)" not in told
    assert "Library soname: [liba.so.1]" in told
    assert elf_dependencies(bytes(data)) == elf_dependencies(before)
