"""``rocm-sdk test``: whether what is installed works, as far as can be told without a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator

from . import _dist_info
from ._check_loading import check_libraries_load
from ._check_programs import check_programs_start
from ._devel import devel_root, expected_tree
from ._environment import Installation, installation
from ._errors import PackageMissingError, RocmSdkError
from ._libraries import is_optional, library_file
from ._names import DEVEL_TREE, LIBRARIES_PACKAGE, device_marker
from ._outcome import Outcome, Status
from ._record import read_record
from ._tree import check_tree

__all__ = ["Outcome", "Status", "run_checks"]


def run_checks() -> Iterator[Outcome]:
    """Every check in turn; one that cannot go on ends the rest."""
    try:
        installed = installation()
    except RocmSdkError as error:
        yield Outcome("one run", Status.FAILED, str(error))
        return
    names = ", ".join(sorted(installed.versions))
    yield Outcome("one run", Status.PASSED, f"{_dist_info.VERSION}: {names}")
    for name in installed.versions:
        yield Outcome.of(f"files of {name}", _missing_files(installed, name))
    yield from _check_devel(installed)
    yield from _check_devices(installed)
    for package in _packages(installed):
        yield Outcome.of(f"links in {package}", _bad_links(installed.site, package))
    yield from _check_short_names(installed)
    for package in _packages(installed):
        if package != DEVEL_TREE:
            yield from check_libraries_load(os.path.join(installed.site, package))
    yield from check_programs_start(installed)


def _packages(installed: Installation) -> list[str]:
    return sorted(
        name
        for name in os.listdir(installed.site)
        if name.startswith("_rocm_") and os.path.isdir(os.path.join(installed.site, name))
    )


def _missing_files(installed: Installation, name: str) -> list[str]:
    """Files that RECORD names and that are not there, or not of their size."""
    wrong = []
    for path, _, size in read_record(installed.dist_info(name)):
        if path.startswith(DEVEL_TREE) or path.endswith(".pyc"):
            continue  # the one has a check of its own, the other comes and goes
        try:
            found = os.stat(os.path.join(installed.site, path)).st_size
        except OSError:
            wrong.append(f"{path} is missing")
            continue
        if size and found != int(size) and not path.endswith("/RECORD"):
            wrong.append(f"{path} has {found} bytes, not {size}")
    return wrong


def _check_devel(installed: Installation) -> Iterator[Outcome]:
    if not installed.has_devel:
        yield Outcome("devel", Status.SKIPPED, "rocm[devel] is not installed")
        return
    try:
        root = devel_root(installed)
        yield Outcome.of("devel tree", check_tree(root, expected_tree(installed)))
    except RocmSdkError as error:
        yield Outcome("devel tree", Status.FAILED, str(error))
        return
    wrong = [
        f"{name} is missing"
        for name in ("bin", os.path.join("lib", "cmake"), "include")
        if not os.path.isdir(root / name)
    ]
    yield Outcome.of("devel paths", wrong)


def _check_devices(installed: Installation) -> Iterator[Outcome]:
    if not installed.devices:
        reason = "no rocm[device-…] is installed"
        if not _dist_info.SPLIT:
            reason = "the libraries hold the GPU code"
        yield Outcome("device files", Status.SKIPPED, reason)
    for name in installed.devices:
        wrong = []
        count = 0
        for path, _, _ in read_record(installed.dist_info(name)):
            package, _, rest = path.partition("/")
            if package != LIBRARIES_PACKAGE or rest.startswith(device_marker("")):
                continue
            count += 1
            linked = os.path.join(installed.site, DEVEL_TREE, rest)
            if installed.has_devel and not os.path.isfile(linked):
                wrong.append(f"{DEVEL_TREE}/{rest} is missing")
        if not count:
            wrong.append(f"nothing lies in {LIBRARIES_PACKAGE}, where the libraries look")
        yield Outcome.of(f"files of {name} where the libraries look", wrong)


def _bad_links(site: str, package: str) -> list[str]:
    """Symbolic links that lead nowhere, or out of the packages of ROCm."""
    wrong = []
    inside = os.path.realpath(site) + os.sep
    for directory, subdirectories, files in os.walk(os.path.join(site, package)):
        for name in (*subdirectories, *files):
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                continue
            shown = os.path.relpath(path, site)
            target = os.readlink(path)
            if not os.path.exists(path):
                wrong.append(f"{shown} leads nowhere")
            elif package == DEVEL_TREE and not _lexically_inside(path, target, site, inside):
                wrong.append(f"{shown} leads out of {site}")
    return wrong


def _lexically_inside(path: str, target: str, site: str, inside: str) -> bool:
    """Whether a link's own target lies in site-packages.

    What lies there may be a link again: some installers link to their cache.
    """
    joined = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return joined.startswith((site + os.sep, inside))


def _check_short_names(installed: Installation) -> Iterator[Outcome]:
    for name, (package, _, _, _) in sorted(_dist_info.LIBRARIES.items()):
        title = f"find_libraries({name!r})"
        if not os.path.isdir(installed.package(package)):
            yield Outcome(title, Status.SKIPPED, f"rocm[{package}] is not installed")
            continue
        try:
            path = library_file(installed, name)
        except PackageMissingError as error:
            status = Status.SKIPPED if is_optional(name) else Status.FAILED
            yield Outcome(title, status, str(error))
        else:
            yield Outcome(title, Status.PASSED, os.path.relpath(path, installed.site))
