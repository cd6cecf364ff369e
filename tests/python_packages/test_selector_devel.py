"""The devel tree's expansion, in directories laid out as an installer leaves them."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wheel_makers import (
    CORE_FILES,
    HEADER,
    LIBRARIES_FILES,
    TARGETS,
    device_files,
    make_run,
    verbatim_files,
)
from therock_outputs.python_packages.templates.rocm_sdk._devel import devel_root, expand
from therock_outputs.python_packages.templates.rocm_sdk._environment import Installation
from therock_outputs.python_packages.templates.rocm_sdk._errors import (
    DevelError,
    MixedRunsError,
    PackageMissingError,
)
from therock_outputs.python_packages.templates.rocm_sdk._links import LinkMode, link_mode
from therock_outputs.python_packages.templates.rocm_sdk._ready import tree_is_ready
from therock_outputs.python_packages.templates.rocm_sdk._record import read_record

VERSION = "0.0.0"
"""What the package has before an sdist is written for a run."""
HARD, SYMBOLIC = {"ROCM_SDK_LINK_MODE": "hard"}, {"ROCM_SDK_LINK_MODE": "symbolic"}
MANIFEST = "rocm_sdk_devel/devel_manifest.json"
ARCHIVE = "rocm_sdk_devel/_devel.tar.gz"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    make_run(directory, VERSION)
    return directory


@pytest.fixture
def site(tmp_path: Path, wheels: Path) -> Path:
    directory = tmp_path / "site-packages"
    for name in ("core", "libraries", "devel"):
        _unpack(wheels, f"rocm_sdk_{name}", directory)
    return directory


def _unpack(wheels: Path, name: str, site: Path) -> None:
    (wheel,) = wheels.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # noqa: S202  # made above


def _installed(site: Path) -> Installation:
    return Installation(str(site))


def _tree(root: Path) -> dict[str, bytes]:
    """Every name of a file below a directory, through links, with its bytes."""
    return {
        str(Path(directory, name).relative_to(root)): Path(directory, name).read_bytes()
        for directory, _, names in os.walk(root, followlinks=True)
        for name in names
        if not name.startswith(".rocm-sdk")
    }


def _expected() -> dict[str, bytes]:
    files = verbatim_files()
    for path, data in {**CORE_FILES, **LIBRARIES_FILES}.items():
        files[path.split("/", 1)[1]] = data
    del files["__init__.py"]
    amdhip = files["lib/libamdhip64.so.7"]
    files.update({"lib/libamdhip64.so": amdhip, "lib/libamdhip64.so.7.2": amdhip})
    files["lib/libhipblas.so"] = files["lib/libhipblas.so.3"]
    files["include/hip.h"] = HEADER
    for path in list(files):
        if path.startswith("lib/llvm/"):
            files[path.removeprefix("lib/")] = files[path]
    return files


def _disk_use(site: Path) -> int:
    """Bytes of all files, each inode once."""
    sizes = {}
    for path in site.rglob("*"):
        status = path.lstat()
        if path.is_file() and not path.is_symlink():
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


@pytest.mark.parametrize("environ", [{}, HARD, SYMBOLIC])
def test_expansion_gives_every_file_under_every_name(site: Path, environ: dict[str, str]) -> None:
    root = expand(_installed(site), environ)
    assert _tree(root) == _expected()
    assert (root / "share" / "empty").is_dir()
    assert os.access(root / "bin" / "hipconfig-dev", os.X_OK)
    assert not os.access(root / "include" / "hip.h", os.X_OK)


def test_links_to_files_are_hard_links_and_do_not_double_the_size(site: Path) -> None:
    before = _disk_use(site)
    root = expand(_installed(site), {})
    core = site / "_rocm_sdk_core" / "lib" / "libamdhip64.so.7"
    for name in ("libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.7.2"):
        assert (root / "lib" / name).samefile(core)
        assert not (root / "lib" / name).is_symlink()
    own = sum(len(data) for data in verbatim_files().values())
    bookkeeping = 10_000  # the state, and the rows of RECORD
    assert _disk_use(site) - before < own + bookkeeping


def test_symbolic_links_are_relative_and_move_with_the_environment(site: Path) -> None:
    expand(_installed(site), SYMBOLIC)
    moved = site.rename(site.with_name("moved"))
    root = moved / "_rocm_sdk_devel"
    assert (root / "lib" / "libamdhip64.so").readlink() == Path("libamdhip64.so.7")
    assert _tree(root) == _expected()


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_file_system_without_hard_links_gets_symbolic_ones(site: Path, code: int) -> None:
    def refuse(_source: str, _name: str) -> None:
        raise OSError(code, os.strerror(code))

    root = expand(_installed(site), {}, hard_link=refuse)
    assert (root / "lib" / "libamdhip64.so.7").is_symlink()
    assert _tree(root) == _expected()
    with pytest.raises(DevelError, match=r"cannot make the hard link .* set it to symbolic"):
        expand(_installed(site), HARD, again=True, hard_link=refuse)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another device."""
    own = tmp_path.stat().st_dev
    places = (Path(place) for place in ("/dev/shm", "/run/lock", "/tmp", "/var/tmp"))  # noqa: S108
    place = next(place for place in places if place.is_dir() and place.stat().st_dev != own)
    with tempfile.TemporaryDirectory(dir=place) as directory:
        yield Path(directory)


def test_package_on_another_device_is_linked_symbolically(site: Path, elsewhere: Path) -> None:
    core = site / "_rocm_sdk_core"
    shutil.move(core, elsewhere)
    core.symlink_to(elsewhere / core.name)
    root = expand(_installed(site), {})
    assert (root / "lib" / "libamdhip64.so.7").readlink() == Path(
        "../../_rocm_sdk_core/lib/libamdhip64.so.7"
    )
    assert not (root / "lib" / "libhipblas.so.3").is_symlink()
    assert _tree(root) == _expected()
    with pytest.raises(DevelError, match="cannot make the hard link"):
        expand(_installed(site), HARD, again=True)


def test_second_use_writes_nothing(site: Path) -> None:
    expand(_installed(site), {})
    places = [site, *site.rglob("*")]
    before = [(path, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in places]
    assert devel_root(_installed(site)) == site / "_rocm_sdk_devel"
    assert before == [(path, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in places]
    assert len(list(site.rglob("*"))) + 1 == len(places)


def test_expansion_that_cannot_be_written_says_so(site: Path) -> None:
    (site / "_rocm_sdk_devel.partial").write_text("in the way")
    with pytest.raises(DevelError, match=r"cannot expand .* run `rocm-sdk init` once as a user"):
        expand(_installed(site), {})


def test_interrupted_expansion_leaves_no_tree_and_is_done_next_time(site: Path) -> None:
    def interrupt(_source: str, _name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        expand(_installed(site), {}, hard_link=interrupt)
    assert [path.name for path in site.glob("_rocm_sdk_devel*")] == []
    assert _tree(expand(_installed(site), {})) == _expected()


def test_killed_expansion_starts_over_next_time(site: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from therock_outputs.python_packages.templates.rocm_sdk import _devel, _environment\n"
        "def kill(source, name): os.kill(os.getpid(), signal.SIGKILL)\n"
        "_devel.expand(_environment.Installation(sys.argv[1]), {}, hard_link=kill)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, site], check=False)
    assert ran.returncode == -9
    assert [path.name for path in site.glob("_rocm_sdk_devel*")] == ["_rocm_sdk_devel.partial"]
    dist_info = _installed(site).dist_info("rocm-sdk-devel")
    assert "_rocm_sdk_devel.partial" in [path for path, _, _ in read_record(dist_info)]
    assert _tree(expand(_installed(site), {})) == _expected()
    assert not (site / "_rocm_sdk_devel.partial").exists()


def test_record_names_every_file_once_with_its_digest(site: Path) -> None:
    root = expand(_installed(site), {})
    rows = read_record(_installed(site).dist_info("rocm-sdk-devel"))
    paths = [path for path, _, _ in rows]
    assert len(paths) == len(set(paths))
    inside = {path for path in paths if path.startswith("_rocm_sdk_devel/")}
    real = {
        str(path.relative_to(site))
        for path in root.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    assert inside == real
    expand(_installed(site), {}, again=True)
    assert read_record(_installed(site).dist_info("rocm-sdk-devel")) == rows


def test_tree_follows_the_libraries_when_they_come_and_go(site: Path, wheels: Path) -> None:
    shutil.rmtree(site / "_rocm_sdk_libraries")
    (info,) = site.glob("rocm_sdk_libraries-*")
    shutil.rmtree(info)
    root = expand(_installed(site), {})
    assert not list(root.rglob("*hipblas*"))
    assert (root / "lib" / "libamdhip64.so").is_file()
    _unpack(wheels, "rocm_sdk_libraries", site)
    assert not tree_is_ready(_installed(site))
    devel_root(_installed(site))
    assert _tree(root) == _expected()


def test_device_wheels_files_are_linked_and_recorded_with_the_device_wheel(
    site: Path, wheels: Path
) -> None:
    _unpack(wheels, "rocm_sdk_device_gfx942", site)
    root = expand(_installed(site), {})
    _unpack(wheels, "rocm_sdk_device_gfx1100", site)
    assert not tree_is_ready(_installed(site))
    devel_root(_installed(site))
    assert tree_is_ready(_installed(site))
    devel_rows = {path for path, _, _ in read_record(_installed(site).dist_info("rocm-sdk-devel"))}
    for target in TARGETS:
        name = f"rocm-sdk-device-{target}"
        rows = {path for path, _, _ in read_record(_installed(site).dist_info(name))}
        for path in device_files(target):
            inside = path.split("/", 1)[1]
            if inside.startswith("."):
                continue
            assert (root / inside).samefile(site / path)
            assert f"_rocm_sdk_devel/{inside}" in rows - devel_rows
    # As after `pip install --force-reinstall`, whose RECORD knows nothing of the links.
    _unpack(wheels, "rocm_sdk_device_gfx942", site)
    assert not tree_is_ready(_installed(site))
    devel_root(_installed(site))
    assert tree_is_ready(_installed(site))


def test_record_that_an_installer_linked_to_its_cache_is_not_changed_there(
    site: Path, tmp_path: Path
) -> None:
    record = Path(_installed(site).dist_info("rocm-sdk-devel"), "RECORD")
    cached = tmp_path / "RECORD"
    cached.hardlink_to(record)
    before = cached.read_bytes()
    expand(_installed(site), {})
    assert cached.read_bytes() == before
    assert record.read_bytes() != before


def test_file_of_another_run_is_noticed(site: Path) -> None:
    (site / "_rocm_sdk_core" / "share" / "notes.txt").write_text("of another run")
    with pytest.raises(MixedRunsError, match=r"notes.txt has 14 bytes .* expect 6"):
        expand(_installed(site), {})
    (site / "_rocm_sdk_core" / "share" / "notes.txt").unlink()
    with pytest.raises(DevelError, match=r"notes.txt is missing"):
        expand(_installed(site), {})


def test_devel_that_is_not_installed_is_named(site: Path) -> None:
    shutil.rmtree(next(site.glob("rocm_sdk_devel-*")))
    with pytest.raises(PackageMissingError, match=r'pip install "rocm\[devel\]==0.0.0"'):
        expand(_installed(site), {})


def _member(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_archive_that_does_not_fit_its_manifest_is_refused(site: Path) -> None:
    whole = (site / ARCHIVE).read_bytes()
    plain = bytearray(gzip.decompress(whole))
    at = plain.index(b"hip_FOUND")
    plain[at] ^= 1
    for data, message in (
        (whole[: len(whole) // 2], "is damaged"),
        (b"not gzip", "is damaged"),
        (gzip.compress(bytes(plain)), "its SHA-256 is not the manifest's"),
        (_member("../evil", b"x"), "not in its manifest"),
        (_member("include/hip/hip_runtime.h", b"x"), "not in its manifest"),
        (_member("include/hip/hip_runtime.h", HEADER), "the archive lacks bin/hipconfig-dev"),
    ):
        (site / ARCHIVE).write_bytes(data)
        with pytest.raises(DevelError, match=message):
            expand(_installed(site), {})
        assert not list(site.glob("_rocm_sdk_devel*"))
    assert not (site.parent / "evil").exists()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"path": "a", "kind": "symlink", "target": "b"}], "dangling link, a"),
        (
            [
                {"path": "a", "kind": "symlink", "target": "b"},
                {"path": "b", "kind": "symlink", "target": "a"},
            ],
            "link loop at a",
        ),
        ([{"path": "a", "kind": "symlink", "target": "../b"}], "not a path inside"),
        ([{"path": "/a", "kind": "directory"}], "not a path inside"),
        ([{"path": "a", "kind": "pipe"}], "an entry is"),
        ([{"path": "a", "kind": "file", "size": 1}], "needs its size and sha256"),
        (["a"], "an entry is 'a'"),
    ],
)
def test_manifest_that_cannot_be_right_is_refused(
    site: Path, entries: list[object], message: str
) -> None:
    document = {"format": 1, "version": VERSION, "entries": entries}
    (site / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(DevelError, match=message):
        expand(_installed(site), {})


def test_manifest_that_is_not_json_is_refused(site: Path) -> None:
    for text in ("", "[]", '{"format": 2}', '{"format": 1}'):
        (site / MANIFEST).write_text(text)
        with pytest.raises(DevelError, match="reinstall rocm-sdk-devel"):
            expand(_installed(site), {})


def test_link_mode_is_read_from_the_environment() -> None:
    assert link_mode({}) is LinkMode.AUTO
    assert link_mode(HARD) is LinkMode.HARD
    assert link_mode(SYMBOLIC) is LinkMode.SYMBOLIC
    with pytest.raises(DevelError, match="say hard or symbolic"):
        link_mode({"ROCM_SDK_LINK_MODE": "soft"})


def test_digests_in_record_are_of_the_files(site: Path) -> None:
    expand(_installed(site), {})
    rows = {path: rest for path, *rest in read_record(_installed(site).dist_info("rocm-sdk-devel"))}
    digest, size = rows["_rocm_sdk_devel/include/hip/hip_runtime.h"]
    raw = hashlib.sha256(HEADER).digest()
    assert digest == "sha256=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert size == str(len(HEADER))
