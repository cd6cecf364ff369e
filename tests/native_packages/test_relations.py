"""Relations between packages, in both formats' syntax; names; and circles."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.inventory_makers import definitions
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.cycles import find_cycles
from therock_outputs.native_packages.definition import DefinitionsError, Place
from therock_outputs.native_packages.names import Namer, family_word
from therock_outputs.native_packages.package import PackageFormat
from therock_outputs.native_packages.relations import Relation

HERE = Place("test.toml", 7)
DEB, RPM = PackageFormat.DEB, PackageFormat.RPM


@pytest.mark.parametrize(
    ("text", "deb", "rpm"),
    [
        ("libc6", "libc6", "libc6"),
        ("python3 (>= 3.6.8)", "python3 (>= 3.6.8)", "python3 >= 3.6.8"),
        ("python3 >= 3.6.8", "python3 (>= 3.6.8)", "python3 >= 3.6.8"),
        ("python3>=3.6.8", "python3 (>= 3.6.8)", "python3 >= 3.6.8"),
        ("gcc (<< 13)", "gcc (<< 13)", "gcc < 13"),
        ("gcc < 13", "gcc (<< 13)", "gcc < 13"),
        ("gcc == 13", "gcc (= 13)", "gcc = 13"),
        ("a1|b1 |  c1", "a1 | b1 | c1", "(a1 or b1 or c1)"),
        ("a1 (>= 2)|b1", "a1 (>= 2) | b1", "(a1 >= 2 or b1)"),
    ],
)
def test_relation_is_written_in_each_formats_syntax(text: str, deb: str, rpm: str) -> None:
    assert Relation.parse(text, DEB, HERE).written(DEB) == deb
    assert Relation.parse(text, RPM, HERE).written(RPM) == rpm


@pytest.mark.parametrize(
    "text", ["libz.so.1()(64bit)", "pkgconfig(zlib)", "/usr/bin/python3", "(a or b)", "Mesa_lib"]
)
def test_rpm_relation_keeps_what_only_rpm_knows(text: str) -> None:
    assert Relation.parse(text, RPM, HERE).written(RPM) == text


def test_deb_relation_keeps_its_architectures() -> None:
    assert Relation.parse("gcc [amd64 arm64]", DEB, HERE).written(DEB) == "gcc [amd64 arm64]"
    with pytest.raises(DefinitionsError, match=r"test\.toml:7: .* restricts an architecture"):
        Relation.parse("gcc [amd64]", RPM, HERE)


@pytest.mark.parametrize("text", ["", "a b", "a >=", "a (>= )", "a (>= 1", "|a", "a (>= 1;2)"])
def test_relation_that_is_none_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DefinitionsError, match=r"^test\.toml:7: .*: write it as"):
        Relation.parse(text, DEB, HERE)


@pytest.mark.parametrize("kind", [DEB, RPM])
def test_names_in_a_written_relation_are_found_again(kind: PackageFormat) -> None:
    text = Relation.parse("a1 (>= 2) | b1", kind, HERE).written(kind)
    assert list(Relation.names_in(text, kind)) == ["a1", "b1"]


def test_names_follow_each_formats_custom() -> None:
    fft, devel = definitions(
        '[amdrocm-fft]\nfiles.a.b = ["lib"]\n[amdrocm-fft-devel]\nfiles.a.b = ["dev"]'
    ).packages
    deb, rpm = Namer(DEB, "7.13", "asan"), Namer(RPM, "7.13", split=False)
    assert deb.versioned(devel) == "amdrocm-fft-dev-asan7.13"
    assert deb.host(fft) == "amdrocm-fft-host-asan7.13"
    assert deb.versioned(fft, "gfx90a") == "amdrocm-fft-asan7.13-gfx90a"
    assert rpm.versioned(devel, "gfx94X-dcgpu") == "amdrocm-fft-devel7.13-gfx94x"
    assert rpm.unversioned(fft, "gfx94X-dcgpu") == "amdrocm-fft-gfx94x"


def test_family_gives_the_word_before_its_first_hyphen() -> None:
    assert family_word("gfx94X-dcgpu") == "gfx94x"
    assert family_word("gfx1100") == "gfx1100"
    with pytest.raises(UsageError, match="cannot stand in a package's name"):
        family_word("-dgpu")


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({}, ()),
        ({"a": ["b"], "b": []}, ()),
        ({"a": ["a"]}, ()),
        ({"a": ["b"], "b": ["a"], "c": ["a"]}, (("a", "b"),)),
        ({"a": ["b"], "b": ["c"], "c": ["a", "x"]}, (("a", "b", "c"),)),
        ({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]}, (("a", "b"), ("c", "d"))),
    ],
)
def test_circles_are_the_largest_sets_that_reach_one_another(
    graph: dict[str, list[str]], expected: tuple[tuple[str, ...], ...]
) -> None:
    assert find_cycles(graph) == expected


def test_dpkg_sorts_a_development_version_before_its_release() -> None:
    dpkg = shutil.which("dpkg")
    assert dpkg is not None
    for older, newer in [("7.13.0~dev0-1", "7.13.0-1"), ("7.13.0~20251124-1", "7.13.0~20251125-1")]:
        subprocess.run([dpkg, "--compare-versions", older, "lt", newer], check=True)
