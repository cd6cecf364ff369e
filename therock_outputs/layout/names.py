"""The names that the layout's tables are keyed by: release types, platforms and buckets."""

from __future__ import annotations

import re

__all__ = ["is_distribution_bucket"]

_DISTRIBUTION_BUCKET = re.compile(
    r"therock-(?:dev|nightly|prerelease|release)-(?:tarball|python|packages)"
    r"|therock-repo-amd-(?:dev|nightly|rc|bkc)-core"
)


def is_distribution_bucket(bucket: str) -> bool:
    """Whether a bucket holds what users install from, rather than the outputs of runs."""
    return _DISTRIBUTION_BUCKET.fullmatch(bucket) is not None
