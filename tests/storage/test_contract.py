"""What every backend promises, whatever it stores objects on.

The suite runs against a staging directory and two real servers. ``CAPABILITIES`` is the table
of what those servers do themselves; what they lack must come from us, so the promises are the
same for all.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import S3Server
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutputsError,
    StorageError,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import (
    Download,
    DryRunStorage,
    IfExists,
    LocalStorage,
    Outcome,
    S3Storage,
    Storage,
    Upload,
    copy_between,
    files_to_upload,
)
from therock_outputs.storage.s3 import S3Settings

_MIB = 1 << 20
_BUCKET = "therock-ci-artifacts"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server does by itself."""

    conditional_writes: bool
    part_copy: bool
    reports_missing_bucket: bool


CAPABILITIES = {
    "local": Capabilities(True, True, False),
    "moto": Capabilities(True, True, True),
    "rclone": Capabilities(False, False, True),
}

# Small enough that a test of 12 MiB has several ranges and parts; S3 wants parts of 5 MiB.
_SMALL = S3Settings(
    range_size=2 * _MIB,
    part_size=5 * _MIB,
    multipart_threshold=6 * _MIB,
    copy_part_size=5 * _MIB,
    copy_part_threshold=6 * _MIB,
)


@pytest.fixture(params=sorted(CAPABILITIES))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def storage(
    backend: str,
    tmp_path: Path,
    servers: dict[str, S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Storage:
    if backend == "local":
        return LocalStorage(tmp_path / "staging")
    servers[backend].use(monkeypatch)
    servers[backend].make_bucket(_BUCKET)
    return S3Storage(_SMALL)


@pytest.fixture
def root(request: pytest.FixtureRequest) -> StorageLocation:
    """A place of this test's own: servers outlive tests."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return StorageLocation(_BUCKET, f"{name}-linux/")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(storage: Storage, location: StorageLocation, data: bytes) -> None:
    storage.upload([Upload(data, location)])


def large(seed: int, size: int = 12 * _MIB + 345) -> bytes:
    block = hashlib.shake_256(seed.to_bytes(4, "big")).digest(1 << 16)
    return (block * (size // len(block) + 1))[:size]


def test_uploaded_bytes_are_read_back(storage: Storage, root: StorageLocation) -> None:
    [transfer] = storage.upload([Upload(b"hello", root / "a.txt")])
    assert (transfer.outcome, transfer.size, transfer.sha256) == (
        Outcome.WRITTEN,
        5,
        sha256(b"hello"),
    )
    assert storage.read(root / "a.txt") == b"hello"


def test_digest_of_an_object_is_that_of_its_bytes(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a.txt", b"hello")
    assert storage.sha256(root / "a.txt") == sha256(b"hello")
    assert DryRunStorage(storage).sha256(root / "a.txt") == sha256(b"hello")
    with pytest.raises(NotFoundError, match=r"b\.txt"):
        storage.sha256(root / "b.txt")


def test_page_may_stand_at_a_directory_where_keys_are_no_files(
    storage: Storage, root: StorageLocation, backend: str
) -> None:
    assert storage.holds_directory_pages is (backend != "local")
    assert DryRunStorage(storage).holds_directory_pages is (backend != "local")
    if storage.holds_directory_pages:
        assert storage.update(root / "simple/x/", lambda old: (old or b"") + b"1") == b"1"
        assert storage.update(root / "simple/x/", lambda old: (old or b"") + b"2") == b"12"
        assert storage.read(root / "simple/x/") == b"12"


def test_same_bytes_again_are_skipped(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a.txt", b"hello")
    before = storage.stat(root / "a.txt")
    [transfer] = storage.upload([Upload(b"hello", root / "a.txt")])
    assert transfer.outcome is Outcome.SAME
    assert storage.stat(root / "a.txt") == before


@pytest.mark.parametrize("other", [b"longer than before", b"HELLO"])
def test_other_bytes_under_a_published_name_are_refused(
    storage: Storage, root: StorageLocation, other: bytes
) -> None:
    put(storage, root / "a.txt", b"hello")
    with pytest.raises(ConflictError, match=r"a\.txt is published with"):
        put(storage, root / "a.txt", other)
    assert storage.read(root / "a.txt") == b"hello"


def test_replacing_upload_changes_a_pointer(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "index.html", b"old")
    [changed] = storage.upload([Upload(b"new", root / "index.html", IfExists.REPLACE)])
    [again] = storage.upload([Upload(b"new", root / "index.html", IfExists.REPLACE)])
    assert (changed.outcome, again.outcome) == (Outcome.WRITTEN, Outcome.SAME)
    assert storage.read(root / "index.html") == b"new"


def test_results_come_in_the_order_of_the_uploads(storage: Storage, root: StorageLocation) -> None:
    uploads = [Upload(bytes(n), root / f"{n}.bin") for n in (3, 0, 7, 1)]
    transfers = storage.upload(uploads, jobs=3)
    assert [(t.location.name, t.size) for t in transfers] == [
        ("3.bin", 3),
        ("0.bin", 0),
        ("7.bin", 7),
        ("1.bin", 1),
    ]


def test_upload_refuses_source_with_another_digest(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    (source / "small").write_bytes(b"small")
    (source / "large").write_bytes(large(1))
    for name in ("small", "large"):
        with pytest.raises(IntegrityError, match=f"{name} has SHA-256 .* was expected"):
            storage.upload([Upload(source / name, root / name, sha256="0" * 64)])
        assert not storage.exists(root / name)


def test_upload_of_missing_file_names_it(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    with pytest.raises(NotFoundError, match="not-there"):
        storage.upload([Upload(source / "not-there", root / "a")])


def test_large_file_survives_both_ways(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    data = large(2)
    (source / "large.bin").write_bytes(data)
    moved: list[int] = []
    [up] = storage.upload(
        [Upload(source / "large.bin", root / "large.bin")], progress=lambda _, n: moved.append(n)
    )
    assert sum(moved) == len(data) == up.size
    moved.clear()
    [down] = storage.download(
        [Download(root / "large.bin", source / "back.bin", sha256(data))],
        progress=lambda _, n: moved.append(n),
    )
    assert sum(moved) == len(data)
    assert (down.outcome, down.size, down.sha256) == (Outcome.WRITTEN, len(data), sha256(data))
    assert (source / "back.bin").read_bytes() == data
    [again] = storage.upload([Upload(source / "large.bin", root / "large.bin")])
    assert again.outcome is Outcome.SAME


def test_known_digest_of_a_large_file_is_enough(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    data = large(3)
    (source / "f").write_bytes(data)
    [transfer] = storage.upload([Upload(source / "f", root / "f", sha256=sha256(data))])
    assert transfer.sha256 == sha256(data)
    info = storage.stat(root / "f")
    assert info is not None
    assert info.size == len(data)


def test_listing_is_in_key_order_and_by_prefix(storage: Storage, root: StorageLocation) -> None:
    names = ["b/a", "a-b", "a.b", "a/b", "a/é", "a b+c", "ab"]
    storage.upload([Upload(name.encode(), root / name) for name in names])
    listed = [(info.location.relative_to(root), info.size) for info in storage.list(root)]
    assert listed == [
        (name, len(name.encode())) for name in sorted(names, key=lambda name: name.encode())
    ]
    part = StorageLocation(root.bucket, root.key + "a/")
    assert [info.location.name for info in storage.list(part)] == ["b", "é"]
    begin = StorageLocation(root.bucket, root.key + "a")
    assert len(list(storage.list(begin))) == 6


def test_listing_of_nothing_is_empty(storage: Storage, root: StorageLocation) -> None:
    assert list(storage.list(root)) == []


def test_what_is_not_there_is_said_so(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    assert storage.stat(root / "none") is None
    assert not storage.exists(root / "none")
    with pytest.raises(NotFoundError, match="none"):
        storage.read(root / "none")
    with pytest.raises(NotFoundError, match="none"):
        storage.download([Download(root / "none", source / "none")])
    with pytest.raises(NotFoundError, match="none"):
        storage.copy([(root / "none", root / "copy")])
    assert list(source.iterdir()) == []


def test_directory_of_objects_is_no_object(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a/b", b"x")
    assert storage.stat(root / "a") is None


def test_object_is_read_in_slices(storage: Storage, root: StorageLocation) -> None:
    data = large(4, 3 * _MIB)
    put(storage, root / "f", data)
    with storage.open(root / "f") as stream:
        assert stream.read(10) == data[:10]
        assert stream.read() == data[10:]
    with storage.open(root / "f", 5, 7) as stream:
        assert stream.read() == data[5:12]
    with storage.open(root / "f", len(data) - 3) as stream:
        assert stream.read() == data[-3:]
    with storage.open(root / "f", 1000, len(data)) as stream:
        assert stream.read() == data[1000:]
    for start in (len(data), len(data) + 5):
        with storage.open(root / "f", start) as stream:
            assert stream.read() == b""


def test_small_read_refuses_a_large_object(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "f", b"12345")
    assert storage.read(root / "f", 5) == b"12345"
    with pytest.raises(IntegrityError, match="larger than the 4 bytes"):
        storage.read(root / "f", 4)


def test_empty_object_goes_both_ways(storage: Storage, root: StorageLocation, source: Path) -> None:
    put(storage, root / "empty", b"")
    assert storage.read(root / "empty") == b""
    transfers = storage.download(
        [
            Download(root / "empty", source / "a"),
            Download(root / "empty", source / "b", size=0),
            Download(root / "empty", source / "c", sha256(b""), 0),
        ]
    )
    assert [t.sha256 for t in transfers] == [sha256(b"")] * 3
    assert [(source / name).stat().st_size for name in "abc"] == [0, 0, 0]


def test_download_refuses_bytes_with_wrong_digest(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    put(storage, root / "f", b"hello")
    with pytest.raises(IntegrityError, match=f"{'0' * 64} was expected"):
        storage.download([Download(root / "f", source / "f", "0" * 64)])
    assert list(source.iterdir()) == []


def test_download_keeps_an_old_file_until_the_new_one_is_verified(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    put(storage, root / "f", b"hello")
    (source / "f").write_bytes(b"older")
    with pytest.raises(IntegrityError):
        storage.download([Download(root / "f", source / "f", "0" * 64)])
    assert (source / "f").read_bytes() == b"older"
    [transfer] = storage.download([Download(root / "f", source / "f", sha256(b"hello"))])
    assert transfer.outcome is Outcome.WRITTEN
    assert (source / "f").read_bytes() == b"hello"


def test_download_leaves_a_verified_file_alone(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    put(storage, root / "f", b"hello")
    target = source / "sub" / "f"
    for digest in (sha256(b"hello"), None):
        storage.download([Download(root / "f", target, digest)])
        before = target.stat()
        [transfer] = storage.download([Download(root / "f", target, digest)])
        assert transfer.outcome is Outcome.SAME
        assert target.stat().st_ino == before.st_ino


def test_many_objects_are_fetched_at_once(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    contents = {f"{n}.bin": large(n, n * 700_000) for n in range(1, 9)}
    storage.upload([Upload(data, root / name) for name, data in contents.items()])
    transfers = storage.download(
        [
            Download(root / name, source / name, sha256(data), len(data) if index % 2 else None)
            for index, (name, data) in enumerate(contents.items())
        ],
        jobs=4,
    )
    assert [t.sha256 for t in transfers] == [sha256(data) for data in contents.values()]
    assert {p.name: p.read_bytes() for p in source.iterdir()} == contents


def test_copy_is_whole_and_repeatable(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a.json", b"{}")
    pairs = [(root / "a.json", root / "b/a.json")]
    assert [t.outcome for t in storage.copy(pairs)] == [Outcome.WRITTEN]
    assert [t.outcome for t in storage.copy(pairs)] == [Outcome.SAME]
    assert storage.read(root / "b/a.json") == b"{}"


def test_copy_never_changes_a_published_name(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a", b"one")
    put(storage, root / "b", b"two")
    with pytest.raises(ConflictError, match="/b is published with"):
        storage.copy([(root / "a", root / "b")])
    assert storage.read(root / "b") == b"two"
    [transfer] = storage.copy([(root / "a", root / "b")], if_exists=IfExists.REPLACE)
    assert transfer.outcome is Outcome.WRITTEN
    assert storage.read(root / "b") == b"one"


def test_large_copy_is_made_in_parts_or_without_them(
    storage: Storage, root: StorageLocation
) -> None:
    data = large(5)
    put(storage, root / "a", data)
    [transfer] = storage.copy([(root / "a", root / "b")])
    assert (transfer.outcome, transfer.size) == (Outcome.WRITTEN, len(data))
    assert storage.read(root / "b") == data


def test_update_creates_changes_and_leaves_alone(storage: Storage, root: StorageLocation) -> None:
    def add(line: bytes, old: bytes | None) -> bytes:
        return b"".join(sorted({*(old or b"").splitlines(True), line}))

    assert storage.update(root / "i", lambda old: add(b"b\n", old)) == b"b\n"
    assert storage.update(root / "i", lambda old: add(b"a\n", old)) == b"a\nb\n"
    before = storage.stat(root / "i")
    assert storage.update(root / "i", lambda old: add(b"a\n", old)) == b"a\nb\n"
    assert storage.stat(root / "i") == before
    assert storage.read(root / "i") == b"a\nb\n"


def test_server_is_known_to_honour_conditions_once_it_has_refused_a_write(
    storage: Storage, root: StorageLocation, backend: str
) -> None:
    seen: list[bytes | None] = []

    def change(old: bytes | None) -> bytes:
        if not seen and backend != "local":  # where the file is locked meanwhile
            S3Storage(_SMALL).upload([Upload(b"faster", root / "i")])
        seen.append(old)
        return b"ours"

    assert storage.update(root / "i", change) == b"ours"
    assert storage.honours_conditions is CAPABILITIES[backend].conditional_writes


def test_updates_from_several_threads_lose_nothing(storage: Storage, root: StorageLocation) -> None:
    def add(name: int) -> None:
        for number in range(5):
            line = f"{name}-{number}\n".encode()
            storage.update(
                root / "i",
                lambda old, line=line: (old or b"") + line,  # type: ignore[misc]
            )

    threads = [threading.Thread(target=add, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = storage.read(root / "i").decode().split()
    assert sorted(lines) == sorted(f"{a}-{b}" for a in range(3) for b in range(5))


def test_failing_change_leaves_the_file(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "i", b"old")

    def change(_: bytes | None) -> bytes:
        raise IntegrityError("the index is broken")

    with pytest.raises(IntegrityError, match="broken"):
        storage.update(root / "i", change)
    assert storage.read(root / "i") == b"old"


def test_delete_removes_and_is_repeatable(storage: Storage, root: StorageLocation) -> None:
    put(storage, root / "a", b"x")
    storage.delete(root / "a")
    storage.delete(root / "a")
    assert not storage.exists(root / "a")


def test_two_writers_of_one_name_never_both_succeed(
    storage: Storage, root: StorageLocation
) -> None:
    """Threads of one process: no server's help is needed to tell them apart."""
    outcomes: dict[bytes, object] = {}
    start = threading.Barrier(2)

    def write(data: bytes) -> None:
        start.wait()
        try:
            outcomes[data] = storage.upload([Upload(data, root / "f")])[0].outcome
        except ConflictError as error:
            outcomes[data] = error

    threads = [threading.Thread(target=write, args=(data,)) for data in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [data for data, outcome in outcomes.items() if outcome is Outcome.WRITTEN]
    assert storage.read(root / "f") == winner
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes.values()) == 1


def test_directory_is_uploaded_with_its_structure(
    storage: Storage, root: StorageLocation, source: Path
) -> None:
    (source / "sub").mkdir()
    (source / "sub" / "b+c.log").write_text("log")
    (source / "a b.json").write_text("{}")
    uploads = [Upload(f.path, root / f.name) for f in files_to_upload(source)]
    storage.upload(uploads)
    assert [info.location.relative_to(root) for info in storage.list(root)] == [
        "a b.json",
        "sub/b+c.log",
    ]


def test_objects_move_to_another_backend_and_back(
    storage: Storage, root: StorageLocation, tmp_path: Path
) -> None:
    other = LocalStorage(tmp_path / "other")
    data = large(6)
    put(storage, root / "a", data)
    [there] = copy_between(storage, other, [(root / "a", root / "b")])
    [back] = copy_between(other, storage, [(root / "b", root / "c")])
    assert (there.sha256, back.sha256) == (sha256(data), sha256(data))
    assert storage.read(root / "c") == data


def test_writing_to_a_missing_bucket_says_which(
    storage: Storage, backend: str, root: StorageLocation
) -> None:
    place = StorageLocation("therock-no-such-bucket", root.key) / "a"
    if not CAPABILITIES[backend].reports_missing_bucket:
        put(storage, place, b"x")  # a directory is made when it is needed
        assert storage.read(place) == b"x"
        return
    with pytest.raises(StorageError, match="no bucket therock-no-such-bucket; check --bucket"):
        put(storage, place, b"x")


def test_errors_are_one_line(storage: Storage, root: StorageLocation) -> None:
    with pytest.raises(OutputsError) as caught:
        storage.read(root / "none")
    assert "\n" not in str(caught.value)
