"""The one time that everything written carries, so that the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping

from therock_outputs.errors import UsageError

__all__ = ["FIXED_EPOCH", "source_date_epoch"]

FIXED_EPOCH = 315532800
"""1980-01-01T00:00:00Z in seconds: the earliest time that a zip file can carry, so that every
format that is written can carry it."""

_LATEST = 0o77777777777  # what the time field of a tar header holds


def source_date_epoch(environ: Mapping[str, str]) -> int:
    """Seconds since the epoch from SOURCE_DATE_EPOCH, else a fixed time; never the clock's.

    https://reproducible-builds.org/specs/source-date-epoch/. UsageError for a value that is not
    a number of seconds.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return FIXED_EPOCH
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LATEST):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text!r}, which is not a number of seconds since 1970; "
            "correct or unset it"
        )
    return int(text)
