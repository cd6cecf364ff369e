"""``index.json`` and ``latest.json``: their order, what is refused in them, and several writers."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.catalogue import (
    CatalogueEntry,
    Latest,
    add_entries,
    catalogue_bytes,
    latest_bytes,
    latest_of,
    merged,
    parse_catalogue,
    parse_latest,
    read_catalogue,
    read_latest,
    relative_url,
    update_latest,
)
from therock_outputs.storage import LocalStorage

PLACE = StorageLocation("therock-nightly-tarball", "v4/tarball/")
NIGHTLY = "7.13.0a20251124"


def entry(
    version: str = NIGHTLY,
    target: str = "gfx942",
    **other: Any,  # noqa: ANN401 - the other fields
) -> CatalogueEntry:
    path = other.pop("path", f"therock-dist-linux-{target}-{version}.tar.gz")
    values: dict[str, Any] = {
        "kind": "tarball", "name": path, "project": "therock-dist", "target": target,
        "platform": "linux", "version": version, "date": "20251124", "run_id": "77",
        "path": path, "url": relative_url(path), "size": 5, "sha256": "a" * 64,
    }  # fmt: skip
    return CatalogueEntry(**{**values, **other})


def test_entries_come_back_newest_first_and_order_decides_nothing() -> None:
    entries = [
        entry("7.12.0"), entry("7.13.0rc2"), entry("7.13.0"), entry("7.13.0rc10"),
        entry("7.13.0", "gfx1100"), entry("7.13.0", kind="deb", path="deb/a"),
    ]  # fmt: skip
    data = catalogue_bytes(entries)
    assert data == catalogue_bytes(entries[::-1])
    read = parse_catalogue(data, "label")
    assert [(e.version, e.kind, e.target) for e in read] == [
        ("7.13.0", "deb", "gfx942"), ("7.13.0", "tarball", "gfx1100"),
        ("7.13.0", "tarball", "gfx942"), ("7.13.0rc10", "tarball", "gfx942"),
        ("7.13.0rc2", "tarball", "gfx942"), ("7.12.0", "tarball", "gfx942"),
    ]  # fmt: skip
    assert catalogue_bytes(read) == data


def test_versions_of_commits_are_ordered_by_date_and_run() -> None:
    dev = "7.13.0.dev0+"
    entries = [
        entry(f"{dev}ffff0000", date="20251101", run_id="5"),
        entry(f"{dev}aaaa0000", date="20251102", run_id="9"),
        entry(f"{dev}bbbb0000", date="20251102", run_id="10"),
    ]
    read = parse_catalogue(catalogue_bytes(entries), "label")
    assert [e.version[-8:] for e in read] == ["bbbb0000", "aaaa0000", "ffff0000"]


def test_latest_is_the_newest_of_each_platform_that_is_not_yanked() -> None:
    entries = [
        entry("7.13.0"), entry("7.13.0", "gfx1100"), entry("7.12.0"),
        entry("7.12.0", "gfx906"),  # not in the newest version: not mixed into it
        entry("7.14.0", yanked="broken"),
        entry("7.12.0", platform="windows", path="w"),
        entry("7.13.0", platform="any", path="rocm-7.13.0.tar.gz", kind="sdist"),
        entry("7.11.0", platform="any", path="rocm-7.11.0.tar.gz", kind="sdist"),
    ]  # fmt: skip
    latest = latest_of(entries)
    assert latest.version == "7.13.0"
    found = [(e.version, e.platform, e.target) for e in latest.files]
    assert sorted(found, key=str) == [
        ("7.12.0", "windows", "gfx942"), ("7.13.0", "any", "gfx942"),
        ("7.13.0", "linux", "gfx1100"), ("7.13.0", "linux", "gfx942"),
    ]  # fmt: skip
    assert parse_latest(latest_bytes(latest), "label") == latest


def test_place_of_nothing_but_yanked_versions_has_no_latest() -> None:
    latest = latest_of([entry(yanked="")])
    assert latest == Latest(None, ())
    assert parse_latest(latest_bytes(latest), "label") == latest


def test_place_of_files_for_any_platform_has_a_latest() -> None:
    assert latest_of([entry(platform="any"), entry("7.0", platform="any")]).files == (
        entry(platform="any"),
    )


def test_merging_keeps_what_is_there_and_refuses_other_bytes() -> None:
    old = entry(date="20250101", run_id="1", yanked="why")
    assert merged([old], [entry()], "label") == (old,)
    for other in (entry(sha256="b" * 64), entry(size=6)):
        with pytest.raises(ConflictError, match=r"label: therock-dist.* is published with SHA-256"):
            merged([old], [other], "label")


def test_addresses_are_relative_or_absolute() -> None:
    plus = entry("7.13.0.dev0+abc")
    base = "https://b.s3.amazonaws.com/v4/tarball/"
    assert plus.url_from(base + "index.json") == f"{base}{plus.path.replace('+', '%2B')}"
    absolute = replace(plus, url="https://elsewhere/x")
    assert absolute.url_from(base) == "https://elsewhere/x"
    assert plus.location(PLACE) == PLACE / plus.path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "torrent"}, "has the kind 'torrent'"),
        ({"path": "../../etc/passwd"}, r"has the path '\.\./\.\./etc/passwd'"),
        ({"path": "a/"}, "has the path 'a/'"),
        ({"path": "/a"}, "has the path '/a'"),
        ({"size": -1}, "has the size -1"),
        ({"size": True}, "has the size True"),
        ({"sha256": "A" * 64}, "has the sha256"),
        ({"version": "latest"}, "has the version 'latest'"),
        ({"date": "2025-11-24"}, "has the date"),
        ({"target": 7}, "has the target 7"),
        ({"yanked": True}, "has the yanked True"),
        ({"name": ""}, "has the name ''"),
        ({"url": None}, "has the url 'None'"),
    ],
)
def test_entry_of_another_form_is_refused(change: Mapping[str, object], words: str) -> None:
    document = json.loads(catalogue_bytes([entry()]))
    document["files"][0].update(change)
    with pytest.raises(IntegrityError, match=f"index.json is no catalogue: file 0 {words}"):
        parse_catalogue(json.dumps(document).encode(), "index.json")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it is no object"),
        (b'{"format": 9}', "has format 9, and 1 is known here"),
        (b'{"format": 1}', "it has no list of files"),
        (b'{"format": 1, "files": [7]}', "file 0 is no object"),
        (b'{"format": 1, "files": [], "version": 7}', "its version is 7"),
    ],
)
def test_file_of_another_form_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        parse_latest(data, "latest.json")


def test_place_without_a_catalogue_is_empty(storage: LocalStorage) -> None:
    assert read_catalogue(storage, PLACE) == ()
    with pytest.raises(NotFoundError):
        read_latest(storage, PLACE)


def test_two_writers_lose_nothing_and_the_latest_is_of_both(storage: LocalStorage) -> None:
    def write(number: int) -> None:
        for turn in range(5):
            add_entries(storage, PLACE, [entry(f"7.{turn}.{number}")])
            update_latest(storage, PLACE)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = read_catalogue(storage, PLACE)
    assert len(entries) == 15
    assert read_latest(storage, PLACE) == latest_of(entries)
