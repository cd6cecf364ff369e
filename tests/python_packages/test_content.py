"""What is done to one file of a package."""

from __future__ import annotations

import pytest

from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.elf import ElfFile
from therock_outputs.python_packages.content import ElfWork, prepare

CORE = ("_rocm_sdk_core/lib/llvm/lib", "_rocm_sdk_core/lib/rocm_sysdeps/lib")


@pytest.mark.parametrize(
    ("own", "path", "expected"),
    [
        ("$ORIGIN", "lib/libx.so.1", ("$ORIGIN", "$ORIGIN/llvm/lib", "$ORIGIN/rocm_sysdeps/lib")),
        (None, "lib/libx.so.1", ("$ORIGIN/llvm/lib", "$ORIGIN/rocm_sysdeps/lib", "$ORIGIN")),
        (None, "lib/llvm/lib/libx.so.1", ("$ORIGIN", "$ORIGIN/../../rocm_sysdeps/lib",
                                          "$ORIGIN/../..")),
    ],
)  # fmt: skip
def test_library_without_a_search_path_finds_its_own_package_too(
    own: str | None, path: str, expected: tuple[str, ...]
) -> None:
    content = bytearray(sample_elf.shared_library("libx.so.1", ["x"], runpath=own or ""))
    prepare(content, ElfWork(f"_rocm_sdk_core/{path}", CORE), path)
    elf = ElfFile.read(memoryview(content), path)
    assert elf is not None
    assert elf.search_path == expected


def test_devel_file_without_a_search_path_gets_none() -> None:
    content = bytearray(sample_elf.shared_library("libx.so.1", ["x"], runpath=""))
    before = bytes(content)
    prepare(content, ElfWork("_rocm_sdk_devel/lib/libx.so.1", ()), "libx")
    assert bytes(content) == before
