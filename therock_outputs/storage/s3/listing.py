"""What a bucket holds below a prefix, page by page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import ObjectInfo
from therock_outputs.storage.files import key_order
from therock_outputs.storage.s3.client import S3Client
from therock_outputs.storage.s3.direct import Direct
from therock_outputs.storage.s3.get import Elsewhere, answer_of, connect

__all__ = ["list_objects"]


# A thousand entries with keys of 1024 bytes, each escaped sixfold, are less.
_PAGE_LIMIT = 16 << 20


class _UnusualError(Exception):
    """An answer that botocore may know what to make of."""


def list_objects(client: S3Client, prefix: StorageLocation) -> Iterator[ObjectInfo]:
    """All objects whose key starts with the prefix's, by key, whatever the server's order is."""
    found = None
    if client.direct is not None:
        with contextlib.suppress(_UnusualError, Elsewhere):
            found = _list_directly(client, client.direct, prefix)
    if found is None:
        found = _all_pages(
            lambda more: client.call(
                "list_objects_v2",
                prefix,
                Prefix=prefix.key,
                MaxKeys=client.settings.page_size,
                **more,
            ),
            "ContinuationToken",
        )
    for entry in sorted(found, key=lambda entry: key_order(entry["Key"])):
        # A key with a slash at its end is a console's idea of a directory.
        if not entry["Key"].endswith("/"):
            yield _listed(prefix.bucket, entry)


def _all_pages(
    ask: Callable[[dict[str, Any]], dict[str, Any]], token_name: str
) -> list[dict[str, Any]]:
    """The entries of all pages."""
    entries: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = ask(more)
        entries += page.get("Contents", [])
        if not page.get("IsTruncated"):
            return entries
        more = {token_name: page["NextContinuationToken"]}


def _list_directly(
    client: S3Client, direct: Direct, prefix: StorageLocation
) -> list[dict[str, Any]]:
    """The same without botocore; _UnusualError or Elsewhere where only that may help."""
    size = str(client.settings.page_size)
    query = {"list-type": "2", "max-keys": size, "prefix": prefix.key}
    connection = connect(client, direct.target(prefix.bucket, "", query))

    def ask(more: dict[str, Any]) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            target = direct.target(prefix.bucket, "", {**query, **more})
            with answer_of(connection, target, {}) as answer:
                return _parse(answer.read(_PAGE_LIMIT))

        return client.retried(attempt, "list_objects_v2", prefix)

    try:
        return _all_pages(ask, "continuation-token")
    finally:
        connection.close()


def _parse(text: bytes) -> dict[str, Any]:
    """A page of a listing (S3 API, ListObjectsV2) in the form that botocore gives it."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - as above
        page: dict[str, Any] = {"Contents": []}
        for child in root:
            name = _local_name(child)
            if name == "Contents":
                fields = {_local_name(field): field.text or "" for field in child}
                modified = datetime.fromisoformat(fields["LastModified"])
                page["Contents"].append(
                    {
                        "Key": fields["Key"],
                        "Size": int(fields["Size"]),
                        "ETag": fields.get("ETag", ""),
                        "LastModified": modified,
                    }
                )
            elif name == "IsTruncated":
                page[name] = child.text == "true"
            elif name == "NextContinuationToken":
                page[name] = child.text or ""
    except (ET.ParseError, LookupError, ValueError) as error:
        raise _UnusualError from error
    if page.get("IsTruncated") and not page.get("NextContinuationToken"):
        raise _UnusualError
    return page


def _local_name(element: ET.Element) -> str:
    """A tag without its namespace, which not all servers give."""
    return element.tag.rpartition("}")[2]


def _listed(bucket: str, entry: dict[str, Any]) -> ObjectInfo:
    """An object by its entry in a listing."""
    etag = entry.get("ETag", "").strip('"') or None
    modified = entry["LastModified"].timestamp() if "LastModified" in entry else None
    return ObjectInfo(StorageLocation(bucket, entry["Key"]), entry["Size"], etag, modified)
