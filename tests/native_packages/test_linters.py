"""lintian and rpmlint on packages as a run has them: libraries, development files, gatherers."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native_package_makers import (
    DEB,
    RPM,
    directories,
    executable,
    make_archive,
    planned,
    run,
)
from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.entries import Entry
from therock_outputs.native_packages.build import Compression, build_native_packages
from therock_outputs.native_packages.package import PackageFormat, PackagePlan, Scripts
from therock_outputs.signing import open_signer

EXCEPTIONS = tomllib.loads(Path(__file__).with_name("lint_exceptions.toml").read_text())
MTIME = 1763942400
"""2025-11-24: rpmlint takes times before 1997 for mistakes."""
SUFFIX = "24217435275"
FLAGS = (
    "-O2", "-s", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now",
    "-Wl,--hash-style=both",
)  # fmt: skip
REMOVED = Scripts(after_remove='set -e\nif [ "$1" -eq 0 ]; then\n    :\nfi\n')
CONFIGURATION = 'ValidLicenses = ["MIT"]\n'


def compiled(directory: Path) -> dict[str, Entry | bytes]:
    """A library and a program as a compiler makes them."""
    directory.mkdir()
    (directory / "lib.c").write_text('#include <stdio.h>\nint a(void) { return puts("a"); }\n')
    (directory / "tool.c").write_text("int a(void);\nint main(void) { return a(); }\n")
    library = ("-shared", "-fPIC", "-Wl,-soname,libamdx.so.1", "-o", "libamdx.so.1", "lib.c")
    run("gcc", *FLAGS, *library, cwd=directory)
    path = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"
    run("gcc", *FLAGS, "-pie", "-o", "amdx", "tool.c", "libamdx.so.1", path, cwd=directory)
    return {
        "bin/amdx": executable((directory / "amdx").read_bytes()),
        "lib/libamdx.so.1": executable((directory / "libamdx.so.1").read_bytes()),
        ".kpack/amdx.kpack": b"code",
        "share/doc/amdx/LICENSE.md": b"MIT\n",
    }


def archives_of(directory: Path) -> tuple[ArchiveFile, ArchiveFile]:
    """Files of a runtime, and what is needed to build with it."""
    headers: dict[str, Entry | bytes] = {
        "include/amdx.h": b"int a(void);\n",
        "lib/libamdx.so": Entry.symlink("", "libamdx.so.1"),
    }
    return (
        make_archive(directory / "archives", compiled(directory / "source")),
        make_archive(directory / "archives", headers, "core-hip_dev_generic.tar.zst"),
    )


def pinned(kind: PackageFormat, name: str) -> str:
    """A relation to one version and release."""
    version = f"7.13.0-{SUFFIX}"
    return f"{name} (= {version})" if kind is DEB else f"{name} = {version}"


def packages(runtime: ArchiveFile, develop: ArchiveFile) -> Iterator[PackagePlan]:
    """A runtime, its development files, and a package that gathers both."""
    for kind in (DEB, RPM):
        dev = "dev" if kind is DEB else "devel"
        libc = ("libc6",) if kind is DEB else ()
        plans = (
            planned(kind, [runtime], name="amdrocm-x7.13", depends=libc),
            planned(
                kind,
                [develop],
                name=f"amdrocm-x-{dev}7.13",
                depends=(pinned(kind, "amdrocm-x7.13"),),
            ),
            planned(
                kind,
                name="amdrocm-x",
                depends=(pinned(kind, "amdrocm-x7.13"), pinned(kind, f"amdrocm-x-{dev}7.13")),
            ),
        )
        for plan in plans:
            scripts = REMOVED if kind is RPM and plan.contents else Scripts()
            section = "libdevel" if dev in plan.name else plan.section
            start = "This metapackage gathers" if not plan.contents else "They are of"
            yield replace(
                plan,
                version="7.13.0",
                release=SUFFIX,
                section="metapackages" if not plan.contents else section,
                scripts=scripts,
                description=f"{start} one build of TheRock, with all that it needs to be run.",
            )


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tags that each linter gives, less those that only inform."""
    directory = tmp_path_factory.mktemp("lint")
    archives = archives_of(directory)
    plans = list(packages(*archives))
    home = directory / "gpg"
    home.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GNUPGHOME", str(home))
        quiet = ("--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        try:
            run("gpg", *quiet, "--quick-gen-key", "l@example.org", "rsa2048", "sign", "never")
            with open_signer("l@example.org") as signer:
                result = build_native_packages(
                    plans,
                    archives,
                    directories(directory / "out"),
                    directory / "work",
                    mtime=MTIME,
                    compression=Compression.XZ,
                    signer=signer,
                )
            (directory / "key.asc").write_text(run("gpg", "--armor", "--export", "l@example.org"))
        finally:
            subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)
    (directory / ".rpmmacros").write_text(f"%_dbpath {directory}/keys\n")
    assert not result.failures, result.failures[0].error
    debs = [file.path for file in result.files if file.plan.format is PackageFormat.DEB]
    rpms = [file.path for file in result.files if file.plan.format is PackageFormat.RPM]
    (directory / "rpmlint.toml").write_text(CONFIGURATION)
    run("rpm", f"--dbpath={directory}/keys", "--import", directory / "key.asc")
    return {
        "lintian": _tags(directory, "lintian", "--allow-root", "--fail-on", "none", *debs),
        "rpmlint": _tags(directory, "rpmlint", "-c", directory / "rpmlint.toml", *rpms),
    }


def _tags(home: Path, *command: str | Path) -> set[str]:
    """``home`` has a key that rpm trusts."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(home)}
    )
    found = re.findall(
        r"^(?:[EW]: [^:]+: ([a-z0-9-]+)|[^:\n]+: [EW]: ([a-z0-9-]+))", done.stdout, re.MULTILINE
    )
    assert found, done.stdout + done.stderr
    return {one or other for one, other in found}


def test_linters_say_what_is_excepted_and_nothing_else(said: dict[str, set[str]]) -> None:
    excepted: dict[str, set[str]] = {"lintian": set(), "rpmlint": set()}
    for exception in EXCEPTIONS["exception"]:
        for linter in exception["linters"]:
            excepted[linter].add(exception["tag"])

    for linter, tags in excepted.items():
        assert sorted(said[linter] - tags) == [], linter
        assert sorted(tags - said[linter]) == [], f"{linter} says it no more"


def test_exceptions_are_few_and_each_has_its_reason() -> None:
    tags = [exception["tag"] for exception in EXCEPTIONS["exception"]]

    assert len(set(tags)) == len(tags) <= 10
    for exception in EXCEPTIONS["exception"]:
        assert exception["reason"].endswith("."), exception
