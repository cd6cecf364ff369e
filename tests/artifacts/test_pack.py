from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from therock_outputs.artifacts.archives import Kind, Member, open_archive
from therock_outputs.artifacts.entries import Entry, scan_artifact_directory
from therock_outputs.artifacts.names import parse_sha256sum
from therock_outputs.artifacts.pack import (
    PackedArchive,
    PackSettings,
    pack_directory,
    write_archive,
)
from therock_outputs.errors import (
    IntegrityError,
    NotFoundError,
    OutputsError,
    StorageError,
    UsageError,
)

SETTINGS = PackSettings(mtime=1_000_000)
STAGE = "math-libs/BLAS/rocBLAS/stage"
NAME = "blas_lib_generic.tar.zst"


def tar_of(path: Path) -> tarfile.TarFile:
    with path.open("rb") as stream:
        data = zstandard.ZstdDecompressor().stream_reader(stream).read()
    return tarfile.open(fileobj=io.BytesIO(data))


def members_of(path: Path) -> dict[str, tuple[Member, bytes]]:
    found = {}
    with open_archive(path) as reader:
        for member in reader:
            data = bytearray(member.size)
            assert reader.readinto(memoryview(data)) == member.size
            found[member.name] = (member, bytes(data))
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An artifact's directory with one of everything."""
    directory = tmp_path / "artifacts" / "blas_lib_generic"
    lib = directory / STAGE / "lib"
    lib.mkdir(parents=True)
    (directory / "artifact_manifest.txt").write_text(f"{STAGE}\nempty/stage\n\n")
    (lib / "librocblas.so.4.1").write_bytes(b"\x7fELF" + bytes(5000))
    (lib / "librocblas.so.4.1").chmod(0o755)
    (lib / "librocblas.so").symlink_to("librocblas.so.4.1")
    (lib / "zz").hardlink_to(lib / "librocblas.so.4.1")
    (lib / "empty").touch()
    (lib / "private").write_text("secret")
    (lib / "private").chmod(0o400)
    (lib / "hollow").mkdir(mode=0o755)
    return directory


def pack(directory: Path, out: Path, settings: PackSettings = SETTINGS) -> PackedArchive:
    return pack_directory(directory, out / NAME, settings)


def test_directory_is_packed_with_its_manifest_first_and_read_back(
    tree: Path, tmp_path: Path
) -> None:
    packed = pack(tree, tmp_path / "out")
    names = tar_of(packed.path).getnames()
    assert names[0] == "artifact_manifest.txt"
    lib = f"{STAGE}/lib"
    found = members_of(packed.path)
    assert {name: (m.kind, m.mode, m.link) for name, (m, _) in found.items()} == {
        lib: (Kind.DIRECTORY, 0o755, ""),
        f"{lib}/empty": (Kind.FILE, 0o644, ""),
        f"{lib}/hollow": (Kind.DIRECTORY, 0o755, ""),
        f"{lib}/librocblas.so": (Kind.SYMLINK, 0o777, "librocblas.so.4.1"),
        f"{lib}/librocblas.so.4.1": (Kind.FILE, 0o755, ""),
        f"{lib}/private": (Kind.FILE, 0o400, ""),
        f"{lib}/zz": (Kind.HARDLINK, 0o755, f"{lib}/librocblas.so.4.1"),
    }
    assert found[f"{lib}/private"][1] == b"secret"
    with open_archive(packed.path) as reader:
        assert reader.stages == (STAGE, "empty/stage")


def test_archive_carries_no_trace_of_the_machine(tree: Path, tmp_path: Path) -> None:
    for info in tar_of(pack(tree, tmp_path).path):
        assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", "")
        assert info.mtime == SETTINGS.mtime


def test_digest_file_is_written_beside_the_archive(tree: Path, tmp_path: Path) -> None:
    packed = pack(tree, tmp_path / "out")
    data = packed.path.read_bytes()
    assert packed.sha256 == hashlib.sha256(data).hexdigest()
    assert packed.size == len(data)
    sums = (tmp_path / "out" / f"{NAME}.sha256sum").read_text()
    assert sums == f"{packed.sha256}  {NAME}\n"
    assert parse_sha256sum(sums, NAME) == packed.sha256
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [NAME, f"{NAME}.sha256sum"]


def test_bytes_do_not_depend_on_where_when_or_in_which_order(tree: Path, tmp_path: Path) -> None:
    first = pack(tree, tmp_path / "out")
    copy = tmp_path / "elsewhere" / tree.name
    for path in sorted(tree.rglob("*"), reverse=True):
        target = copy / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.name == "librocblas.so.4.1":
            target.hardlink_to(target.with_name("zz"))
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(path.stat().st_mode)
        if not path.is_symlink():
            os.utime(target, (5, 5))
    assert pack(copy, tmp_path / "out2").sha256 == first.sha256


def big_entries() -> list[Entry]:
    # Larger than one worker's share, so that threads really do divide it.
    words = random.Random(7).choices([bytes([n]) * 9 + b"word" for n in range(200)], k=1_200_000)
    return [Entry.file("s/stage/big", b"".join(words))]


def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    entries = big_entries()
    digests = {
        write_archive(
            tmp_path / f"{threads}" / NAME, ["s/stage"], entries, PackSettings(0, threads=threads)
        ).sha256
        for threads in (0, 1, 2, 3, 8)
    }
    assert len(digests) == 1


def test_level_decides_the_size(tmp_path: Path) -> None:
    words = random.Random(1).choices([b"alpha", b"beta", b"gamma", b"delta"], k=50_000)
    entries = [Entry.file("s/stage/words", b" ".join(words))]
    fast, small = (
        write_archive(tmp_path / str(level) / NAME, ["s/stage"], entries, PackSettings(0, level))
        for level in (1, 19)
    )
    assert small.size < fast.size
    assert members_of(small.path) == members_of(fast.path)


@pytest.mark.parametrize("level", [0, -1, 23])
def test_level_that_zstd_does_not_have_is_refused(level: int) -> None:
    with pytest.raises(UsageError, match=f"compression level {level} is not from 1 to 22"):
        PackSettings(0, level)


@pytest.mark.parametrize("filename", ["blas.tar.zst", "blas_lib_generic.tar.xz", "x"])
def test_archive_of_another_name_is_refused(tmp_path: Path, filename: str) -> None:
    with pytest.raises(UsageError, match="not of the form"):
        write_archive(tmp_path / filename, [], [], SETTINGS)


@pytest.mark.parametrize(
    "name",
    [
        "n" * 255,
        "/".join(["d" * 200] * 6),
        "größe/ファイル/\N{GRINNING FACE}",
        "-rf *;$(x)",
        "trailing. ",
    ],
)
def test_unusual_names_are_kept(tmp_path: Path, name: str) -> None:
    path = f"s/stage/{name}"
    entries = [Entry.file(path, b"x"), Entry.symlink("s/stage/link", name)]
    entries.append(Entry.hardlink("s/stage/hard", path))
    packed = write_archive(tmp_path / NAME, ["s/stage"], entries, SETTINGS)
    found = members_of(packed.path)
    assert found[path][1] == b"x"
    assert found["s/stage/link"][0].link == name
    assert found["s/stage/hard"][0].link == path


def test_entries_in_memory_and_on_disk_make_the_same_archive(tmp_path: Path, tree: Path) -> None:
    lib = f"{STAGE}/lib"
    entries = [
        Entry.hardlink(f"{lib}/zz", f"{lib}/librocblas.so.4.1"),
        Entry.file(f"{lib}/librocblas.so.4.1", b"\x7fELF" + bytes(5000), executable=True),
        Entry.directory(f"{lib}/hollow"),
        Entry.symlink(f"{lib}/librocblas.so", "librocblas.so.4.1"),
        Entry(f"{lib}/private", Kind.FILE, 0o400, tree / lib / "private"),
        Entry.file(f"{lib}/empty", b""),
        Entry.directory(lib),
    ]
    (tree / "artifact_manifest.txt").write_text(f"{STAGE}\nempty/stage\n")
    in_memory = write_archive(tmp_path / "a" / NAME, [STAGE, "empty/stage"], entries, SETTINGS)
    assert in_memory.sha256 == pack(tree, tmp_path / "b").sha256


def test_archive_without_any_files_is_written(tmp_path: Path) -> None:
    packed = write_archive(tmp_path / NAME, ["a/stage", "b/stage"], [], SETTINGS)
    with open_archive(packed.path) as reader:
        assert reader.stages == ("a/stage", "b/stage")
        assert list(reader) == []


def test_hard_link_across_stages_is_kept(tmp_path: Path) -> None:
    directory = tmp_path / "blas_lib_generic"
    for stage in ("a/stage", "b/stage"):
        (directory / stage).mkdir(parents=True)
    (directory / "a/stage/one").write_text("x")
    (directory / "b/stage/two").hardlink_to(directory / "a/stage/one")
    (directory / "artifact_manifest.txt").write_text("b/stage\r\na/stage\r\n")
    found = members_of(pack(directory, tmp_path).path)
    assert found["b/stage/two"][0].link == "a/stage/one"


def test_hard_link_to_a_file_outside_of_the_directory_is_a_file(tmp_path: Path, tree: Path) -> None:
    outside = tmp_path / "build-tree-copy"
    outside.write_text("shared")
    (tree / STAGE / "lib" / "linked").hardlink_to(outside)
    member, data = members_of(pack(tree, tmp_path).path)[f"{STAGE}/lib/linked"]
    assert (member.kind, data) == (Kind.FILE, b"shared")


def test_special_permission_bits_are_left_out(tmp_path: Path, tree: Path) -> None:
    tool = tree / STAGE / "tool"
    tool.write_text("#!")
    tool.chmod(0o4755)
    assert members_of(pack(tree, tmp_path).path)[f"{STAGE}/tool"][0].mode == 0o755


def test_file_of_more_than_four_gigabytes_streams(tmp_path: Path, tree: Path) -> None:
    size = (4 << 30) + 12345
    with (tree / STAGE / "huge").open("wb") as stream:
        for at in range(0, size, 16 << 20):  # holes elsewhere: read as zeros, on no disk
            stream.seek(at)
            stream.write(random.Random(at).randbytes(32 << 10))
        stream.truncate(size)
    packed = pack(tree, tmp_path, PackSettings(0, level=1, threads=2))
    with open_archive(packed.path) as reader:
        assert {member.path: member.size for member in reader}["huge"] == size


def test_nothing_but_empty_directories_may_lie_beside_the_stages(
    tmp_path: Path, tree: Path
) -> None:
    (tree / "math-libs" / "leftover" / "deeper").mkdir(parents=True)
    pack(tree, tmp_path)
    (tree / "math-libs" / "leftover" / "deeper" / "file").touch()
    with pytest.raises(IntegrityError, match="'math-libs/leftover/deeper/file' lies in none of"):
        pack(tree, tmp_path)


def test_stage_that_is_a_link_is_refused(tmp_path: Path, tree: Path) -> None:
    (tree / "empty").mkdir()
    (tree / "empty" / "stage").symlink_to("/usr")
    with pytest.raises(IntegrityError, match="'empty/stage' lies in none of the stages"):
        pack(tree, tmp_path)


def test_pipe_is_refused(tmp_path: Path, tree: Path) -> None:
    os.mkfifo(tree / STAGE / "pipe")
    with pytest.raises(IntegrityError, match="pipe' is neither a file nor a directory nor a link"):
        pack(tree, tmp_path)


def test_name_that_is_not_utf8_is_refused(tmp_path: Path, tree: Path) -> None:
    (tree / STAGE / os.fsdecode(b"bad\xff")).touch()
    with pytest.raises(IntegrityError, match="not UTF-8; rename it"):
        pack(tree, tmp_path)


@pytest.mark.parametrize(
    ("target", "message"),
    [("/usr/lib/libm.so", "leads out of its root"), ("../../x", "leads out of its root")],
)
def test_link_that_readers_refuse_is_not_packed(
    tmp_path: Path, tree: Path, target: str, message: str
) -> None:
    (tree / STAGE / "lib" / "out").symlink_to(target)
    with pytest.raises(IntegrityError, match=message):
        pack(tree, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry.file("elsewhere/x", b"")], "lies in none of the stages"),
        ([Entry.file("s/stage/../x", b"")], "climbs out"),
        ([Entry.file("/etc/passwd", b"")], "absolute"),
        ([Entry.file("s/stage/x", b""), Entry.file("s/stage/x", b"")], "is there twice"),
        ([Entry.hardlink("s/stage/x", "s/stage/gone")], "is not an earlier file"),
    ],
)
def test_entries_that_readers_refuse_are_not_written(
    tmp_path: Path, entries: list[Entry], message: str
) -> None:
    with pytest.raises(IntegrityError, match=message):
        write_archive(tmp_path / NAME, ["s/stage"], entries, SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("manifest", [None, "../out\n", "/abs\n", "a\na/b\n"])
def test_directory_without_a_good_manifest_is_refused(
    tmp_path: Path, tree: Path, manifest: str | None
) -> None:
    path = tree / "artifact_manifest.txt"
    if manifest is None:
        path.unlink()
        with pytest.raises(NotFoundError, match="is blas_lib_generic an artifact"):
            pack(tree, tmp_path)
    else:
        path.write_text(manifest)
        with pytest.raises(IntegrityError, match="blas_lib_generic"):
            pack(tree, tmp_path)


@pytest.mark.parametrize("change", ["grow", "shrink", "add", "remove", "touch", "mode", "manifest"])
def test_directory_that_changes_meanwhile_is_refused(
    tmp_path: Path, tree: Path, change: str
) -> None:
    victim = tree / STAGE / "lib" / "victim"
    victim.write_bytes(bytes(3 << 20))

    def meddle() -> Iterator[None]:
        if change == "grow":
            with victim.open("ab") as stream:
                stream.write(b"more")
        elif change == "shrink":
            os.truncate(victim, 1 << 20)
        elif change == "add":
            (victim.parent / "new").touch()
        elif change == "remove":
            (victim.parent / "empty").unlink()
        elif change == "touch":
            os.utime(victim, (1, 1))
        elif change == "mode":
            victim.chmod(0o600)
        else:
            (tree / "artifact_manifest.txt").write_text(f"{STAGE}\n")
        yield

    meddling = meddle()

    def once(_label: str, _count: int) -> None:
        """Meddle when the packing has begun."""
        next(meddling, None)

    with pytest.raises(OutputsError, match=r"build has ended|cannot read"):
        pack_directory(tree, tmp_path / "out" / NAME, SETTINGS, progress=once)
    assert list((tmp_path / "out").iterdir()) == []


def test_failed_packing_leaves_the_old_archive_and_its_digest(tmp_path: Path, tree: Path) -> None:
    before = pack(tree, tmp_path / "out")
    (tree / STAGE / "bad").symlink_to("/")
    with pytest.raises(IntegrityError):
        pack(tree, tmp_path / "out")
    assert before.path.read_bytes()
    assert (tmp_path / "out" / f"{NAME}.sha256sum").read_text().startswith(before.sha256)


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"blas_lib_generic\.tar\.zst cannot be written"):
        write_archive(tmp_path / "file" / NAME, ["s/stage"], [], SETTINGS)


def test_source_file_that_is_gone_is_told(tmp_path: Path) -> None:
    entry = Entry("s/stage/x", Kind.FILE, 0o644, tmp_path / "gone")
    with pytest.raises(OutputsError, match=r"cannot read .*gone \(No such file"):
        write_archive(tmp_path / NAME, ["s/stage"], [entry], SETTINGS)


@pytest.mark.parametrize("change", ["shrink", "grow", "touch"])
def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(5 << 20))

    def meddle(_label: str, count: int) -> None:
        if count != 1 << 20:
            return  # the manifest
        if change == "shrink":
            os.truncate(source, 2 << 20)
        elif change == "grow":
            os.truncate(source, 9 << 20)
        else:
            os.utime(source, (1, 1))

    entry = Entry.file("s/stage/x", source)
    with pytest.raises(OutputsError, match="source changed while it was packed"):
        write_archive(tmp_path / NAME, ["s/stage"], [entry], SETTINGS, progress=meddle)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_source_that_is_no_file_is_not_followed(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "pipe":
        os.mkfifo(source)
    else:
        source.symlink_to("/etc/hostname")
    with pytest.raises(OutputsError, match=r"source changed|cannot read .*source"):
        write_archive(tmp_path / NAME, ["s/stage"], [Entry.file("s/stage/x", source)], SETTINGS)


def test_directory_that_cannot_be_walked_is_told(tmp_path: Path, tree: Path) -> None:
    descriptor = os.open(tree / STAGE, os.O_RDONLY)
    for _ in range(20):  # deeper than a path can say
        os.mkdir("d" * 250, dir_fd=descriptor)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    with pytest.raises(OutputsError, match=r"cannot read .*File name too long"):
        pack(tree, tmp_path)


def test_progress_counts_every_byte_of_the_files(tmp_path: Path, tree: Path) -> None:
    counts: list[int] = []
    lock = threading.Lock()

    def count(label: str, size: int) -> None:
        assert label == NAME
        with lock:
            counts.append(size)

    pack_directory(tree, tmp_path / NAME, SETTINGS, progress=count)
    manifest = (tree / "artifact_manifest.txt").stat().st_size
    assert sum(counts) == scan_artifact_directory(tree).size + manifest
