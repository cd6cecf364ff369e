"""The failures that a user can meet, each with its exit code.

Every message is one line: what is wrong, with which file or name, and what to try.
"""

__all__ = [
    "AccessDeniedError",
    "ConflictError",
    "IntegrityError",
    "LookupFailedError",
    "NotFoundError",
    "OutputsError",
    "StorageError",
    "UsageError",
]


class OutputsError(Exception):
    """A failure with a one-line message for the user; the parent of all others."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        # A hostile file name may hold a newline; the promise is one line.
        super().__init__(" ".join(message.split()))


class UsageError(OutputsError):
    """Flags or values that contradict each other or that mean nothing."""

    exit_code = 2


class LookupFailedError(OutputsError):
    """A service could not be asked, which is not the same as an answer of 'nothing'."""

    exit_code = 3


class NotFoundError(OutputsError):
    """A named file, object or run is not there."""


class StorageError(OutputsError):
    """A transfer failed: the message names the bucket, the key and the fix."""


class AccessDeniedError(StorageError):
    """The credentials at hand may not do what was asked."""


class IntegrityError(OutputsError):
    """Bytes are not what their digest or their format says."""


class ConflictError(OutputsError):
    """Two different contents claim one name."""
