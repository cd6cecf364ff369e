"""Sides that are no archives: unpacked artifacts, an install prefix, a tarball."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from therock_outputs.artifacts.archives import Kind, parse_stages
from therock_outputs.artifacts.compare.pins import Provenance
from therock_outputs.artifacts.compare.sides import Side, SideArchive, SizedFile
from therock_outputs.artifacts.compare.sources import (
    ManifestData,
    PrefixSource,
    TarballSource,
    TreesSource,
)
from therock_outputs.artifacts.decompress import GZIP, Decompressor
from therock_outputs.artifacts.entries import scan_artifact_directory
from therock_outputs.artifacts.names import Compression
from therock_outputs.artifacts.run_contents import BASE_ARTIFACT, LARGEST_MANIFEST, MANIFEST_PATH
from therock_outputs.artifacts.tarstream import TarStream, TypeFlag
from therock_outputs.errors import IntegrityError
from therock_outputs.storage.base import Progress
from therock_outputs.storage.local_io import os_errors

__all__ = ["prefix_side", "tarball_side", "trees_side"]


def trees_side(source: TreesSource) -> Side:
    """Read a directory of unpacked artifacts."""
    files: list[SizedFile] = []
    manifest: ManifestData | None = None
    for name, directory in source.directories:
        tree = scan_artifact_directory(directory)
        stages = parse_stages(tree.manifest, str(directory))
        for entry, (_, size, _) in zip(tree.entries, tree.stamps, strict=True):
            if entry.kind not in (Kind.FILE, Kind.HARDLINK):
                continue
            stage = next(s for s in stages if entry.path.startswith(s + "/"))
            path = entry.path[len(stage) + 1 :]
            files.append(SizedFile(path, size if entry.kind is Kind.FILE else 0, name.stem, stage))
            if name == BASE_ARTIFACT and path == MANIFEST_PATH and isinstance(entry.data, Path):
                manifest = _manifest_file(entry.data)
    archives = tuple(SideArchive(name, None) for name, _ in source.directories)
    return Side(
        source.label, source.place, archives, tuple(files), provenance=_provenance(manifest)
    )


def prefix_side(source: PrefixSource) -> Side:
    """Read an install prefix. Files of one inode count once, as they do on the disk."""
    files: list[SizedFile] = []
    seen: set[tuple[int, int]] = set()
    with os_errors(f"{source.directory} cannot be read"):
        for path, status in _walk(str(source.directory), ""):
            size = status.st_size
            if status.st_nlink > 1:
                inode = (status.st_dev, status.st_ino)
                size = 0 if inode in seen else size
                seen.add(inode)
            files.append(SizedFile(path, size))
        manifest = source.directory / MANIFEST_PATH
        data = _manifest_file(manifest) if manifest.is_file() else None
    return Side(source.label, source.place, (), tuple(files), provenance=_provenance(data))


def _walk(directory: str, above: str) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files in the order of their names; links are not followed."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{path}/")
        elif entry.is_file(follow_symlinks=False):
            yield path, entry.stat(follow_symlinks=False)


def _manifest_file(path: Path) -> ManifestData:
    size = path.stat().st_size
    if size > LARGEST_MANIFEST:
        raise IntegrityError(f"{path}: the run's manifest has {size} bytes")
    return path.read_bytes(), str(path)


def tarball_side(source: TarballSource, progress: Progress | None) -> Side:
    """Read the headers of a tarball; IntegrityError when it is damaged."""
    path = source.path
    files: list[SizedFile] = []
    data: ManifestData | None = None
    with os_errors(f"{path} cannot be read"), path.open("rb") as stream:
        packed = _decompressed(stream, path)
        tar, done = TarStream(packed, str(path)), 0
        for member in tar:
            name = member.name.removeprefix("./").strip("/")
            if member.kind in (TypeFlag.FILE, TypeFlag.HARDLINK):
                files.append(SizedFile(name, member.size))
            if member.kind is TypeFlag.FILE and name == MANIFEST_PATH:
                if member.size > LARGEST_MANIFEST:
                    raise tar.broken(f"the run's manifest has {member.size} bytes")
                content = bytearray(member.size)
                tar.readinto(memoryview(content))
                data = (bytes(content), f"{path}: {name}")
            if progress and packed.consumed > done:
                progress(path.name, packed.consumed - done)
                done = packed.consumed
        tar.drain()
        size = path.stat().st_size
        if progress:
            progress(path.name, size - done)
    return Side(
        source.label,
        source.place,
        (),
        tuple(files),
        compressed=size,
        provenance=_provenance(data),
    )


def _decompressed(stream: BinaryIO, path: Path) -> Decompressor:
    if path.name.lower().endswith((".gz", ".tgz")):
        return Decompressor(stream, GZIP, str(path))
    xz = path.name.lower().endswith(".xz")
    return Decompressor(stream, Compression.XZ if xz else Compression.ZST, str(path))


def _provenance(data: ManifestData | None) -> Provenance | None:
    return None if data is None else Provenance.parse(*data)
