"""What an .rpm says of itself: its headers, read without the payload, as createrepo_c puts it."""

from __future__ import annotations

import os
import struct
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from therock_outputs.errors import IntegrityError

__all__ = ["read_headers", "records_of"]

_LEAD = 96
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_INTRO = 16
_LARGEST_HEADER = 256 << 20
"""rpm itself takes no larger one."""
_RPM = Path("/usr/lib/rpm/rpmrc")
"""There where rpm is installed."""
_CHANGES = 10
"""Entries of the changelog that are listed, as is the custom."""


def read_headers(stream: BinaryIO, label: str) -> bytes:
    """The lead, the signature and the header of a package; IntegrityError when it is none."""
    try:
        lead = _lead(stream)
        signature = _header(stream)
        padding = _exactly(stream, -len(signature) % 8)
        return lead + signature + padding + _header(stream)
    except ValueError as error:
        raise IntegrityError(
            f"{label} is no whole rpm ({error}); build or upload it again"
        ) from error


def records_of(headers: bytes, path: str, size: int, sha256: str) -> tuple[bytes, bytes, bytes]:
    """The package's parts of primary.xml, filelists.xml and other.xml.

    They depend on the package alone: its file's time is the one of its build. IntegrityError for
    headers that rpm cannot read.
    """
    createrepo_c = _createrepo()
    # It reads files only, takes a digest of what it is given, and is then told the
    # one of the whole package.
    with open(os.memfd_create("headers"), "wb") as file:  # noqa: PTH123 - in memory
        file.write(headers)
        file.flush()
        try:
            package = createrepo_c.package_from_rpm(
                f"/proc/self/fd/{file.fileno()}", createrepo_c.SHA256, path, None, _CHANGES
            )
        except (createrepo_c.CreaterepoCError, OSError) as error:
            raise IntegrityError(
                f"{path} has headers that rpm cannot read; build it again"
            ) from error
    package.pkgId = sha256
    package.size_package = size
    package.time_file = package.time_build
    package.location_href = path
    return (
        createrepo_c.xml_dump_primary(package).encode(),
        createrepo_c.xml_dump_filelists(package).encode(),
        createrepo_c.xml_dump_other(package).encode(),
    )


@cache
def _createrepo() -> Any:  # noqa: ANN401 - it carries no types
    """createrepo_c, which most tasks do without."""
    if not _RPM.exists():
        # The rpm library in it complains on stderr of missing settings, which nothing here needs.
        os.environ.setdefault("RPM_CONFIGDIR", str(Path(__file__).with_name("rpm_settings")))
    import createrepo_c  # noqa: PLC0415

    return createrepo_c


def _lead(stream: BinaryIO) -> bytes:
    lead = _exactly(stream, _LEAD)
    if not lead.startswith(_LEAD_MAGIC):
        raise ValueError("it does not begin as one")
    return lead


def _header(stream: BinaryIO) -> bytes:
    intro = _exactly(stream, _INTRO)
    magic, _, entries, size = struct.unpack(">4s4sII", intro)
    length = 16 * entries + size
    if magic != _HEADER_MAGIC or length > _LARGEST_HEADER:
        raise ValueError("it has a header that begins as none")
    return intro + _exactly(stream, length)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("it ends early")
    return data
