"""What each kind of package says of itself: its line, its description, and why it is there."""

from __future__ import annotations

import enum

from therock_outputs.native_packages.definition import Definition

__all__ = ["Role", "description", "summary"]

_LONGEST_SUMMARY = 80  # what lintian and rpmlint take


class Role(enum.Enum):
    """What a package is among those of its definition; the value ends its summary."""

    FILES = ""
    """Versioned, with the files."""
    HOST = "host side"
    """Versioned, with what serves every GPU."""
    TARGET = "for {target}"
    """Versioned, with what one GPU target or family needs."""
    GATHER = "for all GPUs"
    """Versioned, over the host's side and all targets."""
    META = "metapackage"
    """Versioned, over the packages of its definition."""
    TARGET_META = "metapackage for {target}"
    """As META, for one GPU target or family."""
    META_GATHER = "metapackage for all GPUs"
    """Versioned, over the metapackages of all targets."""
    LATEST = "latest version"
    """Without a version in its name."""
    TARGET_LATEST = "latest version for {target}"

    @property
    def only_gathers(self) -> bool:
        """Whether packages of this kind hold nothing, and pin what they depend on."""
        return self not in (Role.FILES, Role.HOST, Role.TARGET)


_EXPLANATIONS = {
    Role.FILES: "",
    Role.HOST: "This package holds what serves every GPU; the code of single GPUs is in packages "
    "beside it.",
    Role.TARGET: "This package holds what {target} needs.",
    Role.GATHER: "This metapackage gathers the host's side and the code for all GPUs.",
    Role.META: "This metapackage gathers other packages of one version of ROCm.",
    Role.TARGET_META: "This metapackage gathers other packages of one version of ROCm, with GPU "
    "code for {target} only.",
    Role.META_GATHER: "This metapackage gathers other packages of one version of ROCm, with the "
    "code for all GPUs.",
    Role.LATEST: "This metapackage depends on the newest version, and goes on to the next one when "
    "it is upgraded.",
    Role.TARGET_LATEST: "This metapackage depends on the newest version for {target}, and goes on "
    "to the next one when it is upgraded.",
}


def summary(definition: Definition, role: Role, target: str) -> str:
    """One line; a definition's own is cut where both together are too long."""
    ending = f" ({role.value.format(target=target)})" if role.value else ""
    line = definition.summary
    if len(line) + len(ending) > _LONGEST_SUMMARY:
        line = line[: _LONGEST_SUMMARY - len(ending) - 1].rpartition(" ")[0] + "…"
    return line + ending


def description(definition: Definition, role: Role, target: str, variant: str) -> str:
    """The definition's paragraphs, and one about this kind of package."""
    paragraphs = [definition.description, _EXPLANATIONS[role].format(target=target)]
    if variant:
        paragraphs.append(f"It was built with {variant}.")
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
