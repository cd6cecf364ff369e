#!/usr/bin/env python3
"""How fast a real run's Python packages are made, beside the plain way and beside the limit.

    ./inv bench --only python_packages -- RUN_DIR     # a run's directory with its archives

``plain`` does what a script would: it extracts the archives, copies each package's files into a
directory, asks patchelf for each ELF file's SONAME and RPATH and has it add every entry of the new
one, packs the directory with ``zipfile`` at level 6, and the rest with ``tarfile`` for devel. The
limit decodes every archive,
digests every byte with SHA-256 and deflates it once with libdeflate at the level of the packages,
on all cores, and keeps nothing. ``zlib`` is how large the packages' files would be at zlib's level
6. All are whole processes; figures are wall seconds, CPU seconds with those of children, peak
memory of the largest process and peak of the temporary files. Results are printed and kept in
``benchmarks/results/python_packages.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deflate

from therock_outputs.artifacts.archives import Kind, open_archive
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in
from therock_outputs.artifacts.names import ArchiveName
from therock_outputs.artifacts.reproducible import FIXED_EPOCH
from therock_outputs.artifacts.rpath import origin_paths
from therock_outputs.python_packages.build import ArchiveFile, build_python_packages
from therock_outputs.python_packages.catalog import Catalog, PackageKind
from therock_outputs.python_packages.launcher import launcher_for, prebuilt_launcher
from therock_outputs.python_packages.plan import (
    PlannedWheel,
    PythonPackageOptions,
    PythonPackagePlan,
    plan_python_packages,
)

RESULTS = Path(__file__).parent / "results" / "python_packages.json"
VERSION = "7.13.0"
ZLIB_LEVEL = 6
LIMIT_LEVEL = 5
"""The lowest that a package is made with."""
CORES = os.cpu_count() or 1
MB = 1 << 20
CODE = (".co", ".hsaco", ".kpack")


def plan_of(run: Path) -> tuple[PythonPackagePlan, list[ArchiveFile]]:
    """The plan for a run that is split by target, and its archives."""
    archives = archives_in(run)
    options = PythonPackageOptions(version=VERSION, split=True)
    plan = plan_python_packages([a.name for a in archives], options, GpuFamilies.load())
    return plan, [ArchiveFile(a.name, a.path, a.sha256) for a in archives]


# --------------------------------------------------------------------- what is measured


def ours(run: Path, work: Path) -> None:
    """Build all packages."""
    plan, archives = plan_of(run)
    build_python_packages(plan, archives, work / "out", work / "tmp", mtime=FIXED_EPOCH)


def plain(run: Path, work: Path) -> None:
    """The same packages the plain way, one step after another."""
    plan, archives = plan_of(run)
    paths = {archive.name: archive.path for archive in archives}
    catalog = Catalog.load()
    (work / "out").mkdir(parents=True)
    artifacts = work / "tmp" / "artifacts"
    for name in plan.archives:
        (artifacts / name.filename).mkdir(parents=True)
        extract(paths[name], artifacts / name.filename)
    taken: set[str] = set()
    for wheel in plan.wheels:
        tree = work / "tmp" / wheel.distribution
        place = tree / wheel.directory
        for name in wheel.archives:
            place.mkdir(parents=True, exist_ok=True)
            source = f"{artifacts / name.filename}/."
            subprocess.run(["cp", "-a", "--remove-destination", source, place], check=True)
        if wheel.kind is PackageKind.DEVEL:
            pack_devel(wheel, tree, place, taken, work / "out")
        else:
            rules = catalog[wheel.kind]
            for path in walk(place):
                inner = path.relative_to(place).as_posix()
                if rules.excludes(inner):
                    path.unlink()
            if wheel.kind in (PackageKind.CORE, PackageKind.LIBRARIES):
                taken |= {path.relative_to(place).as_posix() for path in walk(place)}
            finish_tree(wheel, tree, place)
            pack_wheel(tree, work / "out" / wheel.filename)
        shutil.rmtree(tree)


def extract(archive: Path, target: Path) -> None:
    """Lay an archive's members over a directory."""
    buffer = memoryview(bytearray(MB))
    with open_archive(archive) as reader:
        for member in reader:
            path = target / member.path
            if member.kind is Kind.DIRECTORY:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if member.kind is Kind.FILE:
                with path.open("wb") as file:
                    left = member.size
                    while left:
                        piece = buffer[: min(left, MB)]
                        reader.readinto(piece)
                        left -= file.write(piece)
                path.chmod(member.mode)
            elif member.kind is Kind.SYMLINK:
                path.symlink_to(member.link)
            else:
                shutil.copy2(target / member.link.removeprefix(f"{member.stage}/"), path)


def walk(root: Path) -> Iterator[Path]:
    """All files and links below a directory."""
    return (path for path in sorted(root.rglob("*")) if path.is_symlink() or not path.is_dir())


def finish_tree(wheel: PlannedWheel, tree: Path, place: Path) -> None:
    """No links, libraries under their SONAMEs, search paths."""
    for path in walk(place):
        if path.is_symlink():
            target = path.resolve()
            path.unlink()
            if not target.is_file() or ".so" in target.name:
                continue
            if os.access(target, os.X_OK):
                steps = os.path.relpath(target, path.parent)
                path.write_bytes(launcher_for(steps, prebuilt_launcher("linux_x86_64")))
                path.chmod(0o755)
            else:
                shutil.copy2(target, path)
    for path in walk(place):
        with path.open("rb") as file:
            head = file.read(20)
        if head[:4] != b"\x7fELF" or head[18] != 62 or path.suffix in CODE:
            continue
        inner = path.relative_to(tree).as_posix()
        current = patchelf("--print-rpath", path)
        if current is None:
            continue
        for part in origin_paths(inner, wheel.rpath):
            patchelf("--force-rpath", "--add-rpath", part, path)
        soname = patchelf("--print-soname", path) if ".so" in path.name else ""
        if soname and soname != path.name:
            path.rename(path.with_name(soname))


def patchelf(*words: str | Path) -> str | None:
    """What patchelf says, or None for a file that it does not work on."""
    done = subprocess.run(
        [Path(sys.executable).with_name("patchelf"), *words],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def pack_wheel(tree: Path, path: Path) -> None:
    """A zip file with a RECORD."""
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=ZLIB_LEVEL) as archive:
        for file in walk(tree):
            inner = file.relative_to(tree).as_posix()
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            record.append(f"{inner},sha256={digest},{file.stat().st_size}")
            archive.write(file, inner)
        archive.writestr("x.dist-info/RECORD", "\n".join(record))


def pack_devel(wheel: PlannedWheel, tree: Path, place: Path, taken: set[str], out: Path) -> None:
    """One archive of what no runtime package has."""
    archive = tree / "rocm_sdk_devel/_devel.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz", compresslevel=ZLIB_LEVEL) as members:
        for path in walk(place):
            inner = path.relative_to(place).as_posix()
            if path != archive and inner not in taken and not path.is_symlink():
                members.add(path, inner)
    with zipfile.ZipFile(out / wheel.filename, "w", zipfile.ZIP_STORED) as wheel_file:
        wheel_file.write(archive, "rocm_sdk_devel/_devel.tar.gz")


def limit(run: Path) -> None:
    """Decode, digest and deflate every byte that the packages hold once, on all cores."""
    plan, archives = plan_of(run)
    paths = {archive.name: archive.path for archive in archives}

    def work(data: bytearray) -> None:
        hashlib.sha256(data).digest()
        deflate.deflate_compress(data, LIMIT_LEVEL)

    with ThreadPoolExecutor(CORES) as pool:
        pending = []
        for name in plan.archives:
            for data in pieces_of(name, paths):
                pending.append(pool.submit(work, data))
                if len(pending) > 2 * CORES:
                    pending.pop(0).result()
        for task in pending:
            task.result()


def pieces_of(name: ArchiveName, paths: dict[ArchiveName, Path]) -> Iterator[bytearray]:
    """The files of an archive, in pieces."""
    with open_archive(paths[name]) as reader:
        for member in reader:
            left = member.size
            while left:
                data = bytearray(min(left, 32 * MB))
                reader.readinto(memoryview(data))
                left -= len(data)
                yield data


# ------------------------------------------------------------------------- measuring


def measure(part: str, run: Path) -> dict[str, Any]:
    """Run a part as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_DIR")) as name:
        work = Path(name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        with watching(work / "tmp") as peak:
            subprocess.run(
                [sys.executable, __file__, str(run), "--part", part, "--work", name], check=True
            )
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        files = sorted((work / "out").glob("*")) if (work / "out").is_dir() else []
        usage = json.loads((work / "usage.json").read_text())
        return {
            "wall_s": round(wall, 2),
            "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
            "peak_memory_mb": usage["peak_memory_mb"],
            "peak_temporary_mb": round(peak[0] / 1e6),
            "output_bytes": {file.name: file.stat().st_size for file in files},
            "load_before": usage["load"],
        }


@contextmanager
def watching(directory: Path) -> Iterator[list[int]]:
    """The most bytes that were in a directory, looked at four times a second."""
    stop, peak = threading.Event(), [0]

    def watch() -> None:
        while not stop.wait(0.25):
            sizes = 0
            for base, _, names in os.walk(directory):
                for name in names:
                    try:
                        sizes += os.lstat(os.path.join(base, name)).st_size  # noqa: PTH118
                    except FileNotFoundError:
                        continue
            peak[0] = max(peak[0], sizes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def zlib_sizes(wheels: Sequence[Path]) -> dict[str, int]:
    """What the members of the runtime wheels come to at zlib's level 6, on all cores."""

    def one(job: tuple[Path, str]) -> tuple[str, int]:
        path, name = job
        compressor, size = zlib.compressobj(6, zlib.DEFLATED, -15), 0
        with zipfile.ZipFile(path) as opened, opened.open(name) as stream:
            whole = opened.getinfo(name).file_size
            while data := stream.read(MB):
                size += len(compressor.compress(data))
        return path.name, min(size + len(compressor.flush()), whole)

    jobs = []
    sizes: dict[str, int] = {}
    for path in wheels:
        if path.suffix == ".whl" and "_devel-" not in path.name:
            with zipfile.ZipFile(path) as opened:
                infos = opened.infolist()
            jobs += [(path, info.filename) for info in infos]
            # The headers, which are the same.
            sizes[path.name] = path.stat().st_size - sum(info.compress_size for info in infos)
    with ThreadPoolExecutor(CORES) as pool:
        for name, size in pool.map(one, jobs):
            sizes[name] += size
    return sizes


def run_part(part: str, run: Path, work: Path) -> None:
    """Do the work of one process, and note what it took."""
    load = os.getloadavg()[0]
    if part == "limit":
        limit(run)
    else:
        (ours if part == "ours" else plain)(run, work)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    usage = {"peak_memory_mb": round(max(own, children) / 1000), "load": round(load, 1)}
    (work / "usage.json").write_text(json.dumps(usage))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--skip-plain", action="store_true", help="take two minutes less")
    parser.add_argument("--repeat", type=int, default=1, help="of ours; the best counts")
    parser.add_argument("--part", choices=("ours", "plain", "limit"), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.run, given.work)
        return
    results: dict[str, Any] = {
        "machine": {"cores": CORES, "python": platform.python_version()},
        "archives_bytes": sum(path.stat().st_size for path in given.run.glob("*.tar.*")),
    }
    for part in ("ours", "limit", *(() if given.skip_plain else ("plain",))):
        repeat = given.repeat if part == "ours" else 1
        taken = [measure(part, given.run) for _ in range(repeat)]
        results[part] = min(taken, key=lambda one: one["wall_s"])
        print(part, json.dumps(results[part]), flush=True)
    ours_, plain_ = results["ours"], results.get("plain")
    ours_["at_zlib_6"] = zlib_sizes_of(given.run)
    if plain_:
        results["times_faster"] = round(plain_["wall_s"] / ours_["wall_s"], 1)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def zlib_sizes_of(run: Path) -> dict[str, int]:
    """Build once more, and compress what is in the wheels again."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_DIR")) as name:
        ours(run, Path(name))
        return zlib_sizes(sorted((Path(name) / "out").glob("*.whl")))


if __name__ == "__main__":
    main()
