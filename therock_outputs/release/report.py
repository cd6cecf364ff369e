"""What a release has made, where it is, and how it is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.formatting import is_address
from therock_outputs.indexes.repositories import PUBLIC_KEY, apt_snippets, rpm_snippets
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.installation import (
    Installation,
    NativeRepository,
    PythonPlace,
    install_native,
    install_python,
    install_tarball,
)
from therock_outputs.release.native_step import by_format, repository_place
from therock_outputs.release.python_step import index_places, name_of
from therock_outputs.release.state import Output

__all__ = ["Product", "ReleaseReport", "report_of"]


@dataclass(frozen=True, slots=True)
class Product:
    """A file that was made."""

    name: str
    """Below ``tarballs/`` or ``python/``."""
    size: int
    """Bytes."""
    sha256: str
    url: str
    """A path, or an address once it is uploaded to S3."""


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """The result of a release, which is also its JSON document."""

    run_id: str
    root: str
    """Where the run's outputs are, or go."""
    uploaded: bool
    index: str | None
    """The page that lists them; None when there is none."""
    kpack_split: bool | None
    """None when nothing of this call had to know."""
    tarballs: tuple[Product, ...] = ()
    python: tuple[Product, ...] = ()
    """Wheels and sdists."""
    package_index_urls: tuple[str, ...] = ()
    """pip's indexes of them: one, or one for each family."""
    package_find_links_urls: tuple[str, ...] = ()
    """The flat pages; none where listing pages are left out."""
    repositories: tuple[NativeRepository, ...] = ()
    """Of deb and rpm packages."""
    install: tuple[Installation, ...] = ()
    planned: tuple[PlannedFile, ...] = ()
    """Of a dry run: what would be written."""


def report_of(release: Release) -> ReleaseReport:
    """Collect what was made and where it is."""
    root = release.places.destination
    uploaded = release.transfers is not None
    listings = uploaded and release.options.listings
    tarballs = _tarballs(release)
    python = tuple(_python(release, name, output) for name, output in _named(release))
    places = _python_places(release)
    repositories = tuple(_repositories(release))
    ways = (
        # The smallest useful one is a better example than the one with every GPU.
        install_tarball([t.url for t in sorted(tarballs, key=lambda tarball: tarball.size)]),
        install_python(places),
        *map(install_native, repositories),
    )
    return ReleaseReport(
        run_id=root.run_id,
        root=release.places.url(root.root),
        uploaded=uploaded,
        index=release.places.url(root.archive_index()) if listings else None,
        kpack_split=release.manifest.kpack_split if release.manifest else None,
        tarballs=tarballs,
        python=python,
        package_index_urls=tuple(place.index_url for place in places),
        package_find_links_urls=tuple(
            _url(release, root.python_find_links(place.group), "python", place.group, "index.html")
            for place in places
            if release.options.listings
        ),
        repositories=repositories,
        install=tuple(way for way in ways if way is not None),
        planned=release.planned,
    )


def _tarballs(release: Release) -> tuple[Product, ...]:
    root = release.places.destination
    return tuple(
        Product(t.path.name, t.size, t.sha256, _url_of(release, root.tarball(t.path.name), t.path))
        for t in release.tarballs
    )


def _named(release: Release) -> Iterable[tuple[str, Output]]:
    return sorted((name_of(release, output), output) for output in release.python)


def _python(release: Release, name: str, output: Output) -> Product:
    location = release.places.destination.python(*name.split("/"))
    return Product(name, output.size, output.sha256, _url_of(release, location, output.path))


def _python_places(release: Release) -> Sequence[PythonPlace]:
    """The directories that have an index; one that all families share has none for itself."""
    places, root = release.places, release.places.destination
    found = index_places(name for name, _ in _named(release))
    shared = len(found) > 1 and not found[0][0]
    run_flags = ["--run-id", root.run_id]
    if staging := places.staging_dir:
        run_flags += ["--staging-dir", str(staging)]
    return [
        PythonPlace(
            group=group or None,
            filenames=tuple(sorted(names)),
            index_url=_url(release, root.python_simple(group or None), "python", group, "simple"),
            deps_url=places.url(root.python_deps()),
            has_deps=not places.is_local or places.storage.exists(root.python_deps("index.html")),
            run_flags=tuple(run_flags),
        )
        for group, names in found[1 if shared else 0 :]
    ]


def _repositories(release: Release) -> Iterable[NativeRepository]:
    is_signed = release.options.native.sign_key is not None
    for kind, packages in sorted(by_format(release.native).items()):
        place = repository_place(release.places.destination, kind)
        path = release.output_dir / place.relative_to(release.places.destination.root)
        where = _url_of(release, place, path)
        url = where if is_address(where) else Path(where).absolute().as_uri()
        url = url.rstrip("/") + "/"
        snippets = (
            apt_snippets(url, signed=is_signed)
            if kind is PackageFormat.DEB
            else rpm_snippets(url, signed=is_signed, signed_packages=is_signed)
        )
        yield NativeRepository(
            kind=kind,
            url=url,
            packages=len(packages),
            size=sum(package.size for package in packages),
            snippets=snippets,
            key_url=url + PUBLIC_KEY if is_signed else None,
            filenames=tuple(package.path.name for package in packages),
        )


def _url(release: Release, location: StorageLocation, *parts: str | None) -> str:
    """Where a page is: as published, or below the directory of outputs."""
    path = release.output_dir.joinpath(*filter(None, parts))
    return _url_of(release, location, path)


def _url_of(release: Release, location: StorageLocation, path: Path) -> str:
    return str(path) if release.transfers is None else release.places.url(location)
