"""What can be tuned about S3, and whom the server sees."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from therock_outputs.storage.s3.retry import RetryPolicy

__all__ = ["DEFAULT_REGION", "Caller", "S3Settings"]

DEFAULT_REGION = "us-east-2"
"""Where TheRock's buckets are."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What can be tuned; sizes in bytes, times in seconds."""

    endpoint_url: str | None = None
    """None: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS itself."""
    region: str | None = None
    """None: AWS_REGION, AWS_DEFAULT_REGION, the profile's, or us-east-2."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    jobs: int = field(default_factory=lambda: max(4, min(32, 2 * (os.cpu_count() or 1))))
    """Transfers (files, ranges or parts) at the same time when a call does not say.

    Two for each core: one waits while the other hashes. More only take turns with each other.
    """
    range_size: int = 8 * _MIB
    """What one request of a download asks for: large objects are fetched in ranges."""
    part_size: int = 16 * _MIB
    """Of a multipart upload or copy; grows where an object would need over 10,000 parts."""
    multipart_threshold: int = 32 * _MIB
    """Larger files are uploaded in parts."""
    copy_part_size: int = 256 * _MIB
    """Of a large copy, where the server moves the bytes."""
    copy_part_threshold: int = 5 << 30
    """Larger objects are copied in parts: S3 copies no more at once."""

    page_size: int = 1000
    """Objects in one answer to a listing; S3 gives no more."""

    def endpoint(self) -> str | None:
        """The server's URL as it is set here or in the environment; None: AWS."""
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        return self.endpoint_url or next((os.environ[n] for n in names if os.environ.get(n)), None)

    def region_name(self) -> str | None:
        """The region as it is set here or in the environment."""
        names = ("AWS_REGION", "AWS_DEFAULT_REGION")
        return self.region or next((os.environ[n] for n in names if os.environ.get(n)), None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the answer depends on it."""

    endpoint: str
    """The server's URL."""
    region: str
    signed: bool
    """Whether requests carry a signature: whether credentials were found."""
