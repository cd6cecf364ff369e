"""Repositories of both formats in every storage, and keys that sign them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.indexes.conftest import Place
from tests.indexes.repositories.site import DEB, RPM, Site, keyring
from therock_outputs.indexes.repositories import Signer, open_signer
from therock_outputs.layout import PackageFormat

_USERS = (("Tester <a@example.com>", "ed25519"), ("Tester <b@example.com>", "rsa2048"))


@pytest.fixture(params=[DEB, RPM], ids=["deb", "rpm"])
def kind(request: pytest.FixtureRequest) -> PackageFormat:
    assert isinstance(request.param, PackageFormat)
    return request.param


@pytest.fixture
def site(place: Place, kind: PackageFormat, tmp_path: Path) -> Site:
    """In a staging directory and on both servers."""
    return Site(kind, place, tmp_path / "built")


@pytest.fixture
def here(local: Place, kind: PackageFormat, tmp_path: Path) -> Site:
    """In a staging directory only."""
    return Site(kind, local, tmp_path / "built")


@pytest.fixture(scope="session")
def gnupg_home() -> Iterator[Path]:
    # The path of an agent's socket may have 107 bytes only.
    with TemporaryDirectory(prefix="keys-") as top, keyring(Path(top, "home"), *_USERS) as home:
        yield home


@pytest.fixture(scope="session")
def signers(gnupg_home: Path) -> Iterator[list[Signer]]:
    environ = {**os.environ, "GNUPGHOME": str(gnupg_home)}
    with ExitStack() as stack:
        yield [stack.enter_context(open_signer(user, environ)) for user, _ in _USERS]


@pytest.fixture
def signer(signers: list[Signer]) -> Signer:
    return signers[0]
