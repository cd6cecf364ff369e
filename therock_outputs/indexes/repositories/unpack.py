"""Metadata files as they are inside, whatever they are packed with; never more than a bound."""

from __future__ import annotations

import lzma
import zlib

import zstandard

from therock_outputs.errors import IntegrityError

__all__ = ["unpack_index"]

_LARGEST = 2 << 30


def unpack_index(data: bytes, name: str, label: str) -> bytes:
    """The content of a metadata file by its name's suffix; IntegrityError when it is damaged."""
    try:
        if name.endswith(".gz"):
            unpacked = zlib.decompressobj(31).decompress(data, _LARGEST)
        elif name.endswith(".xz"):
            unpacked = lzma.LZMADecompressor().decompress(data, _LARGEST)
        elif name.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                unpacked = reader.read(_LARGEST)
        else:
            return data
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise IntegrityError(f"{label}: {name} cannot be unpacked ({error})") from error
    if len(unpacked) >= _LARGEST:
        raise IntegrityError(f"{label}: {name} unpacks to more than {_LARGEST} bytes")
    return unpacked
