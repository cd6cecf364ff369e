"""Files of definitions: the project's own, ones in its form, and TheRock's package.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.inventory_makers import DEFAULTS
from therock_outputs.artifacts.names import Component
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.native_packages.definition import DefinitionsError
from therock_outputs.native_packages.definitions import load_definitions
from therock_outputs.native_packages.located_json import Located, parse_located
from therock_outputs.native_packages.package import PackageFormat
from therock_outputs.native_packages.relations import Relation
from therock_outputs.native_packages.toml_lines import KeyLines

OWN = load_definitions()
SAID = 'summary = "Something"\ndescription = "More of it."\n'


def write(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


# --------------------------------------------------------------------------------- our own


def test_own_definitions_are_the_81_packages_and_say_something_of_each() -> None:
    assert len(OWN.packages) == 81
    assert len({definition.summary for definition in OWN}) == 81
    for definition in OWN:
        # Each kind of package adds some words, and lintian and rpmlint take 80 characters.
        assert len(definition.summary) <= 50, definition.name
        assert definition.summary[0].isupper()
        assert not definition.summary.endswith(".")
        assert not re.match(r"(?i)an? |the |amdrocm", definition.summary)
        assert definition.description.endswith(".")
        assert definition.description != definition.summary


def test_own_definitions_depend_on_what_is_defined_and_on_what_both_formats_can_say() -> None:
    names = {definition.name for definition in OWN}
    for definition in OWN:
        for kind, texts in (
            (PackageFormat.DEB, definition.deb_depends + definition.deb_recommends),
            (PackageFormat.RPM, definition.rpm_depends + definition.rpm_recommends),
        ):
            for text in texts:
                for name in Relation.names_in(
                    Relation.parse(text, kind, definition.place).written(kind), kind
                ):
                    assert name in names or not name.startswith("amdrocm")
                    assert name != definition.name


def test_own_definitions_draw_on_artifacts_that_are_known() -> None:
    known = set(Topology.load().artifacts)
    drawn = {name for definition in OWN for name in definition.artifacts}
    assert drawn - known == set()


def test_own_definitions_register_the_alternatives_of_core() -> None:
    registering = {d.name: d.alternatives for d in OWN if d.alternatives}
    assert set(registering) == {"amdrocm-core", "amdrocm-core-devel"}
    assert registering["amdrocm-core"].prefix
    assert len(registering["amdrocm-core"].programs) == 17
    assert not registering["amdrocm-core-devel"].prefix
    assert registering["amdrocm-core-devel"].programs == ("MIOpenDriver",)


# --------------------------------------------------------------------------- the same form


def test_file_in_our_form_is_read_whole(tmp_path: Path) -> None:
    text = f"""{DEFAULTS}
[one]
{SAID}gpu = true
license = "BSD"
depends = ["two"]
deb_depends = ["libc6"]
rpm_recommends = ["gcc"]
files.blas.rocBLAS = ["lib", "run"]
files.dnn.hipDNN = ["lib"]
host_only = ["dnn"]
rpm_ignored_requires = ["libpython*"]

[two]
summary = "Two"
description = \"\"\"
First
paragraph.

Second one.\"\"\"
metapackage = true
alternatives.prefix = true
alternatives.programs = ["hipcc", "amdclang++"]
"""
    one, two = load_definitions(write(tmp_path, text)).packages
    assert (one.deb_depends, one.rpm_depends) == (("two", "libc6"), ("two",))
    assert (one.deb_recommends, one.rpm_recommends) == ((), ("gcc",))
    assert (one.license, two.license, one.gpu, two.gpu) == ("BSD", "MIT", True, False)
    assert [(s.artifact, s.subdirectory, s.components, s.gpu) for s in one.selections] == [
        ("blas", "rocBLAS", (Component.LIB, Component.RUN), None),
        ("dnn", "hipDNN", (Component.LIB,), False),
    ]
    assert one.rpm_ignored_requires == ("libpython*",)
    assert two.description == "First paragraph.\n\nSecond one."
    assert (two.alternatives.prefix, two.alternatives.programs) == (True, ("hipcc", "amdclang++"))


@pytest.mark.parametrize(
    ("broken", "at", "match"),
    [
        ('[one]\nsummary = "x', 2, r"not TOML \(.*\): look for a missing quote"),
        ("[one]\n[one]", 2, r"not TOML"),
        ("one = 1", 1, r"defaults\.one is not known"),
        ('[one]\ndescription = "x"', 1, r"one has no summary: add summary"),
        (f'[one]\n{SAID}\ndepend = ["x"]', 5, r"one\.depend is not known: did you mean depends"),
        (f"[one]\n{SAID}gpu = 1", 4, r"one\.gpu has to be true or false: write it without quotes"),
        ('[one]\nsummary = 1\ndescription = "x"', 2, r"one\.summary has to be a text"),
        (
            '[one]\nsummary = """a\nb"""\ndescription = "x"\nmetapackage = true',
            1,
            r"one has no summary of one line",
        ),
        (f'[one]\n{SAID}depends = "x"', 4, r"one\.depends has to be a list of texts"),
        (f'[one]\n{SAID}depends = [\n "x",\n "x"]', 4, r"one\.depends names 'x' twice"),
        (f'[one]\n{SAID}files.a.b = ["bin"]', 4, r"'bin' is no component of an artifact"),
        (f"[one]\n{SAID}files.a.b = []", 4, r"one\.files\.a\.b names no component"),
        (f'[one]\n{SAID}files.a = ["lib"]', 4, r"one\.files\.a has to be a table"),
        (
            f'[one]\n{SAID}files.a.b = ["lib"]\nhost_only = ["c"]',
            5,
            r"one\.host_only names 'c', of which it takes no files",
        ),
        (f"[one]\n{SAID}", 1, r"one names no artifact and is no metapackage"),
        (f'[one]\n{SAID}metapackage = true\nfiles.a.b = ["lib"]', 1, r"is a metapackage and names"),
        (f"[One]\n{SAID}metapackage = true", 1, r"'One' is no package name: take lower-case"),
        (f'[one]\nsummary = "{"x" * 81}"\ndescription = "x"\nmetapackage = true', 1, r"81 char"),
        (
            f'[one]\n{SAID}metapackage = true\narchitecture = "arm64"',
            1,
            r"architecture 'arm64' of one is none that is built: give amd64 or all",
        ),
        (
            f'[one]\n{SAID}metapackage = true\nalternatives.programs = ["a b"]',
            1,
            r"'a b' of one is no name of a program",
        ),
        (f"[one]\n{SAID}metapackage = true\nalternatives.x = 1", 5, r"one\.alternatives\.x is not"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    tmp_path: Path, broken: str, at: int, match: str
) -> None:
    path = write(tmp_path, DEFAULTS + broken)
    line = DEFAULTS.count("\n") + at
    with pytest.raises(DefinitionsError, match=rf"^{re.escape(str(path))}:{line}: .*{match}"):
        load_definitions(path)


def test_defaults_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionsError, match=r":2: defaults\.licence is not known: did you mean"):
        load_definitions(write(tmp_path, '[defaults]\nlicence = "MIT"\n'))


def test_key_outside_of_every_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionsError, match=r":1: one has to be a table: write \[one\]"):
        load_definitions(write(tmp_path, f"one = 1\n{DEFAULTS}"))


def test_file_that_is_missing_empty_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cannot read .*gone\.toml: No such file"):
        load_definitions(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="defines no package: is this the right file"):
        load_definitions(write(tmp_path, ""))
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_definitions(tmp_path / "latin.toml")


def test_lines_of_keys_are_known_behind_texts_and_lists_of_many_lines() -> None:
    text = '''a = """
[no.table] = 1
"""
[one."x.y"] # [comment]
k = [
  "]", # ] [
  [1],
]
l.m = { n = 1 }
'''
    lines = KeyLines(text)
    assert [
        lines.line("a"),
        lines.line("one"),
        lines.line("one", "x.y"),
        lines.line("one", "x.y", "k"),
        lines.line("one", "x.y", "l", "m"),
        lines.line("one", "x.y", "unknown"),
        lines.line("unknown"),
    ] == [1, 4, 4, 5, 9, 4, 1]


# ----------------------------------------------------------------------------- package.json

PACKAGE: dict[str, object] = {
    "Package": "amdrocm-core",
    "Architecture": "amd64",
    "BuildArch": "x86_64",
    "DEBDepends": ["libc6", "amdrocm-x"],
    "RPMRequires": ["amdrocm-x"],
    "Maintainer": "A <a@example.com>",
    "Description_Short": "Some  thing.",
    "Description_Long": "Some thing of some length.",
    "Section": "devel",
    "Priority": "optional",
    "Group": "Unknown",
    "License": "MIT",
    "Vendor": "AMD",
    "Homepage": "https://example.com",
    "Gfxarch": "True",
    "Metapackage": "False",
    "Postinstall": "True",
    "Disable_DWZ": "True",
    "Artifactory": [
        {
            "Artifact": "rocgdb",
            "Artifact_Gfxarch": "False",
            "Artifact_Subdir": [{"Name": "rocgdb", "Components": ["lib", "run"]}],
        },
        {"Artifact": "fft", "Artifact_Subdir": [{"Name": "rocFFT", "Components": ["lib"]}]},
    ],
}


def write_json(tmp_path: Path, *packages: dict[str, object]) -> Path:
    return write(tmp_path, json.dumps(packages, indent=2), "package.json")


def test_package_json_is_read_as_it_is(tmp_path: Path) -> None:
    path = write_json(tmp_path, PACKAGE)
    definitions = load_definitions(path)
    (package,) = definitions.packages
    lines = path.read_text().splitlines()
    first, second = (n for n, text in enumerate(lines, 1) if '"Components"' in text)
    assert definitions.remarks == ()
    assert (package.name, package.gpu, package.metapackage) == ("amdrocm-core", True, False)
    assert (package.deb_depends, package.rpm_depends) == (("libc6", "amdrocm-x"), ("amdrocm-x",))
    assert (package.summary, package.group) == ("Some thing", "Unknown")
    assert package.place_of("libc6").line == 1 + lines.index('      "libc6",')
    assert package.place_of("of no line") == package.place
    assert [(s.artifact, s.gpu, s.place.line) for s in package.selections] == [
        ("rocgdb", False, first),
        ("fft", None, second),
    ]
    # Its word for scripts does not say what they do; our definitions do.
    core = OWN.get("amdrocm-core")
    assert core is not None
    assert package.alternatives == core.alternatives
    assert package.rpm_ignored_requires == ("libpython*",)


def test_keys_of_package_json_that_are_not_known_are_remarks(tmp_path: Path) -> None:
    other = {"New_Key": 1, **PACKAGE, "Package": "other", "Licence": "X"}
    path = write_json(tmp_path, other, {**PACKAGE, "New_Key": 2})
    nothing = "nothing is known that other could run after its installation, so it runs nothing"
    assert load_definitions(path).remarks == (
        f"{path}:{_line_of(path, 'Postinstall')}: {nothing}",
        f"{path}:3: New_Key is not known, so nothing was made of it (and 1 times more)",
        f"{path}:{_line_of(path, 'Licence')}: Licence is not known, so nothing was made of it",
    )


def _line_of(path: Path, key: str) -> int:
    return next(n for n, text in enumerate(path.read_text().splitlines(), 1) if key in text)


def test_package_json_may_leave_out_or_shorten_what_has_a_usual_value(tmp_path: Path) -> None:
    short = {
        "Package": "amdrocm-x",
        "Gfxarch": True,
        "Section": None,
        "DEBDepends": "libc6",
        "RPMRequires": "",
        "Artifactory": None,
        "Metapackage": "True",
    }
    (package,) = load_definitions(write_json(tmp_path, short)).packages
    assert (package.gpu, package.section, package.summary) == (True, "devel", "amdrocm-x")
    assert (package.deb_depends, package.rpm_depends) == (("libc6",), ())
    with pytest.raises(DefinitionsError, match=r":2: Package is missing: add"):
        load_definitions(write_json(tmp_path, {"Gfxarch": "True"}))


def test_metapackage_of_package_json_loses_its_artifacts_with_a_remark(tmp_path: Path) -> None:
    definitions = load_definitions(write_json(tmp_path, {**PACKAGE, "Metapackage": "True"}))
    assert definitions.packages[0].selections == ()
    assert "is a metapackage, so nothing was made of its artifacts" in definitions.remarks[0]


@pytest.mark.parametrize(
    ("changes", "line", "match"),
    [
        ({"Gfxarch": "Maybe"}, 22, "Gfxarch is neither True nor False: write"),
        ({"Gfxarch": 1}, 22, "Gfxarch is neither True nor False"),
        ({"License": 1}, 19, "License has to be a text: put it in quotes"),
        ({"DEBDepends": {"a": 1}}, 6, "DEBDepends has to be a list of texts"),
        ({"DEBDepends": [1]}, 6, "DEBDepends has to be a list of texts"),
        ({"Artifactory": "x"}, 26, "Artifactory has to be a list of objects"),
        ({"Artifactory": ["x"]}, 27, "an entry of Artifactory has to be an object"),
        ({"Artifactory": [{"Artifact_Subdir": []}]}, 27, "Artifact is missing: add"),
        (
            {
                "Artifactory": [
                    {"Artifact": "a", "Artifact_Subdir": [{"Name": "b", "Components": ["x"]}]}
                ]
            },
            32,
            "'x' is no component of an artifact",
        ),
        ({"Package": "Bad Name"}, 3, "'Bad Name' is no package name"),
        ({"Artifactory": []}, 3, "amdrocm-core names no artifact and is no metapackage"),
    ],
)
def test_what_is_wrong_in_package_json_is_told_with_its_line(
    tmp_path: Path, changes: dict[str, object], line: int, match: str
) -> None:
    path = write_json(tmp_path, {**PACKAGE, **changes})
    with pytest.raises(DefinitionsError, match=rf"^{re.escape(str(path))}:{line}: .*{match}"):
        load_definitions(path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[\n{"Package": "a",}\n]', r":2: not JSON \(.*\): look for a comma or a quote"),
        ("{}", r":1: not a list: a package\.json is a list of objects"),
        ("[1]", r":1: a package has to be an object"),
        ("[" * 100_000, r":1: not "),
    ],
)
def test_file_that_is_no_package_json_is_refused(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(DefinitionsError, match=match):
        load_definitions(write(tmp_path, text, "package.json"))


def test_one_name_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DefinitionsError, match=r"amdrocm-core is defined in line 3 already"):
        load_definitions(write_json(tmp_path, PACKAGE, PACKAGE))


def test_located_json_agrees_with_json() -> None:
    text = '{"a": [1, -2.5e3, true, null, "x\\n\\u00e9,}"],\n "b": {}, "c": [], "d": {"e": [[]]}}'

    def plain(item: Located) -> object:
        if isinstance(item.value, dict):
            return {key: plain(value) for key, value in item.value.items()}
        if isinstance(item.value, list):
            return [plain(value) for value in item.value]
        return item.value

    located = parse_located(text)
    assert plain(located) == json.loads(text)
    assert isinstance(located.value, dict)
    assert (located.value["a"].line, located.value["b"].line) == (1, 2)
