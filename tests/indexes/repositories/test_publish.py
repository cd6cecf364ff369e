"""Publication: everything is listed, once, checked, and never less than before."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, TypedDict

import pytest

from tests.indexes.repositories.site import DEB, MTIME, RPM, SETTINGS, SIGNED, Site, listed
from tests.native_files import deb, rpm
from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.indexes.repositories import (
    PUBLIC_KEY,
    PublishedRepository,
    RepositoryPackage,
    RepositorySettings,
    Signer,
    merge_repository,
    publish_packages,
    read_repository,
    relist_package,
    relist_packages,
    unlist_package,
    unlist_packages,
)
from therock_outputs.indexes.repositories import apt as apt_format
from therock_outputs.indexes.repositories import rpm as rpm_format
from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.storage import (
    DryRunStorage,
    IfExists,
    LocalStorage,
    Outcome,
    Storage,
    Upload,
)


def merge(
    source: Site, target: Site, *, signer: Signer | None = None, storage: Storage | None = None
) -> PublishedRepository:
    return merge_repository(
        storage or source.storage,
        source.place,
        target.place,
        kind=source.kind,
        settings=SETTINGS,
        mtime=MTIME,
        signer=signer,
    )


def unlist(site: Site, name: str, version: str) -> PublishedRepository:
    return unlist_package(
        site.storage, site.place, name, version, kind=site.kind, settings=SETTINGS, mtime=MTIME
    )


def replace(site: Site, path: str, data: bytes) -> None:
    """Put other bytes where something is published, as nobody should."""
    site.storage.upload([Upload(data, site.place / path, IfExists.REPLACE)])


# --------------------------------------------------------------------------- publishing


def test_first_publication_lists_all_packages(site: Site) -> None:
    files = [site.make("a"), site.make("b", needs="a")]
    done = site.publish(*files)
    paths = {site.path_of(name) for name, _ in files}
    assert set(done.added) == paths == {entry.path for entry in done.packages}
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}
    assert [t.outcome for t in done.transfers] == [Outcome.WRITTEN] * 2
    assert read_repository(site.storage, site.place, site.kind) == done.packages
    assert done.public_key is None


def test_publishing_again_writes_nothing(site: Site) -> None:
    files = [site.make("a"), site.make("b")]
    first = site.publish(*files)
    before = list(site.storage.list(site.place))
    again = site.publish(*files, mtime=MTIME + 1000)
    assert again.packages == first.packages
    assert again.added == ()
    assert {t.outcome for t in again.transfers} == {Outcome.SAME}
    assert list(site.storage.list(site.place)) == before


def test_later_publication_keeps_what_is_listed(site: Site) -> None:
    site.publish(site.make("a"), site.make("b"))
    done = site.publish(site.make("a", "2.0"), site.make("c"))
    assert listed(done) == {"a 1.0-1", "a 2.0-1", "b 1.0-1", "c 1.0-1"}
    assert len(done.added) == 2


def test_former_metadata_stays_for_clients_under_way(here: Site) -> None:
    generations = []
    for version in ("1.0", "2.0", "3.0", "4.0"):
        here.publish(here.make("a", version))
        pointed = here.contents()
        generations.append({n for n in pointed if "by-hash" in n or n.endswith(".xml.gz")})
    assert all(old < new for old, new in pairwise(generations))


def test_package_that_an_interrupted_attempt_left_is_listed(site: Site) -> None:
    site.publish(site.make("a"))
    name, data = site.make("b")
    site.storage.upload([Upload(data, site.place / site.path_of(name))])
    done = site.publish()
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}
    assert done.added == ()


def test_stray_package_gives_the_same_entry_as_a_published_one(here: Site) -> None:
    files = [here.make("a"), here.make("b")]
    stray = here.elsewhere("8-linux")
    stray.storage.upload([Upload(data, stray.place / stray.path_of(n)) for n, data in files])
    stray.publish()
    here.publish(*files)
    assert stray.contents() == here.contents()


def test_only_unknown_packages_are_read_and_only_their_heads(here: Site) -> None:
    staging = here.at.staging_dir
    assert staging is not None
    here.publish(here.make("a"))
    name, data = here.make("b")
    large = data + bytes(4 << 20)
    storage = CountingStorage(staging)
    storage.upload([Upload(large, here.place / here.path_of(name))])
    here.publish(here.make("c"), storage=storage)
    ranges = [item for item in storage.asked if item[0].endswith((".deb", ".rpm"))]
    assert {path for path, _ in ranges} == {here.path_of(name)}
    assert sum(size for _, size in ranges if size) <= 256 << 10


class CountingStorage(LocalStorage):
    """A staging directory that notes what it is asked for, by ranges."""

    def __init__(self, staging_dir: Path) -> None:
        super().__init__(staging_dir)
        self.asked: list[tuple[str, int | None]] = []

    @contextmanager
    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> Iterator[BinaryIO]:
        key = location.key.partition("packages/deb/")[2] or location.name
        self.asked.append((key, length))
        with super().open(location, start, length) as stream:
            yield stream

    def sha256(self, location: StorageLocation) -> str:
        # What a server has noted; it is not part of what is counted.
        return LocalStorage(self.staging_dir).sha256(location)


def test_same_packages_give_the_same_bytes_in_any_order(here: Site) -> None:
    files = [here.make("a"), here.make("b"), here.make("c", needs="a")]
    here.publish(*files)
    other = here.elsewhere("8-linux")
    other.publish(*reversed(files))
    assert other.contents() == here.contents()


def test_time_never_goes_back_and_grows_with_each_change(here: Site) -> None:
    def time() -> int:
        text = here.storage.read(here.pointer).decode()
        if here.kind is RPM:
            return int(text.partition("<revision>")[2].partition("<")[0])
        date = next(line for line in text.splitlines() if line.startswith("Date: "))
        return int(parsedate_to_datetime(date.removeprefix("Date: ")).timestamp())

    here.publish(here.make("a"))
    assert time() == MTIME
    here.publish(here.make("b"))
    assert time() == MTIME + 1
    here.publish(here.make("c"), mtime=0)
    assert time() == MTIME + 2
    here.publish(here.make("d"), mtime=MTIME + 1000)
    assert time() == MTIME + 1000


def test_dry_run_writes_nothing_and_tells_what_would_be_listed(here: Site) -> None:
    here.publish(here.make("a"))
    before = here.contents()
    storage = DryRunStorage(here.storage)
    done = here.publish(here.make("b"), storage=storage)
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}
    assert here.contents() == before
    planned = {transfer.location for transfer in storage.planned}
    assert here.place / here.path_of(here.make("b")[0]) in planned
    assert here.pointer in planned


def test_metadata_that_createrepo_made_is_extended(here: Site, tmp_path: Path) -> None:
    """Other tools' repositories: no content-named files (apt), other spacing (rpm)."""
    name, data = here.make("a")
    here.storage.upload([Upload(data, here.place / here.path_of(name))])
    assert here.at.staging_dir is not None
    top = here.place.local_path(here.at.staging_dir)
    if here.kind is RPM:
        command = ["createrepo_c", "--quiet", "--compress-type=gz", "--database", str(top)]
        subprocess.run(command, check=True)
    else:
        here.publish()
        for path in (top / "dists/stable/main/binary-amd64/by-hash/SHA256").iterdir():
            path.unlink()
    done = here.publish(here.make("b"))
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}


# ------------------------------------------------------------------------------ refusals


def test_other_bytes_under_a_published_name_are_refused(site: Site) -> None:
    site.publish(site.make("a"))
    before = site.contents()
    with pytest.raises(ConflictError, match=r"is published with SHA-256 .* another version"):
        site.publish(site.make("b"), site.make("a", content="other"))
    assert site.contents() == before


def test_other_bytes_that_no_metadata_describes_are_refused(here: Site) -> None:
    name, data = here.make("a")
    here.storage.upload([Upload(data, here.place / here.path_of(name))])
    with pytest.raises(ConflictError, match="give the new file another name or version"):
        here.publish(here.make("a", content="other"))


def test_same_version_under_another_name_is_refused(here: Site) -> None:
    here.publish(here.make("a"))
    _, data = here.make("a", content="other")
    with pytest.raises(ConflictError, match=r"are both a 1\.0-1 for (amd64|x86_64)"):
        here.publish((f"renamed.{here.kind}", data))


def test_listed_package_that_is_gone_is_named(site: Site) -> None:
    site.publish(site.make("a"), site.make("b"))
    gone = site.path_of(site.make("a")[0])
    site.storage.delete(site.place / gone)
    with pytest.raises(NotFoundError, match=rf"lists {gone}, which is gone; put it back, or unl"):
        site.publish(site.make("c"))
    assert listed(unlist(site, "a", "1.0-1")) == {"b 1.0-1", "c 1.0-1"}


def test_package_of_another_size_than_listed_is_named(here: Site) -> None:
    name, data = here.make("a")
    here.publish((name, data))
    replace(here, here.path_of(name), data + b"x")
    with pytest.raises(IntegrityError, match=rf"{name} has \d+ bytes and {len(data)} by the meta"):
        here.publish(here.make("b"))


@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_damaged_metadata_file_is_named(here: Site, damage: str) -> None:
    here.publish(here.make("a"))
    for path in here.contents():
        if "Packages" in path or "by-hash" in path or path.endswith(".xml.gz"):
            if damage == "gone":
                here.storage.delete(here.place / path)
            else:
                replace(here, path, b"other")
    error = IntegrityError if damage == "other bytes" else NotFoundError
    with pytest.raises(error, match=r"(is not what .* says of it|is not in the staging)"):
        here.publish(here.make("b"))


@pytest.mark.parametrize("data", [b"", b"\xff\n", b"<html>\n", b"Origin: x\nDate: never\n"])
def test_pointer_that_is_none_is_named(here: Site, data: bytes) -> None:
    here.publish(here.make("a"))
    replace(here, here.pointer.relative_to(here.place), data)
    with pytest.raises(IntegrityError, match=r"(Release|repomd\.xml) .*delete it|no field"):
        here.publish(here.make("b"))


@pytest.mark.parametrize("cut", [0, 7, 68, 140, 300])
def test_file_that_is_no_whole_package_is_refused_before_anything_is_written(
    here: Site, cut: int
) -> None:
    name, data = here.make("b")
    with pytest.raises(IntegrityError, match=rf"{name} is no whole (Debian package|rpm)"):
        here.publish(here.make("a"), (name, data[:cut]))
    assert here.contents() == {}


def test_package_file_that_is_not_there_is_named(here: Site, tmp_path: Path) -> None:
    missing = RepositoryPackage(tmp_path / "gone.deb")
    with pytest.raises(NotFoundError, match=r"gone\.deb"):
        publish_packages(
            here.storage, here.place, [missing], kind=here.kind, settings=SETTINGS, mtime=MTIME
        )


def test_label_that_changes_is_refused(here: Site) -> None:
    here.publish(here.make("a"))
    other = RepositorySettings.of_release_type("nightly")
    if here.kind is RPM:  # which has no such words
        assert len(here.publish(here.make("b"), settings=other).packages) == 2
        return
    with pytest.raises(ConflictError, match=r"Label 'ROCm dev Packages' and would get 'ROCm nig"):
        here.publish(here.make("b"), settings=other)


def test_metadata_that_would_be_lost_is_refused(here: Site) -> None:
    here.publish(here.make("a"))
    text = here.storage.read(here.pointer).decode()
    if here.kind is DEB:
        text = text.replace("Components: main", "Components: main extra")
    else:
        text = text.replace('type="other"', 'type="updateinfo"')
    replace(here, here.pointer.relative_to(here.place), text.encode())
    with pytest.raises(ConflictError, match=r"would be (kept|lost)"):
        here.publish(here.make("b"))


def test_unsigned_publication_into_a_signed_repository_is_refused(
    site: Site, signer: Signer
) -> None:
    site.publish(site.make("a"), signer=signer)
    before = site.contents()
    with pytest.raises(ConflictError, match=r"is signed, and its users would refuse .*--sign-key"):
        site.publish(site.make("b"))
    assert site.contents() == before


def test_another_key_than_the_repository_has_is_refused(here: Site, signers: list[Signer]) -> None:
    here.publish(here.make("a"), signer=signers[0])
    with pytest.raises(ConflictError, match=f"signed with key {signers[0].fingerprint}, .*or rem"):
        here.publish(here.make("b"), signer=signers[1])
    here.storage.delete(here.place / PUBLIC_KEY)
    assert len(here.publish(here.make("b"), signer=signers[1]).packages) == 2


def test_public_key_that_is_none_is_named(here: Site, signer: Signer) -> None:
    here.publish(here.make("a"), signer=signer)
    replace(here, PUBLIC_KEY, b"no key")
    with pytest.raises(IntegrityError, match=rf"{PUBLIC_KEY} (is no|holds no) public key"):
        here.publish(here.make("b"), signer=signer)


# --------------------------------------------------------------------------- signatures


def test_signed_repository_keeps_its_signature_while_nothing_changes(
    site: Site, signer: Signer
) -> None:
    done = site.publish(site.make("a"), signer=signer)
    assert done.public_key == site.place / PUBLIC_KEY
    before = site.contents()
    assert before[SIGNED[site.kind]]
    site.publish(site.make("a"), signer=signer, mtime=MTIME + 1000)
    assert site.contents() == before


def test_unsigned_repository_becomes_signed(here: Site, signer: Signer) -> None:
    here.publish(here.make("a"))
    here.publish(here.make("a"), signer=signer)
    assert SIGNED[here.kind] in here.contents()


# ------------------------------------------------------------------------------ merging


def test_merge_lists_both_and_reads_no_package(here: Site) -> None:
    run, target = here, here.elsewhere("release")
    run.publish(run.make("a", "2.0"), run.make("b"))
    target.publish(target.make("a", "1.0"))
    assert here.at.staging_dir is not None
    storage = CountingStorage(here.at.staging_dir)
    done = merge(run, target, storage=storage)
    assert listed(done) == {"a 1.0-1", "a 2.0-1", "b 1.0-1"}
    assert not [path for path, _ in storage.asked if path.endswith((".deb", ".rpm"))]
    name, data = run.make("a", "2.0")
    assert target.contents()[target.path_of(name)] == data


def test_merge_into_nothing_gives_the_source(site: Site) -> None:
    site.publish(site.make("a"), site.make("b"))
    target = site.elsewhere("release")
    merge(site, target)
    assert target.contents() == site.contents()
    assert merge(site, target).added == ()


def test_merge_takes_what_is_selected(here: Site) -> None:
    here.publish(here.make("a"), here.make("b"))
    done = merge_repository(
        here.storage,
        here.place,
        here.elsewhere("release").place,
        kind=here.kind,
        settings=SETTINGS,
        mtime=MTIME,
        select=lambda entry: entry.name == "b",
    )
    assert listed(done) == {"b 1.0-1"}


def test_merge_of_other_bytes_changes_nothing(site: Site) -> None:
    target = site.elsewhere("release")
    target.publish(target.make("a", content="other"))
    site.publish(site.make("a"), site.make("b"))
    before = target.contents()
    with pytest.raises(ConflictError, match="is published with SHA-256"):
        merge(site, target)
    assert target.contents() == before


def test_merge_from_a_place_without_metadata_is_an_error(here: Site) -> None:
    with pytest.raises(NotFoundError, match=r"(Release|repomd\.xml) is not there; publish"):
        merge(here, here.elsewhere("release"))


def test_merge_of_a_source_whose_package_is_gone_changes_nothing(here: Site) -> None:
    here.publish(here.make("a"), here.make("b"))
    here.storage.delete(here.place / here.path_of(here.make("a")[0]))
    target = here.elsewhere("release")
    with pytest.raises(NotFoundError, match="which is gone"):
        merge(here, target)
    assert target.contents() == {}


def test_merged_repository_is_signed_with_the_key_of_the_target(
    here: Site, signers: list[Signer]
) -> None:
    here.publish(here.make("a"), signer=signers[0])
    target = here.elsewhere("release")
    merge(here, target, signer=signers[1])
    assert target.contents()[PUBLIC_KEY] == signers[1].public_key


def test_dry_run_of_a_merge_writes_nothing(here: Site) -> None:
    here.publish(here.make("a"))
    target = here.elsewhere("release")
    done = merge(here, target, storage=DryRunStorage(here.storage))
    assert listed(done) == {"a 1.0-1"}
    assert target.contents() == {}


def test_entry_that_leads_out_of_the_repository_is_refused(here: Site) -> None:
    """A hostile source: whatever its metadata says, only its own packages are copied."""
    here.publish(here.make("a"))
    name = here.path_of(here.make("a")[0])
    hostile = here.elsewhere("hostile")
    for path, data in here.contents().items():
        replace(hostile, path, data)
    rewrite(hostile, name, "../../../../etc/passwd")
    with pytest.raises(NotFoundError, match=r"lists \.\./\.\./\.\./\.\./etc/passwd, which is gone"):
        merge(hostile, here.elsewhere("release"))


def rewrite(site: Site, old: str, new: str) -> None:
    """Change a word of the metadata and have its pointer vouch for it."""
    form = apt_format if site.kind is DEB else rpm_format
    entries = read_repository(site.storage, site.place, site.kind)
    changed = [
        type(entry)(
            entry.path, entry.name, entry.version, entry.architecture, entry.size, entry.sha256,
            tuple(part.replace(old.encode(), new.encode()) for part in entry.record),
        )
        for entry in entries
    ]  # fmt: skip
    files = form.render_files(changed)
    for file, data in files.items():
        replace(site, file.path, data)
    pointer = form.render_pointer(list(files), SETTINGS, MTIME)
    replace(site, site.pointer.relative_to(site.place), pointer)


# ----------------------------------------------------------------------------- unlisting


def test_unlisted_package_stays_out_and_its_file_stays(site: Site) -> None:
    site.publish(site.make("a"), site.make("a", "2.0"), site.make("b"))
    done = unlist(site, "a", "2.0-1")
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}
    name, data = site.make("a", "2.0")
    assert site.contents()[site.path_of(name)] == data
    again = site.publish((name, data), site.make("c"))
    assert listed(again) == {"a 1.0-1", "b 1.0-1", "c 1.0-1"}
    assert again.left_out == (site.path_of(name),)


def test_merge_leaves_out_what_the_target_has_unlisted(here: Site) -> None:
    target = here.elsewhere("release")
    here.publish(here.make("a"), here.make("b"))
    merge(here, target)
    unlist(target, "a", "1.0-1")
    done = merge(here, target)
    assert listed(done) == {"b 1.0-1"}
    assert done.left_out == (here.path_of(here.make("a")[0]),)


def test_unlisted_packages_can_be_listed_again(here: Site) -> None:
    here.publish(here.make("a"), here.make("b"), here.make("c"))
    paths = [here.path_of(here.make(name)[0]) for name in ("a", "b")]
    words = Words(kind=here.kind, settings=SETTINGS, mtime=MTIME)
    for _ in range(2):  # a repetition, as after a kill, ends the same
        done = unlist_packages(here.storage, here.place, paths, **words)
        assert listed(done) == {"c 1.0-1"}
    dry = relist_packages(DryRunStorage(here.storage), here.place, paths, **words)
    assert listed(dry) == {"a 1.0-1", "b 1.0-1", "c 1.0-1"}
    assert listed(relist_package(here.storage, here.place, paths[0], **words)) == {
        "a 1.0-1",
        "c 1.0-1",
    }
    for _ in range(2):
        done = relist_packages(here.storage, here.place, paths, **words)
        assert listed(done) == {"a 1.0-1", "b 1.0-1", "c 1.0-1"}
    with pytest.raises(NotFoundError, match=r"has no package 'gone\.rpm'; check its path"):
        relist_packages(here.storage, here.place, [*paths, "gone.rpm"], **words)
    with pytest.raises(NotFoundError, match=r"has no package 'gone\.rpm'; check its path"):
        unlist_packages(here.storage, here.place, [*paths, "gone.rpm"], **words)


def test_relisting_goes_on_where_a_killed_one_stopped(here: Site) -> None:
    here.publish(here.make("a"), here.make("b"))
    unlist(here, "a", "1.0-1")
    here.storage.update(here.place / "unlisted.txt", lambda _: b"")
    path = here.path_of(here.make("a")[0])
    done = relist_package(
        here.storage, here.place, path, kind=here.kind, settings=SETTINGS, mtime=MTIME
    )
    assert listed(done) == {"a 1.0-1", "b 1.0-1"}


class Words(TypedDict):
    kind: PackageFormat
    settings: RepositorySettings
    mtime: int


def test_dry_run_of_unlisting_writes_nothing(here: Site) -> None:
    here.publish(here.make("a"), here.make("b"))
    before = here.contents()
    done = unlist_package(
        DryRunStorage(here.storage),
        here.place,
        "a",
        "1.0-1",
        kind=here.kind,
        settings=SETTINGS,
        mtime=MTIME,
    )
    assert listed(done) == {"b 1.0-1"}
    assert here.contents() == before


@pytest.mark.parametrize(("name", "version"), [("a", "9"), ("z", "1.0-1")])
def test_unlisting_what_is_not_listed_is_an_error(here: Site, name: str, version: str) -> None:
    here.publish(here.make("a"))
    with pytest.raises(NotFoundError, match=f"lists no {name} of version {version}; check"):
        unlist(here, name, version)


# ------------------------------------------------------------- what packages say of themselves


def test_deb_whose_control_file_names_what_only_an_index_has_is_refused(here: Site) -> None:
    if here.kind is RPM:
        name, data = rpm("a", epoch=2)
        done = here.publish((name, data))
        assert done.packages[0].version == "2:1.0-1"
        return
    with pytest.raises(IntegrityError, match="has a control file with Filename, which only an"):
        here.publish(deb("a", extra="Filename: elsewhere\n"))


def test_packages_file_has_the_fields_of_the_control_file(here: Site) -> None:
    name, data = here.make("a", needs="b")
    here.publish((name, data))
    contents = here.contents()
    if here.kind is DEB:
        text = contents["dists/stable/main/binary-amd64/Packages"].decode()
        assert "Depends: b\n" in text
        assert "Description: test package a\n Of two paragraphs.\n .\n This is the se" in text
        assert f"Filename: pool/main/{name}\nSize: {len(data)}\nSHA256: " in text
        return
    (primary,) = (d for n, d in contents.items() if n.endswith("-primary.xml.gz"))
    text = gzip.decompress(primary).decode()
    assert '<rpm:entry name="b"/>' in text
    assert f'<size package="{len(data)}"' in text
