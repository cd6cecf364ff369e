"""Which GPU targets of a run are promoted, and which of its files are for others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.errors import UsageError
from therock_outputs.publish.run_outputs import RunOutputs

__all__ = ["DEVICE", "KeptTargets"]

DEVICE = "rocm-sdk-device-"
"""What the project of a device wheel is called before its target."""
MULTIARCH = "multiarch"


@dataclass(frozen=True, slots=True)
class KeptTargets:
    """Which GPU targets are kept."""

    kept: tuple[str, ...] | None
    known: frozenset[str]
    """Those of the run."""
    families: GpuFamilies

    @classmethod
    def of(cls, outputs: RunOutputs, asked: Sequence[str], families: GpuFamilies) -> Self:
        """What is kept of a run; UsageError for a target or family that it has nothing for."""
        names = {wheel.file.name.project.removeprefix(DEVICE) for wheel in outputs.wheels
                 if wheel.file.name.project.startswith(DEVICE)}  # fmt: skip
        if not names:
            names = {tarball.name.family for tarball in outputs.tarballs} - {MULTIARCH}
            names |= {wheel.group for wheel in outputs.wheels} - {""}
        known = frozenset(
            target
            for name in names
            for target in (families.targets_of(name) if families.is_known(name) else (name,))
        )
        if not asked:
            return cls(None, known, families)
        wanted = families.expand(asked)
        for name in asked:
            if known.isdisjoint(families.targets_of(name)):
                have = ", ".join(sorted(known)) or "nothing"
                raise UsageError(
                    f"the run has nothing for {name}; --multi-arch-targets takes {have}"
                )
        return cls(tuple(target for target in wanted if target in known), known, families)

    def keeps(self, name: str | None) -> bool:
        """Whether a family or target is kept whole: a file cannot lose a part of its targets."""
        if self.kept is None or name is None:
            return True
        if name == MULTIARCH:
            return self.known <= set(self.kept)
        own = self.families.targets_of(name) if self.families.is_known(name) else (name,)
        here = self.known.intersection(own)
        return bool(here) and here <= set(self.kept)
