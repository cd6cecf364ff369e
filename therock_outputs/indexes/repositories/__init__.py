"""Repositories that apt, dnf and zypper read: made, merged, signed, and changed in safe steps."""

from therock_outputs.indexes.repositories.entry import (
    ListedPackage,
    PublishedRepository,
    RepositoryPackage,
    RepositorySettings,
)
from therock_outputs.indexes.repositories.publish import (
    merge_repository,
    package_path,
    publish_packages,
    read_repository,
    relist_package,
    relist_packages,
    unlist_package,
    unlist_packages,
)
from therock_outputs.indexes.repositories.snippets import Snippet, apt_snippets, rpm_snippets
from therock_outputs.signing import PUBLIC_KEY, Signer, open_signer

__all__ = [
    "PUBLIC_KEY",
    "ListedPackage",
    "PublishedRepository",
    "RepositoryPackage",
    "RepositorySettings",
    "Signer",
    "Snippet",
    "apt_snippets",
    "merge_repository",
    "open_signer",
    "package_path",
    "publish_packages",
    "read_repository",
    "relist_package",
    "relist_packages",
    "rpm_snippets",
    "unlist_package",
    "unlist_packages",
]
