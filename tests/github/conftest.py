"""A GitHub of one test, and a client that asks it without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.github_server import GitHubServer, github_server
from therock_outputs.github.client import GitHub
from therock_outputs.github.credentials import Token
from therock_outputs.github.transport import ApiSettings, Transport

SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"

Ask = Callable[..., GitHub]


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with github_server() as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    """How long each wait would have been, in seconds."""
    return []


@pytest.fixture
def ask(server: GitHubServer, slept: list[float], tmp_path: Path) -> Ask:
    """Make a client; keyword arguments change how it asks."""

    def make(*, token: str | None = SECRET, cached: bool = False, **more: object) -> GitHub:
        settings = ApiSettings(
            url=server.url,
            token=Token(token, "GITHUB_TOKEN" if token else "no token"),
            cache_dir=tmp_path / "cache" if cached else None,
            clock=lambda: 1_800_000_000.0,
            sleep=slept.append,
            **{"read_timeout": 5.0, **more},  # type: ignore[arg-type]
        )
        return GitHub(Transport(settings))

    return make
