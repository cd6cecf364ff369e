"""Circles in a graph of dependencies."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["find_cycles"]


def find_cycles(graph: Mapping[str, Collection[str]]) -> tuple[tuple[str, ...], ...]:
    """The largest sets of nodes that reach one another, each sorted, one-node ones left out.

    ``graph`` maps a node to those that it leads to; nodes that are no key lead nowhere. Takes
    nodes times edges steps, which is nothing for the some hundred packages of a run.
    """
    reached = {node: _reached_from(node, graph) for node in graph}
    cycles = {
        tuple(sorted(other for other in beyond if node in reached.get(other, ())))
        for node, beyond in reached.items()
        if node in beyond
    }
    return tuple(sorted(cycle for cycle in cycles if len(cycle) > 1))


def _reached_from(node: str, graph: Mapping[str, Collection[str]]) -> set[str]:
    reached: set[str] = set()
    pending = list(graph[node])
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending.extend(graph.get(current, ()))
    return reached
