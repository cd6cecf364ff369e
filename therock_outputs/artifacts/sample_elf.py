"""Small but real ELF files for x86-64 Linux, written without a compiler.

They hold what a linker would put there (program and section headers, a hash table, a dynamic
section, a build id), so that the loader runs them, readelf reads them and patchelf rewrites them.
Formats: System V ABI, chapters 4 and 5, with its AMD64 supplement.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["gpu_code_object", "object_file", "program", "shared_library", "static_library"]

_PAGE = 0x1000
_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC = struct.Struct("<QQ")

_ET_REL, _ET_DYN = 1, 3
_EM_X86_64, _EM_AMDGPU = 62, 224
_INTERPRETER = b"/lib64/ld-linux-x86-64.so.2\0"
_GLOBAL_FUNCTION = 0x12
_READ, _WRITE, _EXECUTE = 4, 2, 1
_ALLOCATED, _WRITABLE, _EXECUTABLE = 2, 1, 4


class _Segment(enum.IntEnum):
    LOAD = 1
    DYNAMIC = 2
    INTERP = 3
    NOTE = 4
    PHDR = 6
    GNU_STACK = 0x6474E551
    GNU_RELRO = 0x6474E552


class _Type(enum.IntEnum):
    """Section types."""

    PROGBITS = 1
    SYMTAB = 2
    STRTAB = 3
    HASH = 5
    DYNAMIC = 6
    NOTE = 7
    DYNSYM = 11
    GNU_HASH = 0x6FFFFFF6


class _Tag(enum.IntEnum):
    """Entries of the dynamic section."""

    NULL = 0
    NEEDED = 1
    HASH = 4
    STRTAB = 5
    SYMTAB = 6
    STRSZ = 10
    SYMENT = 11
    SONAME = 14
    RUNPATH = 29
    GNU_HASH = 0x6FFFFEF5
    FLAGS_1 = 0x6FFFFFFB


_FLAG_PIE = 0x08000000

# Writes argv[0] and then the message to standard output by system calls, and exits with 0.
_PROGRAM_CODE = bytes.fromhex(
    "488b742408"  # mov rsi, [rsp+8]
    "31d2"  # xor edx, edx
    "803c1600"  # measure: cmp byte [rsi+rdx], 0
    "7405"  # je write
    "48ffc2"  # inc rdx
    "ebf5"  # jmp measure
    "bf01000000"  # write: mov edi, 1
    "b801000000"  # mov eax, 1
    "0f05"  # syscall
    "488d3500000000"  # lea rsi, [rip+message]
    "ba00000000"  # mov edx, size
    "b801000000"  # mov eax, 1
    "0f05"  # syscall
    "31ff"  # xor edi, edi
    "b83c000000"  # mov eax, 60
    "0f05"  # syscall
)
_MESSAGE_AT = 0x21
"""Where in the code the message's distance stands, which counts from the next instruction."""


@dataclass(slots=True)
class _Section:
    name: str
    kind: _Type
    data: bytes
    flags: int = _ALLOCATED
    align: int = 8
    link: str = ""
    info: int = 0
    entry_size: int = 0
    offset: int = 0
    """In the file, and in memory: they are the same here."""


@dataclass(slots=True)
class _Strings:
    """A string table; its first byte is the empty name."""

    data: bytearray = field(default_factory=lambda: bytearray(1))

    def add(self, text: str) -> int:
        """The offset of a text in the table."""
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def shared_library(
    soname: str,
    functions: Sequence[str],
    *,
    needed: Sequence[str] = (),
    runpath: str = "$ORIGIN",
    payload: bytes = b"",
) -> bytes:
    """A shared library; each function takes nothing and returns its place in the list, from 1.

    An empty ``soname`` or ``runpath`` is left out. ``payload`` is its read-only data.
    """
    # mov eax, number; ret
    code = b"".join(b"\xb8" + struct.pack("<I", at + 1) + b"\xc3" for at in range(len(functions)))
    symbols = [(name, at * 6, 6) for at, name in enumerate(functions)]
    return _dynamic_elf(
        code, symbols, soname=soname, needed=needed, runpath=runpath, payload=payload
    )


def program(message: str, *, needed: Sequence[str] = (), runpath: str = "$ORIGIN/../lib") -> bytes:
    """A position-independent program that prints its argv[0] and the message, and exits with 0.

    The loader has to find ``needed`` first, or it does not start.
    """
    text = message.encode()
    code = bytearray(_PROGRAM_CODE)
    struct.pack_into("<i", code, _MESSAGE_AT, len(code) - (_MESSAGE_AT + 4))
    struct.pack_into("<I", code, _MESSAGE_AT + 5, len(text))
    return _dynamic_elf(
        bytes(code) + text, [], soname="", needed=needed, runpath=runpath, is_program=True
    )


def gpu_code_object(target: str, size: int) -> bytes:
    """Something like a GPU code object of about ``size`` bytes: an ELF header of an AMD GPU.

    The rest is noise of its own for each target, as little compressible as real code is.
    """
    ident = b"\x7fELF" + bytes([2, 1, 1, 64, 3]) + bytes(7)
    header = _FILE_HEADER.pack(
        ident, _ET_DYN, _EM_AMDGPU, 1, 0, 0, 0, 0, _FILE_HEADER.size, 0, 0, 0, 0, 0
    )
    noise = hashlib.shake_256(target.encode()).digest(size // 2)
    return header + target.encode() + b"\0" + noise + bytes(size - size // 2)


def object_file(function: str, code: bytes) -> bytes:
    """What a compiler makes of one function, for a linker."""
    names, strings = _Strings(), _Strings()
    symbol = _SYMBOL.pack(strings.add(function), _GLOBAL_FUNCTION, 0, 1, 0, len(code))
    called = [names.add(n) for n in (".text", ".note.GNU-stack", ".symtab", ".strtab", ".shstrtab")]
    sections = (
        # kind, flags, content, link, first global symbol, alignment, size of an item
        (_Type.PROGBITS, _ALLOCATED | _EXECUTABLE, code, 0, 0, 1, 0),
        (_Type.PROGBITS, 0, b"", 0, 0, 1, 0),
        (_Type.SYMTAB, 0, bytes(_SYMBOL.size) + symbol, 4, 1, 8, _SYMBOL.size),
        (_Type.STRTAB, 0, bytes(strings.data), 0, 0, 1, 0),
        (_Type.STRTAB, 0, bytes(names.data), 0, 0, 1, 0),
    )
    data, headers = bytearray(_FILE_HEADER.size), bytearray(_SECTION_HEADER.size)
    for name, (kind, flags, content, link, info, align, item) in zip(called, sections, strict=True):
        data += bytes(_round_up(len(data), align) - len(data))
        headers += _SECTION_HEADER.pack(
            name, kind, flags, 0, len(data), len(content), link, info, align, item
        )
        data += content
    data += bytes(_round_up(len(data), 8) - len(data))
    data[: _FILE_HEADER.size] = _FILE_HEADER.pack(
        b"\x7fELF" + bytes([2, 1, 1]) + bytes(9), _ET_REL, _EM_X86_64, 1, 0, 0, len(data), 0,
        _FILE_HEADER.size, 0, 0, _SECTION_HEADER.size, len(sections) + 1, len(sections),
    )  # fmt: skip
    return bytes(data + headers)


def static_library(member: str, data: bytes) -> bytes:
    """An ``ar`` archive of one member, as a linker reads it."""
    head = f"{member + '/':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n".encode()
    return b"!<arch>\n" + head + data + b"\n" * (len(data) % 2)


def _dynamic_elf(
    code: bytes,
    symbols: Sequence[tuple[str, int, int]],
    *,
    soname: str,
    needed: Sequence[str],
    runpath: str,
    payload: bytes = b"",
    is_program: bool = False,
) -> bytes:
    """An ELF file of three loaded parts: read-only, code, and the dynamic section."""
    strings = _Strings()
    entries: list[tuple[_Tag, int | str]] = [(_Tag.NEEDED, strings.add(name)) for name in needed]
    if soname:
        entries.append((_Tag.SONAME, strings.add(soname)))
    if runpath:
        entries.append((_Tag.RUNPATH, strings.add(runpath)))
    names = [strings.add(name) for name, _, _ in symbols]
    entries += [
        (_Tag.HASH, ".hash"),
        (_Tag.GNU_HASH, ".gnu.hash"),
        (_Tag.STRTAB, ".dynstr"),
        (_Tag.SYMTAB, ".dynsym"),
        (_Tag.STRSZ, len(strings.data)),
        (_Tag.SYMENT, _SYMBOL.size),
    ]
    if is_program:
        entries.append((_Tag.FLAGS_1, _FLAG_PIE))
    entries.append((_Tag.NULL, 0))

    read_only = [
        *([_Section(".interp", _Type.PROGBITS, _INTERPRETER, align=1)] if is_program else []),
        _Section(
            ".note.gnu.build-id",
            _Type.NOTE,
            _build_id(code, bytes(strings.data), payload),
            align=4,
        ),
        _Section(".hash", _Type.HASH, _hash_table(len(symbols)), link=".dynsym", entry_size=4),
        _Section(
            ".gnu.hash", _Type.GNU_HASH, _gnu_hash_table([s[0] for s in symbols]), link=".dynsym"
        ),
        _Section(
            ".dynsym",
            _Type.DYNSYM,
            bytes(_SYMBOL.size * (len(symbols) + 1)),
            link=".dynstr",
            info=1,
            entry_size=_SYMBOL.size,
        ),
        _Section(".dynstr", _Type.STRTAB, bytes(strings.data), align=1),
        *([_Section(".rodata", _Type.PROGBITS, payload)] if payload else []),
    ]
    text = _Section(".text", _Type.PROGBITS, code, _ALLOCATED | _EXECUTABLE, align=16)
    dynamic = _Section(
        ".dynamic",
        _Type.DYNAMIC,
        bytes(_DYNAMIC.size * len(entries)),
        _ALLOCATED | _WRITABLE,
        link=".dynstr",
        entry_size=_DYNAMIC.size,
    )
    segments = 9 if is_program else 7
    _place(read_only, text, dynamic, _FILE_HEADER.size + segments * _SEGMENT_HEADER.size)
    by_name = {section.name: section for section in (*read_only, text, dynamic)}
    text_index = len(read_only) + 1
    by_name[".dynsym"].data = bytes(_SYMBOL.size) + b"".join(
        _SYMBOL.pack(name, _GLOBAL_FUNCTION, 0, text_index, text.offset + at, size)
        for name, (_, at, size) in zip(names, symbols, strict=True)
    )
    dynamic.data = b"".join(
        _DYNAMIC.pack(tag, by_name[value].offset if isinstance(value, str) else value)
        for tag, value in entries
    )
    return _assemble(read_only, text, dynamic, is_program=is_program)


def _build_id(*parts: bytes) -> bytes:
    digest = hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()
    return struct.pack("<III4s", 4, len(digest), 3, b"GNU\0") + digest


def _hash_table(symbols: int) -> bytes:
    # One bucket with all symbols in a chain: slow to search, and there are few.
    chain = [0, *range(2, symbols + 1), 0] if symbols else [0]
    return struct.pack(f"<III{len(chain)}I", 1, symbols + 1, 1 if symbols else 0, *chain)


def _gnu_hash_table(names: Sequence[str]) -> bytes:
    # As above; the filter before the only bucket lets everything through.
    hashes = [_gnu_hash(name) & ~1 for name in names]
    if hashes:
        hashes[-1] |= 1  # ends the chain
    start = struct.pack("<IIIIQI", 1, 1, 1, 6, (1 << 64) - 1, 1 if names else 0)
    return start + struct.pack(f"<{len(hashes)}I", *hashes)


def _gnu_hash(name: str) -> int:
    value = 5381
    for byte in name.encode():
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _place(read_only: list[_Section], text: _Section, dynamic: _Section, start: int) -> None:
    """Give every section its offset; each part begins on a page of its own."""
    at = start
    for section in read_only:
        section.offset = at = _round_up(at, section.align)
        at += len(section.data)
    text.offset = _round_up(at, _PAGE)
    dynamic.offset = _round_up(text.offset + len(text.data), _PAGE)


def _assemble(
    read_only: list[_Section], text: _Section, dynamic: _Section, *, is_program: bool
) -> bytes:
    sections = [*read_only, text, dynamic]
    image = bytearray(dynamic.offset + len(dynamic.data))
    for section in sections:
        image[section.offset : section.offset + len(section.data)] = section.data
    names = _Strings()
    name_offsets = [names.add(section.name) for section in sections]
    own_name = names.add(".shstrtab")
    names_at = len(image)
    image += names.data
    image += bytes(_round_up(len(image), 8) - len(image))
    headers_at = len(image)
    image += bytes(_SECTION_HEADER.size)
    index = {section.name: number for number, section in enumerate(sections, 1)}
    for section, name in zip(sections, name_offsets, strict=True):
        image += _SECTION_HEADER.pack(
            name, section.kind, section.flags, section.offset, section.offset, len(section.data),
            index.get(section.link, 0), section.info, section.align, section.entry_size,
        )  # fmt: skip
    image += _SECTION_HEADER.pack(
        own_name, _Type.STRTAB, 0, 0, names_at, len(names.data), 0, 0, 1, 0
    )
    segments = _segments(read_only, text, dynamic, is_program=is_program)
    image[: _FILE_HEADER.size] = _FILE_HEADER.pack(
        b"\x7fELF" + bytes([2, 1, 1]) + bytes(9), _ET_DYN, _EM_X86_64, 1,
        text.offset if is_program else 0, _FILE_HEADER.size, headers_at, 0, _FILE_HEADER.size,
        _SEGMENT_HEADER.size, len(segments), _SECTION_HEADER.size, len(sections) + 2,
        len(sections) + 1,
    )  # fmt: skip
    table = b"".join(
        _SEGMENT_HEADER.pack(kind, flags, at, at, at, size, size, align)
        for kind, flags, at, size, align in segments
    )
    image[_FILE_HEADER.size : _FILE_HEADER.size + len(table)] = table
    return bytes(image)


def _segments(
    read_only: list[_Section], text: _Section, dynamic: _Section, *, is_program: bool
) -> list[tuple[_Segment, int, int, int, int]]:
    """Kind, flags, offset, size and alignment of each segment."""
    by_name = {section.name: section for section in read_only}
    note = by_name[".note.gnu.build-id"]
    last = read_only[-1]
    segments = [
        (_Segment.LOAD, _READ, 0, last.offset + len(last.data), _PAGE),
        (_Segment.LOAD, _READ | _EXECUTE, text.offset, len(text.data), _PAGE),
        (_Segment.LOAD, _READ | _WRITE, dynamic.offset, len(dynamic.data), _PAGE),
        (_Segment.DYNAMIC, _READ | _WRITE, dynamic.offset, len(dynamic.data), 8),
        (_Segment.NOTE, _READ, note.offset, len(note.data), 4),
        (_Segment.GNU_STACK, _READ | _WRITE, 0, 0, 16),
        (_Segment.GNU_RELRO, _READ, dynamic.offset, len(dynamic.data), 1),
    ]
    if is_program:
        # The loader wants these two before the first part that it loads.
        interp = by_name[".interp"]
        size = 9 * _SEGMENT_HEADER.size
        segments = [
            (_Segment.PHDR, _READ, _FILE_HEADER.size, size, 8),
            (_Segment.INTERP, _READ, interp.offset, len(interp.data), 1),
            *segments,
        ]
    return segments


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
