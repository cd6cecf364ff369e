"""Where symbolic links lead, decided on names alone, before any of them exists on disk."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LeavesRootError", "follow", "leaves_root"]

_MOST_HOPS = 40  # Linux gives up after as many
_LONGEST_PATH = 4096  # and at as many bytes


class LeavesRootError(ValueError):
    """A link whose target lies outside of the tree."""


def leaves_root(path: str, target: str) -> bool:
    """Whether a link at ``path`` with this target climbs above the root, read as plain text."""
    if target.startswith("/"):
        return True
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False


def follow(path: str, links: Mapping[str, str]) -> str | None:
    """Where ``path`` ends when every link on the way is followed.

    None where no system would get: in a loop, or by a path that is too long.
    ``links`` maps the path of each link of the tree to its target. The text of a link can stay
    inside while its meaning does not: after ``a/b/c/up -> ../../..`` the harmless looking
    ``a/b/c/up/..`` is outside. LeavesRootError says so.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []  # each whole from the root: joining them anew would be quadratic
    hops = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise LeavesRootError(path)
            done.pop()
            continue
        here = f"{done[-1]}/{part}" if done else part
        if len(here) > _LONGEST_PATH:
            return None
        target = links.get(here)
        if target is None:
            done.append(here)
            continue
        hops += 1
        if hops > _MOST_HOPS:
            return None
        if target.startswith("/"):
            raise LeavesRootError(path)
        pending.extend(target.split("/")[::-1])
    return done[-1] if done else ""
