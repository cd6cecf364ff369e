"""Give the packages of a release candidate their final version, and nothing else.

A wheel's members are copied as they lie in the zip, compressed, with their times and modes; what
names the version is written anew: METADATA, RECORD, the names of ``.dist-info`` and ``.data``, and
the few files that are made to tell the version. The record of the build (TheRock's manifest) is no
such file: it goes on telling from which candidate the release was made. Formats: PEP 427, 376.
"""

from __future__ import annotations

import csv
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.python_packages.devel_format import DEVEL_MANIFEST
from therock_outputs.python_packages.wheel import RawMember, WheelWriter, WrittenFile, pack

__all__ = ["Retag", "retag_wheel", "retagged_name"]

DIST_INFO = "_dist_info.py"
_RECORD = "RECORD"
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SMALL = 64 << 20
"""Bytes of a file that tells the version; a devel manifest of ROCm has about ten million."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, KeyError)


@dataclass(frozen=True, slots=True)
class Retag:
    """From which version to which; both in their normal form (PEP 440)."""

    old: str
    new: str

    def __post_init__(self) -> None:
        for text in (self.old, self.new):
            if str(Version(text)) != text:
                raise UsageError(f"version {text!r} is not in its normal form (PEP 440)")

    def in_quotes(self, text: str) -> str:
        """The text with the version changed where it is a whole quoted string."""
        return re.sub(rf"(?P<q>[\"']){re.escape(self.old)}(?P=q)", rf"\g<q>{self.new}\g<q>", text)

    def in_pins(self, text: str) -> str:
        """The text with the version changed where it is pinned (``==``)."""
        return re.sub(rf"(===?\s*){re.escape(self.old)}(?![\w.+!*-])", rf"\g<1>{self.new}", text)

    def in_metadata(self, text: str) -> str:
        """Core metadata with the version changed in its own field and in requirements."""
        fields, end, body = text.partition("\n\n")
        lines = [self._field(line) for line in fields.split("\n")]
        return "\n".join(lines) + end + body

    def _field(self, line: str) -> str:
        name, _, value = line.partition(":")
        if name.lower() == "version" and value.strip() == self.old:
            return f"{name}: {self.new}"
        return self.in_pins(line) if name.lower() == "requires-dist" else line


def retagged_name(filename: str, retag: Retag) -> str:
    """The name of a wheel or an sdist with the new version; IntegrityError for another version."""
    stem, dash, rest = filename.partition(f"-{retag.old}")
    if not dash or not rest.startswith(("-", ".tar.gz")):
        raise IntegrityError(
            f"{filename} is not of version {retag.old}, or does not spell it in its normal form; "
            "build it again"
        )
    return f"{stem}-{retag.new}{rest}"


def retag_wheel(source: Path, output_dir: Path, retag: Retag) -> WrittenFile:
    """Write the wheel with its new version into a directory that exists.

    The same wheel gives the same bytes. IntegrityError for a wheel that is damaged, signed, of
    another version, or whose RECORD does not list its files.
    """
    path = output_dir / retagged_name(source.name, retag)
    with _damage(source), source.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        wheel = _Wheel.read(source, archive, retag)
        with WheelWriter(path, 0) as writer:
            for info in archive.infolist():
                if info.filename != wheel.record:
                    wheel.copy(info, archive, stream, writer)
            record = archive.getinfo(wheel.record)
            return writer.seal(wheel.renamed(wheel.record), _raw(record))


@dataclass(frozen=True, slots=True)
class _Wheel:
    """A wheel that is read."""

    source: Path
    retag: Retag
    stem: str
    """``{name}-{version}``, as its own directories are called."""
    rows: Mapping[str, tuple[str, str]]
    """Digest and size of each file, by name."""

    @classmethod
    def read(cls, source: Path, archive: zipfile.ZipFile, retag: Retag) -> _Wheel:
        stem = _stem(source, archive)
        if stem.partition("-")[2] != retag.old:
            raise IntegrityError(
                f"{source.name}: its {stem}.dist-info is not of version {retag.old}; build it again"
            )
        names = {info.filename for info in archive.infolist()}
        if signed := [name for name in _SIGNATURES if f"{stem}.dist-info/{name}" in names]:
            raise IntegrityError(
                f"{source.name}: is signed ({signed[0]}), which a new version would make false; "
                "build it without a signature"
            )
        text = _text(archive, f"{stem}.dist-info/{_RECORD}", source)
        rows = {row[0]: (row[1], row[2]) for row in csv.reader(io.StringIO(text)) if len(row) == 3}
        return cls(source, retag, stem, rows)

    @property
    def record(self) -> str:
        return f"{self.stem}.dist-info/{_RECORD}"

    def renamed(self, name: str) -> str:
        """A member's name: those of the wheel's own directories hold the version."""
        for kind in (".dist-info/", ".data/"):
            if name.startswith(self.stem + kind):
                return f"{self.stem.partition('-')[0]}-{self.retag.new}{name[len(self.stem) :]}"
        return name

    def copy(
        self, info: zipfile.ZipInfo, archive: zipfile.ZipFile, stream: BinaryIO, writer: WheelWriter
    ) -> None:
        """Copy one member, or write it anew."""
        name = self.renamed(info.filename)
        changed = self.changed(info, archive)
        if changed is not None:
            writer.add_like(name, pack(changed, 9), _raw(info))
            return
        record = None
        if not info.is_dir():
            record = self.rows.get(info.filename)
            if record is None or not record[0]:
                raise IntegrityError(
                    f"{self.source.name}: its RECORD does not list {info.filename}; build it again"
                )
        stream.seek(_data_offset(info, stream, self.source))
        writer.add_raw(name, _raw(info), stream, record)

    def changed(self, info: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes | None:
        """A member's new content; None when it stays as it is."""
        name = info.filename
        if name == f"{self.stem}.dist-info/METADATA":
            return self.retag.in_metadata(_text(archive, name, self.source)).encode()
        directory, _, base = name.rpartition("/")
        if "/" in directory or base not in {DIST_INFO, DEVEL_MANIFEST}:
            return None
        text = _text(archive, name, self.source)
        if base == DEVEL_MANIFEST:
            field = '"version":"{}"'
            after = text.replace(field.format(self.retag.old), field.format(self.retag.new), 1)
        else:
            after = self.retag.in_quotes(text)
        return None if after == text else after.encode()


def _stem(source: Path, archive: zipfile.ZipFile) -> str:
    """What the wheel's own directories are called; IntegrityError unless there is one such."""
    tops = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
    stems = [top.removesuffix(".dist-info") for top in tops if top.endswith(".dist-info")]
    try:
        project = parse_wheel_filename(source.name)[0]
    except InvalidWheelFilename as error:
        raise IntegrityError(f"{source.name}: {error}; build it again") from error
    if len(stems) != 1 or canonicalize_name(stems[0].partition("-")[0]) != project:
        raise IntegrityError(
            f"{source.name}: holds {len(stems)} .dist-info directories and not one of its own; "
            "build it again"
        )
    return stems[0]


def _text(archive: zipfile.ZipFile, name: str, source: Path) -> str:
    with archive.open(name) as member:
        data = member.read(_SMALL + 1)
    if len(data) > _SMALL:
        raise IntegrityError(f"{source.name}: {name} is larger than {_SMALL} bytes; build it again")
    return data.decode()


def _raw(info: zipfile.ZipInfo) -> RawMember:
    year, month, day, hour, minute, second = info.date_time
    stamp = (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2
    attributes = info.external_attr
    if not attributes >> 16:  # written on a system without modes
        mode = stat.S_IFDIR | 0o755 if info.is_dir() else stat.S_IFREG | 0o644
        attributes |= mode << 16
    return RawMember(
        info.file_size, info.compress_size, info.CRC, info.compress_type, stamp, attributes
    )


def _data_offset(info: zipfile.ZipInfo, stream: BinaryIO, source: Path) -> int:
    """Where a member's bytes begin; IntegrityError for a header that is not where it should be."""
    stream.seek(info.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size or not header.startswith(b"PK\3\4") or info.flag_bits & 1:
        raise IntegrityError(f"{source.name}: {info.filename} cannot be copied; build it again")
    _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    return int(info.header_offset + _LOCAL_HEADER.size + name_size + extra_size)


@contextmanager
def _damage(source: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise IntegrityError(
            f"{source.name}: is no whole wheel ({error or type(error).__name__}); build or fetch "
            "it again"
        ) from error
