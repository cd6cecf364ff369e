"""The pages that pip reads: escaped, complete, and right where piprepo alone is not."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.python_files import wheel
from therock_outputs.chores import PROJECT
from therock_outputs.errors import IntegrityError
from therock_outputs.indexes.build import index_pages
from therock_outputs.indexes.distributions import CoreMetadata, IndexedFile, parse_distribution
from therock_outputs.indexes.simple import hrefs_of

DIGEST = "0123456789abcdef" * 4
PLUS = "rocm_sdk_core-7.10.0.dev0+abc1234-py3-none-linux_x86_64.whl"
TAGGED = "rocm_sdk_core-7.10.0-1-py3-none-linux_x86_64.whl"


def indexed(filename: str, python: str | None = None, path: str | None = None) -> IndexedFile:
    name = parse_distribution(filename)
    metadata = CoreMetadata(requires_python=python)
    beside = "f" * 64 if name.is_wheel else None
    return IndexedFile(path or filename, name, 123, DIGEST, metadata, beside)


def anchors(page: bytes) -> list[tuple[dict[str, str | None], str]]:
    found: list[tuple[dict[str, str | None], str]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in {"html", "head", "meta", "title", "style", "body", "a", "br"}
            if tag == "a":
                found.append((dict(attrs), ""))

        def handle_data(self, data: str) -> None:
            if found and data.strip():
                found[-1] = (found[-1][0], found[-1][1] + data)

    parser = Parser()
    parser.feed(page.decode())
    parser.close()
    return found


def test_project_page_has_link_with_digest_metadata_and_python() -> None:
    pages = index_pages([indexed(PLUS, ">=3.8,<4")])
    [(attributes, text)] = anchors(pages["simple/rocm-sdk-core/index.html"])
    assert attributes == {
        "href": "../../rocm_sdk_core-7.10.0.dev0%2Babc1234-py3-none-linux_x86_64.whl"
        f"#sha256={DIGEST}",
        "data-requires-python": ">=3.8,<4",
        "data-core-metadata": "sha256=" + "f" * 64,
    }
    assert text == PLUS
    assert b"&gt;=3.8,&lt;4" in pages["simple/rocm-sdk-core/index.html"]


def test_json_beside_says_the_same() -> None:
    pages = index_pages([indexed(PLUS, ">=3.8"), indexed("rocm_sdk_core-7.9.0-py3-none-any.whl")])
    page = json.loads(pages["simple/rocm-sdk-core/index.json"])
    assert page["meta"] == {"api-version": "1.1"}
    assert page["name"] == "rocm-sdk-core"
    assert page["versions"] == ["7.9.0", "7.10.0.dev0+abc1234"]
    assert page["files"][0] == {
        "filename": PLUS,
        "hashes": {"sha256": DIGEST},
        "size": 123,
        "url": "../../" + PLUS.replace("+", "%2B"),
        "requires-python": ">=3.8",
        "core-metadata": {"sha256": "f" * 64},
    }
    assert json.loads(pages["simple/index.json"]) == {
        "meta": {"api-version": "1.1"},
        "projects": [{"name": "rocm-sdk-core"}],
    }


def test_flat_page_links_beside_itself() -> None:
    pages = index_pages([indexed(PLUS), indexed("rocm-7.10.0.tar.gz")])
    hrefs = [attributes["href"] for attributes, _ in anchors(pages["index.html"])]
    assert hrefs == [
        f"rocm-7.10.0.tar.gz#sha256={DIGEST}",
        PLUS.replace("+", "%2B") + f"#sha256={DIGEST}",
    ]


def test_family_page_links_one_level_up() -> None:
    pages = index_pages([indexed(PLUS, path=f"../{PLUS}"), indexed("rocm-7.10.0.tar.gz")])
    [(attributes, _)] = anchors(pages["simple/rocm-sdk-core/index.html"])
    assert (attributes["href"] or "").startswith("../../../rocm_sdk_core-")
    flat = [attributes["href"] or "" for attributes, _ in anchors(pages["index.html"])]
    assert flat[0].startswith("../rocm_sdk_core-")
    assert PLUS not in pages["SHA256SUMS"].decode()


def test_sums_are_those_of_sha256sum() -> None:
    pages = index_pages([indexed(PLUS), indexed("rocm-7.10.0.tar.gz")])
    assert pages["SHA256SUMS"].decode() == f"{DIGEST}  rocm-7.10.0.tar.gz\n{DIGEST}  {PLUS}\n"


def test_pages_do_not_depend_on_the_order_of_files() -> None:
    files = [indexed(PLUS), indexed(TAGGED), indexed("rocm-7.10.0.tar.gz")]
    assert index_pages(files) == index_pages(files[::-1])
    assert list(index_pages(files)) == list(index_pages(files[::-1]))


# ----------------------------------------- the four points in which piprepo alone goes wrong


@pytest.mark.parametrize("filename", [PLUS, TAGGED, "rocm-sdk-core-7.10.0+a.1.tar.gz"])
def test_project_of_a_name_with_build_tag_or_plus(filename: str) -> None:
    assert list(index_pages([indexed(filename)]))[1] == "simple/rocm-sdk-core/index.html"


def test_piprepo_alone_takes_a_build_tag_for_the_version() -> None:
    # Imported late: the room's own import of it holds its warning back.
    utils = importlib.import_module("piprepo.utils")
    assert utils.get_project_name_from_file(TAGGED) == "rocm-sdk-core-7-10-0"


def test_piprepo_alone_quotes_nothing_and_adds_no_digest(tmp_path: Path) -> None:
    models = importlib.import_module("piprepo.models")
    (tmp_path / PLUS).write_bytes(b"")
    with models.LocalIndex(str(tmp_path), str(tmp_path)):
        pass
    [page] = (tmp_path / "simple").glob("*core*/index.html")
    [(attributes, _)] = anchors(page.read_bytes())
    assert attributes == {"href": f"../../{PLUS}"}


def test_piprepo_that_cannot_be_imported_is_said_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "piprepo").mkdir()
    (tmp_path / "piprepo" / "__init__.py").touch()
    (tmp_path / "piprepo" / "models.py").write_text("import pkg_resources_of_old\n")
    code = (
        "from therock_outputs.errors import OutputsError\n"
        "try:\n    import therock_outputs.indexes.simple_builder\n"
        "except OutputsError as error:\n    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "piprepo cannot be imported (No module named 'pkg_resources_of_old')" in said
    assert "pip install 'piprepo==0.1.3' 'setuptools<82'" in said


def test_piprepo_builds_in_memory_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index_pages([indexed(PLUS)])
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------ hostile names


@pytest.mark.parametrize(
    "filename",
    [
        'rocm-1.0-py3-none-"><script>.whl',
        "rocm-1.0-py3-none-any\n.whl",
        "..-1.0-py3-none-any.whl",
        "../rocm-1.0-py3-none-any.whl",
        "rocm-1.0.whl",
        "rocm-nothing-py3-none-any.whl",
        "rocm.tar.gz",
        "röcm-1.0-py3-none-any.whl",
        ".whl",
    ],
)
def test_hostile_or_malformed_name_is_refused_by_its_name(filename: str) -> None:
    with pytest.raises(
        IntegrityError, match=r"cannot stand in an index.*rename or remove"
    ) as raised:
        parse_distribution(filename)
    assert "\n" not in str(raised.value)


def test_requires_python_is_escaped() -> None:
    hostile = '>=3"><script>alert(1)</script>'
    page = index_pages([indexed(PLUS, hostile)])["simple/rocm-sdk-core/index.html"]
    assert b"<script>" not in page
    [(attributes, _)] = anchors(page)
    assert attributes["data-requires-python"] == hostile


@pytest.mark.parametrize(
    "href",
    [
        "https://elsewhere.example/x.whl",
        "//elsewhere.example/x",
        "javascript:alert(1)",
        "/x",
        "",
        "//[",
    ],
)
def test_page_that_links_elsewhere_is_refused(href: str) -> None:
    with pytest.raises(IntegrityError, match=r"the page links to .* delete that page"):
        hrefs_of(f'<a href="{href}">x</a>'.encode(), "the page")


def test_hrefs_are_decoded_and_lose_their_fragment() -> None:
    assert hrefs_of(b'<a href="../../a%2Bb.whl#sha256=00">', "page") == ("../../a+b.whl",)


def test_wheel_helper_makes_the_names_of_the_format() -> None:
    name, _ = wheel("rocm-sdk-core", "1.0", build="7")
    assert parse_distribution(name).project == "rocm-sdk-core"
