"""Where a run came from: its commit and the submodules that it pins, and how two of them differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.errors import IntegrityError
from therock_outputs.layout.names import THEROCK_REPOSITORY

__all__ = ["Pin", "PinChange", "Provenance", "compare_pins"]

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GITHUB = re.compile(
    r"https://github\.com/(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,98})/"
    r"(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)
_THEROCK = "TheRock"


@dataclass(frozen=True, slots=True)
class Pin:
    """One repository at one commit."""

    name: str
    url: str
    sha: str
    patches: int = 0
    """How many patches lie on top of it."""


@dataclass(frozen=True, slots=True)
class PinChange:
    """A repository whose commit is not the same on both sides."""

    name: str
    before: Pin | None
    """None: the first side does not have it."""
    after: Pin | None

    @property
    def link(self) -> str | None:
        """Where GitHub shows what lies between; None for any other server, or one commit only."""
        if self.before is None or self.after is None or self.before.sha == self.after.sha:
            return None
        places = [_GITHUB.fullmatch(pin.url) for pin in (self.before, self.after)]
        if not all(places) or not all(_SHA.fullmatch(p.sha) for p in (self.before, self.after)):
            return None
        repositories = [f"{place['owner']}/{place['name']}" for place in places if place]
        if repositories[0].lower() != repositories[1].lower() or ".." in repositories[1]:
            return None
        between = f"{self.before.sha}...{self.after.sha}"
        return f"https://github.com/{repositories[1]}/compare/{between}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a run's manifest says of where it came from."""

    manifest: RunManifest
    pins: tuple[Pin, ...] = ()
    """TheRock itself first, then its submodules by name."""
    flags: tuple[tuple[str, str], ...] = ()
    """The build's flags, by name."""

    @classmethod
    def parse(cls, data: bytes, label: str) -> Self:
        """Read ``therock_manifest.json``; IntegrityError names what in it is not as it should."""
        manifest = RunManifest.parse(data, label)
        parsed = json.loads(data)
        own = []
        if manifest.rock_commit is not None:
            own.append(
                Pin(_THEROCK, f"https://github.com/{THEROCK_REPOSITORY}", manifest.rock_commit)
            )
        submodules = parsed.get("submodules") or []
        if not isinstance(submodules, list):
            raise IntegrityError(f"{label}: 'submodules' in the run's manifest is not a list")
        pins = sorted((_pin(entry, label) for entry in submodules), key=lambda pin: pin.name)
        flags = parsed.get("flags")
        named = flags if isinstance(flags, dict) else {}
        return cls(manifest, (*own, *pins), tuple(sorted((k, str(v)) for k, v in named.items())))


def compare_pins(before: Iterable[Pin], after: Iterable[Pin]) -> tuple[PinChange, ...]:
    """The pins that are not the same, in the order of the second side, what is gone last."""
    old = {pin.name: pin for pin in before}
    new = {pin.name: pin for pin in after}
    names = [*new, *(name for name in old if name not in new)]
    return tuple(
        PinChange(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )


def _pin(entry: object, label: str) -> Pin:
    if not isinstance(entry, dict):
        raise IntegrityError(f"{label}: a submodule in the run's manifest is not a JSON object")
    name = _word(entry, "submodule_name", label) or _word(entry, "submodule_path", label)
    if not name:
        raise IntegrityError(f"{label}: a submodule in the run's manifest has no name")
    patches = entry.get("patches")
    return Pin(
        name,
        _word(entry, "submodule_url", label),
        _word(entry, "pin_sha", label),
        len(patches) if isinstance(patches, list) else 0,
    )


def _word(entry: Mapping[str, Any], key: str, label: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise IntegrityError(f"{label}: {key!r} of a submodule in the run's manifest is not text")
    return value
