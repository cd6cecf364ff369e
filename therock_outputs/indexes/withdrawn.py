"""What was taken out of a place's indexes while its files stay: ``withdrawn.json`` beside them.

``{"format": 1, "versions": {"7.13.0": {"how": "yanked", "reason": "…", "entries": […]}}}``. A page
is a function of the files and of this one, so that whoever writes it next leaves out the same.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from packaging.version import Version

from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Storage

__all__ = ["WITHDRAWN", "How", "Withdrawal", "Withdrawn", "read_withdrawn"]

WITHDRAWN = "withdrawn.json"
_FORMAT = 1
_LARGEST = 16 << 20


class How(enum.Enum):
    """The two ways to take a version back."""

    YANKED = "yanked"
    """Still listed, marked as PEP 592 says: an installer takes it only when it is pinned."""
    UNPUBLISHED = "unpublished"
    """No index names it."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One version that was taken back."""

    how: How
    reason: str
    """For people; may be empty."""
    entries: tuple[Any, ...] = ()
    """What the catalogue had of it, as it stood there, to put it back."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """All versions that were taken back in one place, by their normal form (PEP 440)."""

    versions: Mapping[str, Withdrawal] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, data: bytes | None, label: str) -> Self:
        """Read the file; None is one that is not there. IntegrityError for another form."""
        if data is None:
            return cls()
        try:
            document = json.loads(data)
            if document["format"] != _FORMAT:
                raise IntegrityError(
                    f"{label} has format {document['format']!r}, and {_FORMAT} is known here; "
                    "take a newer version of this program"
                )
            found = {
                str(Version(version)): Withdrawal(
                    How(item["how"]), str(item["reason"]), tuple(item["entries"])
                )
                for version, item in document["versions"].items()
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                f"{label} is not what yank and unpublish write ({type(error).__name__}: {error}); "
                "put an earlier one back"
            ) from error
        return cls(found)

    def to_bytes(self) -> bytes:
        """The file."""
        versions = {
            version: {"how": item.how.value, "reason": item.reason, "entries": list(item.entries)}
            for version, item in sorted(self.versions.items())
        }
        return json.dumps({"format": _FORMAT, "versions": versions}, indent=1).encode() + b"\n"

    def with_version(self, version: str, withdrawal: Withdrawal | None) -> Self:
        """The same with a version taken back, or (None) there again."""
        rest = {name: item for name, item in self.versions.items() if name != version}
        return type(self)(rest if withdrawal is None else {**rest, version: withdrawal})

    def hides(self, version: str) -> bool:
        """Whether no index may name this version."""
        item = self.versions.get(version)
        return item is not None and item.how is How.UNPUBLISHED

    def yanked(self, version: str) -> str | None:
        """Why a version is marked as yanked; None when it is not."""
        item = self.versions.get(version)
        return item.reason if item is not None and item.how is How.YANKED else None


def read_withdrawn(storage: Storage, place: StorageLocation) -> Withdrawn:
    """What was taken back in a place."""
    location = place / WITHDRAWN
    try:
        return Withdrawn.parse(storage.read(location, _LARGEST), location.s3_uri)
    except NotFoundError:
        return Withdrawn()
