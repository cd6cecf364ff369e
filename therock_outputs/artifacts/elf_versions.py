"""What an ELF file provides and requires by the names of libraries and their symbol versions.

It is what rpm's own generator, ``elfdeps`` of rpm 4.18, says of the same file: it follows section
headers, takes 32-bit, big-endian and GPU files too, and passes over whatever makes no sense.
Formats: System V ABI, chapters 4 and 5; Linux Standard Base, "Symbol Versioning".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ElfDependencies", "elf_dependencies"]

Bytes = bytes | bytearray | memoryview

_MAGIC = b"\x7fELF"
_EXECUTABLE, _SHARED = 2, 3
_DYNAMIC, _DEFINITIONS, _NEEDS = 6, 0x6FFFFFFD, 0x6FFFFFFE
_NULL, _NEEDED, _HASH, _SONAME, _DEBUG, _GNU_HASH = 0, 1, 4, 14, 21, 0x6FFFFEF5
_BASE = 1
"""The definition that names the library itself."""
_ALPHA = (0x9026, 41)
"""Its 64-bit libraries bear no mark."""
_INTERPRETER = 3
_SEGMENT_32, _SEGMENT_64 = 32, 56
_STRINGS = 3
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class ElfDependencies:
    """What one ELF file provides and requires."""

    is_64_bit: bool
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    has_interpreter: bool = False
    """Whether it is run: such a file requires nothing unless it may be executed."""

    mark: str = ""
    named_by_file: bool = False
    """Whether it is a library without a SONAME, which provides its file's name."""

    def provides_as(self, name: str) -> tuple[str, ...]:
        """What it provides under a file name."""
        own = (_dependency(name, "", self.mark),) if self.named_by_file and _counts(name) else ()
        return (*self.provides, *own)

    def requires_with(self, mode: int) -> tuple[str, ...]:
        """What it requires with these permission bits."""
        return self.requires if mode & 0o111 or not self.has_interpreter else ()


@dataclass(frozen=True, slots=True)
class _Form:
    """How the fields of a class and byte order are laid out."""

    header: struct.Struct
    section: struct.Struct
    dynamic: struct.Struct
    definition: struct.Struct
    definition_name: struct.Struct
    need: struct.Struct
    need_version: struct.Struct
    word: struct.Struct

    @classmethod
    def of(cls, order: str, *, wide: bool) -> _Form:
        native = "Q" if wide else "I"
        return cls(
            struct.Struct(f"{order}16sHHI{native}{native}{native}IHHHHHH"),
            struct.Struct(f"{order}II{native}{native}{native}{native}II{native}{native}"),
            struct.Struct(f"{order}{native}{native}"),
            struct.Struct(f"{order}HHHHIII"),
            struct.Struct(f"{order}II"),
            struct.Struct(f"{order}HHIII"),
            struct.Struct(f"{order}IHHII"),
            struct.Struct(f"{order}I"),
        )


_FORMS = {
    (kind, order): _Form.of(sign, wide=kind == 2)
    for kind in (1, 2)
    for order, sign in ((1, "<"), (2, ">"))
}


@dataclass(frozen=True, slots=True)
class _Section:
    type: int
    start: int
    end: int
    link: int
    info: int


def elf_dependencies(data: Bytes) -> ElfDependencies | None:
    """What a file provides and requires; None when it is not ELF."""
    if len(data) < 20 or bytes(data[:4]) != _MAGIC:
        return None
    form = _FORMS.get((data[4], data[5]))
    if form is None or len(data) < form.header.size:
        return None
    fields = form.header.unpack_from(data)
    kind, machine, is_64_bit = fields[1], fields[2], data[4] == 2
    if kind not in (_EXECUTABLE, _SHARED):
        return ElfDependencies(is_64_bit)
    mark = "(64bit)" if is_64_bit and machine not in _ALPHA else ""
    return _Reader(data, form, fields, mark).read(is_64_bit=is_64_bit, shared=kind == _SHARED)


def _counts(name: str) -> bool:
    """Whether a name is a library's that others link to; plug-ins are left out."""
    return ".so" in name and name.startswith(("lib", "ld.", "ld-", "ld64."))


def _dependency(name: str, version: str, mark: str) -> str:
    return f"{name}({version}){mark}" if version or mark else name


class _Reader:
    """One look at one file."""

    def __init__(self, data: Bytes, form: _Form, fields: tuple[int, ...], mark: str) -> None:
        self._data = data
        self._form = form
        self._mark = mark
        self._sections = self._read_sections(fields[6], fields[11], fields[12])
        self._has_interpreter = self._finds_interpreter(fields[5], fields[9], fields[10])
        self._provides: list[str] = []
        self._requires: list[str] = []
        self._soname = ""
        self._tags: set[int] = set()

    def read(self, *, is_64_bit: bool, shared: bool) -> ElfDependencies:
        for section in self._sections:
            if section.type == _DEFINITIONS:
                self._read_definitions(section)
            elif section.type == _NEEDS:
                self._read_needs(section)
            elif section.type == _DYNAMIC:
                self._read_dynamic(section)
        if _GNU_HASH in self._tags and _HASH not in self._tags:
            self._requires.append("rtld(GNU_HASH)")
        is_library = shared and _DEBUG not in self._tags
        if is_library and _counts(self._soname):
            self._provides.append(_dependency(self._soname, "", self._mark))
        return ElfDependencies(
            is_64_bit,
            tuple(sorted(set(self._provides))),
            tuple(sorted(set(self._requires))),
            has_interpreter=self._has_interpreter,
            mark=self._mark,
            named_by_file=is_library and not self._soname,
        )

    def _read_sections(self, at: int, size: int, count: int) -> list[_Section]:
        form = self._form.section
        if not at or size != form.size or at + form.size > len(self._data):
            return []
        if not count:  # more than fit into the header's field: the first section has the number
            count = form.unpack_from(self._data, at)[5]
        sections = []
        for number in range(min(count, (len(self._data) - at) // form.size)):
            fields = form.unpack_from(self._data, at + number * form.size)
            start, length = fields[4], fields[5]
            end = start + length if start + length <= len(self._data) else start
            sections.append(_Section(fields[1], start, end, fields[6], fields[7]))
        return sections

    def _finds_interpreter(self, at: int, size: int, count: int) -> bool:
        """Whether a program header names a loader."""
        if size not in (_SEGMENT_32, _SEGMENT_64):
            return False
        places = range(at, min(at + size * count, len(self._data) - size + 1), size)
        first = self._form.word.unpack_from
        return any(first(self._data, place)[0] == _INTERPRETER for place in places)

    def _text(self, section: _Section, offset: int) -> str | None:
        """A text of the string table that belongs to a section."""
        if section.link >= len(self._sections):
            return None
        strings = self._sections[section.link]
        at = strings.start + offset
        if strings.type != _STRINGS or at >= strings.end:
            return None
        raw = bytes(self._data[at : min(strings.end, at + _LONGEST_NAME)])
        text, end, _ = raw.partition(b"\0")
        return text.decode("utf-8", "surrogateescape") if end else None

    def _read_dynamic(self, section: _Section) -> None:
        form = self._form.dynamic
        for at in range(section.start, section.end - form.size + 1, form.size):
            tag, value = form.unpack_from(self._data, at)
            if tag in (_HASH, _GNU_HASH, _DEBUG):
                self._tags.add(tag)
            elif tag == _SONAME:
                self._soname = self._text(section, value) or self._soname
            elif tag == _NEEDED and _counts(name := self._text(section, value) or ""):
                self._requires.append(_dependency(name, "", self._mark))

    def _read_definitions(self, section: _Section) -> None:
        library = ""
        for at, fields in self._chain(section, self._form.definition, section.info, 6):
            is_base, count = bool(fields[1] & _BASE), fields[3]
            names = self._chain(section, self._form.definition_name, count, 1, at + fields[5])
            for number, (_, name_fields) in enumerate(names):
                name = self._text(section, name_fields[0])
                if name is None:
                    break
                if is_base:
                    library = name
                elif _counts(library) and not number:  # those that follow are what it inherits
                    self._provides.append(_dependency(library, name, self._mark))

    def _read_needs(self, section: _Section) -> None:
        for at, fields in self._chain(section, self._form.need, section.info, 4):
            library = self._text(section, fields[2])
            if library is None:
                break
            versions = self._chain(section, self._form.need_version, fields[1], 4, at + fields[3])
            for _, version_fields in versions:
                version = self._text(section, version_fields[3])
                if version is None:
                    break
                if _counts(library):
                    self._requires.append(_dependency(library, version, self._mark))

    def _chain(
        self, section: _Section, form: struct.Struct, count: int, step: int, at: int | None = None
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Entries that each say, in the field ``step``, how far away the next one is."""
        at = section.start if at is None else at
        for _ in range(min(count, (section.end - section.start) // form.size)):
            if at < section.start or at + form.size > section.end:
                return
            fields = form.unpack_from(self._data, at)
            yield at, fields
            if not fields[step]:
                return
            at += fields[step]
