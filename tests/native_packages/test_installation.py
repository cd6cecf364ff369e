"""The sample run's packages, installed into roots of their own by apt, dnf and zypper.

``benchmarks/check_native_installation.py`` does the same and more with a real run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import native_roots
from tests.indexes.repositories.site import keyring
from tests.native_judges import (
    Manager,
    Version,
    judge_alternatives,
    judge_debs,
    judge_nothing_left,
    wants,
)
from tests.native_roots import (
    DEBIAN,
    AptRoot,
    DnfRoot,
    Root,
    ZypperRoot,
    make_stub,
    rights,
    unpack_base,
)
from tests.package_judges import JudgementError, served, task
from tests.running import tree
from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, rclone_server
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.indexes.repositories import PUBLIC_KEY, apt_snippets, rpm_snippets

BUCKET = "installed"
PLACES = {"deb": "packages/deb/", "rpm": "packages/rpm/x86_64/"}
PROGRAMS = ("hipcc", "rocminfo", "amdclang")
V13, V14 = Version("7.13"), Version("7.14")


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the packages of the sample run are published, by version."""

    work: Path
    base: Path
    stub: Path

    def staging(self, version: str) -> Path:
        """The staging directory of a version and its suffix, as in ``7.13.0-1``."""
        return self.work / version

    def repository(self, version: str, kind: str) -> Path:
        """Where a repository lies."""
        return self.staging(version) / "sample-linux" / PLACES[kind]

    def root(self, manager: str, path: Path) -> AptRoot | DnfRoot:
        """A new root under one of the two."""
        return AptRoot(self.base, path) if manager == "apt" else DnfRoot(self.base, path, self.stub)


def publish(
    staging: Path, version: str, *where: str, environ: dict[str, str] | None = None
) -> None:
    """Build and publish the packages of the sample run, in the staging directory if not told."""
    number, _, suffix = version.partition("-")
    words = ["--only", "fetch,native,upload", "--run-id", "sample", "--work-dir", f"{staging}-work"]
    flags = ["--rocm-version", number, "--version-suffix", suffix]
    where = where or ("--staging-dir", str(staging))
    task("release", *words, *flags, *where, environ=environ)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    work = tmp_path_factory.mktemp("shop")
    base = unpack_base(DEBIAN, work / "base")
    shop = Shop(work, base, make_stub(base, work / "stub"))
    for version in ("7.13.0-1", "7.13.0-2", "7.14.0-1"):
        write_sample_run(shop.staging(version))
        publish(shop.staging(version), version)
    return shop


@pytest.fixture(scope="module")
def addresses(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Two servers of the first version: the project's own, and one of S3's protocol."""
    staging = shop.staging("7.13.0-1")
    with ExitStack() as stack:
        objects = tmp_path_factory.mktemp("objects")
        # Package managers send no signature.
        server = stack.enter_context(rclone_server(objects, signed=False))
        server.make_bucket(BUCKET)
        environ = os.environ | {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }
        task(
            "release", "--only", "fetch,native,upload", "--run-id", "7", "--bucket", BUCKET,
            "--artifacts-dir", staging / "sample-linux", "--work-dir", f"{staging}-s3",
            "--rocm-version", "7.13.0", environ=environ,
        )  # fmt: skip
        yield {
            "serve": f"{stack.enter_context(served(staging))}sample-linux/",
            "rclone": f"{server.endpoint}/{BUCKET}/7-linux/",
        }


@pytest.fixture(params=["apt", "dnf"])
def manager(
    request: pytest.FixtureRequest, shop: Shop, tmp_path: Path
) -> Iterator[AptRoot | DnfRoot]:
    manager = shop.root(request.param, tmp_path / "root")
    yield manager
    manager.discard()


def add(manager: AptRoot | DnfRoot, url: Callable[[str], str], name: str = "rocm") -> None:
    """Tell a package manager of a repository; the address is asked for by format."""
    if isinstance(manager, AptRoot):
        manager.add(apt_snippets(url("deb"), signed=False, name=name)[1])
    else:
        manager.add(rpm_snippets(url("rpm"), signed=False, name=name)[0])
    manager.update()


def lend(manager: AptRoot | DnfRoot, shop: Shop, version: str) -> None:
    """Tell a package manager of a version by ``file:``."""

    def url(kind: str) -> str:
        repository = shop.repository(version, kind)
        return manager.root.lend(repository) if kind == "deb" else repository.as_uri()

    add(manager, url, f"rocm-{version}")


def works(manager: Manager, version: Version) -> None:
    """What is installed is whole, loads, starts, and is what is meant by /opt/rocm."""
    manager.verify()
    judge_alternatives(manager.root, version, PROGRAMS)
    assert manager.root.load_each(version.prefix) > 20
    for program in (*(f"/usr/bin/{name}" for name in PROGRAMS), "/opt/rocm/bin/rocminfo"):
        assert "of the sample run" in manager.root.start(program)


def test_everything_installs_works_and_goes_again(shop: Shop, manager: AptRoot | DnfRoot) -> None:
    before = manager.root.files()
    lend(manager, shop, "7.13.0-1")
    manager.install("amdrocm-core-sdk")
    works(manager, V13)
    wants(manager, there=["amdrocm-blas7.13-gfx942", "amdrocm-blas7.13-gfx1100"])
    if isinstance(manager, AptRoot):
        assert judge_debs(manager, shop.repository("7.13.0-1", "deb") / "pool/main") > 300
    manager.remove("amdrocm-core-sdk")
    manager.purge()
    judge_nothing_left(manager.root, before)


@pytest.mark.parametrize("place", ["serve", "rclone"])
def test_one_target_installs_from_a_server(
    manager: AptRoot | DnfRoot, addresses: dict[str, str], place: str
) -> None:
    add(manager, lambda kind: addresses[place] + PLACES[kind])
    manager.install("amdrocm-core7.13-gfx1100")
    wants(manager, "amdrocm-blas7.13-gfx942", "amdrocm-core", there=["amdrocm-blas7.13-gfx1100"])
    works(manager, V13)


def test_versions_follow_one_another_and_stand_side_by_side(
    shop: Shop, manager: AptRoot | DnfRoot
) -> None:
    before = manager.root.files()
    lend(manager, shop, "7.13.0-1")
    manager.install("amdrocm-core")
    lend(manager, shop, "7.13.0-2")
    manager.upgrade()
    assert set(manager.installed().values()) == {"7.13.0-2"}
    works(manager, V13)

    lend(manager, shop, "7.14.0-1")
    manager.upgrade()
    installed = manager.installed()
    assert installed["amdrocm-core"] == "7.14.0-1"
    assert installed["amdrocm-core7.13"] == "7.13.0-2"
    for version in (V13, V14):
        assert manager.root.load_each(version.prefix) > 20
    works(manager, V14)

    manager.install("amdrocm-core7.13")  # wanted for itself from now on
    manager.remove(*(name for name in installed if "7.14" in name))
    works(manager, V13)
    manager.purge()
    judge_nothing_left(manager.root, before)


def test_zypper_reads_the_repository_and_installs_from_it(shop: Shop, tmp_path: Path) -> None:
    zypper = ZypperRoot(shop.base, tmp_path / "root", shop.stub)
    zypper.add(rpm_snippets(shop.repository("7.13.0-1", "rpm").as_uri(), signed=False)[1])
    zypper.run("refresh")
    rpms = shop.repository("7.13.0-1", "rpm").glob("*.rpm")
    assert zypper.found() == {path.name.rsplit("-", 2)[0] for path in rpms}
    dry = zypper.run("install", "--dry-run", "amdrocm-core7.13-gfx1100").text
    assert "amdrocm-blas7.13-gfx1100" in dry
    assert "gfx942" not in dry
    zypper.run("download", "amdrocm-sysdeps7.13")
    zypper.run("install", "amdrocm-sysdeps7.13")
    zypper.root.outside("rpm", "--root", zypper.root.path, "-V", "amdrocm-sysdeps7.13")
    assert zypper.root.load_each(V13.prefix) == 3
    zypper.root.discard()


@pytest.fixture(scope="module")
def signed(shop: Shop) -> Path:
    """A directory with a repository of a few signed packages, as a build leaves it."""
    staging = shop.staging("7.13.0-1")
    # The path of an agent's socket may have 107 bytes only.
    with TemporaryDirectory(prefix="keys-") as top:
        user = "Tester <signs@example.com>"
        with keyring(Path(top, "home"), (user, "rsa2048")) as home:
            task(
                "build-native-packages", "--run-id", "sample", "--staging-dir", staging,
                "--work-dir", shop.work / "signed", "--rocm-version", "7.13.0",
                "--packages", "amdrocm-sysdeps", "--sign-key", "signs@example.com",
                environ=os.environ | {"GNUPGHOME": str(home)},
            )  # fmt: skip
    return shop.work / "signed" / "outputs"


def test_apt_takes_signed_packages_with_their_key_and_no_others(
    shop: Shop, signed: Path, tmp_path: Path
) -> None:
    apt = AptRoot(shop.base, tmp_path / "root")
    repository = signed / "packages/deb"
    with served(signed) as address:
        apt.add(apt_snippets(f"{address}packages/deb/", signed=True)[1])
        assert "NO_PUBKEY" in apt.get("update", codes=(100,)).text
        apt.root.write("/etc/apt/keyrings/rocm.asc", (repository / PUBLIC_KEY).read_bytes())
        apt.update()
        (package,) = repository.glob("pool/main/amdrocm-sysdeps7.13_*.deb")
        whole = package.read_bytes()
        package.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        refused = apt.get("install", "amdrocm-sysdeps", codes=(100,)).text
        assert "Hash Sum mismatch" in refused
        assert apt.installed() == {}
        package.write_bytes(whole)
        apt.install("amdrocm-sysdeps")
        assert sorted(apt.installed()) == ["amdrocm-sysdeps", "amdrocm-sysdeps7.13"]
        metadata = repository / "dists/stable/InRelease"
        metadata.write_bytes(metadata.read_bytes().replace(b"Suite: stable", b"Suite: stablE"))
        # apt asks whether it is younger in whole seconds, and all this takes hardly one.
        younger = metadata.stat().st_mtime + 2
        os.utime(metadata, (younger, younger))
        assert "BADSIG" in apt.get("update", codes=(100,)).text
    apt.discard()


def test_apt_takes_no_unsigned_packages_that_are_not_trusted(shop: Shop, tmp_path: Path) -> None:
    apt = AptRoot(shop.base, tmp_path / "root")
    address = apt.root.lend(shop.repository("7.13.0-1", "deb"))
    apt.root.write("/etc/apt/sources.list", f"deb [arch=amd64] {address} stable main\n")
    assert "is not signed" in apt.get("update", codes=(100,)).text
    apt.get("install", "amdrocm-core", codes=(100,))
    assert apt.installed() == {}
    apt.discard()


def test_two_builds_give_the_same_bytes_and_leave_the_archives_alone(
    shop: Shop, tmp_path: Path
) -> None:
    write_sample_run(tmp_path / "again")
    before = tree(tmp_path / "again")
    where = ["--staging-dir", str(tmp_path / "elsewhere")]
    archives = ["--artifacts-dir", str(tmp_path / "again" / "sample-linux")]
    publish(tmp_path / "elsewhere", "7.13.0-1", *where, *archives)
    assert tree(tmp_path / "again") == before
    first, second = (
        tree(staging / "sample-linux" / "packages")
        for staging in (shop.staging("7.13.0-1"), tmp_path / "elsewhere")
    )
    assert len(first) > 170
    assert first == second


# ------------------------------------------------------------------- whether judges would tell


def test_judges_find_what_is_wrong_with_an_installation(shop: Shop, tmp_path: Path) -> None:
    apt = AptRoot(shop.base, tmp_path / "root")
    before = apt.root.files()
    lend(apt, shop, "7.13.0-1")
    apt.install("amdrocm-runtime7.13")
    pool = shop.repository("7.13.0-1", "deb") / "pool/main"
    library = apt.root.path / "opt/rocm/core-7.13/lib/libhsa-runtime64.so.1.19.0"
    data = library.read_bytes()
    library.unlink()
    with pytest.raises(JudgementError, match="is not installed"):
        judge_debs(apt, pool)
    library.write_bytes(b"\x7fELF" + data[4:64])
    library.chmod(0o644)
    with pytest.raises(JudgementError, match="has other content"):
        judge_debs(apt, pool)
    with pytest.raises(JudgementError, match="libhsa-runtime64"):
        apt.verify()
    with pytest.raises(JudgementError, match="do not load"):
        apt.root.load_each(V13.prefix)
    library.write_bytes(data)
    library.chmod(0o755)
    with pytest.raises(JudgementError, match="has mode 100755, not 644"):
        judge_debs(apt, pool)
    with pytest.raises(JudgementError, match="realpath"):
        judge_alternatives(apt.root, V13, PROGRAMS)
    with pytest.raises(JudgementError, match=r"opt/rocm/core-7\.13/bin: not there before"):
        judge_nothing_left(apt.root, before)
    apt.discard()


def test_missing_root_is_told_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(JudgementError, match=r"run bash \.ci/prepare-roots"):
        unpack_base(tmp_path / "nothing.tar", tmp_path / "base")


def test_a_user_namespace_is_enough(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not root installs the same way."""
    monkeypatch.setattr(native_roots, "rights", lambda: ("unshare", "--mount", "--map-root-user"))
    apt = AptRoot(shop.base, tmp_path / "root")
    lend(apt, shop, "7.13.0-1")
    apt.install("amdrocm-core7.13-gfx942")
    works(apt, V13)
    apt.discard()


def test_who_can_be_root_nowhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rights.cache_clear()
    monkeypatch.setattr(native_roots, "_run", lambda *_: native_roots.Answer(1, "not permitted"))
    with pytest.raises(JudgementError, match="run as root where mounting is allowed"):
        rights()
    rights.cache_clear()


def test_commands_in_a_root_have_its_owner_s_rights(shop: Shop, tmp_path: Path) -> None:
    root = Root.copy(shop.base, tmp_path / "root")
    assert rights()[0] == "unshare"
    assert root.inside("id", "-u").text == "0\n"
    assert root.inside("sh", "-c", "echo kept >/dev/null && cat /dev/null").text == ""
    assert not list((root.path / "proc").iterdir()), "mounts ended with their command"
    root.discard()
