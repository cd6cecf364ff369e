"""One deb or rpm package as it will be: what the plan decides and the writers write."""

from __future__ import annotations

from dataclasses import dataclass

from therock_outputs.artifacts.archives import Kind
from therock_outputs.layout.names import PackageFormat

__all__ = ["Content", "PackageFormat", "PackagePlan", "Scripts"]


@dataclass(frozen=True, slots=True)
class Content:
    """One path of a package, and the archive that it comes from."""

    path: str
    """Relative to the install prefix, with forward slashes."""
    kind: Kind
    mode: int
    """Permission bits."""
    size: int
    """Bytes of a file as the archive has it; 0 for anything else."""
    link: str
    """A symlink's target as written, or the ``path`` of the file that a hard link names too."""
    archive: str
    """File name of the archive; empty for a directory that no archive lists."""
    stage: str
    """The stage directory that it lies in there."""
    digest: str = ""
    """SHA-256 of a file, or of the file that a hard link names, as the archive has it."""
    is_code: bool = False
    """Whether it is an ELF file or a static library, which make a package one machine's."""


@dataclass(frozen=True, slots=True)
class Scripts:
    """What runs on the machine that installs the package: POSIX sh, without the first line.

    Empty: none. Written so that a second run does no harm.
    """

    after_install: str = ""
    """deb: postinst (configure); rpm: %post."""
    before_remove: str = ""
    """deb: prerm; rpm: %preun."""
    after_remove: str = ""
    """deb: postrm; rpm: %postun."""
    after_transaction: str = ""
    """rpm: %posttrans, when all packages are in place and what they replace is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePlan:
    """One package of one format. Relations are in the format's own syntax."""

    format: PackageFormat
    name: str
    version: str
    """The upstream version, as in 7.13.0~20251124."""
    release: str
    """deb: the revision; rpm: the release."""
    architecture: str
    """deb: amd64 or all; rpm: x86_64 or noarch."""
    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    suggests: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()
    summary: str
    """One line."""
    description: str
    """Paragraphs, parted by empty lines."""
    section: str
    priority: str
    group: str
    """rpm's Group tag."""
    license: str
    vendor: str
    homepage: str
    maintainer: str
    prefix: str
    """The install prefix, as in /opt/rocm/core-7.13."""
    contents: tuple[Content, ...] = ()
    """By path; the directories above a path come before it. None: it only gathers others.

    A hard link may come before the file that it names.
    """
    scripts: Scripts = Scripts()
    reasons: tuple[str, ...] = ()
    """Why it looks as it does, a sentence each."""
    definition: str = ""
    """The definition that it is made from."""
    target: str = ""
    """The GPU target, or the family of an unsplit run, that it is for."""
    ignored_requires: tuple[str, ...] = ()
    """rpm: shell patterns of derived Requires to leave out, as in libpython*."""

    @property
    def size(self) -> int:
        """Bytes of all files as the archives have them; a hard link adds none."""
        return sum(content.size for content in self.contents)

    @property
    def filename(self) -> str:
        """The name of the package's file, by each format's custom."""
        if self.format is PackageFormat.DEB:
            return f"{self.name}_{self.version}-{self.release}_{self.architecture}.deb"
        return f"{self.name}-{self.version}-{self.release}.{self.architecture}.rpm"
