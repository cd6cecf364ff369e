"""How bytes move: a staging directory, S3 or a dry run, behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from therock_outputs.storage.base import (
    Download,
    IfExists,
    ObjectInfo,
    Outcome,
    Progress,
    Storage,
    Transfer,
    Transfers,
    Upload,
)
from therock_outputs.storage.between import copy_between, open_storage
from therock_outputs.storage.dry_run import DryRunStorage
from therock_outputs.storage.files import SourceFile, content_type_of, files_to_upload
from therock_outputs.storage.local import LocalStorage

if TYPE_CHECKING:
    from therock_outputs.storage.s3 import S3Storage

__all__ = [
    "Download",
    "DryRunStorage",
    "IfExists",
    "LocalStorage",
    "ObjectInfo",
    "Outcome",
    "Progress",
    "S3Storage",
    "SourceFile",
    "Storage",
    "Transfer",
    "Transfers",
    "Upload",
    "content_type_of",
    "copy_between",
    "files_to_upload",
    "open_storage",
]


def __getattr__(name: str) -> object:
    if name == "S3Storage":
        from therock_outputs.storage.s3 import S3Storage  # noqa: PLC0415 - boto3 is slow to import

        return S3Storage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
