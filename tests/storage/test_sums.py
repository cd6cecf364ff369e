"""SHA256SUMS files that several jobs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage.sums import merge_sums, parse_sums, read_sums

PLACE = StorageLocation("therock-ci-artifacts", "7-linux/tarballs/SHA256SUMS")
ONE, TWO = "1" * 64, "2" * 64


def test_lines_are_merged_by_name() -> None:
    merged = merge_sums(f"{TWO}  b\n".encode(), f"{ONE}  a\n{TWO}  b\n".encode(), PLACE)
    assert merged == f"{ONE}  a\n{TWO}  b\n".encode()
    assert merge_sums(None, merged, PLACE) == merged
    assert merge_sums(merged, b"", PLACE) == merged


def test_order_of_the_writers_does_not_show() -> None:
    lines = [f"{ONE}  a\n".encode(), f"{TWO}  b\n".encode()]
    assert merge_sums(lines[0], lines[1], PLACE) == merge_sums(lines[1], lines[0], PLACE)


def test_other_digest_of_a_published_name_is_a_conflict() -> None:
    with pytest.raises(ConflictError, match=r"a is published with other content"):
        merge_sums(f"{ONE}  a\n".encode(), f"{TWO}  a\n".encode(), PLACE)


@pytest.mark.parametrize(
    "text", ["x", f"{ONE} a", f"{ONE}  a/b", f"{ONE[1:]}  a", f"{ONE}  ", f"{ONE}  a\x7f", "\n"]
)
def test_line_of_another_form_is_refused_by_name(text: str) -> None:
    with pytest.raises(IntegrityError, match="here: "):
        parse_sums(text.encode(), "here")


def test_sums_of_a_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run build-tarballs first"):
        read_sums(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{ONE}  a\n")
    assert read_sums(tmp_path) == {"a": ONE}
