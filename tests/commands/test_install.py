"""``install``: a prefix of a run or a release, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import archive_makers as make
from tests.running import ROOT, Done, Killable, invoke, tree
from tests.servers import S3Server, rclone_server
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.artifacts.unpack import PREFIX_MARKER
from therock_outputs.commands.install import release_type_of
from therock_outputs.layout import ReleaseType


@pytest.fixture(scope="session")
def sample_staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staging directory with the run ``sample``; nobody may change it."""
    staging = tmp_path_factory.mktemp("staging")
    write_sample_run(staging)
    return staging


class _Install:
    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self.capsys = capsys
        self.prefix = directory / "rocm"
        self.work = directory / "work"
        self.staging: Path | None = None

    def __call__(self, *words: object) -> Done:
        where: tuple[object, ...] = ("--work-dir", self.work)
        if self.staging is not None:
            where = (*where, "--staging-dir", self.staging)
        return invoke(self.capsys, "install", self.prefix, *words, *where)

    def report(self, *words: object) -> Any:  # noqa: ANN401 - JSON
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)


@pytest.fixture
def install(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> _Install:
    return _Install(capsys, tmp_path)


@pytest.fixture
def of_run(install: _Install, sample_staging: Path) -> _Install:
    install.staging = sample_staging
    return install


_SAMPLE = ("--run-id", "sample")


# ------------------------------------------------------------------------------ from a run


def test_run_becomes_a_prefix(of_run: _Install) -> None:
    done = of_run(*_SAMPLE, "--amdgpu-targets", "gfx942")
    assert done.code == 0, done.err
    prefix = of_run.prefix
    assert f"ROCm 7.13.0.dev0 is in {prefix}: " in done.out
    assert f"Next: export PATH={prefix}/bin:$PATH" in done.out
    names = set(tree(prefix))
    assert {"bin", "lib", "include", "share", PREFIX_MARKER} <= names
    note = json.loads((prefix / PREFIX_MARKER).read_text())
    assert note["source"] == "s3://therock-ci-artifacts/sample-linux/"
    assert note["version"] == "7.13.0.dev0"
    assert "blas_lib_gfx942.tar.zst" in note["inputs"]
    assert "blas_lib_gfx1100.tar.zst" not in note["inputs"]


def test_documentation_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str],
    sample_staging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/staging").symlink_to(sample_staging)
    done = invoke(capsys, "install", "rocm", *_SAMPLE, "--staging-dir", "build/staging")
    assert done.code == 0, done.err
    lines = done.out.replace(str(tmp_path), "/home/me").splitlines()
    page = (ROOT / "docs/install.md").read_text()
    assert "".join(f"    {line}\n" for line in lines) in page


def test_components_and_tests_choose(of_run: _Install) -> None:
    def parts(*words: object) -> tuple[set[str], set[str]]:
        report = of_run.report(*_SAMPLE, "--dry-run", *words)
        assert report["files"] is None
        names = [str(one["name"]).split("_") for one in report["inputs"]]
        return {name[1] for name in names}, {name[0] for name in names}

    components, artifacts = parts()
    assert components == {"lib", "run", "dev", "doc"}
    assert "fftw3" not in artifacts
    components, artifacts = parts("--tests")
    assert components == {"lib", "run", "dev", "doc", "test"}
    assert "fftw3" in artifacts
    assert parts("--components", "lib,dbg")[0] == {"lib", "dbg"}
    assert parts("--components", "lib", "--tests")[0] == {"lib", "test"}
    assert not of_run.prefix.exists()
    assert of_run(*_SAMPLE, "--components", "bin").code == 2


def test_gpu_that_the_run_was_not_built_for_is_said(of_run: _Install) -> None:
    done = of_run(*_SAMPLE, "--amdgpu-targets", "gfx942,gfx90a", "--dry-run")
    assert done.code == 0
    assert "warning: the run has no archive for gfx90a" in done.err


def test_installation_is_replaced_as_a_whole(of_run: _Install) -> None:
    first = of_run.report(*_SAMPLE, "--components", "lib,dev")
    assert first["replaced"] is False
    (of_run.prefix / "lib/left").write_text("of the user")
    second = of_run.report(*_SAMPLE, "--components", "run")
    assert second["replaced"] is True
    assert not (of_run.prefix / "lib/left").exists()
    assert not (of_run.prefix / "include").exists()
    assert [path.name for path in of_run.prefix.parent.iterdir()] == ["rocm"]
    plan = of_run(*_SAMPLE, "--dry-run")
    assert "would replace what is in" in plan.out


def test_other_directories_are_refused(of_run: _Install, tmp_path: Path) -> None:
    of_run.prefix.mkdir()
    (of_run.prefix / "work").write_text("mine")
    done = of_run(*_SAMPLE)
    assert done.code == 2
    assert "is not empty and was not made by this task" in done.err
    assert tree(of_run.prefix).keys() == {"work"}
    (of_run.prefix / "work").unlink()
    assert of_run(*_SAMPLE, "--components", "dev").code == 0
    (tmp_path / "link").symlink_to("rocm")
    of_run.prefix = tmp_path / "link"
    assert "is a link" in of_run(*_SAMPLE).err
    of_run.prefix = tmp_path / "rocm" / PREFIX_MARKER
    assert "is not a directory" in of_run(*_SAMPLE).err
    of_run.prefix = tmp_path / "rocm" / PREFIX_MARKER / "below"
    assert of_run(*_SAMPLE).code == 1


def test_failure_leaves_the_old_installation(install: _Install, tmp_path: Path) -> None:
    install.staging = tmp_path / "staging"
    write_sample_run(install.staging)
    assert install(*_SAMPLE).code == 0
    before = tree(install.prefix)
    archive = install.staging / "sample-linux/blas_lib_gfx942.tar.zst"
    data = archive.read_bytes()
    archive.write_bytes(data[:-1] + b"?")
    done = install(*_SAMPLE)
    assert done.code == 1
    assert "its SHA-256 is" in done.err
    assert tree(install.prefix) == before
    archive.with_name(f"{archive.name}.sha256sum").unlink()
    assert install(*_SAMPLE).code == 1
    done = install(*_SAMPLE, "--allow-unverified")
    assert done.code == 1  # now it is the archive itself that breaks
    assert archive.name in done.err.splitlines()[-1]
    assert tree(install.prefix) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"rocm", "staging", "work"}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, sample_staging: Path
) -> tuple[int, dict[str, str]]:
    """How much is done to files by an installation in the place of another, and its result."""
    directory = tmp_path_factory.mktemp("undisturbed")
    for component in ("run", "dev"):
        events = _task(directory, sample_staging, component).run()
    return events, tree(directory / "rocm")


def _task(directory: Path, staging: Path, component: str) -> Killable:
    words = ("install", directory / "rocm", *_SAMPLE, "--jobs", 1, "--components", component)
    where = ("--staging-dir", staging, "--work-dir", directory / "work")
    report = directory / "events/report"
    return Killable(tuple(map(str, (*words, *where))), (directory,), report)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.85, 0.95, 0.995])
def test_killed_anywhere_the_old_or_the_new_installation_is_there(
    of_run: _Install, tmp_path: Path, share: float, undisturbed: tuple[int, dict[str, str]]
) -> None:
    events, new = undisturbed
    of_run.report(*_SAMPLE, "--components", "run")
    old = tree(of_run.prefix)
    assert of_run.staging is not None
    task = _task(tmp_path, of_run.staging, "dev")
    assert task.kill_at(int(events * share))
    assert tree(of_run.prefix) in (old, new)
    task.run()
    assert tree(of_run.prefix) == new
    assert {path.name for path in tmp_path.iterdir()} <= {"rocm", "events", "work"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "install what?"),
        (("--run-id", "sample", "--release", "7.13.0"), "contradict"),
        (("--release", "7.13.0", "--latest-release"), "contradict"),
        (("--latest", "--latest-release"), "contradict"),
        (("--release", "seven"), "no version"),
        (("--release", "7.13.0", "--components", "lib"), "as a whole"),
        (("--latest-release", "--layout", "product"), "not promoted in the product layout"),
        (("--latest-release", "--layout", "x"), "--layout"),
    ],
)
def test_what_means_nothing_is_a_usage_error(
    of_run: _Install, words: tuple[str, ...], said: str
) -> None:
    done = of_run(*words)
    assert done.code == 2, done.err
    assert said in done.err


def test_place_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    done = invoke(capsys, "install", "--run-id", "sample")
    assert done.code == 2
    assert "where to?" in done.err


# -------------------------------------------------------------------------- from a release


def _tarball(text: str) -> bytes:
    members = [make.directory("bin"), make.file("bin/tool", text.encode(), mode=0o755)]
    return gzip.compress(b"".join(members) + make.END, mtime=0)


class _Place:
    """A distribution place in a staging directory."""

    def __init__(self, staging: Path, bucket: str = "therock-release-tarball") -> None:
        self.directory = staging / bucket / "v4/tarball"
        self.directory.mkdir(parents=True)
        self.entries: list[dict[str, object]] = []

    def add(self, version: str, family: str, *, tests: bool = False, **more: object) -> Path:
        """A tarball; its content says what it is."""
        mark = "-tests" if tests else ""
        path = self.directory / f"therock-dist-linux-{family}{mark}-{version}.tar.gz"
        data = _tarball(f"{version} {family}{mark}")
        path.write_bytes(data)
        self.entries.insert(
            0,
            {
                "kind": "tests-tarball" if tests else "tarball",
                "name": path.name,
                "project": "therock-dist",
                "target": family,
                "platform": "linux",
                "version": version,
                "date": "20261128",
                "run_id": "4711",
                "path": path.name,
                "url": path.name,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                **more,
            },
        )
        return path

    def write_index(self, **more: object) -> None:
        document = {"format": 1, "files": self.entries, **more}
        (self.directory / "index.json").write_text(json.dumps(document))

    def write_sums(self) -> None:
        lines = [f"{entry['sha256']}  {entry['name']}\n" for entry in self.entries]
        (self.directory / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture(params=["index", "sums", "digest files"])
def releases(install: _Install, tmp_path: Path, request: pytest.FixtureRequest) -> _Install:
    """Three releases, of which the last has one family; told in each of three ways."""
    install.staging = tmp_path / "staging"
    place = _Place(install.staging)
    for version in ("7.9.0", "7.10.0"):
        for family in ("gfx110X-all", "gfx94X-dcgpu", "multiarch"):
            place.add(version, family)
        place.add(version, "gfx94X-dcgpu", tests=True)
        place.add(version, "gfx110X-all", tests=True)
    place.add("7.11.0", "gfx110X-all")
    place.entries.insert(0, {**place.entries[0], "kind": "wheel", "name": "of no interest"})
    if request.param == "index":
        place.write_index()
        return install
    place.entries.pop(0)
    if request.param == "sums":
        place.write_sums()
    else:
        for entry in place.entries:
            text = f"{entry['sha256']}  {entry['name']}\n"
            (place.directory / f"{entry['name']}.sha256sum").write_text(text)
    (place.directory / "index.html").write_text("a page")
    (place.directory / "therock-dist-linux-x-not.a+version!.tar.gz").write_text("x")
    return install


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--release", "7.9.0"), "7.9.0 multiarch"),
        (("--release", "7.10"), "7.10.0 multiarch"),
        (("--release", "7.10.0", "--amdgpu-families", "gfx94X-dcgpu"), "7.10.0 gfx94X-dcgpu"),
        (("--release", "7.10.0", "--artifact-group", "gfx110X-all"), "7.10.0 gfx110X-all"),
        (("--release", "7.10.0", "--amdgpu-targets", "gfx942"), "7.10.0 gfx94X-dcgpu"),
        (("--release", "7.10.0", "--amdgpu-targets", "gfx942,gfx1100"), "7.10.0 multiarch"),
        (("--release", "7.10.0", "--amdgpu-targets", "gfx1201"), "7.10.0 multiarch"),
        (
            ("--release", "7.9.0", "--tests", "--amdgpu-targets", "gfx942"),
            "7.9.0 gfx94X-dcgpu-tests",
        ),
        (("--latest-release",), "7.11.0 gfx110X-all"),
        (("--latest-release", "--amdgpu-families", "gfx94X-dcgpu"), "7.10.0 gfx94X-dcgpu"),
    ],
)
def test_release_that_fits_is_installed(
    releases: _Install, words: tuple[str, ...], expected: str
) -> None:
    done = releases(*words)
    assert done.code == 0, done.err
    assert (releases.prefix / "bin/tool").read_text() == expected
    assert tree(releases.prefix)["bin/tool"].startswith("755 ")


def test_release_that_is_not_there_shows_what_is(releases: _Install) -> None:
    for words, said in (
        (("--release", "7.12.0"), "it has versions 7.11.0, 7.10.0, 7.9.0"),
        (("--release", "7.10.0", "--tests"), "for each of gfx"),
        (("--release", "7.11.0", "--amdgpu-families", "gfx94X-dcgpu"), "for gfx110X-all"),
        (
            ("--release", "7.11.0", "--platform", "windows"),
            "has no tarball for windows; promote one",
        ),
        (("--release", "7.11.0", "--tests"), "no tests tarball for linux of version 7.11.0"),
        (("--release", "7.13.0rc1"), "s3://therock-prerelease-tarball/v4/tarball/ has no"),
        (("--latest-release", "--release-type", "nightly"), "s3://therock-nightly-tarball/"),
    ):
        done = releases(*words)
        assert done.code == 1, words
        assert said in done.err
    assert not releases.prefix.exists()


def test_tarball_with_another_digest_is_refused(releases: _Install, tmp_path: Path) -> None:
    words = ("--release", "7.11.0")
    assert releases(*words).code == 0
    before = tree(releases.prefix)
    [path] = tmp_path.glob("staging/*/v4/tarball/*7.11.0.tar.gz")
    path.write_bytes(_tarball("something else"))
    done = releases(*words)
    assert done.code == 1
    assert "as published" in done.err
    assert tree(releases.prefix) == before


def test_tarball_without_a_digest_is_refused_unless_allowed(
    install: _Install, tmp_path: Path
) -> None:
    install.staging = tmp_path / "staging"
    place = _Place(install.staging)
    path = place.add("7.11.0", "gfx110X-all")
    place.write_sums()
    other = place.add("7.12.0", "gfx110X-all")
    done = install("--latest-release")
    assert done.code == 1
    assert f"{other.name}: has no digest" in done.err
    done = install("--latest-release", "--allow-unverified")
    assert done.code == 0, done.err
    assert "cannot be verified" in done.err
    (place.directory / "SHA256SUMS").unlink()
    beside = path.with_name(f"{path.name}.sha256sum")
    for text in ("", "no digest", f"{'0' * 64}  other.tar.gz", "0" * 63):
        beside.write_text(text)
        done = install("--release", "7.11.0")
        assert done.code == 1
        assert "does not hold the 64 hex digits" in done.err
    beside.write_text(hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert install("--release", "7.11.0").code == 0


def test_yanked_release_is_installed_only_by_its_name(install: _Install, tmp_path: Path) -> None:
    install.staging = tmp_path / "staging"
    place = _Place(install.staging)
    place.add("7.10.0", "gfx110X-all")
    place.add("7.11.0", "gfx110X-all", yanked="it hangs")
    place.write_index()
    assert install.report("--latest-release")["version"] == "7.10.0"
    done = install("--release", "7.11.0")
    assert done.code == 0
    assert "is yanked: it hangs" in done.err
    place.entries.pop()
    place.write_index()
    assert "that is not yanked" in install("--latest-release").err


def test_dry_run_tells_and_does_nothing(releases: _Install) -> None:
    report = releases.report("--latest-release", "--dry-run")
    assert report["inputs"][0]["name"] == "therock-dist-linux-gfx110X-all-7.11.0.tar.gz"
    assert len(report["inputs"][0]["sha256"]) == 64
    assert not releases.prefix.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "../x"}, "path '../x'"),
        ({"path": "/x"}, "path '/x'"),
        ({"path": None}, "path 'None'"),
        ({"path": "a/"}, "path 'a/'"),
        ({"target": 5}, "target 5"),
        ({"platform": 5}, "platform '5'"),
        ({"size": "5"}, "size"),
        ({"size": -1}, "size"),
        ({"sha256": "0"}, "sha256"),
        ({"version": "no version"}, "version 'no version'"),
    ],
)
def test_entry_that_cannot_be_is_refused(
    install: _Install, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    install.staging = tmp_path / "staging"
    place = _Place(install.staging)
    place.add("7.11.0", "gfx110X-all")
    place.entries[0].update(change)
    place.write_index()
    done = install("--latest-release")
    assert done.code == 1
    assert said in done.err
    assert not install.prefix.exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"format": 2, "files": []}', '{"format": 1, "files": [7]}',
             '{"format": 1, "files": [{"kind": "tarball"}]}', "[" * 100_000]
)  # fmt: skip
def test_index_of_another_form_is_refused(install: _Install, tmp_path: Path, text: str) -> None:
    install.staging = tmp_path / "staging"
    place = _Place(install.staging)
    (place.directory / "index.json").write_text(text)
    done = install("--latest-release")
    assert done.code == 1
    assert "index.json" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("7.13.0", ReleaseType.RELEASE),
        ("7.13.0rc2", ReleaseType.PRERELEASE),
        ("7.13.0a20251124", ReleaseType.NIGHTLY),
        ("7.13.0a20251120+bkc.20251124", ReleaseType.NIGHTLY_BKC),
        ("7.13.0.dev0+f689a8ea", ReleaseType.DEV),
    ],
)
def test_version_tells_where_it_was_promoted_to(version: str, kind: ReleaseType) -> None:
    assert release_type_of(version) is kind


# ---------------------------------------------------------------------------------- on S3


@pytest.fixture(scope="module")
def rclone(
    tmp_path_factory: pytest.TempPathFactory, sample_staging: Path
) -> Iterator[tuple[S3Server, Path]]:
    buckets = tmp_path_factory.mktemp("buckets")
    shutil.copytree(sample_staging, buckets / "therock-ci-artifacts")
    place = _Place(buckets)
    place.add("7.11.0", "multiarch")
    place.write_index()
    with rclone_server(buckets) as server:
        yield server, buckets


def test_run_and_release_are_installed_from_s3(
    install: _Install, rclone: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rclone[0].use(monkeypatch)
    report = install.report("--latest-release")
    assert (install.prefix / "bin/tool").read_text() == "7.11.0 multiarch"
    assert report["source"] == "s3://therock-release-tarball/v4/tarball/"
    fetched = install.work / "therock-dist-linux-multiarch-7.11.0.tar.gz"
    assert fetched.is_file()
    bucket = ("--bucket", "therock-release-tarball", "--release-type", "nightly")
    assert install.report("--latest-release", *bucket)["replaced"] is True
    report = install.report("--run-id", "sample", "--components", "dev")
    assert report["replaced"] is True
    assert (install.prefix / "include").is_dir()
    fetched.write_bytes(b"damaged")
    assert install("--latest-release").code == 0
    assert (install.prefix / "bin/tool").read_text() == "7.11.0 multiarch"
