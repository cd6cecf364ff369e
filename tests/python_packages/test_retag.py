"""Final versions of a release candidate's packages: other names and pins, the same bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.python_files import install, installed
from tests.python_files import wheel as plain_wheel
from tests.wheel_makers import (
    FAMILIES,
    LIBRARIES,
    PROGRAMS,
    TARGETS,
    Environment,
    devel_files,
    make_run,
    make_wheel,
    repack_installed,
)
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.python_packages.retag import Retag, retag_wheel, retagged_name
from therock_outputs.python_packages.retag_selector import retag_selector
from therock_outputs.python_packages.sdist import write_selector
from therock_outputs.python_packages.wheel import Packed, WheelMetadata, WheelWriter, pack

RETAG = Retag("7.13.0rc2", "7.13.0")
MTIME = 1_700_000_000
METADATA = WheelMetadata(
    distribution="rocm-sdk-device-gfx942",
    version=RETAG.old,
    summary="GPU code, first seen in 7.13.0rc2",
    platform_tag="manylinux_2_28_x86_64",
    description="# Title\n\nVersion: 7.13.0rc2\nrocm-sdk-libraries==7.13.0rc2\n",
    requires=("rocm-sdk-libraries==7.13.0rc2", "other==7.13.0rc21", "another>=7.13.0rc2"),
    entry_points={"tool": "pkg:tool"},
)
MEMBERS = {
    "_rocm_sdk_libraries/lib/kernels.co": b"7.13.0rc2" * 5000,
    "_rocm_sdk_libraries/noise": hashlib.shake_256(b"x").digest(5000),
    "_rocm_sdk_libraries/bin/tool": b"#!/bin/sh\n",
    "_rocm_sdk_libraries/deep/er/_dist_info.py": b'V = "7.13.0rc2"\n',
}


def _write(directory: Path, metadata: WheelMetadata, members: dict[str, bytes]) -> Path:
    directory.mkdir(exist_ok=True)
    name = metadata.distribution.replace("-", "_")
    path = directory / f"{name}-{metadata.version}-py3-none-{metadata.platform_tag}.whl"
    with WheelWriter(path, MTIME) as writer:
        for member, data in members.items():
            writer.add(member, pack(data, 6), executable="/bin/" in member)
        writer.finish(metadata)
    return path


def _raw_members(path: Path) -> Mapping[str, tuple[bytes, object, int]]:
    """Each member's bytes as they lie there, with its time and its mode."""
    data = path.read_bytes()
    found = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            at = info.header_offset
            lengths = data[at + 26 : at + 30]
            start = at + 30 + int.from_bytes(lengths[:2], "little")
            start += int.from_bytes(lengths[2:], "little")
            raw = data[start : start + info.compress_size]
            found[info.filename] = raw, info.date_time, info.external_attr
    return found


def check_record(path: Path) -> None:
    """RECORD lists each file, with its true digest and size, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if not name.endswith("/")]
        (record,) = [name for name in names if name.endswith(".dist-info/RECORD")]
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert sorted(rows) == sorted(names)
        for name in names:
            data = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            expected = ["", ""] if name == record else [f"sha256={digest}", str(len(data))]
            assert rows[name] == expected


def _out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir(exist_ok=True)
    return tmp_path / "out"


def test_wheel_is_what_building_the_final_version_gives(tmp_path: Path) -> None:
    metadata = replace(METADATA, description="# Title\n", summary="A summary")
    source = _write(tmp_path / "rc", metadata, MEMBERS)
    final = replace(
        metadata,
        version="7.13.0",
        requires=("rocm-sdk-libraries==7.13.0", *metadata.requires[1:]),
    )
    expected = _write(tmp_path / "final", final, MEMBERS)
    written = retag_wheel(source, _out(tmp_path), RETAG)
    assert written.path.name == expected.name
    assert written.path.read_bytes() == expected.read_bytes()
    data = expected.read_bytes()
    assert (written.size, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_all_other_bytes_stay_compressed_as_they_were(tmp_path: Path) -> None:
    source = _write(tmp_path / "rc", METADATA, MEMBERS)
    written = retag_wheel(source, _out(tmp_path), RETAG)
    before, after = _raw_members(source), _raw_members(written.path)
    for name, raw in before.items():
        renamed = name.replace("-7.13.0rc2.dist-info/", "-7.13.0.dist-info/")
        if renamed.endswith(("/METADATA", "/RECORD")):
            assert after[renamed][1:] == raw[1:]
        else:
            assert after[renamed] == raw
    check_record(written.path)
    with zipfile.ZipFile(written.path) as archive:
        text = archive.read("rocm_sdk_device_gfx942-7.13.0.dist-info/METADATA").decode()
    assert "\nVersion: 7.13.0\n" in text
    assert "\nRequires-Dist: rocm-sdk-libraries==7.13.0\n" in text
    assert "other==7.13.0rc21\n" in text
    assert "another>=7.13.0rc2\n" in text
    assert text.endswith("\n# Title\n\nVersion: 7.13.0rc2\nrocm-sdk-libraries==7.13.0rc2\n")


def test_member_larger_than_four_gigabytes_keeps_its_size(tmp_path: Path) -> None:
    directory = tmp_path / "rc"
    directory.mkdir()
    path = directory / "rocm_sdk_device_gfx942-7.13.0rc2-py3-none-manylinux_2_28_x86_64.whl"
    size = 5 << 30
    # Only what the zip says of it is so large.
    huge = Packed(size, 0x1234, bytes(32), zlib.compress(b"not its data", wbits=-15))
    with WheelWriter(path, MTIME) as writer:
        writer.add("_rocm_sdk_libraries/huge", huge)
        writer.finish(METADATA)
    written = retag_wheel(path, _out(tmp_path), RETAG)
    with zipfile.ZipFile(written.path) as archive:
        info = archive.getinfo("_rocm_sdk_libraries/huge")
        assert (info.file_size, info.CRC, info.compress_size) == (size, 0x1234, len(huge.data))
        record = archive.read("rocm_sdk_device_gfx942-7.13.0.dist-info/RECORD").decode()
    assert f"_rocm_sdk_libraries/huge,{huge.record_hash},{size}\n" in record


def test_files_that_tell_the_version_are_changed(tmp_path: Path) -> None:
    files = {**devel_files(RETAG.old), "rocm_sdk_core/_dist_info.py": b"__version__ = '7.13.0rc2'"}
    source = make_wheel(tmp_path, "rocm-sdk-devel", RETAG.old, files)
    written = retag_wheel(source, _out(tmp_path), RETAG)
    check_record(written.path)
    with zipfile.ZipFile(written.path) as archive:
        manifest = archive.read("rocm_sdk_devel/devel_manifest.json")
        assert manifest == devel_files("7.13.0")["rocm_sdk_devel/devel_manifest.json"]
        assert archive.read("rocm_sdk_core/_dist_info.py") == b"__version__ = '7.13.0'"


def test_wheel_of_another_tool_keeps_its_modes_directories_and_data(tmp_path: Path) -> None:
    name, data = plain_wheel("rocm-sdk-core", RETAG.old, scripts={"hello": "#!/bin/sh\necho hi\n"})
    source = tmp_path / name
    source.write_bytes(data)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(zipfile.ZipInfo("empty/", (2020, 1, 1, 0, 0, 0)), b"")
    written = retag_wheel(source, _out(tmp_path), RETAG)
    check_record(written.path)
    with zipfile.ZipFile(written.path) as archive:
        script = archive.getinfo("rocm_sdk_core-7.13.0.data/scripts/hello")
        assert script.external_attr >> 16 == 0o100755
        assert archive.getinfo("empty/").is_dir()
    for judge in ("pip", "uv"):
        target = tmp_path / judge
        install(judge, target, "--no-deps", str(written.path))
        assert installed(target) == {"rocm_sdk_core-7.13.0"}
        assert (target / "bin/hello").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-40], "is no whole wheel"),
        (lambda data: data.replace(b"PK\3\4", b"PK\3\5", 1), "cannot be copied"),
        (lambda data: data[:0], "is no whole wheel"),
    ],
)
def test_damaged_wheel_is_refused(tmp_path: Path, damage: object, words: str) -> None:
    source = _write(tmp_path / "rc", METADATA, MEMBERS)
    assert callable(damage)
    source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(IntegrityError, match=words) as failure:
        retag_wheel(source, _out(tmp_path), RETAG)
    assert source.name in str(failure.value)
    assert list(_out(tmp_path).iterdir()) == []


def test_wheel_with_an_unlisted_file_a_signature_or_a_strange_directory_is_refused(
    tmp_path: Path,
) -> None:
    def made(extra: str, name: str = "rocm_sdk_core") -> Path:
        directory = tmp_path / hashlib.sha256((extra + name).encode()).hexdigest()[:8]
        directory.mkdir()
        path = make_wheel(directory, "rocm-sdk-core", RETAG.old, {})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(extra, b"x")
        return path.rename(directory / path.name.replace("rocm_sdk_core", name))

    info = "rocm_sdk_core-7.13.0rc2.dist-info"
    for path, words in (
        (made("sneaked.py"), "RECORD does not list sneaked.py"),
        (made(f"{info}/RECORD.jws"), r"is signed \(RECORD.jws\)"),
        (made("other-1.dist-info/METADATA"), "holds 2 .dist-info directories"),
        (made("a/b", "rocm_sdk_devel"), "not one of its own"),
    ):
        with pytest.raises(IntegrityError, match=words):
            retag_wheel(path, _out(tmp_path), RETAG)


def test_wheel_of_another_version_is_refused(tmp_path: Path) -> None:
    source = make_wheel(tmp_path, "rocm-sdk-core", "7.13.0rc1", {})
    with pytest.raises(IntegrityError, match=r"is not of version 7\.13\.0rc2"):
        retag_wheel(source, _out(tmp_path), RETAG)
    source = source.rename(tmp_path / source.name.replace("rc1", "rc2"))
    with pytest.raises(IntegrityError, match=r"its rocm_sdk_core-7\.13\.0rc1\.dist-info is not"):
        retag_wheel(source, _out(tmp_path), RETAG)


@pytest.mark.parametrize("name", ["rocm-7.13.0rc21.tar.gz", "rocm-7.13.0rc2.zip", "rocm-7.13.0"])
def test_name_of_another_version_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="is not of version 7"):
        retagged_name(name, RETAG)


def test_versions_are_in_their_normal_form() -> None:
    with pytest.raises(UsageError, match=r"'7\.13\.0-rc2' is not in its normal form"):
        Retag("7.13.0-rc2", "7.13.0")


# ------------------------------------------------------------------------- the selector


def _selector(
    directory: Path, version: str, targets: tuple[str, ...] = TARGETS, *, systems: bool = False
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    families = {name: members for name, members in FAMILIES.items() if members[0] in targets}
    return write_selector(
        directory, version=version, targets=targets, families=families,
        default_target=targets[0], linux_targets=targets if systems else (),
        windows_targets=targets[:1] if systems else (), libraries=LIBRARIES, programs=PROGRAMS,
        has_profiler=True, split=True, mtime=MTIME,
    )  # fmt: skip


@pytest.mark.parametrize("systems", [False, True])
@pytest.mark.parametrize("targets", [None, TARGETS, ("gfx1100",)])
def test_selector_is_what_building_the_final_version_gives(
    tmp_path: Path, targets: tuple[str, ...] | None, systems: bool
) -> None:
    if systems and targets == ("gfx1100",):
        targets = ("gfx942",)  # the one that both systems have
    source = _selector(tmp_path / "rc", RETAG.old, systems=systems)
    expected = _selector(tmp_path / "final", RETAG.new, targets or TARGETS, systems=systems)
    written = retag_selector(source, _out(tmp_path), RETAG, targets)
    assert written.path.name == expected.name
    assert written.path.read_bytes() == expected.read_bytes()
    assert written.sha256 == hashlib.sha256(expected.read_bytes()).hexdigest()


def test_selector_without_the_default_target_chooses_another(tmp_path: Path) -> None:
    source = _selector(tmp_path / "rc", RETAG.old, systems=True)
    written = retag_selector(source, _out(tmp_path), RETAG, ["gfx1100"])
    with tarfile.open(written.path) as archive:
        member = archive.extractfile("rocm-7.13.0/rocm_sdk/_dist_info.py")
        assert member is not None
        text = member.read().decode()
    assert 'DEFAULT_TARGET: str = "gfx1100"' in text
    assert "WINDOWS_TARGETS: tuple[str, ...] = ()" in text


def test_selector_without_a_target_is_refused(tmp_path: Path) -> None:
    source = _selector(tmp_path / "rc", RETAG.old)
    with pytest.raises(UsageError, match="has no target gfx906; --multi-arch-targets takes gfx942"):
        retag_selector(source, _out(tmp_path), RETAG, ["gfx906"])


def _tar(path: Path, members: dict[str, bytes | None]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def test_sdist_of_another_tool_is_retagged_in_the_files_that_pin(tmp_path: Path) -> None:
    top = "rocm-7.13.0rc2"
    source = _tar(
        tmp_path / f"{top}.tar.gz",
        {
            f"{top}/PKG-INFO": b"Name: rocm\nVersion: 7.13.0rc2\n\n7.13.0rc2\n",
            f"{top}/setup.cfg": b"[metadata]\nversion = 7.13.0rc2\n",
            f"{top}/setup.py": b"R = 'rocm-sdk-core==7.13.0rc2'; V = '7.13.0rc2'\n",
            f"{top}/src/rocm.egg-info/requires.txt": b"rocm-sdk-core==7.13.0rc2\n",
            f"{top}/src/rocm_sdk/_dist_info.py": b"__version__ = '7.13.0rc2'\n",
            f"{top}/src/rocm_sdk/other.py": b"'7.13.0rc2'\n",
        },
    )
    written = retag_selector(source, _out(tmp_path), RETAG)
    with tarfile.open(written.path) as archive:
        found = {
            name.removeprefix("rocm-7.13.0/"): file.read().decode()
            for name in archive.getnames()
            if (file := archive.extractfile(name)) is not None
        }
    assert found == {
        "PKG-INFO": "Name: rocm\nVersion: 7.13.0\n\n7.13.0rc2\n",
        "setup.cfg": "[metadata]\nversion = 7.13.0\n",
        "setup.py": "R = 'rocm-sdk-core==7.13.0'; V = '7.13.0'\n",
        "src/rocm.egg-info/requires.txt": "rocm-sdk-core==7.13.0\n",
        "src/rocm_sdk/_dist_info.py": "__version__ = '7.13.0'\n",
        "src/rocm_sdk/other.py": "'7.13.0rc2'\n",
    }
    with pytest.raises(UsageError, match="was not written by this program"):
        retag_selector(source, _out(tmp_path), RETAG, ["gfx942"])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"elsewhere/PKG-INFO": b""}, "is not below rocm-7.13.0rc2/"),
        ({"rocm-7.13.0rc2/link": None}, "is neither a file nor a directory"),
    ],
)
def test_strange_sdist_is_refused(
    tmp_path: Path, members: dict[str, bytes | None], words: str
) -> None:
    source = _tar(tmp_path / "rocm-7.13.0rc2.tar.gz", members)
    with pytest.raises(IntegrityError, match=words):
        retag_selector(source, _out(tmp_path), RETAG)


def test_damaged_sdist_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "rocm-7.13.0rc2.tar.gz"
    source.write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(IntegrityError, match=r"rocm-7\.13\.0rc2\.tar\.gz: is no whole sdist"):
        retag_selector(source, _out(tmp_path), RETAG)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TARGETS: tuple = (", "cannot be read"),
        ('VERSION: str = __import__("os").name', "has no VERSION of the form"),
        ("VERSION: str = 7", "has no VERSION of the form"),
    ],
)
def test_constants_are_read_as_data(tmp_path: Path, text: str, words: str) -> None:
    top = "rocm-7.13.0rc2"
    names = ("PKG-INFO", "README.md")
    members: dict[str, bytes | None] = {f"{top}/{name}": b"x\n\n" for name in names}
    members[f"{top}/rocm_sdk/_dist_info.py"] = text.encode()
    source = _tar(tmp_path / f"{top}.tar.gz", members)
    with pytest.raises(IntegrityError, match=words):
        retag_selector(source, _out(tmp_path), RETAG, ["gfx942"])


# ------------------------------------------------------------------------------- judges


def test_retagged_run_installs_passes_its_own_test_and_twine(tmp_path: Path) -> None:
    rc, final = tmp_path / "rc", tmp_path / "final"
    make_run(rc, RETAG.old)
    final.mkdir()
    for path in sorted(rc.iterdir()):
        retag = retag_wheel if path.suffix == ".whl" else retag_selector
        retag(path, final, RETAG)
    repack_installed("setuptools", final)
    twine = subprocess.run(
        [sys.executable, "-m", "twine", "check", *final.glob("rocm*")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert twine.returncode == 0, twine.stdout + twine.stderr
    env = Environment.make(tmp_path / "env")
    env.pip(
        "install", "--no-index", "--find-links", final, "rocm[libraries,device-all,devel,profiler]"
    )
    assert env.run("rocm-sdk", "version").stdout == "7.13.0\n"
    env.run("rocm-sdk", "init")
    said = env.run("rocm-sdk", "test").stdout
    assert "7.13.0rc2" not in said
    assert "7.13.0" in said
