"""Where symbolic links lead, decided on names alone, before any of them exists on disk."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LeavesRootError", "follow", "leaves_root"]

_MOST_HOPS = 40  # Linux gives up after as many
_LONGEST_PATH = 4096  # and at as many bytes
_MOST_PARTS = 4096
"""Parts in the targets of all links on one way; more is an attack on whoever follows them."""


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
    ``a/b/c/up/..`` is outside. LeavesRootError says so, and also where it would take too long
    to tell.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []  # each whole from the root: joining them anew would be quadratic
    hops = followed = 0
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
        parts = target.split("/")
        followed += len(parts)
        if followed > _MOST_PARTS:
            raise LeavesRootError(path)
        pending.extend(reversed(parts))
    return done[-1] if done else ""
