"""How often a request is tried, and how long the pauses are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.failures import REQUEST_ERRORS, can_pass

__all__ = ["RetryPolicy"]

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is tried and how long the pauses are."""

    attempts: int = 8
    """The first one included."""
    base_delay: float = 0.2
    """Seconds; the longest first pause. Each later one may be twice as long."""
    max_delay: float = 20.0
    """Seconds."""

    def pause(self, failures: int, stop: Stop) -> None:
        """Wait after the ``failures``-th failure in a row; raise Stopped when asked to."""
        longest = min(self.max_delay, self.base_delay * 2.0 ** (failures - 1))
        # The whole range is drawn from, so that clients that failed together spread out.
        stop.wait(longest * int.from_bytes(os.urandom(4)) / 2**32)

    def run(self, attempt: Callable[[], _Result], what: str, stop: Stop) -> _Result:
        """The result of ``attempt``; its last error when all attempts failed."""
        failures = 0
        while True:
            stop.check()
            try:
                return attempt()
            except REQUEST_ERRORS as error:
                failures += 1
                if not can_pass(error) or failures >= self.attempts:
                    raise
                _LOG.info("%s: attempt %d failed (%s); trying again", what, failures, error)
            self.pause(failures, stop)
