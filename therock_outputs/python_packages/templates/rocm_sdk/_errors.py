"""What can be wrong with an installation, each with what to do about it."""

from __future__ import annotations

__all__ = [
    "DevelError",
    "MixedRunsError",
    "PackageMissingError",
    "RocmSdkError",
    "UnknownNameError",
]


class RocmSdkError(RuntimeError):
    """An installation that cannot be used as it is; the parent of all others."""


class PackageMissingError(RocmSdkError, ModuleNotFoundError):
    """A package of the run, or a file of one, is not installed."""


class UnknownNameError(RocmSdkError, ModuleNotFoundError):
    """No library or program of ROCm has this name."""


class MixedRunsError(RocmSdkError):
    """Packages of different runs are installed together."""


class DevelError(RocmSdkError):
    """The development files cannot be expanded."""
