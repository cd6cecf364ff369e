"""Writers and readers at the same time, and writers that are killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.indexes.conftest import Place
from tests.indexes.repositories.judges import Apt, Dnf
from tests.indexes.repositories.site import DEB, MTIME, RPM, SETTINGS, Site, listed, served
from tests.native_files import deb, put, rpm
from tests.running import ROOT, Killable, tree
from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.indexes.repositories import (
    Signer,
    apt_snippets,
    publication,
    read_repository,
    rpm_snippets,
    unlist_package,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import LocalStorage, Progress, Transfers, Upload

_PUBLISHER = "from tests.indexes.repositories.publisher import main; main()"


def words_of(site: Site, files: list[Path], key: str = "") -> list[str]:
    staging = str(site.at.staging_dir or "")
    return [site.kind, site.place.s3_uri, staging, key, *map(str, files)]


def start(site: Site, files: list[Path]) -> subprocess.Popen[bytes]:
    """Another process that publishes."""
    return subprocess.Popen(
        [sys.executable, "-c", _PUBLISHER, *words_of(site, files)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )


# ------------------------------------------------------------------------------- writers


def test_two_writers_at_once_lose_nothing(site: Site, tmp_path: Path) -> None:
    """Threads of two storages overlap more often than processes, whose start takes longest."""
    barrier = threading.Barrier(2)

    def write(number: int) -> None:
        own = Site(site.kind, site.at, tmp_path / f"built-{number}")
        barrier.wait()
        for turn in range(4):
            done = own.publish(own.make(f"writer{number}", f"{turn}.0"))
            assert f"writer{number} {turn}.0-1" in listed(done)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (1, 2)))
    assert listed(site.publish()) == {f"writer{n} {t}.0-1" for n in (1, 2) for t in range(4)}


@pytest.mark.parametrize("place", ["local", "moto"], indirect=True)
def test_package_that_is_unlisted_while_others_publish_stays_out(
    site: Site, tmp_path: Path
) -> None:
    site.publish(site.make("bad"), site.make("good"))
    barrier = threading.Barrier(2)
    own = Site(site.kind, site.at, tmp_path / "own")

    def publish() -> None:
        barrier.wait()
        for turn in range(4):
            own.publish(own.make("new", f"{turn}.0"), own.make("bad"))

    def unlist() -> None:
        barrier.wait()
        unlist_package(
            site.storage,
            site.place,
            "bad",
            "1.0-1",
            kind=site.kind,
            settings=SETTINGS,
            mtime=MTIME,
        )

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(publish), pool.submit(unlist)]:
            job.result()
    packages = read_repository(site.storage, site.place, site.kind)
    assert {f"{entry.name} {entry.version}" for entry in packages} == {
        "good 1.0-1",
        *(f"new {turn}.0-1" for turn in range(4)),
    }


def test_two_processes_at_once_lose_nothing(site: Site, tmp_path: Path) -> None:
    processes = []
    for number in (1, 2):
        files = put(tmp_path / str(number), *(site.make(f"p{number}", f"{v}.0") for v in (1, 2)))
        processes.append(start(site, files))
    assert [process.wait() for process in processes] == [0, 0]
    packages = read_repository(site.storage, site.place, site.kind)
    assert len(packages) == 4


class RacedStorage(LocalStorage):
    """A staging directory where others are always faster, or always bring something more."""

    def __init__(
        self, staging_dir: Path, before: Callable[[StorageLocation], bytes | None]
    ) -> None:
        super().__init__(staging_dir)
        self.before = before

    @property
    def honours_conditions(self) -> bool:
        return False

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        other = self.before(location)
        if other is not None:
            return change(other)
        return super().update(location, change, content_type=content_type)


def test_publication_gives_up_when_others_are_always_faster(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_MOST_ROUNDS", 3)
    assert here.at.staging_dir is not None
    storage = RacedStorage(here.at.staging_dir, lambda _: b"another pointer")
    with pytest.raises(ConflictError, match=r"was changed by others 3 times in a row; try again"):
        here.publish(here.make("a"), storage=storage)
    assert listed(here.publish()) == {"a 1.0-1"}


def test_publication_does_not_wait_for_an_upload_that_goes_on(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "_ROUNDS_FOR_OTHERS", 2)
    staging = here.at.staging_dir
    assert staging is not None
    uploaded: list[str] = []

    def upload_more(location: StorageLocation) -> None:
        name, data = here.make("more", f"{len(uploaded)}.0")
        LocalStorage(staging).upload([Upload(data, here.place / here.path_of(name))])
        uploaded.append(name)

    done = here.publish(here.make("a"), storage=RacedStorage(staging, upload_more))
    assert "a 1.0-1" in listed(done)
    assert len(uploaded) == 3
    assert listed(here.publish()) == {"a 1.0-1", "more 0.0-1", "more 1.0-1", "more 2.0-1"}


def test_pointer_that_vanishes_is_named(here: Site) -> None:
    staging = here.at.staging_dir
    assert staging is not None

    class Vanishing(LocalStorage):
        def update(
            self,
            location: StorageLocation,
            change: Callable[[bytes | None], bytes],
            *,
            content_type: str | None = None,
        ) -> bytes:
            new = super().update(location, change, content_type=content_type)
            self.delete(location)
            return new

    with pytest.raises(NotFoundError, match=r"(Release|repomd\.xml) is gone; publish again"):
        here.publish(here.make("a"), storage=Vanishing(staging))


# ------------------------------------------------------------------------------- readers


@dataclass(slots=True)
class Traffic:
    """What was published and read when, by the monotonic clock."""

    published: list[tuple[float, float]] = field(default_factory=list)
    overlapping: int = 0
    met: set[int] = field(default_factory=set)
    """The publications that some reading overlapped."""
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, one: Callable[[int], None]) -> None:
        """Publish one after the other until told to stop; the first is there already."""
        number = 1
        while not self.stop.is_set():
            number += 1
            begin = time.monotonic()
            with self.lock:
                self.published.append((begin, float("inf")))
            one(number)
            with self.lock:
                self.published[-1] = (begin, time.monotonic())

    def read(self, one: Callable[[], int], wanted: int, publications: int) -> None:
        """Read until so many readings, of all readers, have overlapped so many publications."""
        while not self.stop.is_set():
            with self.lock:
                finished = 1 + sum(end < float("inf") for _, end in self.published)
            begin = time.monotonic()
            seen = one()
            end = time.monotonic()
            with self.lock:
                met = {
                    index
                    for index, (start, stop) in enumerate(self.published)
                    if start < end and begin < stop
                }
                self.met |= met
                self.overlapping += bool(met)
                if self.overlapping >= wanted and len(self.met) >= publications:
                    self.stop.set()
            assert seen >= finished or seen < 0

    def run(
        self,
        publish: Callable[[int], None],
        readers: list[Callable[[], int]],
        wanted: int,
        publications: int,
    ) -> None:
        """All of them at once; a failure of any stops the others and is raised."""

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            finally:
                self.stop.set()

        with ThreadPoolExecutor(1 + len(readers)) as pool:
            jobs = [pool.submit(guarded, partial(self.publish, publish))]
            reads = [partial(self.read, reader, wanted, publications) for reader in readers]
            jobs += [pool.submit(guarded, read) for read in reads]
            for job in jobs:
                job.result()
        assert self.overlapping >= wanted
        assert len(self.met) >= publications


def state_of(versions: dict[str, list[int]]) -> int:
    """Which publication a client has seen; AssertionError unless it is one, and all of it."""
    count = len(versions["a"])
    assert sorted(versions["a"]) == sorted(versions["b"]) == list(range(1, count + 1))
    return count


def versions_of(said: str) -> dict[str, list[int]]:
    """The versions of each package in what ``apt-cache madison`` says."""
    versions: dict[str, list[int]] = {"a": [], "b": []}
    for line in said.splitlines():
        name, version, _ = (word.strip() for word in line.split("|"))
        versions[name].append(int(version.removesuffix("-1")))
    return versions


class SlowStorage(LocalStorage):
    """A staging directory that rests before each step, so that readers come between them."""

    def upload(
        self,
        uploads: Sequence[Upload],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        time.sleep(0.02)
        return super().upload(uploads, jobs=jobs, progress=progress)

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        time.sleep(0.02)
        return super().update(location, change, content_type=content_type)


@pytest.mark.parametrize(("way", "counts"), [("serve", (100, 20)), ("file", (25, 5))])
def test_updates_that_overlap_publications_see_old_or_new_and_whole(
    local: Place, tmp_path: Path, signer: Signer, way: str, counts: tuple[int, int]
) -> None:
    site = Site(DEB, local, tmp_path / "built")

    assert local.staging_dir is not None
    slow = SlowStorage(local.staging_dir)

    def publish(number: int) -> None:
        version = f"{number}-1"
        files = (deb("a", version), deb("b", version, depends=f"a (= {version})"))
        site.publish(*files, signer=signer, storage=slow)

    publish(1)
    with served(local.staging_dir) as address:
        url = site.url if way == "file" else f"{address}{site.place.key}"
        snippet = apt_snippets(url, signed=True)[1]
        keeps, anew = (
            Apt(tmp_path / name, snippet, signer.public_key) for name in ("keeps", "anew")
        )

        def read(apt: Apt) -> int:
            if apt is anew:
                shutil.rmtree(apt.top / "lists")
                (apt.top / "lists/partial").mkdir(parents=True)
            updated = apt.update()
            said = [line for line in updated.text.splitlines() if line[:2] in {"W:", "E:", "Er"}]
            assert (updated.code, said) == (0, [])
            state = state_of(versions_of(apt.run("apt-cache", "madison", "a", "b").out))
            # HTTP dates have whole seconds: who asks for what changed since may get the old one.
            return state if apt is anew or way == "file" else -state

        traffic = Traffic()
        traffic.run(publish, [lambda: read(keeps), lambda: read(anew)], *counts)


def test_dnf_sees_old_or_new_and_whole(local: Place, tmp_path: Path) -> None:
    site = Site(RPM, local, tmp_path / "built")

    assert local.staging_dir is not None
    slow = SlowStorage(local.staging_dir)

    def publish(number: int) -> None:
        version = str(number)
        site.publish(rpm("a", version), rpm("b", version), storage=slow)

    publish(1)
    with served(local.staging_dir) as address:
        snippet = rpm_snippets(f"{address}{site.place.key}", signed=False)[0]
        dnf = Dnf(tmp_path / "dnf", snippet)

        def read() -> int:
            versions: dict[str, list[int]] = {"a": [], "b": []}
            for word in dnf.available():
                name, version, _ = word.split("-")
                versions[name].append(int(version))
            return state_of(versions)

        Traffic().run(publish, [read], 10, 5)


# -------------------------------------------------------------------------------- kills


def test_killed_publication_leaves_a_whole_repository_and_a_rerun_ends_in_the_same_bytes(
    here: Site, gnupg_home: Path, signer: Signer, tmp_path: Path
) -> None:
    staging = here.at.staging_dir
    assert staging is not None
    here.publish(here.make("a"), here.make("b"), signer=signer)
    before = tmp_path / "before"
    shutil.copytree(staging, before)
    files = put(tmp_path / "new", here.make("a", "2.0"), here.make("c", needs="a"))
    words = words_of(here, files, signer.fingerprint)
    task = Killable(
        tuple(words),
        (staging,),
        tmp_path / "report",
        {"GNUPGHOME": str(gnupg_home)},
        "tests.indexes.repositories.publisher",
    )
    events = task.run()
    after = tree(staging)
    assert events > 40
    states = set()
    for number in range(1, events, max(1, events // 5)):
        shutil.rmtree(staging)
        shutil.copytree(before, staging)
        assert task.kill_at(number)
        states.add(len(read_repository(here.storage, here.place, here.kind)))
        here.publish(here.make("a", "2.0"), here.make("c", needs="a"), signer=signer)
        assert tree(staging) == after
    assert states == {2, 4}


@pytest.mark.parametrize(("place", "kind"), [("moto", DEB), ("rclone", RPM)], indirect=True)
def test_publication_that_is_killed_on_a_server_can_be_repeated(
    site: Site, gnupg_home: Path, signer: Signer, tmp_path: Path
) -> None:
    files = put(tmp_path / "new", site.make("a", "2.0"), site.make("c", needs="a"))

    def task(at: Site) -> Killable:
        at.publish(at.make("a"), at.make("b"), signer=signer)
        return Killable(
            tuple(words_of(at, files, signer.fingerprint)),
            (tmp_path,),
            tmp_path / "report",
            {"GNUPGHOME": str(gnupg_home)},
            "tests.indexes.repositories.publisher",
        )

    events = task(site).run()
    after = site.contents()
    assert events > 20
    for number in (events // 2, events - 5):
        other = site.elsewhere(f"killed-{number}")
        assert task(other).kill_at(number)
        assert len(read_repository(other.storage, other.place, other.kind)) in {2, 4}
        other.publish(other.make("a", "2.0"), other.make("c", needs="a"), signer=signer)
        assert other.contents() == after
