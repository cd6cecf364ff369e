"""What can go wrong with a request, in our own terms, whoever made it.

Two things make requests, boto3 and this room's direct connections. Both raise what stands
here, or the errors of Python's own sockets; nothing of boto3's gets any further than boto.py.
"""

from __future__ import annotations

import enum
import socket
import sys

from therock_outputs.storage.s3.wire import BadAnswerError

__all__ = [
    "REQUEST_ERRORS",
    "FailedRequest",
    "Failure",
    "ObjectChanged",
    "Refusal",
    "Truncated",
    "can_pass",
    "is_certificate_error",
]

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


class Failure(enum.Enum):
    """Why a request got no answer."""

    CONNECTION = "no connection"
    BROKEN = "broken connection"
    CERTIFICATE = "certificate refused"
    CREDENTIALS = "credentials unusable"
    OTHER = "other"


class Refusal(Exception):  # noqa: N818 - an answer, which may well be expected
    """The server answered, and the answer is no."""

    def __init__(self, status: int, code: str, message: str = "", region: str = "") -> None:
        super().__init__(f"{code or 'HTTP'} {message} (HTTP {status})".replace("  ", " "))
        self.status = status
        """HTTP's."""
        self.code = code
        """S3's name for it, such as ``NoSuchKey``; the status where it gives none."""
        self.message = message
        self.region = region
        """Where the bucket is, when the server says so."""

    @property
    def is_condition(self) -> bool:
        """Whether If-Match or If-None-Match did not hold."""
        return self.status == 412 or self.code == "PreconditionFailed"

    @property
    def is_range(self) -> bool:
        """Whether the object has no such bytes."""
        return self.status == 416


class FailedRequest(Exception):  # noqa: N818 - named as what it is about
    """There was no answer, and boto3 said why."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class Truncated(Exception):  # noqa: N818 - named as what it is about
    """A body ended before its announced length."""


class ObjectChanged(Exception):  # noqa: N818 - named as what it is about
    """The object is not the one whose first bytes were read."""


REQUEST_ERRORS = (Refusal, FailedRequest, Truncated, BadAnswerError, OSError)
"""All that a request may raise, whether it can pass or not."""


def can_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, Refusal):
        return error.status in _PASSING_STATUSES or error.code in _PASSING_CODES
    if isinstance(error, FailedRequest):
        return error.failure in {Failure.CONNECTION, Failure.BROKEN}
    if is_certificate_error(error):
        return False  # it stays wrong; all else about TLS is a broken connection
    return isinstance(
        error,
        (
            Truncated,
            BadAnswerError,
            ConnectionError,
            TimeoutError,
            socket.gaierror,
        ),
    ) or _is_tls_error(error)


def is_certificate_error(error: BaseException) -> bool:
    """Whether the server's certificate was refused."""
    # Without a TLS connection the module is not loaded, which saves a fetch some time.
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(error, ssl.SSLCertVerificationError)


def _is_tls_error(error: BaseException) -> bool:
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(error, ssl.SSLError)
