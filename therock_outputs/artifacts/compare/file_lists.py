"""What an archive holds, kept by its digest, so that nothing is read twice.

The lists lie in the cache that ``fetch`` keeps archives in, beside them.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from therock_outputs.artifacts.compare.sides import SizedFile
from therock_outputs.storage.base import IfExists
from therock_outputs.storage.hidden import temporary_file
from therock_outputs.storage.local_io import publish, write_all

__all__ = ["cached_archive", "keep_list", "kept_list"]

_VERSION = 1

_log = logging.getLogger(__name__)


def cached_archive(cache_dir: Path, sha256: str) -> Path:
    """Where ``fetch`` keeps an archive of this digest."""
    return cache_dir / sha256[:2] / sha256


def kept_list(cache_dir: Path, sha256: str, archive: str) -> tuple[SizedFile, ...] | None:
    """The files of an archive that was read before; None when there is no list of them."""
    path = _list_path(cache_dir, sha256)
    try:
        data = json.loads(zlib.decompress(path.read_bytes()))
        if data["version"] != _VERSION or data["sha256"] != sha256:
            return None
        return tuple(
            SizedFile(str(name), int(size), archive, str(stage))
            for stage, files in data["stages"].items()
            for name, size in files
        )
    except FileNotFoundError:
        return None
    except (OSError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s: unreadable (%s), so the archive is read again", path, error)
        return None


def keep_list(cache_dir: Path, sha256: str, files: Iterable[SizedFile]) -> None:
    """Keep the list of a verified archive's files."""
    stages: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for file in files:
        stages[file.stage].append((file.path, file.size))
    data = {"version": _VERSION, "sha256": sha256, "stages": stages}
    path = _list_path(cache_dir, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent) as (descriptor, temporary):
        write_all(zlib.compress(json.dumps(data, separators=(",", ":")).encode()), descriptor)
        publish(temporary, path, IfExists.REPLACE)


def _list_path(cache_dir: Path, sha256: str) -> Path:
    path = cached_archive(cache_dir, sha256)
    return path.with_name(f"{path.name}.files")
