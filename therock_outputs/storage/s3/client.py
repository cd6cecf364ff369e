"""The connection to S3: one boto3 client, how requests are retried, what failures mean."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import ObjectInfo
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.errors import Caller, explain
from therock_outputs.storage.s3.retry import REQUEST_ERRORS, RetryPolicy, error_code, http_status

__all__ = ["DEFAULT_REGION", "ConditionFailed", "S3Client", "S3Object", "S3Settings", "described"]

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

DEFAULT_REGION = "us-east-2"
"""Where TheRock's buckets are."""

_MIB = 1 << 20
_SHA256 = "sha256"


class ConditionFailed(Exception):  # noqa: N818 - an answer, not yet an error
    """The server kept what it has, because If-Match or If-None-Match did not hold."""


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
    jobs: int = 8
    """Transfers (files, ranges or parts) at the same time when a call does not say."""
    range_size: int = 32 * _MIB
    """What one request of a download asks for: large objects are fetched in ranges."""
    part_size: int = 16 * _MIB
    """Of a multipart upload or copy; grows where an object would need over 10,000 parts."""
    multipart_threshold: int = 32 * _MIB
    """Larger files are uploaded in parts."""
    copy_part_size: int = 256 * _MIB
    """Of a large copy, where the server moves the bytes."""
    copy_part_threshold: int = 5 << 30
    """Larger objects are copied in parts: S3 copies no more at once."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """What the server says of one object."""

    info: ObjectInfo
    sha256: str | None
    """The digest that its uploader noted; None when it noted none."""
    content_type: str | None


class S3Client:
    """boto3's client behind our retries and our errors. Safe to use from several threads."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._connected: _Connection | None = None
        # Set once the server has refused a write because of its condition: it knows them.
        self.honours_conditions = False

    @property
    def raw(self) -> Any:  # noqa: ANN401 - boto3 carries no types
        """The boto3 client."""
        return self._connection().client

    @property
    def caller(self) -> Caller:
        """Who the server sees."""
        return self._connection().caller

    @property
    def ca_bundle(self) -> str:
        """The file with the certificates that are trusted."""
        return self._connection().ca_bundle

    def _connection(self) -> _Connection:
        with self._lock:
            if self._connected is None:
                self._connected = _connect(self.settings)
            return self._connected

    def call(
        self,
        operation: str,
        location: StorageLocation,
        stop: Stop | None = None,
        **parameters: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """The answer to an operation on a location, tried again where that can help.

        ConditionFailed and OutputsError are raised, nothing of boto3's.
        """
        method = getattr(self.raw, operation)

        def attempt() -> dict[str, Any]:
            answer: dict[str, Any] = method(Bucket=location.bucket, **parameters)
            return answer

        return self.retried(attempt, operation, location, stop)

    def retried(
        self,
        attempt: Callable[[], _Result],
        operation: str,
        location: StorageLocation,
        stop: Stop | None = None,
    ) -> _Result:
        """The result of something that asks the server; retried and explained as ``call`` is."""
        what = f"{operation} {location.s3_uri}"
        try:
            return self.settings.retry.run(attempt, what, stop or Stop())
        except ClientError as error:
            if http_status(error) == 412 or error_code(error) == "PreconditionFailed":
                self.honours_conditions = True
                raise ConditionFailed(what) from error
            raise explain(error, operation, location, self.caller) from error
        except REQUEST_ERRORS as error:
            raise explain(error, operation, location, self.caller) from error

    def head(self, location: StorageLocation, stop: Stop | None = None) -> S3Object | None:
        """What the server knows of an object; None when there is none."""
        try:
            answer = self.call("head_object", location, stop, Key=location.key)
        except NotFoundError:
            return None
        return described(location, answer)

    def supports(self, operation: str, parameter: str) -> bool:
        """Whether this boto3 knows a parameter of an operation (``CopyObject``)."""
        members = self.raw.meta.service_model.operation_model(operation).input_shape.members
        return parameter in members


def described(location: StorageLocation, answer: dict[str, Any]) -> S3Object:
    """An object by the answer to HEAD or to a GET of all of it."""
    # rclone gives metadata names back capitalised.
    metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    modified = answer.get("LastModified")
    info = ObjectInfo(
        location,
        answer["ContentLength"],
        answer.get("ETag", "").strip('"') or None,
        modified.timestamp() if modified else None,
    )
    return S3Object(info, metadata.get(_SHA256), answer.get("ContentType"))


@dataclass(frozen=True, slots=True)
class _Connection:
    client: Any
    caller: Caller
    ca_bundle: str


def _connect(settings: S3Settings) -> _Connection:
    """A client for these settings and the environment, and who it is.

    It is made from botocore, which boto3 is a thin layer over: that layer takes 20 ms to
    import and offers nothing that is used here.
    """
    session = botocore.session.get_session()
    endpoint = (
        settings.endpoint_url
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or None
    )
    region = settings.region or os.environ.get("AWS_REGION")
    region = region or session.get_config_variable("region") or DEFAULT_REGION
    credentials = session.get_credentials()
    options: dict[str, Any] = {
        # Our own retries know truncated bodies and conditions; two layers would multiply.
        "retries": {"total_max_attempts": 1},
        # Validating checksums of ranges fails on servers that send the whole object's.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "signature_version": "s3v4" if credentials else UNSIGNED,
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "max_pool_connections": 4 * settings.jobs,
    }
    if endpoint:
        # Servers other than AWS are seldom reachable as a subdomain per bucket.
        options["s3"] = {"addressing_style": "path"}
    client = session.create_client(
        "s3", endpoint_url=endpoint, region_name=region, config=Config(**options)
    )
    caller = Caller(client.meta.endpoint_url, client.meta.region_name, bool(credentials))
    _LOG.info(
        "S3 at %s, region %s, %s",
        caller.endpoint,
        caller.region,
        "with credentials" if caller.signed else "without credentials: public reads only",
    )
    # In the order in which botocore itself looks.
    ca_bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return _Connection(client, caller, ca_bundle or get_cert_path(verify=True))
