"""StorageLocation: what keys it takes, and the three ways in which it is written down."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from therock_outputs.errors import OutputsError
from therock_outputs.layout import LayoutError, StorageLocation

BUCKET = "therock-ci-artifacts"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "a/",
        "a/b.tar.zst",
        "123-linux/logs/..hidden/...",
        "a b/c+d%2e",
        "ü/日本語",
        "gfx942:xnack+",
        "~/x",
        "%2e%2e/x",
        "x" * 1024,
    ],
)
def test_location_takes_legal_keys(key: str) -> None:
    assert StorageLocation(BUCKET, key).key == key


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("/a", "absolute"),
        ("/", "absolute"),
        ("//", "absolute"),
        (".", "'..' segment"),
        ("..", "'..' segment"),
        ("../a", "'..' segment"),
        ("a/..", "'..' segment"),
        ("a/../", "'..' segment"),
        ("a/./b", "'..' segment"),
        ("./", "'..' segment"),
        ("a//b", "empty segment"),
        ("a//", "empty segment"),
        ("a\\b", "backslash"),
        ("..\\..\\a", "backslash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("a\udcff", "UTF-8"),
        ("ü" * 513, "1026 bytes"),
    ],
)
def test_location_refuses_keys_that_could_escape_or_break(key: str, word: str) -> None:
    with pytest.raises(LayoutError, match=word) as caught:
        StorageLocation(BUCKET, key)
    assert isinstance(caught.value, OutputsError)
    message = str(caught.value)
    assert "\n" not in message
    assert BUCKET in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "bucket", ["", "ab", "..", "a..b", "Upper", "a/b", "-a-", "a_b", "x" * 64, "a\n"]
)
def test_location_refuses_names_that_are_no_bucket(bucket: str) -> None:
    with pytest.raises(LayoutError, match="not a bucket's name"):
        StorageLocation(bucket, "a")


@pytest.mark.parametrize(
    ("key", "child", "expected"),
    [
        ("", "a", "a"),
        ("a", "b", "a/b"),
        ("a/", "b", "a/b"),
        ("a", "b/c/", "a/b/c/"),
    ],
)
def test_child_is_joined_with_one_slash(key: str, child: str, expected: str) -> None:
    assert (StorageLocation(BUCKET, key) / child).key == expected


@pytest.mark.parametrize("child", ["", "/b", "..", "b/../../c", "b//c", "b\\c"])
def test_child_cannot_leave_its_parent(child: str) -> None:
    with pytest.raises(LayoutError):
        StorageLocation(BUCKET, "a/") / child


def test_uri_and_url_differ_in_encoding() -> None:
    location = StorageLocation(BUCKET, "1-linux/therock-7.10.0.dev0+ab c#?%ü.tar.gz")
    assert location.s3_uri == f"s3://{BUCKET}/1-linux/therock-7.10.0.dev0+ab c#?%ü.tar.gz"
    assert location.https_url == (
        f"https://{BUCKET}.s3.amazonaws.com/1-linux/"
        "therock-7.10.0.dev0%2Bab%20c%23%3F%25%C3%BC.tar.gz"
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://s3.example.org/store/"])
def test_url_at_another_server_has_the_bucket_in_its_path(endpoint: str) -> None:
    location = StorageLocation(BUCKET, "1-linux/v+1 é.tar.gz")
    expected = f"{endpoint.rstrip('/')}/{BUCKET}/1-linux/v%2B1%20%C3%A9.tar.gz"
    assert location.url_at(endpoint) == expected


@pytest.mark.parametrize("key", ["a+b", "ä/ö", "x?y#z", "%2B", "gfx942:xnack+", "a b", "~.-_'()*"])
def test_url_decodes_to_the_key(key: str) -> None:
    parts = urlsplit(StorageLocation(BUCKET, key).https_url)
    assert unquote(parts.path) == "/" + key
    assert "+" not in parts.path
    assert not parts.query
    assert not parts.fragment


@pytest.mark.parametrize(
    ("key", "name", "prefix"),
    [("", "", True), ("a", "a", False), ("a/b", "b", False), ("a/b/", "b", True)],
)
def test_name_and_prefix(key: str, name: str, prefix: bool) -> None:
    location = StorageLocation(BUCKET, key)
    assert location.name == name
    assert location.is_prefix is prefix
    assert location.as_prefix().is_prefix


def test_relative_to_gives_the_key_below_a_parent() -> None:
    parent = StorageLocation(BUCKET, "1-linux")
    assert (parent / "logs/a").relative_to(parent) == "logs/a"
    assert parent.as_prefix().relative_to(parent) == ""


@pytest.mark.parametrize(
    "other",
    [StorageLocation(BUCKET, "1-linux2/a"), StorageLocation("another-bucket", "1-linux/a")],
)
def test_relative_to_refuses_what_lies_elsewhere(other: StorageLocation) -> None:
    with pytest.raises(LayoutError, match="does not lie below"):
        other.relative_to(StorageLocation(BUCKET, "1-linux"))


def test_runs_share_the_top_of_a_staging_directory(tmp_path: Path) -> None:
    location = StorageLocation(BUCKET, "1-linux/logs/")
    assert location.local_path(tmp_path) == tmp_path / "1-linux" / "logs"


@pytest.mark.parametrize(
    "bucket", ["therock-dev-tarball", "therock-release-packages", "therock-repo-amd-rc-core"]
)
def test_distribution_bucket_has_a_staging_directory_of_its_own(
    tmp_path: Path, bucket: str
) -> None:
    location = StorageLocation(bucket, "v4/tarball/x")
    assert location.local_path(tmp_path) == tmp_path / bucket / "v4/tarball/x"


def test_local_path_takes_a_relative_staging_directory_with_dots() -> None:
    path = StorageLocation(BUCKET, "1-linux/a").local_path(Path("here/../there"))
    assert path == Path("here/../there/1-linux/a")


def test_local_path_refuses_a_link_out_of_the_staging_directory(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "1-linux").symlink_to(tmp_path)
    with pytest.raises(LayoutError, match="symbolic link"):
        StorageLocation(BUCKET, "1-linux/secret").local_path(staging)


def test_local_path_refuses_a_link_to_a_sibling_with_the_same_beginning(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging2").mkdir()
    (tmp_path / "staging" / "x").symlink_to("../staging2")
    with pytest.raises(LayoutError, match="symbolic link"):
        StorageLocation(BUCKET, "x/a").local_path(tmp_path / "staging")


def test_local_path_follows_a_link_that_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "1-linux").mkdir()
    (tmp_path / "latest").symlink_to("1-linux")
    assert StorageLocation(BUCKET, "latest/a").local_path(tmp_path) == tmp_path / "latest/a"


def test_loop_of_links_is_left_to_whoever_opens_the_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = StorageLocation(BUCKET, "loop/a").local_path(tmp_path)
    assert path == tmp_path / "loop/a"
    with pytest.raises(OSError, match="symbolic links"):
        path.read_bytes()


def test_staging_directory_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    location = StorageLocation(BUCKET, "1-linux/a")
    assert location.local_path(tmp_path / "link") == tmp_path / "link/1-linux/a"


def test_location_is_immutable_hashable_and_ordered() -> None:
    a, b = StorageLocation(BUCKET, "a"), StorageLocation(BUCKET, "b")
    assert a < b
    assert len({a, b, StorageLocation(BUCKET, "a")}) == 2
    with pytest.raises(AttributeError):
        a.key = "c"  # type: ignore[misc]
