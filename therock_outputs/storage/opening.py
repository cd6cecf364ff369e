"""Choosing a backend.

Backends are imported where they are needed: loading those that are not would take longer than
fetching a small run.
"""

from __future__ import annotations

from pathlib import Path

from therock_outputs.storage.base import Storage

__all__ = ["open_storage"]


def open_storage(staging_dir: Path | None, dry_run: bool = False) -> Storage:
    """The staging directory when there is one, else S3; as a dry run when asked."""
    storage = _backend(staging_dir)
    if dry_run:
        from therock_outputs.storage.dry_run import DryRunStorage  # noqa: PLC0415

        return DryRunStorage(storage)
    return storage


def _backend(staging_dir: Path | None) -> Storage:
    if staging_dir is None:
        from therock_outputs.storage.s3 import S3Storage  # noqa: PLC0415

        return S3Storage()
    from therock_outputs.storage.local import LocalStorage  # noqa: PLC0415

    return LocalStorage(staging_dir)
