"""The sample run's ELF files: the loader runs them, and patchelf rewrites them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from therock_outputs.artifacts.sample_elf import (
    gpu_code_object,
    object_file,
    program,
    shared_library,
    static_library,
)

_PATCHELF = Path(sysconfig.get_path("scripts")) / "patchelf"


def _patchelf(*arguments: str | Path) -> str:
    ran = subprocess.run(
        [str(_PATCHELF), *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def _call(library: Path, function: str) -> str:
    """Load a library in a fresh process and call one of its functions."""
    code = f"import ctypes; print(ctypes.CDLL({str(library)!r}).{function}())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / "libbase.so.1").write_bytes(
        shared_library("libbase.so.1", ["base_a", "base_b"], payload=b"data" * 3000)
    )
    (tmp_path / "lib" / "libtop.so.7").write_bytes(
        shared_library("libtop.so.7", ["top"], needed=["libbase.so.1"])
    )
    binary = tmp_path / "bin" / "tool"
    binary.write_bytes(program(": a tool\n", needed=["libtop.so.7"]))
    binary.chmod(0o755)
    return tmp_path


def test_library_loads_with_what_it_needs(tree: Path) -> None:
    assert _call(tree / "lib" / "libtop.so.7", "top") == "1"
    assert _call(tree / "lib" / "libtop.so.7", "base_b") == "2"


def test_program_prints_the_name_it_was_started_by(tree: Path) -> None:
    (tree / "bin" / "tool++").symlink_to("tool")
    ran = subprocess.run([str(tree / "bin" / "tool++")], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{tree}/bin/tool++: a tool\n"


def test_program_does_not_start_without_its_library(tree: Path) -> None:
    (tree / "lib" / "libtop.so.7").unlink()
    ran = subprocess.run([str(tree / "bin" / "tool")], capture_output=True, text=True, check=False)
    assert ran.returncode == 127
    assert "libtop.so.7" in ran.stderr


@pytest.mark.parametrize("rpath", ["$ORIGIN", "$ORIGIN/../lib:" + "$ORIGIN/" + "long/" * 60])
def test_files_survive_a_new_rpath(tree: Path, rpath: str) -> None:
    rpath = f"{rpath}:$ORIGIN/../lib"
    for name in ("lib/libtop.so.7", "bin/tool"):
        _patchelf("--force-rpath", "--set-rpath", rpath, tree / name)
        assert _patchelf("--print-rpath", tree / name) == rpath
    assert _patchelf("--print-soname", tree / "lib" / "libtop.so.7") == "libtop.so.7"
    assert _patchelf("--print-needed", tree / "lib" / "libtop.so.7") == "libbase.so.1"
    assert _call(tree / "lib" / "libtop.so.7", "base_a") == "1"
    assert subprocess.run([str(tree / "bin" / "tool")], check=False).returncode == 0


def test_library_without_soname_or_functions_loads(tmp_path: Path) -> None:
    path = tmp_path / "plugin.so"
    path.write_bytes(shared_library("", [], runpath=""))
    code = f"import ctypes; ctypes.CDLL({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert _patchelf("--print-soname", path) == ""
    assert _patchelf("--print-rpath", path) == ""


def test_code_object_is_an_elf_file_of_its_target() -> None:
    one, other = gpu_code_object("gfx942", 4096), gpu_code_object("gfx1100", 4096)
    assert one[:4] == b"\x7fELF"
    assert int.from_bytes(one[18:20], "little") == 224  # EM_AMDGPU
    assert b"gfx942\0" in one
    assert one[100:2000] != other[100:2000]
    assert 4096 <= len(one) < 4300


@pytest.mark.parametrize("data", [b"", b"odd", b"even"])
def test_static_library_has_one_member(data: bytes) -> None:
    library = static_library("a.o", data)
    assert library.startswith(b"!<arch>\na.o/ ")
    assert len(library) % 2 == 0
    assert library[8 + 60 :].rstrip(b"\n") == data


def test_linker_finds_the_function_of_a_static_library(tmp_path: Path) -> None:
    archive = tmp_path / "liba.a"
    archive.write_bytes(static_library("a.o", object_file("begin", b"\xc3")))
    program = tmp_path / "program.c"
    program.write_text("void begin(void);\nint main(void) { begin(); return 0; }\n")
    # A linker wants an index of the library's symbols.
    subprocess.run(["ranlib", str(archive)], check=True)
    subprocess.run(
        ["gcc", "-Wl,--fatal-warnings", "-o", "program", "program.c", "liba.a"],
        cwd=tmp_path,
        check=True,
    )
    assert subprocess.run([str(tmp_path / "program")], check=False).returncode == 0
