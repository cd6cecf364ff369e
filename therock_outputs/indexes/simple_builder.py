"""piprepo's index, fed with files whose names are parsed already, and kept in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from therock_outputs.errors import OutputsError
from therock_outputs.indexes.distributions import IndexedFile
from therock_outputs.indexes.simple import file_anchor, start_of_page

with warnings.catch_warnings():
    # piprepo imports pkg_resources, whose only word is that it will go away.
    warnings.simplefilter("ignore")
    try:
        from piprepo import models
    except ImportError as failure:
        raise OutputsError(
            f"piprepo cannot be imported ({failure}); pip install 'piprepo==0.1.3' 'setuptools<82'"
        ) from failure

__all__ = ["Builder"]


class _FileAnchor:
    """Stands in for piprepo's template of a link to a file."""

    def __init__(self, up: str) -> None:
        self._up = up

    def format(self, file: IndexedFile) -> str:
        return file_anchor(file, self._up)


class Builder(models.Index):  # type: ignore[misc] # piprepo carries no types
    """piprepo's index over files whose names are parsed already; pages stay in memory."""

    html_header = start_of_page("Simple index")
    html_root_anchor = '<a href="{0}/">{0}</a><br>\n'
    html_footer = "</body>\n</html>\n"

    def __init__(self, files: Iterable[IndexedFile], up: str) -> None:
        super().__init__("", "")
        self.html_package_anchor = _FileAnchor(up)
        self.written: dict[str, bytes] = {}
        self._build_packages(files)

    def _build_packages(self, packages: Iterable[IndexedFile]) -> None:
        # piprepo's own finds the project by a pattern in the name, which a build tag misleads.
        for file in packages:
            self.packages.setdefault(file.name.project, []).append(file)

    def _create_directory(self, directory: str) -> None:
        """There is none: storage writes the pages."""

    def _write_file(self, filename: str, lines: Sequence[str]) -> None:
        # piprepo's own writes in place, where a reader finds half a page.
        self.written[filename] = "".join(lines).encode()
