"""``rocm-sdk test``: whether every console script starts its program."""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
from collections.abc import Iterator

from ._environment import Installation
from ._outcome import Outcome, Status
from ._programs import INTERPRETER_MISSING, MESSAGE_START
from ._record import read_record

__all__ = ["check_programs_start", "judge"]

_TIMEOUT = 120.0  # seconds
_ARGUMENTS = {
    "amdlld": ("-flavor", "gnu", "--version"),
    "offload-arch": (),
    "rocm_agent_enumerator": (),
    "rocminfo": (),
}
"""How to start a program that does something else with --help."""

_LOADER_FAILED = re.compile(
    r"error while loading shared libraries|cannot open shared object file|symbol lookup error"
    r"|undefined symbol|version `[^']*' not found"
    r"|ModuleNotFoundError|ImportError|can't open file"
    # The directories of the kernel's driver are not there without a GPU.
    r"|FileNotFoundError(?!.*'/(?:sys|dev|proc)/)"
)
_PERL_MODULE = re.compile(r"Can't locate (\S+?)\.pm in @INC")
"""What a Perl script says of a module that is the machine's to have, as Perl itself is."""
_SCRIPT = re.compile(r"^\s*([^\s=\[;#]+)\s*=\s*rocm_sdk\._programs:", re.MULTILINE)


def check_programs_start(installed: Installation) -> Iterator[Outcome]:
    """Start each console script of the installed packages, several at a time."""
    scripts = sorted(_scripts(installed).items())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(lambda item: _start(*item), scripts)


def judge(program: str, code: int, output: str) -> Outcome:
    """Whether a program ran, by its exit code and what it printed.

    That it found no GPU, or did not know --help, is no failure.
    """
    title = f"start {program}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    refused = next((line for line in lines if line.startswith(MESSAGE_START)), "")
    if INTERPRETER_MISSING in refused:
        return Outcome(title, Status.SKIPPED, refused[len(MESSAGE_START) :])
    if refused:
        return Outcome(title, Status.FAILED, refused[len(MESSAGE_START) :])
    module = _PERL_MODULE.search(output)
    if code and module:
        needed = module[1].replace("/", "::")
        return Outcome(title, Status.SKIPPED, f"needs Perl's {needed}, which {INTERPRETER_MISSING}")
    failed = next((line for line in lines if _LOADER_FAILED.search(line)), "")
    if failed:
        return Outcome(title, Status.FAILED, failed)
    if code < 0:
        return Outcome(title, Status.FAILED, f"ended by signal {-code}")
    if code in {126, 127}:
        return Outcome(title, Status.FAILED, lines[-1] if lines else f"exit code {code}")
    if code:
        return Outcome(title, Status.PASSED, f"exit code {code}: {lines[-1] if lines else ''}")
    return Outcome(title, Status.PASSED)


def _scripts(installed: Installation) -> dict[str, str]:
    """The console scripts that run programs, with where the installer put each."""
    scripts: dict[str, str] = {}
    for name in installed.versions:
        dist_info = installed.dist_info(name)
        try:
            with open(os.path.join(dist_info, "entry_points.txt"), encoding="utf-8") as file:
                wanted = set(_SCRIPT.findall(file.read()))
        except FileNotFoundError:
            continue
        for program in wanted:
            scripts[program] = ""
        for path, _, _ in read_record(dist_info):
            base = os.path.basename(path)
            program = base[:-4] if base.lower().endswith(".exe") else base
            if program in wanted and path.startswith(".."):
                scripts[program] = os.path.normpath(os.path.join(installed.site, path))
    return scripts


def _start(program: str, path: str) -> Outcome:
    if not path:
        return Outcome(f"start {program}", Status.FAILED, "its console script is not installed")
    try:
        ran = subprocess.run(
            [path, *_ARGUMENTS.get(program, ("--help",))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(f"start {program}", Status.FAILED, f"did not end in {_TIMEOUT:.0f} s")
    except OSError as error:
        return Outcome(f"start {program}", Status.FAILED, str(error))
    return judge(program, ran.returncode, ran.stdout.decode(errors="replace"))
