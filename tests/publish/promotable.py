"""A small run with everything that can be promoted, on any storage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.native_files import deb, put, rpm
from tests.python_files import sdist, wheel
from therock_outputs.indexes.build import build_indexes
from therock_outputs.indexes.repositories import (
    RepositoryPackage,
    RepositorySettings,
    publish_packages,
)
from therock_outputs.layout import PackageFormat, WorkflowOutputRoot
from therock_outputs.storage import Storage, Upload

TARGETS = ("gfx942", "gfx1100")
FAMILIES = ("gfx94X-dcgpu", "gfx110X-all")
MTIME = 1_700_000_000
LINUX, WINDOWS = "py3-none-linux_x86_64", "py3-none-win_amd64"


@dataclass(frozen=True, slots=True)
class PromotableRun:
    """A run and what it is made of."""

    storage: Storage
    root: WorkflowOutputRoot
    version: str

    @classmethod
    def of(
        cls,
        storage: Storage,
        version: str,
        *,
        run_id: str = "77",
        release_type: str = "nightly",
        platform: str = "linux",
    ) -> PromotableRun:
        root = WorkflowOutputRoot.from_workflow_run(
            environ={}, run_id=run_id, release_type=release_type, platform=platform
        )
        return cls(storage, root, version)

    def put_tarballs(
        self, families: Sequence[str] = (*FAMILIES, "multiarch"), content: str = ""
    ) -> dict[str, bytes]:
        """Tarballs with their SHA256SUMS."""
        platform = self.root.platform
        name = f"therock-dist-{platform}-{{}}-{self.version}.tar.gz"
        files = {name.format(family): f"{family} {content}".encode() for family in families}
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
        uploads = [Upload(data, self.root.tarball(name)) for name, data in files.items()]
        sums = Upload("".join(lines).encode(), self.root.tarball("SHA256SUMS"))
        self.storage.upload([*uploads, sums])
        return files

    def wheels(
        self, targets: Sequence[str] = TARGETS, content: bytes = b""
    ) -> list[tuple[str, bytes]]:
        """Those of a split run, with an sdist that pins them all."""
        version = self.version
        tag = WINDOWS if self.root.platform == "windows" else LINUX
        devices = [f"rocm-sdk-device-{target}" for target in targets]
        return [
            wheel("rocm-sdk-core", version, tag=tag, content=content),
            wheel("rocm-sdk-libraries", version, tag=tag),
            *(
                wheel(device, version, [f"rocm-sdk-libraries=={version}"], tag=tag)
                for device in devices
            ),
            sdist(
                "rocm",
                version,
                [
                    f"rocm-sdk-core=={version}",
                    f"rocm-sdk-libraries=={version} ; extra == 'libraries'",
                    *(f"{one}=={version} ; extra == '{one[9:]}'" for one in devices),
                ],
                ["libraries", *(one[9:] for one in devices)],
            ),
        ]

    def put_wheels(self, *, index: bool = True, content: bytes = b"") -> list[str]:
        """The Python packages of a split run, indexed as ``upload`` does it."""
        files = self.wheels(content=content)
        self.storage.upload([Upload(data, self.root.python(name)) for name, data in files])
        if index:
            build_indexes(self.storage, self.root.python_files())
        return [name for name, _ in files]

    def put_family_wheels(self) -> None:
        """The Python packages of an unsplit run: generic ones, and those of each family."""
        version = self.version
        core = wheel("rocm-sdk-core", version, tag=LINUX)
        self.storage.upload([Upload(core[1], self.root.python(core[0]))])
        build_indexes(self.storage, self.root.python_files())
        for family in FAMILIES:
            project = f"rocm-sdk-libraries-{family.lower()}"
            files = [
                wheel(project, version, tag=LINUX),
                sdist("rocm", version, [f"rocm-sdk-core=={version}", f"{project}=={version}"]),
            ]
            place = self.root.python_files(family)
            self.storage.upload([Upload(data, place / name) for name, data in files])
            build_indexes(self.storage, place, shared=[self.root.python_files()])

    def put_packages(
        self, directory: Path, names: Sequence[str] = ("rocm-a", "rocm-b"), *, rpms: bool = True
    ) -> None:
        """Native packages in the run's own repositories."""
        label = RepositorySettings.of_release_type("ci")
        native = self.version.replace("a", "~").replace("rc", "~rc").partition("+")[0]
        debs = put(directory / "deb", *(deb(name, f"{native}-1") for name in names))
        self._publish(PackageFormat.DEB, debs, label)
        if rpms:
            paths = put(directory / "rpm", *(rpm(name, native) for name in names))
            self._publish(PackageFormat.RPM, paths, label)

    def _publish(
        self, kind: PackageFormat, paths: Sequence[Path], label: RepositorySettings
    ) -> None:
        is_deb = kind is PackageFormat.DEB
        place = self.root.deb_repository() if is_deb else self.root.rpm_repository()
        packages = [RepositoryPackage(path) for path in paths]
        publish_packages(self.storage, place, packages, kind=kind, settings=label, mtime=MTIME)
