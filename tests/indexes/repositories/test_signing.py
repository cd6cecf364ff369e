"""Keys: found in a keyring or a file, refused early, and signatures that repeat."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.indexes.repositories.site import MTIME, gpg, keyring
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError, UsageError
from therock_outputs.indexes.repositories import Signer, open_signer
from therock_outputs.signing import fingerprint_of


@pytest.fixture
def environ(gnupg_home: Path) -> dict[str, str]:
    return {**os.environ, "GNUPGHOME": str(gnupg_home)}


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: sockets lie in it."""
    with TemporaryDirectory(prefix="keys-") as top:
        yield Path(top)


def verified(signer: Signer, data: bytes, signature: bytes, directory: Path) -> bool:
    """Whether gpgv, which apt uses, takes the signature for good."""
    for name, content in (("key.asc", signer.public_key), ("text", data), ("sig", signature)):
        (directory / name).write_bytes(content)
    environ = {**os.environ, "GNUPGHOME": str(directory)}
    subprocess.run(
        ["gpg", "--quiet", "--dearmor", "--output", "key.gpg", "key.asc"],
        cwd=directory, env=environ, check=True,
    )  # fmt: skip
    done = subprocess.run(
        ["gpgv", "--keyring", "./key.gpg", "sig", "text"],
        cwd=directory, env=environ, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


@pytest.mark.parametrize("number", [0, 1], ids=["ed25519", "rsa"])
def test_signature_is_a_function_of_text_key_and_time(
    signers: list[Signer], short: Path, number: int
) -> None:
    signer = signers[number]
    data = b"Origin: AMD ROCm\n- dash\n"
    first = signer.sign(data, mtime=MTIME, clear=False)
    assert signer.sign(data, mtime=MTIME, clear=False) == first
    assert signer.sign(data, mtime=MTIME + 1, clear=False) != first
    clear = signer.sign(data, mtime=MTIME, clear=True)
    assert clear == signer.sign(data, mtime=MTIME, clear=True)
    assert clear.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: AMD")
    assert verified(signer, data, first, short)


def test_time_before_the_key_was_made_becomes_the_key_s(signer: Signer, short: Path) -> None:
    signature = signer.sign(b"text", mtime=0, clear=False)
    assert signature == signer.sign(b"text", mtime=signer.created, clear=False)
    assert verified(signer, b"text", signature, short)


def test_changed_text_is_not_verified(signer: Signer, short: Path) -> None:
    signature = signer.sign(b"text", mtime=MTIME, clear=False)
    assert not verified(signer, b"next", signature, short)


def test_key_is_found_by_fingerprint_and_id_and_user(
    environ: dict[str, str], signer: Signer
) -> None:
    for key in (signer.fingerprint, signer.fingerprint[-16:], "a@example.com"):
        with open_signer(key, environ) as found:
            assert found == signer


def test_key_in_a_file_signs_alike_and_leaves_nothing(
    gnupg_home: Path, signer: Signer, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = gpg(gnupg_home, "--armor", "--export-secret-keys", signer.fingerprint)
    key = short / "secret.asc"
    key.write_bytes(exported)
    expected = signer.sign(b"text", mtime=MTIME, clear=True)
    monkeypatch.setattr("tempfile.tempdir", str(short))
    with open_signer(str(key), {**os.environ, "GNUPGHOME": str(short / "none")}) as found:
        assert found.fingerprint == signer.fingerprint
        assert found.public_key == signer.public_key
        assert found.sign(b"text", mtime=MTIME, clear=True) == expected
    assert [path.name for path in short.iterdir()] == ["secret.asc"]


def test_fingerprint_of_a_public_key(signer: Signer) -> None:
    assert fingerprint_of(signer.public_key, "key", signer) == signer.fingerprint
    with pytest.raises(IntegrityError, match=r"some place (is no|holds no) public key"):
        fingerprint_of(b"nothing\n", "some place", signer)


def test_unknown_key_is_named(environ: dict[str, str]) -> None:
    with (
        pytest.raises(NotFoundError, match=r"key 'nobody': no such secret key; gpg --list-secret"),
        open_signer("nobody", environ),
    ):
        pass


def test_words_that_fit_several_keys_are_refused(environ: dict[str, str]) -> None:
    with (
        pytest.raises(UsageError, match=r"key 'Tester' means 2 keys; give the fingerprint"),
        open_signer("Tester", environ),
    ):
        pass


def test_public_key_alone_cannot_sign(signer: Signer, short: Path) -> None:
    key = short / "public.asc"
    key.write_bytes(signer.public_key)
    with pytest.raises(NotFoundError, match="no such secret key"), open_signer(str(key)):
        pass


def test_file_that_holds_no_key_is_named(short: Path) -> None:
    key = short / "key.asc"
    key.write_text("nothing\n")
    with (
        pytest.raises(OutputsError, match=rf"key file {key} cannot be read: no valid OpenPGP"),
        open_signer(str(key)),
    ):
        pass


def test_key_with_a_passphrase_is_refused_before_anything_is_built(short: Path) -> None:
    home = short / "home"
    with keyring(home):
        gpg(home, "--passphrase", "secret", "--quick-generate-key", "c@example.com", "ed25519")
        environ = {**os.environ, "GNUPGHOME": str(home)}
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=environ, check=True)
        with (
            pytest.raises(OutputsError, match=r"cannot sign: it needs a passphrase and no agent"),
            open_signer("c@example.com", environ),
        ):
            pass


def test_expired_key_is_refused(short: Path) -> None:
    home = short / "home"
    with keyring(home):
        gpg(home, "--faked-system-time", "1600000000", "--quick-generate-key",
            "d@example.com", "ed25519", "sign", "1d")  # fmt: skip
        with (
            pytest.raises(OutputsError, match=r"key 'd@example\.com' has expired; give another"),
            open_signer("d@example.com", {**os.environ, "GNUPGHOME": str(home)}),
        ):
            pass


def test_key_that_may_only_certify_is_refused(short: Path) -> None:
    home = short / "home"
    with keyring(home):
        gpg(home, "--quick-generate-key", "e@example.com", "ed25519", "cert", "never")
        with (
            pytest.raises(OutputsError, match="has no part that may sign"),
            open_signer("e@example.com", {**os.environ, "GNUPGHOME": str(home)}),
        ):
            pass


def test_missing_gpg_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    with (
        pytest.raises(NotFoundError, match="gpg is not there; install gnupg, or leave out --sign"),
        open_signer("a@example.com", {**environ, "PATH": str(tmp_path / "bin")}),
    ):
        pass
