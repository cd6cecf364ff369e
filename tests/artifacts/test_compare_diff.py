"""Comparing two sides: what is paired, what is summed, what is said of the whole."""

from __future__ import annotations

import random

import pytest

from tests.comparison_makers import file, listed, prefix, run
from therock_outputs.artifacts.compare.changes import Change, FileChange, Status
from therock_outputs.artifacts.compare.diff import compare_files, compare_sides
from therock_outputs.artifacts.compare.sides import Side, SizedFile
from therock_outputs.artifacts.compare.where import change_tree, find_hotspot


def _only(before: list[SizedFile], after: list[SizedFile]) -> FileChange:
    [change] = compare_files(before, after)
    return change


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (None, 5, Status.ADDED),
        (5, None, Status.REMOVED),
        (5, 6, Status.GROWN),
        (6, 5, Status.SHRUNK),
        (5, 5, Status.SAME),
        (0, 0, Status.SAME),
        (0, None, Status.REMOVED),
    ],
)
def test_file_at_its_place_is_told_by_its_size(
    before: int | None, after: int | None, status: Status
) -> None:
    def side(size: int | None) -> list[SizedFile]:
        return [] if size is None else [file("blas_lib_generic:lib/a.so", size)]

    assert _only(side(before), side(after)).status is status


def test_file_of_same_path_and_size_in_another_archive_has_moved() -> None:
    change = _only([file("blas_lib_generic:lib/a.so", 5)], [file("blas_run_generic:lib/a.so", 5)])
    assert change.status is Status.MOVED
    assert (change.was_archive, change.archive, change.was) == (
        "blas_lib_generic",
        "blas_run_generic",
        "",
    )


def test_file_of_same_path_and_another_size_elsewhere_has_not_moved() -> None:
    changes = compare_files(
        [file("blas_lib_generic:lib/a.so", 5)], [file("fft_lib_generic:lib/a.so", 6)]
    )
    assert {change.status for change in changes} == {Status.ADDED, Status.REMOVED}


def test_file_in_another_stage_of_its_archive_is_the_same_file() -> None:
    old = file("blas_lib_generic:lib/a.so", 5, stage="one/stage")
    new = file("blas_lib_generic:lib/a.so", 9, stage="two/stage")
    change = _only([old], [new])
    assert change.size == Change(5, 9)
    assert change.was_stage == "one/stage"


def test_file_with_another_version_in_its_name_is_the_same_file() -> None:
    change = _only(
        [file("blas_lib_generic:lib/librocblas.so.5.1", 100)],
        [file("blas_lib_generic:lib/librocblas.so.5.2", 130)],
    )
    assert change.status is Status.GROWN
    assert change.size == Change(100, 130)
    assert change.was == "lib/librocblas.so.5.1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Two candidates: nobody knows which one it was.
        (["lib/a.so.1"], ["lib/a.so.2", "lib/a.so.3"]),
        # The number is a directory's: another target, not another version.
        (["lib/gfx942/a.co"], ["lib/gfx950/a.co"]),
    ],
)
def test_names_that_may_be_two_things_are_not_paired(old: list[str], new: list[str]) -> None:
    changes = compare_files(
        [file(f"blas_lib_generic:{path}", 5) for path in old],
        [file(f"blas_lib_generic:{path}", 6) for path in new],
    )
    assert sorted(change.status.value for change in changes) == ["added"] * len(new) + ["removed"]


def test_equal_files_of_two_targets_stay_with_their_archives() -> None:
    both = [file(f"blas_lib_gfx{number}:lib/db.dat", 7) for number in (942, 1100)]
    changes = compare_files(both, both[1:] + both[:1])
    assert [change.status for change in changes] == [Status.SAME, Status.SAME]


def test_order_of_reading_does_not_matter() -> None:
    rng = random.Random(7)
    old = [file(f"a_lib_gfx{n % 3}:lib/f{n % 17}.so.{n}", n % 5) for n in range(120)]
    new = [file(f"a_lib_gfx{n % 4}:lib/f{n % 19}.so.{n}", n % 6) for n in range(120)]
    expected = sorted(map(repr, compare_files(old, new)))
    for _ in range(3):
        rng.shuffle(old)
        rng.shuffle(new)
        assert sorted(map(repr, compare_files(old, new))) == expected


def test_sums_of_files_are_the_sums_of_the_sides() -> None:
    rng = random.Random(3)

    def side() -> Side:
        names = rng.sample(range(400), 250)
        return run(
            {f"a{n % 7}_lib_gfx{n % 3}:lib/d{n % 5}/f{n}": rng.randrange(1000) for n in names}
        )

    before, after = side(), side()
    comparison = compare_sides(before, after)
    sums = tuple(sum(f.size for f in one.files or ()) for one in (before, after))
    assert comparison.unpacked == Change(*sums)
    for rows in (comparison.archives, comparison.artifacts, comparison.components,
                 comparison.targets, comparison.stages):  # fmt: skip
        assert sum((row.unpacked or Change(0, 0)).before or 0 for row in rows) == sums[0]
        assert sum((row.unpacked or Change(0, 0)).after or 0 for row in rows) == sums[1]
    tree = change_tree(comparison)
    assert (tree.before, tree.after) == sums


def test_moved_file_changes_its_archives_but_not_the_whole() -> None:
    comparison = compare_sides(
        run({"blas_lib_generic:lib/a.so": 50, "blas_run_generic:bin/b": 1}),
        run({"blas_run_generic:lib/a.so": 50, "blas_lib_generic:lib/c": 1}, {}),
    )
    by_name = {archive.name.stem: archive.unpacked for archive in comparison.archives}
    assert by_name == {"blas_lib_generic": Change(50, 1), "blas_run_generic": Change(1, 50)}
    assert comparison.total.delta == 0
    assert comparison.counts[Status.MOVED] == 1


def test_archive_that_lost_all_its_files_is_empty_and_not_gone() -> None:
    comparison = compare_sides(
        run({"blas_lib_generic:lib/a.so": 50}), run({}, {"blas_lib_generic": 10})
    )
    [archive] = comparison.archives
    assert archive.unpacked == Change(50, 0)
    assert archive.compressed == Change(16, 10)
    assert archive.size.status is Status.SHRUNK


def test_largest_change_comes_first_and_growth_before_shrinkage() -> None:
    comparison = compare_sides(
        listed({"a_lib_generic": 10, "b_lib_generic": 50, "c_lib_generic": 1, "d_lib_generic": 9}),
        listed({"a_lib_generic": 12, "b_lib_generic": 20, "c_lib_generic": 31, "d_lib_generic": 9}),
    )
    assert [archive.name.name for archive in comparison.archives] == ["c", "b", "a", "d"]


def test_listing_alone_compares_archives_and_says_so() -> None:
    comparison = compare_sides(
        listed({"blas_lib_generic": 10, "blas_lib_gfx942": 5}), listed({"blas_lib_generic": 30})
    )
    assert comparison.unpacked is None
    assert comparison.compressed == Change(15, 30)
    assert comparison.total == Change(15, 30)
    assert comparison.counts[Status.REMOVED] == 1
    assert any("--files" in note for note in comparison.notes)


def test_run_and_prefix_are_compared_by_path_the_first_archive_winning() -> None:
    comparison = compare_sides(
        run({"base_lib_generic:lib/a": 5, "blas_lib_gfx942:lib/a": 7, "blas_lib_gfx942:lib/b": 1}),
        prefix({"lib/a": 5, "lib/b": 4}),
    )
    assert comparison.archives == ()
    assert comparison.unpacked == Change(6, 9)
    assert comparison.compressed is None
    assert [(f.path, f.status) for f in comparison.changed_files] == [("lib/b", Status.GROWN)]


def test_hotspot_is_the_deepest_part_with_most_of_the_growth() -> None:
    growth = 10_000_000_000
    before = {f"blas_lib_gfx942:lib/rocblas/library/k{n}.co": 1000 for n in range(20)}
    after = {path: size + growth // 20 for path, size in before.items()}
    small = {f"fft_lib_gfx942:lib/f{n}": n * 1000 for n in range(20)}
    comparison = compare_sides(
        run({**before, **small}), run({**after, **{path: 2 * s for path, s in small.items()}})
    )
    hotspot = find_hotspot(change_tree(comparison), comparison)
    assert hotspot is not None
    assert hotspot.place == ("blas_lib_gfx942", "lib/rocblas/library")
    assert hotspot.amount == growth
    assert 0.99 < hotspot.share < 1


def test_growth_that_shrinkage_makes_up_for_is_not_said_to_be_all_of_it() -> None:
    comparison = compare_sides(
        run({"rand_lib_gfx906:a": 100}),
        run({"rand_lib_gfx942:b": 100, "rand_lib_gfx1100:c": 100}),
    )
    hotspot = find_hotspot(change_tree(comparison), comparison)
    assert hotspot is not None
    # Each new archive has grown by as much as the whole: neither is the place.
    assert hotspot.path == ("rand",)
    assert (hotspot.amount, hotspot.share, hotspot.against) == (200, 1.0, 100)


def test_no_place_is_named_where_growth_is_everywhere_or_nowhere() -> None:
    names = [f"a{n}_lib_generic:lib/f" for n in range(5)]
    before = run(dict.fromkeys(names, 10))
    after = run(dict.fromkeys(names, 20))
    comparison = compare_sides(before, after)
    assert find_hotspot(change_tree(comparison), comparison) is None
    same = compare_sides(before, before)
    assert find_hotspot(change_tree(same), same) is None


def test_path_of_any_depth_makes_a_tree_of_bounded_depth() -> None:
    path = "/".join("d" * 3000)
    comparison = compare_sides(prefix({"lib/a": 1}), prefix({"lib/a": 1, path: 5}))
    tree, depth = change_tree(comparison), 0
    part = tree.parts["d/"]
    while part.parts:
        part, depth = next(iter(part.parts.values())), depth + 1
    assert depth == 50
    assert tree.change == Change(1, 6)


def test_file_that_became_a_directory_counts_as_both() -> None:
    comparison = compare_sides(prefix({"lib/a": 7, "b": 1}), prefix({"lib/a/x": 5, "b": 1}))
    lib = change_tree(comparison).parts["lib/"]
    assert {name: part.change for name, part in lib.parts.items()} == {
        "a": Change(7, None),
        "a/": Change(None, 5),
    }
    assert lib.change == Change(7, 5)


def test_archive_with_several_stages_has_them_as_a_level() -> None:
    def side(size: int) -> Side:
        base = run({"blas_lib_generic:lib/a": 1})
        files = (
            file("blas_lib_generic:lib/a", size, "one/stage"),
            file("blas_lib_generic:lib/b", 1, "two/stage"),
        )
        return Side(base.label, base.place, base.archives, files)

    comparison = compare_sides(side(1), side(9))
    archive = change_tree(comparison).parts["blas"].parts["blas_lib_generic"]
    assert list(archive.parts) == ["one/stage", "two/stage"]
    assert [stage.name for stage in comparison.stages] == ["one/stage", "two/stage"]
