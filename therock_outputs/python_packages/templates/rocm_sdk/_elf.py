"""Tell a shared library for this machine from everything else by its first bytes.

Format: System V ABI, chapter 4.
"""

from __future__ import annotations

import platform
import struct

__all__ = ["is_loadable_library"]

_MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183}
_SHARED_OBJECT = 3
_HEADER_SIZE = 20


def is_loadable_library(path: str) -> bool:
    """Whether a file is a 64-bit ELF shared object for this machine's processor."""
    with open(path, "rb") as file:
        head = file.read(_HEADER_SIZE)
    if len(head) < _HEADER_SIZE or head[:6] != b"\x7fELF\x02\x01":
        return False
    kind, machine = struct.unpack_from("<HH", head, 16)
    return (kind, machine) == (_SHARED_OBJECT, _MACHINES.get(platform.machine().lower()))
