"""What the name of a published tarball says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from therock_outputs.errors import IntegrityError

__all__ = ["TarballName", "parse_tarball_name"]

_NAME = re.compile(
    r"(?P<project>therock-dist)-(?P<platform>linux|windows)-(?P<family>.+?)(?P<tests>-tests)?"
    r"-(?P<version>[^-]+)(?P<ending>\.tar\.(?:gz|zst))"
)


@dataclass(frozen=True, slots=True)
class TarballName:
    """``therock-dist-{platform}-{family}[-tests]-{version}.tar.{gz,zst}``."""

    filename: str
    project: str
    platform: str
    family: str
    """A GPU family or target, or ``multiarch``."""
    with_tests: bool
    version: str
    """In its normal form (PEP 440)."""

    def with_version(self, version: str) -> str:
        """The name of the same tarball with another version."""
        match = _NAME.fullmatch(self.filename)
        assert match is not None  # noqa: S101 - it was parsed
        return self.filename[: match.start("version")] + version + match["ending"]


def parse_tarball_name(filename: str) -> TarballName | None:
    """The parts of a name; None for a file that is no tarball of a run.

    IntegrityError for a tarball whose version has no order among others.
    """
    match = _NAME.fullmatch(filename)
    if match is None:
        return None
    try:
        version = str(Version(match["version"]))
    except InvalidVersion as error:
        raise IntegrityError(
            f"{filename} has the version {match['version']!r}, which is none of Python's (PEP "
            "440); build it again with another --package-version"
        ) from error
    return TarballName(
        filename,
        match["project"],
        match["platform"],
        match["family"],
        match["tests"] is not None,
        version,
    )
