"""How a process ends whose threads may not have ended yet."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

__all__ = ["ABANDONED", "await_native_threads", "end_process"]

ABANDONED = "asking"
"""How the names of threads begin that nobody waits for: they ask others, who may never answer,
and leave nothing to be tidied up."""

_TASKS = "/proc/self/task"
_LONGEST = 1.0
_STEP = 0.0005


def end_process(code: int) -> NoReturn:
    """Exit, without waiting for abandoned threads, and not before all others are gone."""
    if any(thread.name.startswith(ABANDONED) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    await_native_threads()
    sys.exit(code)


def await_native_threads(
    list_directory: Callable[[str], list[str]] = os.listdir,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the kernel has no thread left of those that Python has joined.

    Joining waits for what a thread runs, not for its end: libcrypto (3.0) frees then what it kept
    for the thread. At a process's exit it frees that of all threads, and one time in a thousand,
    where both happen at once, frees it twice: the process that had done everything aborts.
    A thread that some library keeps for itself is not waited for longer than a second.
    """
    for _ in range(round(_LONGEST / _STEP)):
        try:
            count = len(list_directory(_TASKS))
        except OSError:  # not Linux, or no /proc: there is nobody to ask
            return
        if count <= threading.active_count():
            return
        sleep(_STEP)
