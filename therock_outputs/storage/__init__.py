"""How bytes move: a staging directory, S3 or a dry run, behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from therock_outputs.lazy import lazily
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
from therock_outputs.storage.opening import open_storage

if TYPE_CHECKING:
    from therock_outputs.storage.between import copy_between
    from therock_outputs.storage.dry_run import DryRunStorage
    from therock_outputs.storage.files import SourceFile, content_type_of, files_to_upload
    from therock_outputs.storage.local import LocalStorage
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

# Loaded when they are first asked for: most tasks need one backend, and a fetch from a near
# server is over in the time that it takes to load all of them.
_HOMES = {
    "DryRunStorage": "dry_run",
    "LocalStorage": "local",
    "S3Storage": "s3",
    "SourceFile": "files",
    "content_type_of": "files",
    "copy_between": "between",
    "files_to_upload": "files",
}

__getattr__ = lazily(__name__, _HOMES)
