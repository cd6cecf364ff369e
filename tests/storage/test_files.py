"""Choosing the files of a directory, and their types."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from therock_outputs.errors import NotFoundError, StorageError, UsageError
from therock_outputs.storage import content_type_of, files_to_upload


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def chosen(root: Path, include: list[str] | None = None, exclude: list[str] | None = None) -> str:
    return " ".join(f.name for f in files_to_upload(root, include or (), exclude or ()))


def test_files_come_in_the_order_of_their_keys(source: Path) -> None:
    make(source, "b", "a/z", "a-b", "a.b", "é")
    files = files_to_upload(source)
    assert [f.name for f in files] == ["a-b", "a.b", "a/z", "b", "é"]
    assert [(f.path.read_text(), f.size) for f in files] == [
        (f.name, len(f.name.encode())) for f in files
    ]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.log"], [], "a.log sub/b.log sub/deep/c.log"),
        (["sub/*.log"], [], "sub/b.log"),
        (["sub/**"], [], "sub/b.log sub/deep/c.log sub/deep/d.txt"),
        (["**/c.*"], [], "sub/deep/c.log"),
        (["**/deep/*"], ["*.txt"], "sub/deep/c.log"),
        ([], ["sub"], "[x].log2 a.log"),
        ([], ["sub/deep"], "[x].log2 a.log sub/b.log"),
        (["?.log"], [], "a.log sub/b.log sub/deep/c.log"),
        (["[ab].log"], [], "a.log sub/b.log"),
        (["[!ab].log"], [], "sub/deep/c.log"),
        (["[[]x].log2"], [], "[x].log2"),
        (["[a-b].log", "*.txt"], ["sub/b*"], "a.log sub/deep/d.txt"),
        (["sub?b.log", "s*b.log"], [], ""),
        (["[^].log"], [], ""),
    ],
)
def test_globs_choose_files(
    source: Path, include: list[str], exclude: list[str], expected: str
) -> None:
    make(source, "a.log", "sub/b.log", "sub/deep/c.log", "sub/deep/d.txt", "[x].log2")
    assert chosen(source, include, exclude) == expected


def test_backward_range_in_a_glob_is_a_usage_error(source: Path) -> None:
    with pytest.raises(UsageError, match="is no glob"):
        files_to_upload(source, ["[z-a]"])


def test_links_within_the_directory_are_followed(source: Path) -> None:
    make(source, "real/a")
    (source / "file").symlink_to("real/a")
    (source / "dir").symlink_to("real")
    files = {f.name: f.path.read_text() for f in files_to_upload(source)}
    assert files == {"dir/a": "real/a", "file": "real/a", "real/a": "real/a"}


@pytest.mark.parametrize("target", ["..", "../secret", "/etc/passwd", "/"])
def test_link_out_of_the_directory_is_an_error(source: Path, target: str) -> None:
    make(source.parent, "secret")
    (source / "link").symlink_to(target)
    with pytest.raises(StorageError, match=r"source/link is a link out of"):
        files_to_upload(source)
    assert files_to_upload(source, exclude=["link"]) == []


def test_link_that_leads_nowhere_is_an_error(source: Path) -> None:
    (source / "link").symlink_to("none")
    with pytest.raises(StorageError, match="link is a link that leads nowhere"):
        files_to_upload(source)
    (source / "link").unlink()
    (source / "link").symlink_to("link")
    with pytest.raises(StorageError, match="link is a link that leads nowhere"):
        files_to_upload(source)


def test_link_in_a_loop_is_an_error(source: Path) -> None:
    make(source, "sub/a")
    (source / "sub" / "up").symlink_to("..")
    with pytest.raises(StorageError, match="up is a link to a directory above it"):
        files_to_upload(source)


def test_special_file_is_an_error_unless_excluded(source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(StorageError, match="pipe is neither a file nor a directory"):
        files_to_upload(source)
    assert chosen(source, exclude=["pipe"]) == ""


def test_unfinished_files_are_left_out(source: Path) -> None:
    make(source, "a", ".partial-01", ".lock-01", ".a.partial", ".a.partial.json", ".profile")
    assert chosen(source) == ".profile a"


def test_missing_directory_is_named(source: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        files_to_upload(source / "nowhere")
    make(source, "file")
    with pytest.raises(StorageError, match=r"source/file cannot be read"):
        files_to_upload(source / "file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("therock-dist-linux-gfx94X-dcgpu-7.1.0.tar.gz", "application/gzip"),
        ("blas_lib_generic.tar.zst", "application/zstd"),
        ("blas_lib_generic.tar.xz", "application/x-xz"),
        ("blas_lib_generic.tar.xz.sha256sum", "text/plain; charset=utf-8"),
        ("tarballs/SHA256SUMS", "text/plain; charset=utf-8"),
        ("dists/stable/Release", "text/plain; charset=utf-8"),
        ("pool/main/rocm_1.deb", "application/vnd.debian.binary-package"),
        ("rocm.rpm", "application/x-rpm"),
        ("rocm-1-py3-none-any.whl", "application/zip"),
        ("INDEX.HTML", "text/html; charset=utf-8"),
        ("manifest.json", "application/json"),
        ("rocBLAS_build.log", "text/plain; charset=utf-8"),
        ("repodata/primary.xml.gz", "application/gzip"),
        ("unknown", "application/octet-stream"),
        ("dir.html/unknown", "application/octet-stream"),
    ],
)
def test_content_type_follows_the_name(name: str, expected: str) -> None:
    assert content_type_of(name) == expected


def test_what_cannot_be_uploaded_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/a").touch()
    (tmp_path / "in/out").symlink_to(tmp_path)
    (tmp_path / "in/sub/gone").symlink_to("nowhere")
    (tmp_path / "in/sub/loop").symlink_to("..")
    os.mkfifo(tmp_path / "in/sub/pipe")
    refused: list[StorageError] = []
    files = files_to_upload(tmp_path / "in", leave_out=refused.append)
    assert [file.name for file in files] == ["sub/a"]
    said = sorted(str(error).partition(" is ")[0].rpartition("/")[2] for error in refused)
    assert said == ["gone", "loop", "out", "pipe"]
