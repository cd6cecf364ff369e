"""Which deb and rpm packages a run gives, and all that is in them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat, PackagePlan

__all__ = [
    "DroppedDependency",
    "NativePlan",
    "SkippedPackage",
    "UnusedStage",
]


@dataclass(frozen=True, slots=True)
class SkippedPackage:
    """A package of the definitions that is not built, which is no failure."""

    definition: str
    name: str
    """What it would be called."""
    format: PackageFormat
    reason: str


@dataclass(frozen=True, slots=True)
class DroppedDependency:
    """A dependency of a definition that the package does not have."""

    format: PackageFormat
    package: str
    dependency: str
    """As the definition has it."""
    reason: str


@dataclass(frozen=True, slots=True)
class UnusedStage:
    """Files of the run that are in no package."""

    archive: str
    stage: str
    files: int
    reason: str


@dataclass(frozen=True, slots=True)
class NativePlan:
    """All deb and rpm packages of a run."""

    options: NativePackageOptions
    packages: tuple[PackagePlan, ...]
    """By format, then by name."""
    skipped: tuple[SkippedPackage, ...] = ()
    dropped: tuple[DroppedDependency, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()
    """Definitions whose packages depend on one another in a circle, which installs."""
    unused: tuple[UnusedStage, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know, such as an artifact that the run lacks."""

    @property
    def archives(self) -> tuple[str, ...]:
        """File names of the archives that are read, each once."""
        contents = (content for package in self.packages for content in package.contents)
        return tuple(sorted({content.archive for content in contents if content.archive}))

    def of(self, kind: PackageFormat) -> tuple[PackagePlan, ...]:
        """The packages of one format."""
        return tuple(package for package in self.packages if package.format is kind)
