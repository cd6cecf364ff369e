"""A run with a repository of each format, wherever it is stored, and what tests do with it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.indexes.conftest import Place
from tests.native_files import deb, put, rpm
from therock_outputs.indexes.repositories import (
    PublishedRepository,
    RepositoryPackage,
    RepositorySettings,
    Signer,
    publish_packages,
)
from therock_outputs.indexes.server import StagingServer
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.storage import Storage

DEB, RPM = PackageFormat.DEB, PackageFormat.RPM
MTIME = 1_700_000_000
SETTINGS = RepositorySettings.of_release_type("dev")
POINTERS = {DEB: "dists/stable/Release", RPM: "repodata/repomd.xml"}
SIGNED = {DEB: "dists/stable/InRelease", RPM: "repodata/repomd.xml.asc"}


@dataclass(frozen=True, slots=True)
class Site:
    """One repository in a storage."""

    kind: PackageFormat
    at: Place
    work: Path
    """A directory for the packages before they are published."""
    name: str = "7-linux"

    @property
    def storage(self) -> Storage:
        return self.at.storage

    @property
    def place(self) -> StorageLocation:
        below = "packages/deb/" if self.kind is DEB else "packages/rpm/x86_64/"
        return StorageLocation(self.at.python.bucket, f"{self.name}/{below}")

    @property
    def url(self) -> str:
        if self.at.server is not None:
            return self.place.url_at(self.at.server.endpoint)
        assert self.at.staging_dir is not None
        return self.place.local_path(self.at.staging_dir).as_uri()

    def elsewhere(self, name: str) -> Site:
        """Another repository in the same storage."""
        return Site(self.kind, self.at, self.work, name)

    def make(
        self, name: str, version: str = "1.0", *, needs: str = "", content: str = "content"
    ) -> tuple[str, bytes]:
        """A package of this format, of release or revision 1."""
        if self.kind is DEB:
            return deb(name, f"{version}-1", depends=needs, content=content.encode())
        return rpm(name, version, requires=needs, content=content)

    def path_of(self, filename: str) -> str:
        """Where a package file lies in the repository."""
        return f"pool/main/{filename}" if self.kind is DEB else filename

    def publish(
        self,
        *files: tuple[str, bytes],
        signer: Signer | None = None,
        mtime: int = MTIME,
        settings: RepositorySettings = SETTINGS,
        storage: Storage | None = None,
    ) -> PublishedRepository:
        """Publish packages as a job does, from files."""
        return publish_packages(
            storage or self.storage,
            self.place,
            [RepositoryPackage(path) for path in put(self.work, *files)],
            kind=self.kind,
            settings=settings,
            mtime=mtime,
            signer=signer,
        )

    def contents(self) -> dict[str, bytes]:
        """All that lies in the repository."""
        return {
            info.location.relative_to(self.place): self.storage.read(info.location)
            for info in self.storage.list(self.place)
        }

    @property
    def pointer(self) -> StorageLocation:
        """Release or repomd.xml."""
        return self.place / POINTERS[self.kind]


def listed(repository: PublishedRepository) -> set[str]:
    """Names and versions of what is listed."""
    return {f"{entry.name} {entry.version}" for entry in repository.packages}


@contextmanager
def served(staging_dir: Path) -> Iterator[str]:
    """The project's own server over a staging directory, by its address."""
    with StagingServer(staging_dir) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def gpg(home: Path, *words: str, data: bytes = b"") -> bytes:
    """Run gpg over a keyring."""
    done = subprocess.run(
        ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *words],
        input=data,
        env={**os.environ, "GNUPGHOME": str(home), "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def keyring(directory: Path, *keys: tuple[str, str]) -> Iterator[Path]:
    """A keyring with secret keys by user id and algorithm, all made in 2020."""
    directory.mkdir(mode=0o700, parents=True)
    # Else the agent measures for seconds how often it should hash a passphrase.
    (directory / "gpg-agent.conf").write_text("s2k-count 65536\n")
    try:
        for user, algorithm in keys:
            gpg(directory, "--faked-system-time", "1600000000", "--quick-generate-key", user,
                algorithm, "sign", "never")  # fmt: skip
        yield directory
    finally:
        environ = {**os.environ, "GNUPGHOME": str(directory)}
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=environ, check=True)
