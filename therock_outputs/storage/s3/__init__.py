"""S3, or any server that speaks its language, as a storage backend."""

from therock_outputs.storage.s3.backend import S3Storage
from therock_outputs.storage.s3.retry import RetryPolicy
from therock_outputs.storage.s3.settings import S3Settings

__all__ = ["RetryPolicy", "S3Settings", "S3Storage"]
