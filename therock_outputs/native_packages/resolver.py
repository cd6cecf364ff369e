"""What the packages of one format depend on: definitions' relations turned into names. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from therock_outputs.artifacts.data_files import near_matches
from therock_outputs.native_packages.definition import (
    Definition,
    Definitions,
    DefinitionsError,
    Place,
)
from therock_outputs.native_packages.names import Namer
from therock_outputs.native_packages.relations import Relation, Term
from therock_outputs.native_packages.shapes import Form, Shape

__all__ = ["Drop", "Resolver"]

_OURS = re.compile(r"amdrocm(?=$|[-0-9])")
"""A name of ROCm's own packages: no distribution has one that no definition makes."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A dependency that a package does not get."""

    dependency: str
    reason: str


class Resolver:
    """The packages of one format that exist, and the names by which others depend on them."""

    def __init__(
        self,
        definitions: Definitions,
        shapes: Sequence[Shape],
        namer: Namer,
        pin: str,
    ) -> None:
        """``pin`` is the exact version that packages without files ask for."""
        self.namer = namer
        self._kind = namer.format
        self._pin = pin
        self._definitions = {definition.name: definition for definition in definitions}
        self._shapes = {shape.name: shape for shape in shapes}
        for shape in shapes:
            self._check(shape.definition)
        self._built_metas: set[tuple[str, str]] = set()
        self._settle_metas()

    # ------------------------------------------------------------------- existence

    def has_common(self, shape: Shape) -> bool:
        """Whether the plain package, or the host's, or the gathering metapackage is built."""
        if shape.is_meta and shape.form is Form.PLAIN:
            return (shape.name, "") in self._built_metas
        if shape.is_meta:
            return any(self.has_target(shape, target) for target in shape.targets)
        return bool(shape.common)

    def has_target(self, shape: Shape, target: str) -> bool:
        """Whether the package of one target or family is built."""
        if shape.is_meta:
            return (shape.name, target) in self._built_metas
        return target in shape.by_target

    def targets(self, shape: Shape) -> tuple[str, ...]:
        """The targets or families that have a package."""
        return tuple(target for target in shape.targets if self.has_target(shape, target))

    def _settle_metas(self) -> None:
        """A metapackage is built when something that it gathers is; metapackages gather others."""
        candidates = {
            (shape.name, target)
            for shape in self._shapes.values()
            if shape.is_meta
            for target in (shape.targets if shape.form is not Form.PLAIN else ("",))
        }
        changed = True
        while changed:
            changed = False
            for name, target in sorted(candidates - self._built_metas):
                relations, _ = self.relations(self._shapes[name], "depends", target)
                if relations:
                    self._built_metas.add((name, target))
                    changed = True

    # ---------------------------------------------------------------------- names

    def names_for(self, wanted: Shape, target: str) -> tuple[tuple[str, ...], str]:
        """Packages any one of which serves a package of ``target`` that depends on ``wanted``.

        ``target`` is empty for a package of no target. Without any, the reason why.
        """
        definition, namer = wanted.definition, self.namer
        if wanted.form is Form.FAMILY:
            served = (target,) if target else self.targets(wanted)
            names = [namer.versioned(definition, t) for t in served if self.has_target(wanted, t)]
            return tuple(names), "" if names else self._absence(wanted, target)
        if wanted.form is Form.SPLIT and target and self.has_target(wanted, target):
            return (namer.versioned(definition, target),), ""
        if not self.has_common(wanted):
            return (), self._absence(wanted, target)
        if wanted.form is Form.SPLIT and not wanted.is_meta:
            return (namer.host(definition),), ""
        if wanted.form is Form.SPLIT and target:
            return (), self._absence(wanted, target)
        return (namer.versioned(definition),), ""

    def _absence(self, wanted: Shape, target: str) -> str:
        if wanted.by_target or (wanted.is_meta and self.targets(wanted)):
            return f"{wanted.name} has nothing for {target or 'the host, only for GPU targets'}"
        return f"{wanted.name} is not built"

    # ------------------------------------------------------------------- relations

    def relations(
        self,
        shape: Shape,
        field: str,
        target: str = "",
        *,
        takes: Callable[[Shape | None], bool] = lambda _: True,
    ) -> tuple[list[str], list[Drop]]:
        """A definition's relations (``depends``, …) for its package of this target.

        ``takes`` sees the shape of what a relation is to, None for what is not of this set.
        """
        pinned = shape.is_meta
        found: dict[str, None] = {}
        drops: list[Drop] = []
        for relation in self._parsed(shape.definition, field):
            if not takes(self._shape_of(relation)):
                continue
            kept, reasons = self._resolved(relation, target, pinned=pinned)
            if kept is not None:
                found[kept.written(self._kind)] = None
            drops += [Drop(term.written(self._kind), reason) for term, reason in reasons]
        return list(found), drops

    def pinned(self, names: Sequence[str]) -> list[str]:
        """A relation to each of these packages in exactly this version."""
        return [Relation.on([name], self._pin).written(self._kind) for name in names]

    def literal(self, definition: Definition, field: str) -> tuple[str, ...]:
        """A definition's relations to names as they stand, as in ``provides``."""
        texts: tuple[str, ...] = getattr(definition, field)
        parsed = (Relation.parse(text, self._kind, definition.place_of(text)) for text in texts)
        return tuple(relation.written(self._kind) for relation in parsed)

    def _resolved(
        self, relation: Relation, target: str, *, pinned: bool
    ) -> tuple[Relation | None, list[tuple[Term, str]]]:
        terms: list[Term] = []
        reasons: list[tuple[Term, str]] = []
        for term in relation.terms:
            if term.name not in self._definitions:
                terms.append(term)
                continue
            wanted = self._shapes.get(term.name)
            if wanted is None:
                reasons.append((term, f"{term.name} is disabled in its definition"))
                continue
            names, reason = self.names_for(wanted, target)
            if not names:
                reasons.append((term, reason))
            for name in names:
                exact = replace(term, name=name, operator="=", version=self._pin)
                terms.append(exact if pinned else replace(term, name=name))
        return (relation.with_terms(terms) if terms else None), reasons

    def _shape_of(self, relation: Relation) -> Shape | None:
        """The first of this set that a relation is to."""
        shapes = (self._shapes.get(term.name) for term in relation.terms)
        return next((shape for shape in shapes if shape is not None), None)

    def _parsed(self, definition: Definition, field: str) -> Iterator[Relation]:
        texts: tuple[str, ...] = getattr(definition, f"{self._kind.value}_{field}")
        for text in texts:
            yield Relation.parse(text, self._kind, definition.place_of(text))

    def _check(self, definition: Definition) -> None:
        """DefinitionsError for a dependency that nothing could satisfy."""
        for field in ("depends", "recommends", "suggests"):
            texts: tuple[str, ...] = getattr(definition, f"{self._kind.value}_{field}")
            for text in texts:
                place = definition.place_of(text)
                for term in Relation.parse(text, self._kind, place).terms:
                    self._check_term(definition, field, term, place)

    def _check_term(self, definition: Definition, field: str, term: Term, place: Place) -> None:
        if term.name == definition.name:
            raise DefinitionsError(
                place, f"{definition.name} depends on itself", f"take it out of its own {field}"
            )
        if _OURS.match(term.name) and term.name not in self._definitions:
            raise DefinitionsError(
                place,
                f"{definition.name} depends on {term.name}, which no definition makes",
                near_matches(term.name, self._definitions),
            )
