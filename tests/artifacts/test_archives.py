from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from tests import archive_makers as make
from therock_outputs.artifacts.archives import (
    ArchiveReader,
    Kind,
    Member,
    open_archive,
    parse_stages,
)
from therock_outputs.artifacts.names import Compression
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError

S = make.STAGE


def _read(content: bytes) -> list[Member]:
    stream = io.BytesIO(make.zst(content))
    with ArchiveReader(stream, Compression.ZST, "blas.tar.zst") as reader:
        return list(reader)


def _refused(content: bytes, problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem) as failure:
        _read(content)
    assert "blas.tar.zst" in str(failure.value)


def test_members_are_split_into_stage_and_path() -> None:
    content = make.tar(
        make.directory(f"{S}/lib/"),
        make.file(f"./{S}/lib/a.so.1", b"elf", mode=0o4755),
        make.symlink(f"{S}/lib/a.so", "a.so.1"),
        make.hardlink(f"{S}/lib/b.so", f"./{S}/lib/a.so.1"),
        make.directory(S),
    )
    assert _read(content) == [
        Member(S, "lib", Kind.DIRECTORY, 0o755),
        Member(S, "lib/a.so.1", Kind.FILE, 0o755, 3),
        Member(S, "lib/a.so", Kind.SYMLINK, 0o777, link="a.so.1"),
        Member(S, "lib/b.so", Kind.HARDLINK, 0o644, link=f"{S}/lib/a.so.1"),
        Member(S, "", Kind.DIRECTORY, 0o755),
    ]


def test_name_is_the_stage_and_the_path() -> None:
    assert Member("s", "a/b", Kind.FILE, 0o644).name == "s/a/b"
    assert Member("s", "", Kind.DIRECTORY, 0o755).name == "s"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/etc/passwd", "absolute path"),
        (f"/{S}/x", "absolute path"),
        (f".//{S}/x", "absolute path"),
        ("../x", "climbs out"),
        (f"{S}/../x", "climbs out"),
        (f"{S}/a/../../../../../../x", "climbs out"),
        (f"{S}/./x", "empty or '.' part"),
        (f"././{S}/x", "empty or '.' part"),
        (f"{S}//x", "empty or '.' part"),
        ("./", "empty or '.' part"),
        (f"{S}\\x", "backslash"),
        (f"{S}/..\\..\\x", "backslash"),
        ("C:/x", "drive letter"),
        (f"{S}/C:/x", "drive letter"),
        (f"{S}/c:x", "drive letter"),
        (f"{S}/a\nb", "control character"),
        (f"{S}/a\x1b[31m", "control character"),
        (f"{S}/a\x7f", "control character"),
        (f"{S}/a\x85b", "control character"),
        ("elsewhere/x", "none of the stages"),
        ("math-libs/BLAS", "none of the stages"),
        (f"{S}2/x", "none of the stages"),
        (f"{S.upper()}/x", "none of the stages"),
        ("artifact_manifest.txt", "none of the stages"),
        (S, "is a file, not a directory"),
    ],
)
def test_paths_that_leave_their_place_are_refused(name: str, problem: str) -> None:
    _refused(make.tar(make.file(name)), problem)


def test_null_bytes_in_a_pax_name_are_refused() -> None:
    _refused(make.tar(make.pax({"path": f"{S}/a\0b"}), make.file("a")), "control character")
    _refused(make.tar(make.pax({"path": ""}), make.file(f"{S}/a")), "empty")


def test_paths_longer_than_a_file_system_takes_are_refused() -> None:
    for name, problem in ((f"{S}/{'n' * 256}", "255 bytes"), (f"{S}{'/d' * 2200}", "4000 bytes")):
        _refused(make.tar(make.gnu_long(name), make.file("x")), problem)


def test_long_and_foreign_names_are_read() -> None:
    names = [f"{S}/{'d' * 120}/{'ü' * 127}/{'f' * 255}", f"{S}/日本語/Ω", f"{S}/a b'c\"$"]
    members = [make.pax({"path": name}) + make.file("x") for name in names]
    assert [member.name for member in _read(make.tar(*members))] == names


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("/etc/passwd", "leads out of its root"),
        ("..", "leads out of its root"),
        ("../../x", "leads out of its root"),
        ("a/../../..", "leads out of its root"),
        ("", "unusable target"),
        ("..\\..\\x", "unusable target"),
        ("C:/x", "unusable target"),
        ("a\nb", "unusable target"),
    ],
)
def test_links_that_leave_their_stage_are_refused(target: str, problem: str) -> None:
    _refused(make.tar(make.symlink(f"{S}/l", target)), problem)


def test_a_link_may_lead_to_anything_in_its_stage_or_to_nothing() -> None:
    targets = ["a.so.1", "../lib", "..", "../gone/../x", "./.", "l"]
    content = make.tar(*(make.symlink(f"{S}/d/l{n}", t) for n, t in enumerate(targets)))
    assert [member.link for member in _read(content)] == targets


def test_links_that_together_lead_out_are_refused() -> None:
    up = make.symlink(f"{S}/a/b/c/up", "../../..")
    through = make.symlink(f"{S}/x", "a/b/c/up/..")
    for order in ((up, through), (through, up)):
        _refused(make.tar(*order), "leads out of its root through other links")


def test_a_link_into_another_stage_is_refused() -> None:
    _refused(make.tar(make.symlink("s/l", "../t/x"), stages=("s", "t")), "leads out")


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../../etc/passwd",
        f"{S}/later",
        f"{S}/missing",
        f"{S}/link",
        f"{S}/directory",
        f"{S}/hard",
        f"{S}//first",
        "first",
        "artifact_manifest.txt",
    ],
)
def test_hard_links_to_anything_but_an_earlier_file_are_refused(target: str) -> None:
    content = make.tar(
        make.file(f"{S}/first"),
        make.symlink(f"{S}/link", "first"),
        make.directory(f"{S}/directory"),
        make.hardlink(f"{S}/hard", target),
        make.file(f"{S}/later"),
    )
    _refused(content, "not an earlier file")


def test_hard_links_may_cross_stages_and_follow_one_another() -> None:
    content = make.tar(
        make.file("one/stage/a", b"x"),
        make.hardlink("two/stage/b", "one/stage/a"),
        make.hardlink("two/stage/c", "two/stage/b"),
        stages=("one/stage", "two/stage"),
    )
    assert [(m.stage, m.link) for m in _read(content)] == [
        ("one/stage", ""),
        ("two/stage", "one/stage/a"),
        ("two/stage", "two/stage/b"),
    ]


@pytest.mark.parametrize(
    "members",
    [
        [make.file(f"{S}/a"), make.file(f"{S}/a")],
        [make.file(f"{S}/a"), make.symlink(f"{S}/a", "b")],
        [make.symlink(f"{S}/a", "b"), make.file(f"{S}/a")],
        [make.file(f"{S}/a"), make.directory(f"{S}/a")],
        [make.directory(f"{S}/a"), make.file(f"{S}/a")],
        [make.directory(f"{S}/a"), make.symlink(f"{S}/a", "b")],
        [make.file(f"{S}/a/b"), make.symlink(f"{S}/a", "b")],
        [make.file(f"{S}/a"), make.hardlink(f"{S}/a", f"{S}/a")],
        [make.file(f"{S}/a"), make.file(f"./{S}/a")],
    ],
)
def test_one_path_twice_is_refused(members: list[bytes]) -> None:
    _refused(make.tar(*members), "is there twice")


def test_a_directory_may_be_listed_again_and_after_its_content() -> None:
    content = make.tar(
        make.file(f"{S}/a/b"), make.directory(f"{S}/a"), make.directory(f"{S}/a", mode=0o700)
    )
    assert len(_read(content)) == 3


@pytest.mark.parametrize("first", [make.file(f"{S}/a"), make.symlink(f"{S}/a", "b")])
def test_members_below_a_file_or_a_link_are_refused(first: bytes) -> None:
    for below in (make.file(f"{S}/a/b"), make.directory(f"{S}/a/b/c")):
        _refused(make.tar(first, below), "which is no folder")


def test_the_manifest_comes_first_and_is_a_file() -> None:
    _refused(make.file(f"{S}/a") + make.END, "first member is .*, not artifact_manifest.txt")
    _refused(make.directory("artifact_manifest.txt") + make.END, "not artifact_manifest.txt")
    _refused(make.symlink("artifact_manifest.txt", "x") + make.END, "not artifact_manifest.txt")
    _refused(make.END, "is empty")
    _refused(make.file(f"{S}/a") + make.manifest(S) + make.END, "first member is")
    assert _read(make.file("./artifact_manifest.txt", S.encode()) + make.END) == []


def test_a_manifest_that_is_too_large_or_no_text_is_refused() -> None:
    huge = make.header("artifact_manifest.txt", size=(1 << 20) + 1)
    _refused(huge + make.END, "has 1048577 bytes")
    _refused(make.file("artifact_manifest.txt", b"\xff") + make.END, "not UTF-8")


def test_blank_lines_and_windows_line_ends_in_a_manifest_are_fine() -> None:
    text = b"\r\n\n  a/stage  \r\nb/stage/\r\na/stage\n\t\nc/stage"
    assert parse_stages(text, "x") == ("a/stage", "b/stage", "c/stage")
    assert parse_stages(b"", "x") == ()


def test_a_stage_may_be_empty_and_its_name_may_begin_another() -> None:
    content = make.tar(
        make.file("a/stage2/x"), make.file("a/stage/y"), stages=("a/stage", "a/stage2", "a/st")
    )
    assert [member.stage for member in _read(content)] == ["a/stage2", "a/stage"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("/abs", "absolute"),
        ("a/../b", "climbs out"),
        ("..", "climbs out"),
        (".", "empty or '.' part"),
        ("a//b", "empty or '.' part"),
        ("a\\b", "backslash"),
        ("C:/b", "drive letter"),
        ("a\0b", "control character"),
        ("a\rb", "control character"),
        ("d" * 256, "255 bytes"),
        ("a/stage\na/stage/inner", "lies inside stage 'a/stage'"),
        ("a/stage/inner\na", "lies inside stage 'a'"),
        ("artifact_manifest.txt", "the manifest's own name"),
    ],
)
def test_stages_that_leave_their_place_are_refused(lines: str, problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem):
        parse_stages(lines.encode(), "blas")


def test_data_of_members_is_read_as_they_come(tmp_path: Path) -> None:
    path = make.write(tmp_path, "blas_lib_generic.tar.xz", make.file(f"{S}/a", b"one" * 999))
    with open_archive(path) as reader:
        assert reader.stages == (S,)
        assert reader.manifest == f"{S}\n".encode()
        for member in reader:
            data = bytearray(member.size)
            assert reader.readinto(memoryview(data)) == member.size
            assert data == b"one" * 999


def test_thousands_of_members_are_read() -> None:
    content = make.tar(*(make.file(f"{S}/d{n % 50}/f{n}") for n in range(20_000)))
    assert len(_read(content)) == 20_000


def test_an_archive_that_is_no_file_is_a_clean_error(tmp_path: Path) -> None:
    (tmp_path / "a_lib_generic.tar.zst").mkdir()
    with pytest.raises(OutputsError, match=r"a_lib_generic\.tar\.zst: cannot be read"):
        open_archive(tmp_path / "a_lib_generic.tar.zst")
    with pytest.raises(NotFoundError, match="no such archive"):
        open_archive(tmp_path / "b_lib_generic.tar.zst")
    with pytest.raises(IntegrityError, match="not the name of an artifact archive"):
        open_archive(tmp_path / "notes.txt")


@pytest.mark.parametrize("pack", [make.zst, make.xz])
def test_damage_anywhere_is_an_error_or_changes_nothing(pack: object) -> None:
    """The digests of archives find all damage; this is about those that have none."""
    compression = Compression.ZST if pack is make.zst else Compression.XZ
    content = make.tar(
        make.file(f"{S}/a", random.Random(3).randbytes(5000)),
        make.pax({"path": f"{S}/long"}) + make.file("x", b"text " * 200),
        make.symlink(f"{S}/l", "a"),
    )
    whole = make.zst(content) if pack is make.zst else make.xz(content)
    right = _contents(whole, compression)
    seeded = random.Random(11)
    damaged = [whole[:length] for length in range(0, len(whole), 61)]
    damaged += [whole[:-cut] for cut in range(1, 40)]
    for _ in range(400):
        at = seeded.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << seeded.randrange(8)]) + whole[at + 1 :])
    errors = 0
    for data in damaged:
        try:
            assert _contents(data, compression) == right
        except IntegrityError:
            errors += 1
    assert errors > 0.9 * len(damaged)


def test_flipped_bits_of_the_tar_file_itself_are_clean_errors_or_legal_archives() -> None:
    content = make.tar(
        make.file(f"{S}/a", b"x" * 100), make.gnu_long(f"{S}/b"), make.hardlink("x", f"{S}/a")
    )
    seeded = random.Random(13)
    refused = 0
    for _ in range(1500):
        at = seeded.randrange(len(content))
        flipped = bytes([content[at] ^ 1 << seeded.randrange(8)])
        try:
            _read(content[:at] + flipped + content[at + 1 :])
        except IntegrityError:
            refused += 1
    assert refused > 700


def _contents(data: bytes, compression: Compression) -> list[tuple[Member, bytes]]:
    found = []
    with ArchiveReader(io.BytesIO(data), compression, "a") as reader:
        for member in reader:
            content = bytearray(member.size)
            reader.readinto(memoryview(content))
            found.append((member, bytes(content)))
    return found
