"""The task ``where``: which place and which role a job writes with."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from therock_outputs.console import Console
from therock_outputs.errors import UsageError
from therock_outputs.github.actions import append_outputs, is_fork_pr
from therock_outputs.layout import DistributionPlaces, parse_repository
from therock_outputs.layout.distribution import DistributionLayout
from therock_outputs.places import places_of
from therock_outputs.settings import Settings
from therock_outputs.storage.s3.settings import DEFAULT_REGION

__all__ = ["TRUSTED_REPOSITORIES", "Place", "WhereOptions", "show_place"]

TRUSTED_REPOSITORIES = ("ROCm/TheRock", "ROCm/rockrel")
"""The repositories whose jobs the roles let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhereOptions:
    """The flags of ``where``."""

    promote_to: str | None = None
    layout: str = DistributionLayout.CLASSIC
    trusted_repositories: Sequence[str] = TRUSTED_REPOSITORIES

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job writes, and as whom: the JSON document, and by these names step outputs."""

    bucket: str
    root: str
    """``s3://…``: the run's root, or the distribution bucket."""
    url: str
    """How a person reaches it."""
    region: str
    write_role: str
    """The ARN to assume; empty when the credentials at hand decide."""
    reason: str
    """Why it is this role or none."""


def show_place(settings: Settings, options: WhereOptions, console: Console) -> Place:
    """Print the place that a job writes to, and hand it to the steps that follow in CI."""
    place = _distribution(settings, options) if options.promote_to else _run(settings)
    trusted = {parse_repository(name).lower() for name in options.trusted_repositories}
    if place.write_role and settings.github_repository.lower() not in trusted:
        reason = f"jobs of {settings.github_repository} may not assume {place.write_role}"
        place = replace(place, write_role="", reason=reason)
    if place.write_role and settings.staging_dir is not None:
        reason = "a staging directory stands for S3 and needs no role"
        place = replace(place, write_role="", reason=reason)
    rows = [
        ("root", place.root),
        ("address", place.url),
        ("bucket", place.bucket),
        ("region", place.region),
        ("write role", place.write_role or "none: the credentials at hand decide"),
        ("because", place.reason),
    ]
    console.table(("what", "value"), rows)
    append_outputs(
        os.environ,
        {
            "bucket": place.bucket,
            "root": place.root,
            "url": place.url,
            "region": place.region,
            "write_role": place.write_role,
        },
    )
    return place


def _run(settings: Settings) -> Place:
    places = places_of(settings)
    root = places.destination
    return Place(
        root.bucket,
        root.root.s3_uri,
        places.url(root.root),
        DEFAULT_REGION,
        root.write_role or "",
        root.reasons[-1],
    )


def _distribution(settings: Settings, options: WhereOptions) -> Place:
    """The bucket of promoted packages; a role may write to all of a release type's buckets."""
    if settings.bucket:
        raise UsageError("--bucket and --promote-to contradict each other: give one of them")
    places = DistributionPlaces.choose(
        release_type=str(options.promote_to),
        run_id=settings.required_run_id,
        date=dt.date.min,  # stands in no name that is looked at
        layout=options.layout,
    )
    tarballs = places.tarballs()
    bucket = tarballs.location.bucket
    role = tarballs.write_role or ""
    reason = f"{bucket} is written by {role}"
    if not role:
        reason = f"nobody has automated write access to {bucket}"
    elif is_fork_pr(os.environ):
        role, reason = "", "a fork's pull request gets no write role"
    return Place(
        bucket,
        tarballs.location.s3_uri,
        tarballs.location.https_url,
        DEFAULT_REGION,
        role,
        reason,
    )
