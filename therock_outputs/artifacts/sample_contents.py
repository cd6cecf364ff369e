"""What the sample run holds: a small ROCm with one of everything that a later task works on.

Names and places are those of a real run; the libraries and programs are made by
:mod:`therock_outputs.artifacts.sample_elf`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from therock_outputs.artifacts.entries import Entry
from therock_outputs.artifacts.names import Component, base_target
from therock_outputs.artifacts.sample_elf import (
    gpu_code_object,
    object_file,
    program,
    shared_library,
    static_library,
)

__all__ = ["PER_TARGET_ARTIFACTS", "Piece", "device_pieces", "host_pieces"]

PER_TARGET_ARTIFACTS = frozenset({"blas", "rand", "fft", "miopen"})
"""The artifacts that are built for each family, or split by GPU target."""

_RUNPATH = "$ORIGIN:$ORIGIN/rocm_sysdeps/lib:$ORIGIN/host-math/lib:$ORIGIN/llvm/lib"
_LIBC = "libc.so.6"
_PROGRAM_RUNPATH = "$ORIGIN/../lib:$ORIGIN/../lib/llvm/lib:$ORIGIN/../lib/rocm_sysdeps/lib"
_CODE_SIZE = 256 << 10
"""Bytes of one GPU code object; real ones go up to some MB."""

_LLVM = "compiler/amd-llvm/stage"
_RUNTIME = "core/ROCR-Runtime/stage"
_ROCMINFO = "core/rocminfo/stage"
_SMI = "base/rocm_smi_lib/stage"
_OVERLAY = "base/aux-overlay/stage"
_ROCBLAS = "math-libs/BLAS/rocBLAS/stage"
_HIPBLASLT = "math-libs/BLAS/hipBLASLt/stage"
_ROCRAND = "math-libs/rocRAND/stage"
_ROCFFT = "math-libs/rocFFT/stage"
_MIOPEN = "ml-libs/MIOpen/stage"
_PRIM = "math-libs/rocPRIM/stage"
_SYSTEMS = "profiler/rocprofiler-systems/stage"


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of one archive. A stage without an entry is listed and holds nothing."""

    artifact: str
    component: Component
    stage: str
    entry: Entry | None = None

    @classmethod
    def file(
        cls,
        where: tuple[str, Component, str],
        path: str,
        data: bytes | str,
        *,
        executable: bool = False,
    ) -> Piece:
        """A file below a stage; ``where`` is its artifact, component and stage."""
        artifact, component, stage = where
        content = data.encode() if isinstance(data, str) else data
        entry = Entry.file(f"{stage}/{path}", content, executable=executable)
        return cls(artifact, component, stage, entry)

    @classmethod
    def symlink(cls, where: tuple[str, Component, str], path: str, target: str) -> Piece:
        """A symbolic link below a stage."""
        artifact, component, stage = where
        return cls(artifact, component, stage, Entry.symlink(f"{stage}/{path}", target))

    @classmethod
    def hardlink(cls, where: tuple[str, Component, str], path: str, target: str) -> Piece:
        """Another name of a file below the same stage."""
        artifact, component, stage = where
        entry = Entry.hardlink(f"{stage}/{path}", f"{stage}/{target}")
        return cls(artifact, component, stage, entry)


@dataclass(frozen=True, slots=True)
class _Library:
    """A shared library with its links, header, CMake file and licence."""

    artifact: str
    stage: str
    name: str
    version: str
    """All numbers behind ``.so.``; the first is in the SONAME."""
    functions: tuple[str, ...]
    needed: tuple[str, ...] = ()
    directory: str = "lib"
    runpath: str = _RUNPATH
    developed: bool = True
    """Whether it has headers, CMake files and documentation."""
    debug: bool = False
    """Whether it has debug information."""


_LIBRARIES = (
    _Library("base", _SMI, "rocm_smi64", "1.0.71300", ("rsmi_init", "rsmi_shut_down")),
    _Library("sysdeps", "third-party/sysdeps/linux/zlib/build/stage", "rocm_sysdeps_z", "1.3.1",
             ("zlibVersion",), directory="lib/rocm_sysdeps/lib", runpath="$ORIGIN",
             developed=False),
    _Library("sysdeps", "third-party/sysdeps/linux/elfutils/build/stage", "rocm_sysdeps_elf",
             "1.193", ("elf_version",), ("librocm_sysdeps_z.so.1",), "lib/rocm_sysdeps/lib",
             "$ORIGIN", developed=False),
    _Library("sysdeps", "third-party/sysdeps/linux/liblzma/build/stage", "rocm_sysdeps_liblzma",
             "5.8.1", ("lzma_version_number",), directory="lib/rocm_sysdeps/lib",
             runpath="$ORIGIN", developed=False),
    _Library("host-blas", "third-party/host-blas/stage", "rocm-openblas", "0.3",
             ("cblas_sgemm",), directory="lib/host-math/lib", runpath="$ORIGIN",
             developed=False),
    _Library("amd-llvm", _LLVM, "LLVM", "22.0git", ("LLVMGetVersion",),
             ("librocm_sysdeps_z.so.1",), "lib/llvm/lib", "$ORIGIN:$ORIGIN/../../rocm_sysdeps/lib",
             developed=False),
    _Library("amd-llvm", "compiler/amd-comgr/stage", "amd_comgr", "3.1.0",
             ("amd_comgr_get_version",), ("libLLVM.so.22",)),
    _Library("core-runtime", _RUNTIME, "hsa-runtime64", "1.19.0", ("hsa_init", "hsa_shut_down"),
             ("librocm_sysdeps_elf.so.1",)),
    _Library("core-hip", "core/clr/stage", "amdhip64", "7.13.0",
             ("hipInit", "hipGetDeviceCount", "hipMalloc", "hipFree"),
             ("libhsa-runtime64.so.1", "libamd_comgr.so.3"), debug=True),
    _Library("core-hip", "core/clr/stage", "hiprtc", "7.13.0", ("hiprtcVersion",),
             ("libamd_comgr.so.3",)),
    _Library("core-kpack", "core/rocm-kpack/stage", "rocm_kpack", "0.1.0", ("kpack_open",)),
    _Library("blas", _ROCBLAS, "rocblas", "5.3.0", ("rocblas_create_handle", "rocblas_sgemm"),
             ("libamdhip64.so.7",), debug=True),
    _Library("blas", "math-libs/BLAS/hipBLAS/stage", "hipblas", "3.3.0", ("hipblasCreate",),
             ("librocblas.so.5",)),
    _Library("blas", _HIPBLASLT, "hipblaslt", "1.3.0", ("hipblasLtCreate",),
             ("libamdhip64.so.7",)),
    _Library("rand", _ROCRAND, "rocrand", "1.1.0", ("rocrand_create_generator",),
             ("libamdhip64.so.7",)),
    _Library("rand", "math-libs/hipRAND/stage", "hiprand", "1.1.0", ("hiprandCreateGenerator",),
             ("librocrand.so.1",)),
    _Library("fft", _ROCFFT, "rocfft", "0.1.0", ("rocfft_setup",), ("libamdhip64.so.7",)),
    _Library("fft", "math-libs/hipFFT/stage", "hipfft", "0.1.0", ("hipfftPlan1d",),
             ("librocfft.so.0",)),
    _Library("miopen", _MIOPEN, "MIOpen", "1.0.71300", ("miopenCreate",), ("librocblas.so.5",)),
    _Library("rccl", "comm-libs/rccl/stage", "rccl", "1.0.71300", ("ncclGetVersion",),
             ("libamdhip64.so.7",)),
    _Library("rocprofiler-sdk", "profiler/rocprofiler-sdk/stage", "rocprofiler-sdk", "1.1.0",
             ("rocprofiler_get_version",), ("libhsa-runtime64.so.1",)),
    _Library("rocprofiler-sdk", "profiler/roctracer/stage", "roctx64", "4.1.0", ("roctxMarkA",)),
    _Library("rocprofiler-systems", _SYSTEMS, "rocprof-sys", "1.3.0", ("rocprofsys_init",),
             ("librocprofiler-sdk.so.1",)),
    _Library("fftw3", "third-party/fftw3/build/stage", "fftw3", "3.6.10", ("fftw_plan_dft_1d",),
             developed=False),
)  # fmt: skip


def host_pieces(version: str) -> Iterator[Piece]:
    """Everything that is not GPU code, for a ROCm of this version (``7.13.0``)."""
    for library in _LIBRARIES:
        yield from _library_pieces(library)
    yield from _base_pieces(version)
    yield from _compiler_pieces(version)
    yield from _program_pieces(version)
    yield from _header_pieces()


def device_pieces(targets: Sequence[str], *, split: bool) -> Iterator[Piece]:
    """The GPU code and data of these targets; kpack files only where it is split by target."""
    for target in targets:
        # Tensile writes gfx942:xnack+ as gfx942-xnack+ in file names.
        label = target.replace(":", "-")
        blas = ("blas", Component.LIB, _ROCBLAS)
        directory = "lib/rocblas/library"
        for name in (f"TensileLibrary_Type_SS_Contraction_{label}.co",
                     f"Kernels.so-000-{label}.hsaco"):  # fmt: skip
            code = gpu_code_object(f"{target} {name}", _CODE_SIZE)
            yield Piece.file(blas, f"{directory}/{name}", code)
        yield Piece.file(blas, f"{directory}/TensileLibrary_lazy_{label}.dat", _data(target))
        yield Piece.file(
            ("blas", Component.LIB, _HIPBLASLT),
            f"lib/hipblaslt/library/TensileLibrary_{label}.dat",
            _data(f"{target} lt"),
        )
        fft = ("fft", Component.LIB, _ROCFFT)
        yield Piece.file(fft, f"lib/rocfft/rocfft_kernel_cache_{label}.db", _data(f"{target} fft"))
        miopen = ("miopen", Component.LIB, _MIOPEN)
        database = "".join(f"1-64-{n}-3x3={n * 7}\n" for n in range(2000))
        yield Piece.file(miopen, f"share/miopen/db/{base_target(target)}/{label}.db.txt", database)
        rand = ("rand", Component.LIB, _ROCRAND)
        code = gpu_code_object(f"{target} rand", _CODE_SIZE)
        if split:
            yield Piece.file(rand, f".kpack/rand_lib_{label}.kpack", b"KPAK" + code)
        else:
            yield Piece.file(rand, f"lib/rocrand/library/rocrand_{label}.hsaco", code)
        yield Piece.file(
            ("blas", Component.TEST, _ROCBLAS),
            f"share/rocblas/test/rocblas_{label}.yaml",
            f"target: {target}\nskip: []\n",
        )


def _library_pieces(library: _Library) -> Iterator[Piece]:
    lib = (library.artifact, Component.LIB, library.stage)
    stem = f"lib{library.name}.so"
    soname = f"{stem}.{library.version.partition('.')[0]}"
    filename = f"{stem}.{library.version}"
    payload = f"{library.name} {library.version} of the sample run\0".encode() * 500
    binary = shared_library(
        soname,
        library.functions,
        needed=[*library.needed, _LIBC],
        runpath=library.runpath,
        payload=payload,
    )
    yield Piece.file(lib, f"{library.directory}/{filename}", binary, executable=True)
    yield Piece.symlink(lib, f"{library.directory}/{soname}", filename)
    yield Piece.symlink(lib, f"{library.directory}/{stem}", soname)
    if library.debug:
        debug = (library.artifact, Component.DBG, library.stage)
        symbols = shared_library("", library.functions, runpath="", payload=payload * 20)
        yield Piece.file(debug, f"{library.directory}/.debug/{filename}.debug", symbols)
    if library.developed:
        yield from _development_pieces(library, soname)


def _development_pieces(library: _Library, soname: str) -> Iterator[Piece]:
    dev = (library.artifact, Component.DEV, library.stage)
    name = library.name
    declarations = "".join(f"int {function}(void);\n" for function in library.functions)
    yield Piece.file(dev, f"include/{name}/{name}.h", f"#pragma once\n{declarations}")
    yield Piece.file(
        dev,
        f"lib/cmake/{name}/{name}-config.cmake",
        f"add_library({name} SHARED IMPORTED)\n"
        f"set_target_properties({name} PROPERTIES IMPORTED_LOCATION "
        f'"${{CMAKE_CURRENT_LIST_DIR}}/../../{soname}")\n',
    )
    doc = (library.artifact, Component.DOC, library.stage)
    licence = f"{name} of the sample run.\nNo part of it is ROCm's.\n"
    yield Piece.file(doc, f"share/doc/{name}/LICENSE.txt", licence)


def _base_pieces(version: str) -> Iterator[Piece]:
    core = ("base", Component.LIB, "base/rocm-core/stage")
    yield Piece.file(core, ".info/version", f"{version}\n")
    dev = ("base", Component.DEV, _SMI)
    yield Piece.file(
        dev, "lib/librocm_smi64.a", static_library("rsmi.o", object_file("rsmi_init", b"\xc3"))
    )
    run = ("base", Component.RUN, _SMI)
    script = "#!/usr/bin/env python3\nprint('no GPU in the sample run')\n"
    yield Piece.file(run, "libexec/rocm_smi/rocm_smi.py", script, executable=True)
    yield Piece.symlink(run, "bin/rocm-smi", "../libexec/rocm_smi/rocm_smi.py")
    # A name beyond ASCII, and a stage that has nothing to install.
    doc = ("base", Component.DOC, _OVERLAY)
    yield Piece.file(doc, "share/doc/rocm-core/Überblick.txt", "Ein Überblick.\n")
    yield Piece("base", Component.RUN, "base/half/stage")


def _compiler_pieces(version: str) -> Iterator[Piece]:
    run = ("amd-llvm", Component.RUN, _LLVM)
    tools = "lib/llvm/bin"
    for tool in ("clang-22", "lld", "offload-arch"):
        binary = program(
            f": {tool} of the sample run, ROCm {version}\n",
            needed=["libLLVM.so.22", _LIBC],
            runpath="$ORIGIN/../lib:$ORIGIN/../../rocm_sysdeps/lib",
        )
        yield Piece.file(run, f"{tools}/{tool}", binary, executable=True)
    for link, target in {
        "clang": "clang-22",
        "clang++": "clang",
        "clang-cpp": "clang",
        "amdclang": "clang",
        "amdclang++": "clang++",
        "amdlld": "lld",
    }.items():
        yield Piece.symlink(run, f"{tools}/{link}", target)
    yield Piece.hardlink(run, f"{tools}/ld.lld", f"{tools}/lld")
    yield Piece.symlink(run, "bin/amdclang", f"../{tools}/amdclang")
    yield Piece.symlink(run, "llvm", "lib/llvm")
    lib = ("amd-llvm", Component.LIB, _LLVM)
    for name in ("ocml", "ockl", "hip"):
        bitcode = b"BC\xc0\xde" + _data(name)[:4096]
        yield Piece.file(lib, f"lib/llvm/amdgcn/bitcode/{name}.bc", bitcode)
    dev = ("amd-llvm", Component.DEV, _LLVM)
    yield Piece.file(dev, "lib/llvm/lib/cmake/llvm/LLVMConfig.cmake", "set(LLVM_VERSION 22.0)\n")
    yield Piece.file(dev, "lib/llvm/include/llvm/Config.h", "#define LLVM_VERSION_MAJOR 22\n")
    yield Piece.file(("amd-llvm", Component.DOC, _LLVM), "lib/llvm/share/doc/LICENSE.TXT", "-\n")
    hipcc = ("amd-llvm", Component.RUN, "compiler/hipcc/stage")
    for tool in ("hipcc", "hipconfig"):
        message = f": {tool} of the sample run, ROCm {version}\n"
        yield Piece.file(hipcc, f"bin/{tool}", program(message, needed=[_LIBC]), executable=True)


def _program_pieces(version: str) -> Iterator[Piece]:
    programs = (
        ("core-runtime", Component.RUN, _ROCMINFO, "rocminfo", "libhsa-runtime64.so.1"),
        ("rocprofiler-systems", Component.RUN, _SYSTEMS, "rocprof-sys-run", "librocprof-sys.so.1"),
        ("blas", Component.TEST, _ROCBLAS, "rocblas-test", "librocblas.so.5"),
        ("rand", Component.TEST, _ROCRAND, "test_rocrand_basic", "librocrand.so.1"),
        ("fft", Component.TEST, _ROCFFT, "rocfft-test", "librocfft.so.0"),
        ("rccl", Component.TEST, "comm-libs/rccl/stage", "rccl-UnitTests", "librccl.so.1"),
        ("fftw3", Component.TEST, "third-party/fftw3/build/stage", "fftw-bench", "libfftw3.so.3"),
    )
    for artifact, component, stage, name, needed in programs:
        message = f": {name} of the sample run, ROCm {version}\n"
        binary = program(message, needed=[needed, _LIBC], runpath=_PROGRAM_RUNPATH)
        yield Piece.file((artifact, component, stage), f"bin/{name}", binary, executable=True)
    run = ("core-runtime", Component.RUN, _ROCMINFO)
    yield Piece.symlink(run, "bin/rocm_info", "rocminfo")
    enumerator = "#!/bin/sh\necho gfx000\n"
    yield Piece.file(run, "bin/rocm_agent_enumerator", enumerator, executable=True)
    hip = ("core-hip", Component.RUN, "core/clr/stage")
    yield Piece.file(hip, "bin/roc-obj-ls", "#!/bin/sh\necho roc-obj-ls\n", executable=True)
    hipify = ("hipify", Component.RUN, "compiler/hipify/stage")
    yield Piece.file(hipify, "bin/hipify-perl", "#!/bin/sh\necho hipify\n", executable=True)
    systems = ("rocprofiler-systems", Component.RUN, _SYSTEMS)
    yield Piece(*systems, Entry.directory(f"{_SYSTEMS}/share/rocprofiler-systems/presets"))


def _header_pieces() -> Iterator[Piece]:
    """Many small files, as header-only libraries have; some with long names."""
    dev = ("prim", Component.DEV, _PRIM)
    for number in range(120):
        name = f"include/rocprim/device/detail/config/device_algorithm_{number:03}.hpp"
        yield Piece.file(dev, name, f"#pragma once\n// {number}\n" * (number + 1))
    deep = "/".join(f"specialization_of_level_{level}" for level in range(6))
    yield Piece.file(dev, f"include/rocprim/{deep}/detail.hpp", "#pragma once\n")
    yield Piece.file(dev, "lib/cmake/rocprim/rocprim-config.cmake", "set(rocprim_FOUND TRUE)\n")
    doc = ("prim", Component.DOC, _PRIM)
    yield Piece.file(doc, "share/doc/rocprim/LICENSE.txt", "rocPRIM of the sample run.\n")


def _data(seed: str) -> bytes:
    """Half noise, half repetition: about what Tensile's tables compress to."""
    noise = hashlib.shake_256(seed.encode()).digest(32 << 10)
    return noise + seed.encode() * ((32 << 10) // len(seed))
