"""What archives hold, read once."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from tests import archive_makers as make
from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.native_packages.inventory import StageMember, read_inventory

ONE, TWO = "x/one/stage", "x/two/stage"


def write(directory: Path, stem: str, *members: bytes, stages: tuple[str, ...] = (ONE,)) -> Path:
    path = directory / f"{stem}.tar.zst"
    path.write_bytes(zstandard.compress(make.tar(*members, stages=stages)))
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_members_are_known_by_stage_with_kind_mode_size_and_digest(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a_lib_generic",
        make.directory(ONE),
        make.directory(f"{ONE}/share/empty", mode=0o750),
        make.file(f"{ONE}/bin/tool", b"tool", mode=0o755),
        make.symlink(f"{ONE}/bin/link", "tool"),
        make.hardlink(f"{ONE}/bin/same", f"{ONE}/bin/tool"),
        make.hardlink(f"{TWO}/bin/other", f"{ONE}/bin/same"),
        stages=(ONE, TWO, "x/nothing/stage"),
    )
    (archive,) = read_inventory([path]).archives
    assert archive.stages == {
        ONE: (
            StageMember("share/empty", Kind.DIRECTORY, 0o750),
            StageMember("bin/tool", Kind.FILE, 0o755, 4, digest=sha256(b"tool")),
            StageMember("bin/link", Kind.SYMLINK, 0o777, link="tool"),
            StageMember("bin/same", Kind.HARDLINK, 0o644, link="bin/tool", digest=sha256(b"tool")),
        ),
        TWO: (
            StageMember(
                "bin/other",
                Kind.HARDLINK,
                0o644,
                link="bin/same",
                link_stage=ONE,
                digest=sha256(b"tool"),
            ),
        ),
        "x/nothing/stage": (),
    }


def test_archives_come_in_one_order_and_tell_the_runs_targets(tmp_path: Path) -> None:
    stems = ["b_lib_gfx942", "a_lib_gfx942:xnack+", "b_lib_generic", "a_run_gfx1100"]
    paths = [write(tmp_path, stem, make.file(f"{ONE}/x")) for stem in stems]
    found = read_inventory(paths, jobs=3)
    assert [archive.artifact.stem for archive in found.archives] == [
        "b_lib_generic",
        "a_lib_gfx942:xnack+",
        "a_run_gfx1100",
        "b_lib_gfx942",
    ]
    assert found.targets == ("gfx1100", "gfx942")
    assert found == read_inventory(list(reversed(paths)))


def test_large_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path, "a_lib_generic", make.file(f"{ONE}/large", bytes(64 << 20)))
    tracemalloc.start()
    (archive,) = read_inventory([path]).archives
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert archive.stages[ONE][0].size == 64 << 20
    assert peak < 16 << 20


def test_what_is_no_archive_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"a_lib_generic\.tar\.zst: no such archive"):
        read_inventory([tmp_path / "a_lib_generic.tar.zst"])
    with pytest.raises(IntegrityError, match=r"notes\.txt: not the name of an artifact archive"):
        read_inventory([tmp_path / "notes.txt"])
    good = write(tmp_path, "a_lib_generic", make.file(f"{ONE}/x"))
    bad = write(tmp_path, "b_lib_generic", make.file(f"{ONE}/../x"))
    with pytest.raises(IntegrityError, match=r"b_lib_generic\.tar\.zst.*climbs out"):
        read_inventory([good, bad], jobs=2)


def test_machine_code_is_told_by_how_it_begins(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a_lib_generic",
        make.file(f"{ONE}/lib/liba.so", b"\x7fELF and more"),
        make.file(f"{ONE}/lib/liba.a", b"!<arch>\n"),
        make.hardlink(f"{ONE}/lib/libb.so", f"{ONE}/lib/liba.so"),
        make.file(f"{ONE}/lib/short", b"\x7fEL"),
        make.file(f"{ONE}/include/a.h", b"int a;"),
        make.file(f"{ONE}/empty", b""),
        stages=(ONE,),
    )
    (archive,) = read_inventory([path]).archives
    code = {member.path for member in archive.stages[ONE] if member.is_code}
    assert code == {"lib/liba.so", "lib/liba.a", "lib/libb.so"}
