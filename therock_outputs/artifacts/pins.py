"""Which commit of TheRock another repository's workflow builds with.

The repositories of ROCm's parts check TheRock out at a commit that stands in their workflow
files: as ``ref`` beside ``repository``, or behind the ``@`` of a reusable workflow.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from therock_outputs.errors import IntegrityError
from therock_outputs.layout import THEROCK_REPOSITORY

__all__ = ["PINNED_WORKFLOWS", "pinned_ref"]

PINNED_WORKFLOWS = (
    "therock-multi-arch-ci.yml",
    "therock-ci-linux.yml",
    "therock-ci.yml",
)
"""Where a pinned repository names the commit; the first file that does counts."""

_MOST_NODES = 100_000


def pinned_ref(workflow: bytes, label: str) -> str | None:
    """The commit or branch of TheRock in a workflow file; None when it names none.

    An expression (``${{ … }}``) is no name. IntegrityError for a file that is not YAML, or that
    names several commits.
    """
    try:
        document: object = yaml.safe_load(workflow)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise IntegrityError(f"{label}: is not YAML, so it names no commit of TheRock") from None
    refs = list(dict.fromkeys(_refs(document, label)))
    if len(refs) > 1:
        raise IntegrityError(
            f"{label}: names several commits of TheRock ({', '.join(map(str, refs[:3]))}); give "
            f"one with --commit and --repo {THEROCK_REPOSITORY}"
        )
    return refs[0] if refs else None


def _refs(document: object, label: str) -> Iterator[str]:
    # Aliases make a few bytes into a graph that is never at its end when walked as a tree.
    seen: set[int] = set()
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (dict, list)) or id(node) in seen:
            continue
        seen.add(id(node))
        if len(seen) > _MOST_NODES:
            raise IntegrityError(f"{label}: is too large for a workflow file")
        if isinstance(node, dict):
            yield from _refs_of(node)
            waiting.extend(node.values())
        else:
            waiting.extend(node)


def _refs_of(node: dict[object, object]) -> Iterator[str]:
    repository, ref, uses = node.get("repository"), node.get("ref"), node.get("uses")
    ours = THEROCK_REPOSITORY.lower()
    if isinstance(repository, str) and repository.lower() == ours and isinstance(ref, str):
        yield from (text for text in [ref.strip()] if text and "${{" not in text)
    if isinstance(uses, str) and uses.lower().startswith(f"{ours}/"):
        at = uses.partition("@")[2].strip()
        yield from (text for text in [at] if text and "${{" not in text)
