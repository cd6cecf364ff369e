"""Where promoted files go: the two named layouts of the distribution buckets, as tables."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from therock_outputs.errors import UsageError
from therock_outputs.layout.buckets import role_arn
from therock_outputs.layout.location import LayoutError, StorageLocation, plain_name
from therock_outputs.layout.names import (
    ReleaseType,
    Variant,
    parse_package_format,
    parse_release_type,
    parse_run_id,
    parse_variant,
)
from therock_outputs.layout.versions import format_date, version_date

__all__ = [
    "DistributionLayout",
    "DistributionPlace",
    "DistributionPlaces",
    "parse_distribution_layout",
    "promotion_date",
]


class DistributionLayout(enum.StrEnum):
    """The named layouts of the distribution buckets."""

    CLASSIC = "classic"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class DistributionPlace:
    """A directory that promoted files go to."""

    location: StorageLocation
    """Ends in ``/``."""
    write_role: str | None
    """ARN of the role that may write there; None where nobody has automated access."""
    is_shared: bool
    """Whether other runs put files into the same directory, so that its index is merged."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """The buckets of one release type in one layout."""

    bucket: str
    """Its name, with ``{kind}`` for tarball, python or packages where each has its own."""
    write_role: str | None
    dated_packages: bool
    """Whether each run gets a package repository of its own."""


def _classic(kind: str, role: str | None, *, dated: bool) -> _Stream:
    arn = role_arn(role) if role else None
    return _Stream(f"therock-{kind}-{{kind}}", arn, dated)


def _product(stream: str, *, dated: bool) -> _Stream:
    role = role_arn(f"therock-repo-{stream}-core", account="324352301041")
    return _Stream(f"therock-repo-amd-{stream}-core", role, dated)


_STREAMS: Mapping[DistributionLayout, Mapping[ReleaseType, _Stream]] = MappingProxyType(
    {
        DistributionLayout.CLASSIC: {
            ReleaseType.DEV: _classic("dev", "therock-dev", dated=True),
            ReleaseType.NIGHTLY: _classic("nightly", "therock-nightly", dated=True),
            ReleaseType.PRERELEASE: _classic("prerelease", "therock-prerelease", dated=False),
            ReleaseType.RELEASE: _classic("release", None, dated=False),
        },
        DistributionLayout.PRODUCT: {
            ReleaseType.DEV: _product("dev", dated=True),
            ReleaseType.NIGHTLY: _product("nightly", dated=True),
            ReleaseType.PRERELEASE: _product("rc", dated=False),
            ReleaseType.DEV_BKC: _product("bkc", dated=True),
            ReleaseType.NIGHTLY_BKC: _product("bkc", dated=True),
        },
    }
)

_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PRODUCT_ROOT = "v5/rocm/core/"


def parse_distribution_layout(text: str) -> DistributionLayout:
    """The layout of this name; UsageError for another."""
    try:
        return DistributionLayout(text)
    except ValueError:
        allowed = ", ".join(DistributionLayout)
        raise UsageError(
            f"distribution layout {text!r} is not known; choose one of {allowed}"
        ) from None


def promotion_date(version: str, *, date: dt.date | None, today: dt.date) -> dt.date:
    """The date of a dated repository: the version's own, else the one asked for, else today's.

    ``today`` is the caller's, in UTC, so that a repeated promotion can hand in the same.
    """
    return version_date(version) or date or today


@dataclass(frozen=True, slots=True)
class DistributionPlaces:
    """Where the files of one run go when they are promoted."""

    layout: DistributionLayout
    release_type: ReleaseType
    variant: Variant
    run_id: str
    date: dt.date
    """The date in the names of dated repositories; see `promotion_date`."""

    @classmethod
    def choose(
        cls,
        *,
        release_type: str,
        run_id: str,
        date: dt.date,
        layout: str = DistributionLayout.CLASSIC,
        variant: str = Variant.RELEASE,
    ) -> DistributionPlaces:
        """The places of a run; UsageError for words that mean nothing or have no place."""
        places = cls(
            layout=parse_distribution_layout(layout),
            release_type=parse_release_type(release_type),
            variant=parse_variant(variant),
            run_id=parse_run_id(run_id),
            date=date,
        )
        streams = _STREAMS[places.layout]
        if places.release_type not in streams:
            allowed = ", ".join(streams)
            raise UsageError(
                f"release type {places.release_type.value} is not promoted in the "
                f"{places.layout.value} layout; choose one of {allowed}"
            )
        return places

    def tarballs(self) -> DistributionPlace:
        """The directory of all runs' tarballs."""
        return self._place("tarball", f"{self._top('v4/')}{self._directory('tarball')}")

    def wheels(self, project: str) -> DistributionPlace:
        """A project's wheels from a split run.

        The classic layout has one directory of all projects. UsageError for a variant, which
        has no wheels.
        """
        root = self.wheels_root()
        if self.layout is DistributionLayout.CLASSIC:
            return root
        if not _PROJECT.fullmatch(project):
            raise LayoutError(f"{project!r} is not the name of a Python project (PEP 508)")
        normalized = re.sub(r"[-_.]+", "-", project).lower()  # PEP 503
        return self._place("python", f"{root.location.key}{normalized}/")

    def wheels_root(self) -> DistributionPlace:
        """What the wheels of all projects of split runs lie below, with one index of them.

        UsageError for a variant, which has no wheels.
        """
        self._refuse_variant_wheels()
        if self.layout is DistributionLayout.CLASSIC:
            return self._place("python", "v4/whl/")
        return self._place("python", f"{_PRODUCT_ROOT}whl-next/")

    @property
    def wheels_by_project(self) -> bool:
        """Whether each project's wheels have a directory of their own."""
        return self.layout is DistributionLayout.PRODUCT

    def family_wheels(self, family: str) -> DistributionPlace:
        """The wheels of one family of an unsplit run; only the classic layout has a place."""
        above = self.family_wheels_above()
        return self._place("python", f"{above.location.key}{plain_name(family, 'family')}/")

    def family_wheels_above(self) -> DistributionPlace:
        """What the places of all families lie below; UsageError where there are none."""
        self._refuse_variant_wheels()
        if self.layout is not DistributionLayout.CLASSIC:
            raise UsageError(
                f"wheels by family have no place in the {self.layout.value} layout; "
                "choose classic, or promote a kpack-split run"
            )
        return self._place("python", "v3/whl/")

    def packages(self, package_format: str) -> DistributionPlace:
        """A repository of native packages: the run's own, or the one that runs share."""
        above = self.packages_above(package_format)
        if not self._stream.dated_packages:
            return above
        path = f"{above.location.key}{format_date(self.date)}-{self.run_id}/"
        return self._place("packages", path, shared=False)

    def packages_above(self, package_format: str) -> DistributionPlace:
        """What runs share: the repository itself, or what their dated repositories lie below."""
        kind = parse_package_format(package_format)
        if self._stream.dated_packages:
            # The classic buckets hold nothing but packages, so only a variant needs a word.
            named = self.layout is DistributionLayout.PRODUCT or self.variant is Variant.ASAN
            middle = self._directory("packages") if named else ""
            return self._place("packages", f"{self._top('')}{middle}{kind}/")
        return self._place("packages", f"{self._top('v3/')}{self._directory('packages')}{kind}/")

    @property
    def _stream(self) -> _Stream:
        return _STREAMS[self.layout][self.release_type]

    def _bucket(self, kind: str) -> str:
        return self._stream.bucket.format(kind=kind)

    def _top(self, classic: str) -> str:
        return classic if self.layout is DistributionLayout.CLASSIC else _PRODUCT_ROOT

    def _directory(self, name: str) -> str:
        return f"{name}-asan/" if self.variant is Variant.ASAN else f"{name}/"

    def _place(self, kind: str, key: str, *, shared: bool = True) -> DistributionPlace:
        location = StorageLocation(self._bucket(kind), key)
        return DistributionPlace(location, self._stream.write_role, shared)

    def _refuse_variant_wheels(self) -> None:
        if self.variant is not Variant.RELEASE:
            raise UsageError(
                f"the {self.variant.value} variant has no wheels; promote its tarballs and packages"
            )
