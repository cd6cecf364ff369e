"""apt, dnf and zypper read the repositories, from everywhere, and refuse what they should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.indexes.conftest import Place, place_on
from tests.indexes.repositories.judges import Apt, Dnf, Zypper
from tests.indexes.repositories.site import (
    DEB,
    MTIME,
    RPM,
    SETTINGS,
    Site,
    served,
)
from tests.native_files import deb, rpm
from tests.servers import S3Server
from therock_outputs.indexes.repositories import (
    PUBLIC_KEY,
    Signer,
    Snippet,
    apt_snippets,
    rpm_snippets,
    unlist_package,
)
from therock_outputs.layout import PackageFormat
from therock_outputs.storage import IfExists, Upload


@dataclass(slots=True)
class Shop:
    """A repository as package managers reach it."""

    site: Site
    url: str
    work: Path
    judges: list[Path] = field(default_factory=list)

    def publish(self, *files: tuple[str, bytes], signer: Signer | None = None) -> None:
        self.site.publish(*files, signer=signer)
        self.site.at.let_anybody_read()

    def tamper(self, matches: Callable[[str], bool], change: Callable[[bytes], bytes]) -> None:
        """Change what is published, as whoever owns the server could."""
        found = {path: data for path, data in self.site.contents().items() if matches(path)}
        assert found
        for path, data in found.items():
            changed = change(data)
            assert changed != data
            upload = Upload(changed, self.site.place / path, IfExists.REPLACE)
            self.site.storage.upload([upload])
        self.site.at.let_anybody_read()

    @property
    def key(self) -> bytes:
        return self.site.storage.read(self.site.place / PUBLIC_KEY)

    def apt(self, *, signed: bool, key: bytes | None = None, deb822: bool = True) -> Apt:
        snippet = apt_snippets(self.url, signed=signed)[deb822]
        return Apt(self._home(), snippet, key if key is not None else self.key if signed else None)

    def dnf(self, *, signed: bool, signed_packages: bool = False) -> Dnf:
        snippet = rpm_snippets(self.url, signed=signed, signed_packages=signed_packages)[0]
        return Dnf(self._home(), snippet)

    def zypper(self, *, signed: bool) -> Zypper:
        return Zypper(self._home(), rpm_snippets(self.url, signed=signed)[1])

    def _home(self) -> Path:
        self.judges.append(self.work / f"judge-{len(self.judges)}")
        return self.judges[-1]


def shop_of(kind: PackageFormat, place: Place, tmp_path: Path) -> Shop:
    site = Site(kind, place, tmp_path / "built")
    return Shop(site, site.url, tmp_path)


@pytest.fixture
def debs(local: Place, tmp_path: Path) -> Shop:
    return shop_of(DEB, local, tmp_path)


@pytest.fixture
def rpms(local: Place, tmp_path: Path) -> Shop:
    return shop_of(RPM, local, tmp_path)


@pytest.fixture(params=["file", "serve", "moto", "rclone"])
def shops(
    request: pytest.FixtureRequest,
    local: Place,
    servers: dict[str, S3Server],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[dict[PackageFormat, Shop]]:
    """Repositories of both formats, as clients reach them."""
    place = local
    if request.param in servers:
        place = place_on(servers[request.param], monkeypatch)
    shops = {kind: shop_of(kind, place, tmp_path) for kind in (DEB, RPM)}
    with ExitStack() as stack:
        if request.param == "serve":
            assert local.staging_dir is not None
            local.staging_dir.mkdir()
            address = stack.enter_context(served(local.staging_dir))
            for shop in shops.values():
                shop.url = f"{address}{shop.site.place.key}"
        yield shops


# ------------------------------------------------------------------------------------ apt


@pytest.mark.parametrize("signed", [False, True])
def test_apt_finds_and_fetches_everything(
    shops: dict[PackageFormat, Shop], signer: Signer, signed: bool
) -> None:
    shop = shops[DEB]
    files = [
        deb("rocm-core7.13", "7.13.0~20251124-1"),
        deb("rocm-llvm7.13", "7.13.0~20251124-1", depends="rocm-core7.13 (= 7.13.0~20251124-1)"),
        deb("rocm", "7.13.0-1", depends="rocm-llvm7.13", architecture="all"),
    ]
    shop.publish(*files, signer=signer if signed else None)
    apt = shop.apt(signed=signed)
    updated = apt.update()
    assert (updated.code, warnings(updated.text)) == (0, []), updated.text
    assert apt.packages() == {"rocm", "rocm-core7.13", "rocm-llvm7.13"}
    fetched = apt.download("rocm")
    assert fetched.code == 0, fetched.text
    assert "3 newly installed" in fetched.text
    if not shop.url.startswith("file:"):
        assert len(apt.archives) == 3


def warnings(text: str) -> list[str]:
    """What apt complains of."""
    return [line for line in text.splitlines() if line.startswith(("W:", "E:", "Err:"))]


@pytest.mark.parametrize("deb822", [False, True])
def test_apt_sees_each_publication(debs: Shop, signer: Signer, deb822: bool) -> None:
    for number in range(1, 5):
        debs.publish(deb("a", f"{number}.0-1"), signer=signer)
        if number == 1:
            apt = debs.apt(signed=True, deb822=deb822)
        assert apt.update().code == 0
        assert apt.versions("a") == [f"{n}.0-1" for n in range(number, 0, -1)]


def test_apt_upgrades_and_forgets_what_is_unlisted(debs: Shop) -> None:
    debs.publish(deb("a", "1.0-1"), deb("b", "1.0-1", depends="a"))
    apt = debs.apt(signed=False)
    apt.install_on_paper(deb("a", "1.0-1"), deb("b", "1.0-1", depends="a"))
    debs.publish(deb("a", "2.0-1"), deb("b", "2.0-1", depends="a (>= 2.0)"))
    assert apt.update().code == 0
    upgrade = apt.run("apt-get", "--yes", "--download-only", "upgrade")
    assert "2 upgraded, 0 newly installed, 0 to remove" in upgrade.text
    site = debs.site
    unlist_package(site.storage, site.place, "a", "2.0-1", kind=DEB, settings=SETTINGS, mtime=MTIME)
    assert apt.update().code == 0
    assert apt.versions("a") == ["1.0-1"]


def test_apt_refuses_an_unsigned_repository_that_is_not_trusted(debs: Shop) -> None:
    debs.publish(deb("a"))
    for snippet in apt_snippets(debs.url, signed=False):
        text = re.sub(r" trusted=yes|Trusted: yes\n", "", snippet.text)
        apt = Apt(debs._home(), Snippet(snippet.path, text))
        updated = apt.update()
        assert updated.code != 0
        assert "is not signed" in updated.text
        assert apt.packages() == set()


def test_apt_refuses_an_unsigned_repository_where_a_signed_one_was(
    debs: Shop, signer: Signer
) -> None:
    debs.publish(deb("a"), signer=signer)
    apt = debs.apt(signed=True)
    assert apt.update().code == 0
    for name in ("InRelease", "Release.gpg"):
        debs.site.storage.delete(debs.site.place / f"dists/stable/{name}")
    assert "no longer signed" in apt.update().text


def test_apt_refuses_a_repository_that_another_key_signed(
    debs: Shop, signers: list[Signer]
) -> None:
    debs.publish(deb("a"), signer=signers[0])
    updated = debs.apt(signed=True, key=signers[1].public_key).update()
    assert updated.code != 0
    assert "NO_PUBKEY" in updated.text


@pytest.mark.parametrize("number", [0, 1], ids=["ed25519", "rsa"])
def test_apt_takes_the_older_pair_of_files_too(
    debs: Shop, signers: list[Signer], number: int
) -> None:
    debs.publish(deb("a"), signer=signers[number])
    debs.site.storage.delete(debs.site.place / "dists/stable/InRelease")
    apt = debs.apt(signed=True)
    assert apt.update().code == 0
    assert apt.packages() == {"a"}


def test_apt_refuses_a_changed_release(debs: Shop, signer: Signer) -> None:
    debs.publish(deb("a"), signer=signer)
    debs.tamper(
        lambda path: path.endswith("InRelease"), lambda data: data.replace(b"ROCm dev", b"ROCm deV")
    )
    updated = debs.apt(signed=True).update()
    assert updated.code != 0
    assert "BADSIG" in updated.text


@pytest.mark.parametrize("shops", ["file", "serve"], indirect=True)
def test_apt_refuses_changed_metadata(shops: dict[PackageFormat, Shop], signer: Signer) -> None:
    shop = shops[DEB]
    shop.publish(deb("a"), signer=signer)
    shop.tamper(lambda path: "by-hash" in path or "Packages" in path, lambda data: data[::-1])
    apt = shop.apt(signed=True)
    updated = apt.update()
    assert updated.code != 0
    assert "Hash Sum mismatch" in updated.text
    assert apt.packages() == set()


@pytest.mark.parametrize("shops", ["file", "serve"], indirect=True)
def test_apt_refuses_a_changed_package(shops: dict[PackageFormat, Shop], signer: Signer) -> None:
    shop = shops[DEB]
    shop.publish(deb("a", content=b"content"), signer=signer)
    shop.tamper(
        lambda path: path.endswith(".deb"), lambda data: data.replace(b"content", b"CONTENT")
    )
    apt = shop.apt(signed=True)
    assert apt.update().code == 0
    fetched = apt.download("a")
    assert fetched.code != 0
    assert "Hash Sum mismatch" in fetched.text


def test_apt_fetches_metadata_by_hash(debs: Shop) -> None:
    """The plain names may be of another publication; nobody needs them."""
    debs.publish(deb("a"))
    debs.tamper(lambda path: "binary-amd64/Packages" in path, lambda _: b"other")
    assert debs.site.at.staging_dir is not None
    with served(debs.site.at.staging_dir) as address:
        debs.url = f"{address}{debs.site.place.key}"
        apt = debs.apt(signed=False)
        assert apt.update().code == 0
    assert apt.packages() == {"a"}


# --------------------------------------------------------------------------- dnf and zypper


@pytest.mark.parametrize("signed", [False, True])
def test_dnf_finds_and_fetches_everything(
    shops: dict[PackageFormat, Shop], signer: Signer, signed: bool
) -> None:
    shop = shops[RPM]
    files = [rpm("rocm-core", "7.13.0~20251124"), rpm("rocm", "7.13.0", requires="rocm-core")]
    shop.publish(*files, signer=signer if signed else None)
    dnf = shop.dnf(signed=signed)
    assert dnf.available() == {"rocm-core-7.13.0~20251124-1", "rocm-7.13.0-1"}
    fetched = dnf.download("rocm")
    assert fetched.code == 0, fetched.text
    assert dnf.archives == {name for name, _ in files}
    provided = dnf.run("repoquery", "--list", "rocm")
    assert provided.out.split() == ["/opt/rocm/share/rocm"]


@pytest.mark.parametrize("signed", [False, True])
def test_zypper_finds_everything(
    shops: dict[PackageFormat, Shop], signer: Signer, signed: bool
) -> None:
    shop = shops[RPM]
    shop.publish(rpm("a"), rpm("b", requires="a"), signer=signer if signed else None)
    zypper = shop.zypper(signed=signed)
    refreshed = zypper.refresh("--gpg-auto-import-keys")
    assert refreshed.code == 0, refreshed.text
    assert zypper.available() == {"a-1.0-1", "b-1.0-1"}


def test_dnf_and_zypper_see_each_publication(rpms: Shop, signer: Signer) -> None:
    versions: set[str] = set()
    for number in range(1, 4):
        rpms.publish(rpm("a", f"{number}.0"), signer=signer)
        if number == 1:
            dnf, zypper = rpms.dnf(signed=True), rpms.zypper(signed=True)
        versions.add(f"a-{number}.0-1")
        assert dnf.available() == versions
        assert zypper.refresh("--gpg-auto-import-keys").code == 0
        assert zypper.available() == versions


def test_dnf_and_zypper_refuse_an_unsigned_repository_that_should_be_signed(
    rpms: Shop, signer: Signer
) -> None:
    rpms.publish(rpm("a"))
    key = Upload(signer.public_key, rpms.site.place / PUBLIC_KEY)
    rpms.site.storage.upload([key])
    answer = rpms.dnf(signed=True).run("repoquery", "a")
    assert answer.code != 0
    assert "repomd.xml.asc" in answer.text
    zypper = rpms.zypper(signed=True)
    assert zypper.refresh().code != 0
    assert zypper.available() == set()


def test_dnf_and_zypper_refuse_another_key(rpms: Shop, signers: list[Signer]) -> None:
    rpms.publish(rpm("a"), signer=signers[0])
    other = Upload(signers[1].public_key, rpms.site.place / PUBLIC_KEY, IfExists.REPLACE)
    rpms.site.storage.upload([other])
    answer = rpms.dnf(signed=True).run("repoquery", "a")
    assert answer.code != 0
    assert "signature" in answer.text.lower()
    assert rpms.zypper(signed=True).refresh("--gpg-auto-import-keys").code != 0


def test_dnf_and_zypper_refuse_a_changed_pointer(rpms: Shop, signer: Signer) -> None:
    rpms.publish(rpm("a"), signer=signer)
    rpms.tamper(
        lambda path: path.endswith("repomd.xml"), lambda data: data.replace(b"<repomd", b"<repomd ")
    )
    assert rpms.dnf(signed=True).run("repoquery", "a").code != 0
    assert rpms.zypper(signed=True).refresh("--gpg-auto-import-keys").code != 0


def test_dnf_and_zypper_refuse_changed_metadata(rpms: Shop) -> None:
    rpms.publish(rpm("a"))
    rpms.tamper(lambda path: path.endswith(".xml.gz"), lambda data: data[::-1])
    answer = rpms.dnf(signed=False).run("repoquery", "a")
    assert answer.code != 0
    assert answer.out == ""
    zypper = rpms.zypper(signed=False)
    assert zypper.refresh().code != 0
    assert zypper.available() == set()


@pytest.mark.parametrize("shops", ["file", "serve"], indirect=True)
def test_dnf_refuses_a_changed_package(shops: dict[PackageFormat, Shop]) -> None:
    shop = shops[RPM]
    shop.publish(rpm("a"))
    shop.tamper(lambda path: path.endswith(".rpm"), lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    dnf = shop.dnf(signed=False)
    assert dnf.download("a").code != 0
    assert dnf.archives == set()


def test_dnf_checks_signatures_of_packages_when_told(
    rpms: Shop, signer: Signer, gnupg_home: Path, tmp_path: Path
) -> None:
    """Metadata vouches for packages by their digests; rpms may be signed as well."""
    name, data = rpm("a")
    unsigned = rpm("b")
    path = tmp_path / name
    path.write_bytes(data)
    settings = {"_gpg_name": signer.fingerprint, "__gpg": shutil.which("gpg") or "gpg"}
    words = [word for item in settings.items() for word in ("--define", " ".join(item))]
    command = ["rpmsign", "--addsign", *words, str(path)]
    subprocess.run(command, env={**os.environ, "GNUPGHOME": str(gnupg_home)}, check=True)
    rpms.publish((name, path.read_bytes()), unsigned, signer=signer)
    dnf = rpms.dnf(signed=True, signed_packages=True)
    assert dnf.download("a").code == 0
    refused = dnf.download("b")
    assert refused.code != 0
    assert "is not signed" in refused.text


def test_dnf_takes_packages_for_every_architecture_from_the_repository_for_one(rpms: Shop) -> None:
    rpms.publish(
        rpm("rocm-all", requires="rocm-one = 1.0-1", architecture="noarch"), rpm("rocm-one")
    )
    dnf = rpms.dnf(signed=False)
    assert dnf.available() == {"rocm-all-1.0-1", "rocm-one-1.0-1"}
    assert dnf.download("rocm-all").code == 0
    assert dnf.archives == {"rocm-all-1.0-1.noarch.rpm", "rocm-one-1.0-1.x86_64.rpm"}
