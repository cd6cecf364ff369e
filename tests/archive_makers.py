"""Artifact archives made byte by byte, so that a test can say what no tar program would write."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import zstandard

POSIX_MAGIC = b"ustar\x0000"
GNU_MAGIC = b"ustar  \0"
END = bytes(1024)
STAGE = "math-libs/BLAS/rocBLAS/stage"


def header(
    name: str | bytes,
    *,
    kind: bytes = b"0",
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    link: str | bytes = "",
    prefix: str | bytes = "",
    magic: bytes = POSIX_MAGIC,
    checksum: bytes | None = None,
) -> bytes:
    """One header block; a field given as bytes stands in it as it is."""
    fields = [
        (name, 100),
        (mode if isinstance(mode, bytes) else b"%07o\0" % mode, 8),
        (b"0000000\0", 8),
        (b"0000000\0", 8),
        (size if isinstance(size, bytes) else b"%011o\0" % size, 12),
        (b"00000000000\0", 12),
        (b" " * 8, 8),
        (kind, 1),
        (link, 100),
        (magic, 8),
        (b"", 32),
        (b"", 32),
        (b"0000000\0", 8),
        (b"0000000\0", 8),
        (prefix, 155),
        (b"", 12),
    ]
    block = b""
    for value, width in fields:
        raw = value.encode() if isinstance(value, str) else value
        assert len(raw) <= width, f"{raw!r} is longer than {width}"
        block += raw.ljust(width, b"\0")
    stored = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + stored + block[156:]


def base256(value: int, width: int = 12) -> bytes:
    """A number as GNU tar writes those that are too large for octal digits."""
    return b"\x80" + value.to_bytes(width - 1, "big")


def padded(data: bytes) -> bytes:
    """Data in whole blocks."""
    return data + bytes(-len(data) % 512)


def file(name: str | bytes, data: bytes = b"", *, mode: int | bytes = 0o644) -> bytes:
    """A file with its content."""
    return header(name, size=len(data), mode=mode) + padded(data)


def directory(name: str | bytes, *, mode: int = 0o755) -> bytes:
    """A directory."""
    return header(name, kind=b"5", mode=mode)


def symlink(name: str | bytes, target: str | bytes) -> bytes:
    """A symbolic link."""
    return header(name, kind=b"2", mode=0o777, link=target)


def hardlink(name: str | bytes, target: str | bytes, *, mode: int = 0o644) -> bytes:
    """Another name of a file; the target is named from the archive's root."""
    return header(name, kind=b"1", mode=mode, link=target)


def pax_record(key: str | bytes, value: str | bytes) -> bytes:
    """One record of a pax header with its own length before it."""
    raw_key = key.encode() if isinstance(key, str) else key
    body = b" " + raw_key + b"=" + (value.encode() if isinstance(value, str) else value) + b"\n"
    length = len(body)
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def pax(records: bytes | Mapping[str, str], *, kind: bytes = b"x") -> bytes:
    """A pax header: of records, or of bytes that are none."""
    if not isinstance(records, bytes):
        records = b"".join(pax_record(key, value) for key, value in records.items())
    return header("pax", kind=kind, size=len(records)) + padded(records)


def gnu_long(name: str, *, kind: bytes = b"L") -> bytes:
    """GNU's header for a name (``L``) or a link's target (``K``) of any length."""
    data = name.encode() + b"\0"
    return header("././@LongLink", kind=kind, size=len(data), magic=GNU_MAGIC) + padded(data)


def manifest(*stages: str) -> bytes:
    """The first member."""
    return file("artifact_manifest.txt", "".join(f"{stage}\n" for stage in stages).encode())


def tar(*members: bytes, stages: Iterable[str] = (STAGE,)) -> bytes:
    """A whole tar file with its manifest."""
    return manifest(*stages) + b"".join(members) + END


def zst(data: bytes, level: int = 1) -> bytes:
    """One zstd frame with a checksum."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data)


def xz(data: bytes) -> bytes:
    """One xz stream."""
    return lzma.compress(data, preset=0)


def write(
    folder: Path, name: str, *members: bytes, stages: Iterable[str] = (STAGE,), sums: bool = True
) -> Path:
    """An archive file, compressed as its name says, with its ``.sha256sum``."""
    return write_bytes(folder, name, tar(*members, stages=stages), sums=sums)


def write_bytes(folder: Path, name: str, content: bytes, *, sums: bool = True) -> Path:
    """As ``write``, of any bytes that stand for a tar file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    data = xz(content) if name.endswith(".xz") else zst(content)
    path.write_bytes(data)
    if sums:
        digest = hashlib.sha256(data).hexdigest()
        path.with_name(f"{name}.sha256sum").write_text(f"{digest}  {name}\n")
    return path


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree_of(root: Path, *, modes: bool = True) -> dict[str, tuple[str, ...]]:
    """Everything below a directory: kind, permission bits, content, and which names share it."""
    names: dict[int, list[str]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(root.rglob("*")):
        name, status = path.relative_to(root).as_posix(), path.lstat()
        mode = oct(stat.S_IMODE(status.st_mode)) if modes else ""
        if stat.S_ISLNK(status.st_mode):
            found[name] = ("link", str(path.readlink()))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = ("directory", mode)
        else:
            assert stat.S_ISREG(status.st_mode), f"{path} is no file"
            first = names.setdefault(status.st_ino, [name])[0]
            found[name] = ("file", mode, digest_of(path), first)
    return found


def extract_with_python(content: bytes, target: Path) -> None:
    """Extract a tar file with Python's own reader: the oracle."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        # As filter="fully_trusted", which Python before 3.11.4 does not know.
        archive.extraction_filter = lambda member, _path: member
        archive.extractall(target)  # noqa: S202 - made by the tests


def overlay_with_python(contents: Iterable[bytes], target: Path, stages: Iterable[str]) -> None:
    """Flatten tar files with Python's reader: each extracted, stages laid over one another."""
    modes: dict[Path, int] = {}
    for number, content in enumerate(contents):
        apart = target.with_name(f"{target.name}.{number}")
        extract_with_python(content, apart)
        for stage in stages:
            if (apart / stage).is_dir():
                _lay_over(apart / stage, target, modes)
    for place, mode in modes.items():
        place.chmod(mode)


def _lay_over(source: Path, target: Path, modes: dict[Path, int]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            modes.setdefault(place, stat.S_IMODE(path.stat().st_mode))
            path.chmod(0o700)
            place.mkdir(mode=0o700, exist_ok=True)
        elif not os.path.lexists(place):
            path.rename(place)
