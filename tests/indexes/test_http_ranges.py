"""Which bytes a Range header asks for."""

from __future__ import annotations

import pytest

from therock_outputs.indexes.http_ranges import ByteRange, UnsatisfiableError, parse_ranges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", [(0, 10)]),
        ("bytes=5-5", [(5, 1)]),
        ("bytes=90-", [(90, 10)]),
        ("bytes=90-1000", [(90, 10)]),
        ("bytes=-10", [(90, 10)]),
        ("bytes=-1000", [(0, 100)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes=0-0, -1, 50-59", [(0, 1), (99, 1), (50, 10)]),
        ("bytes=0-0,200-", [(0, 1)]),
        # No list of byte ranges: the whole file.
        (None, []),
        ("", []),
        ("bytes=", []),
        ("bytes=-", []),
        ("bytes=a-b", []),
        ("bytes=9-0", []),
        ("items=0-9", []),
        ("bytes=0-9;5-6", []),
        ("bytes=٣-٤", []),
        # More than the file, or very many pieces.
        ("bytes=0-,0-", []),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(65)), []),
    ],
)
def test_header_means_these_bytes(header: str | None, expected: list[tuple[int, int]]) -> None:
    assert [(r.start, r.length) for r in parse_ranges(header, 100)] == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_range_beyond_the_file_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_ranges(header, size)


def test_content_range_counts_from_zero() -> None:
    assert ByteRange(5, 10).content_range(100) == "bytes 5-14/100"
