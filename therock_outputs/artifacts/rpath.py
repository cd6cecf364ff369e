"""Give an ELF file a DT_RPATH, in one rewrite that touches nothing else.

What changes is a handful of header fields and, when the new path has no room, a segment that is
appended: it holds the program headers (which need one more entry), a copy of the dynamic string
table with the path, and the dynamic section where its old place is full. Everything that was
loaded before is loaded from where it was, so no address in code or data has to change; that is
why files whose program headers already stand at their end are no special case.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from posixpath import dirname, relpath

from therock_outputs.artifacts.elf import (
    DYNAMIC,
    SECTION,
    SEGMENT,
    DynamicEntry,
    ElfFile,
    Segment,
    SegmentType,
    Tag,
)
from therock_outputs.errors import IntegrityError

__all__ = ["Rewrite", "origin_paths", "rewrite_rpath", "runpath_to_rpath"]

_PAGE = 0x1000
_READ, _WRITE = 4, 2
_SYSTEM = ("/usr", "/lib", "/lib64")
"""Only the administrator puts something there."""
_MOST_PADDING = 1 << 24
"""Bytes that a program may grow by for the sake of old kernels."""
# Places in the file header and in a section header.
_SEGMENTS_AT, _SEGMENT_COUNT = 32, 56
_SECTION_ADDRESS = 16


@dataclass(slots=True)
class Rewrite:
    """What to write over a file, and what to append to it."""

    edits: list[tuple[int, bytes]] = field(default_factory=list)
    """Offset and new bytes."""
    tail_at: int = 0
    """Offset of ``tail``, at or beyond the file's end; zeros lie between."""
    tail: bytes = b""

    def size(self, before: int) -> int:
        """Bytes of the file afterwards."""
        return self.tail_at + len(self.tail) if self.tail else before

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of all that is written; in the order in which later ones win."""
        if self.tail:
            yield self.tail_at, self.tail
        yield from self.edits

    def apply(self, data: bytearray) -> None:
        """Rewrite a file in memory."""
        data += bytes(self.size(len(data)) - len(data))
        for offset, new in self.parts():
            data[offset : offset + len(new)] = new


def origin_paths(path: str, places: Sequence[str]) -> tuple[str, ...]:
    """The ``$ORIGIN`` entries by which a library at ``path`` finds directories; all relative."""
    here = dirname(path)
    relative = (relpath(place, here) for place in places)
    return tuple("$ORIGIN" if step == "." else f"$ORIGIN/{step}" for step in relative)


def rewrite_rpath(elf: ElfFile, additions: Sequence[str]) -> Rewrite | None:
    """What makes DT_RPATH hold what the file's search path is, then ``additions``.

    DT_RUNPATH becomes DT_RPATH: these libraries must not be swapped by ``LD_LIBRARY_PATH``.
    None when there is nothing to do: it is so already, or nothing loads by the file.
    """
    if not elf.is_dynamic:
        return None
    wanted = tuple(dict.fromkeys((*elf.search_path, *additions)))
    if not wanted or (wanted == elf.search_path and not elf.has(Tag.RUNPATH)):
        return None
    text = ":".join(wanted).encode("utf-8", "surrogateescape")
    at = _find(elf.strings, text)
    rewrite = Rewrite()
    if at is not None and len(elf.dynamic) + 1 + (not _has_path(elf)) <= elf.dynamic_capacity:
        entries = _entries(elf, at)
        rewrite.edits.append((elf.dynamic_at, _packed(entries, elf.dynamic_capacity)))
        return rewrite
    return _with_segment(elf, text)


def runpath_to_rpath(elf: ElfFile, prefixes: Sequence[str] = ()) -> Rewrite | None:
    """What makes DT_RUNPATH a DT_RPATH in place, without directories that only the build had.

    Those are all but what lies beside the file, below ``prefixes`` or in the system's directories:
    who can make such a directory on a user's machine has the loader take a library from it. The
    loader takes no notice of a DT_RPATH that stands beside DT_RUNPATH, so that one goes. None when
    there is nothing to do.
    """
    tag = Tag.RUNPATH if elf.has(Tag.RUNPATH) else Tag.RPATH
    path = next((entry for entry in elf.dynamic if entry.tag == tag), None)
    if path is None:
        return None
    parts = elf.text_at(path.value).split(":")
    kept = [part for part in parts if _is_installed(part, prefixes)]
    if tag == Tag.RPATH and kept == parts:
        return None
    rewrite, at = Rewrite(), path.value
    if kept != parts:
        at = _shortened(rewrite, elf, path.value, ":".join(kept))
    entries = [
        DynamicEntry(Tag.RPATH, at) if entry is path else entry
        for entry in elf.dynamic
        if (entry is path and kept) or entry.tag not in (Tag.RPATH, Tag.RUNPATH)
    ]
    data = _packed(entries, elf.dynamic_capacity, elf.form.dynamic)
    rewrite.edits.append((elf.dynamic_at, data))
    return rewrite


def _is_installed(part: str, prefixes: Sequence[str]) -> bool:
    """Whether an entry of a search path leads to where packages put files, wherever that is."""
    roots = ("$ORIGIN", "${ORIGIN}", *prefixes, *_SYSTEM)
    return any(part == root or part.startswith(f"{root}/") for root in roots)


def _shortened(rewrite: Rewrite, elf: ElfFile, at: int, new: str) -> int:
    """Where the string table has what is left of the path at ``at``, after an edit if need be.

    Linkers let one text be the end of another. What else ends as a path does is the name of a
    library or a symbol, without a slash or a colon, so it begins in the last step at the earliest:
    nothing is written there, and a path that would reach there stays as it is.
    """
    text, old = new.encode("utf-8", "surrogateescape"), elf.text_at(at)
    found = _find(elf.strings, text)
    if found is not None:
        return found
    last = max(old.rfind("/"), old.rfind(":")) + 1
    if len(text) < len(old[:last].encode("utf-8", "surrogateescape")):
        rewrite.edits.append((elf.strings_at + at, text + b"\0"))
    return at


def _has_path(elf: ElfFile) -> bool:
    return elf.has(Tag.RPATH) or elf.has(Tag.RUNPATH)


def _find(strings: bytes, text: bytes) -> int | None:
    """Where the string table holds a text, alone or as the end of a longer one."""
    at = strings.find(text + b"\0")
    return at if at >= 0 else None


def _entries(elf: ElfFile, path_at: int) -> list[DynamicEntry]:
    """The dynamic section with one DT_RPATH, where a path stood or at the end."""
    entries: list[DynamicEntry] = []
    placed = False
    for entry in elf.dynamic:
        if entry.tag in (Tag.RPATH, Tag.RUNPATH):
            if not placed:
                entries.append(DynamicEntry(Tag.RPATH, path_at))
            placed = True
        else:
            entries.append(entry)
    if not placed:
        entries.append(DynamicEntry(Tag.RPATH, path_at))
    return entries


def _packed(entries: Sequence[DynamicEntry], capacity: int, form: struct.Struct = DYNAMIC) -> bytes:
    data = b"".join(form.pack(entry.tag, entry.value) for entry in entries)
    return data + bytes(capacity * form.size - len(data))


def _with_segment(elf: ElfFile, text: bytes) -> Rewrite:
    if len(elf.segments) + 1 >= 0xFFFF:
        raise IntegrityError(f"{elf.label}: has too many segments to add one")
    strings = elf.strings if elf.strings.endswith(b"\0") else elf.strings + b"\0"
    path_at = len(strings)
    strings += text + b"\0"
    offset, address = _place(elf)
    headers_size = (len(elf.segments) + 1) * SEGMENT.size
    strings_at = headers_size
    dynamic_at = _round_up(strings_at + len(strings), DYNAMIC.size)
    entries = [
        replace(entry, value=address + strings_at)
        if entry.tag == Tag.STRTAB
        else replace(entry, value=len(strings))
        if entry.tag == Tag.STRSZ
        else entry
        for entry in _entries(elf, path_at)
    ]
    rewrite = Rewrite(tail_at=offset)
    moved = len(entries) + 1 > elf.dynamic_capacity
    body = strings
    if moved:
        capacity = len(entries) + 1
        body = strings.ljust(dynamic_at - strings_at, b"\0") + _packed(entries, capacity)
        dynamic = (offset + dynamic_at, address + dynamic_at, capacity * DYNAMIC.size)
        _edit_section(rewrite, elf, elf.dynamic_at, dynamic)
    else:
        dynamic = None
        rewrite.edits.append((elf.dynamic_at, _packed(entries, elf.dynamic_capacity)))
    # In the section headers too, for whoever links against the file or inspects it.
    place = (offset + strings_at, address + strings_at, len(strings))
    section = elf.string_section()
    if section is not None and section.size == len(elf.strings):
        _edit_section(rewrite, elf, elf.strings_at, place)
        rewrite.edits.append((elf.strings_at, bytes(len(elf.strings))))  # nobody looks there now
    size = headers_size + len(body)
    flags = _READ | (_WRITE if moved else 0)
    added = Segment(SegmentType.LOAD, flags, offset, address, address, size, size, _PAGE)
    headers = _headers(elf, added, headers_size, dynamic)
    rewrite.tail = b"".join(segment.pack() for segment in headers) + body
    rewrite.edits.append((_SEGMENTS_AT, offset.to_bytes(8, "little")))
    rewrite.edits.append((_SEGMENT_COUNT, len(headers).to_bytes(2, "little")))
    return rewrite


def _place(elf: ElfFile) -> tuple[int, int]:
    """Offset and address of the new segment: behind all others in memory and in the file."""
    loaded = [segment for segment in elf.segments if segment.type == SegmentType.LOAD]
    if not loaded:
        raise IntegrityError(f"{elf.label}: has a dynamic section and loads nothing")
    end = _round_up(max(s.address + s.memory_size for s in loaded), _PAGE)
    distance = loaded[0].address - loaded[0].offset
    if any(s.type in (SegmentType.INTERP, SegmentType.PHDR) for s in elf.segments):
        # Linux before 5.18 tells a program that its headers stand in memory where they stand in
        # the file, as seen from the first segment: keep that true.
        address = max(end, _round_up(elf.size, _PAGE) + distance)
        if address - distance - elf.size <= _MOST_PADDING:
            return address - distance, address
    offset = _round_up(elf.size, 8)
    return offset, end + offset % _PAGE


def _headers(
    elf: ElfFile, added: Segment, size: int, dynamic: tuple[int, int, int] | None
) -> list[Segment]:
    """The program headers, the new one after the last that is loaded: they go by address."""
    headers = []
    last = max(n for n, s in enumerate(elf.segments) if s.type == SegmentType.LOAD)
    for number, segment in enumerate(elf.segments):
        if segment.type == SegmentType.PHDR:
            headers.append(_moved(segment, (added.offset, added.address, size)))
        elif segment.type == SegmentType.DYNAMIC and dynamic is not None:
            headers.append(_moved(segment, dynamic))
        else:
            headers.append(segment)
        if number == last:
            headers.append(added)
    return headers


def _moved(segment: Segment, place: tuple[int, int, int]) -> Segment:
    offset, address, size = place
    return replace(
        segment,
        offset=offset,
        address=address,
        physical=address,
        file_size=size,
        memory_size=size,
    )


def _edit_section(
    rewrite: Rewrite, elf: ElfFile, old_offset: int, place: tuple[int, int, int]
) -> None:
    """Move the section that began at ``old_offset``, where the file has section headers."""
    offset, address, size = place
    for section in elf.sections:
        if section.offset == old_offset and section.address and section.size:
            at = elf.sections_at + section.index * SECTION.size + _SECTION_ADDRESS
            new = b"".join(number.to_bytes(8, "little") for number in (address, offset, size))
            rewrite.edits.append((at, new))
            return


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
