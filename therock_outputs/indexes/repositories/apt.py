"""The metadata of an apt repository: Packages, their by-hash copies, and Release.

https://wiki.debian.org/DebianRepository/Format. ``Release`` is the pointer: InRelease and
Release.gpg are functions of it. apt reads InRelease (or, unsigned, Release) and then a by-hash
copy, which no later publication touches.
"""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import BinaryIO

import deflate

from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.indexes.repositories.deb_file import parse_paragraph, read_control
from therock_outputs.indexes.repositories.entry import (
    Fetch,
    IndexFile,
    ListedPackage,
    Pointer,
    RepositorySettings,
    Sign,
)
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

KIND = PackageFormat.DEB
POOL = "pool/"
_DIST = "dists/stable/"
POINTER = f"{_DIST}Release"
SIGNED = f"{_DIST}InRelease"

_PACKAGES = "main/binary-amd64/Packages"
_BY_HASH = "main/binary-amd64/by-hash/SHA256/"
_ARCHITECTURES = frozenset({"amd64", "all"})
_NAMES = (_PACKAGES, f"{_PACKAGES}.gz", f"{_PACKAGES}.xz")
_NEEDED = ("Package", "Version", "Architecture")
_ADDED = ("Filename", "Size", "SHA256")
_SUM = re.compile(r"([0-9a-f]{64}) +([0-9]{1,18}) +(\S+)")
# Packages of 5,000 packages has 5 MB, which preset 2 packs in a quarter of the time of 6.
_XZ_PRESET = 2
_GZIP_LEVEL = 9


def path_of(filename: str) -> str:
    """Where a new package file goes."""
    return f"{POOL}main/{filename}"


def is_package(path: str) -> bool:
    """Whether this path from the place is a package's."""
    return path.startswith(POOL) and path.endswith(".deb")


def read_package(stream: BinaryIO, path: str, size: int, sha256: str) -> ListedPackage:
    """The entry of a package; IntegrityError when it is none. Reads only its head."""
    control = read_control(stream, path).strip("\n")
    fields = parse_paragraph(control, path)
    taken = [name for name in _ADDED if name in fields]
    if taken:
        raise IntegrityError(f"{path} has a control file with {taken[0]}, which only an index has")
    record = f"{control}\nFilename: {path}\nSize: {size}\nSHA256: {sha256}\n"
    return _entry(record, path)


def parse_pointer(data: bytes, label: str, settings: RepositorySettings | None) -> Pointer:
    """What a Release says.

    IntegrityError for one that cannot be read, ConflictError for a repository that would lose
    something, or change its words.
    """
    fields = parse_paragraph(data.decode("utf-8", "replace"), label)
    try:
        time = int(parsedate_to_datetime(fields["Date"]).timestamp())
        files = [_index_file(line.strip()) for line in fields["SHA256"].split("\n")[1:]]
        architectures = set(fields["Architectures"].split())
        components = fields["Components"]
    except (KeyError, ValueError) as error:
        raise IntegrityError(f"{label} is no Release file ({error}); delete it") from error
    if components != "main" or not architectures <= _ARCHITECTURES:
        raise ConflictError(
            f"{label} has components {components!r} for {' '.join(sorted(architectures))}, of "
            "which only main for amd64 and all would be kept; choose another place"
        )
    if settings is not None:
        words = {"Origin": settings.origin, "Label": settings.label, "Suite": "stable",
                 "Codename": "stable"}  # fmt: skip
        for name, word in words.items():
            if fields.get(name) != word:
                raise ConflictError(
                    f"{label} has {name} {fields.get(name)!r} and would get {word!r}, which apt "
                    "refuses; publish it with the release type that it has"
                )
    return Pointer(time, {file.name: file for file in files})


def read_entries(pointer: Pointer, fetch: Fetch, label: str) -> list[ListedPackage]:
    """The packages that Packages lists, read from the smallest copy."""
    known = [pointer.files[name] for name in _NAMES if name in pointer.files]
    if not known:
        raise IntegrityError(f"{label} names no {_PACKAGES}; delete it")
    file = min(known, key=lambda file: file.size)
    data = unpack_index(fetch(file), file.name, label)
    paragraphs = [text for text in data.decode("utf-8", "replace").split("\n\n") if text.strip()]
    return [_entry(text.strip("\n") + "\n", label) for text in paragraphs]


def render_files(packages: Sequence[ListedPackage]) -> dict[IndexFile, bytes]:
    """Packages in its three forms."""
    plain = b"\n".join(package.record[0] for package in packages)
    contents = (
        plain,
        bytes(deflate.gzip_compress(plain, _GZIP_LEVEL)),
        lzma.compress(plain, preset=_XZ_PRESET),
    )
    files = {}
    for name, data in zip(_NAMES, contents, strict=True):
        digest = hashlib.sha256(data).hexdigest()
        files[IndexFile(name, f"{_DIST}{_BY_HASH}{digest}", len(data), digest)] = data
    return files


def render_pointer(files: Sequence[IndexFile], settings: RepositorySettings, time: int) -> bytes:
    """The Release file."""
    lines = [
        f"Origin: {settings.origin}",
        f"Label: {settings.label}",
        "Suite: stable",
        "Codename: stable",
        f"Date: {formatdate(time, usegmt=True).replace('GMT', 'UTC')}",
        "Architectures: all amd64",
        "Components: main",
        # Packages for all architectures stand in each architecture's own index.
        "No-Support-for-Architecture-all: Packages",
        "Acquire-By-Hash: yes",
        "SHA256:",
        *(f" {file.sha256} {file.size:>10} {file.name}" for file in files),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def render_followers(
    data: bytes, pointer: Pointer, fetch: Fetch, sign: Sign | None
) -> list[dict[str, bytes]]:
    """The index under its plain names, then the signatures; InRelease, which apt reads, last."""
    plain = {_DIST + name: fetch(pointer.files[name]) for name in _NAMES if name in pointer.files}
    if sign is None:
        return [plain]
    detached = sign(data, clear=False)
    return [plain, {f"{POINTER}.gpg": detached}, {SIGNED: sign(data, clear=True)}]


def _index_file(line: str) -> IndexFile:
    """A line below SHA256 of a Release file; ValueError for another one."""
    match = _SUM.fullmatch(line)
    if match is None:
        raise ValueError(f"{line[:200]!r}")
    digest, size, name = match.groups()
    return IndexFile(name, f"{_DIST}{_BY_HASH}{digest}", int(size), digest, _DIST + name)


def _entry(record: str, label: str) -> ListedPackage:
    """A paragraph of Packages as an entry."""
    fields = parse_paragraph(record, label)
    missing = [name for name in (*_NEEDED, *_ADDED) if not fields.get(name)]
    if missing:
        shown = fields.get("Package", "a package")
        raise IntegrityError(f"{label}: {shown} has no {missing[0]}; build it again")
    if fields["Architecture"] not in _ARCHITECTURES:
        raise IntegrityError(
            f"{label}: {fields['Package']} is for {fields['Architecture']}, and the repository "
            "for amd64; leave it out"
        )
    if not (fields["Size"].isdecimal() and re.fullmatch(r"[0-9a-f]{64}", fields["SHA256"])):
        raise IntegrityError(f"{label}: {fields['Package']} has a Size or SHA256 that is none")
    return ListedPackage(
        fields["Filename"].removeprefix("./"),
        fields["Package"],
        fields["Version"],
        fields["Architecture"],
        int(fields["Size"]),
        fields["SHA256"],
        (record.encode(),),
    )
