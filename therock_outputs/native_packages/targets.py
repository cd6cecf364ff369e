"""Which GPU targets or families packages are made for."""

from __future__ import annotations

from collections.abc import Sequence

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import base_target
from therock_outputs.errors import UsageError
from therock_outputs.native_packages.inventory import Inventory
from therock_outputs.native_packages.names import family_word

__all__ = ["choose_targets", "family_words"]


def choose_targets(
    asked: Sequence[str], inventory: Inventory, families: GpuFamilies | None, *, split: bool
) -> tuple[str, ...]:
    """The run's targets (its families, when it is not split) that are asked for; all by default.

    A target with feature suffixes joins its base. With ``families``, a family stands for its
    targets in a split run, and a target for its family in one that is not. UsageError, with
    what the run has, for a name that it has nothing for.
    """
    there = {name.casefold(): name for name in inventory.targets}
    if not asked:
        return inventory.targets
    chosen: set[str] = set()
    for name in asked:
        related = [base_target(name)]
        if families is not None and families.is_known(name):
            related += _related(name, families, split=split)
        exact = there.get(related[0].casefold())
        found = (
            {exact} if exact else {there[r.casefold()] for r in related if r.casefold() in there}
        )
        if not found:
            have = ", ".join(inventory.targets) or "generic archives only"
            raise UsageError(f"--targets: {name!r} is not in this run, which has: {have}")
        chosen |= found
    return tuple(sorted(chosen))


def _related(name: str, families: GpuFamilies, *, split: bool) -> tuple[str, ...]:
    """What a run may have instead of a family or target of this name."""
    targets = families.targets_of(name)
    if split:
        return targets
    return families.families_of(targets[0]) if len(targets) == 1 else ()


def family_words(families: Sequence[str]) -> dict[str, str]:
    """The word that names carry of each family. UsageError when two have the same."""
    words: dict[str, str] = {}
    for family in families:
        word = family_word(family)
        if other := words.get(word):
            raise UsageError(
                f"families {other} and {family} would both be called {word} in packages' names; "
                "choose one of them with --targets"
            )
        words[word] = family
    return {family: word for word, family in words.items()}
