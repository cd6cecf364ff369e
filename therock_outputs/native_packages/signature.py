"""Sign the header of an rpm with a GPG key, as rpmsign does."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from therock_outputs.errors import NotFoundError, UsageError

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


def sign(data: bytes, key: str) -> Signature:
    """Sign bytes with a secret key of the user's keyring.

    UsageError when GPG cannot sign with it.
    """
    command = [
        "gpg",
        "--batch",
        "--no-tty",
        "--no-armor",
        "--digest-algo",
        "sha256",
        "--local-user",
        key,
        "--detach-sign",
    ]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise NotFoundError("gpg is not there to sign with; install GnuPG") from None
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise UsageError(f"gpg cannot sign with the key {key!r} ({lines[-1]}); check --sign-key")
    return Signature(done.stdout)
