"""Write an rpm: a lead, a signature header, the header, a compressed cpio file.

Format 4, which rpm reads from 4.14 on (with xz, older ones too):
https://rpm-software-management.github.io/rpm/manual/format_v4.html tells what is in it.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename, dirname
from typing import BinaryIO

from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.cpio import archive_size, inodes_of, mode_of, write_payload
from therock_outputs.native_packages.documents import CHANGE
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.package import PackagePlan
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.pieces import LEVELS
from therock_outputs.native_packages.rpm_header import Header, Tag, lead
from therock_outputs.native_packages.rpm_relations import SHELL, add_relations
from therock_outputs.native_packages.signature import sign

__all__ = ["write_package"]

_FOUR_GB = 0xFFFFFFFF
_HEADROOM = 128 << 20
"""Bytes that a payload may take more than what is in it, with its header."""
_SIGNATURE_ROOM = 2048
_SHA256 = 8
_ELF_32, _ELF_64 = 1, 2
_WIDTH = 79
_DOC, _LICENSE = 1 << 1, 1 << 7
_DOCUMENT = re.compile(r"/share/(?:doc|man|info)/")
_LICENCE_NAME = re.compile(r"LICEN[CS]E|COPYING|NOTICE", re.IGNORECASE)
_CATALOGUE = re.compile(r"/share/locale/([^/]+)/LC_MESSAGES/[^/]+\.mo$")
_READ = 1 << 20


def write_package(
    plan: PackagePlan, entries: Sequence[Entry], file: BinaryIO, tools: Tools
) -> None:
    """Write one package into an empty file that can be read too.

    UsageError for what the format cannot hold, or a key that cannot sign.
    """
    entries = _owned(plan, entries)
    is_large = any(entry.size > _FOUR_GB for entry in entries)
    # The digests do not change how long the headers are, so the payload can come first.
    payload_size = archive_size(entries, stripped=is_large)
    header = _header(plan, entries, "0" * 64, tools, is_large=is_large)
    start = len(_Front(plan, header, payload_size).draft(tools))
    file.seek(start)
    digest = hashlib.sha256()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    write_payload(entries, write, tools, stripped=is_large, expected=payload_size)
    compressed = file.tell() - start
    header = _header(plan, entries, digest.hexdigest(), tools, is_large=is_large)
    md5 = hashlib.md5(header, usedforsecurity=False)  # what rpm before 4.14 checks
    file.seek(start)
    while data := file.read(_READ):
        md5.update(data)
    front = _Front(plan, header, payload_size, compressed, md5.digest()).final(tools)
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

    def draft(self, tools: Tools) -> bytes:
        """As long as the final one."""
        return self._pack(b"" if tools.signer is None else b"\0", is_rsa=True)

    def final(self, tools: Tools) -> bytes:
        """The real one, signed when there is a key."""
        if tools.signer is None:
            return self._pack(b"", is_rsa=True)
        made = sign(self.header, tools.signer, tools.mtime)
        return self._pack(made.data, is_rsa=made.is_rsa)

    def _pack(self, signature: bytes, *, is_rsa: bool) -> bytes:
        header, size = Header(Tag.SIGNATURES), len(self.header) + self.compressed
        if self.payload_size > _FOUR_GB - _HEADROOM:
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
    add_relations(header, plan, entries, tools.maker.compression, is_large=is_large)
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
        (scripts.after_transaction, Tag.POST_TRANSACTION, Tag.POST_TRANSACTION_PROGRAM),
    ):
        if text.strip():
            header.text(tag, f"{text.strip()}\n")
            header.text(program, SHELL)


def _add_files(header: Header, entries: Sequence[Entry], mtime: int, *, is_large: bool) -> None:
    count = len(entries)
    inodes = inodes_of(entries)
    directories = sorted({_directory(entry) for entry in entries}, key=str.encode)
    places = {path: number for number, path in enumerate(directories)}
    sizes = [entry.size for entry in entries]
    if is_large:
        header.int64(Tag.LONG_FILE_SIZES, sizes)
    else:
        header.int32(Tag.FILE_SIZES, sizes)
    header.int16(Tag.FILE_MODES, [mode_of(entry) for entry in entries])
    header.int16(Tag.FILE_RDEVS, [0] * count)
    header.int32(Tag.FILE_MTIMES, [mtime] * count)
    header.texts(
        Tag.FILE_DIGESTS, [entry.file.sha256 if entry.file is not None else "" for entry in entries]
    )
    symlinks = [entry.link if entry.kind is Kind.SYMLINK else "" for entry in entries]
    header.texts(Tag.FILE_LINKS, symlinks)
    header.int32(Tag.FILE_FLAGS, [_flags(entry) for entry in entries])
    header.texts(Tag.FILE_USERS, ["root"] * count)
    header.texts(Tag.FILE_GROUPS, ["root"] * count)
    header.int32(Tag.FILE_VERIFY_FLAGS, [0xFFFFFFFF] * count)
    header.int32(Tag.FILE_DEVICES, [1] * count)
    header.int32(Tag.FILE_INODES, [inodes[entry.inode] for entry in entries])
    header.texts(Tag.FILE_LANGUAGES, [_language(entry) for entry in entries])
    header.int32(Tag.DIRECTORY_INDEXES, [places[_directory(entry)] for entry in entries])
    header.texts(Tag.BASE_NAMES, [basename(entry.path) for entry in entries])
    header.texts(Tag.DIRECTORY_NAMES, directories)
    header.int32(Tag.FILE_COLORS, [_color(entry) for entry in entries])
    header.int32(Tag.FILE_DIGEST_ALGORITHM, [_SHA256])


def _directory(entry: Entry) -> str:
    return f"/{dirname(entry.path)}/".replace("//", "/")


def _flags(entry: Entry) -> int:
    """Documents are what ``rpm -qd`` lists and ``--nodocs`` leaves out; licences always stay."""
    if entry.kind is Kind.DIRECTORY or not _DOCUMENT.search(f"/{entry.path}"):
        return 0
    return _LICENSE if _LICENCE_NAME.match(basename(entry.path)) else _DOC


def _language(entry: Entry) -> str:
    """The language of a catalogue of messages."""
    match = _CATALOGUE.search(f"/{entry.path}")
    return match[1] if match else ""


def _color(entry: Entry) -> int:
    """How rpm tells 32-bit from 64-bit files that want one place."""
    elf = entry.file.elf if entry.file is not None else None
    if elf is None:
        return 0
    return _ELF_64 if elf.is_64_bit else _ELF_32
