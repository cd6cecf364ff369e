#!/usr/bin/env python3
"""How fast tarballs are made of a real run, beside the plain tools and beside the limit.

    ./inv bench --only tarballs -- RUN_DIR            # a run's directory with its archives
    ./inv bench --only tarballs -- RUN_DIR --all RUN_WITH_ALL_TARGETS

Two baselines are measured in the same call. ``per-family`` extracts every family's archives and
packs them with ``tar cfz``, two families at a time. ``extract-once`` extracts each archive once
and pipes ``tar`` into zlib-ng at level 6 on all cores. The limit is decompressing every archive
and deflating every byte once, on all cores, with nothing else. All are whole processes; figures
are wall seconds, CPU seconds, and peak memory of the largest process. Results are printed and
kept in ``benchmarks/results/tarballs.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from therock_outputs.artifacts.archives import open_archive
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in
from therock_outputs.artifacts.reproducible import FIXED_EPOCH
from therock_outputs.tarballs.build import ArchiveFile, build_tarballs
from therock_outputs.tarballs.encode import EncodeUnit, encode_archives
from therock_outputs.tarballs.encoding import SEGMENT_SIZE, Encoding
from therock_outputs.tarballs.plan import TarballOptions, TarballPlan, plan_tarballs
from therock_outputs.tarballs.store import SegmentStore

RESULTS = Path(__file__).parent / "results" / "tarballs.json"
VERSION = "7.13.0"
CORES = os.cpu_count() or 1


def plan_of(run: Path, families: Sequence[str] = ()) -> tuple[TarballPlan, list[ArchiveFile]]:
    """The plan for a run that is split by target, and its archives."""
    archives = archives_in(run)
    options = TarballOptions(VERSION, families=tuple(families), split=True)
    plan = plan_tarballs([a.name for a in archives], options, GpuFamilies.load())
    return plan, [ArchiveFile(a.name, a.path, a.sha256) for a in archives]


def ours(run: Path, work: Path) -> None:
    """Build all tarballs; segments stay for the next call."""
    plan, archives = plan_of(run)
    build_tarballs(plan, archives, work / "out", work / "segments", mtime=FIXED_EPOCH)


def limit(run: Path) -> None:
    """Decode every archive and deflate every byte once, on all cores, and keep nothing."""
    compress = Encoding().compressor()

    def one(archive: ArchiveFile, pool: ThreadPoolExecutor) -> None:
        buffers = [bytearray(SEGMENT_SIZE) for _ in range(2 * CORES)]
        pending: list[object] = []
        with open_archive(archive.path) as reader:
            number = 0
            for _ in reader:
                while count := reader.readinto(memoryview(buffers[number % len(buffers)])):
                    data = memoryview(buffers[number % len(buffers)])[:count]
                    pending.append(pool.submit(compress, data))
                    number += 1
                    if len(pending) >= len(buffers):
                        pending.pop(0).result()  # type: ignore[attr-defined]
        for task in pending:
            task.result()  # type: ignore[attr-defined]

    _, archives = plan_of(run)
    with ThreadPoolExecutor(CORES) as pool:
        for archive in archives:
            one(archive, pool)


def extraction(archive: ArchiveFile, target: Path) -> str:
    """A shell line that extracts an archive without its stages' prefixes."""
    with open_archive(archive.path) as reader:
        stages = reader.stages
    strip = " ".join(f"--transform={shlex.quote(f'flags=r;s,^{stage}/,,')}" for stage in stages)
    return (
        f"zstd -dcq {shlex.quote(str(archive.path))} | tar x -C {shlex.quote(str(target))} "
        f"--exclude=artifact_manifest.txt {strip}"
    )


def shell(line: str) -> None:
    """Run a line of the plain tools."""
    subprocess.run(["/bin/bash", "-c", f"set -e -o pipefail; {line}"], check=True)


def per_family(run: Path, work: Path) -> None:
    """Extract and ``tar cfz`` each family by itself, two at a time."""
    plan, archives = plan_of(run)
    files = {archive.name: archive for archive in archives}

    def one(filename: str) -> None:
        tarball = next(t for t in plan.tarballs if t.filename == filename)
        tree = work / "trees" / filename
        tree.mkdir(parents=True)
        for name in tarball.archives:
            shell(extraction(files[name], tree))
        shell(f"tar cfz {shlex.quote(str(work / filename))} -C {shlex.quote(str(tree))} .")
        shutil.rmtree(tree)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, [tarball.filename for tarball in plan.tarballs]))


def extract_once(run: Path, work: Path) -> None:
    """Extract each archive once, then tar into zlib-ng on all cores for each family."""
    from zlib_ng import gzip_ng_threaded  # noqa: PLC0415 - for this baseline alone

    plan, archives = plan_of(run)
    trees = {}
    for archive in archives:
        trees[archive.name] = work / "trees" / archive.name.artifact.base_target
        trees[archive.name].mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda a: shell(extraction(a, trees[a.name])), archives))
    for tarball in plan.tarballs:
        parts = sorted({trees[name] for name in tarball.archives})
        command = ["tar", "c", *(word for tree in parts for word in ("-C", str(tree), "."))]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as tar,
            gzip_ng_threaded.open(  # type: ignore[no-untyped-call]
                work / tarball.filename, "wb", compresslevel=6, threads=CORES, block_size=1 << 20
            ) as out,
        ):
            assert tar.stdout is not None
            shutil.copyfileobj(tar.stdout, out, 1 << 20)


CHILDREN: dict[str, Callable[..., None]] = {
    "ours": ours,
    "limit": limit,
    "per-family": per_family,
    "extract-once": extract_once,
}


def measured(name: str, *arguments: Path) -> dict[str, float]:
    """Run one of the above as a process of its own."""
    os.sync()  # what others have written must not slow this one down
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, __file__, "--child", name, *map(str, arguments)]
    subprocess.run(command, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}


def with_memory(name: str, *arguments: Path) -> dict[str, float]:
    """The same, with the process's own peak memory (which it writes into a file)."""
    with tempfile.NamedTemporaryFile("r", suffix=".rss") as peak:
        os.environ["BENCH_PEAK_FILE"] = peak.name
        figures = measured(name, *arguments)
        figures["peak_mib"] = round(int(peak.read() or 0) / 1024)
    return figures


def median_of(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each figure's median, and the spread of the wall time."""
    figures = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
    walls = [run["wall_s"] for run in runs]
    return figures | {"wall_min_s": min(walls), "wall_max_s": max(walls), "runs": len(runs)}


def size_of(directory: Path) -> int:
    """Bytes of the tarballs in a directory."""
    return sum(path.stat().st_size for path in directory.glob("*.tar.gz"))


def clean(directory: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def growth(run: Path, work: Path, counts: Sequence[int]) -> list[dict[str, float]]:
    """Encoding alone (decode, digest, deflate), for ever more targets of one run."""
    plan, archives = plan_of(run)
    targets = sorted({a.name.artifact.base_target for a in archives} - {"generic"})
    rows = []
    for count in [n for n in counts if n < len(targets)] + [len(targets)]:
        plan, archives = plan_of(run, targets[:count])
        files = {archive.name: archive for archive in archives}
        units = [
            EncodeUnit(files[name].path, files[name].sha256 or "", FIXED_EPOCH)
            for name in plan.archives
        ]
        store = SegmentStore(clean(work / "growth"), Encoding())
        start, cpu = time.perf_counter(), time.process_time()
        indexes = encode_archives(units, store, jobs=CORES)
        segments = {s.key: s for index in indexes for s in index.segments}
        rows.append(
            {
                "targets": count,
                "tarballs": len(plan.tarballs),
                "distinct_mb": round(sum(s.length for s in segments.values()) / 1e6, 1),
                "encode_wall_s": round(time.perf_counter() - start, 2),
                "encode_cpu_s": round(time.process_time() - cpu, 2),
            }
        )
    return rows


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a run that is split by target")
    parser.add_argument("--all", type=Path, help="a run with every target, to show growth")
    parser.add_argument("--work", type=Path, help="scratch directory (20 GB for the full run)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours and of the limit")
    parser.add_argument("--ours-only", action="store_true", help="leave the baselines out")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="bench-tarballs-", dir=options.work))
    try:
        result = compare(options, scratch)
    finally:
        shutil.rmtree(scratch)
    print(json.dumps(result, indent=1))
    if not options.ours_only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def compare(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Measure everything, in turn."""
    cold, warm = [], []
    for _ in range(options.repeat):
        work = clean(scratch / "ours")
        cold.append(with_memory("ours", options.run, work))
        sizes = {"ours": size_of(work / "out")}
        segments = sum(p.stat().st_size for p in (work / "segments").rglob("*") if p.is_file())
        shutil.rmtree(work / "out")
        warm.append(with_memory("ours", options.run, work))
    clean(scratch / "ours")
    result: dict[str, object] = {
        "machine": {"cores": CORES, "python": platform.python_version()},
        "tarballs": len(plan_of(options.run)[0].tarballs),
        "cold": median_of(cold),
        "warm": median_of(warm),
        "limit": median_of([measured("limit", options.run) for _ in range(options.repeat)]),
        "segments_mb": round(segments / 1e6, 1),
        "output_mb": round(sizes["ours"] / 1e6, 1),
    }
    walls = {"cold": median_of(cold)["wall_s"], "warm": median_of(warm)["wall_s"]}
    result["limit_over_cold"] = round(result["limit"]["wall_s"] / walls["cold"], 3)  # type: ignore[index]
    for name in () if options.ours_only else ("per-family", "extract-once"):
        work = clean(scratch / name)
        figures = measured(name, options.run, work)
        figures["output_mb"] = round(size_of(work) / 1e6, 1)
        figures["times_slower_than_cold"] = round(figures["wall_s"] / walls["cold"], 1)
        figures["times_slower_than_warm"] = round(figures["wall_s"] / walls["warm"], 1)
        figures["our_size_over_its"] = round(sizes["ours"] / size_of(work), 4)
        result[name] = figures
        clean(work)
    if options.all:
        result["growth"] = growth(options.all, scratch, (1, 6))
    return result


def child(arguments: Sequence[str]) -> None:
    """Be one of the measured processes."""
    name, *paths = arguments
    CHILDREN[name](*map(Path, paths))
    if peak := os.environ.get("BENCH_PEAK_FILE"):
        Path(peak).write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
