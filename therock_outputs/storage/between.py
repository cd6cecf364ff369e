"""Moving objects from one backend to another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.base import Download, IfExists, Progress, Storage, Transfer, Upload
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["copy_between"]

_JOBS = 4


def copy_between(
    source: Storage,
    destination: Storage,
    pairs: Iterable[tuple[StorageLocation, StorageLocation]],
    *,
    if_exists: IfExists = IfExists.SAME,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[Transfer]:
    """Copy objects of one backend into another: (there, here) pairs, results in their order.

    Within one backend this is its own ``copy``. Otherwise each object passes through a
    temporary file, so that memory does not grow with its size, an interrupted transfer resumes
    and its digest is known before it is published; at most ``jobs`` such files exist at once.
    """
    from therock_outputs.storage.dry_run import DryRunStorage  # noqa: PLC0415

    if source is destination:
        return source.copy(pairs, if_exists=if_exists, jobs=jobs, progress=progress)
    if isinstance(destination, DryRunStorage):
        return [destination.plan(target, _size(source, location)) for location, target in pairs]
    if isinstance(source, DryRunStorage):
        source = source.inner
    move = _Move(source, destination, if_exists, progress)
    return run_parallel(move, pairs, jobs or _JOBS)


@dataclass(frozen=True, slots=True)
class _Move:
    """Bringing one object over from another backend."""

    source: Storage
    destination: Storage
    if_exists: IfExists
    progress: Progress | None

    def __call__(self, pair: tuple[StorageLocation, StorageLocation], stop: Stop) -> Transfer:
        location, target = pair
        stop.check()
        path = self.source.local_file(location)
        if path is not None:
            upload = Upload(path, target, self.if_exists)
            [transfer] = self.destination.upload([upload], jobs=1, progress=self.progress)
            return transfer
        with tempfile.TemporaryDirectory(prefix="therock-outputs-") as directory:
            path = Path(directory) / "object"
            download = Download(location, path)
            [fetched] = self.source.download([download], jobs=1, progress=self.progress)
            upload = Upload(path, target, self.if_exists, sha256=fetched.sha256)
            [transfer] = self.destination.upload([upload], jobs=1)  # counted while fetched
        return transfer


def _size(storage: Storage, location: StorageLocation) -> int:
    info = storage.stat(location)
    if info is None:
        raise NotFoundError(f"{location.s3_uri} is not there; check the run and the name")
    return info.size
