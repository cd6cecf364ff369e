"""The launcher: the real ``inv`` in copies of a checkout whose path holds spaces and quotes."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[2]
_TOOLS = ("sh", "readlink", "cksum", "cat", "head", "grep", "tail", "cut", "rm", "mv")

_TASKS = '''
from pathlib import Path
from therock_outputs.jobs import Heading, job

@job(Heading.MAIN, shared=("staging_dir",), example="./inv where", takes_extra="WORDS")
def where(work):
    """Say where this runs."""
    staging = work.settings.staging_dir
    return {
        "cwd": str(Path.cwd()),
        "file": __file__,
        "staging": staging and str(staging.absolute()),
        "extra": work.extra,
    }

@job(Heading.MAIN, example="./inv wait")
def wait(work):
    """Wait for a signal."""
    import signal
    work.console.say("waiting")
    signal.pause()
'''

# A project of no dependencies with its build backend inside, so that its installation runs
# through the real venv and the real pip without an index.
_TINY_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "therock-outputs"
version = "1"
requires-python = ">=3.11"
dependencies = [{dependencies}]
optional-dependencies = {{ dev = [] }}
"""

_TINY_BACKEND = """
import os, pathlib, signal, zipfile

HERE = pathlib.Path(__file__).parent
METADATA = "Metadata-Version: 2.1\\nName: therock-outputs\\nVersion: 1\\nProvides-Extra: dev\\n"

def build_editable(directory, config_settings=None, metadata_directory=None):
    with open(HERE / "builds.log", "a") as log:
        log.write("build\\n")
    if (HERE / "die").exists():
        (HERE / "die").unlink()
        os.killpg(0, signal.SIGKILL)
    name = "therock_outputs-1-py3-none-any.whl"
    info = "therock_outputs-1.dist-info"
    requires = "".join(f"Requires-Dist: {name}\\n" for name in DEPENDENCIES)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("tiny.pth", str(HERE))
        wheel.writestr(f"{info}/METADATA", METADATA + requires)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name

DEPENDENCIES = [DEPENDENCY_NAMES]
"""

_TINY_PROGRAM = """
import sys

def main():
    print("ran", *sys.argv[1:])
"""


@dataclass(frozen=True)
class _Checkout:
    path: Path

    @property
    def inv(self) -> Path:
        return self.path / "inv"

    def run(
        self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.inv), *words],
            cwd=cwd or self.path,
            env={**os.environ, **_OFFLINE, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


_OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def checkout(tmp_path: Path) -> _Checkout:
    """A copy of this project, installed: its .venv borrows the packages of this Python's."""
    path = tmp_path / "it's a copy"
    path.mkdir()
    shutil.copy(_PROJECT / "inv", path)
    shutil.copy(_PROJECT / "pyproject.toml", path)
    shutil.copytree(
        _PROJECT / "therock_outputs",
        path / "therock_outputs",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (path / "tasks.py").write_text(_TASKS)
    venv = path / ".venv"
    (venv / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    _write_stamp(path)
    return _Checkout(path)


def _write_stamp(path: Path) -> None:
    with (path / "pyproject.toml").open("rb") as file:
        checksum = subprocess.run(["cksum"], stdin=file, capture_output=True, check=True).stdout
    python = (path / ".venv" / "bin" / "python").resolve()
    (path / ".venv" / ".installed").write_text(f"{path}\n{python}\n{checksum.decode()}")


def _tiny(path: Path, dependency: str = "") -> _Checkout:
    """A project that is installed for real and runs a program of three lines."""
    names = f'"{dependency}"' if dependency else ""
    path.mkdir(parents=True)
    shutil.copy(_PROJECT / "inv", path)
    (path / "pyproject.toml").write_text(_TINY_PYPROJECT.format(dependencies=names))
    (path / "backend.py").write_text(_TINY_BACKEND.replace("DEPENDENCY_NAMES", names))
    (path / "therock_outputs").mkdir()
    (path / "therock_outputs" / "__init__.py").touch()
    (path / "therock_outputs" / "program.py").write_text(_TINY_PROGRAM)
    return _Checkout(path)


def _tools_only(directory: Path) -> dict[str, str]:
    """An environment whose PATH holds what ``inv`` uses, and no Python."""
    directory.mkdir()
    for name in _TOOLS:
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    return {"PATH": str(directory)}


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_relative_paths_are_those_of_the_callers_directory(
    checkout: _Checkout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    ran = checkout.run("where", "--staging-dir", "out", "--json", "--", "a b", cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    assert f'"cwd": "{elsewhere}"' in ran.stdout
    assert f'"staging": "{elsewhere}/out"' in ran.stdout
    assert f'"file": "{checkout.path}/tasks.py"' in ran.stdout
    assert '"a b"' in ran.stdout


def test_callers_modules_do_not_shadow_ours(checkout: _Checkout, tmp_path: Path) -> None:
    for name in ("invoke.py", "tasks.py", "json.py", "therock_outputs.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')")
    ran = checkout.run("where", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_launcher_is_found_through_links(checkout: _Checkout, tmp_path: Path) -> None:
    bin_directory = tmp_path / "bin dir"
    bin_directory.mkdir()
    (bin_directory / "first").symlink_to(checkout.inv)
    (bin_directory / "second").symlink_to("first")
    path = f"{bin_directory}:{os.environ['PATH']}"
    for command, cwd in (
        ([str(bin_directory / "second")], tmp_path),
        (["./second"], bin_directory),
        (["sh", "second"], bin_directory),
        (["second"], tmp_path),
        (["sh", "inv"], checkout.path),
    ):
        ran = subprocess.run(
            [*command, "where", "--json"],
            cwd=cwd,
            env={**os.environ, "PATH": path, "CDPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert f'"file": "{checkout.path}/tasks.py"' in ran.stdout


def test_installed_project_asks_no_python_and_no_network(
    checkout: _Checkout, tmp_path: Path
) -> None:
    ran = checkout.run("where", env=_tools_only(tmp_path / "tools"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not (checkout.path / ".venv.lock").exists()


def test_second_call_costs_little_more_than_invoke_alone(checkout: _Checkout) -> None:
    def median_seconds(command: list[str]) -> float:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run(command, cwd=checkout.path, capture_output=True, check=True)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    python = str(checkout.path / ".venv" / "bin" / "python")
    alone = median_seconds([python, "-m", "invoke", "where"])
    assert median_seconds([str(checkout.inv), "where"]) < alone + 0.5


def test_plain_invoke_runs_the_same_tasks(checkout: _Checkout) -> None:
    command = [sys.executable, "-m", "invoke", "where", "--staging-dir", "x", "--json"]
    ran = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f'"staging": "{checkout.path}/x"' in ran.stdout
    (checkout.path / "tasks.py").write_text(
        _TASKS.replace("staging = ", "raise __import__('therock_outputs.errors').errors.")
        .replace("work.settings.staging_dir", "LookupFailedError('no answer')")
    )  # fmt: skip
    ran = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (3, "error: no answer\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["where", "--nonsense"], "error: where has no flag --nonsense (see ./inv --help where)\n"),
        (["were"], "error: no task is called 'were'; did you mean where? (see ./inv --list)\n"),
    ],
)
def test_usage_error_of_the_real_process_is_one_line_and_2(
    checkout: _Checkout, words: list[str], line: str
) -> None:
    ran = checkout.run(*words)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", line)


def test_interrupted_task_exits_130(checkout: _Checkout) -> None:
    with subprocess.Popen(
        [str(checkout.inv), "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "error: interrupted\n")


def test_reader_that_has_seen_enough_gets_no_traceback(checkout: _Checkout) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ran = subprocess.run(
            [str(checkout.inv), "--list"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.stderr == ""


def test_checkout_without_tasks_says_so(checkout: _Checkout) -> None:
    (checkout.path / "tasks.py").unlink()
    ran = checkout.run("--list")
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: there is no ")
    assert ran.stderr.count("\n") == 1


def test_without_python_one_line_says_what_to_install(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    ran = tiny.run(env=_tools_only(tmp_path / "tools"))
    assert ran.returncode == 1
    assert ran.stderr == "error: no Python found; install Python 3.11 or newer, or set PYTHON\n"


def test_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    env = _tools_only(tmp_path / "tools")
    _script(tmp_path / "tools" / "python3", "exit 1")
    ran = tiny.run(env=env)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: python3 is older than Python 3.11;")
    assert ran.stderr.count("\n") == 1


def test_old_python_on_the_path_does_not_hide_a_newer_one(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    env = _tools_only(tmp_path / "tools")
    _script(tmp_path / "tools" / "python3", "exit 1")
    _script(tmp_path / "tools" / "python3.11", f'exec "{sys.executable}" "$@"')
    ran = tiny.run("x", env=env)
    assert (ran.returncode, ran.stdout) == (0, "ran x\n"), ran.stderr


def test_python_without_venv_is_said_in_one_line(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    python = _script(
        tmp_path / "python",
        f'[ "$1" != -m ] || {{ echo "long story"; exit 1; }}\nexec "{sys.executable}" "$@"',
    )
    ran = tiny.run(env={"PYTHON": str(python)})
    assert ran.returncode == 1
    assert "cannot make a virtual environment; install its venv module" in ran.stderr
    assert "long story" not in ran.stderr


def test_first_run_without_a_network_says_so_in_one_line(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b", dependency="no-such-package-anywhere")
    ran = tiny.run("x")
    assert ran.returncode == 1
    assert ran.stdout == ""
    said = ran.stderr.splitlines()
    assert said[0].startswith("inv: installing")
    assert said[1].startswith("error: cannot install what the project needs: no package index")
    assert len(said) == 2


def test_first_run_installs_once_and_a_change_installs_again(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    assert tiny.run("x", "y z").stdout == "ran x y z\n"
    assert tiny.run("again").stderr == ""
    builds = tiny.path / "builds.log"
    assert builds.read_text() == "build\n"
    kept = tiny.path / ".venv" / "kept"
    kept.touch()
    with (tiny.path / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# changed\n")
    assert tiny.run("x").stdout == "ran x\n"
    assert builds.read_text() == "build\nbuild\n"
    assert kept.exists()


def test_interrupted_installation_is_done_again(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    (tiny.path / "die").touch()
    killed = subprocess.run(
        [str(tiny.inv), "x"],
        env={**os.environ, **_OFFLINE},
        start_new_session=True,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    left = tiny.path / ".venv" / "left-over"
    left.touch()
    ran = tiny.run("x")
    assert (ran.returncode, ran.stdout) == (0, "ran x\n"), ran.stderr
    assert not left.exists()


def test_two_first_runs_at_once_install_once(tmp_path: Path) -> None:
    tiny = _tiny(tmp_path / "a b")
    processes = [
        subprocess.Popen(
            [str(tiny.inv), name],
            env={**os.environ, **_OFFLINE},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert said == ["ran one\n", "ran two\n", "ran three\n"]
    assert (tiny.path / "builds.log").read_text() == "build\n"
