"""Write a wheel: a zip of members that come compressed, with its metadata and RECORD at the end.

Every size is known before a member is written, so the file is written from front to back, its own
digest counted on the way, and no header is ever patched. Formats: PEP 427 (wheels), PEP 376
(RECORD), APPNOTE.TXT 6.3 (zip, with zip64).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import deflate

from therock_outputs.errors import ConflictError, OutputsError
from therock_outputs.storage.direct_io import DirectStream, Disk

__all__ = ["Packed", "RawMember", "WheelMetadata", "WheelWriter", "WrittenFile", "pack"]

_GENERATOR = "therock-outputs"
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<4sIQI")
_STORED, _DEFLATED = 0, 8
_VERSION, _VERSION_64 = 20, 45
_UTF8 = 0x800
_UNIX = 3
_REGULAR = 0o100000
_LIMIT_32 = 0xFFFFFFFF
_LIMIT_16 = 0xFFFF
_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """A member's content as it goes into the zip."""

    size: int
    """Bytes before compression."""
    crc32: int
    sha256: bytes
    """Of the content, not of ``data``."""
    data: bytes | bytearray | memoryview
    """Compressed, or as it is when ``stored``."""
    stored: bool = False
    source: Path | None = None
    """A file that holds it instead of ``data``."""

    @property
    def record_hash(self) -> str:
        """As RECORD has it."""
        text = base64.urlsafe_b64encode(self.sha256).decode().rstrip("=")
        return f"sha256={text}"


def pack(data: bytes | bytearray | memoryview, level: int) -> Packed:
    """Digest and compress; what does not get smaller is stored."""
    size = len(data)
    digest = hashlib.sha256(data).digest()
    checksum = deflate.crc32(data) if size else 0
    compressed = deflate.deflate_compress(data, level) if size else b""
    if len(compressed) >= size:
        return Packed(size, checksum, digest, data, stored=True)
    return Packed(size, checksum, digest, compressed)


@dataclass(frozen=True, slots=True)
class RawMember:
    """What the directory of a zip says of a member; its bytes are copied as they are."""

    size: int
    """Bytes before compression."""
    compressed: int
    """Bytes as they lie in the zip."""
    crc32: int
    method: int
    stamp: tuple[int, int]
    """Date and time as zip writes them."""
    attributes: int
    """External attributes: mode and type above, those of DOS below."""


@dataclass(frozen=True, slots=True)
class WheelMetadata:
    """What ``.dist-info`` says."""

    distribution: str
    version: str
    summary: str
    platform_tag: str
    description: str
    """Markdown."""
    requires: tuple[str, ...] = ()
    """Requirements, as Requires-Dist has them."""
    entry_points: Mapping[str, str] | None = None
    """Console scripts."""
    top_level: tuple[str, ...] = ()

    @property
    def dist_info(self) -> str:
        """The directory in the wheel."""
        return f"{self.distribution.replace('-', '_')}-{self.version}.dist-info"

    def files(self) -> dict[str, bytes]:
        """All of ``.dist-info`` but RECORD, by name in the wheel."""
        files = {"METADATA": self._metadata(), "WHEEL": self._wheel()}
        if self.entry_points:
            lines = [f"{name} = {value}" for name, value in sorted(self.entry_points.items())]
            files["entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""])
        if self.top_level:
            files["top_level.txt"] = "\n".join([*self.top_level, ""])
        return {f"{self.dist_info}/{name}": text.encode() for name, text in files.items()}

    def _metadata(self) -> str:
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {self.distribution}",
            f"Version: {self.version}",
            f"Summary: {self.summary}",
            "Project-URL: Homepage, https://github.com/ROCm/TheRock",
            "Requires-Python: >=3.9",
            *(f"Requires-Dist: {requirement}" for requirement in self.requires),
            "Description-Content-Type: text/markdown",
            "",
            self.description,
        ]
        return "\n".join(lines)

    def _wheel(self) -> str:
        return "\n".join(
            [
                "Wheel-Version: 1.0",
                f"Generator: {_GENERATOR}",
                "Root-Is-Purelib: false",
                *(f"Tag: py3-none-{tag}" for tag in self.platform_tag.split(".")),
                "",
            ]
        )


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished file."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    offset: int
    size: int
    compressed: int
    crc32: int
    sha256: bytes
    method: int
    attributes: int
    stamp: tuple[int, int]


class WheelWriter(AbstractContextManager["WheelWriter"]):
    """A wheel being written, beside its name until it is whole.

    Members go in the order in which they are added. Not for several threads.
    """

    def __init__(self, path: Path, mtime: int, disk: Disk | None = None) -> None:
        """``mtime``: seconds since the epoch, clamped to what a zip file can say.

        ``disk``: what wheels that are written to one directory have in common.
        """
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = DirectStream(self._partial, disk or Disk())
        self._digest = hashlib.sha256()
        self._offset = 0
        self._entries: dict[str, _Entry] = {}
        self._record: list[tuple[str, str, str]] = []
        self._stamp = _dos_time(mtime)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not finished."""
        self._file.__exit__(kind, error, trace)
        self._partial.unlink(missing_ok=True)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def count(self) -> int:
        """Members so far."""
        return len(self._entries)

    def add(self, name: str, packed: Packed, *, executable: bool = False) -> None:
        """Append a member. ConflictError when there is one of that name."""
        if packed.source is None:
            self._begin(name, packed, len(packed.data), executable=executable)
            self._write(packed.data)
            return
        left = packed.source.stat().st_size
        self._begin(name, packed, left, executable=executable)
        with packed.source.open("rb", buffering=0) as file:
            while left:
                piece = file.read(min(left, _COPY))
                if not piece:
                    raise OutputsError(f"{packed.source}: became shorter while it was read")
                self._write(piece)
                left -= len(piece)

    def add_again(self, name: str, original: str, *, executable: bool = False) -> None:
        """Append a member with the content of an earlier one, which is not compressed again."""
        entry = self._entries[original]
        again = Packed(entry.size, entry.crc32, entry.sha256, b"", stored=entry.method == _STORED)
        self._begin(name, again, entry.compressed, executable=executable)
        at, left = entry.offset + self._header_size(entry), entry.compressed
        while left:
            piece = self._file.read_back(at, min(left, _COPY))
            if not piece:
                raise OutputsError(f"{self._partial}: became shorter while it was written")
            self._write(piece)
            at, left = at + len(piece), left - len(piece)

    def add_raw(
        self, name: str, member: RawMember, source: BinaryIO, record: tuple[str, str] | None
    ) -> None:
        """Append a member of another zip as it lies there, from where ``source`` stands.

        ``record`` is its digest and size as RECORD has them; None for what RECORD does not list.
        """
        self._enter(name, member, b"")
        if record is not None:
            self._record.append((name, *record))
        left = member.compressed
        while left:
            piece = source.read(min(left, _COPY))
            if not piece:
                raise OutputsError(f"{name}: its archive became shorter while it was read")
            self._write(piece)
            left -= len(piece)

    def add_like(self, name: str, packed: Packed, member: RawMember) -> None:
        """Append new content with the time and the mode of another zip's member."""
        method = _STORED if packed.stored else _DEFLATED
        self._enter(
            name,
            replace(
                member,
                size=packed.size,
                compressed=len(packed.data),
                crc32=packed.crc32,
                method=method,
            ),
            packed.sha256,
        )
        self._record.append((name, packed.record_hash, str(packed.size)))
        self._write(packed.data)

    def finish(self, metadata: WheelMetadata) -> WrittenFile:
        """Write ``.dist-info`` and the directory of the zip; then the file has its name."""
        for name, data in metadata.files().items():
            self.add(name, pack(data, 9))
        return self.seal(f"{metadata.dist_info}/RECORD")

    def seal(self, record: str, like: RawMember | None = None) -> WrittenFile:
        """Write RECORD, under this name, and the directory of the zip."""
        packed = pack(_record(self._record, record), 9)
        if like is None:
            self.add(record, packed)
        else:
            self.add_like(record, packed, like)
        self._write_directory()
        self._file.sync()
        self._partial.replace(self.path)
        return WrittenFile(self.path, self._offset, self._digest.hexdigest())

    def _begin(self, name: str, packed: Packed, compressed: int, *, executable: bool) -> None:
        method = _STORED if packed.stored else _DEFLATED
        mode = _REGULAR | (0o755 if executable else 0o644)
        member = RawMember(packed.size, compressed, packed.crc32, method, self._stamp, mode << 16)
        self._enter(name, member, packed.sha256)
        self._record.append((name, packed.record_hash, str(packed.size)))

    def _enter(self, name: str, member: RawMember, sha256: bytes) -> None:
        """Write a member's header. ConflictError when there is one of that name."""
        if name in self._entries:
            raise ConflictError(f"{self.path.name}: two files claim {name!r}")
        entry = _Entry(
            name.encode(),
            self._offset,
            member.size,
            member.compressed,
            member.crc32,
            sha256,
            member.method,
            member.attributes,
            member.stamp,
        )
        self._entries[name] = entry
        self._write(self._local_header(entry))

    def _local_header(self, entry: _Entry) -> bytes:
        large = _is_large(entry)
        sizes = (_LIMIT_32, _LIMIT_32) if large else (entry.compressed, entry.size)
        extra = struct.pack("<HHQQ", 1, 16, entry.size, entry.compressed) if large else b""
        header = _LOCAL.pack(
            b"PK\3\4", _VERSION_64 if large else _VERSION, _flags(entry.name), entry.method,
            *entry.stamp[::-1], entry.crc32, *sizes, len(entry.name), len(extra),
        )  # fmt: skip
        return header + entry.name + extra

    @staticmethod
    def _header_size(entry: _Entry) -> int:
        return _LOCAL.size + len(entry.name) + (20 if _is_large(entry) else 0)

    def _central_header(self, entry: _Entry) -> bytes:
        size, compressed, offset = entry.size, entry.compressed, entry.offset
        extra = b""
        if _is_large(entry) or offset >= _LIMIT_32:
            extra = struct.pack("<HHQQQ", 1, 24, size, compressed, offset)
            size = compressed = offset = _LIMIT_32
        version = _VERSION_64 if extra else _VERSION
        header = _CENTRAL.pack(
            b"PK\1\2", _UNIX << 8 | version, version, _flags(entry.name), entry.method,
            *entry.stamp[::-1], entry.crc32, compressed, size, len(entry.name), len(extra),
            0, 0, 0, entry.attributes, offset,
        )  # fmt: skip
        return header + entry.name + extra

    def _write_directory(self) -> None:
        start, count = self._offset, len(self._entries)
        self._write(b"".join(self._central_header(entry) for entry in self._entries.values()))
        size = self._offset - start
        if count >= _LIMIT_16 or start >= _LIMIT_32 or size >= _LIMIT_32:
            end = _END_64.pack(
                b"PK\6\6", _END_64.size - 12, _UNIX << 8 | _VERSION_64, _VERSION_64, 0, 0,
                count, count, size, start,
            )  # fmt: skip
            self._write(end + _LOCATOR_64.pack(b"PK\6\7", 0, start + size, 1))
            count, size, start = (
                min(count, _LIMIT_16),
                min(size, _LIMIT_32),
                min(start, _LIMIT_32),
            )
        self._write(_END.pack(b"PK\5\6", 0, 0, count, count, size, start, 0))

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)
        self._offset += memoryview(data).nbytes


def _is_large(entry: _Entry) -> bool:
    return max(entry.size, entry.compressed) >= _LIMIT_32


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8


def _record(rows: Iterable[tuple[str, str, str]], own: str) -> bytes:
    """RECORD: every other file with its digest and size, sorted, and itself without."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(sorted(rows))
    writer.writerow((own, "", ""))
    return text.getvalue().encode()


def _dos_time(mtime: int) -> tuple[int, int]:
    """Date and time as zip writes them: local time of nowhere, so UTC, in steps of 2 seconds."""
    moment = time.gmtime(min(max(mtime, 315532800), 4354819198))
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date, moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2
