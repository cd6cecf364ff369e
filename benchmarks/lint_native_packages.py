#!/usr/bin/env python3
"""Build a real run's deb and rpm packages and ask lintian and rpmlint about each of them.

    .venv/bin/python benchmarks/lint_native_packages.py RUN_DIRECTORY [--name full]
    .venv/bin/python benchmarks/lint_native_packages.py --rpmlint-settings > rpmlint.toml

What they say is counted by tag and held against ``native_packages/data/lint.toml``: tags that are
listed as printed, and the rest, which nobody has accepted. lintian goes by the overrides that debs
bring, and those that are for nothing count too; rpmlint gets the settings that the second call
prints. Packages have zstd payloads, which lintian 2.116 reads but calls malformed: that is left
out. rpmlint is asked about one package at a time, for it fails on some: those are listed, and so is
what linters say when a file of the run is damaged and they cannot read it. Results
are kept in ``benchmarks/results/native-packages-lint-NAME.json``; the exit code is 1 when something
is said that has not been accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.native_linters import (  # noqa: E402 - found only now
    Remark,
    Said,
    lintian,
    rpmlint,
    signing_home,
)
from therock_outputs.artifacts.archive_file import ArchiveFile  # noqa: E402
from therock_outputs.artifacts.gpu_families import GpuFamilies  # noqa: E402
from therock_outputs.artifacts.local_run import archives_in  # noqa: E402
from therock_outputs.native_packages.build import build_native_packages  # noqa: E402
from therock_outputs.native_packages.definitions import load_definitions  # noqa: E402
from therock_outputs.native_packages.inventory import read_inventory  # noqa: E402
from therock_outputs.native_packages.lint import (  # noqa: E402
    printed_tags,
    rpmlint_settings,
)
from therock_outputs.native_packages.options import NativePackageOptions  # noqa: E402
from therock_outputs.native_packages.package import PackageFormat  # noqa: E402
from therock_outputs.native_packages.plan import plan_native_packages  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results"
MTIME = 1763942400
"""2025-11-24: rpmlint takes times before 1997 for mistakes."""
RELEASE = "24217435275"
UNREADABLE = {"unpack-message-for-deb-data", "elf-error", "binary-with-bad-dynamic-table"}
"""What lintian says where readelf prints no text, or tables that lie outside of a file."""
CORES = os.cpu_count() or 1


def build(run: Path, work: Path) -> dict[PackageFormat, list[Path]]:
    """All packages of a run that is split by target, signed."""
    archives = archives_in(run)
    options = NativePackageOptions.for_version("7.13.0", release=RELEASE, split=True)
    inventory = read_inventory([archive.path for archive in archives], CORES)
    plan = plan_native_packages(load_definitions(), inventory, options, GpuFamilies.load())
    with signing_home(work) as signer:
        built = build_native_packages(
            plan.packages,
            [ArchiveFile(a.name, a.path, a.sha256) for a in archives],
            {kind: work / "out" / kind.value for kind in PackageFormat},
            work / "tmp",
            mtime=MTIME,
            signer=signer,
        )
    assert not built.failures, built.failures[0].error
    return {
        kind: [one.path for one in built.files if one.plan.format is kind] for kind in PackageFormat
    }


def ask(packages: Sequence[Path], linter: Callable[[Sequence[Path]], Said], size: int) -> Said:
    """What a linter says when it is given so many packages at a time, on all cores."""
    groups = [packages[at : at + size] for at in range(0, len(packages), size)]
    said = Said()
    with ThreadPoolExecutor(CORES) as pool:
        for one in pool.map(linter, groups):
            said.add(one)
    return said


def is_damaged(remark: Remark) -> bool:
    """Whether a linter says that it cannot make sense of a code object's headers or names."""
    is_unreadable = remark.tag in UNREADABLE or "codec can't decode" in remark.detail
    return is_unreadable and ".hsaco" in remark.detail


def judged(linter: str, said: Said, packages: Sequence[Path], seconds: float) -> dict[str, Any]:
    """What a linter says, and whether it has been accepted."""
    listed = {one.tag for one in printed_tags() if one.linter == linter}
    found: dict[str, dict[str, Any]] = {"printed": {}, "damaged_in_the_run": {}, "not_accepted": {}}
    counts = Counter((remark.level, remark.tag) for remark in said.remarks)
    examples = {remark.tag: str(remark) for remark in reversed(said.remarks)}
    for (level, tag), count in sorted(counts.items()):
        kind = "printed" if level == "W" and tag in listed else "not_accepted"
        if all(is_damaged(remark) for remark in said.remarks if remark.tag == tag):
            kind = "damaged_in_the_run"
        found[kind][tag] = {"level": level, "count": count, "example": examples[tag]}
    overridden = dict(sorted(Counter(remark.tag for remark in said.overridden).items()))
    return {
        "packages": len(packages),
        "not_read_to_the_end": said.failed,
        **found,
        **({"overridden": overridden} if linter == "lintian" else {}),
        "wall_s": round(seconds, 1),
    }


def main() -> int:
    """Build, ask, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--name", default="small", help="of the file of results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where that is kept")
    parser.add_argument(
        "--rpmlint-settings", action="store_true", help="print what rpmlint should be told, and end"
    )
    given = parser.parse_args()
    if given.rpmlint_settings:
        print(rpmlint_settings(), end="")
        return 0
    if given.run is None:
        parser.error("give the directory of a run with its archives")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lint-", dir=os.environ.get("BENCH_DIR")) as name:
        work = Path(name)
        packages = build(given.run, work)
        for linter, kind, one, size in (
            ("rpmlint", PackageFormat.RPM, lambda rpms: rpmlint(rpms, work), 1),
            ("lintian", PackageFormat.DEB, lambda debs: lintian(debs, unknown_compression=True), 8),
        ):
            started = time.perf_counter()
            said = ask(packages[kind], one, size)
            seconds = time.perf_counter() - started
            results[linter] = judged(linter, said, packages[kind], seconds)
    (given.results / f"native-packages-lint-{given.name}.json").write_text(
        json.dumps(results, indent=1) + "\n"
    )
    print(json.dumps(results, indent=1))
    return 1 if any(one["not_accepted"] for one in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
