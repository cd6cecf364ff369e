"""Metadata is input: what is not as it should be is named, and nothing is made of it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable

import pytest

from tests.indexes.repositories.site import MTIME, SETTINGS
from tests.native_files import deb, rpm
from therock_outputs.errors import IntegrityError
from therock_outputs.indexes.repositories import ListedPackage, apt
from therock_outputs.indexes.repositories import rpm as rpms
from therock_outputs.indexes.repositories.entry import IndexFile, Pointer
from therock_outputs.indexes.repositories.unpack import unpack_index

DIGEST = "a" * 64
Change = Callable[[bytes], bytes]


def an_rpm() -> ListedPackage:
    name, data = rpm("a")
    return rpms.read_package(io.BytesIO(data), name, len(data), DIGEST)


def a_deb() -> ListedPackage:
    name, data = deb("a")
    return apt.read_package(io.BytesIO(data), f"pool/main/{name}", len(data), DIGEST)


def read_rpms(name: str, change: Change) -> list[ListedPackage]:
    """What is read when one of the three files is changed."""
    files = rpms.render_files([an_rpm()])
    pointer = rpms.parse_pointer(rpms.render_pointer(list(files), SETTINGS, MTIME), "place", None)
    contents = {file.name: gzip.decompress(data) for file, data in files.items()}
    changed = change(contents[name])
    assert changed != contents[name]
    contents[name] = changed
    return rpms.read_entries(pointer, lambda file: gzip.compress(contents[file.name]), "place")


def replacing(old: str, new: str) -> Change:
    return lambda data: data.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("primary", replacing("<metadata ", "<other "), "does not begin as primary does"),
        ("primary", replacing("<metadata ", '<!DOCTYPE x [<!ENTITY e "">]><metadata '), "begin"),
        ("primary", replacing("linux.duke.edu/metadata/common", "example.com"), "does not begin"),
        ("primary", replacing("</metadata>", "<more/></metadata>"), "something that is no pack"),
        ("primary", replacing("</metadata>", ""), "something that is no package"),
        ("primary", replacing("<package type", "<!-- x --><package type"), "something that is"),
        ("primary", replacing('type="sha256"', 'type="md5"'), "a has no SHA-256"),
        ("primary", replacing("<name>a</name>", ""), "name is missing"),
        ("primary", replacing("<name>", "<name><!DOCTYPE x>"), "it declares entities"),
        ("primary", replacing("<summary>", "<summary>&unknown;"), "undefined entity"),
        ("primary", replacing("<location ", '<location xml:base="http://x/" '), "a lies elsewhere"),
        ("primary", replacing(' ver="1.0"', ""), "'ver'"),
        ("primary", replacing(DIGEST, "b" * 64), "stands in primary and not in the other files"),
        ("filelists", replacing(DIGEST, "b" * 64), "stands in primary and not in the other"),
        ("other", replacing(DIGEST, "short"), "has a package without SHA-256"),
    ],
)
def test_rpm_metadata_that_is_none_is_named(name: str, change: Change, reason: str) -> None:
    with pytest.raises(IntegrityError, match=rf"^place: .*{reason}"):
        read_rpms(name, change)


def test_empty_rpm_metadata_of_other_tools_is_read() -> None:
    for name in ("primary", "filelists", "other"):
        tag = {"primary": "metadata", "other": "otherdata"}.get(name, name)
        space = name if name != "primary" else "common"
        empty = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag} '
            f'xmlns="http://linux.duke.edu/metadata/{space}" packages="0"/>\n'
        ).encode()
        if name == "primary":
            assert read_rpms(name, lambda _, empty=empty: empty) == []  # type: ignore[misc]
            continue
        with pytest.raises(IntegrityError, match="not in the other files"):
            read_rpms(name, lambda _, empty=empty: empty)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replacing('type="sha256"', 'type="sha1"'), "primary has no SHA-256"),
        (replacing("<location", "<elsewhere"), "location of primary is missing"),
        (replacing("<checksum", "<sum"), "is no repomd"),
        (replacing("<revision>", "<revision>x"), "is no repomd"),
        (replacing('type="other"', 'type="other_db"'), "names no other"),
        (replacing("<repomd", "<!DOCTYPE x><repomd"), "it declares entities"),
    ],
)
def test_repomd_that_is_none_is_named(change: Change, reason: str) -> None:
    files = rpms.render_files([an_rpm()])
    data = change(rpms.render_pointer(list(files), SETTINGS, MTIME))
    with pytest.raises(IntegrityError, match=rf"^place .*{reason}"):
        rpms.parse_pointer(data, "place", None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replacing("Size: ", "Size: -"), "a has a Size or SHA256 that is none"),
        (replacing(f"SHA256: {DIGEST}", "SHA256: short"), "a has a Size or SHA256 that is none"),
        (replacing("Filename: ", "Filename:\nX: "), "a has no Filename"),
        (replacing("Package: a", "Packet: a"), "a package has no Package"),
        (replacing("Architecture: amd64", "Architecture: arm64"), "a is for arm64"),
        (replacing("Version: ", "Version "), "which is no field"),
    ],
)
def test_packages_file_that_is_none_is_named(change: Change, reason: str) -> None:
    plain = a_deb().record[0]
    changed = change(plain)
    assert changed != plain
    file = IndexFile("main/binary-amd64/Packages", "path", len(changed), DIGEST)
    pointer = Pointer(MTIME, {file.name: file})
    with pytest.raises(IntegrityError, match=rf"^place.*{reason}"):
        apt.read_entries(pointer, lambda _: changed, "place")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replacing("Date: ", "Date: never\nX: "), "is no Release file"),
        (replacing("SHA256:", "SHA512:"), "is no Release file"),
        (replacing("main/binary-amd64/Packages\n", "\n"), "is no Release file"),
        (replacing("Components: main\n", ""), "is no Release file"),
    ],
)
def test_release_that_is_none_is_named(change: Change, reason: str) -> None:
    files = apt.render_files([a_deb()])
    data = change(apt.render_pointer(list(files), SETTINGS, MTIME))
    with pytest.raises(IntegrityError, match=rf"^place {reason}"):
        apt.parse_pointer(data, "place", None)


def test_release_without_packages_is_named() -> None:
    with pytest.raises(IntegrityError, match="place names no main/binary-amd64/Packages"):
        apt.read_entries(Pointer(MTIME, {}), lambda _: b"", "place")


def test_metadata_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("therock_outputs.indexes.repositories.unpack._LARGEST", 1 << 20)
    with pytest.raises(IntegrityError, match=r"place: x\.gz unpacks to more than"):
        unpack_index(gzip.compress(bytes(2 << 20)), "x.gz", "place")
