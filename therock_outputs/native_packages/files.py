"""What is done to one file, once for all packages: rewritten, digested, looked into, compressed."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename

from therock_outputs.artifacts.elf import ElfFile, is_code_object
from therock_outputs.artifacts.elf_traits import ElfTraits, elf_traits
from therock_outputs.artifacts.elf_versions import ElfDependencies, elf_dependencies
from therock_outputs.artifacts.rpath import Rewrite, runpath_to_rpath
from therock_outputs.native_packages.modes import Use, use_of
from therock_outputs.native_packages.pieces import PIECE, Compression, PieceMaker, Record
from therock_outputs.native_packages.spool import Range, Spool
from therock_outputs.storage.local_io import os_errors

__all__ = ["LARGE", "SHARED", "FileMaker", "StoredFile", "StoredPiece"]

SHARED = 128 << 10
"""Bytes from which a file is compressed once for both formats. Smaller ones compress better
together with their neighbours."""
LARGE = 32 << 20
"""Bytes from which a file is not held in memory."""

_STEP = 1 << 20
_CONFIGURATION = "rocm.cfg"
_WITH_RUNPATH, _WITH_RPATH = b"enable-new-dtags", b"disable-new-dtags"


@dataclass(frozen=True, slots=True)
class StoredPiece:
    """A compressed part of a file."""

    places: tuple[Range, ...]
    """The parts that it lies in, in order."""
    records: tuple[Record, ...]

    @property
    def size(self) -> int:
        """Bytes, compressed."""
        return sum(place.size for place in self.places)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it goes into packages."""

    size: int
    """Bytes, after what was rewritten."""
    sha256: str
    md5: str
    data: Range | None
    """Where a small file lies as it is."""
    pieces: tuple[StoredPiece, ...] = ()
    """Of a file that is there compressed."""
    elf: ElfDependencies | None = None
    traits: ElfTraits | None = None
    """Of an ELF file that is looked into."""
    use: Use = Use.DATA


class FileMaker:
    """Works on files; any number of threads may use it.

    ``prefixes``: where the packages of this project put files, which an RPATH may name.
    """

    def __init__(
        self,
        maker: PieceMaker,
        spool: Spool,
        work_dir: Path,
        *,
        keep_runpath: bool,
        prefixes: Sequence[str],
        threads: int,
        large: int = LARGE,
    ) -> None:
        self._maker = maker
        self._spool = spool
        self._work_dir = work_dir
        self._keep_runpath = keep_runpath
        self._prefixes = prefixes
        self._threads = min(threads, 4)  # each more takes 60 MB; one large file is not alone
        self.large = large

    def make(self, data: bytearray, path: str, label: str, *, rewrites: bool) -> StoredFile:
        """Work on a file in memory. ``rewrites``: whether it is rewritten when it is ELF.

        IntegrityError, naming ``label``, for an ELF file that is cut short.
        """
        if not self._keep_runpath and basename(path) == _CONFIGURATION:
            data = data.replace(_WITH_RUNPATH, _WITH_RPATH)
        rewrite = self._rewrite_of(memoryview(data), path, label) if rewrites else None
        if rewrite is not None:
            rewrite.apply(data)
        digests = hashlib.sha256(data).hexdigest(), _md5(data).hexdigest()
        elf, traits, use = _look_into(data, path)
        if len(data) < SHARED:
            return StoredFile(len(data), *digests, self._spool.put(data), (), elf, traits, use)
        return StoredFile(len(data), *digests, None, tuple(self._compress(data)), elf, traits, use)

    def make_large(
        self,
        size: int,
        readinto: Callable[[memoryview], object],
        path: str,
        label: str,
        *,
        rewrites: bool,
    ) -> Callable[[], StoredFile]:
        """Take a file that is read in pieces; what is returned works on it, in any thread."""
        what = f"{self._work_dir} cannot hold the temporary files"
        with os_errors(what):
            file = tempfile.TemporaryFile(dir=self._work_dir, buffering=0)  # noqa: SIM115
        try:
            with os_errors(what):
                buffer = memoryview(bytearray(_STEP))
                left = size
                while left:
                    part = buffer[: min(left, _STEP)]
                    readinto(part)
                    left -= len(part)
                    while part:
                        part = part[file.write(part) :]
        except BaseException:
            file.close()
            raise

        def work() -> StoredFile:
            # Copy on write: the pages that a rewrite changes are this mapping's own.
            with file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as image:
                return self._make_mapped(image, path, label, rewrites=rewrites)

        return work

    def _make_mapped(
        self, image: mmap.mmap, path: str, label: str, *, rewrites: bool
    ) -> StoredFile:
        with memoryview(image) as view:
            if rewrites and (rewrite := self._rewrite_of(view, path, label)) is not None:
                for offset, new in rewrite.parts():
                    image[offset : offset + len(new)] = new
            elf, traits, use = _look_into(view, path)
        sha256, md5 = hashlib.sha256(), _md5()

        def parts() -> Iterator[memoryview]:
            step = PIECE
            for at in range(0, len(image), step):
                with memoryview(image) as view, view[at : at + step] as part:
                    sha256.update(part)
                    md5.update(part)
                    yield part
                # What was read stays in the page cache; it need not count as this process's.
                if step % mmap.PAGESIZE == 0:
                    image.madvise(mmap.MADV_DONTNEED, at, min(step, len(image) - at))

        pieces = tuple(self._compress_parts(parts(), len(image)))
        digests = sha256.hexdigest(), md5.hexdigest()
        return StoredFile(len(image), *digests, None, pieces, elf, traits, use)

    def _rewrite_of(self, view: memoryview, path: str, label: str) -> Rewrite | None:
        """What has to be changed; nothing in what is no ELF file of a host."""
        if self._keep_runpath or is_code_object(path):
            return None
        elf = ElfFile.read(view, label, narrow=True)
        return runpath_to_rpath(elf, self._prefixes) if elf is not None else None

    def _compress(self, data: bytearray) -> Iterator[StoredPiece]:
        with memoryview(data) as view:
            if self._maker.compression is Compression.XZ:
                for at in range(0, len(view), PIECE):
                    piece, records = self._maker.make(view[at : at + PIECE])
                    yield StoredPiece((self._spool.put(piece),), records)
            else:
                piece, records = self._maker.make(view)
                yield StoredPiece((self._spool.put(piece),), records)

    def _compress_parts(self, parts: Iterator[memoryview], size: int) -> Iterator[StoredPiece]:
        if self._maker.compression is Compression.XZ:
            yield from self._compress_blocks(parts)
            return
        blocks = self._maker.make_long(parts, size, self._threads)
        yield StoredPiece(tuple(map(self._spool.put, blocks)), ())

    def _compress_blocks(self, parts: Iterator[memoryview]) -> Iterator[StoredPiece]:
        """Blocks of xz, on several threads."""
        pending: deque[Future[tuple[bytes, tuple[Record, ...]]]] = deque()
        with ThreadPoolExecutor(self._threads, "xz") as pool:
            for part in parts:
                pending.append(pool.submit(self._maker.make, bytearray(part)))
                if len(pending) > self._threads:
                    piece, records = pending.popleft().result()
                    yield StoredPiece((self._spool.put(piece),), records)
            for future in pending:
                piece, records = future.result()
                yield StoredPiece((self._spool.put(piece),), records)


def _look_into(
    data: bytearray | memoryview, path: str
) -> tuple[ElfDependencies | None, ElfTraits | None, Use]:
    """What is kept of a file's content."""
    traits = elf_traits(data)
    return elf_dependencies(data), traits, use_of(path, data, traits)


def _md5(data: bytes | bytearray = b"") -> hashlib._Hash:
    """MD5 names files in debs and in old rpms; nothing rests on it alone."""
    return hashlib.md5(data, usedforsecurity=False)
