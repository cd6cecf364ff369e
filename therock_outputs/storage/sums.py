"""SHA256SUMS files, as sha256sum reads them: shared by all jobs that put files beside one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation

__all__ = ["SHA256SUMS", "merge_sums", "parse_sums", "read_sums"]

SHA256SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\x00-\x1f\x7f]+)")


def parse_sums(data: bytes, label: str) -> dict[str, str]:
    """Digests by file name. IntegrityError, with ``label``, for a line of another form."""
    digests = {}
    for line in data.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise IntegrityError(
                f"{label}: {line[:200]!r} is no line of sha256sum; delete the file"
            )
        digests[match[2]] = match[1]
    return digests


def merge_sums(old: bytes | None, new: bytes, location: StorageLocation) -> bytes:
    """Both files' lines, by name. ConflictError when one name has two digests."""
    merged = parse_sums(old or b"", location.s3_uri)
    for name, digest in parse_sums(new, location.s3_uri).items():
        if merged.setdefault(name, digest) != digest:
            raise ConflictError(
                f"{location.s3_uri}: {name} is published with other content; a published name "
                "never changes, so give another --package-version"
            )
    return "".join(f"{merged[name]}  {name}\n" for name in sorted(merged)).encode()


def read_sums(directory: Path) -> Mapping[str, str]:
    """The digests in a directory's SHA256SUMS, by file name; NotFoundError when it has none."""
    path = directory / SHA256SUMS
    try:
        return parse_sums(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise NotFoundError(f"{path}: is not there; run build-tarballs first") from None
