"""Write the cpio file of an rpm: the "new ASCII format", or rpm's own of it for large files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from therock_outputs.artifacts.archives import Kind
from therock_outputs.native_packages.entries import Entry
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.payload import Payload

__all__ = ["archive_size", "inodes_of", "mode_of", "write_payload"]

_TYPES = {Kind.FILE: 0o100000, Kind.HARDLINK: 0o100000, Kind.DIRECTORY: 0o040000}
_SYMLINK = 0o120000


def mode_of(entry: Entry) -> int:
    """Type and permission bits."""
    return _TYPES.get(entry.kind, _SYMLINK) | entry.mode


def inodes_of(entries: Sequence[Entry]) -> dict[str, int]:
    """A number for each file, by ``Entry.inode``."""
    inodes: dict[str, int] = {}
    for entry in entries:
        inodes.setdefault(entry.inode, len(inodes) + 1)
    return inodes


def _payload_order(entries: Sequence[Entry]) -> Iterator[tuple[int, Entry, int, bool]]:
    """Number and entry in the order of the payload, how many names it has, whether data follow.

    All names of one file stand where the last one would, and the last one bears the data.
    """
    names: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        names.setdefault(entry.inode, []).append(number)
    for number, entry in enumerate(entries):
        numbers = names[entry.inode]
        if number == numbers[-1]:
            for each in numbers:
                yield each, entries[each], len(numbers), each == number


def _cpio_header(
    entry: Entry, number: int, links: int, *, size: int, inode: int, mtime: int, stripped: bool
) -> bytes:
    """The header of one cpio member; rpm's own short form where a size needs more than 32 bits."""
    if stripped:
        header = b"07070X%08x" % number
    else:
        name = f"./{entry.path}".encode()
        header = _new_cpio(name, (inode, mode_of(entry), 0, 0, links, mtime, size), device=1)
    return header + bytes(-len(header) % 4)


def _new_cpio(name: bytes, numbers: Sequence[int], *, device: int = 0) -> bytes:
    """``numbers``: inode, mode, user, group, links, time, size."""
    fields = (*numbers, 0, device, 0, 0, len(name) + 1, 0)
    return b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"


def _trailer() -> bytes:
    header = _new_cpio(b"TRAILER!!!", (0, 0, 0, 0, 1, 0, 0))
    return header + bytes(-len(header) % 4)


def archive_size(entries: Sequence[Entry], *, stripped: bool) -> int:
    """Bytes of the cpio file."""
    size = len(_trailer())
    for number, entry, links, has_data in _payload_order(entries):
        header = _cpio_header(entry, number, links, size=0, inode=1, mtime=0, stripped=stripped)
        data = entry.size if has_data and entry.kind is not Kind.DIRECTORY else 0
        size += len(header) + data + -data % 4
    return size


def write_payload(
    entries: Sequence[Entry],
    write: Callable[[bytes], object],
    tools: Tools,
    *,
    stripped: bool,
    expected: int,
) -> None:
    """Write all members, compressed.

    ``stripped``: in the form for files above 4 GiB, whose members have numbers instead of names.
    ``expected`` is what ``archive_size`` gave.
    """
    payload = Payload(tools.maker, tools.spool, write, is_tar=False)
    inodes = inodes_of(entries)
    for number, entry, links, has_data in _payload_order(entries):
        size = entry.size if has_data and entry.kind is not Kind.DIRECTORY else 0
        payload.header(
            _cpio_header(
                entry,
                number,
                links,
                size=size,
                inode=inodes[entry.inode],
                mtime=tools.mtime,
                stripped=stripped,
            )
        )
        if entry.kind is Kind.SYMLINK:
            payload.padding(entry.link.encode())
        elif size and entry.file is not None:
            payload.file(entry.file)
        payload.padding(bytes(-size % 4))
    payload.header(_trailer())
    payload.finish()
    if payload.size != expected:
        raise AssertionError(f"a payload of {payload.size} bytes, and {expected} were told of")
