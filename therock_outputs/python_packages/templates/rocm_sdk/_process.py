"""What a program that uses ROCm does first: check the version, load what it links to."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence

from . import _dist_info
from ._libraries import preload_libraries

__all__ = ["check_version", "initialize_process"]

PRELOAD_VARIABLE = "ROCM_SDK_PRELOAD_LIBRARIES"


def check_version(
    expected: str | re.Pattern[str], *, fail_on_version_mismatch: bool = False
) -> bool:
    """Whether the installed version is the expected one; a text may have ``*`` for anything.

    Otherwise it warns, or raises RuntimeError when ``fail_on_version_mismatch``.
    """
    if isinstance(expected, str):
        pattern = re.compile(".*".join(re.escape(part) for part in expected.split("*")))
    else:
        pattern = expected
    if pattern.fullmatch(_dist_info.VERSION):
        return True
    message = (
        f"this program expects rocm {pattern.pattern if pattern is expected else expected}, "
        f"but {_dist_info.VERSION} is installed"
    )
    if fail_on_version_mismatch:
        raise RuntimeError(message)
    warnings.warn(message, stacklevel=2)
    return False


def initialize_process(
    *,
    preload_shortnames: Sequence[str] = (),
    check_version: str | re.Pattern[str] | None = None,
    fail_on_version_mismatch: bool = False,
) -> None:
    """Check the version and preload libraries, with those of ROCM_SDK_PRELOAD_LIBRARIES after them.

    The variable's names are separated by commas or semicolons. Errors as ``check_version`` and
    ``preload_libraries``.
    """
    if check_version is not None:
        _check(check_version, fail_on_version_mismatch=fail_on_version_mismatch)
    names = re.split(r"[,;]", os.environ.get(PRELOAD_VARIABLE, ""))
    asked = [*preload_shortnames, *(name.strip() for name in names)]
    wanted = [name for name in asked if name]
    if wanted:
        preload_libraries(*wanted)


# initialize_process has a parameter of the function's name.
_check = check_version
