"""What is installed: the directory that all packages of a run share, and their versions.

Every console script comes through here, a compiler thousands of times in one build: only modules
that the interpreter has loaded anyway are imported.
"""

from __future__ import annotations

import os
import re
import sys

from . import _dist_info
from ._errors import MixedRunsError, PackageMissingError
from ._names import CORE_PACKAGE, LIBRARIES_PACKAGE, PROFILER_PACKAGE, libraries_package

__all__ = ["Installation", "installation"]

_DIST_INFO = re.compile(r"(rocm(?:[._-][\w.]*)?)-([^-]+)\.dist-info", re.IGNORECASE)
_OF_A_RUN = ("rocm-sdk-core", "rocm-sdk-libraries", "rocm-sdk-device-", "rocm-sdk-devel")


class Installation:
    """The packages of a run in one site-packages directory."""

    def __init__(self, site: str) -> None:
        self.site = site
        """The directory, absolute."""
        self.versions: dict[str, str] = {}
        """Version of each installed distribution of a run, by its name as in ``rocm-sdk-core``."""
        self._dist_infos: dict[str, str] = {}
        for entry in sorted(os.listdir(site)):
            match = _DIST_INFO.fullmatch(entry)
            if match is None:
                continue
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            if name == "rocm-profiler" or name.startswith(_OF_A_RUN):
                self.versions[name] = match[2]
                self._dist_infos[name] = os.path.join(site, entry)

    def dist_info(self, name: str) -> str:
        """The ``.dist-info`` directory of an installed distribution."""
        return self._dist_infos[name]

    @property
    def devices(self) -> list[str]:
        """The installed device wheels."""
        return [name for name in self.versions if name.startswith("rocm-sdk-device-")]

    @property
    def has_devel(self) -> bool:
        """Whether the devel wheel is installed."""
        return "rocm-sdk-devel" in self.versions

    def check(self) -> None:
        """MixedRunsError when the packages are not all of this package's run."""
        others = {
            name: version
            for name, version in self.versions.items()
            if version != _dist_info.VERSION
        }
        if others:
            listed = ", ".join(f"{name} {version}" for name, version in sorted(others.items()))
            raise MixedRunsError(
                f"packages of different runs are installed together in {self.site}: "
                f"rocm {_dist_info.VERSION} with {listed}. Uninstall these and install rocm with "
                "the extras you need, which pins all of them to one version"
            )

    def package(self, kind: str) -> str:
        """The directory of ``core``, ``libraries`` or ``profiler``; it may not be installed.

        An unsplit run has its libraries by family: that of ROCM_SDK_TARGET_FAMILY where it names
        one, else the first that is installed.
        """
        if kind == "core":
            return os.path.join(self.site, CORE_PACKAGE)
        if kind == "profiler":
            return os.path.join(self.site, PROFILER_PACKAGE)
        if _dist_info.SPLIT:
            return os.path.join(self.site, LIBRARIES_PACKAGE)
        places = [os.path.join(self.site, libraries_package(name)) for name in _families()]
        return next((place for place in places if os.path.isdir(place)), places[0])

    def require_package(self, kind: str) -> str:
        """As ``package``; PackageMissingError with the command that installs it."""
        place = self.package(kind)
        if not os.path.isdir(place):
            extra = "" if kind == "core" else f"[{kind}]"
            raise PackageMissingError(
                f"the {kind} package is not installed in {self.site}: "
                f'pip install "rocm{extra}=={_dist_info.VERSION}"'
            )
        return place


def installation() -> Installation:
    """The packages beside this one; MixedRunsError when they are not of one run.

    PackageMissingError without any.
    """
    # Some systems keep packages for one platform, as core is, in another directory than the rest.
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for place in (own, *sys.path):
        if os.path.isdir(os.path.join(place, CORE_PACKAGE)):
            found = Installation(os.path.abspath(place))
            found.check()
            return found
    raise PackageMissingError(
        f'rocm-sdk-core is not installed: pip install "rocm=={_dist_info.VERSION}"'
    )


def _families() -> list[str]:
    asked = os.environ.get("ROCM_SDK_TARGET_FAMILY", "").lower()
    names = list(_dist_info.FAMILIES)
    chosen = [
        name
        for name, targets in _dist_info.FAMILIES.items()
        if asked == name.lower() or asked in targets
    ]
    return list(dict.fromkeys([*chosen, *names]))
