"""From a commit to what people have installed: every task on the way, on an S3 server.

GitHub is a server that a test makes up. Runs, dependencies and what is promoted are objects that
anybody may read. The wheels are installed by setup-venv, the debs by apt-get in a Debian of their
own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.github_server import GitHubServer, sha
from tests.lookup_servers import github_in_use
from tests.native_judges import Version, judge_alternatives, wants
from tests.native_roots import DEBIAN, AptRoot, unpack_base
from tests.python_files import alone_environment
from tests.running import Done, invoke, tree
from tests.servers import S3Server, rclone_server
from tests.wheel_makers import repack_installed
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.repositories import apt_snippets
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import S3Storage, Upload

RUNS = "therock-nightly-artifacts"
PLACES = ("therock-nightly-tarball", "therock-nightly-python", "therock-nightly-packages")
NIGHTLY = ("--release-type", "nightly")


@dataclass(frozen=True, slots=True)
class Night:
    """A nightly run, and what is made of it."""

    run_id: int
    commit: str
    version: str

    @property
    def tarball(self) -> str:
        """The tarball that serves every target."""
        return f"therock-dist-linux-multiarch-{self.version}.tar.gz"


MONDAY = Night(24217435275, sha(1), "7.13.0a20261123")
TUESDAY = Night(24231907710, sha(2), "7.13.0a20261124")


class Story:
    """Somebody with a shell, who has the tasks and what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], server: S3Server, home: Path) -> None:
        self._capsys = capsys
        self.server = server
        self.home = home

    def run(self, *words: object, code: int = 0) -> Done:
        """Run a task; any other exit code is the end of the story."""
        done = invoke(self._capsys, *words)
        assert done.code == code, done.err
        return done

    def report(self, *words: object, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a task for its JSON document."""
        return json.loads(self.run(*words, "--json", code=code).out)

    def night(self, night: Night, *steps: str) -> Any:  # noqa: ANN401 - JSON
        """Find the run of a commit and release it, by the commit alone."""
        found = self.report("find-artifacts", "--commit", night.commit[:12], *NIGHTLY)
        assert [run["run_id"] for run in found["commits"][0]["runs"]] == [str(night.run_id)]
        words = ("--commit", night.commit, "--package-version", night.version, *NIGHTLY)
        report = self.report("release", *words, *steps)
        assert report["run_id"] == str(night.run_id)
        return report

    def promote(self, night: Night, *words: str) -> list[dict[str, Any]]:
        """Promote the run; what each place of the distribution buckets has of it."""
        words = ("promote", "--run-id", str(night.run_id), *NIGHTLY, *words)
        places: list[dict[str, Any]] = self.report(*words)["places"]
        assert {place["latest"] for place in places} == {night.version}
        return places

    def objects(self) -> dict[str, bytes]:
        """What lies in the distribution buckets."""
        storage = S3Storage()
        return {
            info.location.s3_uri: storage.read(info.location)
            for bucket in PLACES
            for info in storage.list(StorageLocation(bucket))
        }


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A repository with a nightly run for each of its last two commits."""
    with github_in_use(monkeypatch, tmp_path) as server:
        repository = server.repository()
        repository.line_of_commits(3)
        for hours, night in enumerate((MONDAY, TUESDAY)):
            repository.add_run(
                night.run_id, night.commit, workflow="release_nightly.yml", hours=hours
            )
        yield server


@pytest.fixture
def story(
    github: GitHubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Story]:
    buckets = tmp_path / "buckets"
    # What CI has built: each run's archives. The second has grown a target.
    write_sample_run(buckets / RUNS, run_id=str(MONDAY.run_id))
    targets = ("gfx942", "gfx1100", "gfx90a")
    write_sample_run(buckets / RUNS, run_id=str(TUESDAY.run_id), targets=targets)
    # Installers send no signature.
    with rclone_server(buckets, signed=False) as server:
        server.use(monkeypatch)
        for bucket in PLACES:
            server.make_bucket(bucket)
        _put_dependencies(tmp_path)
        monkeypatch.chdir(tmp_path)
        yield Story(capsys, server, tmp_path)


def _put_dependencies(directory: Path) -> None:
    """What ``mirror-deps`` would have filled, from what is installed here."""
    (directory / "wheels").mkdir()
    wheel = repack_installed("setuptools", directory / "wheels")
    place, storage = StorageLocation(RUNS, "python-deps/"), S3Storage()
    storage.upload([Upload(wheel, place / wheel.name)])
    build_indexes(storage, place, closed=False)


@contextmanager
def _nothing_else_in_reach(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """No index but those of the server: whatever else an installer asks is refused."""
    home.mkdir()
    with monkeypatch.context() as patch:
        for name, value in alone_environment(home).items():
            patch.setenv(name, value)
        yield


def test_commit_becomes_a_release_that_people_install(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = story.night(MONDAY)
    assert len(report["tarballs"]) == 3
    places = story.promote(MONDAY)
    assert [place["part"] for place in places] == ["tarballs", "wheels", "packages", "packages"]
    before = story.objects()
    story.promote(MONDAY)
    assert story.objects() == before

    with _nothing_else_in_reach(monkeypatch, story.home / "wheel-home"):
        _install_wheels(story)
    _install_debs(story, next(place["index"] for place in places if "/deb/" in place["place"]))
    _install_prefix(story, MONDAY)

    story.night(TUESDAY, "--only", "fetch,tarballs,upload")
    _compare(story)
    story.promote(TUESDAY, "--only", "tarballs")
    _install_prefix(story, TUESDAY)
    story.run("yank", TUESDAY.version, *NIGHTLY, "--reason", "hangs on gfx90a")
    _install_prefix(story, MONDAY)
    story.run("yank", TUESDAY.version, *NIGHTLY, "--undo")
    _install_prefix(story, TUESDAY)


def _install_wheels(story: Story) -> None:
    """With an index of dependencies and the promoted one, and no other."""
    requirements = "rocm[libraries,devel,device-gfx942]"
    done = story.run(
        "setup-venv", "venv", "--index-name", "nightly", "--packages", requirements, "--pre",
        "--test",
    )  # fmt: skip
    assert f"{requirements} is installed in " in done.out
    python = story.home / "venv/bin/python"
    words = "from importlib.metadata import version; print(version('rocm-sdk-device-gfx942'))"
    said = subprocess.run([python, "-c", words], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == MONDAY.version


def _install_debs(story: Story, repository: str) -> None:
    """With apt-get, in a Debian that nobody has used."""
    apt = AptRoot(unpack_base(DEBIAN, story.home / "base"), story.home / "root")
    apt.add(apt_snippets(repository, signed=False)[1])
    apt.update()
    apt.install("amdrocm-core7.13-gfx942")
    apt.verify()
    wants(apt, "amdrocm-blas7.13-gfx1100", there=["amdrocm-blas7.13-gfx942"])
    judge_alternatives(apt.root, Version("7.13"), ("rocminfo",))
    assert apt.root.load_each("/opt/rocm/core-7.13") > 20
    assert "of the sample run" in apt.root.start("/opt/rocm/bin/rocminfo")
    apt.discard()


def _install_prefix(story: Story, night: Night) -> None:
    """The newest tarball that is not yanked; an older installation is replaced."""
    done = story.run("install", "rocm", "--latest-release", *NIGHTLY)
    assert f"ROCm {night.version} " in done.out
    prefix = story.home / "rocm"
    note = json.loads((prefix / ".therock-outputs").read_text())
    assert note["source"] == "s3://therock-nightly-tarball/v4/tarball/"
    assert list(note["inputs"]) == [night.tarball]
    assert "bin/rocminfo" in tree(prefix)
    program = subprocess.run([prefix / "bin/rocminfo"], capture_output=True, text=True, check=False)
    assert "of the sample run" in program.stdout


def _compare(story: Story) -> None:
    """What a target more costs, and a limit that it is over."""
    runs = ("compare", MONDAY.run_id, TUESDAY.run_id, *NIGHTLY)
    compared = story.run(*runs, "--files")
    assert "gfx90a" in compared.out
    done = story.run(*runs, "--max-growth", "1kB", code=1)
    assert "--max-growth" in done.err
