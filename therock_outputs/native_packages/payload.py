"""Write a payload: small files compressed together, large ones as they lie in the spool."""

from __future__ import annotations

from collections.abc import Callable

from therock_outputs.native_packages.files import StoredFile
from therock_outputs.native_packages.pieces import PIECE, PieceMaker, stream_of
from therock_outputs.native_packages.spool import Spool

__all__ = ["Payload"]

_FIRST_ZEROS = 512
"""Where a tar header ends, in zeros."""


class Payload:
    """A compressed stream of headers and files; what comes of it goes to ``write``."""

    def __init__(
        self, maker: PieceMaker, spool: Spool, write: Callable[[bytes], object], *, is_tar: bool
    ) -> None:
        self._stream = stream_of(maker, single_frame=is_tar)
        self._spool = spool
        self._write = write
        self._text = bytearray()
        self._first: int | None = None
        self.size = 0
        """Bytes so far, uncompressed."""
        write(self._stream.start())

    def header(self, data: bytes) -> None:
        """Add the header of an entry; in a tar file whole blocks that end in zeros."""
        if len(self._text) >= PIECE:
            self._flush(ends=False)
        if self._first is None:
            self._first = len(self._text) + _FIRST_ZEROS
        self.padding(data)

    def padding(self, data: bytes) -> None:
        """Add what follows an entry's header or content."""
        self._text += data
        self.size += len(data)

    def file(self, file: StoredFile) -> None:
        """Add the content of a file, right after its header."""
        if file.data is not None:
            self.padding(self._spool.read(file.data))
            return
        self._flush(ends=True)
        for piece in file.pieces:
            self._write(self._stream.before(piece.records))
            for place in piece.places:
                for part in self._spool.parts(place):
                    self._write(part)
            self._write(self._stream.after())
        self.size += file.size

    def finish(self) -> None:
        """Write what is left, and the end."""
        self._flush(ends=False)
        self._write(self._stream.end())

    def _flush(self, *, ends: bool) -> None:
        if not self._text:
            return
        with memoryview(self._text) as view:
            for part in self._stream.text(view, self._first or 0, ends=ends):
                self._write(part)
        self._text, self._first = bytearray(), None
