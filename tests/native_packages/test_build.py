from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native_package_makers import (
    ARCHIVE,
    DEB,
    MTIME,
    PREFIX,
    RPM,
    build_both,
    directories,
    executable,
    extract_deb,
    extract_rpm,
    hardlink,
    make_archive,
    planned,
    run,
)
from tests.running import tree
from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.entries import Entry
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StorageError,
    UsageError,
)
from therock_outputs.native_packages import deb, rpm
from therock_outputs.native_packages.build import build_native_packages, builder_digest
from therock_outputs.native_packages.entries import Entry as PackageEntry
from therock_outputs.native_packages.files import FileMaker, StoredFile, StoredPiece
from therock_outputs.native_packages.packaging import Tools
from therock_outputs.native_packages.pieces import PIECE, Compression, PieceMaker
from therock_outputs.native_packages.spool import Spool

OTHER = "base_lib_generic.tar.zst"
BROKEN = sample_elf.shared_library("libbad.so", ["f"])[:400]

_BUILD = """
import sys
from pathlib import Path
from tests.native_package_makers import DEB, RPM, MTIME, directories, planned
from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.names import parse_archive_filename
from therock_outputs.native_packages.build import build_native_packages
path, out, work = map(Path, sys.argv[1:])
archive = ArchiveFile(parse_archive_filename(path.name), path, None)
plans = [planned(kind, [archive]) for kind in (DEB, RPM)]
print("ready", flush=True)
result = build_native_packages(plans, [archive], directories(out), work, mtime=MTIME, jobs=2)
print(len(result.files), flush=True)
"""


def test_progress_counts_the_bytes_of_the_archives_that_are_needed(tmp_path: Path) -> None:
    archives = [make_archive(tmp_path / "a", {f"bin/{n}": b"x" * 1000 for n in range(9)})]
    archives.append(make_archive(tmp_path / "b", {"share/doc": b"y"}, OTHER))
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def progress(label: str, count: int) -> None:
        with lock:
            seen[label] += count

    build_native_packages(
        [planned(DEB, archives[:1])],
        archives,
        directories(tmp_path / "out"),
        tmp_path / "work",
        mtime=MTIME,
        progress=progress,
    )

    assert seen == {ARCHIVE: archives[0].path.stat().st_size}


def test_result_tells_size_and_digest_of_each_package(tmp_path: Path) -> None:
    built = build_both(tmp_path, [make_archive(tmp_path / "a", {"bin/tool": b"tool"})])

    for file in built.result.files:
        assert file.size == file.path.stat().st_size
        assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert built.deb == tmp_path / "out/deb/amdrocm-runtime7.13_7.13.0~20251124-1_amd64.deb"
    assert built.rpm == tmp_path / "out/rpm/amdrocm-runtime7.13-7.13.0~20251124-1.x86_64.rpm"


def test_each_package_has_a_log(tmp_path: Path) -> None:
    library = sample_elf.shared_library("liba.so.1", ["f"], needed=["libc.so.6"])
    content: dict[str, Entry | bytes] = {
        "lib/liba.so.1": library,
        "lib/liba.so": Entry.symlink("", "liba.so.1"),
        "lib/same": hardlink("lib/liba.so.1"),
    }
    built = build_both(tmp_path, [make_archive(tmp_path / "a", content)])

    log = (tmp_path / f"logs/rpm/{built.rpm.name}.log").read_text()
    assert f"{built.result.files[1].size} bytes, SHA-256 {built.result.files[1].sha256}" in log
    assert "  It holds what the test made.\n" in log
    assert f"from {ARCHIVE}\n" in log
    assert "found that it provides liba.so.1()(64bit)\n" in log
    assert "found that it requires libc.so.6()(64bit)\n" in log
    assert f"0777 {PREFIX}/lib/liba.so: link to liba.so.1\n" in log
    assert f"0755 {PREFIX}/lib/same: the same file as {PREFIX}/lib/liba.so.1\n" in log
    assert (tmp_path / f"logs/deb/{built.deb.name}.log").read_text().startswith(built.deb.name)


def test_one_failure_does_not_keep_others_from_being_built(tmp_path: Path) -> None:
    good = make_archive(tmp_path / "a", {"bin/tool": b"tool"})
    bad = make_archive(tmp_path / "b", {"lib/libbad.so": BROKEN}, OTHER)
    plans = [
        planned(DEB, [bad], name="amdrocm-bad"),
        planned(DEB, [good]),
        planned(RPM, [bad], name="amdrocm-bad"),
        planned(RPM, [good]),
    ]

    result = build_native_packages(
        plans,
        [good, bad],
        directories(tmp_path / "out"),
        tmp_path / "work",
        mtime=MTIME,
        logs_dir=tmp_path / "logs",
    )

    assert [file.plan for file in result.files] == [plans[1], plans[3]]
    assert [failure.plan for failure in result.failures] == [plans[0], plans[2]]
    for failure in result.failures:
        assert isinstance(failure.error, IntegrityError)
        assert f"{OTHER}: lib/libbad.so: is cut short" in str(failure.error)
    log = (tmp_path / f"logs/deb/{plans[0].filename}.log").read_text()
    assert log == f"failed: {result.failures[0].error}\n"
    assert sorted(path.name for path in (tmp_path / "out").glob("*/*")) == sorted(
        [plans[1].filename, plans[3].filename]
    )


def test_an_archive_that_is_not_as_published_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a", {"bin/tool": b"tool"})
    plan = planned(DEB, [archive])
    places = (directories(tmp_path / "out"), tmp_path / "work")

    with pytest.raises(IntegrityError, match=r"its SHA-256 is .*, not 00.* as published; delete"):
        build_native_packages([plan], [replace(archive, sha256="00")], *places, mtime=MTIME)
    with pytest.raises(NotFoundError, match="is in the plan and not on disk; fetch the run again"):
        build_native_packages([plan], [], *places, mtime=MTIME)
    make_archive(tmp_path / "a", {"bin/tool": b"another"})
    with pytest.raises(IntegrityError, match=r"'bin/tool' has 7 bytes.*plan again"):
        build_native_packages([plan], [replace(archive, sha256=None)], *places, mtime=MTIME)
    make_archive(tmp_path / "a", {"bin/other": b"tool"})
    with pytest.raises(IntegrityError, match=r"there is no file 'bin/tool' in it.*plan again"):
        build_native_packages([plan], [replace(archive, sha256=None)], *places, mtime=MTIME)
    archive.path.unlink()
    with pytest.raises(NotFoundError, match="is gone; fetch the run again"):
        build_native_packages([plan], [archive], *places, mtime=MTIME)
    assert not list((tmp_path / "out").glob("*/*"))
    assert not list((tmp_path / "work").iterdir())


def test_what_no_package_can_be_is_refused(tmp_path: Path) -> None:
    plan = planned(RPM, name="amdrocm")
    places = (directories(tmp_path / "out"), tmp_path / "work")
    with pytest.raises(ConflictError, match=r"amdrocm-.*\.rpm is planned twice; plan again"):
        build_native_packages([plan, plan], [], *places, mtime=MTIME)
    with pytest.raises(UsageError, match="an rpm cannot tell the time 4294967296"):
        build_native_packages([plan], [], *places, mtime=1 << 32)


def test_a_deb_whose_part_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deb, "_MOST_IN_MEMBER", 1000)
    archive = make_archive(tmp_path / "a", {"bin/tool": os.urandom(5000)})

    result = build_native_packages(
        [planned(DEB, [archive])],
        [archive],
        directories(tmp_path / "out"),
        tmp_path / "work",
        mtime=MTIME,
    )

    assert "data.tar.zst has " in str(result.failures[0].error)
    assert "a deb cannot hold a part of more than 1000; split" in str(result.failures[0].error)


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a", {"bin/tool": os.urandom(5000)})
    plans = [planned(kind, [archive]) for kind in (DEB, RPM)]

    def full(*_given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match=r"work.* \(No space left on device\); free some"):
            build_native_packages(
                plans, [archive], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
            )
    with monkeypatch.context() as patched:
        patched.setattr(rpm, "write_payload", lambda *_args, **_named: full())
        with pytest.raises(StorageError, match=r"\.rpm cannot be written \(No space left"):
            build_native_packages(
                plans, [archive], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
            )
    assert not [path for path in (tmp_path / "out/rpm").iterdir()]  # noqa: C416
    assert not list((tmp_path / "work").iterdir())
    result = build_native_packages(
        plans, [archive], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
    )
    assert len(result.files) == 2


def test_a_killed_build_leaves_whole_packages_only_and_a_rerun_finishes(tmp_path: Path) -> None:
    content: dict[str, Entry | bytes] = {
        f"lib/{number}": os.urandom(300_000) for number in range(30)
    }
    archive = make_archive(tmp_path / "a", content)
    whole = build_both(tmp_path / "whole", [archive])
    out, work = tmp_path / "out", tmp_path / "work"
    command = [sys.executable, "-c", _BUILD, str(archive.path), str(out), str(work)]
    root = Path(__file__).parents[2]
    for delay in (0.02, 0.08, 0.15, 0.3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        for path in out.glob("*/[!.]*"):
            assert (
                path.read_bytes() == (tmp_path / "whole" / path.relative_to(tmp_path)).read_bytes()
            )

    done = subprocess.run(command, capture_output=True, cwd=root, check=True, text=True)

    assert done.stdout == "ready\n2\n"
    assert tree(out) == tree(whole.deb.parents[1])
    assert list(work.iterdir()) == []


def test_large_files_are_not_held_in_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        block = os.urandom(1 << 16) * 16
        for _ in range(340):
            file.write(block)
    archive = make_archive(tmp_path / "a", {"lib/large": Entry("", Kind.FILE, 0o644, large)})
    large.unlink()
    # Unlike ru_maxrss this does not begin with the size of the process that started this one.
    peak = "next(line.split()[1] for line in open('/proc/self/status') if line[:6] == 'VmHWM:')"
    script = f"{_BUILD}\nprint({peak})"
    words = [str(archive.path), str(tmp_path / "out"), str(tmp_path / "work")]

    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=True,
        text=True,
    )

    assert int(done.stdout.splitlines()[-1]) < 300_000  # kB; the file has 356 MB


@pytest.mark.parametrize("compression", list(Compression))
def test_large_and_small_files_are_the_same_afterwards(
    compression: Compression, tmp_path: Path
) -> None:
    data = os.urandom(70_000) * 40
    library = sample_elf.shared_library("liba.so.1", ["f"], payload=data)
    content: dict[str, Entry | bytes] = {"lib/liba.so.1": library, "bin/x": executable(data)}
    archive = make_archive(tmp_path / "a", content)
    held = build_both(tmp_path / "held", [archive], compression=compression)
    streamed = build_both(tmp_path / "streamed", [archive], compression=compression, large=1000)

    unpacked = [
        tree(extract_deb(built.deb, tmp_path / name) / PREFIX[1:])
        for name, built in (("1", held), ("2", streamed))
    ]
    unpacked.append(tree(extract_rpm(streamed.rpm, tmp_path / "3") / PREFIX[1:]))
    assert unpacked[0] == unpacked[1]
    library_in_rpm = unpacked[2].pop("lib/liba.so.1")
    assert library_in_rpm == unpacked[0].pop("lib/liba.so.1").replace("644 ", "755 ")
    assert unpacked[0] == unpacked[2]
    assert "(RPATH)" in run("readelf", "-dW", tmp_path / "2" / PREFIX[1:] / "lib/liba.so.1")


def test_rpm_of_a_large_file_has_what_rpm_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpm, "_FOUR_GB", 100)
    content: dict[str, Entry | bytes] = {
        "lib/large": b"large" * 1000,
        "lib/other": hardlink("lib/large"),
        "lib/link": Entry.symlink("", "large"),
        "share/small": b"small",
        "share/empty": b"",
    }
    built = build_both(tmp_path, [make_archive(tmp_path / "a", content)])

    requires = run("rpm", "-qp", "--requires", built.rpm)
    assert "rpmlib(LargeFiles) <= 4.12.0-1\n" in requires
    assert run("rpm", "-K", built.rpm).endswith("digests OK\n")
    form = "%{LONGSIZE} %{LONGSIGSIZE} [%{LONGFILESIZES} ]"
    assert run("rpm", "-qp", "--qf", form, built.rpm).startswith("50")
    root = tmp_path / "root"
    run("rpm", f"--root={root}", "--initdb")
    run("rpm", f"--root={root}", "--force-debian", "-i", "--nodeps", built.rpm)
    place = root / PREFIX[1:]
    assert (place / "lib/large").read_bytes() == b"large" * 1000
    assert (place / "lib/other").stat().st_ino == (place / "lib/large").stat().st_ino
    assert (place / "lib/link").readlink() == Path("large")
    assert run("rpm", f"--root={root}", "-V", "--nodeps", "amdrocm-runtime7.13") == ""


def test_files_above_4_gb_fit_into_both_formats(tmp_path: Path) -> None:
    maker = PieceMaker(Compression.ZSTD)
    size = (4 << 30) + 5 * PIECE
    with Spool(tmp_path) as spool:
        block, records = maker.make(bytearray(PIECE))
        # Zeros repeat at any distance: each copy of these blocks can follow another one.
        zeros = StoredPiece((spool.put(block),) * (size // PIECE), records)
        file = StoredFile(size, "0" * 64, "0" * 32, None, (zeros,))
        files = FileMaker(maker, spool, tmp_path, keep_runpath=False, prefixes=(), threads=1)
        tools = Tools(maker, spool, files, MTIME)
        entries = [
            PackageEntry(PREFIX[1:], Kind.DIRECTORY, 0o755),
            PackageEntry(f"{PREFIX[1:]}/large", Kind.FILE, 0o644, "", file),
        ]
        for kind, writer in ((DEB, deb), (RPM, rpm)):
            with (tmp_path / f"large.{kind}").open("wb+") as package:
                writer.write_package(planned(kind), entries, package, tools)

    listing = run("dpkg-deb", "-c", tmp_path / "large.deb")
    assert f" {size} " in listing
    assert "amdrocm-runtime7.13/copyright" in listing  # what stands behind it is found
    assert run("rpm", "-K", tmp_path / "large.rpm").endswith("digests OK\n")
    dumped = run("rpm", "-qp", "--dump", tmp_path / "large.rpm")
    assert f"{PREFIX}/large {size} " in dumped
    with (
        (tmp_path / "large.rpm").open("rb") as built,
        subprocess.Popen(
            ["rpm2archive", "--nocompression"], stdin=built, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        count = 0
        while data := process.stdout.read(1 << 24):
            count += len(data)
    assert process.returncode == 0
    assert size < count < size + 20_000
    assert count % 512 == 0


def test_every_package_of_the_sample_run_is_what_dpkg_rpm_and_elfdeps_say(tmp_path: Path) -> None:
    sample = write_sample_run(tmp_path / "staging")
    script = Path(__file__).parents[2] / "benchmarks/check_native_packages.py"

    done = subprocess.run(
        [sys.executable, script, sample.root, "--results", tmp_path, "--name", "sample"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "native-packages-sample.json").read_text())
    assert figures["faults"] == []
    assert figures["pairs_compared"] > 50
    assert figures["elf_relations"] > 20
    assert figures["files_rewritten"] > 5


def test_temporary_files_that_are_cut_short_are_told_of(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        place = spool.put(b"some bytes")
        assert spool.read(place) == b"some bytes"
        os.ftruncate(spool.descriptor, 4)
        with pytest.raises(IntegrityError, match="temporary files were cut short"):
            spool.read(place)


def test_builder_digest_is_of_the_builders_files() -> None:
    assert len(builder_digest()) == 64
    assert builder_digest() == builder_digest()
