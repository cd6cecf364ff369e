"""Which packages a run gives: decided on names alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, ArtifactName
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.python_packages.catalog import Catalog, PackageKind
from therock_outputs.python_packages.plan import (
    PlannedWheel,
    PythonPackageOptions,
    PythonPackagePlan,
    plan_python_packages,
)

SPLIT = [
    "base_lib_generic",
    "base_run_generic",
    "base_doc_generic",
    "core-hip_lib_generic",
    "core-hip_dev_generic",
    "core-runtime_lib_generic",
    "core-runtime_dev_generic",
    "amd-llvm_run_generic",
    "sysdeps_lib_generic",
    "sysdeps-expat_lib_generic",
    "sysdeps-expat_dev_generic",
    "rocjitsu-hotswap_lib_generic",
    "rocjitsu-hotswap_run_generic",
    "blas_lib_generic",
    "blas_run_generic",
    "blas_dev_generic",
    "blas_test_generic",
    "blas_lib_gfx942",
    "blas_lib_gfx942:xnack+",
    "blas_lib_gfx1100",
    "rpp_lib_generic",
    "prim_dev_generic",
    "rocprofiler-systems_run_generic",
    "rocprofiler-systems_dev_generic",
    "fftw3_lib_generic",
    "blas_test_gfx942",
]
BY_FAMILY = [
    "base_lib_generic",
    "core-hip_lib_generic",
    "core-hip_dev_generic",
    "rpp_lib_generic",
    "prim_dev_generic",
    "rand_lib_generic",
    "blas_lib_gfx94X-dcgpu",
    "blas_dev_gfx94X-dcgpu",
    "blas_test_gfx94X-dcgpu",
    "blas_lib_gfx110X-all",
    "blas_dev_gfx110X-all",
]
OPTIONS = PythonPackageOptions(version="7.13.0", split=True)


def plan(stems: list[str], options: PythonPackageOptions = OPTIONS) -> PythonPackagePlan:
    archives = [ArchiveName(ArtifactName.parse(stem)) for stem in stems]
    return plan_python_packages(archives, options, GpuFamilies.load())


def held(wheel: PlannedWheel) -> list[str]:
    return [name.artifact.stem for name in wheel.archives]


def by_name(planned: PythonPackagePlan) -> dict[str, PlannedWheel]:
    return {wheel.place: wheel for wheel in planned.wheels}


def test_split_run_gives_one_wheel_for_each_target_and_one_of_each_other_kind() -> None:
    planned = plan(SPLIT)
    assert sorted(planned.places) == [
        "rocm-7.13.0.tar.gz",
        "rocm_profiler-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_core-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_devel-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_device_gfx1100-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_device_gfx942-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_libraries-7.13.0-py3-none-linux_x86_64.whl",
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "core",
            (
                "amd-llvm_run_generic base_lib_generic base_run_generic core-hip_lib_generic "
                "core-hip_dev_generic core-runtime_lib_generic rocjitsu-hotswap_lib_generic "
                "sysdeps_lib_generic sysdeps-expat_lib_generic"
            ),
        ),
        ("libraries", "blas_lib_generic rpp_lib_generic"),
        ("profiler", "rocprofiler-systems_run_generic"),
        (
            "devel",
            (
                "amd-llvm_run_generic base_lib_generic base_run_generic base_doc_generic "
                "blas_lib_generic blas_run_generic blas_dev_generic core-hip_lib_generic "
                "core-hip_dev_generic core-runtime_lib_generic core-runtime_dev_generic "
                "prim_dev_generic rocjitsu-hotswap_lib_generic rocjitsu-hotswap_run_generic "
                "rpp_lib_generic sysdeps_lib_generic sysdeps-expat_lib_generic "
                "sysdeps-expat_dev_generic"
            ),
        ),
    ],
)
def test_each_package_of_a_split_run_draws_on_its_archives(kind: str, expected: str) -> None:
    (wheel,) = (w for w in plan(SPLIT).wheels if w.kind is PackageKind(kind))
    assert sorted(held(wheel)) == sorted(expected.split())


def test_targets_with_feature_suffixes_share_one_device_wheel() -> None:
    wheel = by_name(plan(SPLIT))["rocm_sdk_device_gfx942-7.13.0-py3-none-linux_x86_64.whl"]
    assert held(wheel) == ["blas_lib_gfx942", "blas_lib_gfx942:xnack+"]
    assert wheel.requires == ("rocm-sdk-libraries",)


def test_run_by_family_gives_each_family_a_directory_beside_generic_wheels() -> None:
    planned = plan(BY_FAMILY, replace(OPTIONS, split=False))
    assert sorted(planned.places) == [
        "gfx110X-all/rocm-7.13.0.tar.gz",
        "gfx110X-all/rocm_sdk_devel-7.13.0-py3-none-linux_x86_64.whl",
        "gfx110X-all/rocm_sdk_libraries_gfx110x_all-7.13.0-py3-none-linux_x86_64.whl",
        "gfx94X-dcgpu/rocm-7.13.0.tar.gz",
        "gfx94X-dcgpu/rocm_sdk_devel-7.13.0-py3-none-linux_x86_64.whl",
        "gfx94X-dcgpu/rocm_sdk_libraries_gfx94x_dcgpu-7.13.0-py3-none-linux_x86_64.whl",
        "rocm_sdk_core-7.13.0-py3-none-linux_x86_64.whl",
    ]
    libraries = by_name(planned)[
        "gfx94X-dcgpu/rocm_sdk_libraries_gfx94x_dcgpu-7.13.0-py3-none-linux_x86_64.whl"
    ]
    assert libraries.directory == "_rocm_sdk_libraries_gfx94x_dcgpu"
    assert held(libraries) == ["rand_lib_generic", "rpp_lib_generic", "blas_lib_gfx94X-dcgpu"]
    devel = by_name(planned)["gfx94X-dcgpu/rocm_sdk_devel-7.13.0-py3-none-linux_x86_64.whl"]
    assert {"blas_dev_gfx94X-dcgpu", "blas_test_gfx94X-dcgpu", "prim_dev_generic"} <= {*held(devel)}
    assert planned.selectors[1].targets == ("gfx942",)


def test_one_family_lies_flat() -> None:
    planned = plan(BY_FAMILY, replace(OPTIONS, split=False, families=("gfx94X-dcgpu",)))
    assert all("/" not in place for place in planned.places)


def test_only_names_what_is_written_and_reads_what_devel_links_to() -> None:
    planned = plan(SPLIT, replace(OPTIONS, only=frozenset({PackageKind.DEVEL})))
    assert [wheel.kind for wheel in planned.wanted] == [PackageKind.DEVEL]
    assert {"blas_lib_generic", "base_lib_generic"} <= {n.artifact.stem for n in planned.archives}
    core = plan(SPLIT, replace(OPTIONS, only=frozenset({PackageKind.CORE})))
    assert "blas_lib_generic" not in {n.artifact.stem for n in core.archives}


def test_selector_is_the_same_for_both_systems_jobs() -> None:
    options = replace(
        OPTIONS, linux_families=("gfx942", "gfx1100"), windows_families=("gfx1100", "gfx1201")
    )
    windows = [stem for stem in SPLIT if "profiler" not in stem]
    linux_job = plan(SPLIT, options).selectors
    windows_job = plan(windows, replace(options, platform="windows")).selectors
    assert linux_job == windows_job
    assert linux_job[0].targets == ("gfx942", "gfx1100", "gfx1201")
    assert linux_job[0].default_target == "gfx1100"


def test_windows_wheels_carry_its_tag() -> None:
    planned = plan(SPLIT, replace(OPTIONS, platform="windows"))
    assert all(wheel.filename.endswith("-py3-none-win_amd64.whl") for wheel in planned.wheels)


def test_platform_tag_can_be_chosen() -> None:
    options = replace(OPTIONS, wheel_platform_tag="manylinux_2_28_x86_64")
    assert all("manylinux_2_28_x86_64" in wheel.filename for wheel in plan(SPLIT, options).wheels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "7.13"}, None),
        ({"version": "7.13.0-rc1"}, "PEP 440"),
        ({"version": "7.13.0+Bad_Local"}, "PEP 440"),
        ({"version": "07.1"}, "PEP 440"),
        ({"version": "7.13.0a20260101+bkc.20260102"}, None),
        ({"wheel_platform_tag": "win_amd64"}, "no tag of linux"),
        ({"wheel_platform_tag": "linux-x86"}, "no tag of linux"),
        ({"platform": "macos"}, "no Python packages"),
        ({"compression_level": 13}, "from 1 to 12"),
        ({"only": frozenset()}, "--only"),
        ({"build_variant": "../x"}, "--build-variant"),
        ({"families": ("gfx9999",)}, "gfx9999"),
    ],
)
def test_options_are_checked(change: dict[str, object], words: str | None) -> None:
    options = replace(OPTIONS, **change)  # type: ignore[arg-type]
    if words is None:
        plan(SPLIT, options)
        return
    with pytest.raises(UsageError, match=words):
        plan(SPLIT, options)


@pytest.mark.parametrize(
    ("gone", "families", "words"),
    [
        ("base_lib_generic", (), "base_lib_generic"),
        ("blas_lib_gfx1100", ("gfx1100",), "archives for gfx1100"),
        ("blas_lib_generic", (), "blas_lib_generic"),
    ],
)
def test_incomplete_run_is_refused(gone: str, families: tuple[str, ...], words: str) -> None:
    with pytest.raises(NotFoundError, match=words):
        plan([s for s in SPLIT if s != gone], replace(OPTIONS, families=families))


def test_target_that_lacks_what_others_have_is_refused() -> None:
    with pytest.raises(NotFoundError, match="rand_lib_gfx1100"):
        plan([*SPLIT, "rand_lib_generic", "rand_lib_gfx942"])


def test_run_for_no_gpu_is_refused() -> None:
    for split in (True, False):
        with pytest.raises(NotFoundError, match="generic archives only"):
            plan(["base_lib_generic"], replace(OPTIONS, split=split))


def test_archive_that_no_package_takes_is_told_with_the_reason() -> None:
    unused = {u.name.artifact.stem: u for u in plan([*SPLIT, "new-thing_lib_generic"]).unused}
    assert unused["new-thing_lib_generic"].is_fault
    assert not unused["fftw3_lib_generic"].is_fault
    assert not unused["blas_test_gfx942"].is_fault


@pytest.mark.parametrize(
    ("path", "excluded"),
    [
        ("lib/cmake/hip/hip-config.cmake", True),
        ("cmake/x", True),
        ("lib/llvm/lib/cmake/clang/a/b.cmake", True),
        ("lib/cmake.txt", False),
        ("bin/cmake", False),
        ("bin/rocprof-sys-run", True),
        ("bin/rocprofv3", False),
    ],
)
def test_core_leaves_out_cmake_files_and_the_profilers(path: str, excluded: bool) -> None:
    assert Catalog.load()[PackageKind.CORE].excludes(path) is excluded
