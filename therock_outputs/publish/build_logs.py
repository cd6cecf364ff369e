"""What a build leaves behind for people to read: found in its tree, never changed there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from therock_outputs.errors import StorageError
from therock_outputs.layout import LayoutError, StorageLocation
from therock_outputs.storage import SourceFile, files_to_upload
from therock_outputs.storage.files import key_order

__all__ = ["BuildLogs", "find_build_logs", "find_report", "safely_named"]

_LOGS = "logs"
_CCACHE = "ccache/"
_NINJA_LOG = ".ninja_log"
_MANIFESTS = (
    "base/aux-overlay/build/therock_manifest.json",
    "base/aux-overlay/stage/share/therock/therock_manifest.json",
)
"""Where a build writes its manifest, and where it installs it."""
_ANALYSES = ("build_time_analysis.html", "build_observability.html")
_PROFILING = "therock-build-prof/"
_SUMMARIES = ("comp-summary.html", "comp-summary.md")
# A name is looked at as a key; whose key it becomes does not matter for that.
_SOMEWHERE = StorageLocation("names", "logs/")


@dataclass(frozen=True, slots=True)
class BuildLogs:
    """The logs of one build tree."""

    files: tuple[SourceFile, ...] = ()
    """To be uploaded as they are, by their names below the logs' place."""
    ninja: tuple[SourceFile, ...] = ()
    """``.ninja_log`` files, by their names below the build tree."""
    ccache: tuple[SourceFile, ...] = ()
    """ccache's logs, by their names below ``logs/ccache/``."""
    manifest: Path | None = None
    missing: tuple[str, ...] = ()
    """What a build can leave and this one did not, in words."""
    left_out: tuple[str, ...] = ()
    """What is there and is not uploaded: one sentence each."""


def find_build_logs(build_dir: Path) -> BuildLogs:
    """Look through a build tree; what is not there is named in ``missing``.

    No link is followed out of the tree. NotFoundError or StorageError for a directory that
    cannot be read.
    """
    left_out: list[str] = []
    if not build_dir.is_dir():
        return BuildLogs(missing=(f"the build directory {build_dir}",))
    found = _logs(build_dir, left_out)
    files = {file.name: file for file in found if not file.name.startswith(_CCACHE)}
    for name in _ANALYSES:
        _add_from(build_dir, name, files, left_out)
    for name in _SUMMARIES:
        summary = files.get(_PROFILING + name)
        if summary is not None:
            files[name] = replace(summary, name=name)
    logs = BuildLogs(
        files=tuple(files[name] for name in sorted(files, key=key_order)),
        ninja=safely_named(_ninja_logs(build_dir), left_out),
        ccache=tuple(
            replace(file, name=file.name.removeprefix(_CCACHE))
            for file in found
            if file.name.startswith(_CCACHE)
        ),
        manifest=_manifest(build_dir, left_out),
    )
    return replace(logs, missing=tuple(_missing(logs, build_dir)), left_out=tuple(left_out))


def find_report(report_dir: Path) -> BuildLogs:
    """Look through a directory of test reports."""
    left_out: list[str] = []
    if not report_dir.is_dir():
        return BuildLogs(missing=(f"the report directory {report_dir}",))
    files = _below(report_dir, left_out)
    missing = () if files else (f"any file in {report_dir}",)
    return BuildLogs(files=files, missing=missing, left_out=tuple(left_out))


def safely_named(files: Iterable[SourceFile], left_out: list[str]) -> tuple[SourceFile, ...]:
    """The files that storage has a name for; a sentence for each of the others."""
    kept = []
    for file in files:
        try:
            _SOMEWHERE / file.name
        except LayoutError as error:
            left_out.append(str(error))
        else:
            kept.append(file)
    return tuple(kept)


def _logs(build_dir: Path, left_out: list[str]) -> tuple[SourceFile, ...]:
    directory = build_dir / _LOGS
    if not directory.is_dir():
        return ()
    if not _stays_in(build_dir, directory, left_out):
        return ()
    return _below(directory, left_out)


def _below(directory: Path, left_out: list[str]) -> tuple[SourceFile, ...]:
    def tell(error: StorageError) -> None:
        left_out.append(str(error))

    return safely_named(files_to_upload(directory, leave_out=tell), left_out)


def _add_from(
    build_dir: Path, name: str, files: dict[str, SourceFile], left_out: list[str]
) -> None:
    """Take a page that lies at the top of the tree instead of among the logs."""
    path = build_dir / name
    if name not in files and path.is_file() and _stays_in(build_dir, path, left_out):
        files[name] = SourceFile(path, name, path.stat().st_size)


def _manifest(build_dir: Path, left_out: list[str]) -> Path | None:
    for name in _MANIFESTS:
        path = build_dir / name
        if path.is_file() and _stays_in(build_dir, path, left_out):
            return path
    return None


def _stays_in(build_dir: Path, path: Path, left_out: list[str]) -> bool:
    """Whether the path lies in the tree after all links are followed."""
    if path.resolve().is_relative_to(build_dir.resolve()):
        return True
    left_out.append(f"{path} is a link out of {build_dir}; copy what it points at")
    return False


def _ninja_logs(build_dir: Path) -> Iterator[SourceFile]:
    """The tree's ``.ninja_log`` files; links are not followed at all."""
    for directory, names, files in os.walk(build_dir):
        names.sort()
        if _NINJA_LOG in files:
            path = Path(directory, _NINJA_LOG)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                name = path.relative_to(build_dir).as_posix()
                yield SourceFile(path, name, status.st_size)


def _missing(logs: BuildLogs, build_dir: Path) -> Iterator[str]:
    names = {file.name for file in logs.files}
    if not logs.files:
        yield f"any log in {build_dir / _LOGS}"
    if not logs.ninja:
        yield "ninja logs"
    if not logs.ccache:
        yield "ccache logs"
    if names.isdisjoint(_SUMMARIES):
        yield "a profiling summary"
    if names.isdisjoint(_ANALYSES):
        yield "a build-time analysis"
    if logs.manifest is None:
        yield "a manifest"
