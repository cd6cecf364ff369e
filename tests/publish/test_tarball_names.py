"""Names of tarballs, read and given another version."""

from __future__ import annotations

import pytest

from therock_outputs.errors import IntegrityError
from therock_outputs.publish.tarball_names import parse_tarball_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("therock-dist-linux-gfx94X-dcgpu-7.13.0.tar.gz", ("linux", "gfx94X-dcgpu", False)),
        ("therock-dist-windows-gfx110X-all-tests-7.13.0.tar.zst", ("windows", "gfx110X-all", True)),
        ("therock-dist-linux-multiarch-7.13.0.tar.gz", ("linux", "multiarch", False)),
    ],
)
def test_parts_are_read(name: str, parts: tuple[str, str, bool]) -> None:
    parsed = parse_tarball_name(name)
    assert parsed is not None
    assert (parsed.platform, parsed.family, parsed.with_tests) == parts
    assert parsed.version == "7.13.0"


def test_only_the_version_is_changed() -> None:
    parsed = parse_tarball_name("therock-dist-linux-gfx942-tests-7.13.0rc2.tar.zst")
    assert parsed is not None
    assert parsed.with_version("7.13.0") == "therock-dist-linux-gfx942-tests-7.13.0.tar.zst"


@pytest.mark.parametrize("name", ["SHA256SUMS", "index.html", "other-linux-a-1.tar.gz", "x.tar.gz"])
def test_other_files_are_no_tarballs(name: str) -> None:
    assert parse_tarball_name(name) is None


def test_version_without_an_order_is_refused() -> None:
    with pytest.raises(IntegrityError, match="'mine', which is none of Python's"):
        parse_tarball_name("therock-dist-linux-gfx942-mine.tar.gz")
