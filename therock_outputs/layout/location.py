"""One place in storage: a bucket and a key, and the three ways in which it is written down."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from therock_outputs.errors import OutputsError
from therock_outputs.layout.names import is_distribution_bucket

__all__ = ["LayoutError", "StorageLocation", "plain_name"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024


class LayoutError(OutputsError):
    """A name that cannot stand in the layout: it would leave its root or not survive storage."""


@dataclass(frozen=True, slots=True, order=True)
class StorageLocation:
    """An object, or with a key that is empty or ends in ``/`` everything below it.

    LayoutError is raised for a bucket or key that S3 or a directory tree could not hold, or
    that could lead out of its root.
    """

    bucket: str
    """S3's rules: 3 to 63 lower-case letters, digits, dots and hyphens."""
    key: str = ""
    """Segments joined by ``/``, at most 1024 bytes of UTF-8; never absolute, no ``.`` or ``..``."""

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket) or ".." in self.bucket:
            raise LayoutError(
                f"bucket {self.bucket!r} is not a bucket's name: 3 to 63 lower-case letters, "
                "digits, hyphens and single dots"
            )
        problem = _key_problem(self.key)
        if problem:
            raise LayoutError(f"key {_shown(self.key)} in bucket {self.bucket!r} {problem}")

    def __truediv__(self, child: str) -> StorageLocation:
        """The place ``child`` below this one; ``a/b/`` with a trailing slash is a prefix."""
        if not child:
            raise LayoutError(f"an empty name was given below {self.s3_uri}; name a file")
        if child.startswith("/"):
            raise LayoutError(
                f"name {_shown(child)} below {self.s3_uri} is absolute; remove its leading '/'"
            )
        return StorageLocation(self.bucket, self.as_prefix().key + child)

    @property
    def name(self) -> str:
        """The last segment of the key; empty for a whole bucket."""
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def is_prefix(self) -> bool:
        """Whether this names what lies below rather than one object."""
        return not self.key or self.key.endswith("/")

    @property
    def s3_uri(self) -> str:
        """``s3://bucket/key``, the key as it is: S3 URIs have no escapes."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def https_url(self) -> str:
        """The public URL, the key percent-encoded as UTF-8.

        A plus becomes ``%2B``: S3 reads a bare one as a space.
        """
        return f"https://{self.bucket}.s3.amazonaws.com/{quote(self.key, safe='/')}"

    def url_at(self, endpoint: str) -> str:
        """The URL at another S3 server, where the bucket is the first part of the path."""
        return f"{endpoint.rstrip('/')}/{self.bucket}/{quote(self.key, safe='/')}"

    def as_prefix(self) -> StorageLocation:
        """This place with a trailing slash, so that listing it cannot match a longer name."""
        if self.is_prefix:
            return self
        return StorageLocation(self.bucket, self.key + "/")

    def relative_to(self, parent: StorageLocation) -> str:
        """The key below ``parent``; LayoutError when this place is not below it."""
        prefix = parent.as_prefix().key
        if self.bucket != parent.bucket or not self.key.startswith(prefix):
            raise LayoutError(f"{self.s3_uri} does not lie below {parent.s3_uri}")
        return self.key[len(prefix) :]

    def local_path(self, staging_dir: Path) -> Path:
        """Where this lies in a staging directory that mirrors S3.

        Distribution buckets have a directory of their own there, because several of them hold
        the same paths; the buckets of runs share the top. LayoutError when symbolic links that
        are already in the staging directory lead out of it.
        """
        top = staging_dir / self.bucket if is_distribution_bucket(self.bucket) else staging_dir
        path = top / self.key
        # Not Path.resolve(), which fails on a loop of links in some Python versions only; the
        # loop is a failure of whoever opens the file.
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(staging_dir))
        if not inside:
            raise LayoutError(
                f"{path} leads out of the staging directory {staging_dir} through a symbolic "
                "link; remove the link"
            )
        return path


def plain_name(name: str, what: str) -> str:
    """The name, when it is a single segment of a key; LayoutError otherwise."""
    if not name or "/" in name:
        raise LayoutError(f"{what} {_shown(name)} is not a plain name; give one without '/'")
    return name


def _key_problem(key: str) -> str | None:
    """Why the key cannot be used, as the end of a sentence; None when it can."""
    is_plain = key.isascii() and key.isprintable()  # most are, and have no such characters
    size = len(key) if is_plain else len(key.encode(errors="surrogatepass"))
    segments = key.removesuffix("/").split("/") if key else []
    problems = (
        (key.startswith("/"), "is absolute; remove its leading '/'"),
        ("\\" in key, "holds a backslash; segments are joined by '/'"),
        (
            not is_plain and any(unicodedata.category(one) == "Cc" for one in key),
            "holds a control character; rename the file",
        ),
        (
            not is_plain and any(unicodedata.category(one) == "Cs" for one in key),
            "is not valid UTF-8; rename the file",
        ),
        (size > _MAX_KEY_BYTES, f"is {size} bytes long; S3 allows {_MAX_KEY_BYTES}"),
        (
            not {".", ".."}.isdisjoint(segments),
            "holds a '.' or '..' segment, which could lead out of its root",
        ),
        (not all(segments), "holds an empty segment; remove the doubled '/'"),
    )
    return next((text for wrong, text in problems if wrong), None)


def _shown(text: str) -> str:
    """The text in quotes, escaped, and cut where it is too long for a line."""
    return repr(text if len(text) <= 200 else text[:200] + "…")
