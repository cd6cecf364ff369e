"""Where things live: pure data. Nothing here asks a network or reads a file's bytes."""

from therock_outputs.layout.location import LayoutError, StorageLocation
from therock_outputs.layout.names import is_distribution_bucket

__all__ = [
    "LayoutError",
    "StorageLocation",
    "is_distribution_bucket",
]
