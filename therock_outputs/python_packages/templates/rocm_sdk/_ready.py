"""Whether the devel tree is there and fits what is installed: asked by every compiler call.

The tree's state names the version and packages it was made for, and the sizes of the RECORD files
that were written for it: a package that was installed again has a RECORD of another size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from . import _dist_info
from ._environment import Installation
from ._names import CORE_PACKAGE, DEVEL_TREE

__all__ = [
    "STATE_FILE",
    "TreeState",
    "read_state",
    "record_size",
    "runtime_packages",
    "tree_is_ready",
]

STATE_FILE = ".rocm-sdk.json"


class TreeState:
    """What a devel tree was made for."""

    def __init__(self, document: object) -> None:
        fields = document if isinstance(document, dict) else {}
        records = fields.get("records")
        self.version: object = fields.get("version")
        self.packages: object = fields.get("packages")
        self.records: dict[str, object] = records if isinstance(records, dict) else {}
        """Size in bytes of each distribution's RECORD."""


def read_state(root: str | os.PathLike[str]) -> TreeState:
    """The state of a tree; one that fits nothing where there is none."""
    try:
        with open(os.path.join(root, STATE_FILE), encoding="utf-8") as file:
            return TreeState(json.load(file))
    except (OSError, ValueError):
        return TreeState(None)


def runtime_packages(installed: Installation) -> list[str]:
    """The directories of the installed packages that the devel tree links to."""
    packages = [CORE_PACKAGE]
    packages += [
        f"_{name.replace('-', '_')}"
        for name in installed.versions
        if name.startswith("rocm-sdk-libraries")
    ]
    return sorted(packages)


def record_size(dist_info: str) -> int:
    """Size of a RECORD in bytes, 0 without one: tells a fresh one from one that was added to."""
    try:
        return os.stat(os.path.join(dist_info, "RECORD")).st_size
    except FileNotFoundError:
        return 0


def tree_is_ready(installed: Installation, *, devices: Sequence[str] | None = None) -> bool:
    """Whether nothing is to be done; ``devices`` are the device wheels that count, else all."""
    state = read_state(os.path.join(installed.site, DEVEL_TREE))
    if state.version != _dist_info.VERSION or state.packages != runtime_packages(installed):
        return False
    names = ("rocm-sdk-devel", *(installed.devices if devices is None else devices))
    return all(state.records.get(name) == record_size(installed.dist_info(name)) for name in names)


def ready_root(installed: Installation) -> str | None:
    """The devel tree, when nothing is to be done."""
    return os.path.join(installed.site, DEVEL_TREE) if tree_is_ready(installed) else None
