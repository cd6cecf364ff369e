"""Decide, on the machine that installs it, which packages of the run `rocm` and its extras need.

`device` is the one extra that depends on the machine: ROCM_SDK_TARGET_FAMILY says which GPU it is
for, else the GPUs that `offload-arch` finds, else the run's first target. Every other requirement
is the same everywhere. Nothing is printed to standard output, which belongs to the installer.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Run", "found_targets", "read_run", "requirements"]

TARGET_VARIABLE = "ROCM_SDK_TARGET_FAMILY"


@dataclass(frozen=True)
class Run:
    """What the run holds: the constants of ``rocm_sdk/_dist_info.py``."""

    version: str
    split: bool
    targets: tuple[str, ...]
    default_target: str
    linux_targets: tuple[str, ...] = ()
    windows_targets: tuple[str, ...] = ()
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_profiler: bool = False

    def targets_of(self, sys_platform: str) -> tuple[str, ...]:
        """The targets that are built for a system, named as in ``sys.platform``."""
        if not self.linux_targets and not self.windows_targets:
            return self.targets
        own = self.windows_targets if sys_platform == "win32" else self.linux_targets
        return tuple(target for target in self.targets if target in own)

    def marker(self, target: str) -> str:
        """The marker of a target that is built for one system only, else nothing."""
        on_linux, on_windows = target in self.linux_targets, target in self.windows_targets
        if on_linux == on_windows:
            return ""
        return f'; sys_platform == "{"linux" if on_linux else "win32"}"'

    def device_requirement(self, target: str) -> str:
        """The package that holds a target's GPU code."""
        if self.split:
            return f"rocm-sdk-device-{target}=={self.version}{self.marker(target)}"
        return self.libraries_requirement(target)

    def libraries_requirement(self, target: str) -> str:
        """The package of the host libraries; in an unsplit run that of the target's family."""
        if self.split:
            return f"rocm-sdk-libraries=={self.version}"
        family = next(name for name, members in self.families.items() if target in members)
        return f"rocm-sdk-libraries-{family}=={self.version}"


def requirements(
    run: Run, sys_platform: str, chosen: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """What `rocm` needs always, and what with each extra; ``chosen`` is what `device` is for.

    Without a choice it is the default target, or the system's first one where that is not built.
    """
    built = run.targets_of(sys_platform)
    default = run.default_target if run.default_target in built else "".join(built[:1])
    device = list(chosen) or [default or run.default_target]
    pinned = f"=={run.version}"
    extras = {
        "libraries": [run.libraries_requirement(device[0])],
        "device": _unique(run.device_requirement(target) for target in device),
        "device-all": _unique(run.device_requirement(target) for target in run.targets),
        "devel": [f"rocm-sdk-devel{pinned}"],
    }
    for target in run.targets:
        extras[f"device-{target}"] = [run.device_requirement(target)]
    if run.has_profiler:
        # Only Linux has one, and both systems' jobs write the same sdist.
        extras["profiler"] = [f'rocm-profiler{pinned}; sys_platform == "linux"']
    return [f"rocm-sdk-core{pinned}"], extras


def asked_targets(run: Run, value: str, sys_platform: str) -> list[str]:
    """The targets that the value of ROCM_SDK_TARGET_FAMILY names, each a target or a family.

    ValueError for a name that the run does not have on this system.
    """
    built = run.targets_of(sys_platform)
    families = {name.lower(): members for name, members in run.families.items()}
    asked: list[str] = []
    for name in re.split(r"[,;\s]+", value.strip()):
        members = families.get(name.lower(), (name.lower(),))
        known = [target for target in members if target in built]
        if not known:
            raise ValueError(
                f"{TARGET_VARIABLE} is {value!r}, but rocm {run.version} has no GPU code for "
                f"{name!r} on this system; it has {', '.join(built)}"
            )
        asked += known
    return _unique(asked)


def found_targets(run: Run, output: str, sys_platform: str) -> list[str]:
    """The run's targets among what ``offload-arch`` printed: one GPU a line, features after it."""
    built = run.targets_of(sys_platform)
    names = (line.strip().split(":", 1)[0].lower() for line in output.splitlines())
    return _unique(name for name in names if name in built)


def read_run(path: Path) -> Run:
    """Read ``_dist_info.py`` without importing the package that it lies in."""
    values = runpy.run_path(str(path))
    return Run(
        version=values["VERSION"],
        split=values["SPLIT"],
        targets=values["TARGETS"],
        default_target=values["DEFAULT_TARGET"],
        linux_targets=values["LINUX_TARGETS"],
        windows_targets=values["WINDOWS_TARGETS"],
        families=values["FAMILIES"],
        has_profiler=values["HAS_PROFILER"],
    )


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _offload_arch() -> str:
    """What ``offload-arch`` prints, or nothing where there is none or it does not work."""
    program = shutil.which("offload-arch")
    if program is None:
        return ""
    try:
        ran = subprocess.run(
            [program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.decode(errors="replace") if ran.returncode == 0 else ""


def _main() -> None:
    from setuptools import setup  # only a build needs it

    run = read_run(Path(__file__).resolve().parent / "rocm_sdk" / "_dist_info.py")
    value = os.environ.get(TARGET_VARIABLE, "")
    if value.strip():
        try:
            chosen = asked_targets(run, value, sys.platform)
        except ValueError as error:
            raise SystemExit(str(error)) from error
    else:
        chosen = found_targets(run, _offload_arch(), sys.platform)
    needed, extras = requirements(run, sys.platform, chosen)
    setup(install_requires=needed, extras_require=extras)


if __name__ == "__main__":
    _main()
