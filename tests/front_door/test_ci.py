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


def _run(tmp_path: Path, closing: str, **codes: int) -> subprocess.CompletedProcess[str]:
    """Run it where all programs are there and each task of ``inv`` ends as told."""
    checkout = tmp_path / "a b"
    (checkout / ".ci").mkdir(parents=True)
    for name in ("run", "system-packages.txt"):
        shutil.copy(_PROJECT / ".ci" / name, checkout / ".ci")
    cases = "".join(f"{task}) exit {code} ;;\n" for task, code in codes.items())
    inv = checkout / "inv"
    inv.write_text(f'#!/bin/sh\necho "inv $1"\n[ "$1" != test ] || echo "{closing}"\n'
                   f'case "$1" in\n{cases}esac\n')  # fmt: skip
    inv.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for line in (_PROJECT / ".ci" / "system-packages.txt").read_text().splitlines():
        for program in line.split()[1:] if not line.startswith("#") else ():
            (tools / program).write_text("#!/bin/sh\n")
            (tools / program).chmod(0o755)
    return subprocess.run(
        ["bash", str(checkout / ".ci" / "run")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_is_run_in_order_and_the_closing_line_is_last(tmp_path: Path) -> None:
    ran = _run(tmp_path, _PASSED)
    assert ran.returncode == 0, ran.stderr
    tasks = re.findall(r"^inv (.*)$", ran.stdout, re.MULTILINE)
    assert tasks == ["--version", "lint", "docs", "test"]
    assert ran.stdout.splitlines()[-1] == _PASSED


@pytest.mark.parametrize("task", ["lint", "docs", "test"])
def test_task_that_fails_fails_ci_but_hides_no_other(tmp_path: Path, task: str) -> None:
    ran = _run(tmp_path, _PASSED, **{task: 1})
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
