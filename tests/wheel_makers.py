"""Small wheels of a run, with the ``rocm`` sdist, and environments to install them into."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.metadata
import io
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uv

from therock_outputs.artifacts import sample_elf
from therock_outputs.python_packages.devel_format import (
    DEVEL_ARCHIVE,
    DEVEL_INIT,
    DEVEL_MANIFEST,
    DEVEL_PACKAGE,
    LIBRARIES_PACKAGE,
    PACKAGE_INIT,
    DevelEntry,
    EntryKind,
    device_marker,
    entry_point,
    libraries_package,
    manifest_bytes,
    manifest_order,
)
from therock_outputs.python_packages.sdist import (
    SelectorLibrary,
    SelectorProgram,
    write_selector,
)

VERSION = "7.10.0.dev0+abc"
MTIME = 315532800
TARGETS = ("gfx942", "gfx1100")
FAMILIES = {"gfx94X-dcgpu": ("gfx942",), "gfx110X-all": ("gfx1100",)}

LIBRARIES = (
    SelectorLibrary("amdhip64", "core", "amdhip64"),
    SelectorLibrary("rocm_sysdeps_liblzma", "core", "rocm_sysdeps_liblzma", "lib/rocm_sysdeps/lib"),
    SelectorLibrary("rocdxg", "core", "rocdxg", optional=True),
    SelectorLibrary("hipblas", "libraries", "hipblas"),
    SelectorLibrary("hipblaslt", "libraries", "hipblaslt"),
    SelectorLibrary("miopen", "libraries", "MIOpen"),
)
PROGRAMS = (
    SelectorProgram("amdclang", "core", "lib/llvm/bin", is_compiler_tool=True),
    SelectorProgram("amdclang++", "core", "lib/llvm/bin", is_compiler_tool=True),
    SelectorProgram("rocminfo", "core"),
    SelectorProgram("rocm-smi", "core"),
    SelectorProgram("hipify-perl", "core"),
    SelectorProgram("rocprof-sys-avail", "profiler"),
)

HEADER = b"int hip_version(void);\n"
RPATH_TO_CORE = "$ORIGIN/../../_rocm_sdk_core/lib"

CORE_FILES: dict[str, bytes] = {
    "_rocm_sdk_core/__init__.py": PACKAGE_INIT,
    "_rocm_sdk_core/lib/libamdhip64.so.7": sample_elf.shared_library(
        "libamdhip64.so.7", ["hipInit"], needed=["librocm_sysdeps_liblzma.so.5"],
        runpath="$ORIGIN/rocm_sysdeps/lib",
    ),
    "_rocm_sdk_core/lib/rocm_sysdeps/lib/librocm_sysdeps_liblzma.so.5": sample_elf.shared_library(
        "librocm_sysdeps_liblzma.so.5", ["lzma_version"]
    ),
    "_rocm_sdk_core/lib/llvm/bin/amdclang": sample_elf.program(" is clang\n"),
    "_rocm_sdk_core/lib/llvm/bin/amdclang++": sample_elf.program(" is clang++\n"),
    "_rocm_sdk_core/bin/rocminfo": sample_elf.program(" finds no GPU\n"),
    "_rocm_sdk_core/bin/rocm-smi": b"#!/usr/bin/env python3\nimport sys\nprint(sys.prefix)\n",
    "_rocm_sdk_core/bin/hipify-perl": b"#!/nowhere/perl-of-elsewhere\n",
    "_rocm_sdk_core/share/notes.txt": b"notes\n",
}  # fmt: skip
LIBRARIES_FILES: dict[str, bytes] = {
    "_rocm_sdk_libraries/__init__.py": PACKAGE_INIT,
    "_rocm_sdk_libraries/lib/libhipblas.so.3": sample_elf.shared_library(
        "libhipblas.so.3", ["hipblasCreate"], needed=["libamdhip64.so.7"], runpath=RPATH_TO_CORE
    ),
    "_rocm_sdk_libraries/lib/libhipblaslt.so.1": sample_elf.shared_library(
        "libhipblaslt.so.1", ["hipblasLtCreate"]
    ),
    "_rocm_sdk_libraries/lib/libMIOpen.so.1": sample_elf.shared_library(
        "libMIOpen.so.1", ["miopenCreate"]
    ),
}
PROFILER_FILES: dict[str, bytes] = {
    "_rocm_profiler/__init__.py": PACKAGE_INIT,
    "_rocm_profiler/bin/rocprof-sys-avail": (
        b'#!/bin/sh\necho "$LD_LIBRARY_PATH"\necho "$PYTHONPATH"\n'
    ),
    "_rocm_profiler/lib/librocprof-sys.so": sample_elf.shared_library("librocprof-sys.so", ["go"]),
}  # fmt: skip


def device_files(target: str) -> dict[str, bytes]:
    """The files of a device wheel: data of two kinds, one directory that is the target's own."""
    library = "_rocm_sdk_libraries/lib/rocblas/library"
    return {
        f"_rocm_sdk_libraries/{device_marker(target)}": b"",
        f"{library}/Kernels_{target}.co": sample_elf.gpu_code_object(target, 3000),
        f"{library}/{target}/fallback.dat": target.encode() * 100,
    }


def verbatim_files() -> dict[str, bytes]:
    """What the devel archive holds itself."""
    return {
        "include/hip/hip_runtime.h": HEADER,
        "lib/libstatic.a": sample_elf.static_library("a.o", bytes(2000)),
        "lib/cmake/hip/hip-config.cmake": b"set(hip_FOUND TRUE)\n",
        "bin/hipconfig-dev": b"#!/bin/sh\necho devel\n",
    }


def devel_entries(extra: Sequence[DevelEntry] = ()) -> list[DevelEntry]:
    """All paths of the devel tree of the sample run."""
    entries = [
        DevelEntry(
            path, EntryKind.FILE, len(data), hashlib.sha256(data).hexdigest(),
            executable=path.startswith("bin/"),
        )
        for path, data in verbatim_files().items()
    ]  # fmt: skip
    for path, data in {**CORE_FILES, **LIBRARIES_FILES}.items():
        package, _, inside = path.partition("/")
        if inside == "__init__.py":
            continue
        digest = hashlib.sha256(data).hexdigest()
        entries.append(
            DevelEntry(inside, EntryKind.PACKAGE, len(data), digest, package=package, target=inside)
        )
    links = {
        "lib/libamdhip64.so": "libamdhip64.so.7",
        "lib/libamdhip64.so.7.2": "libamdhip64.so",
        "lib/libhipblas.so": "libhipblas.so.3",
        "llvm": "lib/llvm",
        "include/hip.h": "hip/hip_runtime.h",
    }
    entries += [DevelEntry(path, EntryKind.SYMLINK, target=to) for path, to in links.items()]
    entries.append(DevelEntry("share/empty", EntryKind.DIRECTORY))
    return [*entries, *extra]


def devel_archive(entries: Sequence[DevelEntry], contents: Mapping[str, bytes]) -> bytes:
    """The archive of the devel wheel."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for entry in manifest_order(entries):
            if entry.kind is EntryKind.FILE:
                info = tarfile.TarInfo(entry.path)
                info.size = len(contents[entry.path])
                archive.addfile(info, io.BytesIO(contents[entry.path]))
    return buffer.getvalue()


def devel_files(version: str) -> dict[str, bytes]:
    """The files of the devel wheel."""
    entries = devel_entries()
    return {
        f"{DEVEL_PACKAGE}/__init__.py": DEVEL_INIT,
        f"{DEVEL_PACKAGE}/{DEVEL_MANIFEST}": manifest_bytes(version, entries),
        f"{DEVEL_PACKAGE}/{DEVEL_ARCHIVE}": devel_archive(entries, verbatim_files()),
    }


def make_wheel(
    directory: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    requires: Sequence[str] = (),
    scripts: Sequence[str] = (),
    tag: str = "py3-none-any",
) -> Path:
    """A wheel (PEP 427); everything in a ``bin`` directory is executable."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = [
        "Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
        *(f"Requires-Dist: {requirement}" for requirement in requires),
    ]  # fmt: skip
    wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n"
    members = dict(files)
    members[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    members[f"{info}/WHEEL"] = wheel.encode()
    if scripts:
        lines = [f"{program} = {entry_point(program)}" for program in scripts]
        members[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""]).encode()
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()[:-1]},"
        f"{len(data)}"
        for path, data in members.items()
    ]
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    path = directory / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member)
            is_program = "/bin/" in member
            entry.external_attr = (0o100755 if is_program else 0o100644) << 16
            archive.writestr(entry, data)
    return path


def make_selector(directory: Path, version: str = VERSION, *, split: bool = True) -> Path:
    """The sdist of the sample run."""
    return write_selector(
        directory, version=version, targets=TARGETS, families=FAMILIES, default_target="gfx942",
        linux_targets=(), windows_targets=(), libraries=LIBRARIES, programs=PROGRAMS,
        has_profiler=True, split=split, mtime=MTIME,
    )  # fmt: skip


def make_run(directory: Path, version: str = VERSION) -> None:
    """All packages of a split run, with the build tools that installing the sdist needs."""
    directory.mkdir(parents=True, exist_ok=True)
    own = [program.name for program in PROGRAMS if program.package == "core"]
    make_wheel(directory, "rocm-sdk-core", version, CORE_FILES, scripts=own)
    make_wheel(directory, "rocm-sdk-libraries", version, LIBRARIES_FILES)
    for target in TARGETS:
        make_wheel(
            directory, f"rocm-sdk-device-{target}", version, device_files(target),
            requires=[f"rocm-sdk-libraries=={version}"],
        )  # fmt: skip
    make_wheel(directory, "rocm-sdk-devel", version, devel_files(version))
    make_wheel(directory, "rocm-profiler", version, PROFILER_FILES, scripts=["rocprof-sys-avail"])
    make_selector(directory, version)


def make_unsplit_run(directory: Path, family: str) -> None:
    """Core, the libraries of one family and the sdist of an unsplit run of that family."""
    directory.mkdir(parents=True, exist_ok=True)
    make_wheel(directory, "rocm-sdk-core", VERSION, CORE_FILES)
    package = libraries_package(family)
    libraries = {
        path.replace(LIBRARIES_PACKAGE, package): data for path, data in LIBRARIES_FILES.items()
    }
    make_wheel(directory, f"rocm-sdk-libraries-{family.lower()}", VERSION, libraries)
    write_selector(
        directory, version=VERSION, targets=FAMILIES[family], families={family: FAMILIES[family]},
        default_target=FAMILIES[family][0], linux_targets=(), windows_targets=(),
        libraries=LIBRARIES, programs=PROGRAMS, has_profiler=False, split=False, mtime=MTIME,
    )  # fmt: skip


def repack_installed(name: str, directory: Path) -> Path:
    """The wheel that an installed distribution came from, as far as building needs it."""
    distribution = importlib.metadata.distribution(name)
    tops = {f"{name}", "_distutils_hack", "pkg_resources", "distutils-precedence.pth"}
    files = {
        str(path): Path(str(path.locate())).read_bytes()
        for path in distribution.files or ()
        if path.parts[0] in tops and "__pycache__" not in path.parts
    }
    info = f"{name}-{distribution.version}.dist-info"
    extra = {
        f"{info}/{part}": text.encode()
        for part in ("entry_points.txt", "top_level.txt")
        if (text := distribution.read_text(part))
    }
    return make_wheel(directory, name, distribution.version, {**files, **extra})


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without a package of its own, and what is run in it."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path, **variables: str) -> Environment:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(root)
        return cls(root, variables)

    @property
    def site(self) -> Path:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return self.root / "lib" / version / "site-packages"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def run(
        self, *command: str | Path, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; its output is in the error when it fails."""
        ran = subprocess.run(
            [self.bin / command[0], *command[1:]],
            env=self._environ(variables), capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran

    def python(self, code: str, *, check: bool = True, **variables: str) -> str:
        """What a piece of Python prints in the environment."""
        ran = self.run("python", "-W", "error", "-c", code, check=check, **variables)
        return ran.stdout + ran.stderr

    def pip(self, *arguments: str | Path, check: bool = True) -> str:
        """Run pip on the environment."""
        command = [sys.executable, "-m", "pip", "--python", self.bin / "python", *arguments]
        return self._install(command, check=check)

    def uv(self, *arguments: str | Path, check: bool = True) -> str:
        """Run ``uv pip`` on the environment."""
        command = [
            uv.find_uv_bin(), "pip", *arguments, "--python", self.bin / "python", "--offline",
            "--cache-dir", self.root.parent / "uv-cache", "--no-config",
        ]  # fmt: skip
        return self._install(command, check=check)

    def files(self) -> set[str]:
        """Everything in site-packages and among the console scripts."""
        return {
            str(path.relative_to(self.root))
            for top in (self.site, self.bin)
            for path in top.rglob("*")
            if "__pycache__" not in path.parts
        }

    def _install(self, command: Sequence[str | Path], *, check: bool) -> str:
        ran = subprocess.run(
            command, env=self._environ({}), capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        output = ran.stdout + ran.stderr
        assert (ran.returncode == 0) or not check, output
        return output

    def _environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = ("ROCM_", "PIP_", "UV_", "PYTHON", "LD_", "VIRTUAL_ENV")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {
            **environ, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CONFIG_FILE": os.devnull, **self.variables, **variables,
        }  # fmt: skip
