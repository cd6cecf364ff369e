"""The parts of ``rocm_sdk`` that need nothing installed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from tests.wheel_makers import VERSION
from therock_outputs.artifacts import sample_elf
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.python_packages.devel_format import (
    DevelEntry,
    EntryKind,
    entry_point,
    libraries_package,
    manifest_bytes,
)
from therock_outputs.python_packages.templates.rocm_sdk import _cli
from therock_outputs.python_packages.templates.rocm_sdk._check_programs import judge
from therock_outputs.python_packages.templates.rocm_sdk._elf import is_loadable_library
from therock_outputs.python_packages.templates.rocm_sdk._environment import Installation
from therock_outputs.python_packages.templates.rocm_sdk._errors import MixedRunsError
from therock_outputs.python_packages.templates.rocm_sdk._libraries import file_pattern
from therock_outputs.python_packages.templates.rocm_sdk._manifest import DevelManifest
from therock_outputs.python_packages.templates.rocm_sdk._outcome import Outcome, Status
from therock_outputs.python_packages.templates.rocm_sdk._process import (
    check_version,
    initialize_process,
)


@pytest.mark.parametrize("expected", ["0.0.0", "0.*", "*", "0.*.0", re.compile(r"0\.\d\.0")])
def test_expected_version_is_accepted(expected: str | re.Pattern[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_version(expected, fail_on_version_mismatch=True)
        initialize_process(check_version=expected)


@pytest.mark.parametrize("expected", ["7.*", "0.0", "0x0.0", re.compile("0.0")])
def test_other_version_warns_or_raises(expected: str | re.Pattern[str]) -> None:
    with pytest.warns(UserWarning, match="this program expects rocm .* but 0.0.0 is installed"):
        assert not check_version(expected)
    with pytest.raises(RuntimeError, match=r"0\.0\.0 is installed"):
        initialize_process(check_version=expected, fail_on_version_mismatch=True)


@pytest.mark.parametrize(
    ("stem", "name", "is_windows", "fits"),
    [
        ("hipblas", "libhipblas.so.3", False, True),
        ("hipblas", "libhipblas.so", False, True),
        ("hipblas", "libhipblaslt.so.1", False, False),
        ("hipblas", "libhipblas.so.3.debug", False, False),
        ("hipblas", "hipblas.dll", True, True),
        ("hipblas", "hipblaslt.dll", True, False),
        ("hipblas", "libhipblas.dll", True, True),
        ("hiprtc", "hiprtc0710.dll", True, True),
        ("hiprtc", "hiprtc-builtins0710.dll", True, False),
        ("amdhip64", "amdhip64_7.dll", True, True),
    ],
)
def test_library_files_are_told_from_their_neighbours(
    stem: str, name: str, *, is_windows: bool, fits: bool
) -> None:
    assert bool(file_pattern(stem, is_windows=is_windows).fullmatch(name)) is fits


@pytest.mark.parametrize(
    ("code", "output", "status"),
    [
        (0, "usage: …", Status.PASSED),
        (1, "no GPU found: /dev/kfd: No such file or directory", Status.PASSED),
        (2, "unknown option --help", Status.PASSED),
        (-11, "", Status.FAILED),
        (126, "", Status.FAILED),
        (1, "Traceback …\nModuleNotFoundError: No module named 'yaml'", Status.FAILED),
        (1, "FileNotFoundError: No such file or directory: '/sys/class/kfd/'", Status.PASSED),
        (1, "FileNotFoundError: No such file or directory: '/a/b.py'", Status.FAILED),
        (2, "Can't locate File/Which.pm in @INC (you may need to …", Status.SKIPPED),
        (0, "x: error while loading shared libraries: libz.so.1: cannot open", Status.FAILED),
        (127, "rocm-sdk: x: /a/b/x is not there", Status.FAILED),
        (127, "rocm-sdk: x: needs perl, which is not on this machine", Status.SKIPPED),
    ],
)
def test_started_program_is_judged_by_what_it_did(code: int, output: str, status: Status) -> None:
    assert judge("x", code, output).status is status


def test_outcome_shows_the_first_findings_and_counts_the_rest() -> None:
    assert Outcome.of("x", []).status is Status.PASSED
    outcome = Outcome.of("x", [f"f{number}" for number in range(8)])
    assert outcome.detail == "f0; f1; f2; f3; f4; and 3 more"


def test_only_this_machines_libraries_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data, expected in (
        (sample_elf.shared_library("a.so", ["a"]), True),
        (sample_elf.gpu_code_object("gfx942", 1000), False),
        (b"\x7fELF", False),
        (b"text", False),
    ):
        path.write_bytes(data)
        assert is_loadable_library(str(path)) is expected


def test_versions_of_two_runs_are_named(tmp_path: Path) -> None:
    for name in (
        "rocm_sdk_core-0.0.0", "rocm_sdk_libraries-7.1.0", "rocm_sdk_device_gfx942-7.1.0",
        "rocm_smi_tools-5.0", "rocm-0.0.0", "numpy-2.0",
    ):  # fmt: skip
        (tmp_path / f"{name}.dist-info").mkdir()
    with pytest.raises(MixedRunsError) as caught:
        Installation(str(tmp_path)).check()
    assert "rocm 0.0.0 with rocm-sdk-device-gfx942 7.1.0, rocm-sdk-libraries 7.1.0." in str(
        caught.value
    )


@pytest.mark.parametrize("arguments", [["version"], ["targets"]])
def test_command_answers_without_any_other_package(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _cli.main(arguments) == 0
    assert capsys.readouterr().out.strip() in {"0.0.0", ""}


@pytest.mark.parametrize("arguments", [["path", "--bin"], ["init"], ["test"]])
def test_command_without_core_says_what_to_install(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert 'pip install "rocm==0.0.0"' in captured.out + captured.err


@pytest.mark.parametrize("arguments", [[], ["path"], ["path", "--root", "--bin"], ["other"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: rocm-sdk" in capsys.readouterr().err


def test_names_of_programs_and_packages() -> None:
    assert entry_point("amdclang++") == "rocm_sdk._programs:amdclang_plus_plus"
    assert libraries_package("gfx94X-dcgpu") == "_rocm_sdk_libraries_gfx94x_dcgpu"
    with pytest.raises(UsageError, match="is not the name of a program"):
        entry_point("rm -rf")


def test_manifest_is_the_same_whatever_the_order_and_reads_back() -> None:
    entries = [
        DevelEntry("lib", EntryKind.DIRECTORY),
        DevelEntry("lib/b", EntryKind.SYMLINK, target="a"),
        DevelEntry("lib/a", EntryKind.FILE, 1, "0" * 64, executable=True),
        DevelEntry("c", EntryKind.PACKAGE, 2, "1" * 64, package="_rocm_sdk_core", target="x/c"),
    ]
    written = manifest_bytes(VERSION, entries)
    assert written == manifest_bytes(VERSION, reversed(entries))
    read = DevelManifest.from_bytes(written)
    assert read.version == VERSION
    assert sorted(read.entries, key=lambda entry: entry.path) == list(read.entries)
    assert set(read.entries) == set(entries)


def test_manifest_of_paths_that_contradict_each_other_is_refused() -> None:
    file = DevelEntry("a", EntryKind.FILE, 1, "0" * 64)
    for other, message in (
        (DevelEntry("a", EntryKind.DIRECTORY), "a is named twice"),
        (DevelEntry("a/b", EntryKind.DIRECTORY), "a/b lies below a, which is not a directory"),
    ):
        with pytest.raises(IntegrityError, match=message):
            manifest_bytes(VERSION, [file, other])
