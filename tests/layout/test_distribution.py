"""Where promoted files go, in both layouts."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout import (
    DistributionPlace,
    DistributionPlaces,
    LayoutError,
    is_distribution_bucket,
    parse_distribution_layout,
    promotion_date,
)

DAY = dt.date(2025, 12, 3)
CLASSIC_TYPES = ["dev", "nightly", "prerelease", "release"]
STREAMS = {
    "dev": "dev",
    "nightly": "nightly",
    "prerelease": "rc",
    "dev-bkc": "bkc",
    "nightly-bkc": "bkc",
}


def places(
    release_type: str, layout: str = "classic", variant: str = "release"
) -> DistributionPlaces:
    return DistributionPlaces.choose(
        release_type=release_type, run_id="77", date=DAY, layout=layout, variant=variant
    )


def uri(place: DistributionPlace) -> str:
    return place.location.s3_uri


@pytest.mark.parametrize("kind", CLASSIC_TYPES)
def test_classic_tarballs_and_wheels(kind: str) -> None:
    chosen = places(kind)
    assert uri(chosen.tarballs()) == f"s3://therock-{kind}-tarball/v4/tarball/"
    assert uri(chosen.wheels("rocm-sdk-core")) == f"s3://therock-{kind}-python/v4/whl/"
    assert uri(chosen.family_wheels("gfx94X-dcgpu")) == (
        f"s3://therock-{kind}-python/v3/whl/gfx94X-dcgpu/"
    )


@pytest.mark.parametrize("kind", list(STREAMS))
def test_product_tarballs_and_wheels(kind: str) -> None:
    chosen = places(kind, "product")
    top = f"s3://therock-repo-amd-{STREAMS[kind]}-core/v5/rocm/core"
    assert uri(chosen.tarballs()) == f"{top}/tarball/"
    assert uri(chosen.wheels("Rocm_SDK.core")) == f"{top}/whl-next/rocm-sdk-core/"


@pytest.mark.parametrize("package_format", ["deb", "rpm"])
@pytest.mark.parametrize(
    ("layout", "kind", "variant", "expected"),
    [
        ("classic", "dev", "release", "s3://therock-dev-packages/{}/20251203-77/"),
        ("classic", "nightly", "release", "s3://therock-nightly-packages/{}/20251203-77/"),
        ("classic", "prerelease", "release", "s3://therock-prerelease-packages/v3/packages/{}/"),
        ("classic", "release", "release", "s3://therock-release-packages/v3/packages/{}/"),
        ("classic", "dev", "asan", "s3://therock-dev-packages/packages-asan/{}/20251203-77/"),
        ("classic", "release", "asan", "s3://therock-release-packages/v3/packages-asan/{}/"),
        (
            "product",
            "nightly",
            "release",
            "s3://therock-repo-amd-nightly-core/v5/rocm/core/packages/{}/20251203-77/",
        ),
        (
            "product",
            "nightly-bkc",
            "release",
            "s3://therock-repo-amd-bkc-core/v5/rocm/core/packages/{}/20251203-77/",
        ),
        (
            "product",
            "prerelease",
            "release",
            "s3://therock-repo-amd-rc-core/v5/rocm/core/packages/{}/",
        ),
        (
            "product",
            "dev",
            "asan",
            "s3://therock-repo-amd-dev-core/v5/rocm/core/packages-asan/{}/20251203-77/",
        ),
    ],
)
def test_packages_are_dated_until_a_release_nears(
    layout: str, kind: str, variant: str, expected: str, package_format: str
) -> None:
    place = places(kind, layout, variant).packages(package_format)
    assert uri(place) == expected.format(package_format)
    assert place.is_shared is ("20251203-77" not in expected)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("classic", "s3://therock-dev-tarball/v4/tarball-asan/"),
        ("product", "s3://therock-repo-amd-dev-core/v5/rocm/core/tarball-asan/"),
    ],
)
def test_asan_has_tarballs_of_its_own_and_no_wheels(layout: str, expected: str) -> None:
    chosen = places("dev", layout, "asan")
    assert uri(chosen.tarballs()) == expected
    with pytest.raises(UsageError, match="asan variant has no wheels"):
        chosen.wheels("rocm")
    with pytest.raises(UsageError, match="asan variant has no wheels"):
        chosen.family_wheels("gfx942")


@pytest.mark.parametrize(
    ("layout", "kind", "role"),
    [
        ("classic", "dev", "692859939525:role/therock-dev"),
        ("classic", "nightly", "692859939525:role/therock-nightly"),
        ("classic", "prerelease", "692859939525:role/therock-prerelease"),
        ("classic", "release", None),
        ("product", "dev", "324352301041:role/therock-repo-dev-core"),
        ("product", "nightly", "324352301041:role/therock-repo-nightly-core"),
        ("product", "prerelease", "324352301041:role/therock-repo-rc-core"),
        ("product", "dev-bkc", "324352301041:role/therock-repo-bkc-core"),
    ],
)
def test_each_stream_has_its_write_role(layout: str, kind: str, role: str | None) -> None:
    chosen = places(kind, layout)
    expected = f"arn:aws:iam::{role}" if role else None
    for place in (chosen.tarballs(), chosen.wheels("rocm"), chosen.packages("deb")):
        assert place.write_role == expected
        assert is_distribution_bucket(place.location.bucket)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"release_type": "ci"}, "dev, nightly, prerelease, release"),
        ({"release_type": "nightly-bkc"}, "not promoted in the classic layout"),
        ({"release_type": "release", "layout": "product"}, "not promoted in the product layout"),
        ({"release_type": "weekly"}, "release type 'weekly'"),
        ({"layout": "new"}, "choose one of classic, product"),
        ({"variant": "tsan"}, "release, asan"),
        ({"run_id": "../1"}, "run id"),
    ],
)
def test_promotion_without_a_place_is_a_usage_error(arguments: dict[str, str], word: str) -> None:
    chosen = {"release_type": "dev", "run_id": "77", **arguments}
    with pytest.raises(UsageError, match=word):
        DistributionPlaces.choose(date=DAY, **chosen)


def test_wheels_by_family_have_no_place_in_the_product_layout() -> None:
    with pytest.raises(UsageError, match="no place in the product layout"):
        places("dev", "product").family_wheels("gfx942")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "a//b", "a\nb", ""])
def test_family_cannot_leave_its_directory(name: str) -> None:
    with pytest.raises(LayoutError):
        places("dev").family_wheels(name)


@pytest.mark.parametrize("name", ["../x", "a/../../b", "a\nb", "", "/etc", "..", "-rocm", "ro cm"])
def test_project_cannot_leave_its_directory(name: str) -> None:
    with pytest.raises(LayoutError):
        places("dev", "product").wheels(name)


def test_unknown_package_format_is_refused() -> None:
    with pytest.raises(UsageError, match="deb, rpm"):
        places("dev").packages("apk")


def test_unknown_layout_names_the_allowed() -> None:
    with pytest.raises(UsageError, match="classic, product"):
        parse_distribution_layout("Classic")


def test_distribution_buckets_do_not_mix_in_a_staging_directory(tmp_path: Path) -> None:
    chosen = [places(kind).tarballs().location for kind in CLASSIC_TYPES]
    paths = {location.local_path(tmp_path) for location in chosen}
    assert paths == {tmp_path / f"therock-{kind}-tarball/v4/tarball" for kind in CLASSIC_TYPES}


@pytest.mark.parametrize(
    ("version", "date", "expected"),
    [
        ("7.10.0a20251021", dt.date(2025, 1, 1), dt.date(2025, 10, 21)),
        ("7.10.0a20251021+bkc.20251101", None, dt.date(2025, 11, 1)),
        ("7.10.0.dev0+20251203", dt.date(2025, 1, 1), dt.date(2025, 1, 1)),
        ("7.10.0.dev0+20251203", None, DAY),
    ],
)
def test_date_is_the_versions_then_the_one_asked_then_today(
    version: str, date: dt.date | None, expected: dt.date
) -> None:
    assert promotion_date(version, date=date, today=DAY) == expected


@pytest.mark.parametrize(
    ("layout", "index", "above"),
    [
        ("classic", "therock-nightly-python/v4/whl/", "therock-nightly-packages/deb/"),
        (
            "product",
            "therock-repo-amd-nightly-core/v5/rocm/core/whl-next/",
            "therock-repo-amd-nightly-core/v5/rocm/core/packages/deb/",
        ),
    ],
)
def test_what_runs_share_has_a_place_of_its_own(layout: str, index: str, above: str) -> None:
    chosen = places("nightly", layout)
    assert uri(chosen.wheels_root()) == f"s3://{index}"
    assert chosen.wheels("rocm").location.key.startswith(chosen.wheels_root().location.key)
    assert chosen.wheels_by_project is (layout == "product")
    shared = chosen.packages_above("deb")
    assert (uri(shared), shared.is_shared) == (f"s3://{above}", True)
    own = chosen.packages("deb")
    assert (uri(own), own.is_shared) == (f"s3://{above}20251203-77/", False)


def test_shared_repository_is_what_lies_above_it() -> None:
    chosen = places("prerelease")
    assert chosen.packages("rpm") == chosen.packages_above("rpm")


def test_families_lie_below_one_place_in_the_classic_layout_only() -> None:
    assert places("nightly").family_wheels_above().location.key == "v3/whl/"
    with pytest.raises(UsageError, match="wheels by family have no place in the product layout"):
        places("nightly", "product").family_wheels_above()
