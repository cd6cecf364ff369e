"""The commands that install what a release has made."""

from __future__ import annotations

import shlex

import pytest

from therock_outputs.release.installation import PythonPlace, install_python, install_tarball

CORE = "rocm_sdk_core-7.13.0-py3-none-linux_x86_64.whl"
LIBRARIES = "rocm_sdk_libraries-7.13.0-py3-none-linux_x86_64.whl"
SDIST = "rocm-7.13.0+a.b.tar.gz"


def place(*names: str, index: str = "/s/7-linux/python/simple", **changes: object) -> PythonPlace:
    values: dict[str, object] = {
        "group": None,
        "filenames": names,
        "index_url": index,
        "deps_url": "https://h/b/python-deps/simple/",
        "has_deps": True,
        "run_flags": ("--run-id", "7", "--staging-dir", "a b"),
    }
    return PythonPlace(**{**values, **changes})  # type: ignore[arg-type]


def test_tarball_by_address_is_streamed_and_one_on_disk_is_unpacked() -> None:
    assert install_tarball([]) is None
    remote = install_tarball(["https://h/a%2Bb.tar.zst"])
    assert remote is not None
    assert remote.commands[1] == "curl -fL https://h/a%2Bb.tar.zst | tar --zstd -x -C rocm"
    local = install_tarball(["/a b/c.tar.gz", "/other"])
    assert local is not None
    assert shlex.split(local.commands[1]) == ["tar", "-xz", "-f", "/a b/c.tar.gz", "-C", "rocm"]


def test_place_without_selector_gives_no_command() -> None:
    assert install_python([place(CORE)]) is None
    assert install_python([]) is None


@pytest.mark.parametrize(
    ("names", "requirement"),
    [
        ((SDIST,), "rocm==7.13.0+a.b"),
        ((SDIST, LIBRARIES), "rocm[libraries]==7.13.0+a.b"),
        (
            (SDIST, LIBRARIES, "rocm_sdk_device_gfx942-7-py3-none-linux_x86_64.whl"),
            "rocm[libraries,device-gfx942]==7.13.0+a.b",
        ),
    ],
)
def test_requirement_names_what_there_is(names: tuple[str, ...], requirement: str) -> None:
    way = install_python([place(*names, index="https://h/b/7-linux/python/simple/")])
    assert way is not None
    assert shlex.split(way.commands[0]) == [
        *("pip", "install", "--index-url", "https://h/b/python-deps/simple/"),
        *("--extra-index-url", "https://h/b/7-linux/python/simple/", requirement),
    ]


def test_staging_directory_without_dependencies_gets_them_first() -> None:
    way = install_python([place(CORE), place(SDIST, has_deps=False, group="gfx94X-dcgpu")])
    assert way is not None
    mirror, make = map(shlex.split, way.commands)
    assert mirror == ["./inv", "mirror-deps", "--staging-dir", "a b"]
    assert make == [
        *("./inv", "setup-venv", "rocm-venv", "--run-id", "7", "--staging-dir", "a b"),
        *("--artifact-group", "gfx94X-dcgpu", "--packages", "rocm==7.13.0+a.b"),
    ]
