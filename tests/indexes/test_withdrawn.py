"""Versions that were taken back: no page names them, or all of them say that they are yanked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.indexes.conftest import Place
from tests.python_files import install, installed, sdist, wheel
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.shape import BESIDE, BY_PROJECT, Shape
from therock_outputs.indexes.withdrawn import WITHDRAWN, How, Withdrawal, Withdrawn, read_withdrawn

OLD = (wheel("rocm-sdk-core", "7.12.0"), sdist("rocm", "7.12.0", ["rocm-sdk-core==7.12.0"]))
NEW = (wheel("rocm-sdk-core", "7.13.0"), sdist("rocm", "7.13.0", ["rocm-sdk-core==7.13.0"]))
REASON = 'hangs on "gfx942" <here>'


def _withdraw(place: Place, version: str, how: How | None) -> None:
    item = None if how is None else Withdrawal(how, REASON)

    def change(old: bytes | None) -> bytes:
        return Withdrawn.parse(old, "label").with_version(version, item).to_bytes()

    place.storage.update(place.python / WITHDRAWN, change)


def _project_page(place: Place, project: str, shape: Shape) -> str:
    """As a browser or an installer gets it."""
    name = f"{shape.pages}{project}/"
    folded = place.server is None or (place.server.name == "rclone" and shape.by_project)
    return place.read(name + "index.html" if folded else name)


def _put(place: Place, shape: Shape, *files: tuple[str, bytes]) -> list[str]:
    names = []
    for name, data in files:
        project = name.partition("-")[0].replace("_", "-")
        path = f"{project}/{name}" if shape.by_project else name
        place.put((path, data))
        names.append(path)
    return names


@pytest.mark.parametrize("shape", [BESIDE, BY_PROJECT], ids=["beside", "by-project"])
def test_unpublished_version_leaves_all_pages_and_comes_back(place: Place, shape: Shape) -> None:
    names = _put(place, shape, *OLD, *NEW)
    before = build_indexes(place.storage, place.python, names=names, shape=shape)
    pages = {page: place.storage.read(page) for page in before.pages}
    _withdraw(place, "7.12.0", How.UNPUBLISHED)
    built = build_indexes(place.storage, place.python, names=(), shape=shape)
    assert [file.name.version for file in built.files] == ["7.13.0", "7.13.0"]
    for page in built.pages:
        assert b"7.12.0" not in place.storage.read(page), page
    assert "7.13.0" in _project_page(place, "rocm", shape)
    assert place.storage.exists(place.python / names[0])
    _withdraw(place, "7.12.0", None)
    build_indexes(place.storage, place.python, names=(), shape=shape)
    assert {page: place.storage.read(page) for page in before.pages} == pages


@pytest.mark.parametrize("shape", [BESIDE, BY_PROJECT], ids=["beside", "by-project"])
def test_project_without_versions_keeps_an_empty_page(place: Place, shape: Shape) -> None:
    _put(place, shape, *OLD)
    build_indexes(place.storage, place.python, shape=shape)
    _withdraw(place, "7.12.0", How.UNPUBLISHED)
    built = build_indexes(place.storage, place.python, names=(), shape=shape)
    assert built.files == ()
    page = _project_page(place, "rocm", shape)
    assert "<html" in page
    assert "<a " not in page


@pytest.mark.parametrize("judge", ["pip", "uv"])
def test_installers_take_a_yanked_version_only_when_it_is_pinned(
    local: Place, tmp_path: Path, judge: str
) -> None:
    _put(local, BESIDE, *OLD, *NEW)
    build_indexes(local.storage, local.python)
    _withdraw(local, "7.13.0", How.YANKED)
    build_indexes(local.storage, local.python, names=())
    assert 'data-yanked="hangs on &quot;gfx942&quot; &lt;here&gt;"' in local.read("index.html")
    document = json.loads(local.read("simple/rocm/index.json"))
    assert [file.get("yanked") for file in document["files"]] == [None, REASON]
    where = ("--index-url", local.url("simple/"))
    install(judge, tmp_path / "any", *where, "rocm-sdk-core")
    assert installed(tmp_path / "any") == {"rocm_sdk_core-7.12.0"}
    install(judge, tmp_path / "pinned", *where, "rocm-sdk-core==7.13.0")
    assert installed(tmp_path / "pinned") == {"rocm_sdk_core-7.13.0"}


def test_version_that_is_yanked_without_a_reason_is_marked_all_the_same(local: Place) -> None:
    _put(local, BESIDE, *OLD)
    withdrawn = Withdrawn({"7.12.0": Withdrawal(How.YANKED, "")})
    local.put((WITHDRAWN, withdrawn.to_bytes()))
    build_indexes(local.storage, local.python)
    assert ' data-yanked=""' in local.read("simple/rocm/index.html")
    assert json.loads(local.read("simple/rocm/index.json"))["files"][0]["yanked"] is True


def test_file_that_is_gone_is_still_told_after_something_was_taken_back(local: Place) -> None:
    _put(local, BESIDE, *OLD, *NEW)
    build_indexes(local.storage, local.python)
    _withdraw(local, "7.12.0", How.UNPUBLISHED)
    local.storage.delete(local.python / NEW[0][0])
    local.storage.delete(local.python / NEW[1][0])
    with pytest.raises(NotFoundError, match=r"names rocm-7\.13\.0\.tar\.gz, which is gone"):
        build_indexes(local.storage, local.python, names=())


def test_withdrawn_versions_come_back_as_written(local: Place) -> None:
    withdrawn = Withdrawn(
        {"7.13.0": Withdrawal(How.YANKED, "é"), "7.12.0": Withdrawal(How.UNPUBLISHED, "", ({},))}
    )
    local.put((WITHDRAWN, withdrawn.to_bytes()))
    assert read_withdrawn(local.storage, local.python) == withdrawn
    assert (withdrawn.hides("7.12.0"), withdrawn.hides("7.13.0")) == (True, False)
    assert (withdrawn.yanked("7.13.0"), withdrawn.yanked("7.12.0")) == ("é", None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "is not what yank and unpublish write"),
        (b"[]", "is not what yank and unpublish write"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"format": 1}', "KeyError"),
        (b'{"format": 2, "versions": {}}', "has format 2, and 1 is known here"),
        (b'{"format": 1, "versions": {"x y": {}}}', "is not what yank and unpublish write"),
        (b'{"format": 1, "versions": {"1": {"how": "lost"}}}', "'lost' is not a valid How"),
    ],
)
def test_file_of_another_form_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words) as failure:
        Withdrawn.parse(data, "s3://b/withdrawn.json")
    assert str(failure.value).startswith("s3://b/withdrawn.json ")
