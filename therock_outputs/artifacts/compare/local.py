"""Find out what a path on this disk is: archives, unpacked artifacts, a prefix, or a tarball."""

from __future__ import annotations

from pathlib import Path

from therock_outputs.artifacts.archives import MANIFEST_NAME
from therock_outputs.artifacts.compare.sources import (
    ArchiveFile,
    ArchivesSource,
    PrefixSource,
    SideSource,
    TarballSource,
    TreesSource,
)
from therock_outputs.artifacts.names import ArtifactName, parse_archive_filename, prefer_zst
from therock_outputs.errors import IntegrityError, NotFoundError, UsageError
from therock_outputs.storage.local_io import os_errors

__all__ = ["TARBALL_SUFFIXES", "source_at"]

TARBALL_SUFFIXES = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz")
_MANIFESTS = Path("manifests") / "therock_manifest.json"
_PREFIX = frozenset({"bin", "include", "lib", "lib64", "libexec", "share", ".kpack"})
"""Of an install prefix at least one is there."""


def source_at(path: Path) -> SideSource:
    """The side at a path; NotFoundError or UsageError where nothing there can be compared."""
    with os_errors(f"{path} cannot be read"):
        if path.is_file():
            return _file(path)
        if not path.is_dir():
            raise NotFoundError(
                f"{path}: there is no such file or directory; give a run's number, a commit, a "
                "directory or a tarball"
            )
        return _directory(path)


def _file(path: Path) -> SideSource:
    name = parse_archive_filename(path.name)
    if name is not None:
        archive = ArchiveFile(name, path.stat().st_size, path)
        return ArchivesSource(str(path), str(path), (archive,), None)
    if path.name.lower().endswith(TARBALL_SUFFIXES):
        return TarballSource(str(path), str(path), path)
    raise UsageError(
        f"{path}: is no tarball; a file that is compared ends in {', '.join(TARBALL_SUFFIXES)}"
    )


def _directory(path: Path) -> SideSource:
    children = sorted(path.iterdir())
    names = prefer_zst(
        name
        for name in (parse_archive_filename(child.name) for child in children if child.is_file())
        if name is not None
    )
    label = str(path)
    if names:
        archives = tuple(
            ArchiveFile(name, (path / name.filename).stat().st_size, path / name.filename)
            for name in names
        )
        manifest = path / _MANIFESTS
        data = (manifest.read_bytes(), str(manifest)) if manifest.is_file() else None
        return ArchivesSource(label, label, archives, data)
    trees = [child for child in children if (child / MANIFEST_NAME).is_file()]
    if trees:
        return TreesSource(label, label, tuple((_artifact(tree), tree) for tree in trees))
    if any(child.name in _PREFIX and child.is_dir() for child in children):
        return PrefixSource(label, label, path)
    raise NotFoundError(
        f"{path}: holds neither artifact archives nor an install prefix; fetch a run into it "
        "first, or give the directory below it that holds them"
    )


def _artifact(tree: Path) -> ArtifactName:
    try:
        return ArtifactName.parse(tree.name)
    except IntegrityError as error:
        raise IntegrityError(f"{tree}: {error}; rename or remove the directory") from None
