"""A run's archives as they lie in a directory, fetched by an earlier task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from therock_outputs.artifacts.archives import open_archive
from therock_outputs.artifacts.fetch import FetchedArchive
from therock_outputs.artifacts.names import (
    ArchiveName,
    parse_archive_filename,
    parse_sha256sum,
    prefer_zst,
)
from therock_outputs.artifacts.run_contents import BASE_ARTIFACT, RunManifest, find_manifest
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.storage import Outcome

__all__ = ["archives_in", "manifest_of"]


def archives_in(directory: Path, *, allow_unverified: bool = False) -> tuple[FetchedArchive, ...]:
    """The archives of a directory with their digests, which whoever uses them has to check.

    NotFoundError where there are none, IntegrityError for one without a ``.sha256sum`` file.
    """
    try:
        filenames = sorted(path.name for path in directory.iterdir() if path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{directory}: no such directory; fetch the run first") from None
    names = prefer_zst(name for name in map(parse_archive_filename, filenames) if name)
    if not names:
        raise NotFoundError(f"{directory}: holds no artifact archives; fetch the run first")
    return tuple(_archive(directory, name, allow_unverified=allow_unverified) for name in names)


def manifest_of(archives: Iterable[FetchedArchive]) -> tuple[RunManifest, bytes | None]:
    """The run's manifest in ``base_lib_generic``, parsed and as it stands.

    Where there is none that is an empty manifest and None.
    """
    for archive in archives:
        if archive.name.artifact == BASE_ARTIFACT:
            with open_archive(archive.path) as reader:
                data = find_manifest(reader)
            if data is not None:
                return RunManifest.parse(data, archive.path.name), data
    return RunManifest(), None


def _archive(directory: Path, name: ArchiveName, *, allow_unverified: bool) -> FetchedArchive:
    path = directory / name.filename
    digest = None
    try:
        text = (directory / name.sha256_filename).read_text(encoding="utf-8", errors="replace")
        digest = parse_sha256sum(text, name.filename)
    except FileNotFoundError:
        if not allow_unverified:
            raise IntegrityError(
                f"{path}: has no {name.sha256_filename} beside it, so it cannot be verified; "
                "fetch it again, or use --allow-unverified"
            ) from None
    except IntegrityError:
        if not allow_unverified:
            raise
    return FetchedArchive(name, path, path.stat().st_size, digest, Outcome.SAME)
