"""Metadata straight out of wheels and sdists, whole or damaged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from tests.python_files import sdist, wheel
from therock_outputs.errors import IntegrityError
from therock_outputs.indexes.distributions import (
    CoreMetadata,
    parse_distribution,
    parse_metadata,
    read_metadata,
)


def read(filename: str, data: bytes) -> CoreMetadata:
    name = parse_distribution(filename)
    return parse_metadata(read_metadata(io.BytesIO(data), name), name)


def test_wheel_says_what_it_requires() -> None:
    made = wheel("rocm-x", "1.0", ["a==1", "b; extra == 'e'"], extras=["e"], python=">=3.9")
    assert read(*made) == CoreMetadata(">=3.9", ("a==1", "b; extra == 'e'"), ("e",))


def test_sdist_says_what_it_requires() -> None:
    assert read(*sdist("rocm", "1.0", ["rocm-sdk-core==1.0"])) == CoreMetadata(
        None, ("rocm-sdk-core==1.0",), ()
    )


@pytest.mark.parametrize("make", [wheel, sdist])
def test_file_cut_short_is_named(make: Callable[[str, str], tuple[str, bytes]]) -> None:
    filename, data = make("rocm-x", "1.0")
    with pytest.raises(IntegrityError, match=r"rocm_x-1\.0.* build .*it again"):
        read(filename, data[:60])


def test_wheel_of_another_version_inside_is_refused() -> None:
    _, data = wheel("rocm-x", "1.0")
    with pytest.raises(IntegrityError, match=r"holds 'rocm-x' '1\.0' by its metadata"):
        read("rocm_x-1.1-py3-none-any.whl", data)


def test_wheel_of_another_project_inside_is_refused() -> None:
    _, data = wheel("rocm-x", "1.0")
    with pytest.raises(IntegrityError, match="holds no metadata of its name"):
        read("rocm_y-1.0-py3-none-any.whl", data)


def test_wheel_with_metadata_that_is_too_large_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rocm_x-1.0.dist-info/METADATA", bytes(17 << 20))
    with pytest.raises(IntegrityError, match="more than 16777216 bytes of metadata"):
        read("rocm_x-1.0-py3-none-any.whl", stream.getvalue())


def test_metadata_below_another_directory_is_not_the_wheels() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x/rocm_x-1.0.dist-info/METADATA", "Name: rocm-x\nVersion: 1.0\n")
    with pytest.raises(IntegrityError, match="holds no metadata"):
        read("rocm_x-1.0-py3-none-any.whl", stream.getvalue())


@pytest.mark.parametrize(
    ("filename", "systems"),
    [
        ("a-1-py3-none-any.whl", set()),
        ("a-1-py3-none-linux_x86_64.whl", {"linux"}),
        ("a-1-py3-none-manylinux_2_28_x86_64.whl", {"linux"}),
        ("a-1-py3-none-win_amd64.whl", {"win32"}),
        ("a-1.tar.gz", set()),
    ],
)
def test_systems_of_a_file(filename: str, systems: set[str]) -> None:
    assert parse_distribution(filename).systems == systems
