"""What modes and linters go by in an ELF file, whatever machine it is for.

Little-endian files are looked into, from their headers alone; what makes no sense in them is passed
over. Formats: System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from therock_outputs.artifacts.elf import (
    FORMS,
    NO_BITS,
    PIE,
    ElfType,
    Segment,
    SegmentType,
    Tag,
)

__all__ = ["Bytes", "ElfTraits", "elf_traits", "is_elf"]

Bytes = bytes | bytearray | memoryview

_MAGIC = b"\x7fELF"
_SYMBOLS = 2
_EXECUTE = 1


@dataclass(frozen=True, slots=True)
class ElfTraits:
    """What one file is, and what it has."""

    is_for_host: bool
    """Whether its machine is one that runs programs; GPU code objects are ELF files too."""
    is_shared: bool
    """Whether it is of the type of shared libraries, as programs at no fixed place are too."""
    is_program: bool
    """Whether it is run, rather than loaded by what is run."""
    is_library: bool
    """Whether programs load it."""
    has_soname: bool
    needs_libraries: bool
    has_symbols: bool
    """Whether it has the symbols that ``strip`` takes away."""
    has_executable_stack: bool


def is_elf(data: Bytes) -> bool:
    """Whether this is the beginning of an ELF file of any class."""
    return bytes(data[:4]) == _MAGIC


def elf_traits(data: Bytes) -> ElfTraits | None:
    """The traits of a file; None when it is no ELF file that is looked into."""
    form = FORMS.get(bytes(data[4:6])) if is_elf(data) else None
    if form is None or len(data) < form.header.size:
        return None
    fields = form.header.unpack_from(data)
    kind, machine = fields[1], fields[2]
    segments = [
        Segment(*(values[place] for place in form.segment_order))
        for values in _table(data, form.segment, fields[5], fields[9], fields[10])
    ]
    sections = list(_table(data, form.section, fields[6], fields[11], fields[12]))
    dynamic = dict(_dynamic(data, form.dynamic, segments, sections))
    has_interpreter = any(segment.type == SegmentType.INTERP for segment in segments)
    is_shared, has_soname = kind == ElfType.SHARED, Tag.SONAME in dynamic
    is_pie = bool(dynamic.get(Tag.FLAGS_1, 0) & PIE)
    is_program = kind == ElfType.EXECUTABLE or (is_shared and (has_interpreter or is_pie))
    return ElfTraits(
        is_for_host=machine in form.machines,
        is_shared=is_shared,
        is_program=is_program,
        is_library=is_shared and bool(dynamic) and not is_program,
        has_soname=has_soname,
        needs_libraries=Tag.NEEDED in dynamic,
        has_symbols=any(section[1] == _SYMBOLS for section in sections),
        has_executable_stack=any(
            segment.type == SegmentType.STACK and bool(segment.flags & _EXECUTE)
            for segment in segments
        ),
    )


def _table(
    data: Bytes, form: struct.Struct, at: int, size: int, count: int
) -> Iterator[tuple[int, ...]]:
    """The headers of a table that lies within the file."""
    if at and size == form.size and at + size * count <= len(data):
        for number in range(count):
            yield form.unpack_from(data, at + number * size)


def _dynamic(
    data: Bytes,
    form: struct.Struct,
    segments: list[Segment],
    sections: list[tuple[int, ...]],
) -> Iterator[tuple[int, int]]:
    """Tags and values; none of a file of debug information, which has the headers alone."""
    for segment in segments:
        if segment.type != SegmentType.DYNAMIC:
            continue
        start = segment.offset
        if any(section[1] == NO_BITS and section[4] == start for section in sections):
            return
        end = min(start + segment.file_size, len(data))
        for at in range(start, end - form.size + 1, form.size):
            tag, value = form.unpack_from(data, at)
            if tag == Tag.NULL:
                return
            yield tag, value
