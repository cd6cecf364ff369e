"""Indexes of a place: whole, closed, the same on every backend, and never less than before."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.indexes.conftest import Place
from tests.python_files import install, installed, plain_http_server, sdist, wheel
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import IfExists, LocalStorage, S3Storage, Storage, Transfers, Upload
from therock_outputs.storage.files import sha256_of_file

VERSION = "7.10.0.dev0+abc1234"
CORE = wheel("rocm-sdk-core", VERSION, python=">=3.8")
DEVICE = wheel("rocm-sdk-device-gfx942", VERSION, [f"rocm-sdk-core=={VERSION}"])
SELECTOR = sdist(
    "rocm",
    VERSION,
    [
        f"rocm-sdk-core=={VERSION}",
        f"rocm-sdk-device-gfx942=={VERSION} ; extra == 'device-gfx942'",
    ],
    ["device-gfx942"],
)
RUN = (CORE, DEVICE, SELECTOR)
QUOTED = CORE[0].replace("+", "%2B")


def test_index_holds_all_pages(place: Place) -> None:
    place.put(*RUN)
    built = build_indexes(place.storage, place.python)
    assert [file.path for file in built.files] == sorted(name for name, _ in RUN)
    names = {page.relative_to(place.python) for page in built.pages}
    always = {"SHA256SUMS", "index.html", "simple/index.html", "simple/index.json"}
    assert always < names
    folds = place.server is not None and place.server.name == "rclone"
    assert ("simple/rocm/index.html" in names, "simple/rocm/" in names) == (
        not folds,
        place.server is not None,
    )
    assert ("simple/rocm/index.json" in names) is not folds
    project = "simple/rocm-sdk-core/" + ("" if folds else "index.html")
    page = place.read(project)
    assert f'href="../../{QUOTED}#sha256=' in page
    assert 'data-requires-python="&gt;=3.8"' in page
    metadata = place.read(f"{CORE[0]}.metadata")
    assert metadata.startswith("Metadata-Version: 2.1\nName: rocm-sdk-core")
    if place.server is not None:
        assert place.read("simple/rocm-sdk-core/") == page


def test_building_again_changes_nothing(place: Place) -> None:
    place.put(*RUN)
    first = build_indexes(place.storage, place.python)
    before = [place.storage.stat(page) for page in first.pages]
    again = build_indexes(place.storage, place.python)
    assert again == first
    assert [place.storage.stat(page) for page in first.pages] == before


# Files have no media types, and rclone goes by the name.
@pytest.mark.parametrize("place", ["moto"], indirect=True)
def test_pages_have_their_media_types(place: Place) -> None:
    place.put(*RUN)
    build_indexes(place.storage, place.python)
    assert isinstance(place.storage, S3Storage)
    found = {
        name: place.storage._client.head(place.python / name)
        for name in ("simple/rocm/", "simple/rocm/index.html", "simple/rocm/index.json")
    }
    types = [stored.content_type if stored else None for stored in found.values()]
    html = "text/html; charset=utf-8"
    assert types == [html, html, "application/vnd.pypi.simple.v1+json"]


@pytest.mark.parametrize("judge", ["pip", "uv"])
@pytest.mark.parametrize("page", ["simple/", "index.html"])
def test_installers_find_everything_and_nothing_else(
    place: Place, tmp_path: Path, judge: str, page: str
) -> None:
    place.put(*RUN)
    build_indexes(place.storage, place.python)
    place.let_anybody_read()
    url = place.url(page)
    where = ("--index-url", url) if page == "simple/" else ("--no-index", "--find-links", url)
    target = tmp_path / "site"
    prerelease = "--pre" if judge == "pip" else "--prerelease=allow"
    install(judge, target, *where, prerelease, "rocm[device-gfx942]")
    assert installed(target) == {
        f"{project}-{VERSION}" for project in ("rocm", "rocm_sdk_core", "rocm_sdk_device_gfx942")
    }


def test_resolver_reads_metadata_and_not_the_wheel(local: Place, tmp_path: Path) -> None:
    assert local.staging_dir is not None
    local.put(*RUN)
    build_indexes(local.storage, local.python)
    (local.python / CORE[0]).local_path(local.staging_dir).write_bytes(b"not a wheel")
    with plain_http_server(local.staging_dir) as address:
        url = f"{address}/{local.python.key}simple/"
        arguments = ("--dry-run", "--prerelease=allow", "--index-url", url, "rocm-sdk-core")
        done = install("uv", tmp_path / "site", *arguments)
    assert f"rocm-sdk-core=={VERSION}" in done.stderr


@pytest.mark.parametrize("judge", ["pip", "uv"])
def test_changed_wheel_is_refused_by_its_digest(local: Place, tmp_path: Path, judge: str) -> None:
    local.put(CORE)
    build_indexes(local.storage, local.python)
    core = (local.python / CORE[0]).local_path(local.staging_dir or tmp_path)
    core.write_bytes(wheel("rocm-sdk-core", VERSION, content=b"# other")[1])
    target = tmp_path / "site"
    arguments = ("--index-url", local.url("simple/"), f"rocm-sdk-core=={VERSION}")
    done = install(judge, target, *arguments, check=False)
    assert done.returncode != 0
    assert "hash" in (done.stdout + done.stderr).lower()


# ---------------------------------------------------------------------- closed and whole


def test_index_that_lacks_a_device_wheel_is_not_published(place: Place) -> None:
    place.put(CORE, SELECTOR)
    with pytest.raises(NotFoundError, match=r"not closed.*rocm-sdk-device-gfx942"):
        build_indexes(place.storage, place.python)
    assert not list(place.storage.list(place.python / "simple/"))
    build_indexes(place.storage, place.python, closed=False)


def test_index_entry_whose_file_is_gone_is_named(place: Place) -> None:
    place.put(*RUN, wheel("rocm-extra", "1.0"), wheel("rocm-extra", "2.0"))
    build_indexes(place.storage, place.python)
    gone, _ = wheel("rocm-extra", "2.0")
    place.storage.delete(place.python / gone)
    with pytest.raises(NotFoundError, match=rf"names {gone}, which is gone; put it back"):
        build_indexes(place.storage, place.python)


def test_project_whose_files_are_all_gone_is_named(local: Place) -> None:
    local.put(*RUN, wheel("rocm-extra", "1.0"))
    build_indexes(local.storage, local.python)
    local.storage.delete(local.python / "SHA256SUMS")
    local.storage.delete(local.python / wheel("rocm-extra", "1.0")[0])
    with pytest.raises(NotFoundError, match=r"simple/index\.html names rocm-extra, which is gone"):
        build_indexes(local.storage, local.python)


def test_place_without_packages_is_named(place: Place) -> None:
    with pytest.raises(NotFoundError, match="holds neither wheels nor sdists"):
        build_indexes(place.storage, place.python)


def test_wheel_cut_short_is_named(place: Place) -> None:
    place.put((CORE[0], CORE[1][:200]))
    with pytest.raises(IntegrityError, match=r"rocm_sdk_core.* is no whole wheel"):
        build_indexes(place.storage, place.python)
    assert not list(place.storage.list(place.python / "simple/"))


def test_hostile_file_name_is_refused(local: Place) -> None:
    staging = local.staging_dir
    assert staging is not None
    local.put(CORE)
    hostile = local.python.local_path(staging) / 'rocm-1-py3-none-"><script>.whl'
    hostile.write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"cannot stand in an index"):
        build_indexes(local.storage, local.python)


def test_hostile_old_page_is_refused(local: Place) -> None:
    local.put(CORE)
    page = local.python / "simple/rocm-sdk-core/index.html"
    local.storage.upload([Upload(b'<a href="https://elsewhere.example/x.whl">x</a>', page)])
    with pytest.raises(IntegrityError, match="links to 'https://elsewhere"):
        build_indexes(local.storage, local.python)


def test_listing_page_of_the_bucket_is_written_over(local: Place) -> None:
    local.put(CORE)
    foreign = Upload(b'<a href="/elsewhere">x</a>', local.python / "index.html")
    local.storage.upload([foreign])
    build_indexes(local.storage, local.python)
    assert f'href="{QUOTED}#sha256=' in local.read("index.html")


def test_digest_that_the_sums_contradict_is_refused(local: Place) -> None:
    local.put(CORE)
    build_indexes(local.storage, local.python)
    with pytest.raises(ConflictError, match=r"has SHA-256 .* by SHA256SUMS and would now get 1111"):
        build_indexes(local.storage, local.python, digests={CORE[0]: "1" * 64})


def test_known_digests_are_used(local: Place) -> None:
    local.put(CORE)
    build_indexes(local.storage, local.python, digests={CORE[0]: "1" * 64})
    assert local.read("SHA256SUMS") == f"{'1' * 64}  {CORE[0]}\n"


def test_digests_are_those_of_the_files(place: Place, tmp_path: Path) -> None:
    place.put(*RUN)
    built = build_indexes(place.storage, place.python)
    for file, (_, data) in zip(built.files, sorted(RUN), strict=True):
        copy = tmp_path / file.path
        copy.write_bytes(data)
        assert file.sha256 == sha256_of_file(copy)


# ------------------------------------------------------------------------- later jobs


def test_later_job_keeps_what_is_there(place: Place) -> None:
    place.put(*RUN)
    build_indexes(place.storage, place.python)
    later = wheel("rocm-sdk-core", "7.11.0")
    place.put(later, wheel("torch", "2.9", ["rocm-sdk-core==7.11.0"]))
    built = build_indexes(place.storage, place.python, names=[later[0], wheel("torch", "2.9")[0]])
    assert len(built.files) == 5
    flat = place.read("index.html")
    assert all(name.replace("+", "%2B") in flat for name in [CORE[0], later[0]])
    assert 'href="torch/"' in place.read("simple/index.html")


def test_unfinished_upload_of_another_job_is_left_to_it(place: Place) -> None:
    place.put(*RUN)
    half = sdist("rocm", "9.0", ["rocm-sdk-core==9.0"])
    place.put(half)
    built = build_indexes(place.storage, place.python, names=[name for name, _ in RUN])
    assert half[0] not in {file.path for file in built.files}


def test_another_job_never_finds_a_package_without_what_it_requires(local: Place) -> None:
    local.put(*RUN)
    seen = []

    class Watched(LocalStorage):
        def upload(self, uploads: Sequence[Upload], **how: Any) -> Transfers:  # noqa: ANN401
            done = super().upload(uploads, **how)
            seen.append(len(build_indexes(local.storage, local.python, names=()).files))
            return done

    assert local.staging_dir is not None
    build_indexes(Watched(local.staging_dir), local.python)
    assert seen == [1, 2, 3]


def _core_page(place: Place) -> str:
    return place.read("simple/rocm-sdk-core/" + ("" if place.server else "index.html"))


def test_what_is_indexed_already_is_not_read_again(place: Place) -> None:
    place.put(*RUN)
    build_indexes(place.storage, place.python)
    before = _core_page(place)
    # What is not read may be broken: installers would find that out by its digest.
    garbage = Upload(b"x" * len(CORE[1]), place.python / CORE[0], IfExists.REPLACE)
    place.storage.upload([garbage])
    later = wheel("rocm-sdk-core", "7.11.0")
    place.put(later)
    build_indexes(place.storage, place.python, names=[later[0]])
    after = _core_page(place)
    [line] = [line for line in before.splitlines() if QUOTED in line]
    assert line in after


def test_named_file_that_was_not_uploaded_is_an_error(place: Place) -> None:
    place.put(CORE)
    with pytest.raises(NotFoundError, match=r"other-1\.0-py3-none-any\.whl is not there; upload"):
        build_indexes(place.storage, place.python, names=["other-1.0-py3-none-any.whl"])


def _job(storage: Storage, python: StorageLocation, number: int) -> None:
    """What one of several jobs does: upload its wheels, then index them."""
    for turn in range(3):
        name, data = wheel("rocm-shared", f"{number}.{turn}")
        own, own_data = wheel(f"rocm-job{number}", f"{turn}")
        storage.upload([Upload(data, python / name), Upload(own_data, python / own)])
        build_indexes(storage, python, names=[name, own])


def _local_job(staging: Path, python: StorageLocation, number: int) -> None:
    _job(LocalStorage(staging), python, number)


def _s3_job(python: StorageLocation, number: int) -> None:
    _job(S3Storage(), python, number)


def test_two_jobs_at_once_lose_nothing(place: Place) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_local_job, args=(place.staging_dir, place.python, number))
        if place.staging_dir
        else context.Process(target=_s3_job, args=(place.python, number))
        for number in (1, 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    folds = place.server is not None and place.server.name == "rclone"
    page = place.read("simple/rocm-shared/" + ("" if folds else "index.html"))
    for number in (1, 2):
        for turn in range(3):
            assert f"rocm_shared-{number}.{turn}-" in page
            assert f"rocm_shared-{number}.{turn}-" in place.read("SHA256SUMS")
            assert f"rocm_job{number}-{turn}-" in place.read("index.html")
        assert f'href="rocm-job{number}/"' in place.read("simple/index.html")


# -------------------------------------------------------------------------- families


@pytest.mark.parametrize("judge", ["pip", "uv"])
def test_family_index_lists_generic_wheels_one_level_up(
    place: Place, tmp_path: Path, judge: str
) -> None:
    place.put(CORE)
    build_indexes(place.storage, place.python)
    family = place.python / "gfx94X-dcgpu/"
    selector = sdist("rocm", VERSION, [f"rocm-sdk-core=={VERSION}"])
    place.put(selector, below="gfx94X-dcgpu/")
    built = build_indexes(place.storage, family, shared=[place.python])
    assert [file.path for file in built.files] == [f"../{CORE[0]}", selector[0]]
    assert CORE[0] not in place.read("gfx94X-dcgpu/SHA256SUMS")
    assert selector[0] not in place.read("index.html")
    place.let_anybody_read()
    target = tmp_path / "site"
    prerelease = "--pre" if judge == "pip" else "--prerelease=allow"
    install(judge, target, "--index-url", place.url("gfx94X-dcgpu/simple/"), prerelease, "rocm")
    assert installed(target) == {f"rocm-{VERSION}", f"rocm_sdk_core-{VERSION}"}
