"""What people are told of a plan."""

from __future__ import annotations

import pytest

from tests.inventory_makers import Stages, plan
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.explain import explain, package_rows, skipped_rows

TEXT = """
[amdrocm-a]
depends = ["amdrocm-b", "amdrocm-gone"]
files.a.one = ["lib"]
[amdrocm-b]
depends = ["amdrocm-a"]
files.b.two = ["lib"]
[amdrocm-gone]
files.gone.three = ["lib"]
[amdrocm-part]
files.part.four = ["lib"]
[amdrocm-all]
metapackage = true
gpu = true
depends = ["amdrocm-gone"]
"""
RUN: dict[str, Stages] = {
    "a_lib_generic": {"x/one/stage": ["lib/x:12345", "lib/y -> x", "lib/z = lib/x", "share/"]},
    "a_lib_gfx942": {"x/one/stage": ["lib/gfx942:1234"]},
    "b_lib_generic": {"x/two/stage": ["lib/b"]},
    "part_lib_generic": {"x/four/stage": ["lib/c"]},
    "part_lib_gfx942": {"x/four/stage": []},
    "part_lib_gfx90a": {"x/four/stage": []},
}
PLAN = plan(TEXT, RUN)


def test_explanation_tells_why_what_and_whom() -> None:
    told = explain(PLAN, "amdrocm-a-host7.13").split("\n\n")
    assert [part.splitlines()[0] for part in told] == [
        "amdrocm-a-host7.13_7.13.0~20251124-9_amd64.deb",
        "amdrocm-a-host7.13-7.13.0~20251124-9.x86_64.rpm",
    ]
    divided = "the run has a_lib_gfx942.tar.zst, so it has GPU code of its own"
    back = "Its dependencies lead back to it through amdrocm-a, amdrocm-b"
    assert told[0].splitlines()[1:] == [
        "  Something (host side)",
        "  why:",
        f"    It is made from the definition of amdrocm-a (test.toml:{_line('amdrocm-a')}).",
        f"    That is divided as split: {divided}.",
        "    Its files are those of a_lib_generic.tar.zst.",
        "    Its dependencies on packages with GPU code are those of its target packages.",
        "    It does not depend on amdrocm-gone: amdrocm-gone is not built.",
        "  holds, in /opt/rocm/core-7.13:",
        "    above these: 1 directory, 0 B",
        "    a_lib_generic.tar.zst, x/one/stage: 1 file, 1 directory, 1 link, 1 hard link, 5 B",
        "  depends:",
        "    amdrocm-b7.13",
        "  needed by:",
        "    amdrocm-a7.13",
        "    amdrocm-a7.13-gfx942",
        "    amdrocm-b7.13",
        "  circles:",
        f"    {back}; apt and dnf install that.",
    ]


def _line(name: str) -> int:
    place = next(p for p in PLAN.packages if p.definition == name).reasons[0]
    return int(place.rpartition(":")[2].removesuffix(")."))


def test_name_of_a_definition_explains_all_its_packages() -> None:
    told = explain(PLAN, "amdrocm-a")
    for name in ("amdrocm-a_", "amdrocm-a7.13_", "amdrocm-a-host7.13_", "amdrocm-a7.13-gfx942_"):
        assert f"\n{name}" in f"\n{told}"


def test_package_that_is_not_built_is_explained_too() -> None:
    assert explain(PLAN, "amdrocm-gone").split("\n\n") == [
        "amdrocm-gone (deb) is not built: the run has no archive of gone.",
        "amdrocm-gone (rpm) is not built: the run has no archive of gone.",
    ]


def test_unknown_name_is_an_error_with_close_matches() -> None:
    with pytest.raises(UsageError, match=r"--explain: no package 'amdrocm-a7\.14' is planned; did"):
        explain(PLAN, "amdrocm-a7.14")


def test_rows_tell_size_and_number_of_files_of_each_package() -> None:
    rows = {row.filename: row for row in package_rows(PLAN)}
    assert len(rows) == len(PLAN.packages)
    host = rows["amdrocm-a-host7.13_7.13.0~20251124-9_amd64.deb"]
    assert (host.size, host.files, host.holds) == (5, 3, "Something (host side)")
    gather = rows["amdrocm-a7.13-7.13.0~20251124-9.noarch.rpm"]
    assert (gather.size, gather.files, gather.holds) == (0, 0, "gathers 2")


def test_what_is_skipped_for_one_reason_is_one_row() -> None:
    assert [(row.definition, row.packages) for row in skipped_rows(PLAN)] == [
        ("amdrocm-a", ("amdrocm-a7.13-gfx90a",)),
        ("amdrocm-gone", ("amdrocm-gone",)),
        ("amdrocm-part", ("amdrocm-part7.13-gfx90a", "amdrocm-part7.13-gfx942")),
        ("amdrocm-all", ("amdrocm-all7.13-gfx90a", "amdrocm-all7.13-gfx942", "amdrocm-all")),
    ]
