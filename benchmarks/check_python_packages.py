#!/usr/bin/env python3
"""Build a real run's Python packages and let real installers, loaders and checkers judge them.

    .venv/bin/python benchmarks/check_python_packages.py RUN_DIRECTORY [--name full]

The packages are built and published by the project's tasks: in a staging directory, on
``rclone serve s3`` and on moto's server. pip and uv then install them into fresh environments with
no other index in reach, from ``file:``, from ``serve`` and from both servers. Only ``mirror-deps``
uses the index that pip is configured for. Results are kept in
``benchmarks/results/python-packages-NAME.json``; the exit code is 1 when a judge found something.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.package_judges import (  # noqa: E402 - found only now
    HSA_PROGRAM,
    Indexes,
    Judged,
    JudgementError,
    bytes_of_its_own,
    compile_and_run,
    load_each,
    require_modules,
    rocm_sdk_test,
    served,
    task,
    tool,
)
from tests.servers import (  # noqa: E402
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    S3Server,
    moto_server,
    rclone_server,
)

RESULTS = PROJECT / "benchmarks" / "results"
BUCKET = "package-check"
LOCAL_PART = "0123abcd"
"""Makes the version one with a plus, which S3 and URLs treat in ways of their own."""

PARTS_OF_PROGRAMS = ("/clang/",)
"""Libraries that the compiler links into programs: they need what a program brings."""

IGNORED_WHEEL_CHECKS = "W002,W004,W010"
"""By design: launchers of one program are equal files (W002), libraries are not modules (W004), and
a device wheel is laid over a package whose Python module is elsewhere (W010)."""


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
        except (JudgementError, subprocess.TimeoutExpired) as error:
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

    @property
    def run_id(self) -> str:
        """Its number."""
        return self.archives.name.rpartition("-")[0]

    @property
    def staging(self) -> Path:
        """The staging directory."""
        return self.scratch / "staging"

    @property
    def packages(self) -> Path:
        """Where the packages lie there."""
        return self.staging / self.archives.name / "python"

    def words(self, *more: str) -> list[str]:
        """The flags of every call of ``release``."""
        return [
            "release", "--run-id", self.run_id, "--artifacts-dir", str(self.archives),
            "--work-dir", str(self.scratch / "work"), "--output-dir", str(self.scratch / "out"),
            "--package-version", self.version(), *more,
        ]  # fmt: skip

    def version(self) -> str:
        """The manifest's version with a local part."""
        manifest = json.loads((self.archives / "manifests/therock_manifest.json").read_bytes())
        base = str(manifest.get("rocm_package_version") or manifest["rocm_version"])
        return f"{base.partition('+')[0]}+{LOCAL_PART}"

    def targets(self) -> list[str]:
        """The targets that there are device wheels for."""
        names = (path.name for path in self.packages.glob("rocm_sdk_device_*.whl"))
        return sorted(name.split("-")[0].removeprefix("rocm_sdk_device_") for name in names)


def build(run: Run) -> dict[str, Any]:
    """Build and publish in the staging directory; what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    task(*run.words("--only", "fetch,python", "--staging-dir", str(run.staging)))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    task(*run.words("--only", "python,upload", "--staging-dir", str(run.staging)))
    files = {path.name: path.stat().st_size for path in sorted(run.packages.glob("rocm*"))}
    return {
        "wall_s": round(seconds, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_memory_mb": round(after.ru_maxrss / 1024),
        "bytes": {name: size for name, size in files.items() if not name.endswith(".metadata")},
    }


def mirror(*where: str, environ: dict[str, str] | None = None) -> None:
    """Fill ``python-deps/`` with what building the selector takes."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    flags = ["--dependencies", "setuptools", "--python-versions", version]
    task("mirror-deps", *flags, *where, environ=environ)


def put_on(server: S3Server, run: Run) -> Indexes:
    """Publish the packages that were built on a server, and let anybody read them."""
    server.make_bucket(BUCKET)
    environ = os.environ | {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    task(*run.words("--only", "python,upload", "--bucket", BUCKET), environ=environ)
    mirror("--bucket", BUCKET, "--work-dir", str(run.scratch / server.name), environ=environ)
    if server.name == "moto":  # it goes by each object's own permission, not by a policy
        let_anybody_read(server)
    base = f"{server.endpoint}/{BUCKET}"
    return Indexes(f"{base}/python-deps/simple/", f"{base}/{run.archives.name}/python/simple/")


def let_anybody_read(server: S3Server) -> None:
    """What a bucket policy does on S3."""
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", []):
            client.put_object_acl(Bucket=BUCKET, Key=entry["Key"], ACL="public-read")
    client.close()


def judge_wheels(run: Run, findings: Findings) -> None:
    """The checkers of files: twine, check-wheel-contents, auditwheel."""
    require_modules("twine", "check_wheel_contents", "auditwheel")
    wheels = sorted(run.packages.glob("*.whl"))
    sdists = sorted(run.packages.glob("*.tar.gz"))

    def said_by(*command: str | Path, codes: tuple[int, ...] = (0,)) -> str:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode not in codes:
            raise JudgementError(ran.stdout + ran.stderr)
        return ran.stdout + ran.stderr

    def audit(wheel: Path) -> str:
        said = " ".join(said_by(tool("auditwheel"), "show", wheel, codes=(0, 1)).split())
        for answer in ("constrains the platform tag to", "consistent with the following"):
            if answer in said:
                return said[said.index(answer) :][:90]
        if "no ELF executable or shared library" in said:
            return "no ELF file for x86-64"
        if "_device_" in wheel.name and "unknown architecture" in said:
            # Its ELF reader ends at GPU code of the run that is damaged, and is kept as it is.
            return "cannot read GPU code"
        raise JudgementError(said)

    findings.judge(
        "twine check", lambda: said_by(tool("twine"), "check", *wheels, *sdists).count("PASSED")
    )

    def checked(wheel: Path) -> None:
        said_by(tool("check-wheel-contents"), "--ignore", IGNORED_WHEEL_CHECKS, wheel)

    for wheel in wheels:
        name = wheel.name.split("-")[0]
        findings.judge(f"check-wheel-contents {name}", partial(checked, wheel))
        findings.judge(f"auditwheel show {name}", partial(audit, wheel))


def programs_start(judged: Judged) -> dict[str, str]:
    """The linker and rocminfo through their console scripts."""
    linker = judged.ask("amdlld", "-flavor", "gnu", "--version")
    if "LLD" not in linker:
        raise JudgementError(f"amdlld says {linker!r}")
    # Without a GPU it may say so and end with 1.
    info = judged.ask("rocminfo", codes=(0, 1))
    if "shared libraries" in info or not info.strip():
        raise JudgementError(f"rocminfo says {info!r}")
    return {"amdlld": linker.splitlines()[0], "rocminfo": info.strip().splitlines()[-1][:100]}


def devel_size(judged: Judged) -> dict[str, int]:
    """What expanding the devel tree took."""
    tree = judged.site / "_rocm_sdk_devel"
    others = [path for path in judged.site.glob("_rocm*") if path != tree]
    own, everything = bytes_of_its_own(tree, others)
    return {"bytes_of_its_own": own, "bytes_in_all": everything}


def judge_installed(
    run: Run, indexes: Indexes, place: str, installer: str, findings: Findings, *, thorough: bool
) -> None:
    """Install everything for one target, use it, and uninstall it."""
    title = f"{place}, {installer}"
    root = run.scratch / "venvs" / f"{place}-{installer}"
    judged = Judged.make(root, installer)
    before = judged.files()
    profiler = ",profiler" if any(run.packages.glob("rocm_profiler-*.whl")) else ""
    wanted = f"rocm[libraries,devel,device-{run.targets()[0]}{profiler}]=={run.version()}"

    def install() -> list[str]:
        judged.install(indexes, wanted)
        return judged.packages()

    if findings.judge(f"{title}: install", install) is None:
        return
    findings.judge(f"{title}: rocm-sdk test", lambda: rocm_sdk_test(judged))
    findings.judge(f"{title}: programs start", lambda: programs_start(judged))
    if thorough:
        findings.judge(
            f"{title}: every library loads", lambda: load_each(judged, PARTS_OF_PROGRAMS)
        )
        findings.judge(
            f"{title}: C program with hsa/hsa.h",
            lambda: compile_and_run(
                judged, HSA_PROGRAM, "hsa-runtime64", run.scratch / f"c-{installer}"
            ).strip(),
        )
        findings.judge(f"{title}: size of devel", lambda: devel_size(judged))

    def uninstall() -> None:
        judged.uninstall()
        if difference := sorted(judged.files() ^ before):
            raise JudgementError(f"{len(difference)} paths differ, as {difference[:5]}")

    findings.judge(f"{title}: uninstalling leaves nothing", uninstall)
    shutil.rmtree(root)


def judge_devices(run: Run, indexes: Indexes, installer: str, findings: Findings) -> None:
    """Two device wheels, of which one is removed."""
    first, second = run.targets()[:2]
    root = run.scratch / "venvs" / f"devices-{installer}"

    def check() -> dict[str, int]:
        judged = Judged.make(root, installer)
        judged.install(indexes, f"rocm[devel,device-{first},device-{second}]=={run.version()}")
        judged.ask("rocm-sdk", "init")
        gone, stays = (judged.recorded(f"rocm-sdk-device-{one}") for one in (first, second))
        judged.uninstall(f"rocm-sdk-device-{first}")
        wrong = [path for path in gone - stays if os.path.lexists(path)]
        wrong += [path for path in stays if not path.is_file()]
        if wrong or not gone - stays:
            raise JudgementError(f"{len(wrong)} paths are wrong, as {wrong[:3]}")
        rocm_sdk_test(judged)
        return {f"files of {first}, gone": len(gone), f"files of {second}, there": len(stays)}

    findings.judge(f"two device wheels, one removed, {installer}", check)
    shutil.rmtree(root)


def places_of(run: Run, stack: ExitStack) -> Iterator[tuple[str, Callable[[], Indexes]]]:
    """Each place to install from, with what makes it ready."""
    parts = ("python-deps/simple/", f"{run.archives.name}/python/simple/")
    yield "file", lambda: Indexes(*(f"{run.staging.as_uri()}/{part}" for part in parts))
    yield "serve", lambda: _at(stack.enter_context(served(run.staging)), parts)
    objects = run.scratch / "objects"
    objects.mkdir()
    # Installers send no signature.
    yield "rclone", lambda: put_on(stack.enter_context(rclone_server(objects, signed=False)), run)
    yield "moto", lambda: put_on(stack.enter_context(moto_server()), run)


def _at(url: str, parts: tuple[str, str]) -> Indexes:
    return Indexes(*(url + part for part in parts))


def judge_setup_venv(run: Run, findings: Findings) -> None:
    """The task ``setup-venv`` with the run's own test."""
    where = ["--staging-dir", str(run.staging), "--run-id", run.run_id]
    target = run.scratch / "venvs" / "setup"
    words = ["setup-venv", str(target), *where, "--packages", "rocm[libraries,devel]", "--test"]
    findings.judge("setup-venv --test", lambda: len(task(*words)))
    shutil.rmtree(target, ignore_errors=True)


def main() -> None:
    """Build, publish, install, judge, keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run's directory, {run}-linux, with its archives")
    parser.add_argument("--name", default="full", help="which results these are")
    parser.add_argument("--scratch", type=Path, help="a directory with 15 GB free for the full run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="packages-", dir=options.scratch) as scratch:
        findings = Findings(scratch)
        run = Run(options.run.resolve(), Path(scratch).resolve())
        run.staging.mkdir()
        built = build(run)
        mirror("--staging-dir", str(run.staging), "--work-dir", str(run.scratch / "mirror"))
        judge_wheels(run, findings)
        for place, ready in places_of(run, stack := ExitStack()):
            with stack:
                indexes = findings.judge(f"{place}: published", ready)
                for installer in ("pip", "uv") if indexes else ():
                    judge_installed(
                        run, indexes, place, installer, findings, thorough=place == "file"
                    )
                    if place == "file" and len(run.targets()) > 1:
                        judge_devices(run, indexes, installer, findings)
        judge_setup_venv(run, findings)
    keep(options.name, built, findings)


def keep(name: str, built: dict[str, Any], findings: Findings) -> None:
    """Write the results; exit code 1 when a judge found something."""
    for result in findings.results.values():
        if isinstance(result.get("found"), Indexes):
            del result["found"]
    document = {
        "run": name,
        "build": built,
        "passed": len(findings.results),
        "failed": findings.failures,
        "judges": findings.results,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"python-packages-{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(findings.results)} passed, {len(findings.failures)} failed")
    sys.exit(bool(findings.failures))


if __name__ == "__main__":
    main()
