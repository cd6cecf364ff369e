"""Build tarballs of a few archives, as tests want them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import zstandard

from tests import archive_makers as make
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import parse_archive_filename, parse_sha256sum
from therock_outputs.tarballs.build import ArchiveFile, TarballResult, build_tarballs
from therock_outputs.tarballs.plan import TarballOptions, plan_tarballs

FAMILIES = GpuFamilies.load()
MTIME = 1_577_836_800


def archives_of(folder: Path) -> list[ArchiveFile]:
    """The archives of a directory with the digests beside them."""
    found = []
    for path in sorted(folder.iterdir()):
        if name := parse_archive_filename(path.name):
            text = (folder / name.sha256_filename).read_text()
            found.append(ArchiveFile(name, path, parse_sha256sum(text, path.name)))
    return found


def build(
    folder: Path,
    output: Path,
    segments: Path | None = None,
    *,
    options: TarballOptions | None = None,
    jobs: int | None = 2,
) -> TarballResult:
    """Build the tarballs of all archives in a directory."""
    archives = archives_of(folder)
    plan = plan_tarballs(
        [archive.name for archive in archives], options or TarballOptions("1"), FAMILIES
    )
    store = segments or output.with_name(f"{output.name}.segments")
    return build_tarballs(plan, archives, output, store, mtime=MTIME, jobs=jobs)


def tar_of(path: Path) -> bytes:
    """The tar file in a tarball."""
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        return gzip.decompress(data)
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def members_of(path: Path) -> list[tarfile.TarInfo]:
    """The members of a tarball in their order."""
    with tarfile.open(fileobj=io.BytesIO(tar_of(path))) as archive:
        return archive.getmembers()


def tree_in(path: Path, target: Path) -> dict[str, tuple[str, ...]]:
    """What Python's tar reader makes of a tarball."""
    target.mkdir()
    make.extract_with_python(tar_of(path), target)
    return make.tree_of(target)


def digests(paths: Sequence[Path] | Path) -> dict[str, str]:
    """SHA-256 of files, or of all files in a directory, by name."""
    files = sorted(paths.iterdir()) if isinstance(paths, Path) else paths
    return {path.name: make.digest_of(path) for path in files}
