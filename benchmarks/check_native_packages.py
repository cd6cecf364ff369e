#!/usr/bin/env python3
"""Build a real run's deb and rpm packages and let dpkg, rpm and elfdeps judge each of them.

    .venv/bin/python benchmarks/check_native_packages.py RUN_DIRECTORY [--name full]

Every deb is unpacked by dpkg-deb and its sums are checked; every rpm is checked by rpm and unpacked
by rpm2cpio; both have to hold the same files with the same links and hard links, and with the modes
that each format wants of libraries and data. What each rpm provides and requires has to be what
elfdeps says of its files. No ELF file but GPU code keeps a RUNPATH or an RPATH that leads out of
what is installed, and everything else is as the archives have it. The archives are the same
afterwards.
Results are kept in ``benchmarks/results/native-packages-NAME.json``; the exit code is 1 when
something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.bench_native_packages import plan_of  # noqa: E402 - found only now
from tests.native_package_makers import elfdeps  # noqa: E402
from therock_outputs.artifacts.archive_file import ArchiveFile  # noqa: E402
from therock_outputs.artifacts.archives import Kind, open_archive  # noqa: E402
from therock_outputs.artifacts.elf import ElfFile, Tag, is_code_object  # noqa: E402
from therock_outputs.artifacts.reproducible import FIXED_EPOCH  # noqa: E402
from therock_outputs.native_packages.build import (  # noqa: E402
    WrittenPackage,
    build_native_packages,
)
from therock_outputs.native_packages.package import PackageFormat  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results"
PIECE = 1 << 20
FOUND = {"requires": 1 << 14, "provides": 1 << 15}
"""What marks a relation that a generator found (RPMSENSE_FIND_…)."""


def tool(*words: str | Path, cwd: Path | None = None) -> str:
    """What a tool prints; it has to succeed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def unpack(package: WrittenPackage, directory: Path) -> None:
    """Unpack by the format's own tool, and have it check the package."""
    directory.mkdir(parents=True)
    if package.plan.format is PackageFormat.DEB:
        tool("dpkg-deb", "-x", package.path, directory)
        control = directory.with_name("control")
        tool("dpkg-deb", "-e", package.path, control)
        sums = control / "md5sums"
        if sums.read_text():
            tool("md5sum", "-c", "--quiet", "--strict", sums, cwd=directory)
        return
    checked = tool("rpm", "-K", package.path)
    assert checked.endswith("digests OK\n"), checked
    with subprocess.Popen(["rpm2cpio", str(package.path)], stdout=subprocess.PIPE) as archive:
        subprocess.run(
            ["cpio", "-idm", "--quiet", "--no-absolute-filenames"],
            stdin=archive.stdout,
            cwd=directory,
            check=True,
        )
    assert archive.returncode == 0


def digest_of(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_of(root: Path) -> dict[str, str]:
    """Every path with its time, links and content; the modes of directories too."""
    found: dict[str, str] = {}
    inodes: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = f"{status.st_mode:o}"
        else:
            first = inodes.setdefault(status.st_ino, name)
            found[name] = f"{int(status.st_mtime)} {first} {digest_of(path)}"
    return found


def wanted_modes(path: Path, mode: int) -> dict[PackageFormat, int]:
    """The modes that a file of the archives' mode should have."""
    deb = rpm = mode
    with path.open("rb") as file:
        start = file.read(4)
        if start == b"\x7fELF":
            elf = ElfFile.read(memoryview(start + file.read()), str(path), narrow=True)
            if elf is None or not elf.is_program:
                deb = rpm = mode & ~0o111
            if elf is not None and elf.is_library:
                rpm = mode | (mode & 0o444) >> 2
        elif start[:2] != b"#!":
            deb = rpm = mode & ~0o111
        elif path.suffix == ".pm":
            rpm = mode & ~0o111
    return {PackageFormat.DEB: deb, PackageFormat.RPM: rpm}


def elf_files(root: Path) -> Iterator[Path]:
    """ELF files below a directory."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


class Check:
    """What was looked at, and what was wrong."""

    def __init__(self, archives: list[ArchiveFile]) -> None:
        self.faults: list[str] = []
        self.elf_files = self.paths = self.rewritten = self.relations = self.changed_modes = 0
        self.digests = {
            (archive.name.filename, member.stage, member.path): digest
            for archive in archives
            for member, digest in digests_in(archive)
        }

    def pair(self, deb: WrittenPackage, rpm: WrittenPackage, work: Path) -> None:
        """A deb and an rpm of the same definition."""
        unpack(deb, work / "deb" / "root")
        unpack(rpm, work / "rpm" / "root")
        prefix = rpm.plan.prefix.strip("/")
        trees = [tree_of(work / kind / "root" / prefix) for kind in ("deb", "rpm")]
        if trees[0] != trees[1]:
            odd = sorted(dict(trees[0].items() ^ trees[1].items()))[:3]
            self.faults.append(f"{rpm.path.name}: {odd} are not as in the deb")
        self.paths += len(trees[1])
        self.modes(rpm, work)
        self.contents(rpm, work / "rpm" / "root")
        self.elf(rpm, work / "rpm" / "root")

    def modes(self, package: WrittenPackage, work: Path) -> None:
        """Files may be executed as each format wants it; hard links have one mode anyway."""
        prefix = package.plan.prefix.strip("/")
        for content in package.plan.contents:
            if content.kind is not Kind.FILE:
                continue
            place = f"root/{prefix}/{content.path}"
            for kind, wanted in wanted_modes(work / "rpm" / place, content.mode).items():
                mode = (work / kind.value / place).stat().st_mode & 0o7777
                self.changed_modes += mode != content.mode
                if mode != wanted:
                    self.faults.append(
                        f"{package.path.name}: {content.path} has mode {mode:o} in the "
                        f"{kind.value}, not {wanted:o}"
                    )

    def contents(self, package: WrittenPackage, root: Path) -> None:
        """All that was planned is there, the same but for what is rewritten."""
        place = root / package.plan.prefix.strip("/")
        for content in package.plan.contents:
            path = place / content.path
            if content.kind is not Kind.FILE:
                if not path.is_symlink() and not path.exists():
                    self.faults.append(f"{package.path.name}: {content.path} is not there")
                continue
            if digest_of(path) == self.digests[content.archive, content.stage, content.path]:
                continue
            self.rewritten += 1
            if path.stat().st_size != content.size and path.name != "rocm.cfg":
                self.faults.append(f"{package.path.name}: {content.path} has another size")

    def elf(self, package: WrittenPackage, root: Path) -> None:
        """Relations and search paths."""
        found: dict[str, set[str]] = {"provides": set(), "requires": set()}
        for path in elf_files(root):
            self.elf_files += 1
            for what in found:
                found[what] |= elfdeps(path, what)
            elf = None
            if not is_code_object(path.name):
                elf = ElfFile.read(memoryview(path.read_bytes()), str(path), narrow=True)
            if elf is not None and elf.has(Tag.RUNPATH):
                self.faults.append(f"{package.path.name}: {path.name} has a RUNPATH")
            for place in elf.search_path if elf is not None else ():
                if not place.startswith(("$ORIGIN", "/opt/rocm", "/usr/lib")):
                    self.faults.append(f"{package.path.name}: {path.name} is led to {place}")
        for what, names in found.items():
            tag, flag = what[:-1].upper(), FOUND[what]
            form = f"[%{{{tag}NAME}}\\t%{{{tag}FLAGS}}\\n]"
            told = tool("rpm", "-qp", "--qf", form, package.path).splitlines()
            relations = (line.split("\t") for line in told)
            generated = {name for name, flags in relations if int(flags) & flag}
            if package.plan.name.startswith("amdrocm-debugger"):
                names = {name for name in names if not name.startswith("libpython")}  # noqa: PLW2901
            self.relations += len(names)
            if generated != names:
                odd = sorted(generated ^ names)[:3]
                self.faults.append(f"{package.path.name} {what} not what elfdeps says: {odd}")


def digests_in(archive: ArchiveFile) -> Iterator[tuple[Any, str]]:
    """The files of an archive with their digests."""
    buffer = memoryview(bytearray(PIECE))
    with open_archive(archive.path) as reader:
        for member in reader:
            if member.kind is Kind.FILE:
                digest, left = hashlib.sha256(), member.size
                while left:
                    piece = buffer[: min(left, PIECE)]
                    reader.readinto(piece)
                    digest.update(piece)
                    left -= len(piece)
                yield member, digest.hexdigest()


def main() -> int:
    """Build, judge, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default="small", help="of the file of results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where that is kept")
    given = parser.parse_args()
    before = {path.name: digest_of(path) for path in given.run.glob("*.tar.*")}
    packages, archives = plan_of(given.run)
    check = Check(archives)
    with tempfile.TemporaryDirectory(prefix="check-", dir=os.environ.get("BENCH_DIR")) as name:
        work = Path(name)
        started = time.perf_counter()
        built = build_native_packages(
            packages,
            archives,
            {kind: work / "out" / kind.value for kind in PackageFormat},
            work / "tmp",
            mtime=FIXED_EPOCH,
        )
        seconds = time.perf_counter() - started
        check.faults += [f"{one.plan.filename}: {one.error}" for one in built.failures]
        by_names = {(one.plan.format, one.plan.name): one for one in built.files}
        pairs = 0
        alone = {name for name, one in by_names.items() if one.plan.contents}
        for (kind, package), rpm in by_names.items():
            deb_name = package.replace("-devel", "-dev")
            if kind is PackageFormat.RPM and (deb := by_names.get((PackageFormat.DEB, deb_name))):
                place = work / "unpacked" / package
                check.pair(deb, rpm, place)
                pairs += 1
                alone -= {(kind, package), (PackageFormat.DEB, deb_name)}
                subprocess.run(["rm", "-rf", str(place)], check=True)
        sizes = {
            kind.value: sum(one.size for one in built.files if one.plan.format is kind)
            for kind in PackageFormat
        }
    if before != {path.name: digest_of(path) for path in given.run.glob("*.tar.*")}:
        check.faults.append("the archives were changed")
    check.faults += [f"{kind}: {package} is in one format only" for kind, package in sorted(alone)]
    results = {
        "packages": len(built.files),
        "pairs_compared": pairs,
        "bytes": sizes,
        "paths": check.paths,
        "elf_files": check.elf_files,
        "elf_relations": check.relations,
        "files_rewritten": check.rewritten,
        "modes_changed": check.changed_modes,
        "build_wall_s": round(seconds, 1),
        "load": round(os.getloadavg()[0], 1),
        "faults": check.faults,
    }
    (given.results / f"native-packages-{given.name}.json").write_text(
        json.dumps(results, indent=1) + "\n"
    )
    print(json.dumps(results, indent=1))
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
