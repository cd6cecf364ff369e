"""What only a staging directory has to care for: links, hidden files, other writers, the disk."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from therock_outputs.errors import ConflictError, NotFoundError, OutputsError, StorageError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Download, IfExists, LocalStorage, Outcome, Upload
from therock_outputs.storage.hidden import exclusive, temporary_file

_RUN = StorageLocation("therock-ci-artifacts", "1-linux/")
_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "staging")


def names(storage: LocalStorage, prefix: StorageLocation = _RUN) -> list[str]:
    return [info.location.key for info in storage.list(prefix)]


def test_run_bucket_has_no_directory_of_its_own(storage: LocalStorage) -> None:
    storage.upload([Upload(b"x", _RUN / "a")])
    assert (storage.staging_dir / "1-linux" / "a").read_bytes() == b"x"


def test_listing_a_run_bucket_leaves_out_distribution_buckets(storage: LocalStorage) -> None:
    place = StorageLocation("therock-nightly-python", "v4/whl/a.whl")
    storage.upload([Upload(b"x", _RUN / "a"), Upload(b"y", place)])
    assert names(storage, StorageLocation(_RUN.bucket)) == ["1-linux/a"]
    assert names(storage, StorageLocation(place.bucket)) == ["v4/whl/a.whl"]


def test_published_file_is_no_hard_link_to_its_source(
    storage: LocalStorage, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"first")
    storage.upload([Upload(source, _RUN / "a")])
    with source.open("r+b") as stream:
        stream.write(b"OTHER")
    assert storage.read(_RUN / "a") == b"first"


def test_published_file_has_the_permissions_of_an_ordinary_file(
    storage: LocalStorage, tmp_path: Path
) -> None:
    (tmp_path / "plain").touch()
    storage.upload([Upload(b"x", _RUN / "a")])
    storage.download([Download(_RUN / "a", tmp_path / "out")])
    plain = (tmp_path / "plain").stat().st_mode
    assert storage.path_of(_RUN / "a").stat().st_mode == plain
    assert (tmp_path / "out").stat().st_mode == plain


@pytest.mark.parametrize("target", ["../..", "/", "/etc"])
def test_directory_link_out_of_the_staging_directory_is_refused(
    storage: LocalStorage, target: str
) -> None:
    (storage.staging_dir / "1-linux").mkdir(parents=True)
    (storage.staging_dir / "1-linux" / "out").symlink_to(target)
    out = _RUN / "out/passwd"
    actions: list[Callable[[], object]] = [
        lambda: storage.stat(out),
        lambda: storage.read(out),
        lambda: storage.upload([Upload(b"x", out)]),
        lambda: storage.update(out, lambda _: b"x"),
        lambda: storage.delete(out),
        lambda: list(storage.list(_RUN)),
    ]
    for action in actions:
        with pytest.raises(OutputsError, match="link"):
            action()


def test_file_link_out_of_the_staging_directory_is_refused(
    storage: LocalStorage, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (storage.staging_dir / "1-linux").mkdir(parents=True)
    (storage.staging_dir / "1-linux" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(OutputsError, match="link"):
        storage.read(_RUN / "a")
    with pytest.raises(OutputsError, match="link"):
        storage.upload([Upload(b"x", _RUN / "a", IfExists.REPLACE)])
    assert (tmp_path / "secret").read_text() == "secret"


def test_links_inside_are_followed_and_loops_are_refused(storage: LocalStorage) -> None:
    storage.upload([Upload(b"x", _RUN / "sub/a")])
    (storage.staging_dir / "1-linux" / "b").symlink_to("sub/a")
    (storage.staging_dir / "1-linux" / "c").symlink_to("nowhere")
    assert names(storage) == ["1-linux/b", "1-linux/sub/a"]
    assert storage.read(_RUN / "b") == b"x"
    (storage.staging_dir / "1-linux" / "sub" / "up").symlink_to("..")
    with pytest.raises(StorageError, match="link to a directory above it"):
        names(storage)


def test_staging_directory_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    storage = LocalStorage(tmp_path / "link")
    storage.upload([Upload(b"x", _RUN / "a")])
    assert names(storage) == ["1-linux/a"]


def test_unfinished_files_are_never_listed_or_written(storage: LocalStorage) -> None:
    storage.upload([Upload(b"x", _RUN / "a")])
    folder = storage.staging_dir / "1-linux"
    for name in (".partial-0123", ".lock-0123", ".b.partial", ".b.partial.json"):
        (folder / name).touch()
        assert storage.stat(_RUN / name) is None
        with pytest.raises(StorageError, match="stands for unfinished files"):
            storage.upload([Upload(b"x", _RUN / name)])
    assert names(storage) == ["1-linux/a"]


def test_abandoned_files_go_and_those_in_use_stay(storage: LocalStorage) -> None:
    folder = storage.staging_dir / "1-linux"
    folder.mkdir(parents=True)
    (folder / ".partial-dead").touch()
    (folder / ".lock-dead").touch()
    with temporary_file(folder) as (_, alive), exclusive(folder / "index"):
        storage.upload([Upload(b"x", _RUN / "a")])
        assert alive.exists()
        assert sorted(p.name[:6] for p in folder.iterdir()) == [".lock-", ".parti", "a"]
    assert [p.name for p in folder.iterdir()] == ["a"]


def test_killed_writer_leaves_nothing_that_is_seen(storage: LocalStorage, tmp_path: Path) -> None:
    """A real process is killed in the middle of a copy; the next upload cleans up after it."""
    source = tmp_path / "large"
    with source.open("wb") as stream:
        stream.truncate(64 << 20)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from therock_outputs.layout import StorageLocation\n"
        "from therock_outputs.storage import LocalStorage, Upload\n"
        "def die(label, count):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "target = StorageLocation('therock-ci-artifacts', '1-linux/large')\n"
        "storage = LocalStorage(Path(sys.argv[1]))\n"
        "storage.upload([Upload(Path(sys.argv[2]), target)], progress=die)\n"
    )
    command = [sys.executable, "-c", program, str(storage.staging_dir), str(source)]
    killed = subprocess.run(command, cwd=_PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = storage.staging_dir / "1-linux"
    [left] = folder.iterdir()
    assert left.name.startswith(".partial-")
    assert names(storage) == []
    [transfer] = storage.upload([Upload(source, _RUN / "large")])
    assert transfer.outcome is Outcome.WRITTEN
    assert [p.name for p in folder.iterdir()] == ["large"]


def test_file_and_directory_of_one_name_are_refused(storage: LocalStorage) -> None:
    storage.upload([Upload(b"x", _RUN / "a")])
    with pytest.raises(StorageError, match="a directory in one name and a file in the other"):
        storage.upload([Upload(b"x", _RUN / "a/b")])
    storage.upload([Upload(b"x", _RUN / "d/e")])
    with pytest.raises(OutputsError, match="1-linux/d"):
        storage.upload([Upload(b"x", _RUN / "d")])
    assert storage.stat(_RUN / "a/b") is None
    storage.delete(_RUN / "a/b")


def test_names_too_long_for_a_directory_are_refused(storage: LocalStorage) -> None:
    with pytest.raises(OutputsError, match="too long"):
        storage.upload([Upload(b"x", _RUN / ("x" * 300))])
    name = "x" * 255
    storage.upload([Upload(b"x", _RUN / name)])
    storage.update(_RUN / name, lambda _: b"y")
    assert storage.read(_RUN / name) == b"y"


def test_directory_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    storage = LocalStorage(tmp_path / "file")
    with pytest.raises(StorageError, match=r"rename or remove one"):
        storage.upload([Upload(b"x", _RUN / "a")])


def test_prefix_is_no_object(storage: LocalStorage) -> None:
    with pytest.raises(StorageError, match="names a directory; name one object in it"):
        storage.upload([Upload(b"x", _RUN)])
    with pytest.raises(StorageError, match="names a directory"):
        storage.stat(StorageLocation(_RUN.bucket))


def test_missing_object_tells_where_it_was_looked_for(storage: LocalStorage) -> None:
    with pytest.raises(NotFoundError, match=f"staging directory {storage.staging_dir}"):
        storage.read(_RUN / "none")


def test_writers_in_several_processes_lose_nothing(storage: LocalStorage) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from therock_outputs.layout import StorageLocation\n"
        "from therock_outputs.storage import LocalStorage\n"
        "index = StorageLocation('therock-ci-artifacts', '1-linux/index')\n"
        "for n in range(20):\n"
        "    line = f'{sys.argv[2]}-{n}\\n'.encode()\n"
        "    LocalStorage(Path(sys.argv[1])).update(index, lambda old: (old or b'') + line)\n"
    )
    command = [sys.executable, "-c", program, str(storage.staging_dir)]
    writers = [subprocess.Popen([*command, f"{n}"], cwd=_PROJECT) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = storage.read(_RUN / "index").decode().split()
    assert sorted(lines) == sorted(f"{a}-{b}" for a in range(3) for b in range(20))
    assert [p.name for p in (storage.staging_dir / "1-linux").iterdir()] == ["index"]


def test_creators_in_several_processes_publish_one_content(storage: LocalStorage) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from therock_outputs.errors import ConflictError\n"
        "from therock_outputs.layout import StorageLocation\n"
        "from therock_outputs.storage import LocalStorage, Upload\n"
        "won = 0\n"
        "for n in range(20):\n"
        "    target = StorageLocation('therock-ci-artifacts', f'1-linux/{n}')\n"
        "    try:\n"
        "        LocalStorage(Path(sys.argv[1])).upload([Upload(sys.argv[2].encode(), target)])\n"
        "        won += 1\n"
        "    except ConflictError:\n"
        "        pass\n"
        "print(won)\n"
    )
    command = [sys.executable, "-c", program, str(storage.staging_dir)]
    writers = [
        subprocess.Popen([*command, f"{n}"], cwd=_PROJECT, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    assert sum(int(writer.communicate()[0]) for writer in writers) == 20


def test_download_of_a_file_onto_itself_changes_nothing(storage: LocalStorage) -> None:
    storage.upload([Upload(b"x", _RUN / "a")])
    path = storage.path_of(_RUN / "a")
    [transfer] = storage.download([Download(_RUN / "a", path)])
    assert transfer.outcome is Outcome.SAME
    assert path.read_bytes() == b"x"


def test_special_files_are_copied_by_reading(storage: LocalStorage) -> None:
    """Files whose size the kernel does not know are read to their end."""
    [transfer] = storage.upload([Upload(Path("/proc/self/cmdline"), _RUN / "a")])
    assert transfer.size > 0
    assert transfer.sha256 == hashlib.sha256(storage.read(_RUN / "a")).hexdigest()


def test_conflict_names_both_digests(storage: LocalStorage) -> None:
    storage.upload([Upload(b"one", _RUN / "a")])
    with pytest.raises(ConflictError) as caught:
        storage.upload([Upload(b"two", _RUN / "a")])
    for data in (b"one", b"two"):
        assert hashlib.sha256(data).hexdigest() in str(caught.value)


def test_leftovers_of_others_are_not_removed(storage: LocalStorage) -> None:
    folder = storage.staging_dir / "1-linux"
    folder.mkdir(parents=True)
    (folder / ".partial-link").symlink_to(os.devnull)
    (folder / ".hidden").touch()
    storage.upload([Upload(b"x", _RUN / "a")])
    assert sorted(p.name for p in folder.iterdir()) == [".hidden", ".partial-link", "a"]
