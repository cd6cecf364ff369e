"""Packages built from archives, opened again."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive_makers import STAGE, directory, file, hardlink, symlink, write
from therock_outputs.artifacts.elf import ElfFile, Tag
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in
from therock_outputs.artifacts.sample_elf import gpu_code_object, program, shared_library
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError, OutputsError
from therock_outputs.python_packages.build import (
    ArchiveFile,
    PythonPackageResult,
    build_python_packages,
    builder_digest,
)
from therock_outputs.python_packages.catalog import PackageKind
from therock_outputs.python_packages.large import LARGE
from therock_outputs.python_packages.plan import PythonPackageOptions, plan_python_packages

VERSION = "7.13.0"
OPTIONS = PythonPackageOptions(version=VERSION, split=True)
TAIL = f"-{VERSION}-py3-none-linux_x86_64.whl"

HIP = shared_library("libamdhip64.so.7", ["hipInit"], payload=b"hip" * 5000)
BLAS = shared_library("librocblas.so.5", ["gemm"], needed=["libamdhip64.so.7"], runpath="")


def member(path: str, data: bytes | str = b"", *, executable: bool = False) -> bytes:
    content = data.encode() if isinstance(data, str) else data
    return file(f"{STAGE}/{path}", content, mode=0o755 if executable else 0o644)


def link(path: str, target: str) -> bytes:
    return symlink(f"{STAGE}/{path}", target)


RUN: dict[str, list[bytes]] = {
    "base_lib_generic": [member(".info/version", VERSION)],
    "core-hip_lib_generic": [
        member("lib/libamdhip64.so.7.13", HIP),
        link("lib/libamdhip64.so.7", "libamdhip64.so.7.13"),
        link("lib/libamdhip64.so", "libamdhip64.so.7"),
        member("lib/cmake/hip/hip.cmake", "set(x)\n"),
    ],
    "core-hip_dev_generic": [
        member("include/hip/hip.h", "int hipInit(void);\n"),
        member("lib/libplain.so", shared_library("", ["plain"], runpath="")),
    ],
    "amd-llvm_run_generic": [
        member("lib/llvm/bin/clang-22", program(" is clang\n"), executable=True),
        link("lib/llvm/bin/clang", "clang-22"),
        link("bin/amdclang++", "../lib/llvm/bin/clang"),
        link("lib/llvm/bin/amdclang++", "clang"),
        hardlink(f"{STAGE}/lib/llvm/bin/amdclang", f"{STAGE}/lib/llvm/bin/clang-22"),
        member("share/tool.py", "#!/usr/bin/env python3\n", executable=True),
        link("bin/tool", "../share/tool.py"),
        member("share/data.txt", "data"),
        link("share/again.txt", "data.txt"),
        link("llvm", "lib/llvm"),
    ],
    "amd-llvm_dev_generic": [
        member("include/llvm/llvm.h", "// llvm\n"),
        member("lib/llvm/lib/libLLVM.a", random.Random(1).randbytes(200_000)),
        member("lib/libdev.so.1", shared_library("libdev.so.1", ["dev"], runpath="$ORIGIN")),
    ],
    "blas_lib_generic": [
        member("lib/librocblas.so.5.1", BLAS),
        link("lib/librocblas.so.5", "librocblas.so.5.1"),
    ],
    "blas_lib_gfx942": [
        member("lib/rocblas/library/Kernels_gfx942.co", gpu_code_object("gfx942", 9000)),
        member("lib/rocblas/library/host.so", shared_library("", ["host"], runpath="")),
    ],
    "blas_lib_gfx942:xnack+": [
        member("lib/rocblas/library/Kernels_gfx942-xnack+.hsaco", HIP),
    ],
    "rocprofiler-systems_lib_generic": [
        member("lib/librocprof-sys.so.1.2", shared_library("librocprof-sys.so.1", ["sys"])),
        link("lib/librocprof-sys.so.1", "librocprof-sys.so.1.2"),
        link("lib/librocprof-sys.so", "librocprof-sys.so.1"),
    ],
}


def write_run(folder: Path, run: Mapping[str, Sequence[bytes]]) -> Path:
    for stem, members in run.items():
        write(folder, f"{stem}.tar.zst", *members)
    return folder


def build(
    archives: Path,
    output: Path,
    options: PythonPackageOptions = OPTIONS,
    *,
    jobs: int = 2,
    large: int = LARGE,
) -> PythonPackageResult:
    found = archives_in(archives)
    plan = plan_python_packages([a.name for a in found], options, GpuFamilies.load())
    return build_python_packages(
        plan,
        [ArchiveFile(a.name, a.path, a.sha256) for a in found],
        output,
        output.parent / "work",
        mtime=315532800,
        jobs=jobs,
        large=large,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PythonPackageResult]:
    folder = tmp_path_factory.mktemp("built")
    return folder / "out", build(write_run(folder / "run", RUN), folder / "out")


def wheel(folder: Path, name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(folder / f"{name}{TAIL}")


def content(folder: Path, name: str) -> set[str]:
    with wheel(folder, name) as opened:
        return {entry for entry in opened.namelist() if ".dist-info/" not in entry}


def elf(folder: Path, name: str, path: str) -> ElfFile:
    with wheel(folder, name) as opened:
        read = ElfFile.read(memoryview(opened.read(path)), path)
    assert read is not None
    return read


Built = tuple[Path, PythonPackageResult]


def test_core_holds_no_links_and_each_library_once_under_its_soname(built: Built) -> None:
    assert content(built[0], "rocm_sdk_core") == {
        "_rocm_sdk_core/" + path
        for path in [
            "__init__.py",
            ".info/version",
            "lib/libamdhip64.so.7",
            "include/hip/hip.h",
            "lib/libplain.so",
            "lib/llvm/bin/clang-22",
            "lib/llvm/bin/clang",
            "bin/amdclang++",
            "lib/llvm/bin/amdclang++",
            "lib/llvm/bin/amdclang",
            "share/tool.py",
            "bin/tool",
            "share/data.txt",
            "share/again.txt",
        ]
    }


def test_link_to_a_program_is_a_launcher_and_to_data_a_copy(built: Built) -> None:
    with wheel(built[0], "rocm_sdk_core") as opened:
        launcher = opened.read("_rocm_sdk_core/bin/amdclang++")
        assert b"../lib/llvm/bin/clang-22\0" in launcher
        assert opened.getinfo("_rocm_sdk_core/bin/amdclang++").external_attr >> 16 == 0o100755
        assert b"../share/tool.py\0" in opened.read("_rocm_sdk_core/bin/tool")
        assert opened.read("_rocm_sdk_core/share/again.txt") == b"data"
        assert opened.getinfo("_rocm_sdk_core/share/again.txt").external_attr >> 16 == 0o100644


def test_libraries_find_the_packages_they_need(built: Built) -> None:
    core = elf(built[0], "rocm_sdk_core", "_rocm_sdk_core/lib/libamdhip64.so.7")
    assert core.search_path == ("$ORIGIN", "$ORIGIN/llvm/lib", "$ORIGIN/rocm_sysdeps/lib")
    assert not core.has(Tag.RUNPATH)
    blas = elf(built[0], "rocm_sdk_libraries", "_rocm_sdk_libraries/lib/librocblas.so.5")
    assert blas.search_path[:2] == (
        "$ORIGIN/../../_rocm_sdk_core/lib",
        "$ORIGIN/../../_rocm_sdk_core/lib/rocm_sysdeps/lib",
    )
    program = elf(built[0], "rocm_sdk_core", "_rocm_sdk_core/lib/llvm/bin/clang-22")
    assert "$ORIGIN/../lib" in program.search_path
    host = elf(
        built[0],
        "rocm_sdk_device_gfx942",
        "_rocm_sdk_libraries/lib/rocblas/library/host.so",
    )
    assert host.search_path[0] == "$ORIGIN/../../../../_rocm_sdk_core/lib"


def test_gpu_code_is_verbatim_whatever_it_looks_like(built: Built) -> None:
    folder = "_rocm_sdk_libraries/lib/rocblas/library"
    with wheel(built[0], "rocm_sdk_device_gfx942") as opened:
        code = opened.read(f"{folder}/Kernels_gfx942.co")
        assert code == gpu_code_object("gfx942", 9000)
        assert opened.read(f"{folder}/Kernels_gfx942-xnack+.hsaco") == HIP


def test_profilers_library_keeps_its_plain_name_beside_its_soname(built: Built) -> None:
    names = content(built[0], "rocm_profiler")
    assert {name for name in names if ".so" in name} == {
        "_rocm_profiler/lib/librocprof-sys.so",
        "_rocm_profiler/lib/librocprof-sys.so.1",
    }


def test_scripts_are_those_whose_programs_are_there(built: Built) -> None:
    with wheel(built[0], "rocm_sdk_core") as opened:
        scripts = opened.read(f"rocm_sdk_core-{VERSION}.dist-info/entry_points.txt").decode()
    assert scripts.split() == [
        "[console_scripts]",
        "amdclang",
        "=",
        "rocm_sdk._programs:amdclang",
        "amdclang++",
        "=",
        "rocm_sdk._programs:amdclang_plus_plus",
    ]


def test_devel_manifest_and_archive_hold_the_rest(built: Built) -> None:
    with wheel(built[0], "rocm_sdk_devel") as opened:
        manifest = json.loads(opened.read("rocm_sdk_devel/devel_manifest.json"))
        assert opened.getinfo("rocm_sdk_devel/_devel.tar.gz").compress_type == zipfile.ZIP_STORED
        plain = gzip.decompress(opened.read("rocm_sdk_devel/_devel.tar.gz"))
    entries = {entry["path"]: entry for entry in manifest["entries"]}
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = archive.getmembers()
        files = [path for path, entry in sorted(entries.items()) if entry["kind"] == "file"]
        assert [entry.name for entry in members] == files
        for entry in members:
            stream = archive.extractfile(entry)
            assert stream is not None
            digest = hashlib.sha256(stream.read()).hexdigest()
            assert digest == entries[entry.name]["sha256"]
    assert files == [
        "include/llvm/llvm.h",
        "lib/cmake/hip/hip.cmake",
        "lib/libdev.so.1",
        "lib/llvm/lib/libLLVM.a",
    ]
    assert entries["lib/libamdhip64.so.7"]["package"] == "_rocm_sdk_core"
    assert entries["lib/libamdhip64.so"]["target"] == "libamdhip64.so.7"
    assert entries["lib/libamdhip64.so.7.13"]["target"] == "libamdhip64.so.7"
    assert entries["bin/amdclang++"]["target"] == "../lib/llvm/bin/clang"
    assert entries["lib/llvm/bin/amdclang"]["target"] == "clang-22"
    assert entries["llvm"]["kind"] == "symlink"
    assert "lib/librocprof-sys.so" not in entries


def test_directory_link_is_told_and_is_no_fault(built: Built) -> None:
    told = [(one.path, one.reason) for one in built[1].leftovers if one.package]
    assert told == [("llvm", "is a link to a directory")]
    assert built[1].faults == ()


@pytest.mark.parametrize("large", [1000, 20_000])
@pytest.mark.parametrize("jobs", [1, 4])
def test_bytes_depend_on_the_run_alone(built: Built, tmp_path: Path, jobs: int, large: int) -> None:
    """Not on threads; and sliced files hold what others do."""
    run = write_run(tmp_path / "run", RUN)
    again = build(run, tmp_path / "again", jobs=jobs)
    assert [f.sha256 for f in again.files] == [f.sha256 for f in built[1].files]
    sliced = build(run, tmp_path / "sliced", jobs=jobs, large=large)
    for one, other in zip(built[1].files, sliced.files, strict=True):
        if one.path.suffix == ".whl" and "devel" not in one.path.name:
            with zipfile.ZipFile(one.path) as first, zipfile.ZipFile(other.path) as second:
                assert second.testzip() is None
                for name in first.namelist():
                    assert first.read(name) == second.read(name), name


def test_large_elf_file_is_rewritten_as_a_small_one_is(tmp_path: Path) -> None:
    noise = random.Random(2).randbytes(300_000)
    library = shared_library("libbig.so.1", ["big"], payload=noise, runpath="$ORIGIN/x")
    kpack = member(".kpack/big.kpack", noise * 2)
    run = write_run(
        tmp_path / "run",
        {**RUN, "base_run_generic": [member("lib/libbig.so.1.0", library), kpack]},
    )
    build(run, tmp_path / "out", large=50_000)
    big = elf(tmp_path / "out", "rocm_sdk_core", "_rocm_sdk_core/lib/libbig.so.1")
    assert big.search_path == ("$ORIGIN/x", "$ORIGIN/llvm/lib", "$ORIGIN/rocm_sysdeps/lib")
    with wheel(tmp_path / "out", "rocm_sdk_core") as opened:
        assert opened.testzip() is None
        assert opened.read("_rocm_sdk_core/.kpack/big.kpack") == noise * 2
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("members", "path", "reason"),
    [
        ([link("lib/dead.so", "nowhere.so")], "lib/dead.so", "dangles: there is no lib/nowhere.so"),
        ([link("one", "two"), link("two", "one")], "one", "loops"),
    ],
)
def test_dead_link_is_a_fault_in_the_table(
    tmp_path: Path, members: list[bytes], path: str, reason: str
) -> None:
    run = write_run(tmp_path / "run", {**RUN, "base_run_generic": members})
    faults = build(run, tmp_path / "out").faults
    assert (path, reason) in {(one.path, one.reason) for one in faults}


def test_two_artifacts_that_claim_one_path_are_refused_unless_they_agree(tmp_path: Path) -> None:
    one, two = member("share/x", "one"), member("share/x", "two")
    run = write_run(tmp_path / "run", {**RUN, "base_run_generic": [one]})
    write_run(run, {"hipify_run_generic": [one]})
    build(run, tmp_path / "out")
    write_run(run, {"hipify_run_generic": [two]})
    with pytest.raises(
        ConflictError,
        match=r"'share/x' differs between base_run_generic\.tar\.zst and hipify_run_generic",
    ):
        build(run, tmp_path / "other")
    assert not [path for path in (tmp_path / "other").iterdir() if path.suffix == ".whl"]


def test_library_twice_under_one_soname_is_one_file_when_it_is_the_same(tmp_path: Path) -> None:
    library = shared_library("libtwin.so.1", ["twin"])
    twins = [member("lib/libtwin.so.1.0", library), member("lib/libtwin.so", library)]
    run = write_run(tmp_path / "run", {**RUN, "base_run_generic": twins})
    build(run, tmp_path / "out")
    names = content(tmp_path / "out", "rocm_sdk_core")
    assert [name for name in names if "twin" in name] == ["_rocm_sdk_core/lib/libtwin.so.1"]


def test_device_file_that_the_libraries_have_is_not_there_twice(tmp_path: Path) -> None:
    shared = member("lib/rocblas/library/list.dat", "same")
    run = {stem: [*members] for stem, members in RUN.items()}
    run["blas_lib_generic"].append(shared)
    run["blas_lib_gfx942"].append(shared)
    result = build(write_run(tmp_path / "run", run), tmp_path / "out")
    path = "lib/rocblas/library/list.dat"
    assert f"_rocm_sdk_libraries/{path}" not in content(tmp_path / "out", "rocm_sdk_device_gfx942")
    assert [one.reason for one in result.leftovers if one.path == path] == [
        "rocm-sdk-libraries has it already, the same"
    ]
    run["blas_lib_gfx942"][-1] = member("lib/rocblas/library/list.dat", "other")
    with pytest.raises(ConflictError, match=r"list\.dat"):
        build(write_run(tmp_path / "run", run), tmp_path / "conflict")


def test_elf_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    cut = member("lib/libcut.so", HIP[: len(HIP) // 2])
    run = write_run(tmp_path / "run", {**RUN, "base_run_generic": [cut]})
    for large in (LARGE, 1000):
        with pytest.raises(
            IntegrityError, match=r"base_run_generic\.tar\.zst: lib/libcut\.so: is cut short"
        ):
            build(run, tmp_path / "out", large=large)
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".whl"]
    assert list((tmp_path / "work").iterdir()) == []


def test_archive_with_another_digest_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", RUN)
    (run / "base_lib_generic.tar.zst.sha256sum").write_text("0" * 64)
    with pytest.raises(IntegrityError, match="not 0000"):
        build(run, tmp_path / "out")


def test_archive_that_went_away_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", RUN)
    found = archives_in(run)
    plan = plan_python_packages([a.name for a in found], OPTIONS, GpuFamilies.load())
    with pytest.raises(NotFoundError, match="in the plan and not on disk"):
        build_python_packages(plan, [], tmp_path / "out", tmp_path / "work", mtime=0)
    found[0].path.unlink()
    files = [ArchiveFile(a.name, a.path, a.sha256) for a in found]
    with pytest.raises(NotFoundError, match="is gone"):
        build_python_packages(plan, files, tmp_path / "out", tmp_path / "work", mtime=0)


def test_platform_without_launcher_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", RUN)
    options = replace(OPTIONS, wheel_platform_tag="linux_aarch64")
    with pytest.raises(NotFoundError, match="no launcher for linux_aarch64"):
        build(run, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_launcher_is_compiled_when_a_compiler_is_given(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", RUN)
    with pytest.raises(OutputsError, match="no-such-cc"):
        build(run, tmp_path / "out", replace(OPTIONS, launcher_cc="no-such-cc"))


def test_only_devel_links_to_packages_that_are_not_written(built: Built, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", RUN)
    only = frozenset({PackageKind.DEVEL})
    result = build(run, tmp_path / "out", replace(OPTIONS, only=only))
    (devel,) = result.files
    assert devel.sha256 in {file.sha256 for file in built[1].files}


def test_windows_run_is_packaged_without_looking_into_files(tmp_path: Path) -> None:
    run = dict(RUN)
    run["core-hip_run_generic"] = [
        member("bin/hipInfo.exe", b"MZ"),
        member("bin/amdhip64.dll", b"MZ\0"),
    ]
    del run["rocprofiler-systems_lib_generic"]
    options = replace(OPTIONS, platform="windows")
    build(write_run(tmp_path / "run", run), tmp_path / "out", options)
    name = f"rocm_sdk_core-{VERSION}-py3-none-win_amd64.whl"
    with zipfile.ZipFile(tmp_path / "out" / name) as opened:
        assert opened.read("_rocm_sdk_core/lib/libamdhip64.so.7.13") == HIP
        assert opened.read("_rocm_sdk_core/bin/amdclang++") == program(" is clang\n")
        scripts = opened.read(f"rocm_sdk_core-{VERSION}.dist-info/entry_points.txt").decode()
        assert "hipInfo = rocm_sdk._programs:hipInfo" in scripts


def test_run_by_family_gives_each_family_its_own(tmp_path: Path) -> None:
    write_sample_run(tmp_path, targets=("gfx942", "gfx1100"), split=False)
    run = tmp_path / "sample-linux"
    result = build(run, tmp_path / "out", replace(OPTIONS, split=False))
    places = {file.path.relative_to(tmp_path / "out").as_posix() for file in result.files}
    family = next(place for place in places if "libraries" in place).partition("/")[0]
    assert f"{family}/rocm-{VERSION}.tar.gz" in places
    assert f"{family}/rocm_sdk_devel{TAIL}" in places
    assert f"rocm_sdk_core{TAIL}" in places
    assert len([place for place in places if "/rocm_sdk_libraries_" in place]) == 2


def test_empty_directory_and_test_component_do_not_reach_packages(tmp_path: Path) -> None:
    run = dict(RUN)
    run["base_run_generic"] = [directory(f"{STAGE}/share/empty")]
    run["blas_test_generic"] = [member("bin/test", program(""), executable=True)]
    build(write_run(tmp_path / "run", run), tmp_path / "out")
    with wheel(tmp_path / "out", "rocm_sdk_devel") as opened:
        manifest = json.loads(opened.read("rocm_sdk_devel/devel_manifest.json"))
    kinds = {entry["path"]: entry["kind"] for entry in manifest["entries"]}
    assert kinds["share/empty"] == "directory"
    assert "bin/test" not in kinds


def test_digest_of_the_builder_is_the_same_each_time() -> None:
    assert builder_digest() == builder_digest()
