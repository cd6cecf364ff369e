"""Read what the packages need to know of an ELF file, from its headers alone.

64-bit, little-endian files are looked into, and those for i386 where they are asked for; all others
are data here. Formats: System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from therock_outputs.errors import IntegrityError

__all__ = [
    "DynamicEntry",
    "ElfFile",
    "ElfType",
    "Section",
    "Segment",
    "SegmentType",
    "Tag",
    "is_code_object",
]

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
DYNAMIC = struct.Struct("<QQ")

_MAGIC = b"\x7fELF"
PIE = 0x08000000
NO_BITS = 8
_STRING_TABLE = 3
_MOST_SEGMENTS = 0xFFFF


@dataclass(frozen=True, slots=True)
class ElfForm:
    """How the headers of a class of files are laid out."""

    header: struct.Struct
    segment: struct.Struct
    segment_order: tuple[int, ...]
    """Where the fields of a `Segment` stand in a program header."""
    section: struct.Struct
    dynamic: struct.Struct
    machines: frozenset[int]
    """What a host runs. GPU code objects are ELF files too."""


WIDE = ElfForm(HEADER, SEGMENT, tuple(range(8)), SECTION, DYNAMIC, frozenset({62, 183}))
"""64-bit, for x86-64 and AArch64."""
NARROW = ElfForm(
    struct.Struct("<16sHHIIIIIHHHHHH"),
    struct.Struct("<IIIIIIII"),
    (0, 6, 1, 2, 3, 4, 5, 7),
    struct.Struct("<IIIIIIIIII"),
    struct.Struct("<II"),
    frozenset({3}),
)
"""32-bit, for i386, of which compilers bring libraries too."""
FORMS = {b"\2\1": WIDE, b"\1\1": NARROW}
"""By the bytes of a file that tell its class and byte order."""

_GPU_CODE = (".co", ".hsaco", ".kpack")


def is_code_object(path: str) -> bool:
    """Whether a name says GPU code, which may be ELF and is never rewritten."""
    return path.endswith(_GPU_CODE)


class ElfType(enum.IntEnum):
    """``e_type``; others count as OTHER."""

    OTHER = 0
    RELOCATABLE = 1
    EXECUTABLE = 2
    SHARED = 3


class SegmentType(enum.IntEnum):
    """``p_type`` of the segments that matter here."""

    LOAD = 1
    DYNAMIC = 2
    INTERP = 3
    PHDR = 6
    STACK = 0x6474E551


class Tag(enum.IntEnum):
    """Tags of the dynamic section that matter here."""

    NULL = 0
    NEEDED = 1
    STRTAB = 5
    STRSZ = 10
    SONAME = 14
    RPATH = 15
    RUNPATH = 29
    FLAGS_1 = 0x6FFFFFFB


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int

    def pack(self) -> bytes:
        """As it stands in the file."""
        return SEGMENT.pack(
            self.type,
            self.flags,
            self.offset,
            self.address,
            self.physical,
            self.file_size,
            self.memory_size,
            self.align,
        )


@dataclass(frozen=True, slots=True)
class Section:
    """A section header, without the fields that are of no use here."""

    index: int
    type: int
    address: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DynamicEntry:
    """One entry of the dynamic section."""

    tag: int
    value: int


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The headers of an ELF file of a host's machine."""

    label: str
    type: ElfType
    segments_at: int
    segments: tuple[Segment, ...]
    sections_at: int
    sections: tuple[Section, ...]
    size: int
    """Bytes of the file."""
    form: ElfForm = WIDE
    dynamic: tuple[DynamicEntry, ...] = ()
    """Up to and without the end mark; empty for a static program."""
    dynamic_at: int = 0
    dynamic_capacity: int = 0
    """Entries that have room where the dynamic section stands, the end mark's included."""
    strings_at: int = 0
    strings: bytes = b""
    """The dynamic string table."""

    @classmethod
    def read(cls, data: memoryview, label: str, *, narrow: bool = False) -> Self | None:
        """The headers of ``data``; None when it is no ELF file for a host.

        ``narrow``: of an i386 file too, which can be changed in place only. IntegrityError when it
        is one and cut short, or contradicts itself.
        """
        if bytes(data[:4]) != _MAGIC or len(data) < 20:
            if bytes(data[:4]) == _MAGIC:
                raise _broken(label, "is cut short in its header")
            return None
        form = FORMS.get(bytes(data[4:6]))
        machine = int.from_bytes(data[18:20], "little")
        if form is None or machine not in form.machines or (form is NARROW and not narrow):
            return None
        if len(data) < form.header.size:
            raise _broken(label, "is cut short in its header")
        return cls._read_tables(data, label, form)

    @classmethod
    def _read_tables(cls, data: memoryview, label: str, form: ElfForm) -> Self:
        fields = form.header.unpack_from(data)
        kind, segments_at, sections_at = fields[1], fields[5], fields[6]
        segment_size, segment_count, section_size, section_count = fields[9:13]
        if segment_count and segment_size != form.segment.size:
            raise _broken(label, f"has program headers of {segment_size} bytes")
        if sections_at and section_count and section_size != form.section.size:
            raise _broken(label, f"has section headers of {section_size} bytes")
        segments = tuple(
            Segment(*(values[place] for place in form.segment_order))
            for values in _table(
                data, form.segment, segments_at, segment_count, label=label, what="program"
            )
        )
        sections = tuple(
            Section(index, values[1], values[3], values[4], values[5])
            for index, values in enumerate(
                _table(data, form.section, sections_at, section_count, label=label, what="section")
            )
        )
        for segment in segments:
            if segment.offset + segment.file_size > len(data):
                raise _broken(
                    label,
                    f"is cut short: a segment ends at {segment.offset + segment.file_size} "
                    f"and the file at {len(data)}",
                )
        try:
            elf_type = ElfType(kind)
        except ValueError:
            elf_type = ElfType.OTHER
        elf = cls(label, elf_type, segments_at, segments, sections_at, sections, len(data), form)
        return elf._with_dynamic(data)

    def _with_dynamic(self, data: memoryview) -> Self:
        segment = next((s for s in self.segments if s.type == SegmentType.DYNAMIC), None)
        if segment is None or not segment.file_size:
            return self
        if any(s.offset == segment.offset and s.type == NO_BITS for s in self.sections):
            return self  # a file of debug information, which has the headers alone
        form = self.form.dynamic
        capacity = segment.file_size // form.size
        entries = []
        for place in range(capacity):
            entry = DynamicEntry(*form.unpack_from(data, segment.offset + place * form.size))
            if entry.tag == Tag.NULL:
                break
            entries.append(entry)
        else:
            raise _broken(self.label, "has a dynamic section without an end")
        values = {entry.tag: entry.value for entry in entries}
        if Tag.STRTAB not in values or Tag.STRSZ not in values:
            return self
        at = self.offset_of(values[Tag.STRTAB], values[Tag.STRSZ])
        strings = bytes(data[at : at + values[Tag.STRSZ]])
        return type(self)(
            self.label,
            self.type,
            self.segments_at,
            self.segments,
            self.sections_at,
            self.sections,
            self.size,
            self.form,
            dynamic=tuple(entries),
            dynamic_at=segment.offset,
            dynamic_capacity=capacity,
            strings_at=at,
            strings=strings,
        )

    # ------------------------------------------------------------------- what it says

    @property
    def is_dynamic(self) -> bool:
        """Whether the loader reads a dynamic section of it."""
        return bool(self.strings)

    @property
    def is_program(self) -> bool:
        """Whether it is run, rather than loaded by what is run."""
        if self.type is ElfType.EXECUTABLE:
            return True
        if self.type is not ElfType.SHARED or self.soname:
            return False
        pie = any(e.tag == Tag.FLAGS_1 and e.value & PIE for e in self.dynamic)
        return pie or any(s.type == SegmentType.INTERP for s in self.segments)

    @property
    def is_library(self) -> bool:
        """Whether it is a shared library."""
        return self.type is ElfType.SHARED and self.is_dynamic and not self.is_program

    @property
    def soname(self) -> str:
        """DT_SONAME; empty when there is none."""
        return next(self._texts(Tag.SONAME), "")

    @property
    def needed(self) -> tuple[str, ...]:
        """DT_NEEDED, in order."""
        return tuple(self._texts(Tag.NEEDED))

    @property
    def search_path(self) -> tuple[str, ...]:
        """Where the loader looks: the entries of DT_RUNPATH, else of DT_RPATH."""
        text = next(self._texts(Tag.RUNPATH), None) or next(self._texts(Tag.RPATH), "")
        return tuple(part for part in text.split(":") if part)

    def has(self, tag: Tag) -> bool:
        """Whether the dynamic section has such an entry."""
        return any(entry.tag == tag for entry in self.dynamic)

    def text_at(self, offset: int) -> str:
        """A text of the dynamic string table. IntegrityError when it is none."""
        end = self.strings.find(b"\0", offset)
        if offset >= len(self.strings) or end < 0:
            raise _broken(self.label, "names a string beyond its string table")
        return self.strings[offset:end].decode("utf-8", "surrogateescape")

    def offset_of(self, address: int, size: int) -> int:
        """Where in the file an address range lies. IntegrityError when no segment holds it."""
        for segment in self.segments:
            within = address - segment.address
            if segment.type == SegmentType.LOAD and 0 <= within <= segment.file_size - size:
                return segment.offset + within
        raise _broken(self.label, f"loads nothing at address {address:#x}")

    def string_section(self) -> Section | None:
        """The section of the dynamic string table, where there is one."""
        return next(
            (
                section
                for section in self.sections
                if section.type == _STRING_TABLE and section.offset == self.strings_at
            ),
            None,
        )

    def _texts(self, tag: Tag) -> Iterator[str]:
        return (self.text_at(entry.value) for entry in self.dynamic if entry.tag == tag)


def _table(
    data: memoryview, form: struct.Struct, at: int, count: int, *, label: str, what: str
) -> Iterator[tuple[int, ...]]:
    if not at or not count:
        return iter(())
    if count == _MOST_SEGMENTS or at + count * form.size > len(data):
        raise _broken(label, f"is cut short: its {what} headers lie beyond its end")
    return form.iter_unpack(data[at : at + count * form.size])


def _broken(label: str, problem: str) -> IntegrityError:
    return IntegrityError(f"{label}: {problem}; fetch the archive again")
