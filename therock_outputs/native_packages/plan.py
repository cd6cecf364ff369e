"""Which deb and rpm packages a run gives, and all that is in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import Component
from therock_outputs.errors import ConflictError, OutputsError
from therock_outputs.native_packages.assemble import Assembler, Dropped
from therock_outputs.native_packages.conflicts import exclusions
from therock_outputs.native_packages.cycles import find_cycles
from therock_outputs.native_packages.definition import Definitions
from therock_outputs.native_packages.inventory import Inventory
from therock_outputs.native_packages.names import Namer
from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import PackageFormat, PackagePlan
from therock_outputs.native_packages.relations import Relation
from therock_outputs.native_packages.resolver import Resolver
from therock_outputs.native_packages.shapes import Shape, Shaper
from therock_outputs.native_packages.targets import choose_targets, family_words

__all__ = [
    "DroppedDependency",
    "NativePlan",
    "SkippedPackage",
    "UnusedStage",
    "plan_native_packages",
]


@dataclass(frozen=True, slots=True)
class SkippedPackage:
    """A package of the definitions that is not built, which is no failure."""

    definition: str
    name: str
    """What it would be called."""
    format: PackageFormat
    reason: str


@dataclass(frozen=True, slots=True)
class DroppedDependency:
    """A dependency of a definition that the package does not have."""

    format: PackageFormat
    package: str
    dependency: str
    """As the definition has it."""
    reason: str


@dataclass(frozen=True, slots=True)
class UnusedStage:
    """Files of the run that are in no package."""

    archive: str
    stage: str
    files: int
    reason: str


@dataclass(frozen=True, slots=True)
class NativePlan:
    """All deb and rpm packages of a run."""

    options: NativePackageOptions
    packages: tuple[PackagePlan, ...]
    """By format, then by name."""
    skipped: tuple[SkippedPackage, ...] = ()
    dropped: tuple[DroppedDependency, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()
    """Definitions whose packages depend on one another in a circle, which installs."""
    unused: tuple[UnusedStage, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know, such as an artifact that the run lacks."""

    @property
    def archives(self) -> tuple[str, ...]:
        """File names of the archives that are read, each once."""
        contents = (content for package in self.packages for content in package.contents)
        return tuple(sorted({content.archive for content in contents if content.archive}))

    def of(self, kind: PackageFormat) -> tuple[PackagePlan, ...]:
        """The packages of one format."""
        return tuple(package for package in self.packages if package.format is kind)


def plan_native_packages(
    definitions: Definitions,
    inventory: Inventory,
    options: NativePackageOptions,
    families: GpuFamilies | None = None,
) -> NativePlan:
    """Decide which packages to make of this run, and everything in them.

    ``families`` lets a target be asked for by its family, and the other way round. UsageError
    for a target or package that is unknown, DefinitionsError for dependencies that cannot be,
    ConflictError for two packages that claim one path or one name.
    """
    wanted = {definition.name for definition in definitions.named(options.packages)}
    targets = choose_targets(options.targets, inventory, families, split=options.split)
    if not options.split:
        family_words(targets)  # refuses two families of one word
    shaper = Shaper(definitions, inventory, targets, split=options.split)
    shapes = shaper.shapes()
    planned: list[PackagePlan] = []
    dropped: list[DroppedDependency] = []
    cycles: dict[tuple[str, ...], None] = {}
    for kind in dict.fromkeys(options.formats):
        packages, drops, circles = _plan_format(kind, definitions, shapes, options, targets)
        planned += packages
        dropped += drops
        cycles.update(dict.fromkeys(circles))
    built = {(package.format, package.name) for package in planned}
    skipped = (
        SkippedPackage(name, package, kind, reason)
        for kind in dict.fromkeys(options.formats)
        for name, package, reason in _skipped(kind, definitions, shapes, options)
        if name in wanted and (kind, package) not in built
    )
    chosen = tuple(package for package in planned if package.definition in wanted)
    names = {(package.format, package.name) for package in chosen}
    return NativePlan(
        options=options,
        packages=tuple(sorted(chosen, key=lambda package: (package.format, package.name))),
        skipped=tuple(skipped),
        dropped=tuple(drop for drop in dropped if (drop.format, drop.package) in names),
        cycles=tuple(cycles),
        unused=tuple(_unused(definitions, inventory, shaper, targets)),
        notes=(*definitions.remarks, *shaper.notes),
    )


def _plan_format(
    kind: PackageFormat,
    definitions: Definitions,
    shapes: Sequence[Shape],
    options: NativePackageOptions,
    targets: tuple[str, ...],
) -> tuple[list[PackagePlan], list[DroppedDependency], tuple[tuple[str, ...], ...]]:
    namer = Namer(kind, options.rocm, options.variant, split=options.split)
    pin = f"{options.version(kind)}-{options.release}"
    assembler = Assembler(Resolver(definitions, shapes, namer, pin), options)
    packages = [package for shape in shapes for package in assembler.packages(shape)]
    _check_names(packages)
    _check_references(packages, namer, definitions)
    families = frozenset() if options.split else frozenset(targets)
    excluded = exclusions(packages, families)
    packages = [_excluding(package, excluded.get(package.name, ())) for package in packages]
    drops = [DroppedDependency(kind, *_fields(dropped)) for dropped in assembler.dropped]
    return packages, drops, _circles(packages)


def _fields(dropped: Dropped) -> tuple[str, str, str]:
    return dropped.package, dropped.dependency, dropped.reason


def _excluding(package: PackagePlan, others: Sequence[str]) -> PackagePlan:
    """The package with a conflict for each of the packages that it cannot stand beside."""
    if not others:
        return package
    conflicts = tuple(dict.fromkeys((*package.conflicts, *others)))
    reason = f"It conflicts with {', '.join(others)}, which hold the same paths for other GPUs."
    return replace(package, conflicts=conflicts, reasons=(*package.reasons, reason))


# ------------------------------------------------------------------------------- checks


def _check_names(packages: Iterable[PackagePlan]) -> None:
    """ConflictError when two definitions make packages of one name."""
    seen: dict[str, PackagePlan] = {}
    for package in packages:
        other = seen.setdefault(package.name, package)
        if other is not package:
            raise ConflictError(
                f"{other.definition} and {package.definition} both make a {package.format} "
                f"package {package.name}; rename one of the definitions"
            )


def _check_references(
    packages: Sequence[PackagePlan], namer: Namer, definitions: Definitions
) -> None:
    """Nothing depends on itself, or on a package of this set that is not built.

    The resolver sees to it; this looks at the result, whatever led there.
    """
    built = {package.name for package in packages}
    ours = namer.recognise(definitions)
    for package in packages:
        for name in _referred(package):
            if name == package.name:
                raise OutputsError(
                    f"{package.name} depends on itself; look at the dependencies of "
                    f"{package.definition}"
                )
            if ours(name) and name not in built:
                raise OutputsError(
                    f"{package.name} depends on {name}, which is not built; look at the "
                    f"dependencies of {package.definition}"
                )


def _referred(package: PackagePlan) -> Iterator[str]:
    """The names that a package depends on, recommends or suggests."""
    for text in (*package.depends, *package.recommends, *package.suggests):
        yield from Relation.names_in(text, package.format)


def _circles(packages: Sequence[PackagePlan]) -> tuple[tuple[str, ...], ...]:
    """Circles of dependencies, as the definitions that take part in them; each once."""
    definition = {package.name: package.definition for package in packages}
    graph = {
        package.name: tuple(
            name
            for text in package.depends
            for name in Relation.names_in(text, package.format)
            if name in definition
        )
        for package in packages
    }
    named = (tuple(sorted({definition[name] for name in c})) for c in find_cycles(graph))
    return tuple(dict.fromkeys(named))


# ------------------------------------------------------------------------------ leftovers


def _skipped(
    kind: PackageFormat,
    definitions: Definitions,
    shapes: Sequence[Shape],
    options: NativePackageOptions,
) -> Iterator[tuple[str, str, str]]:
    """Definition, package and reason of all that would be empty, built or not."""
    namer = Namer(kind, options.rocm, options.variant, split=options.split)
    for definition in definitions:
        if definition.disabled:
            yield definition.name, namer.unversioned(definition), "disabled by its definition"
    for shape in shapes:
        definition = shape.definition
        if shape.is_meta:
            reason = "nothing that it gathers is built"
            for target in shape.targets:
                yield shape.name, namer.versioned(definition, target), reason
            if not shape.targets or options.split:
                yield shape.name, namer.unversioned(definition), reason
            continue
        if shape.why_empty:
            yield shape.name, namer.unversioned(definition), shape.why_empty
            continue
        for target in shape.targets:
            if target not in shape.by_target:
                name = namer.versioned(definition, target)
                yield shape.name, name, "the run has no file of it for this GPU"


def _unused(
    definitions: Definitions, inventory: Inventory, shaper: Shaper, targets: tuple[str, ...]
) -> Iterator[UnusedStage]:
    """Stages with files that are in no package, and why."""
    named = {name for definition in definitions for name in definition.artifacts}
    for archive in inventory.archives:
        artifact = archive.artifact
        if not artifact.is_generic and artifact.base_target not in targets:
            reason = "its GPU target is not asked for"
        elif artifact.name not in named:
            reason = "no definition names its artifact"
        elif artifact.component is Component.DBG:
            reason = "no definition takes debug information"
        else:
            reason = f"no definition takes the {artifact.component.value} component of this stage"
        for stage, members in archive.stages.items():
            if members and (archive.name.filename, stage) not in shaper.used:
                yield UnusedStage(archive.name.filename, stage, len(members), reason)
