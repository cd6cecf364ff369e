"""Mirror the wheels that ROCm's packages depend on, so that no other index is needed.

pip resolves the list for each interpreter and platform against the index that it is configured
for; what the mirror lacks is fetched, checked and indexed. The mirror never holds a ROCm package:
no version of one can come from it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from therock_outputs.errors import ConflictError, NotFoundError, OutputsError, UsageError
from therock_outputs.indexes.build import BuiltIndexes, build_indexes
from therock_outputs.indexes.distributions import is_distribution, parse_distribution
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Progress, Storage, Transfer, Upload
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = [
    "DEPENDENCIES",
    "Interpreter",
    "MirrorPlan",
    "Wheel",
    "execute_mirror",
    "mirrored",
    "parse_interpreters",
    "plan_mirror",
    "resolve_wheels",
]

_log = logging.getLogger(__name__)

DEPENDENCIES = ("numpy", "packaging", "pip", "setuptools>=70.1", "wheel")
"""What installing and using a run's packages takes: the selector is built with setuptools."""

_JOBS = 4
_LINUX = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
)
# pip takes a platform's tag as it is; an installer takes every older one as well.
_PLATFORM_TAGS: Mapping[str, Sequence[str]] = {"linux": _LINUX, "windows": ("win_amd64",)}


@dataclass(frozen=True, slots=True, order=True)
class Interpreter:
    """A CPython that wheels are mirrored for."""

    version: str
    """``3.12``."""
    platform: str
    """``linux``, ``windows``, or a platform tag of wheels."""

    @property
    def arguments(self) -> list[str]:
        """What tells pip to choose for this interpreter instead of the one that runs it."""
        tags = _PLATFORM_TAGS.get(self.platform, (self.platform,))
        platforms = [word for tag in tags for word in ("--platform", tag)]
        return ["--python-version", self.version, "--implementation", "cp", *platforms]


@dataclass(frozen=True, slots=True, order=True)
class Wheel:
    """A wheel that the list comes to, as the configured index has it."""

    filename: str
    url: str
    sha256: str | None
    """64 hex digits; None when the index names none."""
    interpreter: Interpreter
    """One that it is for."""


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """What is to be fetched, and what is there."""

    place: StorageLocation
    missing: tuple[Wheel, ...]
    present: tuple[str, ...]
    """File names."""


def parse_interpreters(versions: Iterable[str], platforms: Iterable[str]) -> list[Interpreter]:
    """Each version on each platform; UsageError for a version that is not like ``3.12``."""
    versions = list(versions)
    for version in versions:
        major, _, minor = version.partition(".")
        if major != "3" or not minor.isdecimal():
            raise UsageError(f"{version!r} is no Python version; give one like 3.12")
    return [Interpreter(version, platform) for version in versions for platform in platforms]


def resolve_wheels(
    requirements: Sequence[str],
    interpreters: Sequence[Interpreter],
    work_dir: Path,
    *,
    environ: Mapping[str, str] | None = None,
    jobs: int | None = None,
) -> list[Wheel]:
    """All wheels that the requirements come to, with their own dependencies.

    UsageError for a requirement that is none or that names a ROCm package, NotFoundError when pip
    finds no wheels that fit together.
    """
    _check(requirements)
    work_dir.mkdir(parents=True, exist_ok=True)
    pip = _Pip(work_dir, os.environ if environ is None else environ)
    found = run_parallel(partial(_resolve, pip, list(requirements)), interpreters, jobs or _JOBS)
    by_name = {wheel.filename: wheel for wheels in reversed(found) for wheel in wheels}
    for filename in by_name:
        _refuse_rocm(parse_distribution(filename).project)
    return sorted(by_name.values())


def plan_mirror(
    place: StorageLocation, wheels: Iterable[Wheel], present: Mapping[str, str | None]
) -> MirrorPlan:
    """What is lacking. ``present`` are the mirror's files with their digests, where known.

    ConflictError for a file that the mirror has with other bytes.
    """
    missing = []
    there = []
    for wheel in sorted(wheels):
        if wheel.filename not in present:
            missing.append(wheel)
            continue
        digest = present[wheel.filename]
        if wheel.sha256 and digest and digest != wheel.sha256:
            raise ConflictError(
                f"{(place / wheel.filename).s3_uri} has SHA-256 {digest}, and {wheel.sha256} in "
                "the configured index; find out which of them is right and remove the other"
            )
        there.append(wheel.filename)
    return MirrorPlan(place, tuple(missing), tuple(there))


def mirrored(storage: Storage, place: StorageLocation) -> dict[str, str | None]:
    """The wheels that lie in a mirror, with their digests by its SHA256SUMS."""
    sums: dict[str, str] = {}
    names = {info.location.relative_to(place) for info in storage.list(place)}
    if SHA256SUMS in names:
        location = place / SHA256SUMS
        sums = parse_sums(storage.read(location), location.s3_uri)
    return {name: sums.get(name) for name in names if "/" not in name and is_distribution(name)}


def execute_mirror(
    plan: MirrorPlan,
    storage: Storage,
    work_dir: Path,
    *,
    environ: Mapping[str, str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[Transfer], BuiltIndexes]:
    """Fetch what is missing, put it into the mirror, and index all that is there."""
    pip = _Pip(work_dir, os.environ if environ is None else environ)
    directory = work_dir / "wheels"
    directory.mkdir(parents=True, exist_ok=True)
    groups = {
        interpreter: [wheel for wheel in plan.missing if wheel.interpreter == interpreter]
        for interpreter in sorted({wheel.interpreter for wheel in plan.missing})
    }
    for interpreter, wheels in groups.items():
        pip.download(interpreter, wheels, directory)
    uploads = []
    for wheel in plan.missing:
        path = directory / wheel.filename
        if not path.is_file():
            raise NotFoundError(f"pip did not fetch {wheel.filename} from {wheel.url}; try again")
        digest = wheel.sha256 or sha256_of_file(path)
        uploads.append(Upload(path, plan.place / wheel.filename, sha256=digest))
    transfers = storage.upload(uploads, jobs=jobs, progress=progress)
    names = [*plan.present, *(wheel.filename for wheel in plan.missing)]
    return transfers, build_indexes(storage, plan.place, names=names, closed=False, jobs=jobs)


def _check(requirements: Collection[str]) -> None:
    for text in requirements:
        try:
            name = Requirement(text).name
        except InvalidRequirement as error:
            message = f"{text!r} is no requirement; write it like numpy or 'numpy>=2'"
            raise UsageError(message) from error
        _refuse_rocm(canonicalize_name(name))
    if not requirements:
        raise UsageError("nothing is to be mirrored; name some packages")


def _refuse_rocm(project: str) -> None:
    if project == "rocm" or project.startswith("rocm-"):
        raise UsageError(
            f"{project} is a ROCm package, and the index of dependencies holds none: an installer "
            "could take a version of it from the wrong run; leave it out"
        )


def _resolve(
    pip: _Pip, requirements: Sequence[str], interpreter: Interpreter, stop: Stop
) -> list[Wheel]:
    stop.check()
    report = pip.report(interpreter, requirements)
    return [_wheel(item["download_info"], interpreter) for item in report["install"]]


def _wheel(info: Mapping[str, Any], interpreter: Interpreter) -> Wheel:
    """An item of pip's installation report (version 1)."""
    url = urldefrag(str(info["url"])).url
    filename = unquote(urlsplit(url).path).rpartition("/")[2]
    archive = info.get("archive_info", {})
    digest = archive.get("hashes", {}).get("sha256")
    return Wheel(parse_distribution(filename).filename, url, digest, interpreter)


@dataclass(frozen=True, slots=True)
class _Pip:
    """pip of this environment, with the index that its configuration names."""

    work_dir: Path
    environ: Mapping[str, str]

    def report(self, interpreter: Interpreter, requirements: Sequence[str]) -> dict[str, Any]:
        """What pip would install for an interpreter."""
        target = self.work_dir / f"nothing-{interpreter.version}-{interpreter.platform}"
        words = ["install", "--dry-run", "--ignore-installed", "--target", str(target)]
        said = self._run([*words, "--report", "-"], interpreter, requirements)
        try:
            report = json.loads(said)
        except ValueError as error:
            raise OutputsError(
                f"pip's report is not JSON ({error}); pip 23 or newer is needed"
            ) from error
        assert isinstance(report, dict)  # noqa: S101 - by its format
        return report

    def download(self, interpreter: Interpreter, wheels: Sequence[Wheel], directory: Path) -> None:
        """Fetch wheels by their addresses; pip compares the digests."""
        wanted = []
        for wheel in wheels:
            project = parse_distribution(wheel.filename).project
            digest = f"#sha256={wheel.sha256}" if wheel.sha256 else ""
            wanted.append(f"{project} @ {wheel.url}{digest}")
        words = ["download", "--no-deps", "--dest", str(directory)]
        self._run(words, interpreter, wanted)

    def _run(
        self, words: Sequence[str], interpreter: Interpreter, requirements: Sequence[str]
    ) -> str:
        command = [
            *(sys.executable, "-m", "pip", *words),
            *("--only-binary", ":all:", "--quiet", "--no-input", *interpreter.arguments),
            "--",
            *requirements,
        ]
        _log.info("%s", " ".join(command))
        done = subprocess.run(
            command,
            env={**self.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise NotFoundError(
                f"pip has no wheels for Python {interpreter.version} on {interpreter.platform}: "
                f"{_last_error(done.stderr)}; check the list and pip's index (pip config list)"
            )
        return done.stdout


def _last_error(said: str) -> str:
    """pip's last words, of which the last error says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(iter([*errors[-1:], *lines[-1:]]), "it said nothing")
