"""What S3's refusals mean for the user: the bucket, the key and what to do about it."""

from __future__ import annotations

import socket

from therock_outputs.errors import (
    AccessDeniedError,
    NotFoundError,
    OutputsError,
    StorageError,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.s3.failures import (
    FailedRequest,
    Failure,
    Refusal,
    can_pass,
    is_certificate_error,
)
from therock_outputs.storage.s3.settings import Caller

__all__ = ["explain"]

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


def explain(
    error: Exception, operation: str, location: StorageLocation, caller: Caller
) -> OutputsError:
    """One line for the user about a request that failed for good."""
    what = f"{location.s3_uri} ({operation} at {caller.endpoint})"
    if isinstance(error, Refusal):
        return _explain_refusal(error, what, location, caller)
    failure = error.failure if isinstance(error, FailedRequest) else None
    refused = isinstance(error, (ConnectionRefusedError, socket.gaierror))
    if failure is Failure.CONNECTION or refused:
        return StorageError(
            f"{what}: no connection ({error}); check the network and AWS_ENDPOINT_URL_S3"
        )
    if failure is Failure.CREDENTIALS:
        return StorageError(
            f"{what}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"
        )
    if failure is Failure.CERTIFICATE or is_certificate_error(error):
        return StorageError(
            f"{what}: the server's certificate is refused ({error}); set AWS_CA_BUNDLE to the "
            "certificates to trust"
        )
    advice = "try again later" if can_pass(error) else "check the settings of this machine"
    return StorageError(f"{what}: {type(error).__name__}: {error}; {advice}")


def _explain_refusal(
    error: Refusal, what: str, location: StorageLocation, caller: Caller
) -> OutputsError:
    """The same for a request that was answered."""
    if error.code == "NoSuchBucket":
        return StorageError(
            f"{what}: there is no bucket {location.bucket}; check --bucket and AWS_ENDPOINT_URL_S3"
        )
    if error.code in _MISSING or error.status == 404:
        return NotFoundError(f"{what}: not there; check the run, the key and the bucket")
    elsewhere = error.region not in {"", caller.region}
    if error.status in {301, 307} or (error.code in _WRONG_REGION and elsewhere):
        return StorageError(
            f"{what}: bucket {location.bucket} is in {error.region or 'another region'}, and "
            f"{caller.region} was asked; set AWS_DEFAULT_REGION={error.region or 'to its region'}"
        )
    if error.code in _BAD_CREDENTIALS:
        return StorageError(f"{what}: credentials refused: {_BAD_CREDENTIALS[error.code]}")
    unsigned_refused = error.code == "UnsupportedAlgorithm" and not caller.signed  # rclone's way
    if error.status in {401, 403} or unsigned_refused:
        return AccessDeniedError(f"{what}: {_explain_denial(location, caller)}")
    advice = (
        "the server is overloaded or failing; try again later"
        if can_pass(error)
        else "check that the server supports this"
    )
    return StorageError(f"{what}: {error}; {advice}")


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
