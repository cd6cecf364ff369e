"""Sign the header of an rpm with a GPG key, as rpmsign does."""

from __future__ import annotations

from dataclasses import dataclass

from therock_outputs.signing import Signer

__all__ = ["Signature", "sign"]

_RSA = frozenset({1, 2, 3})
"""OpenPGP's numbers of RSA (RFC 4880, section 9.1)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A detached OpenPGP signature."""

    data: bytes

    @property
    def is_rsa(self) -> bool:
        """Whether it was made with an RSA key; rpm keeps others under another tag."""
        # A packet of the old or the new format, then version 4, the type, the algorithm.
        first = self.data[0]
        if first & 0x40:
            length = 1 if self.data[1] < 192 else 2 if self.data[1] < 224 else 5
        else:
            length = 1 << (first & 3)
        return self.data[1 + length + 2] in _RSA


def sign(data: bytes, signer: Signer, mtime: int) -> Signature:
    """Sign bytes; the same ones get the same signature of one key."""
    return Signature(signer.sign_binary(data, mtime=mtime))
