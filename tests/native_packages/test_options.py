"""Versions, suffixes and prefixes that packages may carry, and those that none can."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from tests.inventory_makers import OPTIONS
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.options import NativePackageOptions, native_versions


@pytest.mark.parametrize(
    ("version", "deb", "rpm"),
    [
        ("7.13.0", "7.13.0", "7.13.0"),
        ("7.13", "7.13", "7.13"),
        ("7.13.0rc2", "7.13.0~pre2", "7.13.0~rc2"),
        ("7.13.0a20251124", "7.13.0~20251124", "7.13.0~20251124"),
        ("7.13.0.dev0", "7.13.0~dev0", "7.13.0~dev0"),
        ("7.13.0.dev0+f689a8ea", "7.13.0~dev20251124", "7.13.0~20251124gf689a8ea"),
        ("7.13.0~20251124gf689a8ea", "7.13.0~20251124gf689a8ea", "7.13.0~20251124gf689a8ea"),
    ],
)
def test_version_is_written_as_each_format_sorts_it(version: str, deb: str, rpm: str) -> None:
    versions = native_versions(version, date=dt.date(2025, 11, 24))
    assert (versions.deb, versions.rpm) == (deb, rpm)
    options = NativePackageOptions.for_version(version, date=dt.date(2025, 11, 24), release="1")
    assert (options.rocm, options.major) == ("7.13", "7")
    assert options.install_prefix == "/opt/rocm/core-7.13"


@pytest.mark.parametrize("version", ["7", "", "seven.one", "7.", ".13", "7.x", "7-13"])
def test_version_without_major_and_minor_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match=r"has no major and minor number; give --rocm-version as"):
        NativePackageOptions.for_version(version, release="1")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"deb_version": "7.13.0_1", "rpm_version": "7.13.0_1"}, "cannot be a package's"),
        ({"deb_version": "7.13.0~a_b"}, "cannot be a package's"),
        ({"deb_version": "7.13.0~a-b"}, "belongs into --version-suffix"),
        ({"rpm_version": "7.14.0"}, "are of two ROCm versions"),
        ({"release": "a-b"}, "--version-suffix 'a-b' cannot be"),
        ({"release": ""}, "--version-suffix '' cannot be"),
        ({"formats": ()}, "--pkg-type names no format"),
        ({"variant": "a-b"}, "--build-variant 'a-b'"),
        ({"prefix": "opt/rocm"}, "--install-prefix 'opt/rocm' is no plain absolute path"),
        ({"prefix": "/opt/rocm/"}, "without a slash at its end"),
        ({"prefix": "/opt/../etc"}, "is no plain absolute path"),
        ({"prefix": "/opt/$(id)"}, "is no plain absolute path"),
    ],
)
def test_what_no_package_could_carry_is_refused(changes: dict[str, str], match: str) -> None:
    with pytest.raises(UsageError, match=match.replace("$", r"\$").replace("(", r"\(")):
        replace(OPTIONS, **changes)  # type: ignore[arg-type]


def test_score_grows_with_the_version_and_a_variant_stays_below_its_plain_build() -> None:
    versions = ["6.99.9", "7.2.0", "7.13.0", "7.13.1", "8.0"]
    scores = []
    for version in versions:
        plain = replace(OPTIONS, deb_version=version, rpm_version=version)
        scores += [replace(plain, variant="asan").score, plain.score]
    assert scores == sorted(set(scores))
    assert max(scores) < 2**31
