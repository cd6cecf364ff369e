"""lintian and rpmlint on packages, held against the tags that the project accepts."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.native_package_makers import run
from therock_outputs.native_packages.lint import lint_exceptions
from therock_outputs.signing import Signer, open_signer

KEY = "lint@example.org"
_LINTIAN = re.compile(r"^([EW]): ([^: ]+)[^:]*: ([A-Za-z0-9-]+)", re.MULTILINE)
_RPMLINT = re.compile(r"^(\S+): ([EW]): (\S+)", re.MULTILINE)
_FAILED = "fatal error while reading "
_SETTINGS = """\
ValidLicenses = ["MIT", "Apache-2.0", "GPL-3.0-or-later", "NCSA"]
ValidLicenseExceptions = ["LLVM-exception"]
# Where the libraries of a package lie, so that an RPATH may lead there.
SystemLibPaths = ["/opt/rocm"]
"""
"""Of rpmlint: not what it shall leave out, but what it cannot know."""


@dataclass
class Said:
    """What a linter says of packages."""

    tags: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often, by level (E or W) and tag."""
    examples: dict[str, str] = field(default_factory=dict)
    """A package for each tag."""
    failed: list[str] = field(default_factory=list)
    """Packages that the linter could not read to the end."""

    def add(self, package: str, level: str, tag: str) -> None:
        """Count one."""
        self.tags[level, tag] += 1
        self.examples.setdefault(tag, package)

    def beyond(self, linter: str) -> list[str]:
        """Tags that nobody has accepted, each with a package."""
        accepted = {e.tag for e in lint_exceptions() if linter in e.linters}
        found = sorted({tag for _, tag in self.tags} - accepted)
        return [f"{tag} ({self.examples[tag]})" for tag in found]


def lintian(debs: Sequence[Path], *, unknown_compression: bool = False) -> Said:
    """What lintian says, by its default: errors and warnings that no override is for.

    lintian 2.116 reads zstd payloads, but calls the file malformed for them, which dpkg does not:
    ``unknown_compression`` leaves that out.
    """
    said = Said()
    words = ["--suppress-tags", "malformed-deb-archive"] if unknown_compression else []
    command = ["lintian", "--allow-root", "--fail-on", "none", *words, *map(str, debs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for level, package, tag in _LINTIAN.findall(done.stdout):
        said.add(package, level, tag)
    return said


def rpmlint(rpms: Iterable[Path], home: Path, *, one_by_one: bool = False) -> Said:
    """What rpmlint says. ``home`` has a keyring of rpm; see `signing_home`."""
    said = Said()
    (home / "rpmlint.toml").write_text(rpmlint_settings())
    packages = [str(path) for path in rpms]
    for group in [[path] for path in packages] if one_by_one else [packages]:
        done = subprocess.run(
            ["rpmlint", "-c", str(home / "rpmlint.toml"), *group],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HOME": str(home)},
        )
        if _FAILED in done.stdout + done.stderr:
            said.failed += [Path(path).name for path in group]
            continue
        assert "packages and 0 specfiles checked" in done.stdout, done.stdout + done.stderr
        for package, level, tag in _RPMLINT.findall(done.stdout):
            said.add(package, level, tag)
    return said


def rpmlint_settings(*, with_filters: bool = False) -> str:
    """A file for ``rpmlint --config``; with filters, it leaves out what is accepted."""
    if not with_filters:
        return _SETTINGS
    filters = (
        f"    '[EW]: {re.escape(exception.tag)}( |$)',\n"
        for exception in lint_exceptions()
        if "rpmlint" in exception.linters
    )
    return f"{_SETTINGS}Filters = [\n{''.join(filters)}]\n"


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
