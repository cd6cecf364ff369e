"""The words that the layout is made of, and what of a user's input is one of them.

Each ``parse_…`` function takes what came from a flag or the environment and raises UsageError
with the allowed values for anything else.
"""

from __future__ import annotations

import enum
import re
from typing import TypeVar

from therock_outputs.errors import UsageError

__all__ = [
    "LOCAL_RUN_ID",
    "THEROCK_REPOSITORY",
    "PackageFormat",
    "Platform",
    "ReleaseType",
    "Variant",
    "is_distribution_bucket",
    "parse_package_format",
    "parse_platform",
    "parse_release_type",
    "parse_repository",
    "parse_run_id",
    "parse_variant",
]

THEROCK_REPOSITORY = "ROCm/TheRock"
LOCAL_RUN_ID = "local"


class ReleaseType(enum.StrEnum):
    """What a build is made for; it decides bucket, write role and the form of its version."""

    CI = "ci"
    DEV = "dev"
    NIGHTLY = "nightly"
    PRERELEASE = "prerelease"
    RELEASE = "release"
    DEV_BKC = "dev-bkc"
    NIGHTLY_BKC = "nightly-bkc"


class Platform(enum.StrEnum):
    """The operating system that a run built for."""

    LINUX = "linux"
    WINDOWS = "windows"


class PackageFormat(enum.StrEnum):
    """The two kinds of native packages."""

    DEB = "deb"
    RPM = "rpm"


class Variant(enum.StrEnum):
    """How ROCm was compiled: as released, or with a sanitizer."""

    RELEASE = "release"
    ASAN = "asan"


_Member = TypeVar("_Member", bound=enum.StrEnum)

_DISTRIBUTION_BUCKET = re.compile(
    r"therock-(?:dev|nightly|prerelease|release)-(?:tarball|python|packages)"
    r"|therock-repo-amd-(?:dev|nightly|rc|bkc)-core"
)
# GitHub's own rules: an owner has letters, digits and single inner hyphens (and, for managed
# users, one underscore); a repository also dots and underscores.
_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})/[A-Za-z0-9._-]{1,100}")
_RUN_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_RUN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def is_distribution_bucket(bucket: str) -> bool:
    """Whether a bucket holds what users install from, rather than the outputs of runs."""
    return _DISTRIBUTION_BUCKET.fullmatch(bucket) is not None


def parse_release_type(text: str) -> ReleaseType:
    """The release type of this name."""
    return _member(ReleaseType, "release type", text)


def parse_platform(text: str) -> Platform:
    """The platform of this name."""
    return _member(Platform, "platform", text)


def parse_package_format(text: str) -> PackageFormat:
    """The package format of this name."""
    return _member(PackageFormat, "package format", text)


def parse_variant(text: str) -> Variant:
    """The build variant of this name."""
    return _member(Variant, "build variant", text)


def parse_repository(text: str) -> str:
    """A GitHub repository as ``owner/name``; TheRock's own in its usual spelling.

    GitHub ignores case in these names, S3 does not in its keys.
    """
    if not _REPOSITORY.fullmatch(text) or text.rpartition("/")[2] in {".", ".."}:
        raise UsageError(f"repository {text!r} is not of the form owner/name, as in ROCm/TheRock")
    return THEROCK_REPOSITORY if text.lower() == THEROCK_REPOSITORY.lower() else text


def parse_run_id(text: str) -> str:
    """A workflow run's number, or the name of a run that was never on GitHub (``local``)."""
    if not _RUN_NUMBER.fullmatch(text) and not _RUN_NAME.fullmatch(text):
        raise UsageError(
            f"run id {text!r} is neither a workflow run's number (the digits at the end of its "
            "URL) nor a name of lower-case letters, digits and underscores, as in 'local'"
        )
    return text


def _member(kind: type[_Member], what: str, text: str) -> _Member:
    try:
        return kind(text)
    except ValueError:
        allowed = ", ".join(kind)
        raise UsageError(f"{what} {text!r} is not known; choose one of {allowed}") from None
