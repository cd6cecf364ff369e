"""Read the headers of a tar stream, forward only, without trusting them.

Covers POSIX ustar and pax (IEEE Std 1003.1-2017, "pax Interchange Format") and the long-name
and base-256 extensions of GNU tar. Sparse files are refused: nothing that builds an artifact
writes them, and they let a few bytes claim any size.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from therock_outputs.errors import IntegrityError

__all__ = ["BLOCK", "ByteSource", "RawMember", "TarStream", "TypeFlag", "padding"]

BLOCK = 512
"""Bytes in one tar block; headers and data both fill whole blocks."""

_LONGEST_EXTENSION = 1 << 20
_LONGEST_MESSAGE = 600
_LARGEST_NUMBER = (1 << 63) - 1
_OCTAL = re.compile(rb"[0-7]+")
_MAGIC_AT = 257
_ZERO_BLOCK = bytes(BLOCK)


class ByteSource(Protocol):
    """What a tar stream is read from: a decompressor."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer as far as possible; fewer bytes only at the end of the stream."""


class TypeFlag(enum.Enum):
    """The member types that an archive may hold."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    DIRECTORY = b"5"


@dataclass(frozen=True, slots=True)
class RawMember:
    """One header, decoded and not yet validated."""

    name: str
    kind: TypeFlag
    mode: int
    """Permission bits; set-user-id, set-group-id and sticky are never passed on."""
    size: int
    """Bytes of data that follow, before padding."""
    link: str
    """Target of a link; empty for anything else."""


_KINDS = {
    b"0": TypeFlag.FILE,
    b"\0": TypeFlag.FILE,
    b"7": TypeFlag.FILE,  # "contiguous": every reader treats it as a file
    b"1": TypeFlag.HARDLINK,
    b"2": TypeFlag.SYMLINK,
    b"5": TypeFlag.DIRECTORY,
}
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"M": "a continuation of another volume",
    b"V": "a volume label",
    b"D": "a dump directory",
}


def padding(size: int) -> int:
    """Bytes that fill up the last block of ``size`` bytes of data."""
    return -size % BLOCK


class TarStream:
    """Iterate over the members of a tar stream; data is read between two headers.

    ``label`` names the archive in errors. Raises IntegrityError for everything that is not a
    well-formed tar stream.
    """

    def __init__(self, source: ByteSource, label: str) -> None:
        self._source = source
        self._label = label
        self._remaining = 0
        self._padding = 0
        self._block = memoryview(bytearray(BLOCK))
        self._scratch = memoryview(bytearray(1 << 18))
        self._zeros = memoryview(bytes(1 << 18))

    def __iter__(self) -> Iterator[RawMember]:
        """Yield each member; data of the last one that was not read is passed over."""
        while (member := self._next()) is not None:
            self._remaining = member.size
            self._padding = padding(member.size)
            yield member

    def readinto(self, buffer: memoryview) -> int:
        """Read data of the current member; 0 when all of it was read."""
        wanted = min(len(buffer), self._remaining)
        if wanted:
            self._fill(buffer[:wanted])
            self._remaining -= wanted
        return wanted

    def drain(self) -> None:
        """Read to the end of the stream, so that the decompressor checks its own sums.

        After the end of a tar file zeros fill it up; anything else would be lost unseen.
        """
        while count := self._source.readinto(self._scratch):
            if self._scratch[:count] != self._zeros[:count]:
                raise self.broken("something follows the end of its tar file; fetch it again")

    def broken(self, problem: str) -> IntegrityError:
        """An error about this archive; a hostile one may quote names of a megabyte."""
        if len(problem) > _LONGEST_MESSAGE:
            problem = f"{problem[: _LONGEST_MESSAGE // 2]} … {problem[-_LONGEST_MESSAGE // 2 :]}"
        return IntegrityError(f"{self._label}: {problem}")

    def _fill(self, buffer: memoryview) -> None:
        if self._source.readinto(buffer) != len(buffer):
            raise self.broken("the archive is cut short; fetch it again")

    def _skip(self) -> None:
        left = self._remaining + self._padding
        self._remaining = self._padding = 0
        while left:
            step = min(left, len(self._scratch))
            self._fill(self._scratch[:step])
            left -= step

    def _next(self) -> RawMember | None:
        """The next real member with its long names and pax records applied."""
        overrides: dict[str, str] = {}
        while True:
            self._skip()
            self._fill(self._block)
            header = bytes(self._block)
            if header == _ZERO_BLOCK:
                if overrides:
                    raise self.broken("it ends between a long name and its member")
                return None
            self._check_sum(header)
            flag, size = header[156:157], self._number(header[124:136], "size")
            if flag in (b"x", b"g", b"L", b"K"):
                self._extension(flag, size, overrides)
                continue
            return self._member(header, flag, size, overrides)

    def _extension(self, flag: bytes, size: int, overrides: dict[str, str]) -> None:
        if size > _LONGEST_EXTENSION:
            raise self.broken(f"an extended header of {size} bytes; at most {_LONGEST_EXTENSION}")
        data = bytearray(size + padding(size))
        self._fill(memoryview(data))
        content = bytes(data[:size])
        if flag == b"L":
            overrides["path"] = self._text(content.rstrip(b"\0"))
        elif flag == b"K":
            overrides["linkpath"] = self._text(content.rstrip(b"\0"))
        else:
            records = self._pax(content)
            if sparse := [key for key in records if key.startswith("GNU.sparse.")]:
                raise self.broken(f"a sparse file ({sparse[0]}), which artifacts never hold")
            if flag == b"g" and records:
                raise self.broken(f"a global pax header that sets the {min(records)} of members")
            overrides.update(records)

    def _pax(self, content: bytes) -> dict[str, str]:
        """Decode records of the form ``length key=value``, each ended by a line feed."""
        records: dict[str, str] = {}
        at = 0
        while at < len(content):
            length_text, space, _ = content[at : at + 20].partition(b" ")
            if not space or not length_text.isdigit():
                raise self.broken("a pax header that is not made of records")
            end = at + int(length_text)
            record = content[at + len(length_text) + 1 : end - 1]
            key, equals, value = record.partition(b"=")
            if end <= at or end > len(content) or content[end - 1 : end] != b"\n" or not equals:
                raise self.broken("a pax header that is not made of records")
            if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse."):
                records[self._text(key)] = self._text(value)
            at = end
        return records

    def _member(
        self, header: bytes, flag: bytes, size: int, overrides: dict[str, str]
    ) -> RawMember:
        name = overrides.get("path")
        if name is None:
            name = self._text(header[:100].partition(b"\0")[0])
            # GNU's own magic ("ustar  ") keeps times where POSIX keeps the prefix.
            if header[_MAGIC_AT : _MAGIC_AT + 6] == b"ustar\0":
                prefix = self._text(header[345:500].partition(b"\0")[0])
                name = f"{prefix}/{name}" if prefix else name
        if "size" in overrides:
            size = self._pax_size(name, overrides["size"])
        kind = _KINDS.get(flag)
        if kind is TypeFlag.FILE and name.endswith("/"):
            kind = TypeFlag.DIRECTORY  # how tar before POSIX wrote directories
        if kind is None:
            what = _REFUSED.get(flag, f"a member of the unknown type {flag!r}")
            raise self.broken(f"{name!r} is {what}, which artifacts never hold")
        if kind is not TypeFlag.FILE and size:
            raise self.broken(f"{name!r} is a {kind.name.lower()} that carries {size} bytes")
        link = ""
        if kind in (TypeFlag.HARDLINK, TypeFlag.SYMLINK):
            link = overrides.get("linkpath") or self._text(header[157:257].partition(b"\0")[0])
        mode = self._number(header[100:108], "mode") & 0o777
        return RawMember(name, kind, mode, size, link)

    def _pax_size(self, name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise self.broken(f"{name!r} has a size that is not a number")
        # Python refuses to convert thousands of digits, with an error of its own.
        if len(text) > len(str(_LARGEST_NUMBER)) or int(text) > _LARGEST_NUMBER:
            raise self.broken(f"{name!r} has a size that is out of range")
        return int(text)

    def _check_sum(self, header: bytes) -> None:
        stored = self._number(header[148:156], "checksum")
        # The sum counts its own eight bytes as spaces.
        if stored != sum(header) - sum(header[148:156]) + 8 * 0x20:
            raise self.broken("a header whose checksum is wrong; fetch the archive again")

    def _number(self, field: bytes, what: str) -> int:
        if field[0] in (0x80, 0xFF):  # GNU base-256
            value = int.from_bytes(field[1:], "big")
            if field[0] == 0xFF or value > _LARGEST_NUMBER:
                raise self.broken(f"a header whose {what} is out of range")
            return value
        text = field.strip(b" \0")
        if not text:
            return 0
        if not _OCTAL.fullmatch(text):  # int() would take a sign and underscores
            raise self.broken(f"a header whose {what} is not a number")
        return int(text, 8)

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.broken(f"a name that is not UTF-8: {raw!r}") from None
