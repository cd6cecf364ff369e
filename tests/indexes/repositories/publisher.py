"""A process that publishes packages: ``FORMAT PLACE STAGING_DIR KEY FILE…``.

STAGING_DIR and KEY may be empty: S3, and no signature.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from tests.indexes.repositories.site import MTIME, SETTINGS
from therock_outputs.indexes.repositories import (
    RepositoryPackage,
    open_signer,
    publish_packages,
)
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.storage import LocalStorage, S3Storage


def publish(kind: str, uri: str, staging_dir: str, key: str, *files: str) -> None:
    """What a job does."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    with ExitStack() as stack:
        publish_packages(
            LocalStorage(Path(staging_dir)) if staging_dir else S3Storage(),
            StorageLocation(bucket, path),
            [RepositoryPackage(Path(file)) for file in files],
            kind=PackageFormat(kind),
            settings=SETTINGS,
            mtime=MTIME,
            signer=stack.enter_context(open_signer(key)) if key else None,
        )


def main() -> None:
    """Publish what the command line says."""
    publish(*sys.argv[1:])
