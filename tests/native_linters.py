"""lintian and rpmlint on packages, held against what the project says of them."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.native_package_makers import run
from therock_outputs.native_packages.lint import printed_tags, rpmlint_settings
from therock_outputs.signing import Signer, open_signer

KEY = "lint@example.org"
_LINTIAN = re.compile(r"^([EWIO]): ([^: ]+)[^:]*: ([A-Za-z0-9-]+) ?(.*)$", re.MULTILINE)
_RPMLINT = re.compile(r"^(\S+): ([EW]): (\S+) ?(.*)$", re.MULTILINE)
_FAILED = "fatal error while reading "
_UNUSED = frozenset({"unused-override", "mismatched-override"})


@dataclass(frozen=True, slots=True)
class Remark:
    """What a linter says once."""

    package: str
    level: str
    """E, W or I; O of what lintian would say, had the deb not declared it."""
    tag: str
    detail: str

    def __str__(self) -> str:
        return f"{self.package}: {self.level}: {self.tag}{self.detail and ' '}{self.detail}"


@dataclass
class Said:
    """What a linter says of packages."""

    remarks: list[Remark] = field(default_factory=list)
    """Errors and warnings, and overrides that are for nothing."""
    overridden: list[Remark] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Packages that the linter could not read to the end."""

    def beyond(self, linter: str) -> list[str]:
        """What is not listed as printed, and all errors."""
        listed = {one.tag for one in printed_tags() if one.linter == linter}
        return sorted(str(r) for r in self.remarks if r.level != "W" or r.tag not in listed)

    def add(self, other: Said) -> None:
        """Add what was said of other packages."""
        self.remarks += other.remarks
        self.overridden += other.overridden
        self.failed += other.failed


def lintian(debs: Sequence[Path], *, unknown_compression: bool = False) -> Said:
    """What lintian says by its default, and what it knows of overrides.

    lintian 2.116 reads zstd payloads, but calls the file malformed for them, which dpkg does not:
    ``unknown_compression`` leaves that out.
    """
    words = ["--suppress-tags", "malformed-deb-archive"] if unknown_compression else []
    words += ["--allow-root", "--fail-on", "none", "--display-info", "--show-overrides"]
    done = subprocess.run(
        ["lintian", *words, *map(str, debs)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = Said()
    for level, package, tag, detail in _LINTIAN.findall(done.stdout):
        remark = Remark(package, level, tag, detail)
        if level == "O":
            said.overridden.append(remark)
        elif level != "I" or tag in _UNUSED:
            said.remarks.append(remark)
    return said


def rpmlint(rpms: Iterable[Path], home: Path, settings: str | None = None) -> Said:
    """What rpmlint says with these settings, or with the project's own.

    ``home`` has a keyring of rpm; see `signing_home`.
    """
    packages = [str(path) for path in rpms]
    with tempfile.NamedTemporaryFile("w", dir=home, suffix=".toml") as file:
        file.write(rpmlint_settings() if settings is None else settings)
        file.flush()
        done = subprocess.run(
            ["rpmlint", "--config", file.name, *packages],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HOME": str(home)},
        )
    if _FAILED in done.stdout + done.stderr:
        return Said(failed=[Path(name).name for name in packages])
    assert "packages and 0 specfiles checked" in done.stdout, done.stdout + done.stderr
    found = _RPMLINT.findall(done.stdout)
    return Said([Remark(package, level, tag, detail) for package, level, tag, detail in found])


@contextmanager
def signing_home(home: Path) -> Iterator[Signer]:
    """A key to sign rpms with, which rpm trusts where ``home`` is the home directory."""
    gpg = home / "gpg"
    gpg.mkdir(mode=0o700, parents=True)
    quiet = ("--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GNUPGHOME", str(gpg))
        try:
            run("gpg", *quiet, "--quick-gen-key", KEY, "rsa2048", "sign", "never")
            (home / "key.asc").write_text(run("gpg", "--armor", "--export", KEY))
            (home / ".rpmmacros").write_text(f"%_dbpath {home}/keys\n")
            run("rpm", f"--dbpath={home}/keys", "--import", home / "key.asc")
            with open_signer(KEY) as signer:
                yield signer
        finally:
            subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)
