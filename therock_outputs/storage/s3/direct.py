"""Requests without boto3, where its whole machinery would only find the obvious.

Loading botocore and making its client takes longer than fetching a hundred megabytes from a
near server. When credentials come from the environment, or are plainly not wanted, reading
needs nothing of it but the signature (AWS Signature Version 4). Everything else, and whatever
is out of the ordinary, is botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from therock_outputs.storage.s3.settings import DEFAULT_REGION, Caller, S3Settings

__all__ = ["Direct", "Target", "direct_access", "uses_proxy"]

# The variables that we know the whole meaning of. With any other one botocore decides.
_UNDERSTOOD = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
)
_NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes and what it must carry."""

    scheme: str
    host: str
    port: int | None
    path: str
    """With the query."""
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Direct:
    """What it takes to ask a server without botocore."""

    caller: Caller
    access_key: str
    """Empty: requests carry no signature."""
    secret_key: str
    token: str
    own_server: bool
    """Whether buckets are the first part of the path, not of the host name."""
    ca_bundle: str

    def target(self, bucket: str, key: str, query: Mapping[str, str] | None = None) -> Target:
        """A signed GET of an object, or of a bucket where the key is empty."""
        url = urlsplit(self.caller.endpoint)
        host, port, path = url.hostname or "", url.port, f"/{key}"
        # A certificate covers one label before the domain, so a bucket with a dot is no label.
        if self.own_server or "." in bucket:
            path = f"{url.path.rstrip('/')}/{bucket}{path}"
        else:
            host = f"{bucket}.{host}"
        if port == {"http": 80, "https": 443}.get(url.scheme):
            port = None  # as in the Host header, which is signed
        path = quote(path, safe="/~")
        query_string = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}"
            for name, value in sorted((query or {}).items())
        )
        name = f"[{host}]" if ":" in host else host
        signed_host = name if port is None else f"{name}:{port}"
        headers = self._signature(signed_host, path, query_string) if self.access_key else {}
        target = f"{path}?{query_string}" if query_string else path
        return Target(url.scheme, host, port, target, headers)

    def _signature(self, host: str, path: str, query: str) -> dict[str, str]:
        """The headers that sign a GET (AWS General Reference, "Signature Version 4")."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        day = stamp[:8]
        headers = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": stamp}
        if self.token:
            headers["x-amz-security-token"] = self.token
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"GET\n{path}\n{query}\n{lines}\n{names}\n{_NO_BODY}"
        scope = f"{day}/{self.caller.region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.caller.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        del headers["host"]  # the connection writes it
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers


def direct_access(settings: S3Settings) -> Direct | None:
    """What direct requests need; None when only botocore can tell what to do."""
    environment = os.environ
    unknown = {name for name in environment if name.startswith("AWS_")} - _UNDERSTOOD
    if unknown or uses_proxy() or _exists("AWS_CONFIG_FILE", "~/.aws/config"):
        return None
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if bool(access) != bool(secret):
        return None
    if not access and not _plainly_anonymous():
        return None
    token = environment.get("AWS_SESSION_TOKEN", "")
    if not all(text.isascii() and text.isprintable() for text in (access or "", token)):
        return None  # it would not fit into a header
    region = settings.region_name() or DEFAULT_REGION
    endpoint = settings.endpoint()
    if endpoint is None and not region.startswith(("us-", "eu-")):
        return None  # other parts of AWS have other domains
    bundle = environment.get("AWS_CA_BUNDLE") or environment.get("REQUESTS_CA_BUNDLE")
    return Direct(
        Caller(endpoint or f"https://s3.{region}.amazonaws.com", region, bool(access)),
        access or "",
        secret or "",
        token,
        endpoint is not None,
        bundle or _botocore_certificates(),
    )


def uses_proxy() -> bool:
    """Whether the environment names any proxy."""
    return any(
        value and name.lower() in {"http_proxy", "https_proxy", "all_proxy"}
        for name, value in os.environ.items()
    )


def _plainly_anonymous() -> bool:
    """Whether no source of credentials is left that botocore would ask."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        return False
    return not (
        _exists("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
        or Path("/etc/boto.cfg").exists()
        or Path("~/.boto").expanduser().exists()
    )


def _exists(variable: str, default: str) -> bool:
    return Path(os.environ.get(variable) or default).expanduser().is_file()


def _botocore_certificates() -> str:
    """botocore's own list of certificates, found without loading it."""
    spec = importlib.util.find_spec("botocore")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    return str(folder / "cacert.pem")
