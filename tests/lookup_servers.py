"""A GitHub and a staging directory that belong together, for tests of what finds runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.github_server import GitHubServer, Repository, github_server

ARCHIVES = ("base_lib_generic", "blas_lib_generic", "blas_lib_gfx942", "fft_lib_gfx1100")


def put_archives(
    staging: Path, run_id: int, *stems: str, platform: str = "linux", above: str = ""
) -> Path:
    """Archives of a run as a listing shows them: names without content."""
    directory = staging / above / f"{run_id}-{platform}"
    directory.mkdir(parents=True)
    for stem in stems or ARCHIVES:
        (directory / f"{stem}.tar.zst").write_bytes(b"x" * 1000)
        (directory / f"{stem}.tar.zst.sha256sum").write_text("0" * 64)
    return directory


@contextmanager
def github_in_use(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[GitHubServer]:
    """A GitHub that this test's environment points at, with no token, no ``gh``, and a cache."""
    with github_server() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        tools = directory / "tools"
        tools.mkdir()
        (tools / "gh").write_text("#!/bin/sh\nexit 1\n")
        (tools / "gh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:/usr/local/bin:/usr/bin:/bin")
        monkeypatch.setenv("no_proxy", "*")
        yield server


def pinned_repository(server: GitHubServer, ref: str, commit: str) -> Repository:
    """rocm-libraries, whose workflow file builds with TheRock at ``ref``."""
    repository = server.repository("ROCm/rocm-libraries")
    repository.default_branch = "develop"
    repository.add_commit(commit, branch="develop")
    text = f"""
name: TheRock CI
on: [push]
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v5
        with:
          repository: "ROCm/TheRock"
          ref: {ref} # a comment
"""
    repository.files[".github/workflows/therock-ci-linux.yml", commit] = text.encode()
    return repository
