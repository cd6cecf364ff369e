"""What judges installed packages: real installers, fresh environments, loaders and a C compiler."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.python_files import alone_environment

PROJECT = Path(__file__).resolve().parents[1]

HSA_PROGRAM = r"""
#include <hsa/hsa.h>
#include <stdio.h>

int main(void) {
    const char *words = "";
    uint16_t major = 0;
    hsa_status_t began = hsa_init();
    if (hsa_status_string(HSA_STATUS_SUCCESS, &words) != HSA_STATUS_SUCCESS) return 2;
    if (began == HSA_STATUS_SUCCESS) {
        if (hsa_system_get_info(HSA_SYSTEM_INFO_VERSION_MAJOR, &major) != HSA_STATUS_SUCCESS)
            return 3;
        hsa_shut_down();
    }
    printf("%s|%d|%d\n", words, (int)began, (int)major);
    return 0;
}
"""
"""Uses the runtime as far as that goes without a GPU."""

_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
_ELF = b"\x7fELF"
_X86_64_LIBRARY = bytes([3, 0, 62, 0])
"""ET_DYN for EM_X86_64, at offset 16."""


class JudgementError(AssertionError):
    """A judge found something wrong."""


def tool(name: str) -> str:
    """A program of the environment that this runs in."""
    return str(Path(sys.prefix) / "bin" / name)


def task(*words: str | Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Run one of the project's tasks; the lines that it said."""
    command = [sys.executable, "-c", "from therock_outputs.program import main; main()"]
    return _run([*command, *map(str, words)], environ or os.environ).splitlines()


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where to install from: nothing else is in reach."""

    dependencies: str
    packages: str


@contextmanager
def served(staging: Path) -> Iterator[str]:
    """The task ``serve`` as a process, by its address."""
    words = ["serve", "--staging-dir", str(staging), "--port", "0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", "from therock_outputs.program import main; main()", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            document = ""
            while not document.endswith("}\n"):
                line = process.stdout.readline()
                if not line:
                    raise JudgementError("serve did not start")
                document += line
            yield json.loads(document)["url"]
        finally:
            process.terminate()  # an interrupt is ignored by what a shell has put in the background
            process.wait()


@dataclass(frozen=True, slots=True)
class Judged:
    """A fresh environment, made and filled by one installer."""

    root: Path
    installer: str
    """``pip`` or ``uv``."""
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path, installer: str, **variables: str) -> Judged:
        """An environment as a user of the installer makes one."""
        home = root.with_name(f"{root.name}-home")
        home.mkdir(parents=True)
        environ = alone_environment(home) | variables
        if installer == "uv":
            _run([tool("uv"), "venv", "--python", sys.executable, str(root)], environ)
        else:
            _run([sys.executable, "-m", "venv", str(root)], environ)
        return cls(root, installer, environ)

    @property
    def site(self) -> Path:
        """Its site-packages."""
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return self.root / "lib" / version / "site-packages"

    def install(self, indexes: Indexes, *requirements: str) -> None:
        """Install from the two indexes."""
        where = ["--index-url", indexes.dependencies, "--extra-index-url", indexes.packages]
        self._installer("install", *where, *requirements)

    def uninstall(self, *names: str) -> None:
        """Uninstall; everything of ROCm without names."""
        names = names or tuple(self.packages())
        self._installer("uninstall", *(["-y"] if self.installer == "pip" else []), *names)

    def packages(self) -> list[str]:
        """The installed distributions of ROCm."""
        found = {path.name.partition("-")[0] for path in self.site.glob("rocm*.dist-info")}
        return sorted(name.replace("_", "-") for name in found)

    def ask(self, program: str, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """What a console script says."""
        return _run([str(self.root / "bin" / program), *arguments], self.environ, codes)

    def files(self) -> set[str]:
        """All that lies in the environment, but what Python makes of what was there before."""
        ours = ("rocm", "_rocm")
        found = set()
        for path in self.root.rglob("*"):
            below = path.relative_to(self.root)
            parts = below.relative_to(self.site.relative_to(self.root)).parts if (
                path.is_relative_to(self.site)
            ) else ()  # fmt: skip
            if below.as_posix() == ".lock":  # uv's own
                continue
            if "__pycache__" not in below.parts or (parts and parts[0].startswith(ours)):
                found.add(below.as_posix())
        return found

    def recorded(self, name: str) -> set[Path]:
        """The files of an installed distribution that lie in a directory of packages."""
        (record,) = self.site.glob(f"{name.replace('-', '_')}-*.dist-info/RECORD")
        rows = (line.rsplit(",", 2)[0].strip('"') for line in record.read_text().splitlines())
        return {
            self.site / row
            for row in rows
            if row.startswith("_rocm") and os.path.lexists(self.site / row)
        }

    def _installer(self, *words: str) -> None:
        if self.installer == "pip":
            command = [str(self.root / "bin" / "python"), "-m", "pip", *words]
        else:
            python = str(self.root / "bin" / "python")
            command = [tool("uv"), "pip", words[0], "--python", python, *words[1:]]
        _run(command, self.environ)


def rocm_sdk_test(judged: Judged) -> dict[str, int]:
    """Run ``rocm-sdk test``; how many checks ended how."""
    said = judged.ask("rocm-sdk", "test", codes=(0, 1)).splitlines()
    failed = [line for line in said if line.startswith("FAIL")]
    if failed:
        raise JudgementError("\n".join(failed))
    return {word: sum(line.startswith(word) for line in said) for word in ("ok", "skip")}


def shared_libraries(judged: Judged) -> list[Path]:
    """Every shared library of the packages, by what the files hold."""
    found = []
    for top in sorted(judged.site.glob("_rocm*")):
        for path in sorted(top.rglob("*")):
            is_library = path.name.endswith(".so") or ".so." in path.name
            if is_library and path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    head = file.read(20)
                if head[:4] == _ELF and head[16:20] == _X86_64_LIBRARY:
                    found.append(path)
    return found


def load_each(judged: Judged, ignored: Sequence[str] = ()) -> int:
    """Load each library in a process of its own; how many there are.

    JudgementError for those that do not load, unless a part of the path is ignored.
    """
    paths = [
        path
        for path in shared_libraries(judged)
        if not any(part in path.as_posix() for part in ignored)
    ]

    def load(path: Path) -> str:
        ran = subprocess.run(
            [judged.root / "bin" / "python", "-I", "-S", "-c", _LOAD, path],
            env=judged.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        last = ran.stderr.strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        return f"{path.relative_to(judged.site)}: {last[0]}" if ran.returncode else ""

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        failed = [words for words in pool.map(load, paths) if words]
    if failed:
        raise JudgementError(f"{len(failed)} of {len(paths)} do not load:\n" + "\n".join(failed))
    return len(paths)


def compile_and_run(judged: Judged, source: str, library: str, directory: Path) -> str:
    """What a C program says that was compiled and linked against the devel tree."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise JudgementError("there is no C compiler on PATH; install gcc")
    root = judged.ask("rocm-sdk", "path", "--root").strip()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "program.c").write_text(source)
    places = [f"-I{root}/include", f"-L{root}/lib", f"-Wl,-rpath,{root}/lib"]
    program = str(directory / "program")
    command = [compiler, "-Wall", "-Werror", *places, str(directory / "program.c"), "-o", program]
    _run([*command, f"-l{library}"], judged.environ)
    return _run([program], judged.environ)


def bytes_of_its_own(directory: Path, others: Sequence[Path]) -> tuple[int, int]:
    """Bytes on disk that only this directory holds, and that it holds in all."""
    shared = {
        status.st_ino
        for other in others
        for path in other.rglob("*")
        if not path.is_symlink() and (status := path.stat()).st_nlink > 1
    }
    own: dict[int, int] = {}
    everything = 0
    for path in directory.rglob("*"):
        status = path.lstat()
        if path.is_file():
            everything += path.stat().st_size
        if not path.is_symlink() and status.st_ino not in shared:
            own[status.st_ino] = status.st_blocks * 512
    return sum(own.values()), everything


def require_modules(*names: str) -> None:
    """JudgementError for a judge that is not installed."""
    lacking = [name for name in names if importlib.util.find_spec(name) is None]
    if lacking:
        raise JudgementError(f"pip install {' '.join(lacking)}: these are judges here")


def _run(command: Sequence[str], environ: Mapping[str, str], codes: Sequence[int] = (0,)) -> str:
    ran = subprocess.run(
        command,
        env=environ,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode not in codes:
        words = " ".join(map(str, command))[:300]
        raise JudgementError(f"{words}: exit code {ran.returncode}\n{ran.stdout[-4000:]}")
    return ran.stdout
