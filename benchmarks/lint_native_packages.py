#!/usr/bin/env python3
"""Build a real run's deb and rpm packages and ask lintian and rpmlint about each of them.

    .venv/bin/python benchmarks/lint_native_packages.py RUN_DIRECTORY [--name full]
    .venv/bin/python benchmarks/lint_native_packages.py --rpmlint-settings > rpmlint.toml

What they say is counted by tag and held against ``native_packages/data/lint.toml``: tags that
follow from the design of the packages, tags about the files of a build, and the rest, which
nobody has accepted. Packages have zstd payloads, which lintian 2.116 reads but calls malformed:
that is left out. rpmlint is asked about one package at a time, for it fails on some: those are
listed. Results are kept in ``benchmarks/results/native-packages-lint-NAME.json``; the exit code
is 1 when something is said that has not been accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.native_linters import (  # noqa: E402 - found only now
    Said,
    lintian,
    rpmlint,
    rpmlint_settings,
    signing_home,
)
from therock_outputs.artifacts.archive_file import ArchiveFile  # noqa: E402
from therock_outputs.artifacts.gpu_families import GpuFamilies  # noqa: E402
from therock_outputs.artifacts.local_run import archives_in  # noqa: E402
from therock_outputs.native_packages.build import build_native_packages  # noqa: E402
from therock_outputs.native_packages.definitions import load_definitions  # noqa: E402
from therock_outputs.native_packages.inventory import read_inventory  # noqa: E402
from therock_outputs.native_packages.lint import lint_exceptions  # noqa: E402
from therock_outputs.native_packages.options import NativePackageOptions  # noqa: E402
from therock_outputs.native_packages.package import PackageFormat  # noqa: E402
from therock_outputs.native_packages.plan import plan_native_packages  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results"
MTIME = 1763942400
"""2025-11-24: rpmlint takes times before 1997 for mistakes."""
RELEASE = "24217435275"
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


def judged(linter: str, said: Said, packages: Sequence[Path], seconds: float) -> dict[str, Any]:
    """What a linter says, by why it is accepted."""
    why = {
        exception.tag: "design" if exception.by_design else "files"
        for exception in lint_exceptions()
        if linter in exception.linters
    }
    found: dict[str, dict[str, Any]] = {"design": {}, "files": {}, "not_accepted": {}}
    for (level, tag), count in sorted(said.tags.items()):
        said_of = {"level": level, "count": count, "example": said.examples[tag]}
        found[why.get(tag, "not_accepted")][tag] = said_of
    return {
        "packages": len(packages),
        "not_read_to_the_end": said.failed,
        **found,
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
        print(rpmlint_settings(with_filters=True), end="")
        return 0
    if given.run is None:
        parser.error("give the directory of a run with its archives")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lint-", dir=os.environ.get("BENCH_DIR")) as name:
        work = Path(name)
        packages = build(given.run, work)
        started = time.perf_counter()
        rpms = packages[PackageFormat.RPM]
        said = rpmlint(rpms, work, one_by_one=True)
        results["rpmlint"] = judged("rpmlint", said, rpms, time.perf_counter() - started)
        started = time.perf_counter()
        debs = packages[PackageFormat.DEB]
        said = lintian(debs, unknown_compression=True)
        results["lintian"] = judged("lintian", said, debs, time.perf_counter() - started)
    (given.results / f"native-packages-lint-{given.name}.json").write_text(
        json.dumps(results, indent=1) + "\n"
    )
    print(json.dumps(results, indent=1))
    return 1 if any(one["not_accepted"] for one in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
