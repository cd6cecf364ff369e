"""lintian and rpmlint on packages: what they say is listed, and what they are told is true.

The packages are those of the sample run, and one of files that show what the sample cannot, each in
the place that is declared and in another one.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native_linters import Remark, Said, lintian, rpmlint, signing_home
from tests.native_package_makers import DEB, RPM, directories, executable, make_archive, planned
from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.entries import Entry
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.native_packages.build import (
    Compression,
    WrittenPackage,
    build_native_packages,
)
from therock_outputs.native_packages.definitions import load_definitions
from therock_outputs.native_packages.inventory import read_inventory
from therock_outputs.native_packages.lint import declarations, printed_tags, rpmlint_settings
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import Scripts
from therock_outputs.native_packages.plan import plan_native_packages
from therock_outputs.signing import Signer

MTIME = 1763942400
"""2025-11-24: rpmlint takes times before 1997 for mistakes."""
SUFFIX = "24217435275"
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"
SHAPES = (
    "amdrocm-runtime7.13",  # files
    "amdrocm-runtime",
    "amdrocm-runtime-dev7.13",  # for building
    "amdrocm-blas-host7.13",
    "amdrocm-blas7.13-gfx942",  # GPU code
    "amdrocm-blas7.13",
    "amdrocm-fft-test-host7.13",
    "amdrocm-core7.13-gfx1100",  # scripts
    "amdrocm-llvm7.13",  # documents and a licence of its own
    "amdrocm-base7.13",
    "amdrocm-profiler-base7.13",  # a Python module
)
"""A deb of each kind: all of them take lintian more than a minute."""
WITHOUT_FILTERS = rpmlint_settings().partition("Filters = [")[0]

FUNCTION = "int one(void) { return 1; }\n"
ZLIB = b" deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly and Mark Adler "
DECLARED_AND_NOT = {
    # what, where it is declared, where it is not
    "gpu": ("lib/rocblas/library/a.hsaco", "lib/rocblas/library/a.bin"),
    "stack": ("lib/libamdhip64.so.7", "lib/libother.so.7"),
    "zlib": ("lib/rocm_sysdeps/lib/librocm_sysdeps_z.so.1", "lib/libz.so.1"),
    "wasm": ("lib/llvm/lib/clang/20/lib/wasi/libclang_rt.a", "share/libclang_rt.a"),
    "script": ("bin/tool", "etc/tool"),
}
"""Places below the prefix."""


def compiled(directory: Path, *flags: str) -> bytes:
    """A shared library, as gcc makes it."""
    words = ("gcc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", "made", *flags, "a.c")
    subprocess.run(words, cwd=directory, check=True)
    return (directory / "made").read_bytes()


def gpu_code(directory: Path, _: str) -> bytes:
    """A library without dependencies, of another machine and with its symbols."""
    data = bytearray(compiled(directory, "-nostdlib"))
    data[18:20] = (224).to_bytes(2, "little")
    return bytes(data)


MAKERS: dict[str, Callable[[Path, str], Entry | bytes]] = {
    "gpu": gpu_code,
    "stack": lambda directory, name: compiled(
        directory, "-s", "-Wl,-z,execstack", "-Wl,--hash-style=gnu", f"-Wl,-soname,{name}"
    ),
    "zlib": lambda _, name: sample_elf.shared_library(
        name, ["f"], needed=["libc.so.6"], payload=ZLIB
    ),
    "wasm": lambda *_: sample_elf.static_library("a.o", b"\0asm\1\0\0\0" + bytes(100)),
    "script": lambda *_: executable(b"#!/usr/bin/env python3\n"),
}
"""Content for a file of this name, by what it shows."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lint")


@pytest.fixture(scope="module")
def signer(home: Path) -> Iterator[Signer]:
    with signing_home(home) as signer:
        yield signer


@pytest.fixture(scope="module")
def packages(home: Path, signer: Signer) -> tuple[WrittenPackage, ...]:
    """All packages of the sample run."""
    archives = archives_in(write_sample_run(home / "run", split=True).root)
    options = NativePackageOptions.for_version("7.13.0", release=SUFFIX, split=True)
    inventory = read_inventory([archive.path for archive in archives], 2)
    plan = plan_native_packages(load_definitions(), inventory, options, GpuFamilies.load())
    result = build_native_packages(
        plan.packages,
        [ArchiveFile(a.name, a.path, a.sha256) for a in archives],
        directories(home / "out"),
        home / "work",
        mtime=MTIME,
        compression=Compression.XZ,
        signer=signer,
    )
    assert not result.failures, result.failures[0].error
    return result.files


@pytest.fixture(scope="module")
def odd(home: Path, signer: Signer) -> tuple[Path, Path]:
    """A deb and an rpm of what the sample run does not have."""
    made = home / "made"
    made.mkdir()
    (made / "a.c").write_text(FUNCTION)
    content: dict[str, Entry | bytes] = {
        "lib/rocblas/library/b.co": gpu_code(made, "b.co"),
        "lib/liba.a": sample_elf.static_library("a.o", sample_elf.object_file("f", b"\xc3")),
    }
    for what, paths in DECLARED_AND_NOT.items():
        content |= {path: MAKERS[what](made, Path(path).name) for path in paths}
    archive = make_archive(home / "odd", content)
    depends = {DEB: ("python3", "libc6"), RPM: ("python3",)}
    scripts = Scripts(after_remove="exit 0\n")
    plans = [
        replace(
            planned(
                kind, [archive], name="amdrocm-odd7.13", depends=depends[kind], scripts=scripts
            ),
            version="7.13.0",
            release=SUFFIX,
        )
        for kind in (DEB, RPM)
    ]
    result = build_native_packages(
        plans,
        [archive],
        directories(home / "odd-out"),
        home / "work",
        mtime=MTIME,
        compression=Compression.XZ,
        signer=signer,
    )
    assert not result.failures, result.failures[0].error
    return result.files[0].path, result.files[1].path


@pytest.fixture(scope="module")
def rpmlint_said(packages: tuple[WrittenPackage, ...], odd: tuple[Path, Path], home: Path) -> Said:
    """What rpmlint says of all rpms when nothing is declared to it."""
    rpms = [file.path for file in packages if file.plan.format is RPM]
    assert len(rpms) > 80
    return rpmlint([*rpms, odd[1]], home, WITHOUT_FILTERS)


@pytest.fixture(scope="module")
def lintian_said(packages: tuple[WrittenPackage, ...], odd: tuple[Path, Path]) -> Said:
    debs = {f.plan.name: f.path for f in packages if f.plan.format is DEB}
    return lintian([*(debs[name] for name in SHAPES), odd[0]])


def is_odd(remark: Remark) -> bool:
    return remark.package.startswith("amdrocm-odd")


def filters() -> list[str]:
    return [one for declaration in declarations() for one in declaration.filters()]


def unfiltered(said: Said) -> Said:
    """What is left of what rpmlint says."""
    return Said([r for r in said.remarks if not any(re.search(f, str(r)) for f in filters())])


# ---------------------------------------------------------------------- what linters say


def test_rpmlint_says_of_all_rpms_what_is_listed_and_nothing_else(rpmlint_said: Said) -> None:
    said = unfiltered(rpmlint_said)
    said.remarks = [remark for remark in said.remarks if not is_odd(remark)]
    assert said.beyond("rpmlint") == []
    assert rpmlint_said.failed == []


def test_lintian_says_of_debs_of_each_kind_what_is_listed_and_nothing_else(
    lintian_said: Said,
) -> None:
    said = Said([remark for remark in lintian_said.remarks if not is_odd(remark)])
    assert said.beyond("lintian") == []


def test_rpmlint_takes_the_settings_and_finds_no_error(
    packages: tuple[WrittenPackage, ...], rpmlint_said: Said, home: Path
) -> None:
    names = ("amdrocm-runtime7.13", "amdrocm-blas7.13-gfx942", "amdrocm-core7.13", "amdrocm-dnn")
    rpms = {f.plan.name: f.path for f in packages if f.plan.format is RPM}
    said = rpmlint([rpms[name] for name in names], home)

    assert said.beyond("rpmlint") == []
    architectures = {r.package for r in said.remarks}
    expected = [r for r in unfiltered(rpmlint_said).remarks if r.package in architectures]
    assert sorted(map(str, said.remarks)) == sorted(map(str, expected))


def test_at_most_ten_tags_are_printed_and_each_has_its_reason() -> None:
    tags = [one.tag for one in printed_tags()]
    assert len(set(tags)) == len(tags) <= 10
    declared = {tag for one in declarations() for tag in (*one.lintian, *one.rpmlint)}
    assert declared.isdisjoint(tags)
    reasons = [*(one.reason for one in printed_tags()), *(one.reason for one in declarations())]
    assert all(reason.endswith(".") for reason in reasons)


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("native-packages-lint-*.json")), ids=lambda path: path.stem
)
def test_linters_found_no_error_in_real_runs(path: Path) -> None:
    for linter, found in json.loads(path.read_text()).items():
        assert found["not_accepted"] == {}
        listed = {one.tag for one in printed_tags() if one.linter == linter}
        assert set(found["printed"]) <= listed
        assert {said["level"] for said in found["printed"].values()} <= {"W"}


# -------------------------------------------------------------- what linters are told


def test_every_declaration_is_for_something(rpmlint_said: Said, lintian_said: Said) -> None:
    lines = [str(remark) for remark in rpmlint_said.remarks]
    assert [one for one in filters() if not any(re.search(one, line) for line in lines)] == []
    lines = [f"{remark.tag} {remark.detail}" for remark in lintian_said.overridden]
    contexts = [
        f"{tag} {context.format(prefix='opt/rocm/core-7.13', top='opt/rocm')}"
        for declaration in declarations()
        for tag, contexts in declaration.lintian.items()
        for context in contexts
    ]
    patterns = {text: ".*".join(map(re.escape, text.split("*"))) for text in contexts}
    lacking = [
        text for text, one in patterns.items() if not any(map(re.compile(one).fullmatch, lines))
    ]
    assert lacking == []


def test_the_same_fault_in_another_place_is_still_told(
    rpmlint_said: Said, lintian_said: Said
) -> None:
    declared = {tag for one in declarations() for tag in (*one.lintian, *one.rpmlint)}
    places = {what: paths[1] for what, paths in DECLARED_AND_NOT.items()}
    told = {
        linter: {
            (remark.tag, what)
            for remark in said.remarks
            if is_odd(remark) and remark.tag in declared
            for what, path in places.items()
            if re.search(rf"/{path}(\W|$)", remark.detail)
        }
        for linter, said in (("lintian", lintian_said), ("rpmlint", unfiltered(rpmlint_said)))
    }
    assert told["lintian"] == {
        ("binary-from-other-architecture", "gpu"),
        ("unstripped-binary-or-object", "gpu"),
        ("shared-library-lacks-prerequisites", "gpu"),
        ("executable-stack-in-shared-library", "stack"),
        ("embedded-library", "zlib"),
        ("no-code-sections", "wasm"),
    }
    assert told["rpmlint"] == {
        ("unstripped-binary-or-object", "gpu"),
        ("shared-library-without-dependency-information", "gpu"),
        ("executable-stack", "stack"),
        ("readelf-failed", "wasm"),
        ("env-script-interpreter", "script"),
    }


def test_nothing_in_a_place_that_is_declared_is_told(
    rpmlint_said: Said, lintian_said: Said
) -> None:
    places = [paths[0] for paths in DECLARED_AND_NOT.values()]
    for said in (unfiltered(rpmlint_said), lintian_said):
        errors = [str(r) for r in said.remarks if is_odd(r) and r.level == "E"]
        assert [line for line in errors if any(path in line for path in places)] == []


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("amdrocm-base7.13", "dir-or-file-in-opt /opt/other"),
        ("amdrocm-base7.13", "dir-or-file-in-opt /opt/rocm-other/lib"),
        ("other", "dir-or-file-in-opt /opt/rocm/core-7.13"),
        ("amdrocm-base7.13", "library-without-ldconfig-postin /usr/lib64/liba.so.1"),
        ("amdrocm-base7.13", "library-without-ldconfig-postin /opt/rocm/core-7.13/a/liba.so.1"),
        ("amdrocm-base", "no-dependency-on locales-sdk"),
        ("amdrocm-core-sdk", "no-dependency-on python-base 3.11"),
        ("amdrocm-base7.13", "missing-hash-section /usr/lib64/liba.so.1"),
        ("amdrocm-base7.13", "env-script-interpreter /opt/rocm/core-7.13/bin/a /usr/bin/env node"),
        ("amdrocm-base7.13", "shared-library-not-executable /opt/rocm/core-7.13/lib/liba.so.1"),
    ],
)
def test_filters_are_no_wider_than_what_is_declared(package: str, said: str) -> None:
    line = f"{package}.x86_64: E: {said}"
    assert [one for one in filters() if re.search(one, line)] == []
