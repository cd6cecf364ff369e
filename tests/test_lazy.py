"""Packages whose modules are loaded when they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import therock_outputs.layout
import therock_outputs.storage


@pytest.mark.parametrize("package", [therock_outputs.layout, therock_outputs.storage])
def test_every_name_is_there_and_no_other(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert all(getattr(package, name) is getattr(package, name) for name in names)
    with pytest.raises(AttributeError, match=r"module 'therock_outputs\.\w+' has no attribute 'x'"):
        _ = package.x  # type: ignore[attr-defined]


def test_whoever_moves_bytes_loads_neither_versions_nor_staging_directories() -> None:
    script = (
        "import sys; from therock_outputs.storage import Download, open_storage;"
        "open_storage(None);"
        "print(*sorted(name for name in sys.modules if name.startswith('therock_outputs')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "therock_outputs.storage.s3.backend" in loaded
    needless = {"layout.versions", "layout.distribution", "storage.local", "storage.between"}
    assert not needless & {name.removeprefix("therock_outputs.") for name in loaded}
