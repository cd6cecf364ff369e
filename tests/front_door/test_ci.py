"""What CI runs: ``.ci/run`` over a stand-in for ``inv``, so that every verdict can be seen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[2]
_PASSED = "===== 12 passed in 3.40s ====="


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _run(
    tmp_path: Path, closing: str, *, packages: str | None = None, path: str = "", fails: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it where one task of ``inv`` fails, or none.

    All programs are there, unless it is told which packages are asked for.
    """
    checkout = tmp_path / "a b"
    (checkout / ".ci").mkdir(parents=True)
    for name in ("run", "system-packages.txt"):
        shutil.copy(_PROJECT / ".ci" / name, checkout / ".ci")
    _script(checkout / ".ci" / "prepare-roots", "echo roots")
    _script(
        checkout / "inv",
        f'echo "inv $1"\n[ "$1" != test ] || echo "{closing}"\n[ "$1" != "{fails}" ]',
    )
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    asked = checkout / ".ci" / "system-packages.txt"
    if packages is not None:
        asked.write_text(packages)
    else:
        lines = asked.read_text().splitlines()
        signs = [sign for line in lines if not line.startswith("#") for sign in line.split()[1:]]
        for sign in signs:
            if sign.startswith("/"):  # no test may write there
                asked.write_text(asked.read_text().replace(sign, str(tools)))
            elif not sign.startswith("python3"):
                _script(tools / sign, "")
    return subprocess.run(
        ["bash", str(checkout / ".ci" / "run")],
        cwd=tmp_path,
        env={**os.environ, "PATH": path or f"{tools}:{os.environ['PATH']}", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_is_run_in_order_and_the_closing_line_is_last(tmp_path: Path) -> None:
    ran = _run(tmp_path, _PASSED)
    assert ran.returncode == 0, ran.stderr
    tasks = re.findall(r"^(?:inv (.*)|roots)$", ran.stdout, re.MULTILINE)
    assert tasks == ["--version", "", "lint", "docs", "test"]
    assert ran.stdout.splitlines()[-1] == _PASSED


@pytest.mark.parametrize("task", ["lint", "docs", "test"])
def test_task_that_fails_fails_ci_but_hides_no_other(tmp_path: Path, task: str) -> None:
    ran = _run(tmp_path, _PASSED, fails=task)
    assert ran.returncode == 1
    assert ran.stderr == f".ci/run: failed: {task}\n"
    assert "inv test" in ran.stdout


@pytest.mark.parametrize(
    "closing",
    [
        "===== 12 passed, 1 skipped in 3.40s =====",
        "===== 12 passed, 1 xfailed in 3.40s =====",
        "===== 12 passed, 1 xpassed in 3.40s =====",
        "===== 12 passed, 3 deselected in 3.40s =====",
        "===== no tests ran in 0.01s =====",
        "",
    ],
)
def test_skipped_or_missing_tests_fail_ci(tmp_path: Path, closing: str) -> None:
    ran = _run(tmp_path, closing)
    assert ran.returncode == 1
    assert ran.stderr.endswith(".ci/run: failed: test\n")


# ----------------------------------------------------------------------- a new machine

_PACKAGES = "# a comment\n\nfirst one-program\nsecond /nowhere/file\nthird python3:nonsense_\n"
_THERE = "bash-there bash\nfile-there /etc/passwd\nmodule-there python3:os"


def _apt(tmp_path: Path, does: str = "") -> None:
    """An apt-get, and an id that makes whoever runs it root, as far as the script can tell."""
    _script(tmp_path / "tools" / "apt-get", f'echo "$*" >>"{tmp_path}/asked"\n{does}')
    _script(tmp_path / "tools" / "id", "echo 0")


def test_missing_packages_are_installed_and_those_that_are_there_are_not(tmp_path: Path) -> None:
    _apt(tmp_path, f'printf "#!/bin/sh" >"{tmp_path}/tools/one-program"\n'
                   f'chmod +x "{tmp_path}/tools/one-program"')  # fmt: skip
    ran = _run(tmp_path, _PASSED, packages=f"first one-program\n{_THERE}")
    assert ran.returncode == 0, ran.stderr
    update, install = (tmp_path / "asked").read_text().splitlines()
    options = "-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq"
    assert update == f"{options} update"
    assert install == f"{options} install -y --no-install-recommends first"


def test_package_that_does_not_bring_what_it_should_is_named(tmp_path: Path) -> None:
    _apt(tmp_path)
    ran = _run(tmp_path, _PASSED, packages=f"{_PACKAGES}{_THERE}\n")
    assert ran.returncode == 1
    said = ".ci/run: installed, and yet not all of it is there: first second third\n"
    assert ran.stderr == said
    assert (tmp_path / "asked").read_text().endswith(" first second third\n")


def test_installation_that_fails_fails_ci(tmp_path: Path) -> None:
    _apt(tmp_path, "echo 'E: no such package' >&2; exit 100")
    ran = _run(tmp_path, _PASSED, packages=_PACKAGES)
    assert ran.returncode == 100
    assert "E: no such package" in ran.stderr
    assert "inv" not in ran.stdout


def _only(tmp_path: Path, *names: str) -> str:
    """A PATH that has these programs alone."""
    directory = tmp_path / "only"
    directory.mkdir()
    for name in names:
        (directory / name).symlink_to(str(shutil.which(name)))
    return str(directory)


def test_machine_without_apt_or_without_sudo_is_told_what_to_install(tmp_path: Path) -> None:
    path = _only(tmp_path, "bash", "dirname", "id")
    ran = _run(tmp_path / "1", _PASSED, packages=_PACKAGES, path=path)
    assert ran.returncode == 1
    assert ran.stderr == (
        ".ci/run: there is no apt-get here; install what these Debian packages hold: "
        "first second third\n"
    )
    _script(Path(path) / "apt-get", "exit 9")
    (Path(path) / "id").unlink()
    _script(Path(path) / "id", "echo 1000")
    ran = _run(tmp_path / "2", _PASSED, packages=_PACKAGES, path=path)
    assert ran.returncode == 1
    said = ".ci/run: there is no sudo here; as root: apt-get install first second third\n"
    assert ran.stderr == said


def test_list_of_packages_can_be_read() -> None:
    lines = (_PROJECT / ".ci" / "system-packages.txt").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9][a-z0-9.+-]+( +[^\s]+)+", line)
