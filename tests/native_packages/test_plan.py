"""Which packages a run gives: a table of runs and definitions, and what has to become of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.inventory_makers import (
    OPTIONS,
    Stages,
    by_name,
    definitions,
    inventory,
    paths,
    plan,
)
from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import ConflictError, IntegrityError, OutputsError, UsageError
from therock_outputs.native_packages.definition import DefinitionsError
from therock_outputs.native_packages.inventory import Inventory, StageMember
from therock_outputs.native_packages.names import Namer
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat
from therock_outputs.native_packages.plan import _check_references, plan_native_packages
from therock_outputs.native_packages.wording import Role, summary

FFT = "math-libs/rocFFT/stage"
RAND = "math-libs/rocRAND/stage"
LLVM = "compiler/amd-llvm/stage"
HIP = "core/clr/stage"

DEFINITIONS = """
[amdrocm-llvm]
deb_depends = ["libc6"]
files.amd-llvm.amd-llvm = ["lib", "run"]

[amdrocm-runtime]
depends = ["amdrocm-llvm"]
files.core-hip.clr = ["lib"]

[amdrocm-rand]
gpu = true
depends = ["amdrocm-runtime"]
deb_depends = ["libc6"]
files.rand.rocRAND = ["lib"]

[amdrocm-fft]
gpu = true
depends = ["amdrocm-runtime", "amdrocm-rand"]
files.fft.rocFFT = ["lib"]

[amdrocm-fft-devel]
gpu = true
depends = ["amdrocm-fft"]
files.fft.rocFFT = ["dev"]

[amdrocm-core]
metapackage = true
gpu = true
depends = ["amdrocm-llvm", "amdrocm-runtime", "amdrocm-rand", "amdrocm-fft"]
provides = ["rocm"]
conflicts = ["rocm-old"]
obsoletes = ["rocm-older"]
replaces = ["rocm-oldest"]

[amdrocm-tools]
metapackage = true
depends = ["amdrocm-llvm"]
"""
HOST: dict[str, Stages] = {
    "amd-llvm_lib_generic": {LLVM: ["lib/llvm/lib/libLLVM.so"]},
    "core-hip_lib_generic": {HIP: ["lib/libamdhip64.so"]},
}
RUN: dict[str, Stages] = {
    **HOST,
    "rand_lib_generic": {RAND: ["lib/librocrand.so"]},
    "rand_lib_gfx942": {RAND: [".kpack/rand_gfx942.kpack"]},
    "rand_lib_gfx942:xnack+": {RAND: [".kpack/rand_gfx942-xnack+.kpack"]},
    "fft_lib_generic": {FFT: ["lib/librocfft.so"]},
    "fft_lib_gfx942": {FFT: [".kpack/fft_gfx942.kpack"]},
    "fft_lib_gfx1100": {FFT: [".kpack/fft_gfx1100.kpack"]},
    "fft_dev_generic": {FFT: ["include/rocfft.h"]},
}
BY_FAMILY: dict[str, Stages] = {
    **HOST,
    "rand_lib_gfx94X-dcgpu": {RAND: ["lib/librocrand.so"]},
    "fft_lib_gfx94X-dcgpu": {FFT: ["lib/librocfft.so"]},
    "fft_dev_gfx94X-dcgpu": {FFT: ["include/rocfft.h"]},
}
TWO_FAMILIES: dict[str, Stages] = {
    **BY_FAMILY,
    "fft_lib_gfx110X-all": {FFT: ["lib/librocfft.so:other", "lib/librocfft_more.so"]},
}
UNSPLIT = replace(OPTIONS, split=False)
PIN = "(= 7.13.0~20251124-9)"


@dataclass(frozen=True)
class Case:
    name: str
    archives: dict[str, Stages]
    options: NativePackageOptions
    expected: dict[str, tuple[list[str], list[str]]]
    """Package to what it holds and what it depends on, in a deb."""


SPLIT_CASE = Case(
    "split run with several targets",
    RUN,
    OPTIONS,
    {
        "amdrocm-llvm": ([], [f"amdrocm-llvm7.13 {PIN}"]),
        "amdrocm-llvm7.13": (["lib/llvm/lib/libLLVM.so"], ["libc6"]),
        "amdrocm-runtime": ([], [f"amdrocm-runtime7.13 {PIN}"]),
        "amdrocm-runtime7.13": (["lib/libamdhip64.so"], ["amdrocm-llvm7.13"]),
        "amdrocm-rand": ([], [f"amdrocm-rand7.13 {PIN}"]),
        "amdrocm-rand7.13": (
            [],
            [f"amdrocm-rand-host7.13 {PIN}", f"amdrocm-rand7.13-gfx942 {PIN}"],
        ),
        "amdrocm-rand-host7.13": (["lib/librocrand.so"], ["amdrocm-runtime7.13", "libc6"]),
        "amdrocm-rand7.13-gfx942": (
            [".kpack/rand_gfx942-xnack+.kpack", ".kpack/rand_gfx942.kpack"],
            ["amdrocm-rand-host7.13"],
        ),
        "amdrocm-fft": ([], [f"amdrocm-fft7.13 {PIN}"]),
        "amdrocm-fft7.13": (
            [],
            [
                f"amdrocm-fft-host7.13 {PIN}",
                f"amdrocm-fft7.13-gfx1100 {PIN}",
                f"amdrocm-fft7.13-gfx942 {PIN}",
            ],
        ),
        "amdrocm-fft-host7.13": (["lib/librocfft.so"], ["amdrocm-runtime7.13"]),
        # Random numbers have no code for this target, so their host's side serves.
        "amdrocm-fft7.13-gfx1100": (
            [".kpack/fft_gfx1100.kpack"],
            ["amdrocm-fft-host7.13", "amdrocm-rand-host7.13"],
        ),
        "amdrocm-fft7.13-gfx942": (
            [".kpack/fft_gfx942.kpack"],
            ["amdrocm-fft-host7.13", "amdrocm-rand7.13-gfx942"],
        ),
        "amdrocm-fft-dev": ([], [f"amdrocm-fft-dev7.13 {PIN}"]),
        "amdrocm-fft-dev7.13": (["include/rocfft.h"], ["amdrocm-fft-host7.13"]),
        "amdrocm-core": ([], [f"amdrocm-core7.13 {PIN}"]),
        "amdrocm-core7.13": (
            [],
            [f"amdrocm-core7.13-gfx1100 {PIN}", f"amdrocm-core7.13-gfx942 {PIN}"],
        ),
        "amdrocm-core7.13-gfx1100": (
            [],
            [
                f"amdrocm-llvm7.13 {PIN}",
                f"amdrocm-runtime7.13 {PIN}",
                f"amdrocm-rand-host7.13 {PIN}",
                f"amdrocm-fft7.13-gfx1100 {PIN}",
            ],
        ),
        "amdrocm-core7.13-gfx942": (
            [],
            [
                f"amdrocm-llvm7.13 {PIN}",
                f"amdrocm-runtime7.13 {PIN}",
                f"amdrocm-rand7.13-gfx942 {PIN}",
                f"amdrocm-fft7.13-gfx942 {PIN}",
            ],
        ),
        "amdrocm-tools": ([], [f"amdrocm-tools7.13 {PIN}"]),
        "amdrocm-tools7.13": ([], [f"amdrocm-llvm7.13 {PIN}"]),
    },
)
FAMILY_CASE = Case(
    "unsplit run of one family",
    BY_FAMILY,
    UNSPLIT,
    {
        "amdrocm-llvm": ([], [f"amdrocm-llvm7.13 {PIN}"]),
        "amdrocm-llvm7.13": (["lib/llvm/lib/libLLVM.so"], ["libc6"]),
        "amdrocm-runtime": ([], [f"amdrocm-runtime7.13 {PIN}"]),
        "amdrocm-runtime7.13": (["lib/libamdhip64.so"], ["amdrocm-llvm7.13"]),
        "amdrocm-rand-gfx94x": ([], [f"amdrocm-rand7.13-gfx94x {PIN}"]),
        "amdrocm-rand7.13-gfx94x": (["lib/librocrand.so"], ["amdrocm-runtime7.13", "libc6"]),
        "amdrocm-fft-gfx94x": ([], [f"amdrocm-fft7.13-gfx94x {PIN}"]),
        "amdrocm-fft7.13-gfx94x": (
            ["lib/librocfft.so"],
            ["amdrocm-runtime7.13", "amdrocm-rand7.13-gfx94x"],
        ),
        "amdrocm-fft-dev-gfx94x": ([], [f"amdrocm-fft-dev7.13-gfx94x {PIN}"]),
        "amdrocm-fft-dev7.13-gfx94x": (["include/rocfft.h"], ["amdrocm-fft7.13-gfx94x"]),
        "amdrocm-core-gfx94x": ([], [f"amdrocm-core7.13-gfx94x {PIN}"]),
        "amdrocm-core7.13-gfx94x": (
            [],
            [
                f"amdrocm-llvm7.13 {PIN}",
                f"amdrocm-runtime7.13 {PIN}",
                f"amdrocm-rand7.13-gfx94x {PIN}",
                f"amdrocm-fft7.13-gfx94x {PIN}",
            ],
        ),
        "amdrocm-tools": ([], [f"amdrocm-tools7.13 {PIN}"]),
        "amdrocm-tools7.13": ([], [f"amdrocm-llvm7.13 {PIN}"]),
    },
)
ONE_TARGET_CASE = replace(
    SPLIT_CASE,
    name="split run, one target asked for",
    options=replace(OPTIONS, targets=("gfx942",)),
    expected={
        **{name: held for name, held in SPLIT_CASE.expected.items() if "gfx1100" not in name},
        "amdrocm-fft7.13": ([], [f"amdrocm-fft-host7.13 {PIN}", f"amdrocm-fft7.13-gfx942 {PIN}"]),
        "amdrocm-core7.13": ([], [f"amdrocm-core7.13-gfx942 {PIN}"]),
    },
)
ONLY_HOST_CASE = Case(
    "run with generic archives only: nothing is divided by GPU",
    {**HOST, "rand_lib_generic": RUN["rand_lib_generic"]},
    OPTIONS,
    {
        **{name: SPLIT_CASE.expected[name] for name in ("amdrocm-llvm", "amdrocm-llvm7.13")},
        **{name: SPLIT_CASE.expected[name] for name in ("amdrocm-runtime", "amdrocm-runtime7.13")},
        **{name: SPLIT_CASE.expected[name] for name in ("amdrocm-tools", "amdrocm-tools7.13")},
        "amdrocm-rand": ([], [f"amdrocm-rand7.13 {PIN}"]),
        "amdrocm-rand7.13": (["lib/librocrand.so"], ["amdrocm-runtime7.13", "libc6"]),
        "amdrocm-core": ([], [f"amdrocm-core7.13 {PIN}"]),
        "amdrocm-core7.13": (
            [],
            [
                f"amdrocm-llvm7.13 {PIN}",
                f"amdrocm-runtime7.13 {PIN}",
                f"amdrocm-rand7.13 {PIN}",
            ],
        ),
    },
)


@pytest.mark.parametrize(
    "case",
    [SPLIT_CASE, FAMILY_CASE, ONE_TARGET_CASE, ONLY_HOST_CASE],
    ids=lambda case: case.name,
)
def test_run_gives_exactly_these_packages(case: Case) -> None:
    found = by_name(plan(DEFINITIONS, case.archives, case.options))
    assert {
        name: (paths(package), list(package.depends)) for name, package in found.items()
    } == case.expected


def test_rpm_says_the_same_in_its_own_syntax_and_keeps_devel_in_names() -> None:
    found = by_name(plan(DEFINITIONS, RUN), PackageFormat.RPM)
    assert found["amdrocm-fft-devel7.13"].depends == ("amdrocm-fft-host7.13",)
    assert found["amdrocm-fft-devel"].depends == ("amdrocm-fft-devel7.13 = 7.13.0~20251124-9",)
    assert found["amdrocm-rand-host7.13"].depends == ("amdrocm-runtime7.13",)
    assert found["amdrocm-llvm7.13"].architecture == "x86_64"
    assert found["amdrocm-llvm7.13"].filename == "amdrocm-llvm7.13-7.13.0~20251124-9.x86_64.rpm"
    assert len(found) == len(SPLIT_CASE.expected)


def test_only_unversioned_packages_provide_replace_conflict_and_obsolete() -> None:
    planned = plan(DEFINITIONS, RUN)
    deb, rpm = by_name(planned)["amdrocm-core"], by_name(planned, PackageFormat.RPM)["amdrocm-core"]
    assert (deb.provides, deb.replaces, deb.conflicts, deb.obsoletes) == (
        ("rocm",),
        ("rocm-oldest",),
        ("rocm-old",),
        (),
    )
    assert (rpm.provides, rpm.replaces, rpm.conflicts, rpm.obsoletes) == (
        ("rocm",),
        (),
        ("rocm-old",),
        ("rocm-older",),
    )
    for package in planned.packages:
        if package.name != "amdrocm-core":
            assert not (package.provides + package.replaces + package.conflicts + package.obsoletes)


def test_build_variant_stands_before_the_version_and_in_the_prefix() -> None:
    found = by_name(plan(DEFINITIONS, RUN, replace(OPTIONS, variant="asan")))
    assert {"amdrocm-fft-host-asan7.13", "amdrocm-fft-asan7.13-gfx1100"} <= found.keys()
    assert {"amdrocm-core-asan7.13", "amdrocm-core-asan", "amdrocm-fft-dev-asan7.13"} <= set(found)
    assert {package.prefix for package in found.values()} == {"/opt/rocm/core-asan-7.13"}
    assert all("-asan" in name for name in found)
    assert found["amdrocm-fft-asan7.13-gfx942"].depends == (
        "amdrocm-fft-host-asan7.13",
        "amdrocm-rand-asan7.13-gfx942",
    )


def test_prefix_that_is_given_is_the_whole_prefix() -> None:
    found = by_name(plan(DEFINITIONS, RUN, replace(OPTIONS, prefix="/usr/local/rocm")))
    assert {package.prefix for package in found.values()} == {"/usr/local/rocm"}


def test_package_with_target_files_only_has_no_host_package_and_nothing_depends_on_one() -> None:
    archives = {**RUN}
    del archives["rand_lib_generic"]
    planned = plan(DEFINITIONS, archives)
    found = by_name(planned)
    assert "amdrocm-rand-host7.13" not in found
    assert found["amdrocm-rand7.13"].depends == (f"amdrocm-rand7.13-gfx942 {PIN}",)
    # It has no host's side to carry what the definition needs.
    assert found["amdrocm-rand7.13-gfx942"].depends == ("amdrocm-runtime7.13", "libc6")
    assert found["amdrocm-fft7.13-gfx1100"].depends == ("amdrocm-fft-host7.13",)
    drops = [(drop.package, drop.reason) for drop in planned.dropped if drop.format == "deb"]
    assert ("amdrocm-fft7.13-gfx1100", "amdrocm-rand has nothing for gfx1100") in drops
    assert all("-host" not in name for p in found.values() for name in p.depends if "rand" in name)


def test_definition_without_target_files_depends_on_the_hosts_side_of_others() -> None:
    text = """
    [amdrocm-a]
    depends = ["amdrocm-b"]
    files.a.one = ["lib"]
    [amdrocm-b]
    files.b.two = ["lib"]
    """
    archives: dict[str, Stages] = {
        "a_lib_generic": {"x/one/stage": ["lib/a"]},
        "a_dbg_gfx942": {"x/one/stage": ["lib/a.debug"]},
        "b_lib_generic": {"x/two/stage": ["lib/b"]},
        "b_lib_gfx942": {"x/two/stage": ["lib/b.kpack"]},
    }
    found = by_name(plan(text, archives))
    # It counts as divided: there is an archive for a target, whatever component.
    assert found["amdrocm-a7.13"].depends == (f"amdrocm-a-host7.13 {PIN}",)
    assert found["amdrocm-a-host7.13"].depends == ("amdrocm-b-host7.13",)


def test_package_of_no_target_takes_the_hosts_side_and_the_whole_of_a_metapackage() -> None:
    text = f"""{DEFINITIONS}
    [amdrocm-app]
    depends = ["amdrocm-fft", "amdrocm-core"]
    files.app.app = ["run"]
    [amdrocm-apps]
    metapackage = true
    depends = ["amdrocm-app", "amdrocm-rand", "amdrocm-core", "bash"]
    """
    found = by_name(plan(text, {**RUN, "app_run_generic": {"x/app/stage": ["bin/app"]}}))
    assert found["amdrocm-app7.13"].depends == ("amdrocm-fft-host7.13", "amdrocm-core7.13")
    assert found["amdrocm-apps7.13"].depends == (
        f"amdrocm-app7.13 {PIN}",
        f"amdrocm-rand-host7.13 {PIN}",
        f"amdrocm-core7.13 {PIN}",
        "bash",
    )


def test_archives_for_targets_divide_a_package_whatever_its_definition_says() -> None:
    text = '[amdrocm-rccl]\nfiles.rccl.rccl = ["lib"]'
    archives: dict[str, Stages] = {
        "rccl_lib_generic": {"comm-libs/rccl/stage": ["lib/librccl.so"]},
        "rccl_lib_gfx942": {"comm-libs/rccl/stage": [".kpack/rccl_gfx942.kpack"]},
    }
    assert sorted(by_name(plan(text, archives))) == [
        "amdrocm-rccl",
        "amdrocm-rccl-host7.13",
        "amdrocm-rccl7.13",
        "amdrocm-rccl7.13-gfx942",
    ]


def test_host_only_artifact_never_goes_into_a_target_package() -> None:
    text = """
    [amdrocm-dnn]
    gpu = true
    files.miopen.MIOpen = ["lib"]
    files.hipdnn.hipDNN = ["lib"]
    host_only = ["hipdnn"]
    """
    archives: dict[str, Stages] = {
        "miopen_lib_generic": {"ml-libs/MIOpen/stage": ["lib/libMIOpen.so"]},
        "miopen_lib_gfx942": {"ml-libs/MIOpen/stage": ["share/miopen/gfx942.db"]},
        "hipdnn_lib_generic": {"ml-libs/hipDNN/stage": ["lib/libhipdnn.so"]},
        "hipdnn_lib_gfx942": {"ml-libs/hipDNN/stage": ["lib/hipdnn_gfx942.bin"]},
    }
    planned = plan(text, archives)
    found = by_name(planned)
    assert paths(found["amdrocm-dnn-host7.13"]) == ["lib/libMIOpen.so", "lib/libhipdnn.so"]
    assert paths(found["amdrocm-dnn7.13-gfx942"]) == ["share/miopen/gfx942.db"]
    assert [unused.archive for unused in planned.unused] == ["hipdnn_lib_gfx942.tar.zst"]
    by_family: dict[str, Stages] = {
        "miopen_lib_gfx94X-dcgpu": {"ml-libs/MIOpen/stage": ["lib/libMIOpen.so"]},
        "hipdnn_lib_generic": {"ml-libs/hipDNN/stage": ["lib/libhipdnn.so"]},
    }
    found = by_name(plan(text, by_family, UNSPLIT))
    assert paths(found["amdrocm-dnn7.13-gfx94x"]) == ["lib/libMIOpen.so", "lib/libhipdnn.so"]


def test_unsplit_run_has_what_it_was_built_by_family_for_the_family_only() -> None:
    text = '[amdrocm-rccl]\nfiles.rccl.rccl = ["lib"]'
    archives: dict[str, Stages] = {
        "rccl_lib_gfx94X-dcgpu": {"comm-libs/rccl/stage": ["lib/librccl.so"]},
    }
    assert sorted(by_name(plan(text, archives, UNSPLIT))) == [
        "amdrocm-rccl-gfx94x",
        "amdrocm-rccl7.13-gfx94x",
    ]
    with_generic: dict[str, Stages] = {
        **archives,
        "rccl_lib_generic": {"comm-libs/rccl/stage": ["lib/librccl.so"]},
    }
    assert sorted(by_name(plan(text, with_generic, UNSPLIT))) == [
        "amdrocm-rccl",
        "amdrocm-rccl7.13",
    ]


# ------------------------------------------------------------------------- families side by side


def test_packages_of_two_families_at_one_path_exclude_each_other() -> None:
    planned = plan(DEFINITIONS, TWO_FAMILIES, UNSPLIT)
    found = by_name(planned)
    assert found["amdrocm-fft7.13-gfx94x"].conflicts == ("amdrocm-fft7.13-gfx110x",)
    assert found["amdrocm-fft7.13-gfx110x"].conflicts == ("amdrocm-fft7.13-gfx94x",)
    assert found["amdrocm-rand7.13-gfx94x"].conflicts == ()
    rpm = by_name(planned, PackageFormat.RPM)["amdrocm-fft7.13-gfx94x"]
    assert rpm.conflicts == ("amdrocm-fft7.13-gfx110x",)
    assert any("hold the same paths for other GPUs" in reason for reason in rpm.reasons)


def test_package_of_no_family_takes_any_familys_package() -> None:
    text = """
    [amdrocm-fft]
    gpu = true
    files.fft.rocFFT = ["lib"]
    [amdrocm-app]
    depends = ["amdrocm-fft"]
    files.app.app = ["run"]
    """
    archives: dict[str, Stages] = {
        "fft_lib_gfx94X-dcgpu": {FFT: ["lib/librocfft.so"]},
        "fft_lib_gfx110X-all": {FFT: ["lib/librocfft.so"]},
        "app_run_generic": {"x/app/stage": ["bin/app"]},
    }
    planned = plan(text, archives, UNSPLIT)
    assert by_name(planned)["amdrocm-app7.13"].depends == (
        "amdrocm-fft7.13-gfx110x | amdrocm-fft7.13-gfx94x",
    )
    assert by_name(planned, PackageFormat.RPM)["amdrocm-app7.13"].depends == (
        "(amdrocm-fft7.13-gfx110x or amdrocm-fft7.13-gfx94x)",
    )


def test_two_families_of_one_word_are_refused_unless_one_is_chosen() -> None:
    archives: dict[str, Stages] = {
        "fft_lib_gfx110X-all": {FFT: ["lib/librocfft.so"]},
        "fft_lib_gfx110X-dgpu": {FFT: ["lib/librocfft.so"]},
    }
    text = '[amdrocm-fft]\ngpu = true\nfiles.fft.rocFFT = ["lib"]'
    with pytest.raises(
        UsageError, match=r"gfx110X-all and gfx110X-dgpu would both be called gfx110x"
    ):
        plan(text, archives, UNSPLIT)
    chosen = replace(UNSPLIT, targets=("gfx110X-all",))
    assert "amdrocm-fft7.13-gfx110x" in by_name(plan(text, archives, chosen))


# --------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("asked", "options", "archives", "expected"),
    [
        ((), OPTIONS, RUN, ["gfx1100", "gfx942"]),
        (("gfx942",), OPTIONS, RUN, ["gfx942"]),
        (("GFX942",), OPTIONS, RUN, ["gfx942"]),
        (("gfx942:xnack+",), OPTIONS, RUN, ["gfx942"]),
        (("gfx94X-dcgpu",), OPTIONS, RUN, ["gfx942"]),
        (("gfx110X-all", "gfx942"), OPTIONS, RUN, ["gfx1100", "gfx942"]),
        (("gfx94X-dcgpu",), UNSPLIT, TWO_FAMILIES, ["gfx94x"]),
        (("gfx942",), UNSPLIT, TWO_FAMILIES, ["gfx94x"]),
    ],
)
def test_targets_are_chosen_by_target_or_family(
    asked: tuple[str, ...],
    options: NativePackageOptions,
    archives: dict[str, Stages],
    expected: list[str],
) -> None:
    found = by_name(plan(DEFINITIONS, archives, replace(options, targets=asked)))
    endings = {name.rpartition("-")[2] for name in found if name.startswith("amdrocm-core7.13-")}
    assert sorted(endings) == expected


@pytest.mark.parametrize(
    ("archives", "has"), [(RUN, "gfx1100, gfx942"), (HOST, "generic archives only")]
)
def test_unknown_target_is_an_error_that_shows_what_the_run_has(
    archives: dict[str, Stages], has: str
) -> None:
    with pytest.raises(UsageError, match=f"'gfx90a' is not in this run, which has: {has}"):
        plan(DEFINITIONS, archives, replace(OPTIONS, targets=("gfx90a",)))


# ------------------------------------------------------------------------------- selection


def test_chosen_packages_keep_the_names_that_they_depend_on() -> None:
    whole = by_name(plan(DEFINITIONS, RUN))
    planned = plan(DEFINITIONS, RUN, replace(OPTIONS, packages=("amdrocm-fft",)))
    found = by_name(planned)
    assert sorted(found) == [
        "amdrocm-fft",
        "amdrocm-fft-host7.13",
        "amdrocm-fft7.13",
        "amdrocm-fft7.13-gfx1100",
        "amdrocm-fft7.13-gfx942",
    ]
    assert all(found[name] == whole[name] for name in found)
    assert planned.archives == (
        "fft_lib_generic.tar.zst",
        "fft_lib_gfx1100.tar.zst",
        "fft_lib_gfx942.tar.zst",
    )


def test_one_format_alone_is_planned() -> None:
    planned = plan(DEFINITIONS, RUN, replace(OPTIONS, formats=(PackageFormat.RPM,)))
    assert {package.format for package in planned.packages} == {PackageFormat.RPM}


def test_unknown_package_is_an_error_with_close_matches() -> None:
    with pytest.raises(
        UsageError, match=r"'amdrocm-ftf' is not defined in test\.toml; did you mean"
    ):
        plan(DEFINITIONS, RUN, replace(OPTIONS, packages=("amdrocm-ftf",)))


# --------------------------------------------------------------------- what is not there


def test_dependency_on_what_the_run_does_not_build_is_dropped_and_reported() -> None:
    archives = {name: held for name, held in RUN.items() if not name.startswith("amd-llvm")}
    planned = plan(DEFINITIONS, archives)
    found = by_name(planned)
    assert found["amdrocm-runtime7.13"].depends == ()
    assert [
        (drop.package, drop.dependency, drop.reason)
        for drop in planned.dropped
        if drop.format is PackageFormat.DEB and drop.package == "amdrocm-runtime7.13"
    ] == [("amdrocm-runtime7.13", "amdrocm-llvm", "amdrocm-llvm is not built")]
    assert "It does not depend on amdrocm-llvm: amdrocm-llvm is not built." in (
        found["amdrocm-runtime7.13"].reasons
    )


def test_metapackages_that_would_gather_nothing_are_not_built_one_after_another() -> None:
    text = """
    [amdrocm-lib]
    files.lib.lib = ["lib"]
    [amdrocm-inner]
    metapackage = true
    gpu = true
    depends = ["amdrocm-lib"]
    [amdrocm-outer]
    metapackage = true
    gpu = true
    depends = ["amdrocm-inner"]
    """
    planned = plan(text, {"fft_lib_gfx942": {FFT: ["a"]}})
    assert planned.packages == ()
    reasons = {skipped.name: skipped.reason for skipped in planned.skipped}
    assert reasons["amdrocm-lib"] == "the run has no archive of lib"
    assert reasons["amdrocm-outer7.13-gfx942"] == "nothing that it gathers is built"
    assert reasons["amdrocm-outer"] == "nothing that it gathers is built"


def test_package_that_would_hold_directories_only_is_not_built() -> None:
    planned = plan(
        '[amdrocm-a]\nfiles.a.one = ["lib", "run"]',
        {"a_lib_generic": {"x/one/stage": ["share/", "share/empty/"]}, "a_run_generic": {}},
    )
    assert planned.packages == ()
    assert {skipped.reason for skipped in planned.skipped} == {
        "the run has a, but in the components taken no file of one"
    }


def test_disabled_definition_makes_nothing_and_nothing_depends_on_it() -> None:
    text = """
    [amdrocm-a]
    depends = ["amdrocm-b"]
    files.a.one = ["lib"]
    [amdrocm-b]
    disabled = true
    depends = ["amdrocm-not-there-at-all"]
    files.a.two = ["lib"]
    """
    stages = {"x/one/stage": ["lib/a"], "x/two/stage": ["lib/b"]}
    planned = plan(text, {"a_lib_generic": stages})
    assert sorted(by_name(planned)) == ["amdrocm-a", "amdrocm-a7.13"]
    assert by_name(planned)["amdrocm-a7.13"].depends == ()
    assert {(s.name, s.reason) for s in planned.skipped} == {
        ("amdrocm-b", "disabled by its definition")
    }


def test_artifact_and_stage_that_a_run_lacks_are_told_with_their_line() -> None:
    text = """
    [amdrocm-a]
    files.a.one = ["lib"]
    files.a.slip = ["lib"]
    files.a.slap = ["lib"]
    files.gone.x = ["lib"]
    files.lost.x = ["lib"]
    """
    planned = plan(text, {"a_lib_generic": {"x/one/stage": ["lib/a"]}})
    line = definitions(text).packages[0].selections[1].place.line
    assert planned.notes == (
        f"amdrocm-a: the run has no artifact gone or lost (test.toml:{line + 2})",
        f"amdrocm-a: the run has no stage slip of a or slap of a (test.toml:{line})",
    )


def test_files_that_are_in_no_package_are_told_with_the_reason() -> None:
    archives: dict[str, Stages] = {
        **RUN,
        "fft_dbg_generic": {FFT: ["lib/.debug/x"]},
        "fft_doc_generic": {FFT: ["share/doc/x"]},
        "other_lib_generic": {"x/other/stage": ["lib/o"]},
        "empty_lib_generic": {"x/empty/stage": []},
    }
    planned = plan(DEFINITIONS, archives, replace(OPTIONS, targets=("gfx942",)))
    assert {unused.archive: unused.reason for unused in planned.unused} == {
        "fft_dbg_generic.tar.zst": "no definition takes debug information",
        "fft_doc_generic.tar.zst": "no definition takes the doc component of this stage",
        "other_lib_generic.tar.zst": "no definition names its artifact",
        "fft_lib_gfx1100.tar.zst": "its GPU target is not asked for",
    }


# ------------------------------------------------------------------------------ contents


def test_contents_keep_kinds_modes_and_links_below_all_their_directories() -> None:
    archives: dict[str, Stages] = {
        "a_lib_generic": {
            "x/one/stage": [
                "lib/liba.so.1:abc",
                "lib/liba.so -> liba.so.1",
                "bin/tool",
                "bin/alias = bin/tool",
                "share/presets/",
                "up -> .",
                "lib/loop -> loop",
                "share/Überblick.txt",
                ".hidden/x",
            ]
        }
    }
    package = by_name(plan('[amdrocm-a]\nfiles.a.ONE = ["lib"]', archives))["amdrocm-a7.13"]
    assert [(c.path, c.kind, c.link) for c in package.contents] == [
        (".hidden", Kind.DIRECTORY, ""),
        (".hidden/x", Kind.FILE, ""),
        ("bin", Kind.DIRECTORY, ""),
        ("bin/alias", Kind.HARDLINK, "bin/tool"),
        ("bin/tool", Kind.FILE, ""),
        ("lib", Kind.DIRECTORY, ""),
        ("lib/liba.so", Kind.SYMLINK, "liba.so.1"),
        ("lib/liba.so.1", Kind.FILE, ""),
        ("lib/loop", Kind.SYMLINK, "loop"),
        ("share", Kind.DIRECTORY, ""),
        ("share/presets", Kind.DIRECTORY, ""),
        ("share/Überblick.txt", Kind.FILE, ""),
        ("up", Kind.SYMLINK, "."),
    ]
    implied = next(c for c in package.contents if c.path == "lib")
    assert (implied.mode, implied.archive) == (0o755, "")
    assert package.size == 3
    file = next(c for c in package.contents if c.path == "lib/liba.so.1")
    assert (file.archive, file.stage) == ("a_lib_generic.tar.zst", "x/one/stage")


def test_directory_has_one_mode_in_all_packages() -> None:
    text = '[amdrocm-a]\nfiles.a.one = ["lib"]\n[amdrocm-b]\nfiles.b.two = ["lib"]'
    made = inventory(
        {
            "a_lib_generic": {"x/one/stage": ["lib/a"]},
            "b_lib_generic": {"x/two/stage": ["lib/b"]},
        }
    )
    last = made.archives[1]
    listed = (StageMember("lib", Kind.DIRECTORY, 0o700), *last.stages["x/two/stage"])
    made = Inventory((made.archives[0], replace(last, stages={"x/two/stage": listed})))
    planned = plan_native_packages(definitions(text), made, OPTIONS)
    modes = {c.mode for p in planned.packages for c in p.contents if c.path == "lib"}
    assert modes == {0o700}


@pytest.mark.parametrize("other", ["lib/x:one", "lib/x:two", "lib/x -> y", "lib/x/", "lib/x/y"])
def test_one_path_twice_in_a_package_is_fine_only_when_it_is_the_same(other: str) -> None:
    archives: dict[str, Stages] = {
        "a_lib_generic": {"x/one/stage": ["lib/x:one"]},
        "a_run_generic": {"x/one/stage": [other]},
    }
    text = '[amdrocm-a]\nfiles.a.one = ["lib", "run"]'
    if other == "lib/x:one":
        assert paths(by_name(plan(text, archives))["amdrocm-a7.13"]) == ["lib/x"]
        return
    with pytest.raises(ConflictError, match=r"a_lib_generic\.tar\.zst.*a_run_generic\.tar\.zst"):
        plan(text, archives)


def test_hard_link_into_a_stage_that_is_not_taken_is_refused() -> None:
    made = inventory({"a_lib_generic": {"x/one/stage": ["a"], "x/two/stage": ["b"]}})
    link = StageMember("c", Kind.HARDLINK, 0o644, link="b", link_stage="x/two/stage")
    stages = {**made.archives[0].stages, "x/one/stage": (link,)}
    made = Inventory((replace(made.archives[0], stages=stages),))
    one = definitions('[amdrocm-a]\nfiles.a.one = ["lib"]')
    with pytest.raises(IntegrityError, match=r"'c' is a hard link into stage x/two/stage"):
        plan_native_packages(one, made, OPTIONS)
    both = definitions('[amdrocm-a]\nfiles.a.one = ["lib"]\nfiles.a.two = ["lib"]')
    assert paths(by_name(plan_native_packages(both, made, OPTIONS))["amdrocm-a7.13"]) == ["b", "c"]


# ----------------------------------------------------------------------- refused definitions

TWO = '[amdrocm-a]\nfiles.a.one = ["lib"]\n[amdrocm-b]\nfiles.a.two = ["lib"]'


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ("lib/x:1", "lib/x:1", r"'lib/x' is in two packages.*amdrocm-a7\.13.*amdrocm-b7\.13"),
        ("lib/x:1", "lib/x:2", r"'lib/x' is in two packages.*amdrocm-a7\.13.*amdrocm-b7\.13"),
        ("lib -> usr", "lib/x", r"'lib' is a symlink in amdrocm-a7\.13.*directory in amdrocm-b7"),
        ("lib/x", "lib -> usr", r"'lib' is a symlink in amdrocm-b7\.13.*directory in amdrocm-a7"),
    ],
)
def test_two_packages_that_claim_one_path_are_refused(first: str, second: str, match: str) -> None:
    stages = {"x/one/stage": [first], "x/two/stage": [second]}
    with pytest.raises(ConflictError, match=match):
        plan(TWO, {"a_lib_generic": stages})


def test_two_packages_may_share_a_directory() -> None:
    stages = {"x/one/stage": ["lib/", "lib/x"], "x/two/stage": ["lib/", "lib/y"]}
    found = by_name(plan(TWO, {"a_lib_generic": stages}))
    assert [c.path for c in found["amdrocm-b7.13"].contents] == ["lib", "lib/y"]


def test_two_targets_that_claim_one_path_are_refused() -> None:
    archives: dict[str, Stages] = {
        "a_lib_gfx942": {"x/one/stage": ["lib/x"]},
        "a_lib_gfx1100": {"x/one/stage": ["lib/x"]},
    }
    with pytest.raises(ConflictError, match=r"amdrocm-a7\.13-gfx1100.*amdrocm-a7\.13-gfx942"):
        plan('[amdrocm-a]\nfiles.a.one = ["lib"]', archives)


def test_links_that_leave_the_prefix_together_are_refused() -> None:
    stages = {"x/one/stage": ["a/b/up -> ../.."], "x/two/stage": ["out -> a/b/up/.."]}
    with pytest.raises(IntegrityError, match=r"amdrocm-b7\.13: link 'out' .* leads out"):
        plan(TWO, {"a_lib_generic": stages})


def test_two_definitions_that_make_one_name_are_refused() -> None:
    text = '[amdrocm-a-host]\nfiles.c.one = ["lib"]\n[amdrocm-a]\nfiles.a.two = ["lib"]'
    archives: dict[str, Stages] = {
        "a_lib_generic": {"x/two/stage": ["lib/y"]},
        "a_lib_gfx942": {"x/two/stage": ["lib/z"]},
        "c_lib_generic": {"x/one/stage": ["lib/w"]},
    }
    with pytest.raises(ConflictError, match=r"amdrocm-a-host and amdrocm-a both make.*-host7\.13"):
        plan(text, archives)


@pytest.mark.parametrize(
    ("depends", "match"),
    [
        ("amdrocm-a", r"amdrocm-a depends on itself: take it out"),
        ("amdrocm-bb", r"amdrocm-a depends on amdrocm-bb, which no definition makes: did you mean"),
        ("amdrocm7.13", r"amdrocm-a depends on amdrocm7\.13, which no definition makes"),
        ("libc6 (7)", r"'libc6 \(7\)' is no relation to a package"),
        ("Libc6", r"'Libc6' is no name of a Debian package"),
    ],
)
def test_dependency_that_nothing_could_satisfy_is_refused(depends: str, match: str) -> None:
    text = f'[amdrocm-a]\ndepends = ["{depends}"]\nfiles.a.one = ["lib"]\n[amdrocm-b]\n'
    text += 'files.a.two = ["lib"]'
    line = definitions(text).packages[0].place.line + 3  # summary, description, depends
    with pytest.raises(DefinitionsError, match=rf"^test\.toml:{line}: .*{match}"):
        plan(text, {"a_lib_generic": {"x/one/stage": ["lib/x"]}})


@pytest.mark.parametrize(
    ("depends", "match"),
    [
        ("amdrocm-llvm7.13", "amdrocm-llvm7.13 depends on itself; look at the dependencies of"),
        ("amdrocm-fft7.13-gfx90a (= 1)", "depends on amdrocm-fft7.13-gfx90a, which is not built"),
        ("amdrocm-dummy | amdrocm-fft-host7.13", None),
        ("amdrocm-fft7.14", None),
    ],
)
def test_result_is_looked_at_once_more_for_dangling_names(depends: str, match: str | None) -> None:
    package = replace(by_name(plan(DEFINITIONS, RUN))["amdrocm-llvm7.13"], depends=(depends,))
    host = replace(package, name="amdrocm-fft-host7.13", depends=())
    namer, known = Namer(PackageFormat.DEB, "7.13"), definitions(DEFINITIONS)
    if match is None:
        _check_references([package, host], namer, known)
        return
    with pytest.raises(OutputsError, match=match):
        _check_references([package, host], namer, known)


def test_metapackage_that_a_target_lacks_is_dropped_for_that_target() -> None:
    text = f"""{DEFINITIONS}
    [amdrocm-random]
    metapackage = true
    gpu = true
    depends = ["amdrocm-rand"]
    [amdrocm-everything]
    metapackage = true
    gpu = true
    depends = ["amdrocm-random", "amdrocm-fft"]
    """
    archives = {**RUN}
    del archives["rand_lib_generic"]
    planned = plan(text, archives)
    found = by_name(planned)
    assert found["amdrocm-everything7.13-gfx942"].depends == (
        f"amdrocm-random7.13-gfx942 {PIN}",
        f"amdrocm-fft7.13-gfx942 {PIN}",
    )
    assert found["amdrocm-everything7.13-gfx1100"].depends == (f"amdrocm-fft7.13-gfx1100 {PIN}",)
    assert found["amdrocm-random7.13"].depends == (f"amdrocm-random7.13-gfx942 {PIN}",)
    assert "amdrocm-random has nothing for gfx1100" in {
        drop.reason for drop in planned.dropped if drop.package == "amdrocm-everything7.13-gfx1100"
    }


def test_long_summary_is_cut_at_a_word_for_what_a_kind_of_package_adds() -> None:
    (one,) = definitions('[amdrocm-a]\nfiles.a.one = ["lib"]').packages
    one = replace(one, summary=f"Something of {'many ' * 12}words")
    line = summary(one, Role.TARGET, "gfx1100")
    assert len(line) <= 80
    assert line.endswith("many… (for gfx1100)")


def test_circles_are_reported_once_and_planned() -> None:
    text = """
    [amdrocm-a]
    depends = ["amdrocm-b"]
    files.a.one = ["lib"]
    [amdrocm-b]
    depends = ["amdrocm-c"]
    files.a.two = ["lib"]
    [amdrocm-c]
    depends = ["amdrocm-a"]
    files.a.three = ["lib"]
    [amdrocm-d]
    depends = ["amdrocm-a"]
    files.a.four = ["lib"]
    """
    stages = {f"x/{name}/stage": [name] for name in ("one", "two", "three", "four")}
    planned = plan(text, {"a_lib_generic": stages})
    assert planned.cycles == (("amdrocm-a", "amdrocm-b", "amdrocm-c"),)
    assert len(by_name(planned)) == 8


# ------------------------------------------------------------------------------ architectures


def test_packages_without_machine_code_are_for_every_architecture() -> None:
    made = plan(
        """
        [amdrocm-a]
        files.a.x = ["lib"]
        [amdrocm-a-devel]
        files.a.x = ["dev"]
        """,
        {"a_lib_generic": {"a/x/stage": ["lib/a.so"]}, "a_dev_generic": {"a/x/stage": ["a.h"]}},
    )
    for kind, ours, every in (
        (PackageFormat.DEB, "amd64", "all"),
        (PackageFormat.RPM, "x86_64", "noarch"),
    ):
        dev = "dev" if kind is PackageFormat.DEB else "devel"
        found = {name: package.architecture for name, package in by_name(made, kind).items()}
        assert found == {
            "amdrocm-a": every,
            "amdrocm-a7.13": ours,
            f"amdrocm-a-{dev}": every,
            f"amdrocm-a-{dev}7.13": every,
        }
    reason = "None of them is machine code, so it is for every architecture."
    assert reason in by_name(made)["amdrocm-a-dev7.13"].reasons
    assert reason not in by_name(made)["amdrocm-a7.13"].reasons
