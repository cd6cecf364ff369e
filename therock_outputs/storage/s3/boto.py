"""The client of botocore, which boto3 is a thin layer over, and its errors in our terms.

That layer takes 20 ms to import and adds nothing that is used here. botocore takes 200 ms, so
this module is only imported when it is needed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.failures import FailedRequest, Failure, Refusal
from therock_outputs.storage.s3.get import Body, body_from_headers
from therock_outputs.storage.s3.settings import DEFAULT_REGION, Caller, S3Settings

__all__ = ["Boto", "translated"]

_LOG = logging.getLogger(__name__)

_BROKEN = (
    HTTPClientError,
    HTTPError,
    IncompleteReadError,
    ResponseParserError,  # an answer in XML that was cut short
    ResponseStreamingError,
)


class Boto:
    """One client for some settings and the environment."""

    def __init__(self, settings: S3Settings) -> None:
        session = botocore.session.get_session()
        endpoint = settings.endpoint()
        region = settings.region_name() or session.get_config_variable("region")
        with translated():
            credentials = session.get_credentials()
            self.client: Any = session.create_client(
                "s3",
                endpoint_url=endpoint,
                region_name=region or DEFAULT_REGION,
                config=_config(settings, signed=bool(credentials), own_server=bool(endpoint)),
            )
        meta = self.client.meta
        self.caller = Caller(meta.endpoint_url, meta.region_name, bool(credentials))
        # In the order in which botocore itself looks.
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        self.ca_bundle: str = bundle or get_cert_path(verify=True)
        _LOG.info(
            "S3 at %s, region %s, %s",
            self.caller.endpoint,
            self.caller.region,
            "with credentials" if self.caller.signed else "without credentials: public reads only",
        )

    def call(self, operation: str, bucket: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One attempt at an operation."""
        with translated():
            answer: dict[str, Any] = getattr(self.client, operation)(Bucket=bucket, **parameters)
            return answer

    def url(self, location: StorageLocation) -> str:
        """A URL that anyone can read the object at for the next hour."""
        with translated():
            url: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": location.bucket, "Key": location.key}
            )
            return url

    def supports(self, operation: str, parameter: str) -> bool:
        """Whether this version knows a parameter of an operation (``CopyObject``)."""
        members = self.client.meta.service_model.operation_model(operation).input_shape.members
        return parameter in members

    @contextmanager
    def get(self, location: StorageLocation, headers: dict[str, str]) -> Iterator[Body]:
        """An object's bytes by botocore's own means; its connections outlive the request."""
        parameters = {name.replace("-", ""): value for name, value in headers.items()}
        answer = self.call("get_object", location.bucket, {"Key": location.key, **parameters})
        stream = answer["Body"]

        def read_into(view: memoryview) -> int:
            with translated():
                data = stream.read(len(view))
            view[: len(data)] = data
            return len(data)

        try:
            fields = answer["ResponseMetadata"]["HTTPHeaders"]
            yield body_from_headers(fields.get, answer.get("ContentLength"), read_into)
        finally:
            stream.close()


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own errors instead of botocore's."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error) from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise FailedRequest(Failure.CONNECTION, str(error)) from error
    except SSLError as error:
        wrong = "CERTIFICATE_VERIFY_FAILED" in str(error)
        raise FailedRequest(Failure.CERTIFICATE if wrong else Failure.BROKEN, str(error)) from error
    except _BROKEN as error:
        raise FailedRequest(Failure.BROKEN, f"{type(error).__name__}: {error}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise FailedRequest(Failure.CREDENTIALS, str(error)) from error
    except BotoCoreError as error:
        raise FailedRequest(Failure.OTHER, f"{type(error).__name__}: {error}") from error


def _refusal(error: ClientError) -> Refusal:
    """A ClientError by its parts; a HEAD's has no more than a status."""
    fields = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    return Refusal(
        metadata.get("HTTPStatusCode", 0),
        str(fields.get("Code", "")),
        str(fields.get("Message", "")),
        str(headers.get("x-amz-bucket-region") or fields.get("Region", "")),
    )


def _config(settings: S3Settings, *, signed: bool, own_server: bool) -> Config:
    options: dict[str, Any] = {
        # Our own retries know truncated bodies and conditions; two layers would multiply.
        "retries": {"total_max_attempts": 1},
        # Validating checksums of ranges fails on servers that send the whole object's.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "signature_version": "s3v4" if signed else UNSIGNED,
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "max_pool_connections": 4 * settings.jobs,
    }
    if own_server:
        # Servers other than AWS are seldom reachable as a subdomain for each bucket.
        options["s3"] = {"addressing_style": "path"}
    return Config(**options)
