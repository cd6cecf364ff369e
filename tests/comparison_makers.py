"""Sides and comparisons made of a few words, as tests want them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from therock_outputs.artifacts.compare.changes import Comparison
from therock_outputs.artifacts.compare.diff import compare_sides
from therock_outputs.artifacts.compare.pins import Provenance
from therock_outputs.artifacts.compare.sides import Side, SideArchive, SizedFile
from therock_outputs.artifacts.compare.where import change_tree, find_hotspot
from therock_outputs.artifacts.names import ArtifactName
from therock_outputs.indexes.comparison_page import comparison_page

STAGE = "math-libs/BLAS/rocBLAS/stage"
OLD = "a" * 40
NEW = "b" * 40


def file(name: str, size: int, stage: str = STAGE) -> SizedFile:
    """A file by ``archive:path``."""
    archive, _, path = name.partition(":")
    return SizedFile(path, size, archive, stage)


def run(
    files: Mapping[str, int],
    archives: Mapping[str, int] | None = None,
    *,
    label: str = "run 1",
    manifest: bytes | None = None,
) -> Side:
    """A run whose files were read; archives not named are a third as large as their files."""
    found = [file(name, size) for name, size in files.items()]
    sizes: dict[str, int] = {}
    for one in found:
        sizes[one.archive] = sizes.get(one.archive, 0) + one.size
    packed = {stem: size // 3 for stem, size in sizes.items()} | dict(archives or {})
    return Side(
        label,
        f"s3://bucket/{label}/",
        tuple(SideArchive(ArtifactName.parse(stem), size) for stem, size in packed.items()),
        tuple(found),
        compressed=sum(packed.values()),
        provenance=None if manifest is None else Provenance.parse(manifest, "manifest.json"),
    )


def listed(archives: Mapping[str, int], label: str = "run 1") -> Side:
    """A run of which only archives are known."""
    return Side(
        label,
        f"s3://bucket/{label}/",
        tuple(SideArchive(ArtifactName.parse(stem), size) for stem, size in archives.items()),
        compressed=sum(archives.values()),
    )


def prefix(files: Mapping[str, int], label: str = "prefix") -> Side:
    """An install prefix."""
    return Side(label, label, (), tuple(SizedFile(path, size) for path, size in files.items()))


def manifest(
    commit: str, submodules: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> bytes:
    """A run's manifest; each submodule by its URL."""
    return json.dumps(
        {
            "the_rock_commit": commit,
            "github_run_id": "1",
            "rocm_package_version": "7.13.0",
            "submodules": [
                {
                    "submodule_name": url.rstrip("/").rpartition("/")[2].removesuffix(".git"),
                    "submodule_url": url,
                    "pin_sha": sha,
                }
                for url, sha in submodules.items()
            ],
            "flags": dict(flags or {}),
        }
    ).encode()


def page_of(before: Side, after: Side) -> str:
    """The page of a comparison."""
    comparison: Comparison = compare_sides(before, after)
    tree = change_tree(comparison)
    return comparison_page(comparison, tree, find_hotspot(tree, comparison))
