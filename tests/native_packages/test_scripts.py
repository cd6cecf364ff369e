"""The scripts of packages, run by real shells with the real update-alternatives in a small root."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from therock_outputs.native_packages.definition import Alternatives
from therock_outputs.native_packages.package import PackageFormat, Scripts
from therock_outputs.native_packages.scripts import (
    ScriptContext,
    alternatives_scripts,
    cleaning_scripts,
)

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"]}
CORE = Alternatives(prefix=True, programs=("hipcc", "amdclang++", "rocgdb"))
DEVEL = Alternatives(programs=("MIOpenDriver",))
DEB, RPM = PackageFormat.DEB, PackageFormat.RPM
SCORES = {"7.12": 14_024_001, "7.13": 14_026_001, "8.0": 16_000_001}
LINKS = {
    "opt/rocm/core",
    "opt/rocm/bin",
    "opt/rocm/lib",
    "usr/bin/hipcc",
    "usr/bin/amdclang++",
}
"""What a prefix with ``bin`` and ``lib`` gets, beside the link of its major version."""


@dataclass
class Package:
    """A package of the core, with the scripts that run in a root of its own."""

    name: str
    version: str
    scripts: Scripts
    context: ScriptContext

    @property
    def prefix(self) -> str:
        return self.context.prefix.lstrip("/")


def package(
    kind: PackageFormat, version: str, target: str = "", alternatives: Alternatives = CORE
) -> Package:
    family = f"amdrocm-core{version}" if alternatives is CORE else f"amdrocm-core-dev{version}"
    context = ScriptContext(
        format=kind,
        package=f"{family}-{target}" if target else family,
        family=family,
        prefix=f"/opt/rocm/core-{version}",
        major=version.partition(".")[0],
        score=SCORES[version],
    )
    scripts = alternatives_scripts(context, alternatives)
    return Package(context.package, version, scripts, context)


def make_machine(tmp_path: Path, kind: PackageFormat, shell: list[str] | None = None) -> Machine:
    program, *arguments = shell or SHELLS["dash"]
    found = shutil.which(program)
    assert found is not None, f"{program} is missing; see .ci/system-packages.txt"
    return Machine(tmp_path / "root", [found, *arguments], kind)


class Machine:
    """A root directory, in which scripts run as dpkg and rpm run them."""

    def __init__(self, root: Path, shell: list[str], kind: PackageFormat) -> None:
        self.root = root
        self._shell = shell
        self.kind = kind
        self._tools = root.parent / "tools"
        for directory in ("usr/bin", "etc/alternatives", "var/lib/dpkg/alternatives", "opt"):
            (root / directory).mkdir(parents=True)
        self._tools.mkdir()
        for tool in ("mkdir", "rmdir"):
            found = shutil.which(tool)
            assert found is not None
            (self._tools / tool).symlink_to(found)
        self.provide_update_alternatives()
        self.output = ""

    def provide_update_alternatives(self) -> None:
        real = shutil.which("update-alternatives", path="/usr/bin:/usr/sbin:/bin:/sbin")
        assert real is not None
        wrapper = self._tools / "update-alternatives"
        wrapper.write_text(
            f"#!/bin/sh\nexec {real} --altdir {self.root}/etc/alternatives "
            f"--admindir {self.root}/var/lib/dpkg/alternatives "
            f'--log {self.root.parent}/alternatives.log "$@"\n'
        )
        wrapper.chmod(0o755)

    def lose_update_alternatives(self) -> None:
        (self._tools / "update-alternatives").unlink()

    def run(self, script: str, *arguments: str, **environment: str) -> None:
        """Run a script twice: the second time must do no harm."""
        for place in ("/opt/rocm", "/usr/bin/", "/var/lib/rocm-alternatives"):
            script = script.replace(place, f"{self.root}{place}")
        for _ in range(2):
            done = subprocess.run(
                [*self._shell, "-c", script, "script", *arguments],
                env={"PATH": str(self._tools), **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            self.output += done.stdout + done.stderr
            assert done.returncode == 0, done.stderr

    def lay_files(self, prefix: str, *names: str) -> None:
        """What the packages below the core hold."""
        for name in names or ("bin/hipcc", "bin/amdclang++", "lib/libamdhip64.so"):
            path = self.root / prefix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(prefix)

    def install(self, package: Package) -> None:
        argument = "configure" if self.kind is DEB else "1"
        self.run(package.scripts.after_install, argument, "")
        self.run(package.scripts.after_transaction, argument)

    def upgrade(self, old: Package, new: Package) -> None:
        if self.kind is DEB:
            self.run(old.scripts.before_remove, "upgrade", "2")
            self.run(old.scripts.after_remove, "upgrade", "2")
            self.run(new.scripts.after_install, "configure", "1")
        else:
            self.run(new.scripts.after_install, "2")
            self.run(old.scripts.before_remove, "1")
            self.run(old.scripts.after_remove, "1")
            self.run(new.scripts.after_transaction, "2")

    def remove(self, package: Package) -> None:
        argument = "remove" if self.kind is DEB else "0"
        self.run(package.scripts.before_remove, argument)
        self.run(package.scripts.after_remove, argument)
        if self.kind is DEB:
            self.run(package.scripts.after_remove, "purge")

    def remove_files(self, package: Package) -> None:
        """Remove the packages below the core, whose directories dpkg knows and rpm cleans up."""
        shutil.rmtree(self.root / package.prefix)
        if self.kind is RPM:
            (self.root / package.prefix).mkdir()
            self.run(cleaning_scripts(package.context).after_remove, "0")
        elif (rocm := self.root / "opt/rocm").is_dir() and not any(rocm.iterdir()):
            rocm.rmdir()

    def links(self) -> dict[str, str]:
        """Where each link outside of a prefix leads in the end, both below the root."""
        found = {}
        for directory in ("opt/rocm", "usr/bin"):
            for path in sorted((self.root / directory).glob("*")):
                if path.is_symlink():
                    assert path.exists(), f"{path} dangles"
                    end = path.resolve().relative_to(self.root)
                    found[str(path.relative_to(self.root))] = str(end)
        return found

    def left(self) -> set[str]:
        """All that is there, a fresh root's own directories aside."""
        everything = {str(p.relative_to(self.root)) for p in self.root.rglob("*")}
        return everything - {
            "usr", "usr/bin", "etc", "etc/alternatives", "opt", "var", "var/lib", "var/lib/dpkg",
            "var/lib/dpkg/alternatives",
        }  # fmt: skip


@pytest.fixture(params=[(DEB, "dash"), (RPM, "busybox")], ids=["deb in dash", "rpm in busybox"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    kind, shell = request.param
    return make_machine(tmp_path, kind, SHELLS[shell])


@pytest.fixture
def kind(machine: Machine) -> PackageFormat:
    return machine.kind


def test_core_is_registered_where_its_files_are(machine: Machine, kind: PackageFormat) -> None:
    core = package(kind, "7.13")
    machine.lay_files(core.prefix)
    machine.install(core)
    links = machine.links()
    assert links.keys() == LINKS | {"opt/rocm/core-7"}
    assert links["opt/rocm/core"] == links["opt/rocm/core-7"] == "opt/rocm/core-7.13"
    assert links["usr/bin/amdclang++"] == "opt/rocm/core-7.13/bin/amdclang++"
    machine.remove(core)
    assert machine.links() == {}
    machine.remove_files(core)
    assert machine.left() == set()


def test_upgrade_keeps_the_links_and_forgets_programs_that_are_gone(
    machine: Machine, kind: PackageFormat
) -> None:
    core = package(kind, "7.13")
    machine.lay_files(core.prefix)
    machine.install(core)
    before = machine.links()
    machine.upgrade(core, core)
    assert machine.links() == before
    (machine.root / core.prefix / "bin/hipcc").unlink()
    machine.lay_files(core.prefix, "bin/rocgdb")
    machine.upgrade(core, core)
    names = {name for name in machine.links() if name.startswith("usr/bin")}
    assert names == {"usr/bin/amdclang++", "usr/bin/rocgdb"}
    machine.remove(core)
    machine.remove_files(core)
    assert machine.left() == set()


@pytest.mark.parametrize(
    "order", [("7.12", "7.13", "8.0"), ("8.0", "7.13", "7.12"), ("7.13", "8.0", "7.12")]
)
def test_newest_version_leads_in_whatever_order_versions_come_and_go(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    machine = make_machine(tmp_path, DEB)
    packages = {version: package(DEB, version) for version in order}
    for version in order:
        machine.lay_files(packages[version].prefix)
        machine.install(packages[version])
    gone: set[str] = set()
    for version in order:
        there = sorted(set(order) - gone, key=float)
        links = machine.links()
        assert links["opt/rocm/core"] == links["opt/rocm/lib"].removesuffix("/lib")
        assert links["opt/rocm/core"] == f"opt/rocm/core-{there[-1]}"
        assert links["usr/bin/hipcc"] == f"opt/rocm/core-{there[-1]}/bin/hipcc"
        sevens = [name for name in there if name.startswith("7")]
        if sevens:
            assert links["opt/rocm/core-7"] == f"opt/rocm/core-{sevens[-1]}"
        else:
            assert "opt/rocm/core-7" not in links
        machine.remove(packages[version])
        machine.remove_files(packages[version])
        gone.add(version)
    assert machine.left() == set()


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_links_stay_while_another_variant_of_the_prefix_is_installed(
    machine: Machine, kind: PackageFormat, first_to_go: int
) -> None:
    variants = [package(kind, "7.13", "gfx942"), package(kind, "7.13", "gfx1100")]
    machine.lay_files(variants[0].prefix)
    for variant in variants:
        machine.install(variant)
    before = machine.links()
    machine.remove(variants.pop(first_to_go))
    assert machine.links() == before
    machine.remove(variants.pop())
    assert machine.links() == {}
    machine.remove_files(package(kind, "7.13"))
    assert machine.left() == set()


def test_devel_registers_its_program_alone(machine: Machine, kind: PackageFormat) -> None:
    core, devel = package(kind, "7.13"), package(kind, "7.13", alternatives=DEVEL)
    machine.lay_files(core.prefix, "bin/MIOpenDriver", "bin/hipcc")
    machine.install(devel)
    assert machine.links() == {"usr/bin/MIOpenDriver": "opt/rocm/core-7.13/bin/MIOpenDriver"}
    machine.install(core)
    machine.remove(devel)
    assert "usr/bin/MIOpenDriver" not in machine.links()
    assert "usr/bin/hipcc" in machine.links()
    machine.remove(core)
    machine.remove_files(core)
    assert machine.left() == set()


def test_missing_update_alternatives_is_told_and_harmless(
    machine: Machine, kind: PackageFormat
) -> None:
    core = package(kind, "7.13")
    machine.lay_files(core.prefix)
    machine.lose_update_alternatives()
    machine.install(core)
    assert "amdrocm-core7.13: there is no update-alternatives, so nothing links" in machine.output
    assert machine.links() == {}
    machine.upgrade(core, core)
    machine.remove(core)
    machine.remove_files(core)
    assert machine.left() == set()


def test_name_that_another_package_owns_is_left_to_it(
    machine: Machine, kind: PackageFormat
) -> None:
    core = package(kind, "7.13")
    machine.lay_files(core.prefix)
    (machine.root / "usr/bin/hipcc").write_text("of the distribution")
    (machine.root / "usr/bin/amdclang++-of-others").write_text("of others")
    theirs = "/usr/bin/amdclang++-of-others"
    machine.run(f"update-alternatives --install /usr/bin/amdclang++ others {theirs} 1")
    machine.install(core)
    assert "amdrocm-core7.13: cannot register" in machine.output
    assert (machine.root / "usr/bin/hipcc").read_text() == "of the distribution"
    assert machine.links()["usr/bin/amdclang++"] == "usr/bin/amdclang++-of-others"
    assert machine.links()["opt/rocm/core"] == "opt/rocm/core-7.13"
    machine.remove(core)
    assert machine.links() == {"usr/bin/amdclang++": "usr/bin/amdclang++-of-others"}
    assert (machine.root / "usr/bin/hipcc").read_text() == "of the distribution"


def test_rpm_registers_at_the_end_what_changed_during_the_transaction(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, RPM)
    core = package(RPM, "7.13")
    machine.lay_files(core.prefix)
    machine.run(core.scripts.after_install, "2")
    assert machine.links() == {}
    (machine.root / core.prefix / "bin/hipcc").unlink()  # of the version before
    machine.lay_files(core.prefix, "bin/rocgdb")  # of a package that comes later
    machine.run(core.scripts.after_transaction, "2")
    names = {name for name in machine.links() if name.startswith("usr/bin")}
    assert names == {"usr/bin/amdclang++", "usr/bin/rocgdb"}


def test_aborted_removal_and_upgrade_of_a_deb_register_again(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, DEB)
    core = package(DEB, "7.13")
    machine.lay_files(core.prefix)
    machine.install(core)
    before = machine.links()
    for abort in ("abort-remove", "abort-deconfigure", "abort-upgrade"):
        machine.run(core.scripts.before_remove, "deconfigure", "in-favour", "x", "1")
        assert machine.links() == {}
        machine.run(core.scripts.after_install, abort)
        assert machine.links() == before


def test_rpm_that_is_installed_elsewhere_registers_that_place(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, RPM)
    core = package(RPM, "7.13")
    elsewhere = machine.root / "srv/rocm"
    machine.lay_files("srv/rocm")
    place = {"RPM_INSTALL_PREFIX": str(elsewhere)}
    machine.run(core.scripts.after_install, "1", **place)
    machine.run(core.scripts.after_transaction, "1", **place)
    assert machine.links()["opt/rocm/core"] == "srv/rocm"
    assert machine.links()["usr/bin/hipcc"] == "srv/rocm/bin/hipcc"
    machine.run(core.scripts.before_remove, "0", **place)
    shutil.rmtree(elsewhere)
    elsewhere.mkdir()
    machine.run(core.scripts.after_remove, "0", **place)
    assert machine.left() == {"srv"}


@pytest.mark.parametrize(
    ("prefix", "without"),
    [
        ("/opt/rocm", {"/opt/rocm/core", "/opt/rocm/core-7", "/opt/rocm/bin"}),
        ("/opt/rocm/core", {"/opt/rocm/core"}),
        ("/usr", {"/usr/bin/hipcc", "/usr/bin/rocgdb"}),
    ],
)
def test_link_that_lies_in_the_prefix_is_not_made(prefix: str, without: set[str]) -> None:
    context = replace(package(DEB, "7.13").context, prefix=prefix)
    script = alternatives_scripts(context, CORE).after_install
    links = {line.split()[2] for line in script.splitlines() if line.startswith('    "$1" ')}
    assert links & without == set()
    assert links


def test_deb_with_files_needs_no_script_and_rpm_cleans_only_what_is_its_own() -> None:
    deb, rpm = package(DEB, "7.13").context, package(RPM, "7.13").context
    assert cleaning_scripts(deb) == Scripts()
    assert 'drop_empty "$prefix" /opt/rocm\n' in cleaning_scripts(rpm).after_remove
    elsewhere = cleaning_scripts(replace(rpm, prefix="/srv/rocm")).after_remove
    assert 'drop_empty "$prefix"\n' in elsewhere
