"""Flags: what a task can be asked, each declared once, with its help, its form and an example.

The shared ones are the fields of :class:`therock_outputs.settings.Settings`; a task adds its own.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import UsageError

__all__ = [
    "COMMON",
    "RUN_CHOICES",
    "RUN_FLAGS",
    "SHARED",
    "Flag",
    "FlagValue",
    "Kind",
    "RawValue",
    "check_exclusive",
    "parse_value",
    "split_list",
]

RawValue = str | bool | list[str] | None
"""What the command line held: text, a switch, each text of a repeatable flag, or nothing."""

FlagValue = str | bool | int | Path | tuple[str, ...] | None
"""The same, read as the flag's kind says."""

_SEPARATORS = re.compile(r"[,;\s]+")


class Kind(enum.Enum):
    """What form a flag's value has."""

    TEXT = "text"
    CHOICE = "choice"
    PATH = "path"
    NUMBER = "number"
    SWITCH = "switch"
    LIST = "list"
    """Several values: commas, semicolons, spaces, or the flag again."""
    REGEX = "regex"
    """A regular expression; the flag is repeated for more, and a value is never split."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of one or of many tasks."""

    name: str
    """As a Python name: ``run_id`` is the flag ``--run-id``, and ``from_`` is ``--from``."""
    help: str
    """One or two sentences without the environment names and the example, which are added."""
    kind: Kind = Kind.TEXT
    metavar: str = ""
    example: str = ""
    """A value, as a user would write it."""
    environment: tuple[str, ...] = ()
    """Variables that are asked, in this order, when the flag is not given."""
    choices: tuple[str, ...] = ()
    short: str = ""
    minimum: int = 1
    """The smallest number that makes sense; for numbers only."""
    positional: bool = False
    """Whether a word that belongs to no flag is its value."""

    @property
    def spelling(self) -> str:
        """The flag as it is typed."""
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def is_shared(self) -> bool:
        """Whether this is the flag that many tasks have, and not a task's own of that name."""
        return SHARED.get(self.name) is self

    @property
    def repeatable(self) -> bool:
        """Whether giving the flag again adds a value."""
        return self.kind in {Kind.LIST, Kind.REGEX}


def split_list(text: str) -> tuple[str, ...]:
    """The values of a list that is separated by commas, semicolons or spaces, in its order."""
    return tuple(word for word in _SEPARATORS.split(text) if word)


def parse_value(flag: Flag, raw: RawValue) -> FlagValue:
    """The value of a flag as its kind says; UsageError names the flag and what it takes.

    None, an empty list and False mean that the flag was not given.
    """
    if flag.kind is Kind.SWITCH:
        return bool(raw)
    if raw is None or raw == []:
        return () if flag.repeatable else None
    if flag.repeatable:
        return _parse_repeated(flag, raw if isinstance(raw, list) else [str(raw)])
    text = str(raw)
    if not text.strip():
        raise UsageError(f"{flag.spelling} needs a value{_for_instance(flag)}")
    if flag.kind is Kind.PATH:
        return Path(text).expanduser()
    if flag.kind is Kind.NUMBER:
        return _parse_number(flag, text)
    if flag.kind is Kind.CHOICE and text not in flag.choices:
        raise UsageError(f"{flag.spelling} is one of {', '.join(flag.choices)}, not {text!r}")
    return text


def _parse_repeated(flag: Flag, texts: list[str]) -> tuple[str, ...]:
    if flag.kind is Kind.REGEX:
        for text in texts:
            try:
                re.compile(text)
            except re.error as error:
                message = f"{flag.spelling} {text!r} is not a regular expression: {error}"
                raise UsageError(message) from error
        words = tuple(texts)
    else:
        words = tuple(dict.fromkeys(word for text in texts for word in split_list(text)))
    if not words or "" in words:
        raise UsageError(f"{flag.spelling} needs a value{_for_instance(flag)}")
    for word in words:
        if flag.choices and word not in flag.choices:
            raise UsageError(f"{flag.spelling} takes {', '.join(flag.choices)}, not {word!r}")
    return words


def _parse_number(flag: Flag, text: str) -> int:
    # int() would also take "1_0" and digits of other scripts.
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise UsageError(f"{flag.spelling} is a whole number, not {text!r}")
    if int(text) < flag.minimum:
        raise UsageError(f"{flag.spelling} is at least {flag.minimum}, not {text}")
    return int(text)


def _for_instance(flag: Flag) -> str:
    return f", for instance {flag.spelling} {flag.example}" if flag.example else ""


def check_exclusive(raw: Mapping[str, RawValue], exclusive: Iterable[tuple[Flag, ...]]) -> None:
    """Refuse flags that contradict each other: of each tuple at most one may be given."""
    for flags in exclusive:
        given = [flag.spelling for flag in flags if raw.get(flag.name) not in (None, False, [])]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} contradict each other: give one of them")


_FLAGS = (
    Flag(
        "run_id",
        "The run that is read.",
        metavar="RUN",
        example="24217435275",
        environment=("THEROCK_RUN_ID", "GITHUB_RUN_ID"),
    ),
    Flag(
        "commit",
        "Instead of a run's number: the newest run of this commit that has archives.",
        metavar="SHA",
        example="3f2a9c1e",
    ),
    Flag(
        "branch",
        "Instead of a run's number: the run of this branch's newest commit that has archives.",
        metavar="NAME",
        example="main",
    ),
    Flag("latest", "As --branch, of the repository's default branch.", Kind.SWITCH),
    Flag(
        "baseline",
        "Instead of a run's number: the run of the nearest ancestor that has everything, for "
        "--commit or what is checked out here; see baseline-artifacts.",
        Kind.SWITCH,
    ),
    Flag(
        "workflow",
        "Look for runs of this workflow, or of any; multi_arch_ci.yml by default, for release "
        "types other than ci any.",
        metavar="FILE",
        example="ci.yml",
    ),
    Flag(
        "lookup",
        "Ask GitHub about the run: its repository, whether it is a fork's, and its date decide "
        "the bucket.",
        Kind.SWITCH,
    ),
    Flag(
        "run_github_repo",
        "The repository whose run it is; ROCm/TheRock by default.",
        metavar="OWNER/NAME",
        example="ROCm/TheRock",
        environment=("GITHUB_REPOSITORY",),
    ),
    Flag(
        "upload_run_id",
        "The run that outputs are put under; the run that is read by default.",
        metavar="RUN",
        example="24217435276",
        environment=("GITHUB_RUN_ID",),
    ),
    Flag(
        "platform",
        "The platform that the run built for; this machine's by default.",
        Kind.CHOICE,
        metavar="NAME",
        example="linux",
        environment=("THEROCK_PLATFORM",),
        choices=("linux", "windows"),
    ),
    Flag(
        "release_type",
        "What the build is made for; it decides the bucket. ci by default.",
        Kind.CHOICE,
        metavar="TYPE",
        example="nightly",
        environment=("RELEASE_TYPE",),
        choices=("ci", "dev", "nightly", "prerelease", "release", "dev-bkc", "nightly-bkc"),
    ),
    Flag(
        "artifact_group",
        "The family of a single-stage build.",
        metavar="GROUP",
        example="gfx94X-dcgpu",
    ),
    Flag(
        "amdgpu_families",
        "GPU families; in a run that is split by target they stand for their targets.",
        Kind.LIST,
        metavar="LIST",
        example="'gfx94X-dcgpu;gfx110X-all'",
    ),
    Flag("amdgpu_targets", "GPU targets.", Kind.LIST, metavar="LIST", example="gfx942,gfx1100"),
    Flag(
        "dist_amdgpu_families",
        "The families that something is built for; by default all that the run has.",
        Kind.LIST,
        metavar="LIST",
        example="'gfx94X-dcgpu;gfx110X-all'",
    ),
    Flag(
        "package_version",
        "The version of what is built, in its Python form.",
        metavar="VERSION",
        example="7.13.0a20251124",
    ),
    Flag(
        "staging_dir",
        "A directory laid out as S3 is, used instead of S3; nothing is uploaded then.",
        Kind.PATH,
        metavar="DIR",
        example="staging",
        environment=("THEROCK_LOCAL_STAGING_DIR",),
    ),
    Flag("bucket", "This bucket instead of the one that the run's kind decides.",
         metavar="NAME", example="my-bucket"),
    Flag("prefix", "What stands before RUN-PLATFORM/ in the bucket, instead of what the run's "
         "kind decides.", metavar="KEY", example="try/"),
    Flag(
        "work_dir",
        "Where work files and the state of a release lie; build/RUN by default.",
        Kind.PATH,
        metavar="DIR",
        example="build/mine",
    ),
    Flag(
        "output_dir",
        "Where outputs lie before they are uploaded; below the work directory by default.",
        Kind.PATH,
        metavar="DIR",
        example="out",
    ),
    Flag("jobs", "How many things are done at a time; one for each processor by default.",
         Kind.NUMBER, metavar="N", example="4"),
    Flag("dry_run", "Say what would be done, with sizes, and do nothing.", Kind.SWITCH),
    Flag("json", "Print one JSON document on standard output and nothing else.", Kind.SWITCH),
    Flag("verbose", "Say the reasons, too: which bucket, and why.", Kind.SWITCH, short="v"),
    Flag("debug", "Say everything, and show the traceback of a failure.", Kind.SWITCH),
)  # fmt: skip

SHARED: Mapping[str, Flag] = {flag.name: flag for flag in _FLAGS}
"""The flags that mean the same in every task that has them, by name."""

RUN_FLAGS = ("run_id", "commit", "branch", "latest", "workflow", "lookup")
"""The shared flags of every task that reads a run: whoever has the first has them all."""

RUN_CHOICES = (
    ("run_id", "commit", "branch", "latest"),
    ("run_id", "branch", "latest", "baseline"),
)
"""Shared flags that each name the run that is read: of each tuple one may be given."""

COMMON = ("json", "verbose", "debug")
"""The shared flags that every task has."""
