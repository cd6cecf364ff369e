"""The task ``setup-venv``: a virtual environment with a run's Python packages in it."""

from __future__ import annotations

import datetime as dt
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from therock_outputs.commands.virtual_env import VirtualEnv, choose_installer, run_told
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.github.actions import append_environment, append_path
from therock_outputs.indexes.lookup import Patience, Source, SourceKind, require_packages
from therock_outputs.layout import (
    LOCAL_RUN_ID,
    DistributionPlaces,
    ReleaseType,
    StorageLocation,
    WorkflowOutputRoot,
)
from therock_outputs.places import Places, places_of
from therock_outputs.settings import Settings

__all__ = ["PreparedVenv", "VenvOptions", "plan_sources", "setup_venv"]

DEFAULT_PACKAGES = "rocm[libraries]"
_BUILD_TOOL = "setuptools"
"""What the selector's sdist is built with, which the index of dependencies must have."""
_WAIT_ONLINE = 120
"""Seconds: between the first wheel's upload and the index a large run needs about a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenvOptions:
    """The flags of ``setup-venv`` beyond the settings."""

    venv_dir: Path | None
    packages: str = DEFAULT_PACKAGES
    index_url: str | None = None
    index_name: str | None = None
    find_links: str | None = None
    flat: bool = False
    deps_index_url: str | None = None
    server_url: str | None = None
    pre: bool = False
    clean: bool = False
    python: str | None = None
    installer: str | None = None
    wait: int | None = None
    test: bool = False

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags; those that were not given keep their defaults."""
        given = {name: value for name, value in own.items() if value is not None}
        return cls(**{"venv_dir": None, **given})


@dataclass(frozen=True, slots=True)
class PreparedVenv:
    """The JSON document of ``setup-venv``."""

    directory: str
    python: str
    installer: str
    requirements: tuple[str, ...]
    sources: tuple[Source, ...]
    activated: bool
    """Whether later steps of this CI job find it first."""


def setup_venv(
    settings: Settings,
    options: VenvOptions,
    console: Console,
    environ: Mapping[str, str] | None = None,
) -> PreparedVenv:
    """Make the environment, install, test if asked, and activate it in CI."""
    environ = os.environ if environ is None else environ
    if options.venv_dir is None:
        raise UsageError("where? name the directory of the environment: ./inv setup-venv .rocm …")
    venv = choose_installer(options.installer, options.venv_dir)
    requirements = tuple(shlex.split(options.packages))
    projects = [_project(text) for text in requirements]
    sources = plan_sources(settings, options)
    install = venv.install_command(sources, requirements, pre=options.pre)
    must_make = venv.must_be_made(clean=options.clean)
    if settings.dry_run:
        if must_make:
            console.say(shlex.join(venv.create_command(options.python)))
        console.say(shlex.join(install))
        return _result(venv, requirements, sources, activated=False)
    _require(sources, projects, options.wait, console)
    if must_make:
        venv.clear()
        with console.group(f"environment {venv.directory} ({venv.installer.value})"):
            run_told(venv.create_command(options.python), venv.environment(environ), console.note)
    with console.group(f"install {options.packages}"):
        run_told(install, venv.environment(environ), console.note)
    if options.test:
        with console.group("rocm-sdk test"):
            run_told([str(venv.bin / "rocm-sdk"), "test"], venv.environment(environ), console.note)
    activated = append_path(environ, venv.bin)
    activated = append_environment(environ, {"VIRTUAL_ENV": str(venv.directory)}) or activated
    console.say(f"{options.packages} is installed in {venv.directory}")
    console.say(
        "later steps of this job use it"
        if activated
        else f"enter it with: source {shlex.quote(str(venv.bin / 'activate'))}"
    )
    return _result(venv, requirements, sources, activated=activated)


def plan_sources(settings: Settings, options: VenvOptions) -> tuple[Source, ...]:
    """Where to install from: the index of dependencies, then what holds ROCm's packages.

    The first has no ROCm package and the second nothing else, so no version can come from the
    wrong one. UsageError for values that mean nothing.
    """
    if settings.run_id is None and not (
        options.index_url or options.index_name or options.find_links
    ):
        raise UsageError("which packages? give --run-id, --index-url, --index-name or --find-links")
    # Without a run there is still the bucket with the dependencies.
    places = places_of(replace(settings, run_id=settings.run_id or LOCAL_RUN_ID))
    root = places.source
    dependencies = root.python_deps()
    index, page = SourceKind.INDEX, SourceKind.FIND_LINKS
    if options.index_url:
        ours = Source(index, _as_url(options.index_url))
    elif options.find_links:
        ours = Source(page, _as_url(options.find_links))
    elif options.index_name:
        place, dependencies = _named(options.index_name, settings.artifact_group)
        ours = Source(index, _url(places, place / "simple/", options))
    elif options.flat:
        ours = Source(page, _url(places, root.python_find_links(settings.artifact_group), options))
    else:
        ours = Source(index, _url(places, root.python_simple(settings.artifact_group), options))
    theirs = (
        _as_url(options.deps_index_url)
        if options.deps_index_url
        else _url(places, dependencies, options)
    )
    return Source(index, theirs), ours


def _named(name: str, family: str | None) -> tuple[StorageLocation, StorageLocation]:
    """The promoted wheels of a release type, and the dependencies of its runs."""
    # The date of a run decides about native packages only.
    places = DistributionPlaces.choose(release_type=name, run_id="1", date=dt.date(2000, 1, 1))
    place = places.family_wheels(family) if family else places.wheels("rocm")
    # A release has no runs of its own: it is a prerelease that was promoted once more.
    runs = ReleaseType.PRERELEASE if name == ReleaseType.RELEASE else name
    root = WorkflowOutputRoot.from_workflow_run(environ={}, run_id="1", release_type=runs)
    return place.location, root.python_deps()


def _url(places: Places, location: StorageLocation, options: VenvOptions) -> str:
    """How an installer reaches a place: in the staging directory, served, or on S3."""
    if options.server_url:
        return f"{options.server_url.rstrip('/')}/{quote(location.key)}"
    if places.is_local:
        uri = Path(places.url(location)).absolute().as_uri()
        return uri + "/" if location.is_prefix else uri
    return places.url(location)


def _as_url(text: str) -> str:
    """An address as given; a path on this disk as a ``file:`` one."""
    if urlsplit(text).scheme in {"http", "https", "file"}:
        return text
    path = Path(text).expanduser()
    if not path.exists():
        raise NotFoundError(f"{text} is neither an address nor a path that is there; check it")
    return path.absolute().as_uri() + ("/" if path.is_dir() else "")


def _project(requirement: str) -> str:
    try:
        return Requirement(requirement).name
    except InvalidRequirement as error:
        raise UsageError(
            f"--packages {requirement!r} is no requirement ({error}); "
            "write it like 'rocm[libraries,devel]'"
        ) from error


def _require(
    sources: Sequence[Source], projects: Sequence[str], wait: int | None, console: Console
) -> None:
    """See that the indexes are there, are what they are given for, and have the packages."""
    theirs, ours = sources
    _require_one(ours, projects, wait, console)
    try:
        _require_one(theirs, [_BUILD_TOOL], wait, console)
    except NotFoundError as error:
        raise NotFoundError(
            f"{error}; fill it with ./inv mirror-deps, or name another with --deps-index-url"
        ) from error


def _require_one(
    source: Source, projects: Sequence[str], wait: int | None, console: Console
) -> None:
    default = 0 if source.url.startswith("file:") else _WAIT_ONLINE
    seconds = default if wait is None else wait
    require_packages(source, projects, Patience(seconds, tell=console.note))


def _result(
    venv: VirtualEnv,
    requirements: tuple[str, ...],
    sources: tuple[Source, ...],
    *,
    activated: bool,
) -> PreparedVenv:
    return PreparedVenv(
        str(venv.directory),
        str(venv.python),
        venv.installer.value,
        requirements,
        sources,
        activated,
    )
