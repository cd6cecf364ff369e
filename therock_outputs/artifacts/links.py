"""Where symbolic links lead, decided on names alone, before any of them exists on disk."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LeavesRootError", "follow", "leaves_root"]

_MOST_HOPS = 40  # Linux gives up after as many


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
    """Where ``path`` ends when every link on the way is followed; None for a loop.

    ``links`` maps the path of each link of the tree to its target. The text of a link can stay
    inside while its meaning does not: after ``a/b/c/up -> ../../..`` the harmless looking
    ``a/b/c/up/..`` is outside. LeavesRootError says so.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []
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
        target = links.get("/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        hops += 1
        if hops > _MOST_HOPS:
            return None
        if target.startswith("/"):
            raise LeavesRootError(path)
        pending.extend(target.split("/")[::-1])
    return "/".join(done)
