from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, Component, parse_archive_filename
from therock_outputs.artifacts.selection import (
    Selection,
    SelectionResult,
    parse_components,
    select,
)
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import NotFoundError, UsageError

FAMILIES = GpuFamilies.load()
TOPOLOGY = Topology.load()

SPLIT = (
    "base_lib_generic",
    "core-hip_lib_generic",
    "core-hip_dev_generic",
    "blas_lib_generic",
    "blas_lib_gfx906",
    "blas_lib_gfx1100",
    "blas_lib_gfx1103",
    "blas_test_gfx1100",
    "rand_lib_gfx942",
    "rand_lib_gfx942:xnack+",
    "rand_lib_gfx942:xnack-",
)
BY_FAMILY = (
    "base_lib_generic",
    "blas_lib_gfx94X-dcgpu",
    "blas_lib_gfx110X-all",
    "blas_test_gfx110X-all",
)


def archive(stem: str) -> ArchiveName:
    filename = stem if ".tar." in stem else stem + ".tar.zst"
    parsed = parse_archive_filename(filename)
    assert parsed is not None
    return parsed


def run(
    stems: Sequence[str],
    *,
    split: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Selection
) -> SelectionResult[ArchiveName]:
    return select(
        [archive(stem) for stem in stems],
        Selection(**options),
        families=FAMILIES,
        topology=TOPOLOGY,
        split=split,
    )


def stems(result: SelectionResult[ArchiveName]) -> set[str]:
    return {name.artifact.stem for name in result.selected}


GENERIC = {stem for stem in SPLIT if stem.endswith("generic")}


@pytest.mark.parametrize(
    ("options", "specific"),
    [
        ({}, set(SPLIT)),
        ({"generic_only": True}, set()),
        ({"amdgpu_targets": ("gfx906",)}, {"blas_lib_gfx906"}),
        ({"amdgpu_families": ("gfx906",)}, {"blas_lib_gfx906"}),
        (
            {"amdgpu_families": ("gfx110X-all",)},
            {"blas_lib_gfx1100", "blas_lib_gfx1103", "blas_test_gfx1100"},
        ),
        ({"amdgpu_families": ("gfx110X-igpu",)}, {"blas_lib_gfx1103"}),
        ({"artifact_group": "gfx110X-igpu"}, {"blas_lib_gfx1103"}),
        (
            {"amdgpu_families": ("gfx110X-igpu", "gfx906-dgpu")},
            {"blas_lib_gfx1103", "blas_lib_gfx906"},
        ),
        (
            {"amdgpu_targets": ("gfx942",)},
            {"rand_lib_gfx942", "rand_lib_gfx942:xnack+", "rand_lib_gfx942:xnack-"},
        ),
        (
            {"amdgpu_families": ("gfx94X-dcgpu",)},
            {"rand_lib_gfx942", "rand_lib_gfx942:xnack+", "rand_lib_gfx942:xnack-"},
        ),
        (
            {"amdgpu_targets": ("gfx942:xnack+",)},
            {"rand_lib_gfx942", "rand_lib_gfx942:xnack+"},
        ),
        (
            {"amdgpu_targets": ("gfx942:sramecc+",)},
            {"rand_lib_gfx942", "rand_lib_gfx942:xnack+", "rand_lib_gfx942:xnack-"},
        ),
    ],
)
def test_split_run_matches_generic_archives_and_the_named_targets(
    options: dict[str, Any], specific: set[str]
) -> None:
    assert stems(run(SPLIT, **options)) == GENERIC | specific


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({}, set(BY_FAMILY)),
        ({"artifact_group": "gfx94X-dcgpu"}, {"base_lib_generic", "blas_lib_gfx94X-dcgpu"}),
        (
            {"amdgpu_families": ("gfx110X-all",), "components": (Component.LIB,)},
            {"base_lib_generic", "blas_lib_gfx110X-all"},
        ),
        ({"generic_only": True}, {"base_lib_generic"}),
    ],
)
def test_run_by_family_matches_generic_archives_and_the_named_family(
    options: dict[str, Any], selected: set[str]
) -> None:
    assert stems(run(BY_FAMILY, split=False, **options)) == selected


@pytest.mark.parametrize("flag", ["amdgpu_families", "artifact_group"])
@pytest.mark.parametrize("expand", [False, True])
def test_families_are_expanded_in_an_unsplit_run_only_when_told(flag: str, expand: bool) -> None:
    mixed = ("base_lib_generic", "blas_lib_gfx94X-dcgpu", "rand_lib_gfx942", "rand_lib_gfx906")
    family: Any = "gfx94X-dcgpu" if flag == "artifact_group" else ("gfx94X-dcgpu",)
    result = run(mixed, split=False, expand_family_to_targets=expand, **{flag: family})
    expected = {"base_lib_generic", "blas_lib_gfx94X-dcgpu"}
    assert stems(result) == (expected | {"rand_lib_gfx942"} if expand else expected)


def test_family_that_only_the_run_knows_can_be_named() -> None:
    result = run(
        ("base_lib_generic", "blas_lib_gfx200X-all"),
        split=False,
        amdgpu_families=("gfx200X-all",),
    )
    assert stems(result) == {"base_lib_generic", "blas_lib_gfx200X-all"}
    assert stems(run(("a_lib_gfx2000:xnack+",), amdgpu_targets=("gfx2000",)))


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({"components": (Component.DEV,)}, {"core-hip_dev_generic"}),
        ({"include": ("^base", "_dev_")}, {"base_lib_generic", "core-hip_dev_generic"}),
        ({"include": ("hip",), "exclude": ("_dev_",)}, {"core-hip_lib_generic"}),
        ({"include": ("^base,",), "exclude": ()}, None),
        ({"exclude": ("gfx", "^core", "^blas")}, {"base_lib_generic"}),
        (
            {"include": (r"lib_generic\.tar\.zst$",), "exclude_artifacts": ("blas", "core-hip")},
            {"base_lib_generic"},
        ),
    ],
)
def test_components_artifacts_and_expressions_narrow_the_choice(
    options: dict[str, Any], selected: set[str] | None
) -> None:
    if selected is None:
        with pytest.raises(NotFoundError, match=r"no --include matches it \(11\)"):
            run(SPLIT, **options)
    else:
        assert stems(run(SPLIT, **options)) == selected


def test_stage_means_what_it_takes_from_others() -> None:
    assert stems(run(SPLIT, stage="math-libs", platform="linux")) == {
        "base_lib_generic",
        "core-hip_lib_generic",
        "core-hip_dev_generic",
    }
    assert stems(run(SPLIT, stage="all")) == set(SPLIT)


def test_stage_that_takes_nothing_selects_nothing_without_an_error() -> None:
    result = run(SPLIT, stage="compiler-runtime", platform="linux")
    assert result.selected == ()
    assert len(result.skipped) == len(SPLIT)


def test_zst_is_taken_when_both_compressions_are_there() -> None:
    result = run(("b_lib_generic.tar.xz", "a_lib_generic.tar.xz", "a_lib_generic.tar.zst"))
    assert [name.filename for name in result.selected] == [
        "a_lib_generic.tar.zst",
        "b_lib_generic.tar.xz",
    ]
    assert result.skipped == (
        (archive("a_lib_generic.tar.xz"), "a_lib_generic.tar.zst is the same artifact"),
    )


def test_xz_is_taken_when_the_zst_is_excluded() -> None:
    result = run(("a_lib_generic.tar.xz", "a_lib_generic.tar.zst"), exclude=(r"zst$",))
    assert [name.filename for name in result.selected] == ["a_lib_generic.tar.xz"]


@pytest.mark.parametrize("options", [{}, {"amdgpu_targets": ("gfx906",)}, {"exclude": ("blas",)}])
def test_order_of_the_listing_does_not_matter_and_nothing_is_lost(options: dict[str, Any]) -> None:
    forward = run(SPLIT, **options)
    assert run(SPLIT[::-1], **options) == forward
    everything = [*forward.selected, *(name for name, _ in forward.skipped)]
    assert {name.artifact.stem for name in everything} == set(SPLIT)
    assert len(everything) == len(SPLIT)


def test_every_skipped_archive_has_its_reason() -> None:
    result = run(
        SPLIT,
        amdgpu_targets=("gfx1100",),
        components=(Component.LIB,),
        exclude_artifacts=("base",),
        exclude=("^core-hip",),
    )
    reasons = {name.artifact.stem: reason for name, reason in result.skipped}
    assert reasons["base_lib_generic"] == "artifact base is excluded"
    assert reasons["blas_test_gfx1100"] == "component test is not asked for"
    assert reasons["blas_lib_gfx906"] == "target gfx906 is not asked for"
    assert reasons["core-hip_lib_generic"] == "--exclude '^core-hip' matches it"


@pytest.mark.parametrize(
    "options",
    [
        {"artifact_group": "gfx906", "amdgpu_families": ("gfx906",)},
        {"artifact_group": "gfx906", "amdgpu_targets": ("gfx906",)},
        {"amdgpu_families": ("gfx906",), "amdgpu_targets": ("gfx906",)},
        {"generic_only": True, "amdgpu_targets": ("gfx906",)},
        {"generic_only": True, "amdgpu_families": ("gfx906",)},
        {"generic_only": True, "artifact_group": "gfx906"},
        {"generic_only": True, "expand_family_to_targets": True},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="contradict each other"):
        Selection(**options)


@pytest.mark.parametrize("options", [{}, {"amdgpu_targets": ("gfx906",)}])
def test_expanding_without_a_family_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="add --amdgpu-families"):
        Selection(expand_family_to_targets=True, **options)


@pytest.mark.parametrize("flag", ["include", "exclude"])
@pytest.mark.parametrize("expression", ["a[", "(", "*", "a{99999999999999999999}"])
def test_bad_expression_is_refused_by_name(flag: str, expression: str) -> None:
    with pytest.raises(UsageError) as caught:
        Selection(**{flag: (expression,)})  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"--{flag} '{expression}' is no regular expression")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amdgpu_families": ("gfx110X-al",)}, "--amdgpu-families: .* did you mean gfx110X-all"),
        ({"artifact_group": "gfx94x-dcgpu"}, "--artifact-group: .* did you mean gfx94X-dcgpu"),
        ({"amdgpu_targets": ("gfx9424",)}, "--amdgpu-targets: .* did you mean gfx942"),
        ({"amdgpu_targets": ("gfx94X-dcgpu",)}, "is a family; use --amdgpu-families"),
        ({"exclude_artifacts": ("blass",)}, "--exclude-artifacts: .* did you mean blas"),
        ({"stage": "math"}, "'math' is no build stage .* did you mean math-libs"),
    ],
)
def test_name_that_nothing_knows_is_refused_with_names_like_it(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(SPLIT, **options)


def test_selecting_nothing_shows_what_the_run_has() -> None:
    with pytest.raises(NotFoundError) as caught:
        run(SPLIT, components=(Component.DBG,))
    assert str(caught.value) == (
        "nothing is selected of the run's 11 archives: component lib is not asked for (9), "
        "component dev is not asked for (1), component test is not asked for (1); it has "
        "targets generic (4), gfx1100 (2), gfx1103 (1), gfx906 (1), gfx942 (1), gfx942:xnack+ (1), "
        "gfx942:xnack- (1); components lib (9), dev (1), test (1); "
        "artifacts base, blas, core-hip, rand"
    )


def test_selecting_nothing_of_a_large_run_stays_short() -> None:
    many = [f"artifact{n}_lib_gfx{n}" for n in range(900, 1000)]
    with pytest.raises(NotFoundError) as caught:
        run(many, generic_only=True)
    assert len(str(caught.value)) < 1000


def test_run_without_archives_is_told_as_such() -> None:
    with pytest.raises(NotFoundError, match="the run has no artifact archives; check --run-id"):
        run(())


@pytest.mark.parametrize(
    ("stem_list", "split", "options", "warnings"),
    [
        (
            SPLIT,
            True,
            {"amdgpu_targets": ("gfx906", "gfx1201")},
            (
                (
                    "the run has no archive for gfx1201, only for gfx1100, gfx1103, gfx906, "
                    "gfx942, gfx942:xnack+, gfx942:xnack-"
                ),
            ),
        ),
        (
            BY_FAMILY,
            False,
            {"amdgpu_targets": ("gfx942",)},
            (
                (
                    "the run has no archive for gfx942, only for gfx110X-all, gfx94X-dcgpu; "
                    "gfx94X-dcgpu shares its GPUs"
                ),
            ),
        ),
        (
            BY_FAMILY,
            False,
            {"amdgpu_families": ("gfx110X-dgpu",)},
            (
                (
                    "the run has no archive for gfx110X-dgpu, only for gfx110X-all, gfx94X-dcgpu; "
                    "gfx110X-all shares its GPUs"
                ),
            ),
        ),
        (
            ("base_lib_generic", "blas_lib_gfx200X-all", "blas_lib_gfx94X-dcgpu"),
            False,
            {"amdgpu_targets": ("gfx942:xnack+",)},
            (
                (
                    "the run has no archive for gfx942:xnack+, only for gfx200X-all, gfx94X-dcgpu; "
                    "gfx94X-dcgpu shares its GPUs"
                ),
            ),
        ),
        (("base_lib_generic",), True, {"amdgpu_targets": ("gfx942",)}, ()),
        (SPLIT, True, {"amdgpu_families": ("gfx110X-all",)}, ()),
    ],
)
def test_asked_for_gpu_that_the_run_lacks_is_warned_of(
    stem_list: Sequence[str], split: bool, options: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    assert run(stem_list, split=split, **options).warnings == warnings


def test_components_are_parsed_in_their_order() -> None:
    assert parse_components(["test", "lib", "test"]) == (Component.LIB, Component.TEST)
    assert parse_components([]) == ()
    with pytest.raises(UsageError, match="--components: 'libs' is none; known are lib, run"):
        parse_components(["libs"])
