"""Write a deb: an ar file of the format's version, a control tar and a data tar (deb(5))."""

from __future__ import annotations

import gzip
import textwrap
from collections.abc import Callable, Iterator, Sequence
from posixpath import basename, join
from typing import BinaryIO

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.tarheader import END_OF_ARCHIVE, RECORD, tar_header
from therock_outputs.artifacts.tarstream import padding
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.documents import changelog, copyright_text
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.files import StoredFile
from therock_outputs.native_packages.lint import overrides
from therock_outputs.native_packages.package import PackagePlan
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.payload import Payload

__all__ = ["write_package"]

_MAGIC = b"!<arch>\n"
_VERSION = b"2.0\n"
_MOST_IN_MEMBER = 10**10 - 1
"""The size of an ar member has ten decimal digits."""
_OWNER = "root"
_BLOCK = 1024
_WIDTH = 79


def write_package(
    plan: PackagePlan, entries: Sequence[Entry], file: BinaryIO, tools: Tools
) -> None:
    """Write one package into an empty file.

    UsageError for what the format cannot hold.
    """
    entries = [*entries, *_documents(plan, entries, tools)]
    entries.sort(key=lambda entry: entry.path.encode())
    file.write(_MAGIC)
    _write_member(file, "debian-binary", lambda write: write(_VERSION), plan, tools.mtime)
    suffix = tools.maker.compression.suffix
    control = _control_tar(plan, entries, tools.mtime)
    _write_member(
        file,
        f"control.tar{suffix}",
        lambda write: _write_control(control, write, tools),
        plan,
        tools.mtime,
    )
    _write_member(
        file,
        f"data.tar{suffix}",
        lambda write: _write_data(entries, write, tools),
        plan,
        tools.mtime,
    )


def _write_member(
    file: BinaryIO,
    name: str,
    content: Callable[[Callable[[bytes], object]], object],
    plan: PackagePlan,
    mtime: int,
) -> None:
    """Write an ar member, whose size is known when it is written."""
    at = file.tell()
    file.write(bytes(60))
    content(file.write)
    size = file.tell() - at - 60
    if size > _MOST_IN_MEMBER:
        raise UsageError(
            f"{plan.filename}: {name} has {size} bytes, and a deb cannot hold a part of more than "
            f"{_MOST_IN_MEMBER}; split the package in its definition"
        )
    if size % 2:
        file.write(b"\n")
    end = file.tell()
    file.seek(at)
    file.write(f"{name:<16}{mtime:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode())
    file.seek(end)


# ------------------------------------------------------------------------------- data


def _documents(plan: PackagePlan, entries: Sequence[Entry], tools: Tools) -> Iterator[Entry]:
    """What Debian's policy wants beside a package's own files (12.5 and 12.7), and overrides."""
    directory = f"usr/share/doc/{plan.name}"
    history = gzip.compress(changelog(plan, tools.mtime).encode(), 9, mtime=0)
    documents = {
        join(directory, "changelog.Debian.gz"): history,
        join(directory, "copyright"): copyright_text(plan, tools.mtime).encode(),
    }
    if declared := overrides(plan, entries):
        documents[f"usr/share/lintian/overrides/{plan.name}"] = declared.encode()
    known = {entry.path for entry in entries}
    for path, data in documents.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if (above := "/".join(parts[:depth])) not in known:
                known.add(above)
                yield Entry(above, Kind.DIRECTORY, 0o755)
        stored = tools.files.make(bytearray(data), basename(path), plan.filename, rewrites=False)
        yield Entry(path, Kind.FILE, 0o644, "", stored)


def _write_data(entries: Sequence[Entry], write: Callable[[bytes], object], tools: Tools) -> None:
    payload = Payload(tools.maker, tools.spool, write, is_tar=True)
    payload.header(_header("./", Entry("", Kind.DIRECTORY, 0o755), tools.mtime))
    for entry in entries:
        payload.header(_header(f"./{entry.path}", entry, tools.mtime))
        if entry.kind is Kind.FILE and entry.file is not None:
            _write_file(payload, entry.file)
    end = len(END_OF_ARCHIVE)
    payload.header(END_OF_ARCHIVE + bytes(-(payload.size + end) % RECORD))
    payload.finish()


def _write_file(payload: Payload, file: StoredFile) -> None:
    if file.size:
        payload.file(file)
        payload.padding(bytes(padding(file.size)))


def _header(path: str, entry: Entry, mtime: int) -> bytes:
    is_directory = entry.kind is Kind.DIRECTORY and not path.endswith("/")
    return tar_header(
        f"{path}/" if is_directory else path,
        entry.kind,
        mode=entry.mode,
        mtime=mtime,
        size=entry.size if entry.kind is Kind.FILE else 0,
        link=f"./{entry.link}" if entry.kind is Kind.HARDLINK else entry.link,
        owner=_OWNER,
    )


# ---------------------------------------------------------------------------- control


def _write_control(data: bytes, write: Callable[[bytes], object], tools: Tools) -> None:
    payload = Payload(tools.maker, tools.spool, write, is_tar=True)
    payload.header(data)
    payload.finish()


def _control_tar(plan: PackagePlan, entries: Sequence[Entry], mtime: int) -> bytes:
    members = {"control": (_control(plan, entries), 0o644), "md5sums": (_md5sums(entries), 0o644)}
    members |= {name: (text, 0o755) for name, text in _scripts(plan).items()}
    data = bytearray(tar_header("./", Kind.DIRECTORY, mode=0o755, mtime=mtime, owner=_OWNER))
    for name, (text, mode) in sorted(members.items()):
        raw = text.encode("utf-8", "surrogateescape")
        data += tar_header(
            f"./{name}", Kind.FILE, mode=mode, mtime=mtime, size=len(raw), owner=_OWNER
        )
        data += raw + bytes(padding(len(raw)))
    data += END_OF_ARCHIVE
    return bytes(data) + bytes(-len(data) % RECORD)


def _control(plan: PackagePlan, entries: Sequence[Entry]) -> str:
    fields = {
        "Package": plan.name,
        "Version": f"{plan.version}-{plan.release}",
        "Architecture": plan.architecture,
        "Maintainer": plan.maintainer,
        "Installed-Size": str(sum(map(_blocks, entries))),
        "Depends": ", ".join(plan.depends),
        "Recommends": ", ".join(plan.recommends),
        "Suggests": ", ".join(plan.suggests),
        "Conflicts": ", ".join(plan.conflicts),
        "Replaces": ", ".join(plan.replaces),
        "Provides": ", ".join(plan.provides),
        "Section": plan.section,
        "Priority": plan.priority,
        "Homepage": plan.homepage,
        "Description": _description(plan),
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def _blocks(entry: Entry) -> int:
    """KiB that an entry takes on disk, by the rule of dpkg-gencontrol(1)."""
    if entry.kind is Kind.HARDLINK:
        return 0
    return -(-entry.size // _BLOCK) if entry.kind in (Kind.FILE, Kind.SYMLINK) else 1


def _description(plan: PackagePlan) -> str:
    """Policy 5.6.13: a line, then lines that begin with a space, a lone dot between paragraphs."""
    paragraphs = [
        "\n".join(f" {line}" for line in textwrap.wrap(paragraph, _WIDTH - 1))
        for paragraph in plan.description.split("\n\n")
        if paragraph.strip()
    ]
    return "\n".join([plan.summary, *("\n .\n".join(paragraphs),)]).rstrip()


def _md5sums(entries: Sequence[Entry]) -> str:
    return "".join(
        f"{entry.file.md5}  {entry.path}\n"
        for entry in entries
        if entry.kind in (Kind.FILE, Kind.HARDLINK) and entry.file is not None
    )


def _scripts(plan: PackagePlan) -> dict[str, str]:
    scripts = {
        "postinst": plan.scripts.after_install,
        "prerm": plan.scripts.before_remove,
        "postrm": plan.scripts.after_remove,
    }
    return {name: f"#!/bin/sh\n{text.strip()}\n" for name, text in scripts.items() if text.strip()}
