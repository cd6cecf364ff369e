"""The ``rocm`` sdist as a file, and what it decides at installation."""

from __future__ import annotations

import ast
import hashlib
import tarfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from tests.wheel_makers import FAMILIES, LIBRARIES, MTIME, PROGRAMS, TARGETS, VERSION, make_selector
from therock_outputs.errors import UsageError
from therock_outputs.python_packages.sdist import SelectorProgram, write_selector
from therock_outputs.python_packages.templates.setup import (
    Run,
    asked_targets,
    found_targets,
    read_run,
    requirements,
)

BOTH = Run(
    version="7.10.0",
    split=True,
    targets=("gfx1151", "gfx942", "gfx1201"),
    default_target="gfx1151",
    linux_targets=("gfx1151", "gfx942"),
    windows_targets=("gfx1151", "gfx1201"),
    families={"gfx94X-dcgpu": ("gfx942",)},
    has_profiler=True,
)


def _write(
    directory: Path,
    *,
    targets: tuple[str, ...] = TARGETS,
    default_target: str = "gfx942",
    linux_targets: tuple[str, ...] = (),
    programs: tuple[SelectorProgram, ...] = PROGRAMS,
    split: bool = True,
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return write_selector(
        directory, version=VERSION, targets=targets, families=FAMILIES,
        default_target=default_target, linux_targets=linux_targets, windows_targets=(),
        libraries=LIBRARIES, programs=programs, has_profiler=False, split=split, mtime=MTIME,
    )  # fmt: skip


def _members(sdist: Path) -> dict[str, str]:
    with tarfile.open(sdist) as archive:
        return {
            member.name: (archive.extractfile(member) or pytest.fail(member.name)).read().decode()
            for member in archive
            if member.isfile()
        }


def test_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (_write(tmp_path / name) for name in "ab")
    assert first.name == f"rocm-{VERSION}.tar.gz"
    assert (
        hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
    )
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_sdist_has_one_directory_and_nothing_of_this_machine(tmp_path: Path) -> None:
    with tarfile.open(_write(tmp_path)) as archive:
        members = archive.getmembers()
    assert {member.name.split("/")[0] for member in members} == {f"rocm-{VERSION}"}
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {
        (0, 0, "", MTIME)
    }
    assert f"rocm-{VERSION}/rocm_sdk/py.typed" in [member.name for member in members]
    assert not [member.name for member in members if "__pycache__" in member.name]


def test_metadata_is_valid_and_lists_what_a_build_decides_as_dynamic(tmp_path: Path) -> None:
    text = _members(_write(tmp_path))[f"rocm-{VERSION}/PKG-INFO"]
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.dynamic == ["requires-dist"]
    # uv takes the requirements for final when the name is spelled otherwise.
    assert Parser().parsestr(text)["Dynamic"] == "Requires-Dist"
    assert Requirement(f"rocm-sdk-core=={VERSION}") in (metadata.requires_dist or [])
    assert set(metadata.provides_extra or []) == {
        "libraries", "devel", "device", "device-all", "device-gfx942", "device-gfx1100",
    }  # fmt: skip


def test_written_constants_are_read_back(tmp_path: Path) -> None:
    members = _members(make_selector(tmp_path))
    written = tmp_path / "_dist_info.py"
    written.write_text(members[f"rocm-{VERSION}/rocm_sdk/_dist_info.py"])
    run = read_run(written)
    assert run == Run(
        version=VERSION, split=True, targets=TARGETS, default_target="gfx942", families=FAMILIES,
        has_profiler=True,
    )  # fmt: skip


def test_sources_are_written_for_python_3_9(tmp_path: Path) -> None:
    for name, text in _members(_write(tmp_path)).items():
        if name.endswith(".py"):
            tree = ast.parse(text, feature_version=(3, 9))
            assert "therock_outputs" not in ast.unparse(tree)


def test_targets_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one GPU target"):
        _write(tmp_path, targets=())
    with pytest.raises(UsageError, match="'gfx906' is not one of gfx942, gfx1100"):
        _write(tmp_path, default_target="gfx906")
    with pytest.raises(UsageError, match="differ in gfx1100"):
        _write(tmp_path, linux_targets=("gfx942",))
    with pytest.raises(UsageError, match="gfx906 belongs to no GPU family"):
        _write(tmp_path, targets=("gfx906",), default_target="gfx906", split=False)


def test_programs_whose_names_clash_or_are_no_names_are_refused(tmp_path: Path) -> None:
    one, other = SelectorProgram("roc-obj", "core"), SelectorProgram("roc_obj", "core")
    with pytest.raises(UsageError, match=r"would both be rocm_sdk\._programs\.roc_obj"):
        _write(tmp_path, programs=(one, other))
    with pytest.raises(UsageError, match="is not the name of a program"):
        _write(tmp_path, programs=(SelectorProgram("a b", "core"),))


def test_every_requirement_is_pinned_and_valid() -> None:
    needed, extras = requirements(BOTH, "linux", [])
    for text in (*needed, *(one for values in extras.values() for one in values)):
        assert str(Requirement(text).specifier) == "==7.10.0"


def test_target_of_one_system_carries_its_marker() -> None:
    _, extras = requirements(BOTH, "linux", [])
    markers = {Requirement(one).name: str(Requirement(one).marker) for one in extras["device-all"]}
    assert markers == {
        "rocm-sdk-device-gfx1151": "None",
        "rocm-sdk-device-gfx942": 'sys_platform == "linux"',
        "rocm-sdk-device-gfx1201": 'sys_platform == "win32"',
    }
    assert extras["profiler"] == ['rocm-profiler==7.10.0; sys_platform == "linux"']


def test_default_device_is_the_first_that_the_system_has() -> None:
    assert requirements(BOTH, "linux", [])[1]["device"] == ["rocm-sdk-device-gfx1151==7.10.0"]
    apart = Run(
        version="1", split=True, targets=("a", "b"), default_target="a", linux_targets=("a",),
        windows_targets=("b",),
    )  # fmt: skip
    assert requirements(apart, "win32", [])[1]["device"] == [
        'rocm-sdk-device-b==1; sys_platform == "win32"'
    ]


def test_asked_targets_may_be_targets_or_families() -> None:
    assert asked_targets(BOTH, "gfx94x-DCGPU; GFX1151,gfx942", "linux") == ["gfx942", "gfx1151"]
    with pytest.raises(ValueError, match="no GPU code for 'gfx1201' on this system"):
        asked_targets(BOTH, "gfx1201", "linux")


def test_found_targets_are_those_of_the_run_without_features() -> None:
    printed = "gfx90c\ngfx942:sramecc+:xnack-\n\ngfx942:sramecc+:xnack-\nGFX1151\n"
    assert found_targets(BOTH, printed, "linux") == ["gfx942", "gfx1151"]
    assert found_targets(BOTH, "no GPU\n", "linux") == []


def test_unsplit_run_takes_the_gpu_code_from_the_familys_libraries() -> None:
    run = Run(
        version="1", split=False, targets=("gfx942", "gfx1100"), default_target="gfx942",
        families=FAMILIES,
    )  # fmt: skip
    _, extras = requirements(run, "linux", ["gfx1100"])
    family = ["rocm-sdk-libraries-gfx110X-all==1"]
    assert extras["libraries"] == extras["device"] == extras["device-gfx1100"] == family
    assert extras["device-all"] == ["rocm-sdk-libraries-gfx94X-dcgpu==1", *family]
