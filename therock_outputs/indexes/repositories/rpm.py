"""The metadata of an rpm repository: primary, filelists and other, and repomd.xml.

Each file has its digest in its name, so that repomd.xml, the pointer, names content. Files of
former generations stay for clients that have read an older pointer. gzip, since every dnf, yum
and zypper reads it.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

import deflate

from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.indexes.repositories.entry import (
    Fetch,
    IndexFile,
    ListedPackage,
    Pointer,
    RepositorySettings,
    Sign,
)
from therock_outputs.indexes.repositories.rpm_file import read_headers, records_of
from therock_outputs.indexes.repositories.unpack import unpack_index
from therock_outputs.layout import PackageFormat

__all__ = [
    "KIND",
    "POINTER",
    "POOL",
    "SIGNED",
    "is_package",
    "parse_pointer",
    "path_of",
    "read_entries",
    "read_package",
    "render_files",
    "render_followers",
    "render_pointer",
]

KIND = PackageFormat.RPM
POOL = ""
_DATA = "repodata/"
POINTER = f"{_DATA}repomd.xml"
SIGNED = f"{POINTER}.asc"

_NAMES = ("primary", "filelists", "other")
# What other tools make out of these three, and what is therefore not lost.
_DERIVED = re.compile(r"(?:primary|filelists|other)(?:_db|_zck)|filelists_ext")
_GZIP_LEVEL = 6
_LINUX = "http://linux.duke.edu/metadata"
_RPM = f"{_LINUX}/rpm"
_REPO = f"{_LINUX}/repo"
_ROOTS = {
    "primary": ("metadata", f"{_LINUX}/common"),
    "filelists": ("filelists", f"{_LINUX}/filelists"),
    "other": ("otherdata", f"{_LINUX}/other"),
}
_PACKAGE = re.compile(rb"<package[ >].*?</package>\n?", re.DOTALL)
_HEAD = re.compile(rb"<\?xml [^<>]*\?>\s*<(\w+)((?: [a-z:]+=\"[^\"<>&]*\")*)\s*(/?)>\s*")
_PKGID = re.compile(rb'<package pkgid="([0-9a-f]{64})" ')


def path_of(filename: str) -> str:
    """Where a new package file goes."""
    return filename


def is_package(path: str) -> bool:
    """Whether this path from the place is a package's."""
    return path.endswith(".rpm") and not path.startswith(_DATA)


def read_package(stream: BinaryIO, path: str, size: int, sha256: str) -> ListedPackage:
    """The entry of a package; IntegrityError when it is none. Reads only its head."""
    records = records_of(read_headers(stream, path), path, size, sha256)
    return _entry(records[0], records[1], records[2], path)


def parse_pointer(data: bytes, label: str, settings: RepositorySettings | None) -> Pointer:
    """What a repomd.xml says; nothing in it depends on the settings.

    IntegrityError for one that cannot be read, ConflictError for a repository that would lose
    something.
    """
    del settings
    try:
        root = _parse(data)
        named = [_index_file(item) for item in root.iter(f"{{{_REPO}}}data")]
        # createrepo's own revision is the time too.
        time = int(root.findtext(f"{{{_REPO}}}revision") or 0)
    except (ET.ParseError, KeyError, ValueError) as error:
        raise IntegrityError(f"{label} is no repomd.xml ({error}); delete it") from error
    files = {file.name: file for file in named if not _DERIVED.fullmatch(file.name)}
    lost = sorted(set(files) - set(_NAMES))
    if lost:
        raise ConflictError(f"{label} names {lost[0]}, which would be lost; choose another place")
    missing = [name for name in _NAMES if name not in files]
    if missing:
        raise IntegrityError(f"{label} names no {missing[0]}; delete it")
    return Pointer(time, files)


def read_entries(pointer: Pointer, fetch: Fetch, label: str) -> list[ListedPackage]:
    """The packages that the three files list."""
    parts = {}
    for name in _NAMES:
        file = pointer.files[name]
        data = unpack_index(fetch(file), file.path, label)
        parts[name] = list(_split(data, name, f"{label}: {file.path}"))
    filelists = _by_pkgid(parts["filelists"], f"{label}: filelists")
    other = _by_pkgid(parts["other"], f"{label}: other")
    entries = []
    for primary in parts["primary"]:
        facts = _facts(primary, label)
        digest = facts[5].encode()
        if digest not in filelists or digest not in other:
            raise IntegrityError(
                f"{label}: {facts[0]} stands in primary and not in the other files; "
                "make the metadata anew"
            )
        entries.append(ListedPackage(*facts, (primary, filelists[digest], other[digest])))
    return entries


def render_files(packages: Sequence[ListedPackage]) -> dict[IndexFile, bytes]:
    """The three files, packed."""
    files = {}
    for index, name in enumerate(_NAMES):
        tag, namespace = _ROOTS[name]
        rpm = f' xmlns:rpm="{_RPM}"' if name == "primary" else ""
        head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag} xmlns="{namespace}"{rpm} packages="{len(packages)}">\n'  # noqa: E501
        plain = b"".join(
            [
                head.encode(),
                *(package.record[index] for package in packages),
                f"</{tag}>\n".encode(),
            ]
        )
        data = bytes(deflate.gzip_compress(plain, _GZIP_LEVEL))
        digest = hashlib.sha256(data).hexdigest()
        path = f"{_DATA}{digest}-{name}.xml.gz"
        files[IndexFile(name, path, len(data), digest, None, len(plain),
                        hashlib.sha256(plain).hexdigest())] = data  # fmt: skip
    return files


def render_pointer(files: Sequence[IndexFile], settings: RepositorySettings, time: int) -> bytes:
    """The repomd.xml."""
    del settings
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<repomd xmlns="{_REPO}" xmlns:rpm="{_RPM}">',
        f"  <revision>{time}</revision>",
    ]
    for file in files:
        lines += [
            f"  <data type={quoteattr(file.name)}>",
            f'    <checksum type="sha256">{file.sha256}</checksum>',
            f'    <open-checksum type="sha256">{file.open_sha256}</open-checksum>',
            f"    <location href={quoteattr(file.path)}/>",
            f"    <timestamp>{time}</timestamp>",
            f"    <size>{file.size}</size>",
            f"    <open-size>{file.open_size}</open-size>",
            "  </data>",
        ]
    lines.append("</repomd>")
    return "".join(f"{line}\n" for line in lines).encode()


def render_followers(
    data: bytes, pointer: Pointer, fetch: Fetch, sign: Sign | None
) -> list[dict[str, bytes]]:
    """The signature of repomd.xml."""
    del pointer, fetch
    return [] if sign is None else [{SIGNED: sign(data, clear=False)}]


def _index_file(item: ET.Element) -> IndexFile:
    """A ``data`` element of repomd.xml; ValueError or KeyError for another one."""
    name = item.attrib["type"]
    checksum = _present(item.find(f"{{{_REPO}}}checksum"), f"checksum of {name}")
    location = _present(item.find(f"{{{_REPO}}}location"), f"location of {name}")
    size = int(item.findtext(f"{{{_REPO}}}size") or 0)
    return IndexFile(name, location.attrib["href"], size, _sha256(checksum, name))


def _entry(primary: bytes, filelists: bytes, other: bytes, label: str) -> ListedPackage:
    return ListedPackage(*_facts(primary, label), (primary, filelists, other))


def _facts(primary: bytes, label: str) -> tuple[str, str, str, str, int, str]:
    """Path, name, version, architecture, size and digest of a package, from its primary part."""
    wrapped = (
        f'<metadata xmlns="{_LINUX}/common" xmlns:rpm="{_RPM}">'.encode() + primary + b"</metadata>"
    )
    space = f"{{{_LINUX}/common}}"
    try:
        package = _parse(wrapped)[0]
        found = {tag: package.find(space + tag) for tag in
                 ("version", "checksum", "size", "location")}  # fmt: skip
        version, checksum, size, location = (_present(found[tag], tag) for tag in found)
        name = _present(package.find(f"{space}name"), "name").text or ""
        architecture = _present(package.find(f"{space}arch"), "arch").text or ""
        digest = _sha256(checksum, name)
        _refuse_elsewhere(location, name)
        epoch = version.get("epoch") or "0"
        evr = f"{version.attrib['ver']}-{version.attrib['rel']}"
        return (
            location.attrib["href"],
            name,
            evr if epoch == "0" else f"{epoch}:{evr}",
            architecture,
            int(size.attrib["package"]),
            digest,
        )
    except (ET.ParseError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"{label}: an entry of primary cannot be read ({error}); make the metadata anew"
        ) from error


def _sha256(checksum: ET.Element, what: str) -> str:
    digest = checksum.text or ""
    if checksum.get("type") != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"{what} has no SHA-256")
    return digest


def _refuse_elsewhere(location: ET.Element, name: str) -> None:
    if location.get("{http://www.w3.org/XML/1998/namespace}base"):
        raise ValueError(f"{name} lies elsewhere")


def _present(element: ET.Element | None, tag: str) -> ET.Element:
    if element is None:
        raise ValueError(f"{tag} is missing")
    return element


def _split(data: bytes, name: str, label: str) -> Iterator[bytes]:
    """The packages of a metadata file as they are written; nothing else may be between them."""
    tag, namespace = _ROOTS[name]
    head = _HEAD.match(data)
    if head is None or head[1] != tag.encode() or f'xmlns="{namespace}"'.encode() not in head[2]:
        raise IntegrityError(f"{label} does not begin as {name} does; make the metadata anew")
    if head[3]:
        return
    position = head.end()
    for match in _PACKAGE.finditer(data, position):
        if data[position : match.start()].strip():
            break
        yield match[0].strip() + b"\n"
        position = match.end()
    if data[position:].strip() != f"</{tag}>".encode():
        raise IntegrityError(
            f"{label} holds something that is no package after {position} bytes; "
            "make the metadata anew"
        )


def _by_pkgid(parts: Sequence[bytes], label: str) -> dict[bytes, bytes]:
    by_pkgid = {}
    for part in parts:
        match = _PKGID.match(part)
        if match is None:
            raise IntegrityError(f"{label} has a package without SHA-256; make the metadata anew")
        by_pkgid[match[1]] = part
    return by_pkgid


def _parse(data: bytes) -> ET.Element:
    """An XML document. One that declares entities is refused: it could grow without bound."""
    if b"<!DOCTYPE" in data:
        raise ValueError("it declares entities")
    return ET.fromstring(data)  # noqa: S314 - without a DOCTYPE there is nothing to expand
