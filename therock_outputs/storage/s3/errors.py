"""What S3's refusals mean for the user: the bucket, the key and what to do about it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from therock_outputs.errors import NotFoundError, OutputsError, StorageError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.retry import can_pass, error_code, http_status

__all__ = ["Caller", "explain"]

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_WRONG_REGION = frozenset(
    {
        "301",
        "307",
        "400",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)
_BAD_CREDENTIALS = {
    "ExpiredToken": "they have expired; get new ones",
    "ExpiredTokenException": "they have expired; get new ones",
    "InvalidAccessKeyId": "the access key is unknown there; check AWS_ACCESS_KEY_ID",
    "InvalidToken": "the session token is wrong; check AWS_SESSION_TOKEN or unset it",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "SignatureDoesNotMatch": "the signature is refused; check AWS_SECRET_ACCESS_KEY",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the answer depends on it."""

    endpoint: str
    """The server's URL."""
    region: str
    signed: bool
    """Whether requests carry a signature: whether credentials were found."""


def explain(
    error: Exception, operation: str, location: StorageLocation, caller: Caller
) -> OutputsError:
    """One line for the user about a request that failed for good."""
    what = f"{location.s3_uri} ({operation} at {caller.endpoint})"
    if isinstance(error, ClientError):
        return _explain_answer(error, what, location, caller)
    if isinstance(error, (EndpointConnectionError, ConnectionRefusedError, socket.gaierror)):
        return StorageError(f"{what}: no connection; check the network and AWS_ENDPOINT_URL_S3")
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return StorageError(
            f"{what}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"
        )
    if isinstance(error, (SSLError, ssl.SSLError)) and not can_pass(error):
        return StorageError(
            f"{what}: the server's certificate is refused ({error}); set AWS_CA_BUNDLE to the "
            "certificates to trust"
        )
    advice = "try again later" if can_pass(error) else "check the arguments"
    return StorageError(f"{what}: {type(error).__name__}: {error}; {advice}")


def _explain_answer(
    error: ClientError, what: str, location: StorageLocation, caller: Caller
) -> OutputsError:
    """The same for a request that was answered."""
    code, status = error_code(error), http_status(error)
    if code == "NoSuchBucket":
        return StorageError(
            f"{what}: there is no bucket {location.bucket}; check --bucket and AWS_ENDPOINT_URL_S3"
        )
    if code in _MISSING or status == 404:
        return NotFoundError(f"{what}: not there; check the run, the key and the bucket")
    region = _bucket_region(error)
    if status in {301, 307} or (code in _WRONG_REGION and region not in {"", caller.region}):
        return StorageError(
            f"{what}: bucket {location.bucket} is in region {region or 'another region'}, and "
            f"{caller.region} was asked; set AWS_DEFAULT_REGION={region or 'to its region'}"
        )
    if code in _BAD_CREDENTIALS:
        return StorageError(f"{what}: credentials refused: {_BAD_CREDENTIALS[code]}")
    if status in {401, 403} or (code == "UnsupportedAlgorithm" and not caller.signed):
        return StorageError(f"{what}: {_explain_denial(location, caller)}")
    message = error.response.get("Error", {}).get("Message", "")
    advice = (
        "the server is overloaded or failing; try again later"
        if can_pass(error)
        else "check that the server supports this"
    )
    return StorageError(f"{what}: {code} {message} (HTTP {status}); {advice}")


def _explain_denial(location: StorageLocation, caller: Caller) -> str:
    if not caller.signed:
        return (
            "access denied, and no credentials were found; S3 also says so of a public bucket's "
            "key that is not there: check the key, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) to credentials that may use bucket "
            f"{location.bucket}"
        )
    return (
        f"access denied with the credentials at hand; assume the role that may write bucket "
        f"{location.bucket} (-v names it), or unset AWS_ACCESS_KEY_ID and AWS_PROFILE for a "
        "public read"
    )


def _bucket_region(error: ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = error.response.get("Error", {}).get("Region", "")
    return str(headers.get("x-amz-bucket-region", named))
