"""Which failures of a transfer can pass, and how long to wait before the next attempt."""

from __future__ import annotations

import http.client
import logging
import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from therock_outputs.storage.parallel import Stop

__all__ = [
    "REQUEST_ERRORS",
    "RetryPolicy",
    "TruncatedError",
    "can_pass",
    "error_code",
    "http_status",
]

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
_PASSING_ERRORS = (
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    ResponseParserError,  # an answer in XML that was cut short
    HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
)


class TruncatedError(Exception):
    """A body ended before its announced length."""


REQUEST_ERRORS = (ClientError, BotoCoreError, TruncatedError, *_PASSING_ERRORS, OSError)
"""All that a request may raise, whether it can pass or not."""


def error_code(error: ClientError) -> str:
    """S3's name for the failure, such as ``NoSuchKey``; a bare status where it gives none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def http_status(error: ClientError) -> int:
    """The HTTP status of the answer; 0 when there was none."""
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def can_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, ClientError):
        return http_status(error) in _PASSING_STATUSES or error_code(error) in _PASSING_CODES
    if isinstance(error, (SSLError, ssl.SSLError)):
        # A certificate stays wrong. Everything else about TLS is a broken connection.
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(error, (TruncatedError, *_PASSING_ERRORS))


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
        stop.wait(random.uniform(0.0, longest))  # noqa: S311 - not for secrets

    def run(self, attempt: Callable[[], _Result], what: str, stop: Stop) -> _Result:
        """The result of ``attempt``; its last error when all attempts failed."""
        failures = 0
        while True:
            stop.check()
            try:
                return attempt()
            except Exception as error:
                failures += 1
                if not can_pass(error) or failures >= self.attempts:
                    raise
                _LOG.info("%s: attempt %d failed (%s); trying again", what, failures, error)
            self.pause(failures, stop)
