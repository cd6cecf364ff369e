"""Running the real program in tests: in this process, in another one, or until it is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import tasks
from therock_outputs.console import Console
from therock_outputs.program import jobs_of, run

ROOT = Path(__file__).resolve().parents[1]
JOBS = jobs_of(tasks)

_PROGRAM = "from therock_outputs.program import main; main()"

# Counts what the program does to files and, when the count is reached, is gone in the middle of
# it: no handler, no `finally`, no buffer that is flushed.
_COUNTING = """
import importlib, os, signal, sys, threading

# Opening counts too: it makes a file, or it comes just before one is read or written.
EVENTS = {
    "open", "os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir",
    "os.truncate", "os.chmod", "shutil.rmtree", "shutil.copyfile", "shutil.move", "fcntl.flock",
    "socket.connect", "http.client.send",
}
limit, report = int(sys.argv[1]), sys.argv[2]
inside = [os.path.abspath(place) for place in sys.argv[3].split(os.pathsep) if place]
count, turn = 0, threading.RLock()

def counts(event, arguments):
    if event not in EVENTS:
        return False
    if event not in {"open", "os.mkdir", "shutil.rmtree"}:
        return True
    path = arguments[0]
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(tuple(inside))

def watch(event, arguments):
    global count
    if counts(event, arguments):
        with turn:
            count += 1
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)

module = sys.argv[4]
sys.argv = ["inv", *sys.argv[5:]]
main = importlib.import_module(module).main
sys.addaudithook(watch)
try:
    main()
finally:
    total = count
    with open(report, "w") as file:
        file.write(str(total))
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a run of the program gave."""

    code: int
    out: str
    err: str


def invoke(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Run a task in this process."""
    capsys.readouterr()
    code = run([str(word) for word in words], JOBS, Console.standard(os.environ))
    return Done(code, *capsys.readouterr())


def start(*words: object, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a task in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *map(str, words)],
        env=_environment(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a task that was started."""
    out, err = process.communicate()
    return Done(process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class Killable:
    """A task that can be killed at any of the things it does to files."""

    words: tuple[str, ...]
    places: tuple[Path, ...]
    """What happens to files elsewhere (the interpreter's own) does not count."""
    report: Path
    environ: Mapping[str, str] | None = None
    module: str = "therock_outputs.program"
    """Whose ``main`` is run with the words."""

    def run(self) -> int:
        """Run to the end; how many things were done."""
        done = self._process(0)
        assert done.returncode == 0, done.stderr
        return int(self.report.read_text())

    def kill_at(self, number: int) -> bool:
        """Run until so many things were done; False when the task ended before."""
        done = self._process(number)
        if done.returncode == -signal.SIGKILL:
            return True
        assert done.returncode == 0, done.stderr
        return False

    def _process(self, limit: int) -> subprocess.CompletedProcess[str]:
        inside = os.pathsep.join(map(str, self.places))
        self.report.parent.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [
                sys.executable,
                "-c",
                _COUNTING,
                str(limit),
                str(self.report),
                inside,
                self.module,
                *self.words,
            ],
            env=_environment(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def tree(directory: Path) -> dict[str, str]:
    """Every name below a directory, hidden ones too, with its kind, mode and content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            what = f"-> {path.readlink()}"
        elif path.is_dir():
            what = "directory"
        else:
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        mode = "" if path.is_symlink() else f"{stat.S_IMODE(status.st_mode):o} "
        found[path.relative_to(directory).as_posix()] = mode + what
    return found


def _environment(environ: Mapping[str, str] | None) -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(environ or {}),
    }
