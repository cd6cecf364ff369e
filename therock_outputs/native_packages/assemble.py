"""Make the packages of one format out of the shapes of definitions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from therock_outputs.native_packages.options import NativePackageOptions
from therock_outputs.native_packages.package import Content, PackageFormat, PackagePlan, Scripts
from therock_outputs.native_packages.resolver import Drop, Resolver
from therock_outputs.native_packages.scripts import (
    ScriptContext,
    alternatives_scripts,
    cleaning_scripts,
)
from therock_outputs.native_packages.shapes import Form, Shape
from therock_outputs.native_packages.wording import Role, description, summary

__all__ = ["Assembler", "Dropped"]

_RPM_ARCHITECTURES = {"amd64": "x86_64", "all": "noarch"}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A dependency of a definition that a package does not get."""

    package: str
    dependency: str
    reason: str


class Assembler:
    """All packages of one format; ``dropped`` fills as they are made."""

    def __init__(self, resolver: Resolver, options: NativePackageOptions) -> None:
        self._resolver = resolver
        self._namer = resolver.namer
        self._kind = resolver.namer.format
        self._options = options
        self.dropped: list[Dropped] = []

    def packages(self, shape: Shape) -> Iterator[PackagePlan]:
        """The packages of one definition that are built."""
        match shape.form, shape.is_meta:
            case Form.PLAIN, _:
                yield from self._plain(shape)
            case Form.FAMILY, _:
                yield from self._by_family(shape)
            case Form.SPLIT, True:
                yield from self._split_meta(shape)
            case _:
                yield from self._split(shape)

    # -------------------------------------------------------------------- by form

    def _plain(self, shape: Shape) -> Iterator[PackagePlan]:
        if not self._resolver.has_common(shape):
            return
        role = Role.META if shape.is_meta else Role.FILES
        package = self._with_relations(
            self._package(shape, role, self._namer.versioned(shape.definition), shape.common),
            shape,
        )
        yield package
        yield self._latest(shape, package)

    def _by_family(self, shape: Shape) -> Iterator[PackagePlan]:
        for family in self._resolver.targets(shape):
            package = self._with_relations(
                self._package(
                    shape,
                    Role.TARGET_META if shape.is_meta else Role.TARGET,
                    self._namer.versioned(shape.definition, family),
                    shape.by_target.get(family, ()),
                    family,
                ),
                shape,
            )
            yield package
            yield self._latest(shape, package)

    def _split_meta(self, shape: Shape) -> Iterator[PackagePlan]:
        definition = shape.definition
        targets = self._resolver.targets(shape)
        if not targets:
            return
        names = [self._namer.versioned(definition, target) for target in targets]
        for target, name in zip(targets, names, strict=True):
            yield self._with_relations(
                self._package(shape, Role.TARGET_META, name, (), target), shape
            )
        gather = self._package(
            shape,
            Role.META_GATHER,
            self._namer.versioned(definition),
            (),
            extra=(f"It gathers the metapackages for {', '.join(targets)}.",),
        )
        gather = replace(gather, depends=tuple(self._resolver.pinned(names)))
        yield gather
        yield self._latest(shape, gather)

    def _split(self, shape: Shape) -> Iterator[PackagePlan]:
        definition, namer = shape.definition, self._namer
        targets = self._resolver.targets(shape)
        names = [namer.versioned(definition, target) for target in targets]
        if shape.common:
            names.insert(0, namer.host(definition))
            yield self._host(shape, targets)
        if not names:
            return
        for target in targets:
            yield self._target(shape, target)
        without = [target for target in shape.targets if target not in targets]
        extra = [f"It gathers {', '.join(names)}."]
        if without:
            extra.append(f"The run has no file of it for {', '.join(without)}.")
        gather = self._package(shape, Role.GATHER, namer.versioned(definition), (), extra=extra)
        gather = replace(gather, depends=tuple(self._resolver.pinned(names)))
        yield gather
        yield self._latest(shape, gather)

    def _host(self, shape: Shape, targets: Sequence[str]) -> PackagePlan:
        """What serves every GPU. Other GPU packages come through the packages of its targets."""
        extra = ["Its dependencies on packages with GPU code are those of its target packages."]
        if not targets:
            extra = ["No target has files of it, so it depends on the host's side of the others."]
        package = self._package(
            shape, Role.HOST, self._namer.host(shape.definition), shape.common, extra=extra
        )
        return self._with_relations(
            package,
            shape,
            takes=lambda other: not targets or other is None or other.form is not Form.SPLIT,
        )

    def _target(self, shape: Shape, target: str) -> PackagePlan:
        """What one target needs: with its host's side, and the same target of other packages."""
        definition = shape.definition
        contents = shape.by_target[target]
        name = self._namer.versioned(definition, target)
        if not shape.common:
            extra = ["The run has no file of it that serves every GPU, so it has no host's side."]
            package = self._package(shape, Role.TARGET, name, contents, target, extra=extra)
            return self._with_relations(package, shape)
        package = self._package(shape, Role.TARGET, name, contents, target)
        package = self._with_relations(
            package,
            shape,
            takes=lambda other: other is not None and other.form is Form.SPLIT,
            fields=("depends",),
        )
        return replace(package, depends=(self._namer.host(definition), *package.depends))

    def _latest(self, shape: Shape, versioned: PackagePlan) -> PackagePlan:
        """The package that goes from one version to the next."""
        definition, resolver = shape.definition, self._resolver
        target = versioned.target
        role = Role.TARGET_LATEST if target else Role.LATEST
        is_deb = self._kind is PackageFormat.DEB
        package = self._package(
            shape,
            role,
            self._namer.unversioned(definition, target),
            (),
            target,
            extra=["It alone carries what its definition provides, replaces and conflicts with."],
        )
        return replace(
            package,
            depends=tuple(resolver.pinned([versioned.name])),
            provides=resolver.literal(definition, "provides"),
            replaces=resolver.literal(definition, "replaces") if is_deb else (),
            conflicts=resolver.literal(definition, "conflicts"),
            obsoletes=() if is_deb else resolver.literal(definition, "obsoletes"),
        )

    # --------------------------------------------------------------------- pieces

    def _package(
        self,
        shape: Shape,
        role: Role,
        name: str,
        contents: tuple[Content, ...],
        target: str = "",
        *,
        extra: Sequence[str] = (),
    ) -> PackagePlan:
        definition, options, kind = shape.definition, self._options, self._kind
        architecture = definition.architecture
        if not any(content.is_code for content in contents):
            architecture = "all"
        if kind is PackageFormat.RPM:
            architecture = _RPM_ARCHITECTURES[architecture]
        return PackagePlan(
            format=kind,
            name=name,
            version=options.version(kind),
            release=options.release,
            architecture=architecture,
            summary=summary(definition, role, target),
            description=description(definition, role, target, options.variant),
            section=definition.section,
            priority=definition.priority,
            group=definition.group,
            license=definition.license,
            vendor=definition.vendor,
            homepage=definition.homepage,
            maintainer=definition.maintainer,
            prefix=options.install_prefix,
            contents=contents,
            scripts=self._scripts(shape, role, name, contents),
            reasons=tuple(self._reasons(shape, role, contents, target, extra)),
            definition=definition.name,
            target=target,
            ignored_requires=(
                definition.rpm_ignored_requires if kind is PackageFormat.RPM and contents else ()
            ),
        )

    def _with_relations(
        self,
        package: PackagePlan,
        shape: Shape,
        *,
        takes: Callable[[Shape | None], bool] = lambda _: True,
        fields: Sequence[str] = ("depends", "recommends", "suggests"),
    ) -> PackagePlan:
        """The package with those of its definition's relations that ``takes`` wants."""
        found: dict[str, tuple[str, ...]] = {}
        drops: list[Drop] = []
        for field in fields:
            relations, dropped = self._resolver.relations(shape, field, package.target, takes=takes)
            found[field] = tuple(relations)
            drops += dropped
        self.dropped += [Dropped(package.name, d.dependency, d.reason) for d in drops]
        reasons = (f"It does not depend on {d.dependency}: {d.reason}." for d in drops)
        return replace(
            package,
            depends=found["depends"],
            recommends=found.get("recommends", ()),
            suggests=found.get("suggests", ()),
            reasons=(*package.reasons, *reasons),
        )

    def _scripts(
        self, shape: Shape, role: Role, name: str, contents: tuple[Content, ...]
    ) -> Scripts:
        definition, options = shape.definition, self._options
        context = ScriptContext(
            format=self._kind,
            package=name,
            family=self._namer.versioned(definition),
            prefix=options.install_prefix,
            major=options.major,
            score=options.score,
        )
        if definition.alternatives and role not in (Role.LATEST, Role.TARGET_LATEST):
            return alternatives_scripts(context, definition.alternatives)
        return cleaning_scripts(context) if contents else Scripts()

    def _reasons(
        self,
        shape: Shape,
        role: Role,
        contents: Sequence[Content],
        target: str,
        extra: Sequence[str],
    ) -> Iterator[str]:
        definition = shape.definition
        yield f"It is made from the definition of {definition.name} ({definition.place})."
        yield f"That is divided as {shape.form.value}: {shape.why}."
        if contents:
            archives = sorted({content.archive for content in contents if content.archive})
            whom = f" for {target}" if target else ""
            yield f"Its files{whom} are those of {', '.join(archives)}."
            if not any(content.is_code for content in contents):
                yield "None of them is machine code, so it is for every architecture."
        elif role.only_gathers:
            yield (
                "It holds no files, so it is for every architecture, and pins what it depends on "
                "to its own version."
            )
        if definition.alternatives and role not in (Role.LATEST, Role.TARGET_LATEST):
            yield "It registers alternatives, by a score that grows with the version."
        yield from extra
