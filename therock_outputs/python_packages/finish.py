"""End each Python package: links, scripts, metadata; then devel and the selector."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from posixpath import basename, join

from therock_outputs.python_packages.catalog import Catalog, PackageKind
from therock_outputs.python_packages.collect import (
    Collection,
    DevelSink,
    RuntimeSink,
)
from therock_outputs.python_packages.devel import write_archive
from therock_outputs.python_packages.devel_format import (
    DEVEL_ARCHIVE,
    DEVEL_INIT,
    DEVEL_MANIFEST,
    PACKAGE_INIT,
    EntryKind,
    device_marker,
    entry_point,
    manifest_bytes,
    manifest_order,
)
from therock_outputs.python_packages.devel_tree import devel_entries
from therock_outputs.python_packages.launcher import (
    launcher_for,
)
from therock_outputs.python_packages.plan import (
    PlannedSelector,
    PlannedWheel,
    PythonPackagePlan,
)
from therock_outputs.python_packages.sdist import SelectorLibrary, write_selector
from therock_outputs.python_packages.trees import (
    Leftover,
    LinkFate,
    fate_of,
    link_text,
)
from therock_outputs.python_packages.wheel import (
    Packed,
    WheelMetadata,
    WheelWriter,
    WrittenFile,
    pack,
)
from therock_outputs.storage.files import sha256_of_file

__all__ = ["Finisher"]

_ENDING = 4
"""Packages that are ended at once."""


class Finisher:
    """Ends each package: links, scripts, metadata; then devel and the selector."""

    def __init__(
        self,
        plan: PythonPackagePlan,
        collection: Collection,
        directories: tuple[Path, Path],
        *,
        launcher: bytes,
        mtime: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._plan = plan
        self._collection = collection
        self._output_dir, self._scratch = directories
        self._launcher = launcher
        self._mtime = mtime
        self._pool = pool
        self._catalog = Catalog.load()
        self._level = plan.options.level_of(PackageKind.DEVEL)

    def finish(self) -> list[WrittenFile]:
        """Write the rest of every package."""
        # Most of a runtime package's end is waiting for the disk.
        with ThreadPoolExecutor(_ENDING, "finish") as ending:
            runtime = [
                ending.submit(self._finish_runtime, sink, sink.writer)
                for sink in self._collection.runtime
                if sink.writer is not None
            ]
            devel = [self._finish_devel(sink) for sink in self._collection.devel]
            ended = [future.result() for future in runtime]
        dropped = [leftover for _, leftovers in (*ended, *devel) for leftover in leftovers]
        self._collection.leftovers += dropped
        written = [file for file, _ in (*ended, *devel)]
        if PackageKind.SELECTOR in self._plan.options.only:
            written += [self._write_selector(selector) for selector in self._plan.selectors]
        return written

    # -------------------------------------------------------------- runtime packages

    def _finish_runtime(
        self, sink: RuntimeSink, writer: WheelWriter
    ) -> tuple[WrittenFile, list[Leftover]]:
        dropped = self._write_links(sink, writer)
        self._leave_names(sink, writer)
        if sink.wheel.kind is PackageKind.DEVICE:
            writer.add(sink.name_of(device_marker(sink.wheel.target)), pack(b"", self._level))
        else:
            writer.add(sink.name_of("__init__.py"), pack(PACKAGE_INIT, self._level))
        scripts = {
            program.name: entry_point(program.name)
            for program in self._catalog.programs_of(sink.wheel.kind, self._plan.options.platform)
            if any(
                sink.name_of(join(program.directory, program.name + ending)) in writer
                for ending in ("", ".exe")
            )
        }
        return writer.finish(self._metadata(sink.wheel, scripts)), dropped

    def _write_links(self, sink: RuntimeSink, writer: WheelWriter) -> list[Leftover]:
        """Launchers and copies for links; what is dropped."""
        dropped = []
        tree = sink.tree
        texts = {path: link.target for path, link in tree.links.items()}
        for path in sorted(tree.links):
            target, problem = tree.resolve_with(path, texts)
            if target is None:
                dropped.append(self._dropped(sink, path, problem))
                continue
            file = tree.files[target]
            keep = sink.rules.keeps_name(path)
            fate = fate_of(tree, path, target, keep=keep, launchers=bool(self._launcher))
            name = sink.name_of(path)
            if fate is LinkFate.LAUNCHER:
                program = launcher_for(link_text(path, file.place), self._launcher)
                writer.add(name, pack(program, self._level), executable=True)
            elif fate is LinkFate.COPY:
                writer.add_again(name, sink.name_of(file.place), executable=file.executable)
        return dropped

    def _leave_names(self, sink: RuntimeSink, writer: WheelWriter) -> None:
        """A library that keeps its plain name is there under its SONAME as well."""
        for path, file in sorted(sink.tree.files.items()):
            soname = file.kind.soname
            if file.place != path or not soname or not sink.rules.keeps_name(path):
                continue
            name = sink.name_of(join(os.path.dirname(path), soname))  # noqa: PTH120
            if basename(path) != soname and name not in writer:
                writer.add_again(name, sink.name_of(path), executable=file.executable)

    def _dropped(self, sink: RuntimeSink, path: str, problem: str) -> Leftover:
        """A link that the package does not have."""
        fault = not problem.startswith("is a link to a directory")
        if fault and problem.startswith("dangles") and self._is_elsewhere(sink, path):
            problem, fault = "leads to a file that is not in this package", False
        return Leftover(path, sink.wheel.distribution, problem, is_fault=fault)

    def _is_elsewhere(self, sink: RuntimeSink, path: str) -> bool:
        """Whether another package of the same run has what a link leads to."""
        link = sink.tree.links[path]
        final = os.path.normpath(join(os.path.dirname(path), link.target))  # noqa: PTH120
        trees = [other.tree for other in self._collection.runtime]
        trees += [other.tree for other in self._collection.devel]
        return any(
            final in tree.files or final in tree.directories or final in tree.by_place
            for tree in trees
            if tree is not sink.tree
        )

    # ------------------------------------------------------------------------- devel

    def _finish_devel(self, sink: DevelSink) -> tuple[WrittenFile, list[Leftover]]:
        wheel = sink.wheel
        runtime = [
            other
            for other in self._collection.runtime
            if other.wheel.kind in (PackageKind.CORE, PackageKind.LIBRARIES)
            and other.wheel.subdirectory in ("", wheel.subdirectory)
        ]
        trees = [(other.wheel.directory, other.tree) for other in runtime]
        entries, dropped = devel_entries(sink.tree, trees)
        parts = [
            sink.stored[entry.path]
            for entry in manifest_order(entries)
            if entry.kind is EntryKind.FILE
        ]
        archive = write_archive(
            self._scratch / f"devel-{wheel.subdirectory}.tar.gz",
            parts,
            self._collection.spool,
            level=self._level,
            pool=self._pool,
        )
        path = self._output_dir / wheel.place
        path.parent.mkdir(parents=True, exist_ok=True)
        with WheelWriter(path, self._mtime) as writer:
            manifest = manifest_bytes(wheel.version, entries)
            writer.add(join(wheel.directory, "__init__.py"), pack(DEVEL_INIT, self._level))
            writer.add(join(wheel.directory, DEVEL_MANIFEST), pack(manifest, self._level))
            packed = Packed(
                archive.size, archive.crc32, archive.sha256, b"", stored=True, source=archive.path
            )
            writer.add(join(wheel.directory, DEVEL_ARCHIVE), packed)
            archive.path.unlink()
            return writer.finish(self._metadata(wheel, {})), dropped

    # ---------------------------------------------------------------------- the rest

    def _write_selector(self, selector: PlannedSelector) -> WrittenFile:
        directory = self._output_dir / selector.subdirectory
        directory.mkdir(parents=True, exist_ok=True)
        path = write_selector(
            directory,
            version=self._plan.options.version,
            targets=selector.targets,
            families=dict(selector.families),
            default_target=selector.default_target,
            linux_targets=selector.linux_targets,
            windows_targets=selector.windows_targets,
            libraries=self._libraries(),
            programs=self._catalog.programs,
            has_profiler=selector.has_profiler,
            split=self._plan.options.split,
            mtime=self._mtime,
        )
        return WrittenFile(path, path.stat().st_size, sha256_of_file(path))

    def _libraries(self) -> list[SelectorLibrary]:
        """The libraries that have names; those that the run came without are optional.

        Where another system's job makes the same sdist, nothing may depend on this one's run.
        """
        options = self._plan.options
        read = {sink.wheel.kind.value for sink in self._collection.runtime}
        if options.linux_families or options.windows_families:
            read = set()
        return [
            replace(library, optional=True)
            if library.package in read and not self._holds(library)
            else library
            for library in self._catalog.libraries
        ]

    def _holds(self, library: SelectorLibrary) -> bool:
        stems = (f"{library.directory}/lib{library.stem}.so", f"bin/{library.stem}")
        return any(
            place.startswith(stems)
            for sink in self._collection.runtime
            if sink.wheel.kind.value == library.package
            for place in sink.tree.by_place
        )

    def _metadata(self, wheel: PlannedWheel, scripts: Mapping[str, str]) -> WheelMetadata:
        summary = self._summary(wheel)
        return WheelMetadata(
            distribution=wheel.distribution,
            version=wheel.version,
            summary=summary,
            platform_tag=wheel.platform_tag,
            description=(
                f"# {wheel.distribution}\n\n{summary}.\n\n"
                "Part of AMD ROCm as built by TheRock. Install it through the `rocm` package, "
                "which chooses what a machine needs: `pip install rocm[libraries,devel]`.\n"
            ),
            requires=tuple(f"{name}=={wheel.version}" for name in wheel.requires),
            entry_points=scripts,
        )

    def _summary(self, wheel: PlannedWheel) -> str:
        text = self._catalog[wheel.kind].summary
        if wheel.target:
            text = f"{text} ({wheel.target})"
        variant = self._plan.options.build_variant
        return f"{text}, {variant} build" if variant else text
