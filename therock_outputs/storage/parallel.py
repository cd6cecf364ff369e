"""Running independent pieces of work on threads, stopped together by the first failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from therock_outputs.ending import ABANDONED

__all__ = ["Stop", "Stopped", "run_parallel"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Stopped(Exception):  # noqa: N818 - a signal between threads, never an error of its own
    """Raised in a worker whose siblings have failed already."""


class Stop:
    """A flag that long transfers look at between two blocks."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask all workers to give up."""
        self._event.set()

    def check(self) -> None:
        """Raise Stopped when somebody asked."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Pause before another attempt; raise Stopped as soon as somebody asks."""
        if seconds > 0:
            self._event.wait(seconds)
        self.check()


def run_parallel(
    function: Callable[[_Item, Stop], _Result],
    items: Iterable[_Item],
    jobs: int,
    *,
    abandon: bool = False,
) -> list[_Result]:
    """``function(item, stop)`` for all items on up to ``jobs`` threads; results in their order.

    The first failure stops the rest and is raised; so does an interrupt of the caller. It is
    raised when the rest has stopped; with ``abandon`` at once, which is for work that waits for
    others, who may never answer, and leaves nothing to be tidied up.
    """
    work = list(items)
    stop = Stop()
    if jobs <= 1 or len(work) <= 1:
        return [function(item, stop) for item in work]
    prefix = ABANDONED if abandon else "transfer"
    pool = ThreadPoolExecutor(min(jobs, len(work)), thread_name_prefix=prefix)
    futures: list[Future[_Result]] = []
    whole = False
    try:
        for item in work:
            futures.append(pool.submit(function, item, stop))  # noqa: PERF401 - see finally
        wait(futures, return_when=FIRST_EXCEPTION)
        # An interrupt may come before all of them are on their way.
        whole = all(future.done() for future in futures) and not _failures(futures)
    finally:
        if not whole:
            stop.set()
        pool.shutdown(wait=whole or not abandon, cancel_futures=True)
    for failure in _failures(futures):
        raise failure
    return [future.result() for future in futures]


def _failures(futures: list[Future[_Result]]) -> list[BaseException]:
    """What finished futures raised, the ones that were merely told to stop left out."""
    raised = [f.exception() for f in futures if f.done() and not f.cancelled()]
    return [error for error in raised if error is not None and not isinstance(error, Stopped)]
