"""The task ``compute-version``: the Python, deb and rpm versions of one build."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from therock_outputs.console import Console
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.github.actions import append_outputs
from therock_outputs.layout import (
    PackageVersions,
    ReleaseType,
    compute_versions,
    derive_native_versions,
    parse_date,
)
from therock_outputs.settings import Settings

__all__ = ["VersionOptions", "show_versions"]

_VERSION_FILE = Path("version.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionOptions:
    """What the flags say; as they were typed."""

    release_type: ReleaseType
    package_version: str | None = None
    rocm_version: str | None = None
    version_file: Path | None = None
    date: str | None = None
    commit: str | None = None
    prerelease: int | None = None
    bkc_base: str | None = None

    @classmethod
    def of(cls, settings: Settings, own: Mapping[str, Any]) -> Self:
        """From a task's settings and its own flags."""
        return cls(
            release_type=settings.release_type, package_version=settings.package_version, **own
        )


def show_versions(options: VersionOptions, console: Console) -> PackageVersions:
    """Compute and print the versions, and set them as step outputs."""
    date = parse_date(options.date) if options.date else dt.datetime.now(dt.UTC).date()
    if options.package_version is not None:
        versions = derive_native_versions(options.package_version, date=date)
    else:
        versions = compute_versions(
            options.rocm_version or _base_of(options.version_file),
            options.release_type,
            date=date,
            commit=options.commit,
            prerelease=options.prerelease,
            bkc_base=parse_date(options.bkc_base) if options.bkc_base else None,
        )
    console.table(
        ("package", "version"),
        [("Python", versions.python), ("deb", versions.deb), ("rpm", versions.rpm)],
    )
    append_outputs(
        os.environ,
        {
            "python_version": versions.python,
            "deb_version": versions.deb,
            "rpm_version": versions.rpm,
        },
    )
    return versions


def _base_of(path: Path | None) -> str:
    """``rocm-version`` in TheRock's ``version.json``."""
    path = path or _VERSION_FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            f"{path}: not here; give --rocm-version, or --version-file of a checkout of TheRock"
        ) from None
    except ValueError as error:
        raise IntegrityError(f"{path}: is not JSON ({error})") from None
    version = data.get("rocm-version") if isinstance(data, dict) else None
    if not isinstance(version, str):
        raise IntegrityError(f"{path}: names no rocm-version; give --rocm-version")
    return version
