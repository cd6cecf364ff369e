"""GPU targets and the families that stand for them: facts from a data file, and look-ups in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from therock_outputs.artifacts.data_files import near_matches, read_toml
from therock_outputs.artifacts.names import GENERIC_TARGET, base_target, is_target_name
from therock_outputs.errors import UsageError

__all__ = ["GpuFamilies", "GpuTarget"]


@dataclass(frozen=True, slots=True)
class GpuTarget:
    """One GPU target, as in ``gfx942``."""

    name: str
    product: str
    """What the GPU is sold as; for people."""
    families: tuple[str, ...]
    """The families that hold it, widest first, without the one of its own name."""


@dataclass(frozen=True, slots=True)
class GpuFamilies:
    """All known targets, in the order in which they are listed."""

    source: str
    """The file that they are from, for messages."""
    targets: tuple[GpuTarget, ...]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The project's own table, or a newer one of the same form.

        NotFoundError when the file cannot be read, UsageError when its content is wrong.
        """
        root = read_toml(path, "gpu_families.toml")
        targets = []
        for name, table in root.tables("targets").items():
            if not is_target_name(name) or ":" in name or name == GENERIC_TARGET:
                raise root.error(f"targets.{name}", "is not the name of a GPU target")
            families = table.strings("families")
            for family in families:
                if not is_target_name(family) or ":" in family or family == GENERIC_TARGET:
                    raise table.error("families", f"holds {family!r}, which is no family name")
            targets.append(GpuTarget(name, table.string("product", ""), families))
        families_of_all = {family for target in targets for family in target.families}
        for target in targets:
            if target.name in families_of_all and target.name not in target.families:
                raise root.error(f"targets.{target.name}", "is the name of a family of others")
        return cls(root.source, tuple(targets))

    @property
    def families(self) -> tuple[str, ...]:
        """Names of all families, sorted, without those that are targets' own names."""
        return tuple(sorted({name for target in self.targets for name in target.families}))

    def is_known(self, name: str) -> bool:
        """Whether ``name`` is a family or a target, with or without feature suffixes."""
        base = base_target(name)
        return any(base == target.name or name in target.families for target in self.targets)

    def targets_of(self, family: str) -> tuple[str, ...]:
        """The targets that a family, or a target as a family of its own, stands for.

        A target with feature suffixes stands for itself, suffixes included. UsageError for a
        name that is neither.
        """
        base = base_target(family)
        if any(base == target.name for target in self.targets):
            return (family,)
        found = tuple(target.name for target in self.targets if family in target.families)
        if not found:
            known = [*self.families, *(target.name for target in self.targets)]
            raise UsageError(
                f"{family!r} is no GPU family or target of {self.source}; "
                f"{near_matches(family, known)}"
            )
        return found

    def families_of(self, target: str) -> tuple[str, ...]:
        """The families that hold a target, widest first, and last the one of its own name.

        Feature suffixes are not looked at. UsageError for an unknown target.
        """
        base = base_target(target)
        for candidate in self.targets:
            if candidate.name == base:
                return (*candidate.families, base)
        known = [candidate.name for candidate in self.targets]
        raise UsageError(
            f"{target!r} is no GPU target of {self.source}; {near_matches(base, known)}"
        )

    def closest_family(self, target: str) -> str:
        """The narrowest family of a target, or the target itself when it is in none."""
        families = self.families_of(target)
        return families[-2] if len(families) > 1 else families[-1]

    def expand(self, names: Iterable[str]) -> tuple[str, ...]:
        """The targets of all the families, each once, in the table's order.

        Targets with feature suffixes follow their base. UsageError for an unknown name.
        """
        found = {target for name in names for target in self.targets_of(name)}
        order = {target.name: place for place, target in enumerate(self.targets)}
        return tuple(sorted(found, key=lambda target: (order[base_target(target)], target)))
