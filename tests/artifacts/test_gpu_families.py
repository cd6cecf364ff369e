from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.errors import NotFoundError, UsageError


@pytest.fixture(scope="module")
def families() -> GpuFamilies:
    return GpuFamilies.load()


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("gfx94X-dcgpu", ("gfx942",)),
        ("gfx110X-all", ("gfx1100", "gfx1101", "gfx1102", "gfx1103")),
        ("gfx110X-dgpu", ("gfx1100", "gfx1101", "gfx1102")),
        ("dcgpu-all", ("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1250")),
        ("gfx1201", ("gfx1201",)),
        ("gfx942:xnack+", ("gfx942:xnack+",)),
    ],
)
def test_family_stands_for_its_targets(
    families: GpuFamilies, family: str, targets: tuple[str, ...]
) -> None:
    assert families.targets_of(family) == targets


def test_every_target_is_a_family_of_its_own(families: GpuFamilies) -> None:
    for target in families.targets:
        assert families.targets_of(target.name) == (target.name,)
        assert families.families_of(target.name)[-1] == target.name


def test_families_and_targets_answer_each_other(families: GpuFamilies) -> None:
    for family in families.families:
        for name in families.targets_of(family):
            assert family in families.families_of(name)
    for target in families.targets:
        for family in families.families_of(target.name):
            assert target.name in families.targets_of(family)


def test_all_discrete_and_integrated_gpus_together_are_everything(families: GpuFamilies) -> None:
    everything = families.expand(["igpu-all", "dcgpu-all", "dgpu-all"])
    assert everything == tuple(target.name for target in families.targets)


def test_expanding_gives_each_target_once_in_the_order_of_the_table(families: GpuFamilies) -> None:
    names = ["gfx1030", "gfx942:xnack+", "gfx90a", "gfx942", "dcgpu-all"]
    assert families.expand(names) == (
        "gfx908",
        "gfx90a",
        "gfx942",
        "gfx942:xnack+",
        "gfx950",
        "gfx1030",
        "gfx1250",
    )


def test_closest_family_is_the_narrowest(families: GpuFamilies) -> None:
    assert families.closest_family("gfx1100") == "gfx110X-dgpu"
    assert families.closest_family("gfx942:xnack+") == "gfx94X-dcgpu"


@pytest.mark.parametrize(
    ("family", "hint"),
    [
        ("gfx94x-dcgpu", "did you mean gfx94X-dcgpu"),
        ("gfx110X", "did you mean gfx110X-all or gfx110X-dgpu"),
        ("gfx943", "gfx942"),
        ("nvidia", "known are "),
        ("", "known are "),
        ("generic", "GPU family or target"),
        ("gfx94X-dcgpu:xnack+", "no GPU family or target"),
    ],
)
def test_unknown_family_is_refused_with_names_like_it(
    families: GpuFamilies, family: str, hint: str
) -> None:
    assert not families.is_known(family)
    with pytest.raises(UsageError, match=hint):
        families.targets_of(family)


def test_unknown_target_is_refused_with_names_like_it(families: GpuFamilies) -> None:
    with pytest.raises(UsageError, match=r"'gfx9420' is no GPU target .* did you mean gfx942"):
        families.families_of("gfx9420")


def test_newer_file_of_the_user_is_used(tmp_path: Path) -> None:
    path = tmp_path / "newer.toml"
    path.write_text('[targets]\ngfx2000 = { families = ["gfx200X-all"] }\ngfx2001 = {}\n')
    families = GpuFamilies.load(path)
    assert families.targets_of("gfx200X-all") == ("gfx2000",)
    assert families.closest_family("gfx2001") == "gfx2001"
    with pytest.raises(UsageError, match=r"newer\.toml"):
        families.targets_of("gfx942")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "targets is missing or empty"),
        ("[targets]\n'../x' = {}\n", r"targets\.\.\./x is not the name of a GPU target"),
        ("[targets]\n'gfx9:xnack+' = {}\n", "is not the name of a GPU target"),
        ("[targets]\ngeneric = {}\n", "is not the name of a GPU target"),
        ("[targets]\ng = { families = ['a b'] }\n", r"targets\.g\.families holds 'a b'"),
        ("[targets]\ng = { families = 'a' }\n", r"targets\.g\.families has to be a list"),
        ("[targets]\ng = { product = 1 }\n", r"targets\.g\.product has to be a text"),
        ("[targets]\ng = {}\nh = { families = ['g'] }\n", "is the name of a family of others"),
    ],
)
def test_wrong_file_of_the_user_is_told_with_its_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "newer.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"newer\.toml: .*{message}|newer\.toml: {message}"):
        GpuFamilies.load(path)


def test_missing_file_of_the_user_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.toml"):
        GpuFamilies.load(tmp_path / "gone.toml")
