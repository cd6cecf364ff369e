"""Find, load and use the ROCm that pip installed."""

from __future__ import annotations

from . import _dist_info

TYPE_CHECKING = False  # as typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from ._libraries import find_libraries, preload_libraries
    from ._process import check_version, initialize_process

__all__ = [
    "__version__",
    "check_version",
    "find_libraries",
    "initialize_process",
    "preload_libraries",
]

__version__: str = _dist_info.VERSION


def __getattr__(name: str) -> object:
    # A console script imports this package too and needs none of it.
    if name in {"find_libraries", "preload_libraries"}:
        from . import _libraries

        return getattr(_libraries, name)
    if name in {"check_version", "initialize_process"}:
        from . import _process

        return getattr(_process, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
