"""Paths that two packages hold, and the families of an unsplit run that are alternatives. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from posixpath import dirname

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.native_packages.package import Content, PackagePlan

__all__ = ["exclusions"]

_Owner = tuple[PackagePlan, Content]


def exclusions(
    packages: Sequence[PackagePlan], families: frozenset[str]
) -> Mapping[str, tuple[str, ...]]:
    """For each package of one format, those that cannot be installed beside it.

    ``families`` are the GPU families of a run that is not split. Such a run is built once per
    family, so that libraries of one name and place differ: the packages of two families that
    share a path are alternatives. Every other path has one owner, directories aside, and a
    second one is a ConflictError that names both packages.
    """
    owners: dict[str, list[_Owner]] = defaultdict(list)
    directories: dict[str, list[PackagePlan]] = defaultdict(list)
    excluded: dict[str, set[str]] = defaultdict(set)
    for package in packages:
        for content in package.contents:
            if content.kind is Kind.DIRECTORY:
                directories[content.path].append(package)
                continue
            for other, known in owners[content.path]:
                if not _are_alternatives(package, other, families):
                    raise _conflict(other, known, package, content)
                excluded[package.name].add(other.name)
                excluded[other.name].add(package.name)
            owners[content.path].append((package, content))
    _check_kinds(owners, directories, families)
    _check_links(owners)
    return {name: tuple(sorted(others)) for name, others in excluded.items()}


def _are_alternatives(first: PackagePlan, second: PackagePlan, families: frozenset[str]) -> bool:
    return {first.target, second.target} <= families and first.target != second.target


def _check_kinds(
    owners: Mapping[str, list[_Owner]],
    directories: Mapping[str, list[PackagePlan]],
    families: frozenset[str],
) -> None:
    """What is a directory in one package is one in all."""
    for path, held in owners.items():
        for (package, content), above in product(held, directories.get(path, ())):
            if not _are_alternatives(package, above, families):
                raise ConflictError(
                    f"{path!r} is a {content.kind.value} in {package.name} ({content.archive}) "
                    f"and a directory in {above.name}; leave one of them out of its definition"
                )


def _check_links(owners: Mapping[str, list[_Owner]]) -> None:
    """Links of several packages can lead out of the prefix together where none does alone."""
    links = {
        path: held[0] for path, held in owners.items() if held and held[0][1].kind is Kind.SYMLINK
    }
    texts = {path: content.link for path, (_, content) in links.items()}
    for path, (package, content) in links.items():
        try:
            follow(path, texts)
        except LeavesRootError:
            raise IntegrityError(
                f"{package.name}: link {path!r} of {content.archive} leads out of the prefix "
                f"through other links, from {dirname(path) or 'its root'} to {content.link!r}"
            ) from None


def _conflict(
    first: PackagePlan, known: Content, second: PackagePlan, content: Content
) -> ConflictError:
    return ConflictError(
        f"{content.path!r} is in two packages that can be installed together, {first.name} "
        f"({known.archive}) and {second.name} ({content.archive}); let one of their definitions "
        "take it"
    )
