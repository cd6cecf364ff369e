"""The flat page for ``pip --find-links``: every file of a place on one page."""

from __future__ import annotations

from collections.abc import Iterable

from therock_outputs.indexes.distributions import IndexedFile
from therock_outputs.indexes.simple import file_anchor, start_of_page

__all__ = ["find_links_page"]


def find_links_page(files: Iterable[IndexedFile]) -> bytes:
    """The page, which stands beside the files."""
    lines = [file_anchor(file, "") for file in sorted(files)]
    return (start_of_page("Python packages") + "".join(lines) + "</body>\n</html>\n").encode()
