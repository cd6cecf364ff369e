"""Unpack archives: each by itself, all into one install prefix, or into a build tree.

Everything is written into a directory beside its final place, which is renamed when it is
whole; whatever an archive holds, nothing is written outside of that directory.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import (
    MANIFEST_NAME,
    ArchiveReader,
    Kind,
    Member,
    open_archive,
)
from therock_outputs.artifacts.swap import fresh_directory, recover, replace_directory
from therock_outputs.artifacts.tarball_reader import open_tarball
from therock_outputs.artifacts.tree import OnConflict, TreeWriter
from therock_outputs.errors import ConflictError, UsageError
from therock_outputs.storage.local_io import os_errors, write_all

__all__ = ["PREFIX_MARKER", "UnpackMode", "Unpacked", "check_prefix", "unpack", "unpack_tarball"]

PREFIX_MARKER = ".therock-outputs"
"""A file in an install prefix: the directory is ours, so it may be replaced. What is in it says
what was installed, or nothing."""

_BUFFER = 1 << 20
_TREE = "tree"
Progress = Callable[[str, int], None]


class UnpackMode(enum.Enum):
    """How stages become directories."""

    EXTRACT = "extract"
    """``{name}_{component}_{target}/{stage}/…``"""
    FLATTEN = "flatten"
    """One install prefix, without the stages."""
    BOOTSTRAP = "bootstrap"
    """``{stage}/…`` in a build tree, each with a ``{stage}.prebuilt`` beside it."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked."""

    directory: Path
    files: int
    """Members of any kind but directories."""


def unpack(
    archives: Sequence[Path],
    directory: Path,
    mode: UnpackMode,
    *,
    on_conflict: OnConflict = OnConflict.ERROR,
    jobs: int | None = None,
    progress: Progress | None = None,
    note: bytes = b"",
) -> Unpacked:
    """Unpack verified archives, in an order that decides conflicts, into ``directory``.

    A directory of an earlier call is replaced as a whole. Raises IntegrityError for an archive
    that breaks a rule, ConflictError for different content at one path, UsageError where a
    directory that is not ours would have to be replaced. Then nothing has changed.
    ``progress`` counts the archives' bytes. ``note`` is what a prefix says of itself.
    """
    _check_directory(directory)
    work = _Work(jobs, on_conflict, progress, note)
    steps = {
        UnpackMode.EXTRACT: _extract,
        UnpackMode.FLATTEN: _flatten,
        UnpackMode.BOOTSTRAP: _bootstrap,
    }
    with os_errors(f"{directory} cannot be filled"):
        files = steps[mode](archives, _place_of(directory), work)
    return Unpacked(directory, files)


def unpack_tarball(
    tarball: Path,
    directory: Path,
    *,
    progress: Progress | None = None,
    note: bytes = b"",
) -> Unpacked:
    """Unpack a verified tarball of an install prefix, as ``unpack`` does with archives."""
    _check_directory(directory)
    work = _Work(1, OnConflict.ERROR, progress, note, open_tarball)
    with os_errors(f"{directory} cannot be filled"):
        files = _flatten([tarball], _place_of(directory), work)
    return Unpacked(directory, files)


def check_prefix(directory: Path) -> None:
    """UsageError where a prefix cannot be put: what is there is somebody else's."""
    _check_directory(directory)
    if directory.is_symlink():
        raise UsageError(
            f"{directory}: is a link, so it is not replaced; name the directory that it leads to"
        )
    if _is_foreign(directory):
        raise UsageError(
            f"{directory}: is not empty and was not made by this task, so it is not replaced; "
            "name a new or an empty directory"
        )


def _check_directory(directory: Path) -> None:
    if os.path.lexists(directory) and not directory.is_dir():
        raise UsageError(f"{directory}: is not a directory; name a new or an empty one")


def _place_of(directory: Path) -> Path:
    """The directory by a name that others can stand beside, which ``..`` is not."""
    # A link is left for check_prefix to refuse.
    return directory.absolute() if directory.is_symlink() else directory.resolve()


@dataclass(frozen=True, slots=True)
class _Read:
    """What one archive says of itself."""

    stages: tuple[str, ...]
    manifest: bytes


@dataclass(frozen=True, slots=True)
class _Work:
    jobs: int | None
    on_conflict: OnConflict
    progress: Progress | None
    note: bytes = b""
    opener: Callable[[Path], ArchiveReader] = open_archive

    def fill(
        self, archives: Sequence[Path], partial: Path, place: Callable[[Path, Member], str]
    ) -> tuple[int, tuple[_Read, ...]]:
        """Overlay archives at ``{partial}/tree``; how many files there are, what each lists."""
        root, aside = partial / _TREE, partial / "aside"
        root.mkdir()
        aside.mkdir()
        tree = TreeWriter(root, aside, [path.name for path in archives], self.on_conflict)
        order = sorted(range(len(archives)), key=lambda n: -_size(archives[n]))
        with ThreadPoolExecutor(self.jobs or os.cpu_count() or 1, "unpack") as pool:
            tasks = {n: pool.submit(self._one, archives[n], n, tree, place) for n in order}
            _, pending = wait(tasks.values(), return_when=FIRST_EXCEPTION)
            for task in pending:
                task.cancel()
        for number in range(len(archives)):
            task = tasks[number]
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        tree.finish()
        return tree.files, tuple(tasks[number].result() for number in range(len(archives)))

    def _one(
        self, path: Path, number: int, tree: TreeWriter, place: Callable[[Path, Member], str]
    ) -> _Read:
        buffer = memoryview(bytearray(_BUFFER))
        places: dict[str, Path] = {}
        reported = 0
        with self.opener(path) as reader:
            for member in reader:
                _write_member(
                    tree,
                    number,
                    member,
                    place(path, member),
                    reader=reader,
                    buffer=buffer,
                    places=places,
                )
                self._report(path, reader.consumed - reported)
                reported = reader.consumed
            self._report(path, _size(path) - reported)
            return _Read(reader.stages, reader.manifest)

    def _report(self, path: Path, count: int) -> None:
        if self.progress is not None:
            self.progress(path.name, count)


def _size(path: Path) -> int:
    """Bytes of an archive; NotFoundError where there is none."""
    with os_errors(f"{path} cannot be read; fetch the run first"):
        return path.stat().st_size


def _write_member(
    tree: TreeWriter,
    number: int,
    member: Member,
    path: str,
    *,
    reader: ArchiveReader,
    buffer: memoryview,
    places: dict[str, Path],
) -> None:
    """``places`` remembers where the files of this archive are, for its hard links."""
    if member.kind is Kind.DIRECTORY:
        tree.directory(number, path, member.mode)
    elif member.kind is Kind.SYMLINK:
        tree.symlink(number, path, member.link)
    elif member.kind is Kind.HARDLINK:
        places[member.name] = tree.hardlink(number, path, places[member.link])
    else:
        with tree.file(number, path, member.mode) as (descriptor, written):
            places[member.name] = written
            while count := reader.readinto(buffer):
                write_all(buffer[:count], descriptor)


def _extract(archives: Sequence[Path], directory: Path, work: _Work) -> int:
    """One directory for each archive, with its manifest, as ``push`` takes it."""
    stems = [path.name.partition(".tar.")[0] for path in archives]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise UsageError(f"{twice[0]} is given as two archives, which would share a directory")
    with fresh_directory(directory / "extract") as partial:
        files, read = work.fill(
            archives, partial, lambda path, member: f"{_stem(path)}/{member.name}"
        )
        made = [partial / _TREE / stem for stem in stems]
        for root, one in zip(made, read, strict=True):
            for stage in one.stages:
                (root / stage).mkdir(parents=True, exist_ok=True)
            (root / MANIFEST_NAME).write_bytes(one.manifest)
        for root in made:
            replace_directory(root, directory / root.name)
    return files


def _stem(path: Path) -> str:
    """``{name}_{component}_{target}`` of an archive's path."""
    return path.name.partition(".tar.")[0]


def _flatten(archives: Sequence[Path], directory: Path, work: _Work) -> int:
    recover(directory)
    check_prefix(directory)
    with fresh_directory(directory) as partial:
        files, _ = work.fill(archives, partial, _place_in_prefix)
        (partial / _TREE / PREFIX_MARKER).write_bytes(work.note)
        replace_directory(partial / _TREE, directory)
    return files


def _place_in_prefix(archive: Path, member: Member) -> str:
    if member.path.partition("/")[0] == PREFIX_MARKER:
        raise ConflictError(f"{archive.name}: holds {member.name!r}, a name that is kept for us")
    return member.path


def _bootstrap(archives: Sequence[Path], directory: Path, work: _Work) -> int:
    with fresh_directory(directory / "bootstrap") as partial:
        files, read = work.fill(archives, partial, lambda _, member: member.name)
        stages = sorted({stage for one in read for stage in one.stages})
        _check_apart(stages)
        for stage in stages:
            (partial / _TREE / stage).mkdir(parents=True, exist_ok=True)
            marker = directory / f"{stage}.prebuilt"
            marker.unlink(missing_ok=True)  # it stands for a whole stage, so it goes first
            (directory / stage).parent.mkdir(parents=True, exist_ok=True)
            replace_directory(partial / _TREE / stage, directory / stage)
            marker.touch()
    return files


def _check_apart(stages: Sequence[str]) -> None:
    """One stage is replaced after the other: none may hold another, or another's mark."""
    taken = {name for stage in stages for name in (stage, f"{stage}.prebuilt")}
    for stage in stages:
        above = stage.rpartition("/")[0]
        while above and above not in taken:
            above = above.rpartition("/")[0]
        if not above and stage.endswith(".prebuilt") and stage.removesuffix(".prebuilt") in stages:
            above = stage
        if above:
            raise ConflictError(
                f"stage {stage!r} lies in the place of {above!r}, which another archive needs; "
                "bootstrap one of them elsewhere"
            )


def _is_foreign(directory: Path) -> bool:
    if not directory.exists() or (directory / PREFIX_MARKER).exists():
        return False
    return any(directory.iterdir())
