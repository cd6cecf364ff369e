"""ELF headers, read and rewritten; what comes out is run, loaded, and read by other readers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from therock_outputs.artifacts.elf import ElfFile, SegmentType, Tag
from therock_outputs.artifacts.rpath import origin_paths, rewrite_rpath
from therock_outputs.artifacts.sample_elf import gpu_code_object, program, shared_library
from therock_outputs.errors import IntegrityError

LIBRARY = shared_library("libx.so.1", ["one", "two"], needed=["libc.so.6"], payload=b"data" * 999)
PROGRAM = program(" says hello\n", needed=["libc.so.6"])
LONG = tuple(f"$ORIGIN/../some/directory/number/{number}" for number in range(20))


def read(data: bytes | bytearray) -> ElfFile:
    elf = ElfFile.read(memoryview(data), "x.so")
    assert elf is not None
    return elf


def rewritten(data: bytes, *additions: str) -> bytes:
    rewrite = rewrite_rpath(read(data), additions)
    assert rewrite is not None
    changed = bytearray(data)
    rewrite.apply(changed)
    assert len(changed) == rewrite.size(len(data))
    return bytes(changed)


def loaded(elf: ElfFile, data: bytes) -> dict[int, bytes]:
    """What the loader maps, by address."""
    return {
        s.address: data[s.offset : s.offset + s.file_size]
        for s in elf.segments
        if s.type == SegmentType.LOAD
    }


def call(path: Path, function: str) -> int:
    code = f"import ctypes, sys; sys.exit(ctypes.CDLL({str(path)!r}).{function}())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_reader_tells_libraries_programs_and_data_apart() -> None:
    library, tool = read(LIBRARY), read(PROGRAM)
    assert (library.is_library, library.is_program, library.soname) == (True, False, "libx.so.1")
    assert (tool.is_library, tool.is_program, tool.soname) == (False, True, "")
    assert library.needed == ("libc.so.6",)
    assert library.search_path == ("$ORIGIN",)
    assert ElfFile.read(memoryview(gpu_code_object("gfx942", 4096)), "kernels.co") is None
    assert ElfFile.read(memoryview(b"#!/bin/sh\n"), "script") is None
    assert ElfFile.read(memoryview(b""), "empty") is None


def test_rewritten_library_loads_and_keeps_what_it_loaded(tmp_path: Path) -> None:
    changed = rewritten(LIBRARY, *LONG)
    before, after = read(LIBRARY), read(changed)
    assert after.search_path == ("$ORIGIN", *LONG)
    assert after.has(Tag.RPATH)
    assert not after.has(Tag.RUNPATH)
    assert (after.soname, after.needed) == (before.soname, before.needed)
    old, new = loaded(before, LIBRARY), loaded(after, changed)
    assert len(new) == len(old) + 1
    assert all(len(new[address]) == len(old[address]) for address in old)
    (tmp_path / "libx.so").write_bytes(changed)
    assert call(tmp_path / "libx.so", "two") == 2


def test_file_with_program_headers_at_its_end_is_rewritten_again(tmp_path: Path) -> None:
    """As kpack-split libraries have them, which patchelf before 0.19 breaks in silence."""
    once = rewritten(LIBRARY, *LONG)
    assert read(once).segments_at > len(LIBRARY) - 1
    twice = rewritten(once, "$ORIGIN/again", *LONG)
    assert read(twice).search_path == ("$ORIGIN", *LONG, "$ORIGIN/again")
    (tmp_path / "libx.so").write_bytes(twice)
    assert call(tmp_path / "libx.so", "one") == 1


def test_rewritten_program_runs_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(rewritten(rewritten(PROGRAM, *LONG), "$ORIGIN/more"))
    path.chmod(0o755)
    result = subprocess.run(
        ["other-name"], executable=path, check=True, capture_output=True, text=True
    )
    assert result.stdout == "other-name says hello\n"


def test_program_finds_its_headers_in_memory_where_they_are_in_the_file() -> None:
    """Linux before 5.18 computes their address so."""
    after = read(rewritten(PROGRAM, *LONG))
    (table,) = (s for s in after.segments if s.type == SegmentType.PHDR)
    first = next(s for s in after.segments if s.type == SegmentType.LOAD)
    assert table.offset == after.segments_at
    assert table.address - first.address == table.offset - first.offset


def test_loader_finds_dependency_by_the_new_path(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    needed = shared_library("libother.so.1", ["other"])
    (tmp_path / "other/libother.so.1").write_bytes(needed)
    library = shared_library("libx.so.1", ["one"], needed=["libother.so.1"], runpath="")
    path = tmp_path / "deep/er/libx.so.1"
    path.write_bytes(rewritten(library, *origin_paths("deep/er/libx.so.1", ["other"])))
    assert call(path, "one") == 1


def test_runpath_becomes_rpath_in_place_when_nothing_is_added(tmp_path: Path) -> None:
    changed = rewritten(LIBRARY)
    assert len(changed) == len(LIBRARY)
    assert read(changed).has(Tag.RPATH)
    assert not read(changed).has(Tag.RUNPATH)
    (tmp_path / "libx.so").write_bytes(changed)
    assert call(tmp_path / "libx.so", "one") == 1


def test_file_that_has_the_path_already_is_left_alone() -> None:
    once = rewritten(LIBRARY, *LONG)
    assert rewrite_rpath(read(once), LONG) is None
    plain = shared_library("libx.so.1", ["one"], runpath="")
    assert rewrite_rpath(read(plain), ()) is None


@pytest.mark.parametrize("runpath", ["$ORIGIN", ""])
def test_other_readers_agree(tmp_path: Path, runpath: str) -> None:
    library = shared_library("libx.so.1", ["one"], needed=["libc.so.6"], runpath=runpath)
    path = tmp_path / "libx.so"
    path.write_bytes(rewritten(library, *LONG))
    patchelf = shutil.which("patchelf", path=str(Path(sys.executable).parent)) or "patchelf"
    result = subprocess.run(
        [patchelf, "--print-rpath", "--print-soname", path],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ":".join([*filter(None, [runpath]), *LONG]) in result.stdout.splitlines()
    assert "libx.so.1" in result.stdout.splitlines()


@pytest.mark.parametrize("data", [LIBRARY, PROGRAM, rewritten(LIBRARY, *LONG)])
def test_file_cut_short_anywhere_is_refused_or_data(data: bytes) -> None:
    for size in [4, 17, 30, 63, 64, 100, *range(200, len(data), 97), len(data) - 1]:
        with pytest.raises(IntegrityError, match=r"x\.so: .*cut short"):
            ElfFile.read(memoryview(data)[:size], "x.so")


def test_damaged_headers_are_refused_and_never_crash() -> None:
    for place in range(4, 0x200):
        damaged = bytearray(LIBRARY)
        damaged[place] ^= 0xFF
        try:
            elf = ElfFile.read(memoryview(damaged), "x.so")
            if elf is not None:
                rewrite_rpath(elf, LONG)
        except IntegrityError:
            pass


@pytest.mark.parametrize(
    ("path", "places", "expected"),
    [
        ("c/lib/libx.so", ["c/lib"], ("$ORIGIN",)),
        ("c/lib/llvm/bin/clang", ["c/lib/llvm/lib"], ("$ORIGIN/../lib",)),
        ("l/lib/libx.so", ["c/lib"], ("$ORIGIN/../../c/lib",)),
    ],
)
def test_paths_are_relative_to_the_file(
    path: str, places: list[str], expected: tuple[str, ...]
) -> None:
    assert origin_paths(path, places) == expected
