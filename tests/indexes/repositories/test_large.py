"""A repository of 5,000 packages grows without its packages being read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faulty_server import FaultyServer, faulty_server
from tests.indexes.conftest import Place, place_on
from tests.indexes.repositories.site import DEB, MTIME, SETTINGS, Site
from tests.servers import rclone_server
from therock_outputs.indexes.repositories import ListedPackage, apt, merge_repository, rpm
from therock_outputs.layout import PackageFormat
from therock_outputs.storage import LocalStorage

COUNT = 5000
_CONTENT = b"not a package: whoever reads it fails\n"


@dataclass(frozen=True, slots=True)
class Counted:
    """A repository behind a server that counts what it sends."""

    site: Site
    proxy: FaultyServer
    directory: Path
    """Where the server keeps its buckets."""

    def fill(self) -> None:
        """Put 5,000 packages and their metadata there, on the server's own disk."""
        site = self.site
        form = apt if site.kind is DEB else rpm
        one = _one(site, self.directory)
        entries = [_numbered(one, number) for number in range(COUNT)]
        entries.sort(key=lambda entry: entry.path)
        files = form.render_files(entries)
        contents = {file.path: data for file, data in files.items()}
        contents[form.POINTER] = form.render_pointer(list(files), SETTINGS, MTIME)
        contents |= {entry.path: _CONTENT for entry in entries}
        top = self.directory / site.place.bucket / site.place.key
        for path in {str(Path(path).parent) for path in contents}:
            (top / path).mkdir(parents=True, exist_ok=True)
        for path, data in contents.items():
            (top / path).write_bytes(data)

    def sent(self, suffix: str = "") -> int:
        """Bytes of the answers to all GETs of names that end so."""
        with self.proxy.lock:
            seen = [e for e in self.proxy.seen if e.method == "GET"]
        return sum(e.sent for e in seen if e.path.partition("?")[0].endswith(suffix))


def _one(site: Site, directory: Path) -> ListedPackage:
    """The entry of a real package, with words of usual lengths."""
    place = Place(LocalStorage(directory.parent / "one"), site.place)
    package = site.make("base", "7.13.0", needs=", ".join(f"need{n}" for n in range(20)))
    return Site(site.kind, place, site.work).publish(package).packages[0]


def _numbered(entry: ListedPackage, number: int) -> ListedPackage:
    """The same package under another name, with another digest and the size of its file."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    words = {
        b"base": f"pack{number:04}".encode(),
        entry.sha256.encode(): digest.encode(),
        f"Size: {entry.size}".encode(): f"Size: {len(_CONTENT)}".encode(),
        f'package="{entry.size}"'.encode(): f'package="{len(_CONTENT)}"'.encode(),
    }
    record = entry.record
    for old, new in words.items():
        record = tuple(part.replace(old, new) for part in record)
    name = f"pack{number:04}"
    return replace(
        entry,
        path=entry.path.replace("base", name),
        name=name,
        size=len(_CONTENT),
        sha256=digest,
        record=record,
    )


@pytest.fixture
def counted(
    kind: PackageFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Counted]:
    directory = tmp_path / "buckets"
    directory.mkdir()
    with rclone_server(directory, signed=False) as server, faulty_server(server) as proxy:
        place = place_on(proxy.server, monkeypatch)
        yield Counted(Site(kind, place, tmp_path / "built"), proxy, directory)


def test_merge_into_5000_packages_fetches_none_of_them(counted: Counted) -> None:
    target = counted.site
    run = target.elsewhere("8-linux")
    run.publish(run.make("a"), run.make("b", needs="a"))
    counted.fill()
    counted.proxy.break_with()
    done = merge_repository(
        target.storage,
        run.place,
        target.place,
        kind=target.kind,
        settings=SETTINGS,
        mtime=MTIME,
    )
    assert len(done.packages) == COUNT + 2
    assert len(done.added) == 2
    assert counted.sent(f".{target.kind}") == 0
    # Listings and the metadata of before: less than a kilobyte and a half for each package.
    assert 0 < counted.sent() < 1500 * COUNT
