"""The launcher is run for what it stands for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from therock_outputs.artifacts.sample_elf import program
from therock_outputs.errors import NotFoundError, OutputsError, UsageError
from therock_outputs.python_packages.launcher import (
    build_launcher,
    launcher_for,
    prebuilt_launcher,
)

TEMPLATE = prebuilt_launcher("manylinux_2_28_x86_64")


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755)


def test_launcher_runs_its_target_under_the_name_it_was_called_by(tmp_path: Path) -> None:
    put(tmp_path / "lib/llvm/bin/clang", program(" here\n"))
    put(tmp_path / "bin/clang++", launcher_for("../lib/llvm/bin/clang", TEMPLATE))
    (tmp_path / "elsewhere").symlink_to("bin/clang++")
    for called in ("bin/clang++", "elsewhere"):
        result = subprocess.run(
            ["clang++", "an argument"],
            executable=tmp_path / called,
            check=True,
            capture_output=True,
            text=True,
        )
        assert result.stdout == "clang++ here\n"


def test_launcher_hands_arguments_and_environment_on(tmp_path: Path) -> None:
    script = '#!/bin/sh\necho "$1|$2|$WORD"\nexit 7\n'
    put(tmp_path / "tool", script.encode())
    put(tmp_path / "link", launcher_for("tool", TEMPLATE))
    result = subprocess.run(
        [tmp_path / "link", "a b", "c"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "WORD": "set"},
    )
    assert (result.stdout, result.returncode) == ("a b|c|set\n", 7)


def test_launcher_without_its_target_says_so(tmp_path: Path) -> None:
    put(tmp_path / "link", launcher_for("gone", TEMPLATE))
    result = subprocess.run([tmp_path / "link"], check=False, capture_output=True, text=True)
    assert result.returncode == 127
    assert f"{tmp_path}/gone: cannot be run" in result.stderr


def test_launcher_is_tiny() -> None:
    assert len(TEMPLATE) < 4096


def test_platform_without_launcher_is_told_what_to_do() -> None:
    for tag in ("linux_riscv64", "win_amd64"):
        with pytest.raises(NotFoundError, match="--launcher-cc"):
            prebuilt_launcher(tag)


def test_target_that_is_too_long_is_refused() -> None:
    with pytest.raises(OutputsError, match="too long"):
        launcher_for("x" * 1024, TEMPLATE)


def test_program_without_placeholder_is_no_launcher() -> None:
    with pytest.raises(UsageError, match="placeholder"):
        launcher_for("x", b"\x7fELF")


def test_compiler_that_is_not_there_or_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no-such-cc"):
        build_launcher("no-such-cc")
    put(tmp_path / "cc", b"#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(OutputsError, match="broken"):
        build_launcher(str(tmp_path / "cc"))
