"""The RECORD of an installed distribution: what its removal removes (PEP 376, PEP 627).

A row is a path relative to site-packages, a digest and a size; the last two may be empty.
"""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Row", "read_record", "row", "write_record"]

Row = tuple[str, str, str]


def row(path: str, sha256: str = "", size: int = 0) -> Row:
    """A row of a file with its hexadecimal digest; without one, of a path alone."""
    if not sha256:
        return path, "", ""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()
    return path, f"sha256={digest}", str(size)


def read_record(dist_info: str) -> list[Row]:
    """The rows of a RECORD; none where the installer wrote no RECORD."""
    try:
        text = Path(dist_info, "RECORD").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [
        (fields[0], fields[1] if len(fields) > 1 else "", fields[2] if len(fields) > 2 else "")
        for fields in csv.reader(text.splitlines())
        if fields
    ]


def write_record(
    dist_info: str, new: Iterable[Row], *, replace_below: Sequence[str], temporary: Path
) -> None:
    """Add rows to a RECORD, in place of those that name or lie below some directories.

    ``temporary`` is written first and renamed, so that RECORD is whole at every moment; it also
    breaks a hard link into an installer's cache. Nothing happens where there is no RECORD.
    """
    record = Path(dist_info, "RECORD")
    if not record.exists():
        return
    below = tuple(f"{name}/" for name in replace_below)
    kept = [
        one
        for one in read_record(dist_info)
        if not (one[0] in replace_below or one[0].startswith(below))
    ]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([*kept, *new])
    temporary.write_bytes(buffer.getvalue().encode())
    temporary.chmod(record.stat().st_mode & 0o777)
    os.replace(temporary, record)
