"""Signatures of packages and of a repository's metadata, made by the gpg of this machine.

A signature is a function of the text, the key and a given time, so that unchanged metadata keeps
its signature: the time is the metadata's own, or that of the key's making where the key is newer,
since gpg takes no signature for good that is older than its key.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError, UsageError

__all__ = ["PUBLIC_KEY", "Signer", "fingerprint_of", "open_signer"]

_log = logging.getLogger(__name__)

PUBLIC_KEY = "rocm.asc"
"""The armored public key, in the place that a source line or ``baseurl`` names."""

_BASE = ("gpg", "--batch", "--no-tty", "--quiet", "--no-auto-key-locate")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True, slots=True)
class Signer:
    """A secret key that gpg can use."""

    fingerprint: str
    """Of the primary key, upper-case hex digits."""
    created: int
    """Seconds since the epoch: when the youngest key that may sign was made."""
    public_key: bytes
    """Armored."""
    environ: Mapping[str, str] = field(repr=False, compare=False)
    """What gpg runs in; it names the key's GNUPGHOME."""

    def sign(self, data: bytes, *, mtime: int, clear: bool) -> bytes:
        """A detached signature, or the text with one in it (``clear``); both armored."""
        return self._sign(data, mtime, "--armor", "--clear-sign" if clear else "--detach-sign")

    def sign_binary(self, data: bytes, *, mtime: int) -> bytes:
        """A detached signature as an OpenPGP packet."""
        return self._sign(data, mtime, "--no-armor", "--detach-sign")

    def _sign(self, data: bytes, mtime: int, armor: str, form: str) -> bytes:
        when = max(mtime, self.created)
        words = [
            *(armor, "--pinentry-mode", "error", "--digest-algo", "SHA256"),
            # A frozen clock; an agent has none, so only what gpg itself writes changes.
            *("--faked-system-time", f"{when}!", "--local-user", self.fingerprint),
            form,
        ]
        return _gpg(words, self.environ, data, f"key {self.fingerprint} cannot sign")


@contextmanager
def open_signer(key: str, environ: Mapping[str, str] | None = None) -> Iterator[Signer]:
    """A signer for a key of the keyring (id, fingerprint, user id), or for a file with one.

    The keyring is that of GNUPGHOME, else the user's. A file's key is taken into a keyring of its
    own, which is gone afterwards. Raises NotFoundError when there is no such secret key or no
    gpg, UsageError when several fit, OutputsError for one that cannot sign (expired, revoked, or
    locked by a passphrase that no agent knows): found out before anything is published.
    """
    environ = dict(os.environ if environ is None else environ)
    environ["LC_ALL"] = "C"
    if not Path(key).is_file():
        yield _signer(key, environ)
        return
    # Not below the working directory: the path of the agent's socket may not be long.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        environ["GNUPGHOME"] = home
        try:
            _gpg(["--import", "--", key], environ, b"", f"key file {key} cannot be read")
            yield _signer("", environ, key)
        finally:
            # The agent would notice that its directory is gone only some time later.
            command = ["gpgconf", "--kill", "gpg-agent"]
            subprocess.run(command, env=environ, capture_output=True, check=False)


def fingerprint_of(public_key: bytes, label: str, signer: Signer) -> str:
    """The fingerprint of an armored public key, by the signer's gpg.

    IntegrityError when it is none.
    """
    words = ["--show-keys", "--with-colons"]
    try:
        said = _gpg(words, signer.environ, public_key, f"{label} is no public key").decode()
    except OutputsError as error:
        raise IntegrityError(str(error)) from error
    for line in said.splitlines():
        fields = line.split(":")
        if fields[0] == "fpr":
            return fields[9]
    raise IntegrityError(f"{label} holds no public key; put the published one back")


@dataclass(frozen=True, slots=True)
class _Key:
    """One line ``sec`` or ``ssb`` of gpg's list."""

    validity: str
    created: int
    capabilities: str


def _signer(key: str, environ: Mapping[str, str], file: str = "") -> Signer:
    """The one secret key that ``key`` names; empty: the one that is there."""
    shown = f"key file {file}" if file else f"key {key!r}"
    words = ["--list-secret-keys", "--with-colons", *(["--", key] if key else [])]
    try:
        said = _gpg(words, environ, b"", shown).decode("utf-8", "replace")
    except _GpgError as error:
        raise _no_key(shown, environ) from error
    keys: list[list[_Key]] = []
    fingerprints: list[str] = []
    for line in said.splitlines():
        fields = line.split(":")
        if fields[0] in {"sec", "ssb"}:
            if fields[0] == "sec":
                keys.append([])
            keys[-1].append(_Key(fields[1], int(fields[5] or 0), fields[11]))
        elif fields[0] == "fpr" and len(fingerprints) < len(keys):
            fingerprints.append(fields[9])
    if not keys:
        raise _no_key(shown, environ)
    if len(keys) > 1:
        raise UsageError(f"{shown} means {len(keys)} keys; give the fingerprint of one of them")
    fingerprint = fingerprints[0]
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise OutputsError(f"gpg says that {shown} has fingerprint {fingerprint!r}; check gpg")
    signer = Signer(
        fingerprint, _created(keys[0], shown), _public_key(fingerprint, environ), environ
    )
    # A locked key is found out now, not after an hour of building.
    signer.sign(b"test\n", mtime=0, clear=False)
    _log.info("signing with key %s", fingerprint)
    return signer


def _created(keys: Sequence[_Key], shown: str) -> int:
    """When the youngest usable signing key was made; OutputsError when there is none."""
    usable = [key for key in keys if key.validity not in set("redi") and "s" in key.capabilities]
    if usable and keys[0].validity not in set("redi"):
        return max(key.created for key in usable)
    reason = {"e": "has expired", "r": "is revoked", "d": "is disabled"}.get(
        keys[0].validity, "has no part that may sign"
    )
    raise OutputsError(f"{shown} {reason}; give another --sign-key, or renew it")


def _public_key(fingerprint: str, environ: Mapping[str, str]) -> bytes:
    words = ["--armor", "--export-options", "export-minimal", "--export", fingerprint]
    return _gpg(words, environ, b"", f"key {fingerprint} cannot be exported")


def _no_key(shown: str, environ: Mapping[str, str]) -> NotFoundError:
    where = environ.get("GNUPGHOME") or "~/.gnupg"
    return NotFoundError(
        f"{shown}: no such secret key; gpg --list-secret-keys shows those in {where}, "
        "and a file with an exported secret key will do too"
    )


class _GpgError(OutputsError):
    """gpg ended with an error."""


def _gpg(words: Sequence[str], environ: Mapping[str, str], data: bytes, what: str) -> bytes:
    """What gpg writes; OutputsError, which begins with ``what``, when it fails."""
    command = [*_BASE, *words]
    _log.debug("%s", " ".join(command))
    try:
        done = subprocess.run(command, input=data, env=environ, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{what}: gpg is not there; install gnupg, or leave out --sign-key"
        ) from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace")
    if "inentry" in said or "passphrase" in said.lower():
        raise _GpgError(
            f"{what}: it needs a passphrase and no agent knows it; give it to gpg-agent first "
            "(gpg-preset-passphrase), or use a key without one"
        )
    last = next(iter(said.strip().splitlines()[-1:]), f"gpg ended with {done.returncode}")
    raise _GpgError(f"{what}: {last.removeprefix('gpg: ')}; check the key")
