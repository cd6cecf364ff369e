"""One S3 server as all parts of this room see it: requests, retries, and what failures mean."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import ObjectInfo
from therock_outputs.storage.parallel import Stop
from therock_outputs.storage.s3.direct import Direct, Target, direct_access, uses_proxy
from therock_outputs.storage.s3.errors import explain
from therock_outputs.storage.s3.failures import REQUEST_ERRORS, Refusal
from therock_outputs.storage.s3.settings import DEFAULT_REGION, Caller, S3Settings

if TYPE_CHECKING:
    from therock_outputs.storage.s3.boto import Boto

__all__ = ["ConditionFailed", "S3Client", "S3Object"]

_Result = TypeVar("_Result")

_SHA256 = "sha256"


class ConditionFailed(Exception):  # noqa: N818 - an answer, not yet an error
    """The server kept what it has, because If-Match or If-None-Match did not hold."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """What the server says of one object."""

    info: ObjectInfo
    sha256: str | None
    """The digest that its uploader noted; None when it noted none."""
    content_type: str | None


class S3Client:
    """One server, for several threads."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._boto: Boto | None = None
        self.direct: Direct | None = direct_access(settings)
        self._turns = tuple(threading.Lock() for _ in range(64))
        # Set once the server has refused a write because of its condition: it knows them.
        self.honours_conditions = False

    @property
    def boto(self) -> Boto:
        """botocore's client, made when it is first needed."""
        with self._lock:
            if self._boto is None:
                from therock_outputs.storage.s3.boto import (  # noqa: PLC0415 - takes 200 ms
                    Boto,
                )

                self._boto = Boto(self.settings)
            return self._boto

    @property
    def caller(self) -> Caller:
        """Who the server sees, as far as it is known: messages about failures need it too."""
        if self.direct is not None:
            return self.direct.caller
        with self._lock:
            if self._boto is not None:
                return self._boto.caller
        region = self.settings.region_name() or DEFAULT_REGION
        return Caller(self.settings.endpoint() or "AWS", region, signed=False)

    @property
    def ca_bundle(self) -> str:
        """The file with the certificates that are trusted."""
        return self.direct.ca_bundle if self.direct else self.boto.ca_bundle

    def target(self, location: StorageLocation) -> Target | None:
        """Where a plain HTTP client can read an object; None when only boto3 can."""
        if self.direct is not None:
            return self.direct.target(location.bucket, location.key)
        if uses_proxy():
            return None
        url = urlsplit(self.boto.url(location))
        path = f"{url.path}?{url.query}" if url.query else url.path
        return Target(url.scheme, url.hostname or "", url.port, path, {})

    def call(
        self,
        operation: str,
        location: StorageLocation,
        stop: Stop | None = None,
        **parameters: Any,  # noqa: ANN401 - boto3's, which carries no types
    ) -> dict[str, Any]:
        """The answer to an operation on a location, tried again where that can help.

        Raises ConditionFailed, and OutputsError for all that is an error.
        """

        def attempt() -> dict[str, Any]:
            return self.boto.call(operation, location.bucket, parameters)

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
        except REQUEST_ERRORS as error:
            if isinstance(error, Refusal) and error.is_condition:
                self.honours_conditions = True
                raise ConditionFailed(what) from error
            raise explain(error, operation, location, self.caller) from error

    def turn(self, location: StorageLocation) -> threading.Lock:
        """A lock to hold while writing an object.

        A server that knows no conditions cannot tell two writers apart; between the threads of
        one process this can.
        """
        return self._turns[hash(location) % len(self._turns)]

    def head(self, location: StorageLocation, stop: Stop | None = None) -> S3Object | None:
        """What the server knows of an object; None when there is none."""
        try:
            answer = self.call("head_object", location, stop, Key=location.key)
        except NotFoundError:
            return None
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
