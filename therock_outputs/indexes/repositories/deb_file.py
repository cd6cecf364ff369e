"""What a .deb says of itself (deb(5)): the control file, read without the rest of the package."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
import zlib
from typing import BinaryIO

import zstandard

from therock_outputs.errors import IntegrityError

__all__ = ["parse_paragraph", "read_control"]

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_LARGEST_CONTROL = 16 << 20
"""Bytes of a control.tar, packed or not; the largest known have some hundred kilobytes."""
_FIELD = re.compile(r"([!-,./-9;-~][!-9;-~]*):(.*)")


def read_control(stream: BinaryIO, label: str) -> str:
    """The text of the control file; IntegrityError for a stream that is no package."""
    try:
        name, packed = _control_member(stream)
        archive = _unpack(name, packed)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.name.removeprefix("./") == "control" and member.isreg():
                    file = tar.extractfile(member)
                    assert file is not None  # noqa: S101 - it is a regular file
                    return file.read().decode("utf-8")
    except (
        *(ValueError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error),
        *(gzip.BadGzipFile, zstandard.ZstdError),
    ) as error:
        raise IntegrityError(
            f"{label} is no whole Debian package ({error}); build or upload it again"
        ) from error
    raise IntegrityError(f"{label} is a Debian package without a control file; build it again")


def parse_paragraph(text: str, label: str) -> dict[str, str]:
    """The fields of a control paragraph, values with their continuation lines.

    IntegrityError for a line that is neither a field nor the continuation of one, and for a field
    that is there twice.
    """
    fields: dict[str, str] = {}
    last = ""
    # Not splitlines(), which takes more characters for the end of a line than dpkg does.
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith((" ", "\t")) and last and line.strip():
            fields[last] += "\n" + line
            continue
        match = _FIELD.fullmatch(line)
        if match is None or match[1] in fields:
            raise IntegrityError(
                f"{label} has a control file with the line {line[:200]!r}, which is no field or "
                "there twice; build the package again"
            )
        last = match[1]
        fields[last] = match[2].strip()
    return fields


def _control_member(stream: BinaryIO) -> tuple[str, bytes]:
    """The name and the bytes of ``control.tar…``, which stands before the data."""
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("it does not begin as one")
    for _ in range(8):
        header = stream.read(_AR_HEADER)
        if len(header) != _AR_HEADER or header[58:] != b"`\n":
            raise ValueError("it ends early, or has no control.tar near its beginning")
        name = header[:16].decode("ascii", "replace").rstrip().rstrip("/")
        size = int(header[48:58])
        if name.startswith("control.tar"):
            if not 0 <= size <= _LARGEST_CONTROL:
                raise ValueError(f"its {name} is said to have {size} bytes")
            data = stream.read(size)
            if len(data) != size:
                raise ValueError(f"its {name} ends early")
            return name, data
        if name.startswith("data.tar"):
            break
        stream.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("it has no control.tar before its data")


def _unpack(name: str, data: bytes) -> bytes:
    suffix = name.removeprefix("control.tar")
    if suffix == "":
        return data
    if suffix == ".gz":
        unpacked = zlib.decompressobj(31).decompress(data, _LARGEST_CONTROL + 1)
    elif suffix == ".xz":
        unpacked = lzma.LZMADecompressor().decompress(data, _LARGEST_CONTROL + 1)
    elif suffix == ".zst":
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            unpacked = reader.read(_LARGEST_CONTROL + 1)
    else:
        raise ValueError(f"{name} is packed in a way that is not known")
    if len(unpacked) > _LARGEST_CONTROL:
        raise ValueError(f"its {name} unpacks to more than {_LARGEST_CONTROL} bytes")
    return unpacked
