#!/usr/bin/env python3
"""How fast a real run's deb and rpm packages are made, beside dpkg-buildpackage and rpmbuild.

    ./inv bench --only native_packages -- RUN_DIR     # a run's directory with its archives

``ours`` builds every deb and rpm of the run. The others work on a subset, packages of up to
``--subset`` bytes of files in all: ``ours_subset``, and ``plain``, which does what a script would:
it extracts each package's archives, has patchelf turn RUNPATH into RPATH, and runs
``dpkg-buildpackage`` (debhelper, xz) for the deb and ``rpmbuild`` (zstd, level 9) for the rpm, one
after another. The ratio is of those two. ``limit`` decodes every archive, digests every byte with
SHA-256 and MD5 and compresses it once, on all cores, and keeps nothing. All are whole processes;
figures are wall seconds, CPU seconds with those of children, and peak memory of the largest
process. Results are printed and kept in ``benchmarks/results/native-packages.json``.
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
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.archives import Kind, open_archive
from therock_outputs.artifacts.elf import is_code_object
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in
from therock_outputs.artifacts.reproducible import FIXED_EPOCH
from therock_outputs.native_packages.build import build_native_packages
from therock_outputs.native_packages.definitions import load_definitions
from therock_outputs.native_packages.inventory import read_inventory
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat, PackagePlan
from therock_outputs.native_packages.pieces import Compression, PieceMaker
from therock_outputs.native_packages.plan import plan_native_packages

RESULTS = Path(__file__).parent / "results" / "native-packages.json"
VERSION, RELEASE = "7.13.0", "1"
CORES = os.cpu_count() or 1
MB = 1 << 20
PIECE = 16 * MB


def plan_of(run: Path) -> tuple[tuple[PackagePlan, ...], list[ArchiveFile]]:
    """All packages of a run that is split by target, and its archives."""
    archives = archives_in(run)
    options = NativePackageOptions.for_version(VERSION, release=RELEASE, split=True)
    inventory = read_inventory([archive.path for archive in archives], CORES)
    plan = plan_native_packages(load_definitions(), inventory, options, GpuFamilies.load())
    return plan.packages, [ArchiveFile(a.name, a.path, a.sha256) for a in archives]


def subset_of(packages: Sequence[PackagePlan], size: int) -> list[PackagePlan]:
    """Some packages in both formats: every other one by size that still fits, with its files."""
    debs = [p for p in packages if p.format is PackageFormat.DEB and p.contents]
    chosen, left = set(), size
    for package in sorted(debs, key=lambda p: (-p.size, p.name))[::2]:
        if package.size <= left:
            chosen.add(package.definition)
            left -= sum(p.size for p in debs if p.definition == package.definition)
    return [p for p in packages if p.definition in chosen and p.contents]


# --------------------------------------------------------------------- what is measured


def ours(run: Path, work: Path, subset: int = 0) -> int:
    """Build packages; how many bytes of files they hold."""
    packages, archives = plan_of(run)
    chosen = subset_of(packages, subset) if subset else packages
    result = build_native_packages(
        chosen,
        archives,
        {kind: work / "out" / kind.value for kind in PackageFormat},
        work / "tmp",
        mtime=FIXED_EPOCH,
        logs_dir=work / "logs",
    )
    assert not result.failures, result.failures[0].error
    return sum(package.size for package in chosen)


def plain(run: Path, work: Path, subset: int) -> int:
    """The same packages the plain way, one step after another."""
    packages, archives = plan_of(run)
    paths = {archive.name.filename: archive.path for archive in archives}
    (work / "out").mkdir(parents=True)
    chosen = subset_of(packages, subset)
    for package in chosen:
        tree = work / "tmp" / package.format.value / package.name
        lay_out(package, tree / "files", paths)
        (plain_deb if package.format is PackageFormat.DEB else plain_rpm)(package, tree, work)
        shutil.rmtree(tree)
    return sum(package.size for package in chosen)


def lay_out(package: PackagePlan, root: Path, archives: dict[str, Path]) -> None:
    """A package's files below a directory."""
    place = root / package.prefix.strip("/")
    wanted = {(one.archive, one.stage, one.path) for one in package.contents}
    buffer = memoryview(bytearray(MB))
    for name in sorted({one.archive for one in package.contents if one.archive}):
        with open_archive(archives[name]) as reader:
            for member in reader:
                if (name, member.stage, member.path) not in wanted:
                    continue
                path = place / member.path
                if member.kind is Kind.DIRECTORY:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if member.kind is Kind.FILE:
                    with path.open("wb") as file:
                        left = member.size
                        while left:
                            piece = buffer[: min(left, MB)]
                            reader.readinto(piece)
                            left -= file.write(piece)
                    path.chmod(member.mode | 0o200)
                elif member.kind is Kind.SYMLINK:
                    path.symlink_to(member.link)
                else:
                    path.hardlink_to(place / member.link.removeprefix(f"{member.stage}/"))
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink() and not is_code_object(path.name):
            force_rpath(path)


def force_rpath(path: Path) -> None:
    """Have patchelf turn RUNPATH into RPATH."""
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or head[18] != 62:
        return
    patchelf = Path(sys.executable).with_name("patchelf")
    asked = subprocess.run(
        [patchelf, "--print-rpath", path], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0 and asked.stdout.strip():
        words = ["--force-rpath", "--set-rpath", asked.stdout.strip()]
        subprocess.run([patchelf, *words, path], check=False, capture_output=True)


def plain_deb(package: PackagePlan, tree: Path, work: Path) -> None:
    """A source package with debhelper's usual rules, less what would change files."""
    debian = tree / "debian"
    debian.mkdir()
    (debian / "source").mkdir()
    (debian / "source/format").write_text("3.0 (native)\n")
    (debian / "control").write_text(
        f"Source: {package.name}\nMaintainer: {package.maintainer}\nSection: devel\n"
        "Priority: optional\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\n"
        f"Package: {package.name}\nArchitecture: amd64\nDescription: {package.summary}\n plain\n"
    )
    (debian / "changelog").write_text(
        f"{package.name} ({VERSION}) stable; urgency=low\n\n  * Plain.\n\n"
        f" -- {package.maintainer}  Tue, 01 Jan 1980 00:00:00 +0000\n"
    )
    (debian / "rules").write_text(
        "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_install:\n"
        f"\tcp -a files/. debian/{package.name}/\n"
        "override_dh_strip override_dh_shlibdeps override_dh_makeshlibs override_dh_dwz:\n"
        "override_dh_builddeb:\n\tdh_builddeb -- -Zxz\n"
    )
    (debian / "rules").chmod(0o755)
    subprocess.run(
        ["dpkg-buildpackage", "-b", "-us", "-uc", "-d"],
        cwd=tree,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for path in tree.parent.glob(f"{package.name}_*"):
        shutil.move(path, work / "out" / path.name)


def plain_rpm(package: PackagePlan, tree: Path, work: Path) -> None:
    """A spec file that takes the files as they are."""
    spec = tree / "package.spec"
    spec.write_text(
        f"Name: {package.name}\nVersion: {VERSION}\nRelease: {RELEASE}\n"
        f"Summary: {package.summary}\nLicense: {package.license}\n"
        "%global debug_package %{nil}\n%global __os_install_post %{nil}\n"
        f"%description\nplain\n%install\nmkdir -p %{{buildroot}}\n"
        f"cp -a {tree / 'files'}/. %{{buildroot}}/\n%files\n{package.prefix}\n"
    )
    defines = {"_topdir": tree / "top", "_rpmdir": work / "out", "_binary_payload": "w9.zstdio"}
    words = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    subprocess.run(
        ["rpmbuild", "-bb", *words, str(spec)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def limit(run: Path) -> int:
    """Decode, digest and compress every byte once, on all cores."""
    maker = PieceMaker(Compression.ZSTD)

    def work(data: bytearray) -> None:
        hashlib.sha256(data).digest()
        hashlib.md5(data, usedforsecurity=False).digest()
        maker.make(data)

    total = 0
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(CORES) as pool:
        for data in pieces_of(run):
            total += len(data)
            pending.append(pool.submit(work, data))
            del data
            if len(pending) > 2 * CORES:
                pending.popleft().result()
        for task in pending:
            task.result()
    return total


def pieces_of(run: Path) -> Iterator[bytearray]:
    """The files of all archives, in pieces."""
    for archive in archives_in(run):
        with open_archive(archive.path) as reader:
            for member in reader:
                left = member.size
                while left:
                    data = bytearray(min(left, PIECE))
                    reader.readinto(memoryview(data))
                    left -= len(data)
                    yield data


# ------------------------------------------------------------------------- measuring


def measure(part: str, run: Path, subset: int) -> dict[str, Any]:
    """Run a part as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_DIR")) as name:
        work = Path(name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        words = [str(run), "--part", part, "--work", name, "--subset", str(subset)]
        subprocess.run([sys.executable, __file__, *words], check=True)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        sizes: dict[str, int] = {"deb": 0, "rpm": 0}
        for path in (work / "out").rglob("*"):
            if path.suffix[1:] in sizes:
                sizes[path.suffix[1:]] += path.stat().st_size
        return {
            "wall_s": round(wall, 2),
            "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
            **json.loads((work / "usage.json").read_text()),
            "output_bytes": sizes,
        }


def run_part(part: str, run: Path, work: Path, subset: int) -> None:
    """Do the work of one process, and note what it took."""
    load = os.getloadavg()[0]
    if part == "limit":
        size = limit(run)
    elif part == "plain":
        size = plain(run, work, subset)
    else:
        size = ours(run, work, subset if part == "ours_subset" else 0)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    usage = {
        "files_bytes": size,
        "peak_memory_mb": round(max(own, children) / 1000),
        "load_before": round(load, 1),
    }
    (work / "usage.json").write_text(json.dumps(usage))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--skip-plain", action="store_true", help="take minutes less")
    parser.add_argument("--subset", type=int, default=150 * MB, help="bytes; of plain's packages")
    parser.add_argument("--repeat", type=int, default=1, help="of ours; the best counts")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.run, given.work, given.subset)
        return
    results: dict[str, Any] = {
        "machine": {"cores": CORES, "python": platform.python_version()},
        "archives_bytes": sum(path.stat().st_size for path in given.run.glob("*.tar.*")),
    }
    parts = ("ours", "limit", *(() if given.skip_plain else ("ours_subset", "plain")))
    for part in parts:
        repeat = given.repeat if part.startswith("ours") else 1
        taken = [measure(part, given.run, given.subset) for _ in range(repeat)]
        results[part] = min(taken, key=lambda one: one["wall_s"])
        print(part, json.dumps(results[part]), flush=True)
    if "plain" in results:
        ratio = results["plain"]["wall_s"] / results["ours_subset"]["wall_s"]
        results["times_faster"] = round(ratio, 1)
    given.results.parent.mkdir(exist_ok=True)
    given.results.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
