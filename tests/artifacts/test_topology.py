from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.artifacts.names import ArtifactName, Component
from therock_outputs.artifacts.topology import Platforms, StageInfo, Topology
from therock_outputs.errors import UsageError

SMALL = """
[metadata]
version = "99"

[build_stages.low]
artifact_groups = ["ground", "middle"]
[build_stages.high]
type = "per-arch"
artifact_groups = ["top"]
description = "keys of newer files are let be"
[build_stages.windows-only]
artifact_groups = ["glue"]

[artifact_groups.ground]
[artifact_groups.middle]
artifact_group_deps = ["ground"]
[artifact_groups.top]
type = "per-arch"
artifact_group_deps = ["middle"]
[artifact_groups.glue]
artifact_group_deps = ["top"]
disable_platforms = ["linux"]

[artifacts.zlib]
artifact_group = "ground"
[artifacts.unused]
artifact_group = "ground"
[artifacts.runtime]
artifact_group = "middle"
artifact_deps = ["zlib"]
[artifacts.profiler]
artifact_group = "middle"
artifact_deps = ["unused"]
disable_platforms = ["windows"]
[artifacts.blas]
artifact_group = "top"
type = "target-specific"
artifact_deps = ["runtime"]
[artifacts.solver]
artifact_group = "top"
artifact_deps = ["blas"]
[artifacts.wrapper]
artifact_group = "glue"
artifact_deps = ["profiler"]
platform = "windows"
"""


def load(tmp_path: Path, text: str) -> Topology:
    path = tmp_path / "topology.toml"
    path.write_text(text, "utf-8")
    return Topology.load(path)


@pytest.fixture(scope="module")
def built_in() -> Topology:
    return Topology.load()


def test_stage_makes_the_artifacts_of_its_groups(tmp_path: Path) -> None:
    topology = load(tmp_path, SMALL)
    assert topology.makes("low") == ("zlib", "unused", "runtime", "profiler")
    assert topology.makes("high") == ("blas", "solver")
    assert topology.artifacts["blas"].per_target
    assert topology.groups["top"].per_arch


def test_stage_takes_what_is_below_its_artifacts_and_in_the_groups_below(tmp_path: Path) -> None:
    topology = load(tmp_path, SMALL)
    # zlib through runtime, profiler through its group; unused, which only profiler needs, is
    # not asked for by anything that the stage builds.
    assert topology.takes("high") == ("zlib", "runtime", "profiler")
    assert topology.takes("low") == ()


def test_what_is_not_built_on_a_platform_is_neither_made_nor_taken(tmp_path: Path) -> None:
    topology = load(tmp_path, SMALL)
    assert topology.makes("low", "windows") == ("zlib", "unused", "runtime")
    assert topology.takes("high", "windows") == ("zlib", "runtime")
    assert topology.makes("windows-only", "linux") == ()
    assert topology.takes("windows-only", "linux") == ()
    # profiler is not built there, and what it would need is not needed either.
    assert topology.takes("windows-only", "windows") == ("blas", "solver")


def test_stage_that_is_disabled_on_a_platform_makes_nothing_there(tmp_path: Path) -> None:
    text = SMALL.replace(
        "[build_stages.high]", '[build_stages.high]\ndisable_platforms = ["windows"]'
    )
    topology = load(tmp_path, text)
    assert topology.makes("high", "windows") == topology.takes("high", "windows") == ()
    assert [row.stage for row in topology.stage_info("windows")] == ["low", "windows-only"]


def test_stage_info_has_a_row_for_each_stage_that_makes_anything(tmp_path: Path) -> None:
    rows = load(tmp_path, SMALL).stage_info("linux")
    assert rows == (
        StageInfo("low", False, ("zlib", "unused", "runtime", "profiler"), (), ()),
        StageInfo("high", True, ("blas", "solver"), ("zlib", "runtime", "profiler"), ("low",)),
    )


@pytest.mark.parametrize(
    ("platforms", "linux", "windows"),
    [
        (Platforms(), True, True),
        (Platforms(only="windows"), False, True),
        (Platforms(disabled=("windows",)), True, False),
    ],
)
def test_platforms_say_where_something_is_built(
    platforms: Platforms, linux: bool, windows: bool
) -> None:
    assert ("linux" in platforms, "windows" in platforms) == (linux, windows)
    assert None in platforms


def test_every_built_in_artifact_is_made_by_one_stage(built_in: Topology) -> None:
    made = [name for stage in built_in.stages for name in built_in.makes(stage)]
    assert sorted(made) == sorted(built_in.artifacts)


@pytest.mark.parametrize("platform", [None, "linux", "windows"])
def test_no_built_in_stage_takes_what_it_makes_or_lacks_what_it_needs(
    built_in: Topology, platform: str | None
) -> None:
    for row in built_in.stage_info(platform):
        assert set(row.takes).isdisjoint(row.makes)
        there = {*row.takes, *row.makes}
        for name in row.makes:
            for need in built_in.artifacts[name].needs:
                assert need in there or platform not in built_in.artifacts[need].platforms


def test_built_in_names_can_stand_in_archive_names(built_in: Topology) -> None:
    for name in built_in.artifacts:
        assert ArtifactName(name, Component.LIB, "generic").name == name


@pytest.mark.parametrize(
    ("stage", "platform", "among", "not_among"),
    [
        ("compiler-runtime", "linux", set(), {"amd-llvm", "blas"}),
        (
            "math-libs",
            "linux",
            {"amd-llvm", "sysdeps", "base", "core-kpack", "aqlprofile", "rocprofiler-compute"},
            {"blas", "rccl", "openmpi", "hipify"},
        ),
        ("math-libs", "windows", {"core-hip", "core-hipinfo"}, {"rocprofiler-sdk", "elfio"}),
        ("comm-libs", "linux", {"openmpi", "rocjitsu", "rocjitsu-hotswap"}, {"blas"}),
        ("comm-libs", "windows", set(), {"core-hip"}),
    ],
)
def test_built_in_stages_take_what_they_should(
    built_in: Topology, stage: str, platform: str, among: set[str], not_among: set[str]
) -> None:
    taken = set(built_in.takes(stage, platform))
    assert among <= taken
    assert not_among.isdisjoint(taken)


def test_unknown_stage_is_refused_with_names_like_it(built_in: Topology) -> None:
    with pytest.raises(UsageError, match=r"'math-lib' is no build stage .* did you mean math-libs"):
        built_in.takes("math-lib")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["ground", "middle"]', '["grond"]', r"build_stages\.low\.artifact_groups names 'grond'"),
        ('deps = ["ground"]', 'deps = ["no"]', r"artifact_groups\.middle\.artifact_group_deps"),
        ('group = "ground"', 'group = "up"', r"artifacts\.zlib\.artifact_group names 'up'"),
        ('deps = ["zlib"]', 'deps = ["zib"]', r"runtime\.artifact_deps .* did you mean zlib"),
        ('deps = ["zlib"]', 'deps = ["runtime"]', "depends on itself: runtime needs runtime"),
        ('deps = ["zlib"]', 'deps = ["blas"]', "depends on itself: .*runtime needs blas"),
        ('deps = ["ground"]', 'deps = ["top"]', "depends on itself: .*middle needs top"),
        ('type = "per-arch"', 'type = "odd"', r"high\.type is 'odd', which is not one of generic"),
        ('"target-specific"', '"generic"', r"blas\.type is 'generic', which is not one of target-"),
        ('artifact_group = "ground"', "", r"artifacts\.zlib\.artifact_group is missing"),
        ('platform = "windows"', "platform = 1", r"wrapper\.platform has to be a text"),
        ("[metadata]", "[artifacts]\nx = 1\n[metadata]", r"artifacts\.x has to be a table"),
    ],
)
def test_wrong_file_of_the_user_is_told_with_its_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SMALL
    with pytest.raises(UsageError, match=rf"topology\.toml.*{message}"):
        load(tmp_path, SMALL.replace(old, new, 1))


@pytest.mark.parametrize("table", ["build_stages", "artifact_groups", "artifacts"])
def test_file_without_a_table_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(UsageError, match=rf"topology\.toml: {table} is missing or empty"):
        load(tmp_path, SMALL.replace(f"[{table}.", f"[other-{table}."))
