"""Listing pages are made of what is there, however many jobs put it there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.publish.pages import publish_pages
from therock_outputs.storage import LocalStorage, Upload

ROOT = WorkflowOutputRoot.for_local("local")


def _put(storage: LocalStorage, *locations: StorageLocation) -> None:
    storage.upload([Upload(location.key.encode(), location) for location in locations])


def _archive(storage: LocalStorage, name: str) -> str:
    """Put an archive with its digest file; the digest."""
    location = ROOT.archive(name)
    digest = hashlib.sha256(location.key.encode()).hexdigest()
    _put(storage, location)
    storage.upload([Upload(f"{digest}  {name}\n".encode(), ROOT.archive_digest(name))])
    return digest


def test_pages_depend_on_nothing_but_what_is_there(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    digest = _archive(storage, "blas_lib_gfx942.tar.zst")
    _put(storage, ROOT.logs("a.log"))
    made = publish_pages(storage, ROOT)
    names = {page.relative_to(ROOT.root) for page in made}
    assert names == {"index.html", "index-gfx942.html", "logs/index.html"}
    pages = {page: storage.read(page) for page in made}
    assert digest.encode() in pages[ROOT.archive_index("gfx942")]
    assert publish_pages(storage, ROOT) == made
    publish_pages(storage, ROOT, digests={ROOT.archive("blas_lib_gfx942.tar.zst"): digest})
    assert {page: storage.read(page) for page in made} == pages


def test_group_page_lists_what_somebody_with_that_gpu_needs(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    names = ("blas_lib_generic", "blas_lib_gfx942", "fft_lib_gfx942:xnack+", "fft_lib_gfx1100")
    for name in names:
        _archive(storage, f"{name}.tar.zst")
    publish_pages(storage, ROOT)
    page = storage.read(ROOT.archive_index("gfx942")).decode()
    assert [name for name in names if f"{name}.tar.zst" in page] == list(names[:3])


class _Interrupting(LocalStorage):
    """Lets another job do something right before a page is first changed."""

    def __init__(self, staging_dir: Path, other_job: Callable[[], None]) -> None:
        super().__init__(staging_dir)
        self.other_job: Callable[[], None] | None = other_job

    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        if self.other_job is not None:
            other_job, self.other_job = self.other_job, None
            other_job()
        return super().update(location, change, content_type=content_type)


def test_page_shows_what_another_job_uploaded_meanwhile(tmp_path: Path) -> None:
    def other_job() -> None:
        storage = LocalStorage(tmp_path)
        _put(storage, ROOT.logs("theirs.log"))
        publish_pages(storage, ROOT)

    storage = _Interrupting(tmp_path, other_job)
    _put(storage, ROOT.logs("ours.log"))
    publish_pages(storage, ROOT)
    page = storage.read(ROOT.logs_index()).decode()
    assert "ours.log" in page
    assert "theirs.log" in page


def test_page_of_a_directory_that_went_away_meanwhile_stays_as_it_was(tmp_path: Path) -> None:
    storage = _Interrupting(tmp_path, lambda: storage.delete(ROOT.logs("ours.log")))
    _put(storage, ROOT.logs("ours.log"))
    publish_pages(storage, ROOT)
    assert "ours.log" in storage.read(ROOT.logs_index()).decode()


def test_digest_file_that_says_nothing_leaves_the_digest_out(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    _put(storage, ROOT.archive("blas_lib_gfx942.tar.zst"))
    _put(storage, ROOT.archive_digest("blas_lib_gfx942.tar.zst"))
    _put(storage, ROOT.archive("not_a-component_x.tar.zst"))
    publish_pages(storage, ROOT)
    page = storage.read(ROOT.archive_index()).decode()
    assert "blas_lib_gfx942.tar.zst" in page
    assert "not_a-component_x.tar.zst" in page
