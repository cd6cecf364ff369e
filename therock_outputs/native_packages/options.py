"""What is asked for when deb and rpm packages are planned: versions, formats, targets, prefix."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Self

from therock_outputs.errors import UsageError
from therock_outputs.layout.versions import PackageVersions, derive_native_versions
from therock_outputs.native_packages.package import PackageFormat

__all__ = ["DEFAULT_PREFIX", "NativePackageOptions", "native_versions"]

DEFAULT_PREFIX = "/opt/rocm/core"
"""The version is added to it."""

_MAJOR_MINOR = re.compile(r"(\d{1,4})\.(\d{1,3})(?:\.(\d{1,3}))?(?=$|[.~+a-z])", re.ASCII)
# What both dpkg (Policy 5.6.12, without hyphen and colon) and rpm take in version and release.
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~]*", re.ASCII)
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~]*", re.ASCII)
_DEVELOPMENT = re.compile(r"(\d+(?:\.\d+)+)\.(dev\d+)", re.ASCII)
_PYTHON_ONLY = re.compile(r"\d(?:a|b|rc)\d|\.dev\d|\+", re.ASCII)
_VARIANT = re.compile(r"[a-z][a-z0-9]*", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_+.~-]+)+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePackageOptions:
    """What is asked for. UsageError for values that no package could carry."""

    deb_version: str
    """Upstream version, as in 7.13.0~20251124."""
    rpm_version: str
    release: str
    """deb's revision and rpm's release: the version suffix, by default the run id."""
    formats: tuple[PackageFormat, ...] = (PackageFormat.DEB, PackageFormat.RPM)
    split: bool = False
    """Whether the run's GPU code is split per target (kpack)."""
    targets: tuple[str, ...] = ()
    """GPU targets, or families of an unsplit run; none: all that the run has."""
    prefix: str = ""
    """The whole install prefix; empty: /opt/rocm/core-{major}.{minor}."""
    variant: str = ""
    """As in ``asan``; empty for a plain build."""
    packages: tuple[str, ...] = ()
    """Definitions to build the packages of; none: all."""

    def __post_init__(self) -> None:
        for text in (self.deb_version, self.rpm_version):
            if not _MAJOR_MINOR.match(text):
                raise UsageError(
                    f"version {text!r} has no major and minor number; give --rocm-version as in "
                    "7.13.0 or 7.13.0~20251124"
                )
            if not _VERSION.fullmatch(text):
                raise UsageError(
                    f"version {text!r} cannot be a package's: digits, letters and . + ~ may stand "
                    "in it; what follows a hyphen belongs into --version-suffix"
                )
        if _major_minor(self.deb_version) != _major_minor(self.rpm_version):
            raise UsageError(
                f"--deb-version {self.deb_version} and --rpm-version {self.rpm_version} are of "
                "two ROCm versions; give two forms of one"
            )
        if not _RELEASE.fullmatch(self.release):
            raise UsageError(
                f"--version-suffix {self.release!r} cannot be a package's revision: it begins "
                "with a letter or digit, and letters, digits and . + ~ may follow"
            )
        if not self.formats:
            raise UsageError("--pkg-type names no format; give deb, rpm or both")
        if self.variant and not _VARIANT.fullmatch(self.variant):
            raise UsageError(f"--build-variant {self.variant!r}: give a word like asan")
        if self.prefix and (
            not _PREFIX.fullmatch(self.prefix) or {".", ".."} & set(self.prefix.split("/"))
        ):
            raise UsageError(
                f"--install-prefix {self.prefix!r} is no plain absolute path; give one like "
                "/opt/rocm/core-7.13, without a slash at its end"
            )

    @property
    def rocm(self) -> str:
        """Major and minor version, as in ``7.13``, which package names carry."""
        return ".".join(_major_minor(self.deb_version))

    @property
    def major(self) -> str:
        """As in ``7``."""
        return _major_minor(self.deb_version)[0]

    @property
    def score(self) -> int:
        """Priority among the alternatives: it grows with the version.

        A build variant stands just below the plain build of its version.
        """
        match = _MAJOR_MINOR.match(self.deb_version)
        assert match is not None  # noqa: S101 - __post_init__ has seen to it
        major, minor, patch = (int(part or 0) for part in match.groups())
        return ((major * 1000 + minor) * 1000 + patch) * 2 + (not self.variant)

    @property
    def install_prefix(self) -> str:
        """Where the packages' files go."""
        if self.prefix:
            return self.prefix
        middle = f"-{self.variant}" if self.variant else ""
        return f"{DEFAULT_PREFIX}{middle}-{self.rocm}"

    def version(self, kind: PackageFormat) -> str:
        """The version in a format's own spelling."""
        return self.deb_version if kind is PackageFormat.DEB else self.rpm_version

    @classmethod
    def for_version(
        cls,
        version: str,
        *,
        date: dt.date | None = None,
        release: str,
        formats: tuple[PackageFormat, ...] = (PackageFormat.DEB, PackageFormat.RPM),
        split: bool = False,
        targets: tuple[str, ...] = (),
        prefix: str = "",
        variant: str = "",
        packages: tuple[str, ...] = (),
    ) -> Self:
        """Options whose deb and rpm versions come from one version; see ``native_versions``."""
        versions = native_versions(version, date=date)
        return cls(
            deb_version=versions.deb,
            rpm_version=versions.rpm,
            release=release,
            formats=formats,
            split=split,
            targets=targets,
            prefix=prefix,
            variant=variant,
            packages=packages,
        )


def native_versions(version: str, *, date: dt.date | None = None) -> PackageVersions:
    """The deb and rpm forms of a version in Python's form, or of one that is theirs already.

    Beyond the forms that `compute_versions` makes, ``7.13`` and ``7.13.0~20251124`` stay, and
    ``7.13.0.dev0`` becomes ``7.13.0~dev0``, which sorts before the release as Python's does.
    """
    if development := _DEVELOPMENT.fullmatch(version):
        native = f"{development[1]}~{development[2]}"
        return PackageVersions(version, native, native)
    if "~" in version:
        return PackageVersions(version, version, version)
    if _PYTHON_ONLY.search(version) or re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII):
        return derive_native_versions(version, date=date)
    return PackageVersions(version, version, version)


def _major_minor(version: str) -> tuple[str, str]:
    match = _MAJOR_MINOR.match(version)
    return (match[1], match[2]) if match else ("", "")
