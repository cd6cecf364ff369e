"""Write an rpm: a lead, a signature header, the header, a compressed cpio file (format 3 of rpm 4).

https://rpm-software-management.github.io/rpm/manual/format_v4.html tells what is in it.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, dirname
from typing import BinaryIO

from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.native_packages.documents import CHANGE
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackagePlan
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.payload import Payload
from therock_outputs.native_packages.pieces import LEVELS, Compression
from therock_outputs.native_packages.rpm_header import Header, Tag, lead
from therock_outputs.native_packages.signature import sign

__all__ = ["elf_relations", "write_package"]

_FOUR_GB = 0xFFFFFFFF
_SIGNATURE_ROOM = 2048
_SHA256 = 8
_LESS, _GREATER, _EQUAL = 2, 4, 8
_SENSES = {
    "<": _LESS,
    "<=": _LESS | _EQUAL,
    "=": _EQUAL,
    ">=": _GREATER | _EQUAL,
    ">": _GREATER,
}
_INTERPRETER, _POST, _PREUN, _POSTUN = 1 << 8, 1 << 10, 1 << 11, 1 << 12
_FOUND_REQUIRED, _FOUND_PROVIDED, _RPMLIB = 1 << 14, 1 << 15, 1 << 24
_SHELL = "/bin/sh"
_TYPES = {Kind.FILE: 0o100000, Kind.HARDLINK: 0o100000, Kind.DIRECTORY: 0o040000}
_SYMLINK = 0o120000
_ELF_32, _ELF_64 = 1, 2
_DEBUGGER = "amdrocm-debugger"
_WIDTH = 79
_RELATION = re.compile(r"(\S+)\s+(<=|>=|=|<|>)\s+(\S+)")
_ISA = {"x86_64": "(x86-64)", "aarch64": "(aarch-64)"}
_READ = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class _Relation:
    """A name, perhaps with a version."""

    name: str
    version: str = ""
    flags: int = 0


def write_package(
    plan: PackagePlan, entries: Sequence[Entry], file: BinaryIO, tools: Tools
) -> None:
    """Write one package into an empty file that can be read too.

    UsageError for what the format cannot hold, or a key that cannot sign.
    """
    entries = _owned(plan, entries)
    is_large = any(entry.size > _FOUR_GB for entry in entries)
    # The digests do not change how long the headers are, so the payload can come first.
    payload_size = _archive_size(entries, stripped=is_large)
    header = _header(plan, entries, "0" * 64, tools, is_large=is_large)
    start = len(_Front(plan, header, payload_size).draft(tools.sign_key))
    file.seek(start)
    digest = hashlib.sha256()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    _write_payload(entries, write, tools, stripped=is_large, expected=payload_size)
    compressed = file.tell() - start
    header = _header(plan, entries, digest.hexdigest(), tools, is_large=is_large)
    md5 = hashlib.md5(header, usedforsecurity=False)  # what rpm before 4.14 checks
    file.seek(start)
    while data := file.read(_READ):
        md5.update(data)
    front = _Front(plan, header, payload_size, compressed, md5.digest()).final(tools.sign_key)
    if len(front) != start:
        raise AssertionError(f"the headers take {len(front)} bytes, and {start} were kept for them")
    file.seek(0)
    file.write(front)


def _owned(plan: PackagePlan, entries: Sequence[Entry]) -> list[Entry]:
    """The entries that an rpm owns: nothing above its prefix, for it can be installed elsewhere."""
    prefix = plan.prefix.strip("/")
    return [entry for entry in entries if not prefix.startswith(f"{entry.path}/")]


# ------------------------------------------------------------------- lead and signature


@dataclass(frozen=True, slots=True)
class _Front:
    """All that stands before the payload; its length is known before the payload is."""

    plan: PackagePlan
    header: bytes
    payload_size: int
    """Bytes of the cpio file."""
    compressed: int = 0
    md5: bytes = bytes(16)
    """Of header and payload."""

    def draft(self, sign_key: str | None) -> bytes:
        """As long as the final one."""
        return self._pack(b"" if sign_key is None else b"\0", is_rsa=True)

    def final(self, sign_key: str | None) -> bytes:
        """The real one, signed when there is a key."""
        if sign_key is None:
            return self._pack(b"", is_rsa=True)
        made = sign(self.header, sign_key)
        return self._pack(made.data, is_rsa=made.is_rsa)

    def _pack(self, signature: bytes, *, is_rsa: bool) -> bytes:
        header, size = Header(Tag.SIGNATURES), len(self.header) + self.compressed
        if self.payload_size + len(self.header) > _FOUR_GB:
            header.int64(Tag.LONG_SIGNATURE_SIZE, [size])
            header.int64(Tag.LONG_ARCHIVE_SIZE, [self.payload_size])
        else:
            header.int32(Tag.SIGNATURE_SIZE, [size])
            header.int32(Tag.SIGNATURE_PAYLOAD_SIZE, [self.payload_size])
        header.binary(Tag.SIGNATURE_MD5, self.md5)
        sha1 = hashlib.sha1(self.header, usedforsecurity=False)
        header.text(Tag.SHA1_HEADER, sha1.hexdigest())
        header.text(Tag.SHA256_HEADER, hashlib.sha256(self.header).hexdigest())
        if signature:
            # Signatures of one key differ in length by a byte or two.
            left = _SIGNATURE_ROOM - len(signature)
            if left < 1:
                raise UsageError(
                    f"{self.plan.filename}: a signature of {len(signature)} bytes is longer than "
                    f"{_SIGNATURE_ROOM}; sign with a key of a usual size"
                )
            header.binary(Tag.SIGNATURE_RSA if is_rsa else Tag.SIGNATURE_DSA, signature)
            header.binary(Tag.RESERVED_SPACE, bytes(left))
        plan = self.plan
        front = lead(f"{plan.name}-{plan.version}-{plan.release}", plan.architecture)
        front += header.to_bytes()
        return front + bytes(-len(front) % 8) + self.header


# ------------------------------------------------------------------------------- header


def _header(
    plan: PackagePlan, entries: Sequence[Entry], digest: str, tools: Tools, *, is_large: bool
) -> bytes:
    header = Header(Tag.IMMUTABLE)
    header.texts(Tag.I18N_TABLE, ["C"])
    header.text(Tag.NAME, plan.name)
    header.text(Tag.VERSION, plan.version)
    header.text(Tag.RELEASE, plan.release)
    header.translated(Tag.SUMMARY, plan.summary)
    header.translated(Tag.DESCRIPTION, _description(plan))
    header.int32(Tag.BUILD_TIME, [tools.mtime])
    header.text(Tag.BUILD_HOST, "localhost")  # never the machine's own
    header.int32(Tag.CHANGELOG_TIMES, [tools.mtime])
    header.texts(Tag.CHANGELOG_NAMES, [f"{plan.maintainer} - {plan.version}-{plan.release}"])
    header.texts(Tag.CHANGELOG_TEXTS, [f"- {CHANGE}"])
    header.text(Tag.VENDOR, plan.vendor)
    header.text(Tag.LICENSE, plan.license)
    header.text(Tag.PACKAGER, plan.maintainer)
    header.translated(Tag.GROUP, plan.group or "Unspecified")
    header.text(Tag.URL, plan.homepage)
    header.text(Tag.OS, "linux")
    header.text(Tag.ARCHITECTURE, plan.architecture)
    header.text(Tag.SOURCE_RPM, f"{plan.name}-{plan.version}-{plan.release}.src.rpm")
    header.text(Tag.RPM_VERSION, "4.14.0")
    header.text(Tag.ENCODING, "utf-8")
    header.texts(Tag.PREFIXES, [plan.prefix])
    _add_scripts(header, plan)
    _add_relations(header, plan, entries, tools, is_large=is_large)
    if entries:
        _add_files(header, entries, tools.mtime, is_large=is_large)
    total = sum(entry.size for entry in entries if entry.kind is not Kind.HARDLINK)
    if is_large or total > _FOUR_GB:
        header.int64(Tag.LONG_SIZE, [total])
    else:
        header.int32(Tag.SIZE, [total])
    header.text(Tag.PAYLOAD_FORMAT, "cpio")
    header.text(Tag.PAYLOAD_COMPRESSOR, tools.maker.compression.value)
    header.text(Tag.PAYLOAD_FLAGS, str(LEVELS[tools.maker.compression]))
    header.texts(Tag.PAYLOAD_DIGEST, [digest])
    header.int32(Tag.PAYLOAD_DIGEST_ALGORITHM, [_SHA256])
    return header.to_bytes()


def _description(plan: PackagePlan) -> str:
    paragraphs = [part for part in plan.description.split("\n\n") if part.strip()]
    return "\n\n".join("\n".join(textwrap.wrap(part, _WIDTH)) for part in paragraphs)


def _add_scripts(header: Header, plan: PackagePlan) -> None:
    scripts = plan.scripts
    for text, tag, program in (
        (scripts.after_install, Tag.POST_IN, Tag.POST_IN_PROGRAM),
        (scripts.before_remove, Tag.PRE_UN, Tag.PRE_UN_PROGRAM),
        (scripts.after_remove, Tag.POST_UN, Tag.POST_UN_PROGRAM),
    ):
        if text.strip():
            header.text(tag, f"{text.strip()}\n")
            header.text(program, _SHELL)


def _add_files(header: Header, entries: Sequence[Entry], mtime: int, *, is_large: bool) -> None:
    count = len(entries)
    inodes = _inodes(entries)
    directories = sorted({_directory(entry) for entry in entries}, key=str.encode)
    places = {path: number for number, path in enumerate(directories)}
    sizes = [entry.size for entry in entries]
    if is_large:
        header.int64(Tag.LONG_FILE_SIZES, sizes)
    else:
        header.int32(Tag.FILE_SIZES, sizes)
    header.int16(Tag.FILE_MODES, [_mode(entry) for entry in entries])
    header.int16(Tag.FILE_RDEVS, [0] * count)
    header.int32(Tag.FILE_MTIMES, [mtime] * count)
    header.texts(
        Tag.FILE_DIGESTS, [entry.file.sha256 if entry.file is not None else "" for entry in entries]
    )
    symlinks = [entry.link if entry.kind is Kind.SYMLINK else "" for entry in entries]
    header.texts(Tag.FILE_LINKS, symlinks)
    header.int32(Tag.FILE_FLAGS, [0] * count)
    header.texts(Tag.FILE_USERS, ["root"] * count)
    header.texts(Tag.FILE_GROUPS, ["root"] * count)
    header.int32(Tag.FILE_VERIFY_FLAGS, [0xFFFFFFFF] * count)
    header.int32(Tag.FILE_DEVICES, [1] * count)
    header.int32(Tag.FILE_INODES, [inodes[entry.inode] for entry in entries])
    header.texts(Tag.FILE_LANGUAGES, [""] * count)
    header.int32(Tag.DIRECTORY_INDEXES, [places[_directory(entry)] for entry in entries])
    header.texts(Tag.BASE_NAMES, [basename(entry.path) for entry in entries])
    header.texts(Tag.DIRECTORY_NAMES, directories)
    header.int32(Tag.FILE_COLORS, [_color(entry) for entry in entries])
    header.int32(Tag.FILE_DIGEST_ALGORITHM, [_SHA256])


def _directory(entry: Entry) -> str:
    return f"/{dirname(entry.path)}/".replace("//", "/")


def _mode(entry: Entry) -> int:
    return _TYPES.get(entry.kind, _SYMLINK) | entry.mode


def _color(entry: Entry) -> int:
    """How rpm tells 32-bit from 64-bit files that want one place."""
    elf = entry.file.elf if entry.file is not None else None
    if elf is None:
        return 0
    return _ELF_64 if elf.is_64_bit else _ELF_32


def _inodes(entries: Sequence[Entry]) -> dict[str, int]:
    inodes: dict[str, int] = {}
    for entry in entries:
        inodes.setdefault(entry.inode, len(inodes) + 1)
    return inodes


# ---------------------------------------------------------------------------- relations


def elf_relations(plan: PackagePlan, entries: Sequence[Entry]) -> tuple[set[str], set[str]]:
    """What the ELF files provide and require, as rpm's generator finds it.

    The debugger loads the Python that it finds, so it requires none.
    """
    provides: set[str] = set()
    requires: set[str] = set()
    for entry in entries:
        if entry.file is not None and (elf := entry.file.elf) is not None:
            provides.update(elf.provides_as(basename(entry.path)))
            requires.update(elf.requires_with(entry.mode))
    if plan.name.startswith(_DEBUGGER):
        requires = {name for name in requires if not name.startswith("libpython")}
    return provides, requires


def _add_relations(
    header: Header, plan: PackagePlan, entries: Sequence[Entry], tools: Tools, *, is_large: bool
) -> None:
    evr = f"{plan.version}-{plan.release}"
    found, needed = elf_relations(plan, entries)
    provides = {_Relation(plan.name, evr, _EQUAL)}
    if plan.architecture in _ISA:
        provides.add(_Relation(plan.name + _ISA[plan.architecture], evr, _EQUAL))
    provides |= {_parse(text) for text in plan.provides}
    provides |= {_Relation(name, "", _FOUND_PROVIDED) for name in found}
    requires = {_parse(text) for text in plan.depends}
    requires |= {_Relation(name, "", _FOUND_REQUIRED) for name in needed}
    for text, flag in (
        (plan.scripts.after_install, _POST),
        (plan.scripts.before_remove, _PREUN),
        (plan.scripts.after_remove, _POSTUN),
    ):
        if text.strip():
            requires.add(_Relation(_SHELL, "", flag | _INTERPRETER))
    requires |= set(_features(plan, entries, tools, is_large=is_large))
    for relations, names, versions, flags in (
        (provides, Tag.PROVIDE_NAMES, Tag.PROVIDE_VERSIONS, Tag.PROVIDE_FLAGS),
        (requires, Tag.REQUIRE_NAMES, Tag.REQUIRE_VERSIONS, Tag.REQUIRE_FLAGS),
        (
            {_parse(text) for text in plan.conflicts},
            Tag.CONFLICT_NAMES,
            Tag.CONFLICT_VERSIONS,
            Tag.CONFLICT_FLAGS,
        ),
        (
            {_parse(text) for text in plan.obsoletes},
            Tag.OBSOLETE_NAMES,
            Tag.OBSOLETE_VERSIONS,
            Tag.OBSOLETE_FLAGS,
        ),
        (
            {_parse(text) for text in plan.recommends},
            Tag.RECOMMEND_NAMES,
            Tag.RECOMMEND_VERSIONS,
            Tag.RECOMMEND_FLAGS,
        ),
        (
            {_parse(text) for text in plan.suggests},
            Tag.SUGGEST_NAMES,
            Tag.SUGGEST_VERSIONS,
            Tag.SUGGEST_FLAGS,
        ),
    ):
        ordered = sorted(relations)
        header.texts(names, [relation.name for relation in ordered])
        header.texts(versions, [relation.version for relation in ordered])
        header.int32(flags, [relation.flags for relation in ordered])


def _parse(text: str) -> _Relation:
    """A relation as it stands in a spec file: a name, a name with a version, or a condition."""
    text = text.strip()
    if text.startswith("("):
        return _Relation(text)
    found = _RELATION.fullmatch(text)
    if found is None:
        if not text or len(text.split()) > 1:
            raise UsageError(f"{text!r} is no relation of an rpm; write it as 'name >= version'")
        return _Relation(text)
    return _Relation(found[1], found[3], _SENSES[found[2]])


def _features(
    plan: PackagePlan, entries: Sequence[Entry], tools: Tools, *, is_large: bool
) -> Iterator[_Relation]:
    """What an rpm has to know to read this file."""
    features: Mapping[str, str] = {
        "CompressedFileNames": "3.0.4-1" if entries else "",
        "FileDigests": "4.6.0-1" if entries else "",
        "PayloadFilesHavePrefix": "4.0-1",
        "PayloadIsZstd": "5.4.18-1" if tools.maker.compression is Compression.ZSTD else "",
        "PayloadIsXz": "5.2-1" if tools.maker.compression is Compression.XZ else "",
        "LargeFiles": "4.12.0-1" if is_large else "",
        "TildeInVersions": "4.10.0-1" if _is_in_versions("~", plan) else "",
        "CaretInVersions": "4.15.0-1" if _is_in_versions("^", plan) else "",
        "RichDependencies": "4.12.0-1" if _has_conditions(plan) else "",
    }
    for name, version in features.items():
        if version:
            yield _Relation(f"rpmlib({name})", version, _LESS | _EQUAL | _RPMLIB)


def _all_relations(plan: PackagePlan) -> tuple[str, ...]:
    return (
        *plan.depends,
        *plan.recommends,
        *plan.suggests,
        *plan.provides,
        *plan.conflicts,
        *plan.obsoletes,
    )


def _is_in_versions(mark: str, plan: PackagePlan) -> bool:
    versions = [_parse(text).version for text in _all_relations(plan)]
    return any(mark in version for version in (plan.version, plan.release, *versions))


def _has_conditions(plan: PackagePlan) -> bool:
    return any(text.strip().startswith("(") for text in _all_relations(plan))


# ------------------------------------------------------------------------------ payload


def _payload_order(entries: Sequence[Entry]) -> Iterator[tuple[int, Entry, int, bool]]:
    """Number and entry in the order of the payload, how many names it has, whether data follow.

    All names of one file stand where the last one would, and the last one bears the data.
    """
    names: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        names.setdefault(entry.inode, []).append(number)
    for number, entry in enumerate(entries):
        numbers = names[entry.inode]
        if number == numbers[-1]:
            for each in numbers:
                yield each, entries[each], len(numbers), each == number


def _cpio_header(
    entry: Entry, number: int, links: int, *, size: int, inode: int, mtime: int, stripped: bool
) -> bytes:
    """The header of one cpio member; rpm's own short form where a size needs more than 32 bits."""
    if stripped:
        header = b"07070X%08x" % number
    else:
        name = f"./{entry.path}".encode()
        header = _new_cpio(name, (inode, _mode(entry), 0, 0, links, mtime, size), device=1)
    return header + bytes(-len(header) % 4)


def _new_cpio(name: bytes, numbers: Sequence[int], *, device: int = 0) -> bytes:
    """``numbers``: inode, mode, user, group, links, time, size."""
    fields = (*numbers, 0, device, 0, 0, len(name) + 1, 0)
    return b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"


def _trailer() -> bytes:
    header = _new_cpio(b"TRAILER!!!", (0, 0, 0, 0, 1, 0, 0))
    return header + bytes(-len(header) % 4)


def _archive_size(entries: Sequence[Entry], *, stripped: bool) -> int:
    """Bytes of the cpio file."""
    size = len(_trailer())
    for number, entry, links, has_data in _payload_order(entries):
        header = _cpio_header(entry, number, links, size=0, inode=1, mtime=0, stripped=stripped)
        data = entry.size if has_data and entry.kind is not Kind.DIRECTORY else 0
        size += len(header) + data + -data % 4
    return size


def _write_payload(
    entries: Sequence[Entry],
    write: Callable[[bytes], object],
    tools: Tools,
    *,
    stripped: bool,
    expected: int,
) -> None:
    payload = Payload(tools.maker, tools.spool, write, is_tar=False)
    inodes = _inodes(entries)
    for number, entry, links, has_data in _payload_order(entries):
        size = entry.size if has_data and entry.kind is not Kind.DIRECTORY else 0
        payload.header(
            _cpio_header(
                entry,
                number,
                links,
                size=size,
                inode=inodes[entry.inode],
                mtime=tools.mtime,
                stripped=stripped,
            )
        )
        if entry.kind is Kind.SYMLINK:
            payload.padding(entry.link.encode())
        elif size and entry.file is not None:
            payload.file(entry.file)
        payload.padding(bytes(-size % 4))
    payload.header(_trailer())
    payload.finish()
    if payload.size != expected:
        raise IntegrityError(f"a payload of {payload.size} bytes, where {expected} were expected")
