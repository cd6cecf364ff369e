"""A small but complete run in a staging directory: what every later task can be tried on.

It is made offline, without a compiler and in a second, and a rerun makes the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.entries import Entry
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import (
    GENERIC_TARGET,
    ArchiveName,
    ArtifactName,
    Component,
    Compression,
    parse_archive_filename,
)
from therock_outputs.artifacts.pack import PackedArchive, PackSettings, write_archive
from therock_outputs.artifacts.reproducible import FIXED_EPOCH
from therock_outputs.artifacts.sample_contents import (
    PER_TARGET_ARTIFACTS,
    Piece,
    device_pieces,
    host_pieces,
)
from therock_outputs.errors import ConflictError, UsageError
from therock_outputs.layout import WorkflowOutputRoot
from therock_outputs.layout.names import Platform
from therock_outputs.storage.base import IfExists, Progress
from therock_outputs.storage.hidden import temporary_file
from therock_outputs.storage.local_io import publish, write_all

__all__ = ["SAMPLE_RUN_ID", "SAMPLE_TARGETS", "SAMPLE_VERSION", "SampleRun", "write_sample_run"]

SAMPLE_RUN_ID = "sample"
SAMPLE_TARGETS = ("gfx942", "gfx1100")
SAMPLE_VERSION = "7.13.0.dev0"

_MODULES = ("zstandard.backend_c", "deflate._deflate")
"""Modules of this environment that are real ELF files of some size, made by real compilers."""
_BINDINGS = ("rocprofiler-sdk", Component.LIB, "profiler/rocprofiler-sdk/stage")
_OVERLAY = ("base", Component.LIB, "base/aux-overlay/stage")
_MANIFEST = "share/therock/therock_manifest.json"


@dataclass(frozen=True, slots=True)
class SampleRun:
    """The run that was written."""

    run_id: str
    root: Path
    """The run's directory in the staging directory."""
    archives: tuple[PackedArchive, ...]
    """By file name."""
    families: tuple[str, ...]
    """The families of a run by family; empty in a split run."""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(archive.size for archive in self.archives)


def write_sample_run(
    staging_dir: Path,
    *,
    run_id: str = SAMPLE_RUN_ID,
    platform: str = Platform.LINUX,
    targets: Sequence[str] = SAMPLE_TARGETS,
    split: bool = True,
    version: str = SAMPLE_VERSION,
    families: GpuFamilies | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SampleRun:
    """Write a run of these GPU targets, split by target or by family, and its logs.

    UsageError for an unknown target, a version that does not begin with ``X.Y.Z``, or a
    platform other than Linux; ConflictError where another run's archives lie already.
    """
    known = families or GpuFamilies.load()
    if platform != Platform.LINUX:
        raise UsageError(f"a sample run is a Linux run: --platform {platform} cannot be written")
    if not targets:
        raise UsageError("a sample run needs at least one GPU target, as in gfx942")
    by_owner = _owners(tuple(dict.fromkeys(targets)), known, split=split)
    layout = WorkflowOutputRoot.for_local(run_id, platform)
    manifest = _manifest(run_id, version, split=split)
    contents = _archives(by_owner, manifest, _rocm_version(version), split=split)
    root = layout.root.local_path(staging_dir)
    _refuse_other_runs(root, contents)

    settings = PackSettings(mtime=FIXED_EPOCH)

    def write(archive: ArchiveName) -> PackedArchive:
        stages, entries = contents[archive]
        path = layout.archive(archive.filename).local_path(staging_dir)
        return write_archive(path, stages, entries, settings, progress=progress)

    with ThreadPoolExecutor(jobs) as pool:
        packed = tuple(pool.map(write, sorted(contents, key=lambda archive: archive.filename)))
    _write(layout.manifests("therock_manifest.json").local_path(staging_dir), manifest)
    for stage, family in [("compiler-runtime", None), *(("math-libs", name) for name in by_owner)]:
        log = layout.stage_logs(stage, family, "build.log").local_path(staging_dir)
        _write(log, _log(stage))
    return SampleRun(run_id, root, packed, () if split else tuple(by_owner))


def _owners(
    targets: tuple[str, ...], known: GpuFamilies, *, split: bool
) -> dict[str, tuple[str, ...]]:
    """The targets whose GPU code each target (split) or family (otherwise) holds."""
    owners: dict[str, tuple[str, ...]] = {}
    for target in targets:
        family = known.closest_family(target)  # refuses unknown ones
        owner = target if split else family
        owners[owner] = (*owners.get(owner, ()), target)
    return owners


def _archives(
    by_owner: dict[str, tuple[str, ...]], manifest: bytes, rocm_version: str, *, split: bool
) -> dict[ArchiveName, tuple[list[str], list[Entry]]]:
    """Stages and entries of every archive."""
    pieces: dict[ArtifactName, list[Piece]] = defaultdict(list)
    common = [
        *host_pieces(rocm_version),
        *_environment_pieces(),
        Piece.file(_OVERLAY, _MANIFEST, manifest),
    ]
    for piece in common:
        by_family = not split and piece.artifact in PER_TARGET_ARTIFACTS
        for owner in by_owner if by_family else (GENERIC_TARGET,):
            pieces[ArtifactName(piece.artifact, piece.component, owner)].append(piece)
    for owner, targets in by_owner.items():
        for piece in device_pieces(targets, split=split):
            pieces[ArtifactName(piece.artifact, piece.component, owner)].append(piece)
    return {
        ArchiveName(artifact, Compression.ZST): (
            sorted({piece.stage for piece in parts}),
            [piece.entry for piece in parts if piece.entry is not None],
        )
        for artifact, parts in pieces.items()
    }


def _environment_pieces() -> Iterator[Piece]:
    """Real ELF files from the environment that this runs in, as Python bindings."""
    for module in _MODULES:
        spec = importlib.util.find_spec(module)
        path = Path(spec.origin) if spec is not None and spec.origin else None
        if path is None or not path.is_file():
            continue
        data = path.read_bytes()
        if data.startswith(b"\x7fELF"):
            place = f"lib/python3/site-packages/rocprofv3/{path.name}"
            yield Piece.file(_BINDINGS, place, data, executable=True)


def _rocm_version(version: str) -> str:
    match = re.match(r"\d+\.\d+\.\d+(?![0-9])", version)
    if match is None:
        raise UsageError(f"version {version!r} does not begin with X.Y.Z, as in 7.13.0.dev0")
    return match[0]


def _manifest(run_id: str, version: str, *, split: bool) -> bytes:
    submodules: list[dict[str, object]] = [
        {
            "submodule_name": name,
            "submodule_path": name,
            "submodule_url": f"https://github.com/ROCm/{name}.git",
            "pin_sha": _commit(f"{name} {run_id}"),
            "patches": [],
        }
        for name in ("rocm-libraries", "rocm-systems", "llvm-project")
    ]
    manifest = {
        "the_rock_commit": _commit(run_id),
        "github_run_id": run_id,
        "rocm_package_version": version,
        "rocm_version": _rocm_version(version),
        "submodules": submodules,
        "flags": {"KPACK_SPLIT_ARTIFACTS": split},
    }
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _commit(seed: str) -> str:
    return hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()


def _log(stage: str) -> bytes:
    lines = (f"[{step}/400] Building CXX object {stage}/{step}.o\n" for step in range(1, 401))
    return "".join(lines).encode()


def _refuse_other_runs(
    root: Path, contents: dict[ArchiveName, tuple[list[str], list[Entry]]]
) -> None:
    """A directory that holds more than this run's archives would be a mixture of two runs."""
    if not root.is_dir():
        return
    ours = {archive.filename for archive in contents}
    for path in sorted(root.iterdir()):
        if path.name not in ours and parse_archive_filename(path.name) is not None:
            raise ConflictError(
                f"{root} holds {path.name}, which is not of this run: remove the directory or "
                "give another --run-id"
            )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent) as (descriptor, temporary):
        write_all(data, descriptor)
        publish(temporary, path, IfExists.REPLACE)
