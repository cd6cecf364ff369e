"""Inventories of runs and definitions, written down in a few words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, ArtifactName
from therock_outputs.native_packages.definition import Definitions, check_definition
from therock_outputs.native_packages.inventory import InventoriedArchive, Inventory, StageMember
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat, PackagePlan
from therock_outputs.native_packages.package_toml import parse_package_toml
from therock_outputs.native_packages.plan import NativePlan, plan_native_packages

Stages: TypeAlias = Mapping[str, Iterable[str]]

DEFAULTS = """
[defaults]
architecture = "amd64"
maintainer = "Somebody <somebody@example.com>"
vendor = "Somebody"
homepage = "https://example.com"
license = "MIT"
section = "devel"
priority = "optional"
group = "Development/Libraries"
"""
OPTIONS = NativePackageOptions(
    deb_version="7.13.0~20251124", rpm_version="7.13.0~20251124", release="9", split=True
)
FAMILIES = GpuFamilies.load()


def member(text: str) -> StageMember:
    """``dir/``, ``file``, ``file:content``, ``link -> target`` or ``name = file`` (a hard link).

    Files are machine code, but for headers.
    """
    if " -> " in text:
        path, link = text.split(" -> ")
        return StageMember(path, Kind.SYMLINK, 0o777, link=link)
    if " = " in text:
        path, link = text.split(" = ")
        digest = _digest(link)
        return StageMember(path, Kind.HARDLINK, 0o644, link=link, digest=digest, is_code=True)
    if text.endswith("/"):
        return StageMember(text[:-1], Kind.DIRECTORY, 0o755)
    path, _, content = text.partition(":")
    digest, is_code = _digest(content or path), not path.endswith(".h")
    return StageMember(path, Kind.FILE, 0o644, len(content), digest=digest, is_code=is_code)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def inventory(archives: Mapping[str, Stages]) -> Inventory:
    """Archives by stem, each with the members of its stages."""
    made = [
        InventoriedArchive(
            ArchiveName(ArtifactName.parse(stem)),
            {stage: tuple(member(text) for text in texts) for stage, texts in stages.items()},
        )
        for stem, stages in archives.items()
    ]
    return Inventory(tuple(sorted(made, key=lambda archive: archive.name.sort_key)))


def definitions(text: str) -> Definitions:
    """Definitions in the project's form; a summary and a description are given to each."""
    lines = []
    for line in text.strip().splitlines():
        lines.append(line.strip())
        if line.strip().startswith("["):
            lines += ['summary = "Something"', 'description = "Something for a test."']
    made = parse_package_toml(DEFAULTS + "\n".join(lines), "test.toml")
    for definition in made:
        check_definition(definition)
    return made


def plan(
    text: str,
    archives: Mapping[str, Stages],
    options: NativePackageOptions = OPTIONS,
) -> NativePlan:
    """The plan of these definitions and archives."""
    return plan_native_packages(definitions(text), inventory(archives), options, FAMILIES)


def by_name(planned: NativePlan, kind: PackageFormat = PackageFormat.DEB) -> dict[str, PackagePlan]:
    """The packages of one format."""
    return {package.name: package for package in planned.of(kind)}


def paths(package: PackagePlan) -> list[str]:
    """What a package holds, directories aside."""
    return [c.path for c in package.contents if c.kind is not Kind.DIRECTORY]
