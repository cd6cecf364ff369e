from __future__ import annotations

import io

import pytest

from tests import archive_makers as make
from therock_outputs.artifacts.tarstream import RawMember, TarStream, TypeFlag, padding
from therock_outputs.errors import IntegrityError


class _Plain:
    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._stream.readinto(buffer)


def _members(data: bytes) -> list[tuple[RawMember, bytes]]:
    stream = TarStream(_Plain(data), "a.tar")
    found = []
    for member in stream:
        content = bytearray(min(member.size, 1 << 20))
        stream.readinto(memoryview(content))
        found.append((member, bytes(content)))
    stream.drain()
    return found


def _only(data: bytes) -> RawMember:
    ((member, _),) = _members(data + make.END)
    return member


def test_padding_fills_the_last_block() -> None:
    assert [padding(size) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]


def test_each_kind_of_member_is_decoded() -> None:
    data = (
        make.file("a", b"content", mode=0o6755)
        + make.directory("d")
        + make.symlink("l", "a")
        + make.hardlink("h", "a")
        + make.END
    )
    assert _members(data) == [
        (RawMember("a", TypeFlag.FILE, 0o755, 7, ""), b"content"),
        (RawMember("d", TypeFlag.DIRECTORY, 0o755, 0, ""), b""),
        (RawMember("l", TypeFlag.SYMLINK, 0o777, 0, "a"), b""),
        (RawMember("h", TypeFlag.HARDLINK, 0o644, 0, "a"), b""),
    ]


def test_data_that_nobody_reads_is_passed_over() -> None:
    stream = TarStream(_Plain(make.file("a", b"x" * 600_000) + make.file("b") + make.END), "a")
    assert [member.name for member in stream] == ["a", "b"]


def test_data_is_read_in_parts_and_no_further_than_its_member() -> None:
    stream = TarStream(_Plain(make.file("a", b"12345") + make.file("b", b"6") + make.END), "a")
    members = iter(stream)
    next(members)
    buffer = memoryview(bytearray(4))
    assert [stream.readinto(buffer) for _ in range(3)] == [4, 1, 0]


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_all_codes_for_files_are_files(kind: bytes) -> None:
    assert _only(make.header("a", kind=kind)).kind is TypeFlag.FILE


def test_a_file_with_a_slash_at_its_end_is_a_directory() -> None:
    assert _only(make.header("a/", kind=b"\0")).kind is TypeFlag.DIRECTORY


def test_posix_prefix_is_part_of_the_name_and_gnu_fields_are_not() -> None:
    assert _only(make.header("b", prefix="a")).name == "a/b"
    assert _only(make.header("b", prefix="00000000000", magic=make.GNU_MAGIC)).name == "b"


def test_name_that_fills_its_field_needs_no_end() -> None:
    assert _only(make.header("n" * 100)).name == "n" * 100


def test_long_names_of_gnu_and_pax_override_the_header() -> None:
    long = "d/" * 200 + "ö" * 300
    target = "t" * 3000
    gnu = make.gnu_long(long) + make.gnu_long(target, kind=b"K") + make.symlink("x", "y")
    pax = make.pax({"path": long, "linkpath": target, "mtime": "1.5"}) + make.symlink("x", "y")
    for data in (gnu, pax):
        member = _only(data)
        assert (member.name, member.link) == (long, target)


def test_override_is_for_one_member_only() -> None:
    data = make.pax({"path": "long"}) + make.file("a") + make.file("b") + make.END
    assert [member.name for member, _ in _members(data)] == ["long", "b"]


def test_pax_size_and_base_256_size_replace_the_octal_one() -> None:
    for data in (
        make.pax({"size": "5"}) + make.header("a", size=0) + make.padded(b"12345"),
        make.header("a", size=make.base256(5)) + make.padded(b"12345"),
    ):
        assert [content for _, content in _members(data + make.END)] == [b"12345"]


def test_size_above_8_gib_is_read_from_base_256_and_pax() -> None:
    for data in (
        make.header("a", size=make.base256(9 << 30)),
        make.pax({"size": str(9 << 30)}) + make.header("a"),
    ):
        member = next(iter(TarStream(_Plain(data), "a")))
        assert member.size == 9 << 30


def test_harmless_pax_headers_are_passed_over() -> None:
    comment = make.pax({"comment": "of a commit"}, kind=b"g")
    times = make.pax({"mtime": "1700000000.123", "SCHILY.xattr.user.x": "y"})
    assert _only(comment + times + make.file("a")).name == "a"


def test_numbers_may_be_padded_with_blanks() -> None:
    assert _only(make.header("a", mode=b"   755 \0")).mode == 0o755
    assert _only(make.header("a", mode=bytes(8))).mode == 0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (make.header("a", kind=b"3"), "a character device"),
        (make.header("a", kind=b"4"), "a block device"),
        (make.header("a", kind=b"6"), "a named pipe"),
        (make.header("a", kind=b"S"), "a sparse file"),
        (make.header("a", kind=b"M"), "another volume"),
        (make.header("a", kind=b"V"), "a volume label"),
        (make.header("a", kind=b"D"), "a dump directory"),
        (make.header("a", kind=b"?"), "unknown type b'?'"),
        (make.pax({"GNU.sparse.major": "1"}) + make.header("a"), "a sparse file"),
        (make.header("a", kind=b"5", size=1) + bytes(512), "a directory that carries 1 bytes"),
        (make.header("a", kind=b"1", size=1, link="b") + bytes(512), "a hardlink that carries"),
        (make.header("a", kind=b"2", size=1, link="b") + bytes(512), "a symlink that carries"),
        (make.header("a", checksum=b"000000\0 "), "checksum is wrong"),
        (make.header("a", checksum=b"zzzzzz\0 "), "checksum is not a number"),
        (make.header("a", size=b"12_34"), "size is not a number"),
        (make.header("a", size=b"-1"), "size is not a number"),
        (make.header("a", size=b"0o17"), "size is not a number"),
        (make.header("a", mode=b"89"), "mode is not a number"),
        (make.header("a", size=b"\xff" * 12), "size is out of range"),
        (make.header("a", size=make.base256(1 << 63)), "size is out of range"),
        (make.header(b"\xff"), "not UTF-8"),
        (make.header("l", kind=b"2", link=b"\xc3"), "not UTF-8"),
        (make.header("a", prefix=b"\xfe"), "not UTF-8"),
        (make.pax(make.pax_record("path", b"\xff")) + make.file("a"), "not UTF-8"),
        (make.pax(b"no records") + make.file("a"), "not made of records"),
        (make.pax(b"5 a=b") + make.file("a"), "not made of records"),
        (make.pax(b"99 a=b\n") + make.file("a"), "not made of records"),
        (make.pax(b"0 a=b\n") + make.file("a"), "not made of records"),
        (make.pax(b"2 a=b\n") + make.file("a"), "not made of records"),
        (make.pax(b"-6 a=b\n") + make.file("a"), "not made of records"),
        (make.pax(b"6 abc\n") + make.file("a"), "not made of records"),
        (make.pax(b"7" * 30 + b" a=b\n") + make.file("a"), "not made of records"),
        (make.pax({"size": "1e3"}) + make.file("a"), "size that is not a number"),
        (make.pax({"size": "-1"}) + make.file("a"), "size that is not a number"),
        (make.pax({"size": "٣"}) + make.file("a"), "size that is not a number"),
        (make.pax({"size": "9" * 5000}) + make.file("a"), "size that is out of range"),
        (make.pax({"size": str(1 << 63)}) + make.file("a"), "size that is out of range"),
        (make.pax({"path": "b"}, kind=b"g") + make.file("a"), "sets the path of members"),
        (make.pax({"path": "b"}), "between a long name and its member"),
        (make.header("x", kind=b"x", size=2 << 20), "extended header of 2097152 bytes"),
        (make.header("x", kind=b"L", size=make.base256(1 << 40)), "extended header of"),
    ],
)
def test_what_is_no_well_formed_member_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem) as failure:
        _members(data + make.END)
    assert str(failure.value).startswith("a.tar: ")
    assert len(str(failure.value)) < 1000


def test_a_message_quotes_only_a_part_of_a_huge_name() -> None:
    data = make.pax(make.pax_record("path", b"\xff" * 900_000)) + make.file("a") + make.END
    with pytest.raises(IntegrityError) as failure:
        _members(data)
    assert len(str(failure.value)) < 1000


def test_a_stream_that_ends_anywhere_before_its_end_is_cut_short() -> None:
    whole = make.pax({"path": "p"}) + make.file("a", b"x" * 700) + make.file("b")
    for length in range(0, len(whole) + 1, 64):
        with pytest.raises(IntegrityError, match="cut short"):
            _members(whole[:length])


def test_one_block_of_zeros_is_an_end() -> None:
    assert [member.name for member, _ in _members(make.file("a") + bytes(512))] == ["a"]


def test_what_follows_the_end_must_be_zeros() -> None:
    whole = make.file("a") + make.END
    assert len(_members(whole + bytes(1 << 20))) == 1
    for garbage in (b"x", bytes(9 << 10) + b"x", make.file("b") + make.END):
        with pytest.raises(IntegrityError, match="follows the end"):
            _members(whole + garbage)


def test_a_file_that_lies_about_its_size_swallows_or_reveals_no_member() -> None:
    hidden = make.file("evil", b"")
    short = make.header("a", size=1) + hidden + make.END
    assert [member.name for member, _ in _members(short)] == ["a"]
    with pytest.raises(IntegrityError):
        _members(make.header("a", size=0) + make.padded(b"data") + make.END)
