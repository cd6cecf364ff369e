"""Where a task reads and where it writes, settled once from its settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.github.actions import load_event
from therock_outputs.layout import ReleaseType, StorageLocation, WorkflowOutputRoot
from therock_outputs.settings import Settings
from therock_outputs.storage import LocalStorage, Storage, open_storage

__all__ = ["Places", "places_of"]

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""boto3's own variables, in its order."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """The run that is read, the run that is written, and the storage of both.

    With a staging directory both lie in it; what is not there yet comes from S3.
    """

    source: WorkflowOutputRoot
    destination: WorkflowOutputRoot
    storage: Storage
    release_type: ReleaseType = ReleaseType.CI
    """The kind of run that is written."""
    endpoint: str | None = None
    """The S3 server's URL; None: Amazon's."""
    shown_staging_dir: Path | None = None
    """What the staging directory is called where a dry run stands another one in for it."""

    @property
    def is_local(self) -> bool:
        """Whether a staging directory stands for S3."""
        return isinstance(self.storage, LocalStorage)

    @property
    def staging_dir(self) -> Path | None:
        """The staging directory, by the name that a person knows; None: S3."""
        if not isinstance(self.storage, LocalStorage):
            return None
        return self.shown_staging_dir or self.storage.staging_dir

    def url(self, location: StorageLocation) -> str:
        """How a person reaches a place: a path in the staging directory, or an address."""
        if staging := self.staging_dir:
            return str(location.local_path(staging))
        if self.endpoint:
            return location.url_at(self.endpoint)
        return location.https_url


def places_of(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    upload_bucket: str | None = None,
    upload_prefix: str | None = None,
) -> Places:
    """Decide both roots.

    ``bucket`` and ``prefix`` hold for reading and, unless the ``upload`` ones say otherwise,
    for writing. Raises UsageError for values that mean nothing.
    """
    environ = os.environ if environ is None else environ
    run_id = settings.required_run_id
    event = load_event(environ)
    source = WorkflowOutputRoot.from_workflow_run(
        environ=environ,
        run_id=run_id,
        platform=settings.platform,
        repository=settings.run_github_repo,
        release_type=settings.release_type,
        run=settings.run_answer,
        event=event,
        bucket=settings.bucket,
        prefix=settings.prefix,
    )
    destination = source.destination(
        environ=environ,
        upload_run_id=settings.upload_run_id,
        release_type=settings.release_type,
        event=event,
        bucket=upload_bucket or settings.bucket,
        prefix=upload_prefix if upload_prefix is not None else settings.prefix,
    )
    endpoint = next((environ[name] for name in _ENDPOINTS if environ.get(name)), None)
    storage = open_storage(settings.staging_dir)
    places = Places(source, destination, storage, settings.release_type, endpoint)
    _say_why(places)
    return places


def _say_why(places: Places) -> None:
    """Log the reasons, each once."""
    source, destination = places.source, places.destination
    if destination.root == source.root:
        _log.info("read and written: %s (%s)", source.root.s3_uri, places.url(source.root))
        reasons = dict.fromkeys((*source.reasons, *destination.reasons))
    else:
        _log.info("read: %s (%s)", source.root.s3_uri, places.url(source.root))
        for reason in source.reasons:
            _log.info("  %s", reason)
        _log.info("written: %s (%s)", destination.root.s3_uri, places.url(destination.root))
        reasons = dict.fromkeys(destination.reasons)
    for reason in reasons:
        _log.info("  %s", reason)
