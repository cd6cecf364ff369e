"""Read two sides: as little of them as a comparison needs, in parallel, nothing written to disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from therock_outputs.artifacts.archives import ArchiveReader
from therock_outputs.artifacts.compare.archive_files import ReadOptions, read_archive
from therock_outputs.artifacts.compare.flat_sides import prefix_side, tarball_side, trees_side
from therock_outputs.artifacts.compare.pins import Provenance
from therock_outputs.artifacts.compare.sides import Side, SideArchive, SizedFile
from therock_outputs.artifacts.compare.sources import (
    Archive,
    ArchivesSource,
    ManifestData,
    SideSource,
    TarballSource,
    TreesSource,
)
from therock_outputs.artifacts.run_contents import BASE_ARTIFACT, find_manifest
from therock_outputs.errors import UsageError
from therock_outputs.storage.local_io import os_errors
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["ReadOptions", "ReadPlan", "plan_reading", "read_sides"]

_DIGEST_READERS = 16
"""Requests of a hundred bytes each: waiting, not work."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What will be read of two sides."""

    before: SideSource
    after: SideSource
    files: bool
    digests: tuple[dict[str, str], dict[str, str]]
    """The digests that are known, of each side by artifact."""
    same: frozenset[str]
    """Artifacts of which both sides have the same bytes."""
    unread: frozenset[str]
    """Those of them that are not read at all: they lie on a server."""
    archives: tuple[tuple[Archive, str | None], ...]
    """What is read, with its digest; of two archives that are the same, one."""

    @property
    def size(self) -> int:
        """Bytes that are read of archives and tarballs."""
        tarballs = (
            source.path.stat().st_size
            for source in (self.before, self.after)
            if isinstance(source, TarballSource)
        )
        return sum(archive.size for archive, _ in self.archives) + sum(tarballs)


def plan_reading(before: SideSource, after: SideSource, options: ReadOptions) -> ReadPlan:
    """Decide what is read; asks for the digests of archives that may be the same.

    UsageError when nothing could be compared without reading files from a server.
    """
    files = options.files
    if files is None:
        files = all(not isinstance(s, ArchivesSource) or s.is_local for s in (before, after))
    if not files and not (isinstance(before, ArchivesSource) and isinstance(after, ArchivesSource)):
        raise UsageError(
            f"{before.label} and {after.label} can only be compared file by file; give --files, "
            "which reads the archives from their server"
        )
    old, new = _archives(before), _archives(after)
    if not files:
        return ReadPlan(before, after, False, ({}, {}), frozenset(), frozenset(), ())
    # Archives of different sizes are different; all others are asked for their digests, and
    # with a cache all, because it is kept by digest.
    wanted = {
        stem
        for stem in {*old, *new}
        if options.cache_dir is not None
        or (stem in old and stem in new and old[stem].size == new[stem].size)
        or (stem in old and old[stem].is_local)
        or (stem in new and new[stem].is_local)
    }
    digests = (_digests(old, wanted), _digests(new, wanted))
    same = frozenset(
        stem
        for stem, digest in digests[0].items()
        if digests[1].get(stem) == digest and old[stem].size == new[stem].size
    )
    unread = frozenset(stem for stem in same if not (old[stem].is_local or new[stem].is_local))
    archives = [
        (archive, digests[0].get(stem)) for stem, archive in old.items() if stem not in same
    ]
    archives += [
        (old[stem] if stem in same and old[stem].is_local else archive, digests[1].get(stem))
        for stem, archive in new.items()
        if stem not in unread
    ]
    return ReadPlan(before, after, True, digests, same, unread, tuple(archives))


def read_sides(plan: ReadPlan, options: ReadOptions) -> tuple[Side, Side]:
    """Read both; the first failure stops the rest and names what is damaged."""
    read = run_parallel(partial(read_archive, options=options), plan.archives, options.jobs)
    lists = {
        (archive.label): files for (archive, _), files in zip(plan.archives, read, strict=True)
    }
    by_stem = {
        archive.name.artifact.stem: files
        for (archive, _), files in zip(plan.archives, read, strict=True)
        if archive.name.artifact.stem in plan.same
    }

    def files_of(source: ArchivesSource) -> tuple[SizedFile, ...]:
        found: list[SizedFile] = []
        for archive in source.archives:
            stem = archive.name.artifact.stem
            if stem not in plan.unread:
                found += by_stem[stem] if stem in plan.same else lists[archive.label]
        return tuple(found)

    def side(source: SideSource, digests: dict[str, str], _stop: Stop) -> Side:
        if isinstance(source, ArchivesSource):
            return _archives_side(source, plan, digests, files_of(source) if plan.files else None)
        if isinstance(source, TreesSource):
            return trees_side(source)
        if isinstance(source, TarballSource):
            return tarball_side(source, options.progress)
        return prefix_side(source)

    one, other = run_parallel(
        lambda pair, stop: side(*pair, stop),
        [(plan.before, plan.digests[0]), (plan.after, plan.digests[1])],
        options.jobs,
    )
    return one, other


def _archives(source: SideSource) -> dict[str, Archive]:
    if not isinstance(source, ArchivesSource):
        return {}
    return {archive.name.artifact.stem: archive for archive in source.archives}


def _digests(archives: dict[str, Archive], wanted: set[str]) -> dict[str, str]:
    asked = [stem for stem in archives if stem in wanted]
    found = run_parallel(lambda stem, _stop: archives[stem].digest(), asked, _DIGEST_READERS)
    return {stem: digest for stem, digest in zip(asked, found, strict=True) if digest is not None}


def _archives_side(
    source: ArchivesSource,
    plan: ReadPlan,
    digests: dict[str, str],
    files: tuple[SizedFile, ...] | None,
) -> Side:
    data = source.manifest or _manifest_in(source)
    archives = tuple(
        SideArchive(archive.name.artifact, archive.size, digests.get(archive.name.artifact.stem))
        for archive in source.archives
    )
    return Side(
        source.label,
        source.place,
        archives,
        files,
        plan.unread,
        sum(archive.size for archive in source.archives),
        None if data is None else Provenance.parse(*data),
    )


def _manifest_in(source: ArchivesSource) -> ManifestData | None:
    """The manifest in the base archive, where that is on this disk."""
    for archive in source.archives:
        if archive.name.artifact == BASE_ARTIFACT and archive.is_local:
            with (
                os_errors(f"{archive.label} cannot be read"),
                archive.open() as stream,
            ):
                reader = ArchiveReader(stream, archive.name.compression, archive.label)
                data = find_manifest(reader)
            return None if data is None else (data, archive.label)
    return None
