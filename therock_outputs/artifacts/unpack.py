"""Unpack archives: each by itself, all into one install prefix, or into a build tree.

Everything is written into a directory beside its final place, which is renamed when it is
whole; whatever an archive holds, nothing is written outside of that directory.
"""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
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
from therock_outputs.artifacts.tree import OnConflict, TreeWriter
from therock_outputs.errors import UsageError

__all__ = ["PREFIX_MARKER", "UnpackMode", "Unpacked", "unpack"]

PREFIX_MARKER = ".therock-outputs"
"""An empty file in a flattened prefix: the directory is ours, so it may be replaced."""

_BUFFER = 1 << 20
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
) -> Unpacked:
    """Unpack verified archives, in an order that decides conflicts, into ``directory``.

    A directory of an earlier call is replaced as a whole. Raises IntegrityError for an archive
    that breaks a rule, ConflictError for different content at one path, UsageError where a
    directory that is not ours would have to be replaced. Then nothing has changed.
    """
    work = _Work(jobs or os.cpu_count() or 1, on_conflict, progress or (lambda _name, _count: None))
    match mode:
        case UnpackMode.EXTRACT:
            return _extract(archives, directory, work)
        case UnpackMode.FLATTEN:
            return _flatten(archives, directory, work)
        case UnpackMode.BOOTSTRAP:
            return _bootstrap(archives, directory, work)


@dataclass(frozen=True, slots=True)
class _Read:
    """What one archive says of itself."""

    stages: tuple[str, ...]
    manifest: bytes


@dataclass(frozen=True, slots=True)
class _Work:
    jobs: int
    on_conflict: OnConflict
    progress: Progress

    def fill(
        self, archives: Sequence[Path], root: Path, place: Callable[[Path, Member], str]
    ) -> tuple[int, tuple[_Read, ...]]:
        """Overlay archives at ``root``; how many files there are and what each archive lists."""
        tree = TreeWriter(root, [path.name for path in archives], self.on_conflict)
        order = sorted(range(len(archives)), key=lambda n: -archives[n].stat().st_size)
        with ThreadPoolExecutor(self.jobs, "unpack") as pool:
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
        with open_archive(path) as reader:
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
                self.progress(path.name, member.size)
            return _Read(reader.stages, reader.manifest)


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
                data = buffer[:count]
                while data:
                    data = data[os.write(descriptor, data) :]


def _extract(archives: Sequence[Path], directory: Path, work: _Work) -> Unpacked:
    """One directory for each archive, with its manifest, as ``push`` takes it."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = _fresh(directory.absolute() / "extract")
    try:
        files, read = work.fill(
            archives, partial, lambda path, member: f"{_stem(path)}/{member.name}"
        )
        for path, one in zip(archives, read, strict=True):
            for stage in one.stages:
                (partial / _stem(path) / stage).mkdir(parents=True, exist_ok=True)
            (partial / _stem(path) / MANIFEST_NAME).write_bytes(one.manifest)
            _replace_directory(partial / _stem(path), directory / _stem(path))
    finally:
        _remove(partial)
    return Unpacked(directory, files)


def _stem(path: Path) -> str:
    """``{name}_{component}_{target}`` of an archive's path."""
    return path.name.partition(".tar.")[0]


def _flatten(archives: Sequence[Path], directory: Path, work: _Work) -> Unpacked:
    directory = directory.absolute()
    if _is_foreign(directory):
        raise UsageError(
            f"{directory}: is not empty and was not made by this task, so it is not replaced; "
            "name a new or an empty directory"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = _fresh(directory)
    try:
        files, _ = work.fill(archives, partial, lambda _, member: member.path)
        (partial / PREFIX_MARKER).touch()
        _replace_directory(partial, directory)
    finally:
        _remove(partial)
    return Unpacked(directory, files)


def _bootstrap(archives: Sequence[Path], directory: Path, work: _Work) -> Unpacked:
    directory.mkdir(parents=True, exist_ok=True)
    partial = _fresh(directory.absolute() / "bootstrap")
    try:
        files, read = work.fill(archives, partial, lambda _, member: member.name)
        for stage in sorted({stage for one in read for stage in one.stages}):
            (partial / stage).mkdir(parents=True, exist_ok=True)
            marker = directory / f"{stage}.prebuilt"
            marker.unlink(missing_ok=True)  # it stands for a whole stage, so it goes first
            (directory / stage).parent.mkdir(parents=True, exist_ok=True)
            _replace_directory(partial / stage, directory / stage)
            marker.touch()
    finally:
        _remove(partial)
    return Unpacked(directory, files)


def _fresh(final: Path) -> Path:
    """An empty directory beside ``final``, without what a killed call left there."""
    partial = final.with_name(f".{final.name}.partial")
    _remove(partial)
    partial.mkdir(parents=True)
    return partial


def _is_foreign(directory: Path) -> bool:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        return True
    if not directory.exists() or (directory / PREFIX_MARKER).exists():
        return False
    return any(directory.iterdir())


def _replace_directory(new: Path, final: Path) -> None:
    """Put ``new`` in the place of ``final``; a crash between leaves one of them, whole."""
    old = final.with_name(f".{final.name}.old")
    _remove(old)
    with contextlib.suppress(FileNotFoundError):
        final.rename(old)
    new.rename(final)
    _remove(old)


def _remove(directory: Path) -> None:
    """Remove a tree, read-only directories included."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
        return
    if not directory.exists():
        return
    for path, _, _ in os.walk(directory):
        Path(path).chmod(0o700)
    shutil.rmtree(directory)
