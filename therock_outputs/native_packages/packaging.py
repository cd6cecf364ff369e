"""What the writers of both formats are given beside the plan."""

from __future__ import annotations

from dataclasses import dataclass

from therock_outputs.native_packages.files import FileMaker
from therock_outputs.native_packages.pieces import PieceMaker
from therock_outputs.native_packages.spool import Spool
from therock_outputs.signing import Signer

__all__ = ["Tools"]


@dataclass(frozen=True, slots=True)
class Tools:
    """What all packages of a build share."""

    maker: PieceMaker
    spool: Spool
    files: FileMaker
    mtime: int
    """Seconds since the epoch: the only time in a package."""
    signer: Signer | None = None
    """Signs rpms; None: they are not signed."""
