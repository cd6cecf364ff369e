"""lintian and rpmlint on the packages of the sample run: what they say has been accepted before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.native_linters import Said, lintian, rpmlint, rpmlint_settings, signing_home
from therock_outputs.artifacts.archive_file import ArchiveFile
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
from therock_outputs.native_packages.lint import lint_exceptions
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat
from therock_outputs.native_packages.plan import plan_native_packages

MTIME = 1763942400
"""2025-11-24: rpmlint takes times before 1997 for mistakes."""
SUFFIX = "24217435275"
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
)
"""A deb of each kind: all of them take lintian more than a minute."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lint")


@pytest.fixture(scope="module")
def packages(home: Path) -> tuple[WrittenPackage, ...]:
    """All packages of the sample run."""
    archives = archives_in(write_sample_run(home / "run", split=True).root)
    options = NativePackageOptions.for_version("7.13.0", release=SUFFIX, split=True)
    inventory = read_inventory([archive.path for archive in archives], 2)
    plan = plan_native_packages(load_definitions(), inventory, options, GpuFamilies.load())
    with signing_home(home) as signer:
        result = build_native_packages(
            plan.packages,
            [ArchiveFile(a.name, a.path, a.sha256) for a in archives],
            {kind: home / "out" / kind.value for kind in PackageFormat},
            home / "work",
            mtime=MTIME,
            compression=Compression.XZ,
            signer=signer,
        )
    assert not result.failures, result.failures[0].error
    return result.files


@pytest.fixture(scope="module")
def rpmlint_said(packages: tuple[WrittenPackage, ...], home: Path) -> Said:
    rpms = [file.path for file in packages if file.plan.format is PackageFormat.RPM]
    assert len(rpms) > 80
    return rpmlint(rpms, home)


@pytest.fixture(scope="module")
def lintian_said(packages: tuple[WrittenPackage, ...]) -> Said:
    debs = {f.plan.name: f.path for f in packages if f.plan.format is PackageFormat.DEB}
    return lintian([debs[name] for name in SHAPES])


def test_rpmlint_says_of_all_rpms_what_is_accepted_and_nothing_else(rpmlint_said: Said) -> None:
    assert rpmlint_said.beyond("rpmlint") == []
    assert rpmlint_said.failed == []


def test_rpmlint_with_the_filters_that_are_printed_says_nothing(
    packages: tuple[WrittenPackage, ...], home: Path
) -> None:
    names = ("amdrocm-runtime7.13", "amdrocm-blas7.13-gfx942", "amdrocm-core7.13", "amdrocm-dnn")
    rpms = {f.plan.name: f.path for f in packages if f.plan.format is PackageFormat.RPM}
    settings = home / "filters.toml"
    settings.write_text(rpmlint_settings(with_filters=True))
    command = ["rpmlint", "-c", str(settings), *(str(rpms[name]) for name in names)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(home)}
    )
    assert done.returncode == 0, done.stdout
    assert "4 packages and 0 specfiles checked; 0 errors, 0 warnings" in done.stdout


def test_lintian_says_of_debs_of_each_kind_what_is_accepted_and_nothing_else(
    lintian_said: Said,
) -> None:
    assert lintian_said.beyond("lintian") == []


def test_debs_declare_what_follows_from_their_design_themselves(lintian_said: Said) -> None:
    overridden = {exception.tag for exception in lint_exceptions() if exception.is_overridden}
    assert overridden
    assert {tag for _, tag in lintian_said.tags} & overridden == set()


def test_nothing_that_a_linter_calls_an_error_is_accepted_as_a_warning(
    rpmlint_said: Said, lintian_said: Said
) -> None:
    warnings = {exception.tag for exception in lint_exceptions() if exception.level == "warning"}
    for said in (rpmlint_said, lintian_said):
        assert {tag for level, tag in said.tags if level == "E"} & warnings == set()


def test_accepted_by_design_are_at_most_ten_tags_and_each_has_its_reason() -> None:
    exceptions = lint_exceptions()
    tags = [exception.tag for exception in exceptions]
    assert len(set(tags)) == len(tags)
    assert len([e for e in exceptions if e.by_design]) <= 10
    for exception in exceptions:
        assert exception.linters
        assert exception.reason.endswith("."), exception
