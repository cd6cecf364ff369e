from __future__ import annotations

import pickle

import pytest

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, ArtifactName
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.tarballs.encoding import Encoding, TarballFormat
from therock_outputs.tarballs.plan import TarballOptions, TarballPlan, plan_tarballs

FAMILIES = GpuFamilies.load()
GENERIC = ("base_lib_generic", "blas_test_generic", "fftw3_lib_generic")
SPLIT = (*GENERIC, "blas_lib_gfx942", "blas_test_gfx942", "fft_lib_gfx1100", "fft_lib_gfx1101")
BY_FAMILY = (*GENERIC, "blas_lib_gfx94X-dcgpu", "blas_lib_gfx110X-all")


def _plan(stems: tuple[str, ...], options: TarballOptions) -> TarballPlan:
    return plan_tarballs([ArchiveName(ArtifactName.parse(s)) for s in stems], options, FAMILIES)


def _contents(plan: TarballPlan) -> dict[str, list[str]]:
    return {
        tarball.filename.removeprefix("therock-dist-"): [str(a.artifact) for a in tarball.archives]
        for tarball in plan.tarballs
    }


@pytest.mark.parametrize(
    ("stems", "options", "expected"),
    [
        pytest.param(
            BY_FAMILY,
            TarballOptions("7.1"),
            {
                "linux-gfx110X-all-7.1.tar.gz": ["base_lib_generic", "blas_lib_gfx110X-all"],
                "linux-gfx94X-dcgpu-7.1.tar.gz": ["base_lib_generic", "blas_lib_gfx94X-dcgpu"],
            },
            id="the families that the archives name",
        ),
        pytest.param(
            SPLIT,
            TarballOptions("7.1", split=True),
            {
                "linux-gfx1100-7.1.tar.gz": ["base_lib_generic", "fft_lib_gfx1100"],
                "linux-gfx1101-7.1.tar.gz": ["base_lib_generic", "fft_lib_gfx1101"],
                "linux-gfx942-7.1.tar.gz": ["base_lib_generic", "blas_lib_gfx942"],
                "linux-multiarch-7.1.tar.gz": [
                    "base_lib_generic",
                    "blas_lib_gfx942",
                    "fft_lib_gfx1100",
                    "fft_lib_gfx1101",
                ],
            },
            id="each target of a split run, and all of them",
        ),
        pytest.param(
            SPLIT,
            TarballOptions("7.1", families=("gfx110X-all",), split=True),
            {
                "linux-gfx110X-all-7.1.tar.gz": [
                    "base_lib_generic",
                    "fft_lib_gfx1100",
                    "fft_lib_gfx1101",
                ],
                "linux-multiarch-7.1.tar.gz": [
                    "base_lib_generic",
                    "fft_lib_gfx1100",
                    "fft_lib_gfx1101",
                ],
            },
            id="a family stands for its targets",
        ),
        pytest.param(
            BY_FAMILY,
            TarballOptions("7.1", families=("gfx94X-dcgpu", "gfx94X-dcgpu"), include_tests=True),
            {
                "linux-gfx94X-dcgpu-7.1.tar.gz": ["base_lib_generic", "blas_lib_gfx94X-dcgpu"],
                "linux-gfx94X-dcgpu-tests-7.1.tar.gz": [
                    "base_lib_generic",
                    "blas_test_generic",
                    "fftw3_lib_generic",
                    "blas_lib_gfx94X-dcgpu",
                ],
            },
            id="with tests, each family once",
        ),
        pytest.param(
            ("blas_lib_gfx942:xnack+", "blas_lib_gfx942"),
            TarballOptions("7.1", families=("gfx942:xnack-", "gfx942")),
            {"linux-gfx942-7.1.tar.gz": ["blas_lib_gfx942", "blas_lib_gfx942:xnack+"]},
            id="feature suffixes do not matter",
        ),
        pytest.param(
            ("blas_lib_gfx942:xnack+",),
            TarballOptions("7.1", split=True),
            {
                "linux-gfx942-7.1.tar.gz": ["blas_lib_gfx942:xnack+"],
                "linux-multiarch-7.1.tar.gz": ["blas_lib_gfx942:xnack+"],
            },
            id="a target that only has suffixes",
        ),
        pytest.param(
            ("blas_lib_new-family",),
            TarballOptions(
                "7.1.0.dev0+abc",
                platform="windows",
                families=("new-family",),
                encoding=Encoding(TarballFormat.ZST, 6),
            ),
            {"windows-new-family-7.1.0.dev0+abc.tar.zst": ["blas_lib_new-family"]},
            id="a family that only the run knows, of windows, as zst",
        ),
    ],
)
def test_plans(
    stems: tuple[str, ...], options: TarballOptions, expected: dict[str, list[str]]
) -> None:
    plan = _plan(stems, options)
    assert _contents(plan) == expected
    assert list(_contents(plan)) == list(_contents(_plan(stems[::-1], options)))


def test_multiarch_is_for_split_runs_only() -> None:
    assert not any("multiarch" in name for name in _contents(_plan(BY_FAMILY, TarballOptions("1"))))


@pytest.mark.parametrize(
    ("stems", "families", "missing"),
    [
        (SPLIT, ("gfx110X-all",), [("gfx1102", "gfx1103")] * 2),
        (SPLIT, ("gfx94X-dcgpu", "gfx1100"), [(), (), ()]),
        (BY_FAMILY, ("gfx110X-all",), [(), ()]),
    ],
)
def test_targets_that_the_run_lacks_are_told(
    stems: tuple[str, ...], families: tuple[str, ...], missing: list[tuple[str, ...]]
) -> None:
    plan = _plan(stems, TarballOptions("7.1", families=families, split=True))
    assert [tarball.missing_targets for tarball in plan.tarballs] == missing


@pytest.mark.parametrize("version", ["", "a/b", "../1", "1 2", "-1", "1\n", "1:2", "é", "1;rm"])
def test_a_version_that_cannot_stand_in_a_file_name_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a file name"):
        _plan(SPLIT, TarballOptions(version))


@pytest.mark.parametrize(
    "version", ["7.10.0", "7.10.0a20251124", "7.10.0.dev0+0a1b", "7.1~pre_2-1"]
)
def test_versions_of_all_forms_end_the_name(version: str) -> None:
    (first, *_) = _plan(SPLIT, TarballOptions(version)).tarballs
    assert first.filename == f"therock-dist-linux-gfx1100-{version}.tar.gz"


@pytest.mark.parametrize("family", ["gfx94Y-dcgpu", "generic", "multiarch", "../x", ""])
def test_an_unknown_family_is_a_usage_error(family: str) -> None:
    with pytest.raises(UsageError, match="is no GPU family or target"):
        _plan(SPLIT, TarballOptions("7.1", families=(family,)))


def test_a_family_without_archives_is_told_with_what_there_is() -> None:
    with pytest.raises(NotFoundError, match="which has: gfx1100, gfx1101, gfx942"):
        _plan(SPLIT, TarballOptions("7.1", families=("gfx942", "gfx950-dcgpu")))
    with pytest.raises(NotFoundError, match="which has: generic archives only"):
        _plan(GENERIC, TarballOptions("7.1", families=("gfx942",)))


def test_nothing_to_make_tarballs_of_is_an_error() -> None:
    with pytest.raises(NotFoundError, match="no archives"):
        _plan((), TarballOptions("7.1"))
    with pytest.raises(NotFoundError, match="names no GPU family"):
        _plan(GENERIC, TarballOptions("7.1"))


def test_a_plan_lists_each_archive_once_and_can_be_sent_to_a_worker() -> None:
    plan = _plan(SPLIT, TarballOptions("7.1", split=True, include_tests=True))
    assert sorted(str(a.artifact) for a in plan.archives) == sorted(SPLIT)
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own
