"""Answers that GitHub gave before, with their version tags: asking again costs nothing then.

With a token, a conditional request that is answered with 304 does not count against the rate
limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AnswerCache", "KeptAnswer"]

_MOST_FILES = 4096
_VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was, to be used only when the server says that it still holds."""

    etag: str
    link: str
    """The ``Link`` header, which names the next page; empty where there was none."""
    data: bytes


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """A directory of answers; a file appears whole, and a damaged one counts as none.

    ``directory`` None keeps nothing. Safe for threads and for several processes.
    """

    directory: Path | None
    user: str = ""
    """Who asks: what one token may see is not shown to another."""

    def get(self, url: str, accept: str) -> KeptAnswer | None:
        """What was kept for this request."""
        if self.directory is None:
            return None
        try:
            head, _, data = self._path(url, accept).read_bytes().partition(b"\n")
            note = json.loads(head)
            kept = KeptAnswer(str(note["etag"]), str(note["link"]), data)
            whole = note["version"] == _VERSION and note["url"] == url
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.debug("a kept answer is unreadable (%s)", type(error).__name__)
            return None
        return kept if whole and note["sha256"] == hashlib.sha256(data).hexdigest() else None

    def put(self, url: str, accept: str, answer: KeptAnswer) -> None:
        """Keep an answer. A directory that cannot be written is no failure of the look-up."""
        if self.directory is None:
            return
        note = {
            "version": _VERSION,
            "url": url,
            "etag": answer.etag,
            "link": answer.link,
            "sha256": hashlib.sha256(answer.data).hexdigest(),
        }
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path(url, accept), json.dumps(note).encode() + b"\n" + answer.data)
            self._bound()
        except OSError as error:
            _log.info("%s: answers are not kept (%s)", self.directory, error.strerror)

    def _path(self, url: str, accept: str) -> Path:
        assert self.directory is not None  # noqa: S101 - both callers have asked
        name = hashlib.sha256(f"{self.user}\n{accept}\n{url}".encode()).hexdigest()
        return self.directory / name

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _bound(self) -> None:
        """Let the oldest go when there are too many; those of killed writers are among them."""
        assert self.directory is not None  # noqa: S101 - as above
        with os.scandir(self.directory) as scanned:
            entries = list(scanned)
        if len(entries) <= _MOST_FILES:
            return
        ages = {}
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                ages[entry.path] = entry.stat(follow_symlinks=False).st_mtime
        for path in sorted(ages, key=lambda path: ages[path])[: len(ages) - _MOST_FILES // 2]:
            Path(path).unlink(missing_ok=True)
