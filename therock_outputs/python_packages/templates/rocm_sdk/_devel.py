"""Expand the development files beside the other packages, once, so that pip removes them again.

The tree is built in a directory beside its place and renamed. Before a file of it exists, RECORD
names it: of the devel wheel, and for a device wheel's files of that device wheel. Whatever
interrupts this, pip removes what is there, and the next use starts over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import _dist_info
from ._environment import Installation
from ._errors import DevelError, PackageMissingError
from ._links import LinkMode, link_file, link_mode
from ._lock import locked
from ._manifest import DevelManifest, ManifestError
from ._names import (
    DEVEL_ARCHIVE,
    DEVEL_MANIFEST,
    DEVEL_PACKAGE,
    DEVEL_TREE,
    LIBRARIES_PACKAGE,
    device_marker,
)
from ._ready import STATE_FILE, read_state, record_size, runtime_packages, tree_is_ready
from ._record import Row, read_record, row, write_record
from ._tree import TreePlan, build_tree, check_tree, plan_tree

__all__ = ["devel_root", "expand", "expected_tree", "read_manifest"]

_PARTIAL = f"{DEVEL_TREE}.partial"
_OLD = f"{DEVEL_TREE}.old"
_OWN = (DEVEL_TREE, _PARTIAL, _OLD)
_DEVEL = "rocm-sdk-devel"


def devel_root(installed: Installation) -> Path:
    """The devel tree, expanded now if it has not been. Errors as ``expand``."""
    if not tree_is_ready(installed):
        return expand(installed, os.environ)
    return Path(installed.site, DEVEL_TREE)


def expand(
    installed: Installation,
    environ: Mapping[str, str],
    *,
    again: bool = False,
    hard_link: Callable[[str, str], None] = os.link,
) -> Path:
    """Expand the devel tree and link the device wheels' files into it; what is done stays done.

    ``again`` starts over from nothing. ``hard_link`` is for file systems that have none.
    PackageMissingError without the devel wheel, MixedRunsError when it is not of one run with the
    others, DevelError when the tree cannot be written or is not whole.
    """
    if not installed.has_devel:
        raise PackageMissingError(
            f"the development files are not installed in {installed.site}: "
            f'pip install "rocm[devel]=={_dist_info.VERSION}"'
        )
    mode = link_mode(environ)
    root = Path(installed.site, DEVEL_TREE)
    try:
        with locked(Path(installed.site, DEVEL_PACKAGE, DEVEL_MANIFEST)):
            work = _Expansion(installed, mode, hard_link)
            if again or not work.base_is_ready():
                work.start_over()
            elif not tree_is_ready(installed):
                work.add_devices()
    except OSError as error:
        raise DevelError(
            f"cannot expand the development files in {installed.site}: {error}; run "
            "`rocm-sdk init` once as a user who may write there, with enough space"
        ) from error
    return root


def read_manifest(installed: Installation) -> DevelManifest:
    """The manifest of the devel wheel; DevelError when it is damaged."""
    path = Path(installed.site, DEVEL_PACKAGE, DEVEL_MANIFEST)
    try:
        return DevelManifest.from_bytes(path.read_bytes())
    except (OSError, ManifestError) as error:
        raise DevelError(f"{path}: {error}; reinstall rocm-sdk-devel") from error


def expected_tree(installed: Installation) -> TreePlan:
    """What the expanded tree holds, without the device wheels' files. Errors as ``expand``."""
    return plan_tree(read_manifest(installed), installed.site, runtime_packages(installed))


@dataclass(frozen=True)
class _Device:
    """A device wheel's files: their paths in the devel tree, with where they are installed."""

    name: str
    files: tuple[tuple[str, Row], ...]
    """Path in the devel tree and the row of the installed file."""


class _Expansion:
    """The steps of an expansion, all under the lock."""

    def __init__(
        self, installed: Installation, mode: LinkMode, hard_link: Callable[[str, str], None]
    ) -> None:
        self._installed = installed
        self._mode = mode
        self._hard_link = hard_link
        self._site = Path(installed.site)
        self._root = self._site / DEVEL_TREE

    def base_is_ready(self) -> bool:
        """Whether all but the device wheels' files is as it should be."""
        return tree_is_ready(self._installed, devices=())

    def start_over(self) -> None:
        """Build the whole tree beside its place, check it, and put it there."""
        plan = expected_tree(self._installed)
        devices = [self._device(name, plan) for name in self._installed.devices]
        partial = self._site / _PARTIAL
        for leftover in (partial, self._site / _OLD):
            _remove(leftover)
        partial.mkdir()
        try:
            temporary = partial / STATE_FILE
            rows = [row(name) for name in _OWN]
            rows.append(row(f"{DEVEL_TREE}/{STATE_FILE}"))
            rows += [
                row(f"{DEVEL_TREE}/{entry.path}", entry.sha256, entry.size)
                for entry in plan.entries
            ]
            self._record(_DEVEL, rows, temporary)
            for device in devices:
                self._record_device(device, temporary)
            with (self._site / DEVEL_PACKAGE / DEVEL_ARCHIVE).open("rb") as archive:
                build_tree(partial, plan, archive, self._mode, hard_link=self._hard_link)
            for device in devices:
                self._link_device(device, partial)
            _require_whole(partial, plan)
            self._write_state(partial)
            if self._root.exists():
                self._root.rename(self._site / _OLD)
            partial.rename(self._root)
        except BaseException:
            _remove(partial, quietly=True)
            raise
        _remove(self._site / _OLD, quietly=True)

    def add_devices(self) -> None:
        """Link the files of device wheels that came after the tree."""
        plan = expected_tree(self._installed)
        state = read_state(self._root)
        temporary = self._root / f"{STATE_FILE}.new"
        for name in self._installed.devices:
            dist_info = self._installed.dist_info(name)
            if state.records.get(name) == record_size(dist_info):
                continue
            device = self._device(name, plan)
            self._record_device(device, temporary)
            self._link_device(device, self._root)
        self._write_state(self._root)

    def _device(self, name: str, plan: TreePlan) -> _Device:
        taken = {entry.path for entry in plan.entries}
        files = []
        for installed_row in read_record(self._installed.dist_info(name)):
            package, _, path = installed_row[0].partition("/")
            is_file = path and not path.startswith(device_marker(""))
            if package == LIBRARIES_PACKAGE and is_file and path not in taken:
                files.append((path, installed_row))
        return _Device(name, tuple(files))

    def _record_device(self, device: _Device, temporary: Path) -> None:
        rows = [(f"{DEVEL_TREE}/{path}", *one[1:]) for path, one in device.files]
        self._record(device.name, rows, temporary)

    def _record(self, name: str, rows: Iterable[Row], temporary: Path) -> None:
        dist_info = self._installed.dist_info(name)
        write_record(dist_info, rows, replace_below=_OWN, temporary=temporary)

    def _link_device(self, device: _Device, root: Path) -> None:
        for path, installed_row in device.files:
            source = self._site / installed_row[0]
            name = root / path
            name.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(name):
                name.unlink()
            link_file(str(source), str(name), self._mode, hard_link=self._hard_link)

    def _write_state(self, root: Path) -> None:
        state = {
            "version": _dist_info.VERSION,
            "packages": runtime_packages(self._installed),
            "records": {
                name: record_size(self._installed.dist_info(name))
                for name in (_DEVEL, *self._installed.devices)
            },
        }
        temporary = root / f"{STATE_FILE}.new"
        temporary.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, root / STATE_FILE)


def _require_whole(root: Path, plan: TreePlan) -> None:
    wrong = check_tree(root, plan)
    if wrong:
        raise DevelError(
            f"the expanded development files are not whole: {wrong[0]}"
            + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )


def _remove(directory: Path, *, quietly: bool = False) -> None:
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=quietly)
