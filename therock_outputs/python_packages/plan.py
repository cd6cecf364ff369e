"""Which Python packages a run gives, and which archives each of them draws on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, Component, base_target
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.python_packages.catalog import Catalog, PackageKind
from therock_outputs.python_packages.devel_format import libraries_package

__all__ = [
    "PlannedSelector",
    "PlannedWheel",
    "PythonPackageOptions",
    "PythonPackagePlan",
    "UnusedArchive",
    "plan_python_packages",
]

_DEFAULT_TAGS = {"linux": "linux_x86_64", "windows": "win_amd64"}
_TAG_STARTS = {"linux": ("linux_", "manylinux", "musllinux_"), "windows": ("win",)}
_TAG = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
# PEP 440 in its normal form: what pip writes into names and compares.
_VERSION = re.compile(
    r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?"
    r"(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?",
    re.ASCII,
)
_DISTRIBUTION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_VARIANT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPackageOptions:
    """What is asked for."""

    version: str
    """PEP 440, in its normal form; of every package."""
    platform: str = "linux"
    split: bool = False
    """Whether the run's GPU code is split per target (kpack)."""
    families: tuple[str, ...] = ()
    """Families or targets to make packages for; none: all that the run has."""
    linux_families: tuple[str, ...] = ()
    """What the run's Linux job builds, where another system's job shares the sdist."""
    windows_families: tuple[str, ...] = ()
    wheel_platform_tag: str | None = None
    build_variant: str = ""
    """As in ``asan``; said in the packages' summaries."""
    compression_level: int | None = None
    """libdeflate's, from 1 to 12; None: what each kind of package is best made with."""
    only: frozenset[PackageKind] = frozenset(PackageKind)
    launcher_cc: str | None = None
    """A C compiler to build the launcher with; None: the one that comes prebuilt."""

    def level_of(self, kind: PackageKind) -> int:
        """The level to compress a package with.

        By itself the quickest at which no package is larger than zlib's level 6 makes it: 5, but
        for GPU code, of which 5 makes 0.4 % too much.
        """
        if self.compression_level is not None:
            return self.compression_level
        return 6 if kind is PackageKind.DEVICE else 5

    @property
    def platform_tag(self) -> str:
        """The last part of a wheel's name."""
        return self.wheel_platform_tag or _DEFAULT_TAGS[self.platform]


@dataclass(frozen=True, slots=True)
class PlannedWheel:
    """One wheel."""

    kind: PackageKind
    distribution: str
    version: str
    platform_tag: str
    directory: str
    """Below site-packages: where its files go."""
    archives: tuple[ArchiveName, ...]
    """What it draws on, by name; devel takes what no other package of them does."""
    subdirectory: str = ""
    """Of the output; a family where several have packages of one name."""
    requires: tuple[str, ...] = ()
    """Distributions that have to be there in the same version."""
    rpath: tuple[str, ...] = ()
    """Places below site-packages that its libraries are loaded from."""
    target: str = ""
    """The GPU target, or the family, that the wheel is for."""

    @property
    def filename(self) -> str:
        """PEP 427."""
        name = self.distribution.replace("-", "_")
        return f"{name}-{self.version}-py3-none-{self.platform_tag}.whl"

    @property
    def place(self) -> str:
        """The file below the output directory."""
        return f"{self.subdirectory}/{self.filename}" if self.subdirectory else self.filename


@dataclass(frozen=True, slots=True)
class PlannedSelector:
    """One ``rocm`` sdist."""

    targets: tuple[str, ...]
    families: tuple[tuple[str, tuple[str, ...]], ...]
    """Names of families, and which of the targets each stands for."""
    default_target: str
    linux_targets: tuple[str, ...]
    windows_targets: tuple[str, ...]
    has_profiler: bool
    subdirectory: str = ""


@dataclass(frozen=True, slots=True)
class UnusedArchive:
    """An archive that goes into no package."""

    name: ArchiveName
    reason: str
    is_fault: bool
    """False where it is left out on purpose."""


@dataclass(frozen=True, slots=True)
class PythonPackagePlan:
    """All Python packages of a run."""

    options: PythonPackageOptions
    wheels: tuple[PlannedWheel, ...]
    """Also those that are not asked for, where devel links to what they hold."""
    selectors: tuple[PlannedSelector, ...]
    unused: tuple[UnusedArchive, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know, such as that there is no profiler wheel."""

    @property
    def wanted(self) -> tuple[PlannedWheel, ...]:
        """The wheels that will be written."""
        return tuple(wheel for wheel in self.wheels if wheel.kind in self.options.only)

    @property
    def archives(self) -> tuple[ArchiveName, ...]:
        """Every archive to be read, once, in reading order: that of the wheels."""
        wanted = self.wanted
        needs_runtime = any(wheel.kind is PackageKind.DEVEL for wheel in wanted)
        read = [
            wheel
            for wheel in self.wheels
            if wheel in wanted
            or (needs_runtime and wheel.kind in (PackageKind.CORE, PackageKind.LIBRARIES))
        ]
        return tuple(dict.fromkeys(name for wheel in read for name in wheel.archives))

    @property
    def places(self) -> tuple[str, ...]:
        """Every file that the build has to leave below the output directory."""
        wheels = [wheel.place for wheel in self.wanted]
        if PackageKind.SELECTOR not in self.options.only:
            return tuple(wheels)
        sdist = f"rocm-{self.options.version}.tar.gz"
        return (*wheels, *(f"{s.subdirectory}/{sdist}".lstrip("/") for s in self.selectors))


def plan_python_packages(
    archives: Sequence[ArchiveName], options: PythonPackageOptions, families: GpuFamilies
) -> PythonPackagePlan:
    """Decide which packages to make from these archives (one per artifact).

    UsageError for options that cannot be; NotFoundError, naming all that is missing, for a run
    that is not complete for the targets asked.
    """
    _check(options)
    planner = _Planner(sorted(archives, key=lambda a: a.sort_key), options, families)
    return planner.split_plan() if options.split else planner.family_plan()


def _check(options: PythonPackageOptions) -> None:
    if not _VERSION.fullmatch(options.version):
        raise UsageError(
            f"version {options.version!r} is not in Python's normal form (PEP 440); "
            "give --package-version as in 7.13.0, 7.13.0rc1, 7.13.0a20260101 or 7.13.0.dev0+abc"
        )
    if options.platform not in _DEFAULT_TAGS:
        raise UsageError(f"there are no Python packages for platform {options.platform!r}")
    tag = options.platform_tag
    starts = _TAG_STARTS[options.platform]
    if not _TAG.fullmatch(tag) or not all(part.startswith(starts) for part in tag.split(".")):
        raise UsageError(
            f"--wheel-platform-tag {tag!r} is no tag of {options.platform}; "
            f"give one like {_DEFAULT_TAGS[options.platform]}"
        )
    level = options.compression_level
    if level is not None and not 1 <= level <= 12:
        raise UsageError(f"--compression-level {level}: give one from 1 to 12")
    if options.build_variant and not _VARIANT.fullmatch(options.build_variant):
        raise UsageError(f"--build-variant {options.build_variant!r}: give a word like asan")
    if not options.only:
        raise UsageError(f"--only: name some of {', '.join(kind.value for kind in PackageKind)}")


class _Planner:
    """The archives of one run and the rules that sort them."""

    def __init__(
        self,
        archives: Sequence[ArchiveName],
        options: PythonPackageOptions,
        families: GpuFamilies,
    ) -> None:
        self._archives = archives
        self._options = options
        self._families = families
        self._catalog = Catalog.load()
        self._missing: list[str] = []
        self._notes: list[str] = []

    # -------------------------------------------------------------- kinds of runs

    def split_plan(self) -> PythonPackagePlan:
        """Host libraries in one wheel, each GPU target's code in one of its own."""
        targets = self._targets()
        self._check_host()
        self._check_targets(targets)
        self._refuse_incomplete()
        libraries = self._wheel(PackageKind.LIBRARIES, "rocm-sdk-libraries")
        devices = [
            self._wheel(
                PackageKind.DEVICE,
                f"rocm-sdk-device-{target}",
                target=target,
                requires=("rocm-sdk-libraries",),
            )
            for target in targets
        ]
        core = self._wheel(PackageKind.CORE, "rocm-sdk-core", requires=())
        profiler = self._profiler()
        runtime = [core, libraries, *devices, *profiler]
        devel = self._devel([core, libraries], "", requires=())
        selector = self._selector(targets, "", self._families_over(targets), profiler)
        return self._plan([*runtime, devel], [selector])

    def family_plan(self) -> PythonPackagePlan:
        """For each family a libraries wheel with its GPU code, a devel wheel and an sdist."""
        names = self._family_names()
        self._check_host()
        self._refuse_incomplete()
        core = self._wheel(PackageKind.CORE, "rocm-sdk-core", requires=())
        profiler = self._profiler()
        wheels: list[PlannedWheel] = []
        selectors = []
        for name in names:
            place = name if len(names) > 1 else ""
            distribution = f"rocm-sdk-libraries-{name.lower().replace('_', '-')}"
            libraries = self._wheel(
                PackageKind.LIBRARIES, distribution, target=name, subdirectory=place
            )
            wheels += [libraries, self._devel([core, libraries], name, place, requires=())]
            targets = tuple(self._families.targets_of(name))
            selectors.append(self._selector(targets, place, {name: targets}, profiler))
        return self._plan([core, *wheels, *profiler], selectors)

    def _plan(
        self, wheels: Sequence[PlannedWheel], selectors: Sequence[PlannedSelector]
    ) -> PythonPackagePlan:
        for wheel in wheels:
            if wheel.kind in self._options.only and not wheel.archives:
                self._missing.append(f"anything for {wheel.distribution}")
        self._refuse_incomplete()
        return PythonPackagePlan(
            self._options,
            tuple(wheels),
            tuple(selectors),
            tuple(self._unused(wheels)),
            tuple(self._notes),
        )

    def _refuse_incomplete(self) -> None:
        if self._missing:
            raise NotFoundError(
                f"the run is not complete: it lacks {'; '.join(self._missing)}; fetch all of its "
                "archives, or ask for fewer targets with --dist-amdgpu-families"
            )

    # ----------------------------------------------------------------------- targets

    def _targets(self) -> tuple[str, ...]:
        """The GPU targets to make wheels for, each once, in the order of the table of targets."""
        found = {a.artifact.base_target for a in self._archives if not a.artifact.is_generic}
        if not found:
            raise NotFoundError(
                "this run has generic archives only, so it names no GPU target to make "
                "packages for; fetch its other archives"
            )
        asked: set[str] = set()
        for name in self._options.families:
            expanded = {base_target(target) for target in self._families.targets_of(name)}
            if not expanded & found:
                self._missing.append(f"archives for {name}")
            elif gone := sorted(expanded - found):
                self._notes.append(f"{name}: the run has nothing for {', '.join(gone)}")
            asked |= expanded & found
        return self._in_order(asked if self._options.families else found)

    def _in_order(self, targets: set[str]) -> tuple[str, ...]:
        order = {target.name: place for place, target in enumerate(self._families.targets)}
        return tuple(sorted(targets, key=lambda name: (order.get(name, len(order)), name)))

    def _family_names(self) -> tuple[str, ...]:
        found = {a.artifact.base_target for a in self._archives if not a.artifact.is_generic}
        if not found:
            raise NotFoundError(
                "this run has generic archives only, so it names no GPU family to make "
                "packages for; fetch its other archives"
            )
        asked = tuple(dict.fromkeys(self._options.families))
        self._missing += [f"archives for {name}" for name in asked if name not in found]
        names = asked or tuple(sorted(found))
        for name in names:
            self._families.targets_of(name)  # raises for a family that nobody knows
        return names

    def _families_over(self, targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Each family of the targets, with those that the run has."""
        families: dict[str, tuple[str, ...]] = {}
        for target in targets:
            known = self._families.is_known(target)
            for family in self._families.families_of(target) if known else (target,):
                families[family] = (*families.get(family, ()), target)
        return dict(sorted(families.items()))

    # ------------------------------------------------------------------ completeness

    def _check_host(self) -> None:
        """The archives without which nothing works."""
        have = {archive.artifact.stem for archive in self._archives}
        for rules in self._catalog.packages.values():
            for name in rules.required:
                stem = f"{name}_{Component.LIB.value}_generic"
                if stem not in have:
                    self._missing.append(stem)

    def _check_targets(self, targets: Sequence[str]) -> None:
        """What one target has, every other needs too, and all need the host's side of it."""
        rules = self._catalog[PackageKind.DEVICE]
        host = self._catalog[PackageKind.LIBRARIES]
        have: dict[str, set[str]] = {}
        for archive in self._archives:
            artifact = archive.artifact
            if artifact.component is Component.LIB and rules.takes(artifact):
                have.setdefault(artifact.name, set()).add(artifact.base_target)
        for name, present in sorted(have.items()):
            if present == {"generic"}:
                continue
            if "generic" not in present and host.takes_artifact(name):
                self._missing.append(f"{name}_lib_generic")
            if name not in rules.some_targets_only:
                gone = [target for target in targets if target not in present]
                self._missing += [f"{name}_lib_{target}" for target in gone]

    # ------------------------------------------------------------------------ packages

    def _wheel(
        self,
        kind: PackageKind,
        distribution: str,
        *,
        target: str = "",
        subdirectory: str = "",
        requires: tuple[str, ...] = ("rocm-sdk-core",),
    ) -> PlannedWheel:
        rules = self._catalog[kind]
        if not _DISTRIBUTION.fullmatch(distribution):
            raise UsageError(f"{distribution!r} is not a name that a wheel may have")
        wanted = {target} if kind is PackageKind.DEVICE else {target, "generic"}
        directory = rules.directory
        if kind is PackageKind.LIBRARIES:
            directory = libraries_package(target)
        return PlannedWheel(
            kind=kind,
            distribution=distribution,
            version=self._options.version,
            platform_tag=self._options.platform_tag,
            directory=directory,
            archives=tuple(
                a
                for a in self._archives
                if a.artifact.base_target in wanted and rules.takes(a.artifact)
            ),
            subdirectory=subdirectory,
            requires=requires,
            rpath=rules.rpath,
            target=target,
        )

    def _profiler(self) -> list[PlannedWheel]:
        wheel = self._wheel(PackageKind.PROFILER, "rocm-profiler")
        if wheel.archives:
            return [wheel]
        if self._options.platform == "linux":
            self._notes.append("the run has no profiler, so there is no rocm-profiler wheel")
        return []

    def _devel(
        self,
        runtime: Sequence[PlannedWheel],
        family: str,
        subdirectory: str = "",
        *,
        requires: tuple[str, ...],
    ) -> PlannedWheel:
        """All components of what the runtime packages draw on, and of the header-only ones."""
        rules = self._catalog[PackageKind.DEVEL]
        drawn = {name.artifact.name for wheel in runtime for name in wheel.archives}
        wanted = {"generic", family}
        names = tuple(
            a
            for a in self._archives
            if a.artifact.base_target in wanted
            and (a.artifact.name in drawn or rules.takes_artifact(a.artifact.name))
            and not (self._options.split and a.artifact.component in rules.not_when_split)
        )
        return PlannedWheel(
            kind=PackageKind.DEVEL,
            distribution="rocm-sdk-devel",
            version=self._options.version,
            platform_tag=self._options.platform_tag,
            directory=rules.directory,
            archives=names,
            subdirectory=subdirectory,
            requires=requires,
            target=family,
        )

    def _selector(
        self,
        targets: tuple[str, ...],
        subdirectory: str,
        families: dict[str, tuple[str, ...]],
        profiler: Sequence[PlannedWheel],
    ) -> PlannedSelector:
        linux = self._job_targets(self._options.linux_families)
        windows = self._job_targets(self._options.windows_families)
        shared = bool(linux or windows)
        if shared:
            targets = self._in_order({*linux, *windows})
            families = self._families_over(targets)
        both = [target for target in targets if target in linux and target in windows]
        # A Windows job cannot see whether Linux has the profiler, which it has as a rule.
        elsewhere = shared and self._options.platform != "linux" and bool(linux)
        return PlannedSelector(
            targets=targets,
            families=tuple(families.items()),
            default_target=both[0] if both else targets[0],
            linux_targets=linux,
            windows_targets=windows,
            has_profiler=bool(profiler) or elsewhere,
            subdirectory=subdirectory,
        )

    def _job_targets(self, names: Sequence[str]) -> tuple[str, ...]:
        return self._in_order(
            {base_target(target) for name in names for target in self._families.targets_of(name)}
        )

    # ---------------------------------------------------------------------- leftovers

    def _unused(self, wheels: Sequence[PlannedWheel]) -> Iterator[UnusedArchive]:
        used = {name for wheel in wheels for name in wheel.archives}
        served = {wheel.target for wheel in wheels}
        kinds = self._catalog.packages.values()
        for archive in self._archives:
            artifact = archive.artifact
            if archive in used:
                continue
            if self._catalog.is_for_no_package(artifact):
                yield UnusedArchive(archive, "for tests, or for building ROCm only", is_fault=False)
            elif not any(rules.takes_artifact(artifact.name) for rules in kinds):
                yield UnusedArchive(archive, "its artifact is in no package's list", is_fault=True)
            elif not artifact.is_generic and artifact.base_target not in served:
                yield UnusedArchive(archive, "its GPU target is not asked for", is_fault=False)
            elif artifact.component is Component.LIB:
                yield UnusedArchive(archive, "no package takes it for a GPU target", is_fault=True)
            else:
                reason = f"no package takes its {artifact.component.value} component"
                yield UnusedArchive(archive, reason, is_fault=False)
