"""The pages that pip reads: PEP 503 in HTML, PEP 691 in JSON, and what a page names.

piprepo makes the HTML; what it lacks (escapes, digests, metadata, names that hold a build tag
or a plus, finished files) stands here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from packaging.version import Version

from therock_outputs.errors import IntegrityError
from therock_outputs.indexes.distributions import IndexedFile

__all__ = ["HTML", "JSON", "file_anchor", "hrefs_of", "simple_pages", "start_of_page"]

HTML = "text/html; charset=utf-8"
JSON = "application/vnd.pypi.simple.v1+json"

_STYLE = (
    "body { margin: 1.5rem clamp(1rem, 4vw, 3rem); font: 1rem/2 system-ui, sans-serif;"
    " overflow-wrap: anywhere; }"
)

_UP = "../../"
"""From a project's page to the place of the files."""


def simple_pages(
    files: Iterable[IndexedFile],
    *,
    up: str = _UP,
    with_json: bool = True,
    also: Collection[str] = (),
) -> dict[str, bytes]:
    """The pages of an index by their names in it: each project's, then the root's.

    A page is ``{project}/index.html`` and, ``with_json``, ``{project}/index.json``. ``up`` leads
    from a project's page to the place that the files' paths are from. ``also`` are projects that
    get a page without files.
    """
    # piprepo loads boto3 and pkg_resources, which takes a quarter of a second.
    from therock_outputs.indexes.simple_builder import Builder  # noqa: PLC0415

    builder = Builder(files, up)
    for project in also:
        builder.packages.setdefault(project, [])
    builder.create_html_indexes("")
    pages = {}
    for project, listed in sorted(builder.packages.items()):
        pages[f"{project}/index.html"] = builder.written[f"simple/{project}/index.html"]
        if with_json:
            pages[f"{project}/index.json"] = _project_json(project, sorted(listed), up)
    pages["index.html"] = builder.written["simple/index.html"]
    if not with_json:
        return pages
    pages["index.json"] = _json({"projects": [{"name": name} for name in sorted(builder.packages)]})
    return pages


def file_anchor(file: IndexedFile, before: str) -> str:
    """The line with the link to a file, from a page that ``before`` leads up from."""
    attributes = {"href": f"{before}{quote(file.path)}#sha256={file.sha256}"}
    if file.metadata.requires_python:
        attributes["data-requires-python"] = file.metadata.requires_python
    if file.metadata_sha256:
        attributes["data-core-metadata"] = f"sha256={file.metadata_sha256}"
    if file.yanked is not None:
        attributes["data-yanked"] = file.yanked
    written = " ".join(f'{name}="{html.escape(text)}"' for name, text in attributes.items())
    return f"<a {written}>{html.escape(file.name.filename)}</a><br>\n"


def start_of_page(title: str) -> str:
    """A page up to its links; PEP 629 tells the version of the format.

    Installers read the links alone. The rest is for people, who look at it on a phone, too.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="pypi:repository-version" content="1.0">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
    )


def hrefs_of(page: bytes, label: str) -> tuple[str, ...]:
    """What the page links to: relative paths, decoded, without their fragments.

    IntegrityError, with ``label``, for a link that leads to another server: none of our pages
    has one.
    """
    parser = _Links()
    parser.feed(page.decode("utf-8", "replace"))
    parser.close()
    paths = []
    for href in parser.hrefs:
        try:
            parts = urlsplit(href)
        except ValueError:
            parts = urlsplit("//")
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            raise IntegrityError(
                f"{label} links to {href[:200]!r}, which is not beside it; delete that page"
            )
        paths.append(unquote(parts.path))
    return tuple(paths)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs.append(dict(attrs).get("href") or "")


def _project_json(project: str, files: Sequence[IndexedFile], up: str) -> bytes:
    versions = sorted({file.name.version for file in files}, key=Version)
    return _json(
        {
            "name": project,
            "versions": versions,
            "files": [_file_json(file, up) for file in files],
        }
    )


def _file_json(file: IndexedFile, up: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": file.name.filename,
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "url": up + quote(file.path),
    }
    if file.metadata.requires_python:
        entry["requires-python"] = file.metadata.requires_python
    if file.metadata_sha256:
        entry["core-metadata"] = {"sha256": file.metadata_sha256}
    if file.yanked is not None:
        # True rather than an empty text, which a reader would take for no.
        entry["yanked"] = file.yanked or True
    return entry


def _json(body: dict[str, Any]) -> bytes:
    # 1.1 has sizes and versions (PEP 700).
    document = {"meta": {"api-version": "1.1"}, **body}
    return json.dumps(document, indent=1).encode() + b"\n"
