"""The tasks ``promote``, ``yank`` and ``unpublish``: from a run to what the world installs from."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from packaging.version import InvalidVersion, Version

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.reproducible import source_date_epoch
from therock_outputs.commands.promote_report import (
    PromotionReport,
    WithdrawnReport,
    planned_report,
    report_of,
    tell_plan,
    tell_promoted,
    tell_withdrawn,
    withdrawn_report,
)
from therock_outputs.console import Console
from therock_outputs.errors import AccessDeniedError, UsageError
from therock_outputs.indexes.repositories import RepositorySettings, Signer, open_signer
from therock_outputs.indexes.withdrawn import How
from therock_outputs.layout import (
    DistributionLayout,
    DistributionPlaces,
    PackageFormat,
    ReleaseType,
    Variant,
    format_date,
    parse_date,
    version_date,
)
from therock_outputs.places import Places, places_of
from therock_outputs.publish.catalogue import read_catalogue
from therock_outputs.publish.promote import Retagger, execute_promotion, present
from therock_outputs.publish.promotion import (
    PlannedFile,
    Promotion,
    choose_version,
    final_version,
    plan_promotion,
)
from therock_outputs.publish.run_outputs import Part, read_outputs
from therock_outputs.publish.withdraw import Withdrawing, find_version, put_back, take_back
from therock_outputs.python_packages.retag import Retag, retag_wheel
from therock_outputs.python_packages.retag_selector import retag_selector
from therock_outputs.python_packages.wheel import WrittenFile
from therock_outputs.settings import Settings

__all__ = ["PromoteOptions", "WithdrawOptions", "promote_run", "withdraw_version"]

_log = logging.getLogger(__name__)

_REMEMBERED = "promotion-date.json"
_NO_DATE = dt.date(1980, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteOptions:
    """What the flags of ``promote`` say beyond the settings."""

    layout: str = DistributionLayout.CLASSIC.value
    only: Sequence[str] = ()
    build_variant: str = Variant.RELEASE.value
    multi_arch_targets: Sequence[str] = ()
    date: str | None = None
    dest_version: str | None = None
    sign_key: str | None = None
    yes: bool = False

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is promoted, by default everything that the variant has."""
        if self.only:
            return tuple(Part(name) for name in self.only)
        return _all_parts(self.build_variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawOptions:
    """What the flags of ``yank`` and ``unpublish`` say beyond the settings."""

    version: str | None = None
    layout: str = DistributionLayout.CLASSIC.value
    only: Sequence[str] = ()
    build_variant: str = Variant.RELEASE.value
    reason: str = ""
    undo: bool = False
    sign_key: str | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


def promote_run(settings: Settings, options: PromoteOptions, console: Console) -> PromotionReport:
    """Plan, and unless it is a dry run promote, and tell what came of it."""
    _check(settings, options)
    source_type = settings.release_type
    if source_type is ReleaseType.RELEASE:
        source_type = ReleaseType.PRERELEASE
    places = places_of(replace(settings, release_type=source_type))
    plan = _plan(settings, options, places, console)
    _say_where(plan, places)
    there = present(plan, places.storage, jobs=settings.jobs)
    report = planned_report(plan, places, there)
    if settings.dry_run:
        tell_plan(report, console)
        return report
    if plan.is_retag and not options.yes:
        tell_plan(report, console)
        raise UsageError(
            f"{plan.version} would become {plan.new_version} for good; give --yes to do it"
        )
    _remember_date(settings, plan)
    with (
        _access(plan.places),
        _signer(options.sign_key) as signer,
        console.progress("promote", plan.size) as progress,
    ):
        promoted = execute_promotion(
            plan,
            places.storage,
            retag=_retagger(plan),
            work_dir=settings.run_work_dir / "promote",
            mtime=source_date_epoch(os.environ),
            url=None if places.is_local else places.url,
            signer=signer,
            jobs=settings.jobs,
            progress=progress.advance,
        )
    report = report_of(plan, places, promoted)
    tell_promoted(report, promoted, console)
    return report


def withdraw_version(
    settings: Settings, options: WithdrawOptions, how: How, console: Console
) -> WithdrawnReport:
    """Take a version back, or put it there again, and tell where."""
    verb = "yank" if how is How.YANKED else "unpublish"
    if options.version is None:
        raise UsageError(f"which version? write it behind {verb}, as in ./inv {verb} 7.13.0")
    version = _version(options.version, verb)
    if options.undo and options.reason:
        raise UsageError("--undo puts the version back, so it takes no --reason")
    places = _distribution(settings, options.layout, options.build_variant, "1", _NO_DATE)
    # No run is read: its number only decides about places that are not asked here.
    root = places_of(replace(settings, run_id="1", release_type=ReleaseType.CI))
    parts = tuple(Part(name) for name in options.only) or _all_parts(options.build_variant)
    affected = find_version(root.storage, places, version, parts)
    before = withdrawn_report(affected, root, version, verb, undo=options.undo, done=False)
    if settings.dry_run:
        tell_withdrawn(before, console)
        return before
    label = RepositorySettings.of_release_type(places.release_type.value)
    with _access(places), _signer(options.sign_key) as signer:
        work = Withdrawing(
            root.storage, version, label, source_date_epoch(os.environ), signer, settings.jobs
        )
        if options.undo:
            done = put_back(work, affected)
        else:
            done = take_back(work, affected, how, options.reason)
    report = withdrawn_report(done, root, version, verb, undo=options.undo, done=True)
    tell_withdrawn(report, console)
    return report


def _all_parts(variant: str) -> tuple[Part, ...]:
    without = {Part.WHEELS} if variant == Variant.ASAN else set()
    return tuple(part for part in Part if part not in without)


def _check(settings: Settings, options: PromoteOptions) -> None:
    """Refuse flags that contradict each other, before anything is asked of a server."""
    is_final = settings.release_type is ReleaseType.RELEASE
    for flag, value in (
        ("--multi-arch-targets", options.multi_arch_targets),
        ("--dest-version", options.dest_version),
    ):
        if value and not is_final:
            raise UsageError(f"{flag} is for --release-type release, which makes final versions")
    if is_final and set(options.parts) == {Part.PACKAGES}:
        raise UsageError(
            "native packages of a release candidate are never published as final; build them "
            "anew with the final --package-version"
        )
    _distribution(settings, options.layout, options.build_variant, "1", _NO_DATE)


def _distribution(
    settings: Settings, layout: str, variant: str, run_id: str, date: dt.date
) -> DistributionPlaces:
    return DistributionPlaces.choose(
        release_type=settings.release_type,
        run_id=run_id,
        date=date,
        layout=layout,
        variant=variant,
    )


def _plan(
    settings: Settings, options: PromoteOptions, places: Places, console: Console
) -> Promotion:
    with console.group(f"look at what run {settings.required_run_id} has"):
        outputs = read_outputs(places.storage, places.source, options.parts, jobs=settings.jobs)
    version = choose_version(outputs, settings.package_version)
    is_final = settings.release_type is ReleaseType.RELEASE
    targets = _distribution(
        settings, options.layout, options.build_variant, outputs.root.run_id, _NO_DATE
    )
    targets = replace(targets, date=_date(settings, options, places, targets, version))
    return plan_promotion(
        outputs,
        targets,
        version=version,
        new_version=final_version(version, options.dest_version) if is_final else None,
        targets=options.multi_arch_targets,
        families=GpuFamilies.load(),
    )


# ------------------------------------------------------------------------------- dates


def _date(
    settings: Settings,
    options: PromoteOptions,
    places: Places,
    targets: DistributionPlaces,
    version: str,
) -> dt.date:
    """The date of the promotion: repeating one on another day must not move it."""
    own = version_date(version)
    if own is not None:
        return own
    if options.date is not None:
        return parse_date(options.date)
    above = [targets.packages_above(kind) for kind in PackageFormat]
    for place in (targets.tarballs(), *above):
        for entry in read_catalogue(places.storage, place.location):
            if (entry.run_id, entry.version) == (targets.run_id, version):
                return parse_date(entry.date)
    return _remembered_date(settings) or dt.datetime.now(dt.UTC).date()


def _remembered_date(settings: Settings) -> dt.date | None:
    """The date that an interrupted promotion of this run began with."""
    try:
        data = json.loads((settings.run_work_dir / _REMEMBERED).read_bytes())
        return parse_date(data["date"]) if data["run_id"] == settings.run_id else None
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None


def _remember_date(settings: Settings, plan: Promotion) -> None:
    path = settings.run_work_dir / _REMEMBERED
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"run_id": plan.run_id, "date": format_date(plan.places.date)}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
    partial.replace(path)


# ------------------------------------------------------------------------ final versions


def _retagger(plan: Promotion) -> Retagger:
    """Makes the run's Python packages with their final version."""
    if not plan.is_retag:
        return _no_retag
    retag = Retag(plan.version, plan.new_version)

    def make(file: PlannedFile, source: Path, output_dir: Path) -> WrittenFile:
        if file.entry.kind == "wheel":
            return retag_wheel(source, output_dir, retag)
        # The sdist of one family has that family's targets, which are kept whole.
        targets = plan.targets if file.entry.target is None else None
        return retag_selector(source, output_dir, retag, targets)

    return make


def _no_retag(file: PlannedFile, source: Path, output_dir: Path) -> WrittenFile:
    raise AssertionError(f"{file.target.name} from {source} in {output_dir} keeps its version")


def _version(text: str, verb: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        raise UsageError(
            f"{verb}: {text!r} is no version of Python's form (PEP 440), as in 7.13.0 or 7.13.0rc2"
        ) from None


# ------------------------------------------------------------------------------- access


def _say_where(plan: Promotion, places: Places) -> None:
    """Name each place and who may write there, for those who ask for reasons."""
    planned = [place.place for place in plan.indexes]
    planned += [repository.place for repository in plan.repositories]
    for place in planned:
        _log.info("written: %s (%s)", place.location.s3_uri, places.url(place.location))
        _log.info("  write role: %s", place.write_role or "nobody has automated access")


@contextmanager
def _access(places: DistributionPlaces) -> Iterator[None]:
    """Say who may write, where the credentials at hand may not."""
    try:
        yield
    except AccessDeniedError as error:
        role = places.tarballs().write_role
        who = (
            f"the role is {role}"
            if role
            else f"nobody has automated write access to {places.release_type.value}: somebody "
            "with access of their own has to promote"
        )
        raise AccessDeniedError(f"{error}; {who}") from error


def _signer(key: str | None) -> AbstractContextManager[Signer | None]:
    return nullcontext(None) if key is None else open_signer(key)
