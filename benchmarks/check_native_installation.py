#!/usr/bin/env python3
"""Build a real run's deb and rpm packages and let apt, dnf and zypper install and remove them.

    bash .ci/prepare-roots real libedit2,libxml2,libz3-4
    .venv/bin/python benchmarks/check_native_installation.py RUN_DIRECTORY [--name full]

The packages are built and published by the project's tasks: as two versions and two builds of one
of them. Package managers then install them in throw-away roots, as root or in a user namespace,
from ``file:``, from ``serve`` and from ``rclone serve s3``, with no network. Everything that is
installed is compared with its package, each library is loaded in a process of its own, programs
start, alternatives are followed; versions follow one another and stand side by side, and at the
end the root has to be as it was. ``--no-upgrade`` leaves the second version out, which halves time
and disk. Results are kept in ``benchmarks/results/native-packages-judged-NAME.json``; the exit code
is 1 when a judge found something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.native_judges import (  # noqa: E402 - found only now
    Version,
    judge_alternatives,
    judge_debs,
    judge_nothing_left,
    sums,
    wants,
)
from tests.native_roots import (  # noqa: E402
    AptRoot,
    DnfRoot,
    ZypperRoot,
    make_stub,
    unpack_base,
)
from tests.package_judges import JudgementError, served, task  # noqa: E402
from tests.servers import (  # noqa: E402
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    rclone_server,
)
from therock_outputs.indexes.repositories import apt_snippets, rpm_snippets  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results"
BUCKET = "installation-check"
FIRST, SECOND, NEXT = "7.13.0-1", "7.13.0-2", "7.14.0-1"
V13, V14 = Version("7.13"), Version("7.14")
PLACES = {"deb": "packages/deb/", "rpm": "packages/rpm/x86_64/"}
PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "rocminfo": ((), (0, 1)),
    "amdclang": (("--version",), (0,)),
    "amdlld": (("-flavor", "gnu", "--version"), (0,)),
}
"""Programs of other packages' alternatives, with their words and exit codes: no GPU is there."""
PARTS_OF_PROGRAMS = ("/clang/", "/site-packages/")
"""Libraries that need what the program brings that they are made for: the compiler's, Python's."""

DIRECTORIES = ("lib", "lib/llvm/lib", "lib/rocm_sysdeps/lib", "lib/host-math/lib")
"""Below a prefix: where libraries are looked for that name no directory, as Debian's do not, which
the runs at hand are made of."""


@dataclass(slots=True)
class Findings:
    """What the judges said."""

    scratch: str
    """The directory of work files, which no result names."""
    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def judge(self, name: str, check: Callable[[], Any]) -> Any:  # noqa: ANN401 - any result
        """Let one judge speak; what it found wrong does not keep the others from speaking."""
        start = time.perf_counter()
        try:
            found = check()
        except JudgementError as error:
            self.failures[name] = str(error).replace(self.scratch, "")[-3000:]
            print(f"FAIL {name}: {error}", file=sys.stderr)
            return None
        seconds = round(time.perf_counter() - start, 2)
        self.results[name] = {"s": seconds} | ({} if found is None else {"found": found})
        print(f"ok   {name} ({seconds} s): {found}", file=sys.stderr)
        return found


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose packages are judged, and where things lie."""

    archives: Path
    scratch: Path

    def root(self, version: str) -> Path:
        """The run's root in the staging directory of a version."""
        return self.scratch / version / self.archives.name

    def repository(self, version: str, kind: str) -> Path:
        """Where a repository lies."""
        return self.root(version) / PLACES[kind]

    def publish(
        self, version: str, work: str, *where: str, environ: dict[str, str] | None = None
    ) -> None:
        """Build the packages, or take those that were built, and publish them."""
        number, _, suffix = version.partition("-")
        task(
            "release", "--only", "fetch,native,upload",
            "--run-id", self.archives.name.rpartition("-")[0],
            "--artifacts-dir", self.archives, "--work-dir", self.scratch / work,
            "--rocm-version", number, "--version-suffix", suffix,
            *(where or ("--staging-dir", str(self.scratch / version))), environ=environ,
        )  # fmt: skip

    def packages(self, version: str) -> dict[str, str]:
        """Digests of all packages."""
        debs = self.repository(version, "deb").glob("pool/main/*.deb")
        return sums([*debs, *self.repository(version, "rpm").glob("*.rpm")])

    def targets(self) -> list[str]:
        """The GPU targets that there are packages for."""
        start = f"amdrocm-core{V13.number}-"
        found = self.repository(FIRST, "deb").glob(f"pool/main/{start}gfx*.deb")
        return sorted(path.name.removeprefix(start).partition("_")[0] for path in found)


@dataclass(frozen=True, slots=True)
class Judges:
    """What makes new roots."""

    run: Run
    base: Path
    stub: Path

    def root(self, manager: str, name: str) -> AptRoot | DnfRoot:
        """A new root under apt or dnf."""
        path = self.run.scratch / f"root-{manager}-{name}"
        return AptRoot(self.base, path) if manager == "apt" else DnfRoot(self.base, path, self.stub)

    def lend(self, manager: AptRoot | DnfRoot, version: str) -> None:
        """Tell a package manager of a version by ``file:``."""
        if isinstance(manager, AptRoot):
            address = manager.root.lend(self.run.repository(version, "deb"))
            tell(manager, {"deb": address}, f"rocm-{version}")
        else:
            address = self.run.repository(version, "rpm").as_uri()
            tell(manager, {"rpm": address}, f"rocm-{version}")


def tell(manager: AptRoot | DnfRoot, addresses: dict[str, str], name: str = "rocm") -> None:
    """Tell a package manager of a repository, and have it read that."""
    if isinstance(manager, AptRoot):
        manager.add(apt_snippets(addresses["deb"], signed=False, name=name)[1])
    else:
        manager.add(rpm_snippets(addresses["rpm"], signed=False, name=name)[0])
    manager.update()


def search_path(version: Version) -> list[str]:
    """Where libraries of a version are that name no directory."""
    return [f"{version.prefix}/{name}" for name in DIRECTORIES]


def works(manager: AptRoot | DnfRoot, version: Version) -> dict[str, Any]:
    """What is installed is whole, loads, starts, and is what is meant by /opt/rocm."""
    manager.verify()
    root = manager.root
    search = search_path(version)
    there = [name for name in PROGRAMS if root.has(f"{version.prefix}/bin/{name}")]
    led = judge_alternatives(root, version, there)
    loaded = root.load_each(version.prefix, PARTS_OF_PROGRAMS, search)
    said = {
        name: root.start(f"/usr/bin/{name}", *words, codes=codes, search=search).strip()[-100:]
        for name, (words, codes) in PROGRAMS.items()
        if name in there
    }
    return {
        "packages": len(manager.installed()),
        "libraries": loaded,
        "alternatives": len(led),
        "programs": said,
    }


def judge_everything(judges: Judges, kind: str, findings: Findings) -> None:
    """All targets, from ``file:``, and away again."""
    manager = judges.root(kind, "all")
    before = manager.root.files()

    def install() -> int:
        judges.lend(manager, FIRST)
        manager.install("amdrocm-core-sdk")
        return len(manager.installed())

    if findings.judge(f"{kind}: amdrocm-core-sdk installs from file:", install) is not None:
        findings.judge(f"{kind}: it works", lambda: works(manager, V13))
        if isinstance(manager, AptRoot):
            pool = judges.run.repository(FIRST, "deb") / "pool/main"
            findings.judge(f"{kind}: files are the packages'", lambda: judge_debs(manager, pool))

        def remove() -> None:
            manager.remove("amdrocm-core-sdk")
            manager.purge()
            judge_nothing_left(manager.root, before)

        findings.judge(f"{kind}: removal leaves nothing", remove)
    manager.discard()


def judge_target(
    judges: Judges, kind: str, place: str, addresses: dict[str, str], findings: Findings
) -> None:
    """One target, from a server."""
    manager = judges.root(kind, place)
    one, *others = judges.run.targets()

    def install() -> dict[str, Any]:
        tell(manager, addresses)
        manager.install(f"amdrocm-core{V13.number}-{one}")
        wants(manager, *(name for name in manager.installed() if name.endswith(tuple(others))))
        return works(manager, V13)

    findings.judge(f"{kind}: {one} alone installs from {place} and works", install)
    manager.discard()


def judge_upgrade(judges: Judges, kind: str, findings: Findings) -> None:
    """From one build to the next, to the next version, and back to the first."""
    manager = judges.root(kind, "versions")
    before = manager.root.files()

    def rebuilt() -> dict[str, Any]:
        judges.lend(manager, FIRST)
        manager.install("amdrocm-core")
        judges.lend(manager, SECOND)
        manager.upgrade()
        if (versions := set(manager.installed().values())) != {SECOND}:
            raise JudgementError(f"of versions {sorted(versions)}")
        return works(manager, V13)

    def next_version() -> dict[str, Any]:
        judges.lend(manager, NEXT)
        manager.upgrade()
        installed = manager.installed()
        if (installed["amdrocm-core"], installed["amdrocm-core7.13"]) != (NEXT, SECOND):
            raise JudgementError(f"installed: {installed}")
        manager.root.load_each(V13.prefix, PARTS_OF_PROGRAMS, search_path(V13))
        return works(manager, V14)

    def back() -> dict[str, Any]:
        manager.install("amdrocm-core7.13")  # wanted for itself from now on
        manager.remove(*(name for name in manager.installed() if "7.14" in name))
        return works(manager, V13)

    def remove() -> None:
        manager.purge()
        judge_nothing_left(manager.root, before)

    steps = {
        "a later build of a version replaces it": rebuilt,
        "the next version stands beside it": next_version,
        "the next version goes, the first is back": back,
        "removal of both leaves nothing": remove,
    }
    for name, step in steps.items():
        if (
            findings.judge(f"{kind}: {name}", step) is None
            and f"{kind}: {name}" in findings.failures
        ):
            break
    manager.discard()


def judge_zypper(judges: Judges, findings: Findings) -> None:
    """Refresh, search, a dry run, an installation."""
    zypper = ZypperRoot(judges.base, judges.run.scratch / "root-zypper", judges.stub)
    repository = judges.run.repository(FIRST, "rpm")
    rpms = {path.name.rsplit("-", 2)[0] for path in repository.glob("*.rpm")}

    def read() -> int:
        zypper.add(rpm_snippets(repository.as_uri(), signed=False)[1])
        zypper.run("refresh")
        if zypper.found() != rpms:
            raise JudgementError(f"zypper does not find {sorted(zypper.found() ^ rpms)}")
        return len(rpms)

    def install() -> None:
        name = f"amdrocm-core{V13.number}-{judges.run.targets()[0]}"
        dry = zypper.run("install", "--dry-run", name).text
        if name not in dry:
            raise JudgementError(dry)
        zypper.run("download", f"amdrocm-sysdeps{V13.number}")
        zypper.run("install", name)
        zypper.root.outside("rpm", "--root", zypper.root.path, "-V", name)

    findings.judge("zypper: refresh and search", read)
    findings.judge("zypper: a dry run, a download and an installation", install)
    zypper.root.discard()


def taken_for_granted(run: Run, stub: Path) -> list[str]:
    """Libraries that rpms require and neither they nor the base has; the results tell which.

    A full run has some for 32-bit programs, and some that a distribution has under another name.
    """
    rpms = [str(path) for path in run.repository(FIRST, "rpm").glob("*.rpm")]

    def asked(what: str, *packages: str) -> set[str]:
        command = ["rpm", "-qp", f"--{what}", *packages]
        return set(subprocess.check_output(command, text=True).splitlines())

    libraries = {name for name in asked("requires", *rpms) if ".so" in name.partition("(")[0]}
    return sorted(libraries - asked("provides", str(stub), *rpms))


def put_on_s3(run: Run, stack: ExitStack) -> dict[str, str]:
    """Publish the first version on a server of S3's protocol; its addresses by format."""
    objects = run.scratch / "objects"
    objects.mkdir()
    # Package managers send no signature.
    server = stack.enter_context(rclone_server(objects, signed=False))
    server.make_bucket(BUCKET)
    environ = os.environ | {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    run.publish(FIRST, f"work-{FIRST}", "--bucket", BUCKET, environ=environ)
    root = f"{server.endpoint}/{BUCKET}/{run.archives.name}/"
    return {kind: root + place for kind, place in PLACES.items()}


def judge_builds(run: Run, findings: Findings, *, upgrade: bool) -> dict[str, Any]:
    """Build everything; what that gave."""
    before = sums(run.archives.glob("*.tar.*"))
    start = time.perf_counter()
    run.publish(FIRST, f"work-{FIRST}")
    seconds = time.perf_counter() - start
    for version in (SECOND, NEXT) if upgrade else ():
        run.publish(version, f"work-{version}")

    def same() -> int:
        run.publish(FIRST, "work-again", "--staging-dir", str(run.scratch / "again"))
        again = Run(run.archives, run.scratch / "again")
        repositories = [again.scratch / run.archives.name / place for place in PLACES.values()]
        found = sums([*repositories[0].glob("pool/main/*.deb"), *repositories[1].glob("*.rpm")])
        if found != run.packages(FIRST):
            raise JudgementError("two builds differ")
        subprocess.run(
            ["rm", "-rf", str(again.scratch), str(run.scratch / "work-again")], check=True
        )
        return len(found)

    def unmodified() -> int:
        if sums(run.archives.glob("*.tar.*")) != before:
            raise JudgementError("the archives were changed")
        return len(before)

    findings.judge("two builds give the same bytes", same)
    findings.judge("the archives are as they were", unmodified)
    files = [*run.repository(FIRST, "deb").glob("pool/main/*.deb")]
    files += run.repository(FIRST, "rpm").glob("*.rpm")
    return {
        "build_and_publish_s": round(seconds, 1),
        "packages": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "targets": run.targets(),
    }


def main() -> None:
    """Build, publish, install, judge, keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run's directory, {run}-linux, with its archives")
    parser.add_argument("--name", default="full", help="which results these are")
    parser.add_argument("--scratch", type=Path, help="a directory with 30 GB free for the full run")
    parser.add_argument(
        "--debian", type=Path, default=PROJECT / "build/judges/real.tar", help="what to install in"
    )
    parser.add_argument("--no-upgrade", action="store_true", help="leave the second version out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="installed-", dir=options.scratch) as scratch:
        findings = Findings(scratch)
        run = Run(options.run.resolve(), Path(scratch).resolve())
        built = judge_builds(run, findings, upgrade=not options.no_upgrade)
        base = unpack_base(options.debian, run.scratch / "base")
        granted = taken_for_granted(run, make_stub(base, run.scratch / "stub"))
        built["libraries_taken_for_granted"] = granted
        judges = Judges(run, base, make_stub(base, run.scratch / "granted", granted))
        for kind in ("apt", "dnf"):
            judge_everything(judges, kind, findings)
            if not options.no_upgrade:
                judge_upgrade(judges, kind, findings)
        judge_zypper(judges, findings)
        with ExitStack() as stack:
            address = stack.enter_context(served(run.scratch / FIRST)) + run.archives.name
            at_serve = {kind: f"{address}/{place}" for kind, place in PLACES.items()}
            servers = {"serve": at_serve, "rclone": put_on_s3(run, stack)}
            for place, addresses in servers.items():
                for kind in ("apt", "dnf"):
                    judge_target(judges, kind, place, addresses, findings)
    document = {
        "run": options.name,
        "build": built,
        "passed": len(findings.results),
        "failed": findings.failures,
        "judges": findings.results,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"native-packages-judged-{options.name}.json").write_text(text)
    print(f"{len(findings.results)} passed, {len(findings.failures)} failed")
    sys.exit(bool(findings.failures))


if __name__ == "__main__":
    main()
