"""The plan of the sample run with the project's own definitions, and its promises as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.inventory_makers import FAMILIES, OPTIONS, by_name
from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.native_packages.definitions import load_definitions
from therock_outputs.native_packages.inventory import Inventory, read_inventory
from therock_outputs.native_packages.names import Namer
from therock_outputs.native_packages.package import PackageFormat
from therock_outputs.native_packages.plan import NativePlan, plan_native_packages
from therock_outputs.native_packages.relations import Relation

DEFINITIONS = load_definitions()


def read(directory: Path, *, split: bool) -> Inventory:
    run = write_sample_run(directory, split=split)
    return read_inventory(sorted(run.root.glob("*.tar.zst")), jobs=2)


@pytest.fixture(scope="module")
def split_run(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    return read(tmp_path_factory.mktemp("split"), split=True)


@pytest.fixture(scope="module")
def family_run(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    return read(tmp_path_factory.mktemp("family"), split=False)


def planned(run: Inventory, *, split: bool, variant: str = "") -> NativePlan:
    options = replace(OPTIONS, split=split, variant=variant)
    return plan_native_packages(DEFINITIONS, run, options, FAMILIES)


@pytest.fixture(params=["split", "family", "split asan"])
def whole(
    request: pytest.FixtureRequest, split_run: Inventory, family_run: Inventory
) -> NativePlan:
    if request.param == "family":
        return planned(family_run, split=False)
    return planned(split_run, split=True, variant=request.param.removeprefix("split").strip())


@pytest.mark.parametrize("kind", list(PackageFormat))
def test_every_dependency_on_our_own_packages_is_planned(
    whole: NativePlan, kind: PackageFormat
) -> None:
    options = whole.options
    ours = Namer(kind, options.rocm, options.variant, split=options.split).recognise(DEFINITIONS)
    names = by_name(whole, kind)
    seen = 0
    for package in names.values():
        for text in (*package.depends, *package.recommends):
            for name in Relation.names_in(text, kind):
                assert name in names or not (ours(name) or name.startswith("amdrocm")), text
                assert name != package.name
                seen += name in names
    assert seen > 80


def test_every_file_is_in_one_package_of_a_format_or_in_alternatives(whole: NativePlan) -> None:
    for kind in PackageFormat:
        packages = by_name(whole, kind)
        owners: dict[str, list[str]] = {}
        for package in packages.values():
            for content in package.contents:
                if content.kind is not Kind.DIRECTORY:
                    owners.setdefault(content.path, []).append(package.name)
        assert len(owners) > 200
        for held in owners.values():
            for name in held:
                others = {other for other in held if other != name}
                assert others <= set(packages[name].conflicts)


def test_every_stage_is_packaged_or_reported(
    whole: NativePlan, split_run: Inventory, family_run: Inventory
) -> None:
    run = split_run if whole.options.split else family_run
    reported = {(unused.archive, unused.stage) for unused in whole.unused}
    packaged = {(c.archive, c.stage) for p in whole.packages for c in p.contents}
    for archive in run.archives:
        for stage, members in archive.stages.items():
            assert not members or (archive.name.filename, stage) in reported | packaged


def test_directories_come_before_what_they_hold(whole: NativePlan) -> None:
    for package in whole.packages:
        seen = {""}
        for content in package.contents:
            assert content.path.rpartition("/")[0] in seen
            assert content.path not in seen
            if content.kind is Kind.DIRECTORY:
                seen.add(content.path)


def test_summaries_are_short_and_names_are_of_each_formats_policy(whole: NativePlan) -> None:
    for package in whole.packages:
        assert len(package.summary) <= 80
        assert package.name == package.name.lower()
        assert set(package.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789+-.")
        assert package.reasons


def test_core_of_every_target_registers_and_nothing_else_does(split_run: Inventory) -> None:
    whole = planned(split_run, split=True)
    registering = {p.name for p in whole.of(PackageFormat.DEB) if p.scripts.after_install}
    assert registering == {
        f"{name}7.13{target}"
        for name in ("amdrocm-core", "amdrocm-core-dev")
        for target in ("", "-gfx942", "-gfx1100")
    }


def test_circle_of_the_foundation_is_reported(split_run: Inventory) -> None:
    assert planned(split_run, split=True).cycles == (
        ("amdrocm-base", "amdrocm-llvm", "amdrocm-runtime"),
    )


def test_same_run_gives_the_same_plan(split_run: Inventory, tmp_path: Path) -> None:
    again = read(tmp_path, split=True)
    assert again == split_run
    assert planned(again, split=True) == planned(split_run, split=True)
