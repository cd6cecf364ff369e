"""What is put where, whose run is written, and what CI is told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.release.conftest import RUN_ID
from tests.running import Done, finish, invoke, start, tree
from therock_outputs.artifacts.sample_run import write_sample_run

RUN = f"{RUN_ID}-linux"
MANIFEST = "manifests/therock_manifest.json"


class _Place:
    """A staging directory and a work directory of one test."""

    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self.capsys = capsys
        self.directory = directory
        self.staging = directory / "staging"
        self.run = self.staging / RUN

    def __call__(self, task: str, *words: object) -> Done:
        where = ("--staging-dir", self.staging, "--work-dir", self.directory / "work")
        return invoke(self.capsys, task, "--run-id", RUN_ID, *where, *words)

    def done(self, task: str, *words: object) -> Done:
        done = self(task, *words)
        assert done.code == 0, done.err
        return done

    def files(self, **contents: str) -> Path:
        """A directory with a file ``build.log`` of this content below each name."""
        top = self.directory / "-".join(contents)
        for name, content in contents.items():
            (top / name).mkdir(parents=True)
            (top / name / "build.log").write_text(content)
        return top

    def published(self) -> set[str]:
        return {
            path.relative_to(self.run).as_posix() for path in self.run.rglob("*") if path.is_file()
        }


@pytest.fixture
def place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> _Place:
    return _Place(capsys, tmp_path)


@pytest.fixture
def staged(place: _Place, sample_staging: Path) -> _Place:
    shutil.copytree(sample_staging, place.staging)
    return place


def test_logs_alone_are_uploaded_with_their_pages(place: _Place) -> None:
    done = place.done("upload", "--logs-dir", place.files(blas="a", fft="b"))
    assert place.published() == {
        *("logs/blas/build.log", "logs/fft/build.log", "logs/index.html", "index.html")
    }
    assert f"Outputs: {place.run}" in done.out
    assert "tarball" not in done.out


def test_logs_and_manifests_of_a_later_attempt_replace_the_earlier_ones(place: _Place) -> None:
    place.done("upload", "--logs-dir", place.files(blas="first"))
    shutil.rmtree(place.directory / "blas")
    place.done("upload", "--logs-dir", place.files(blas="second"))
    assert (place.run / "logs/blas/build.log").read_text() == "second"


def test_nothing_to_upload_is_an_error_that_says_what_could_be(place: _Place) -> None:
    for dry in ((), ("--dry-run",)):
        done = place("upload", *dry)
        assert done.code == 1
        assert (
            "run build-tarballs, build-python-packages or build-native-packages first"
            in done.err.splitlines()[-1]
        )
        assert "--logs-dir" in done.err
    assert not place.staging.exists()


def test_directory_that_is_not_there_is_named(place: _Place) -> None:
    done = place("upload", "--logs-dir", place.directory / "nowhere")
    assert done.code == 1
    assert str(place.directory / "nowhere") in done.err.splitlines()[-1]


def test_archives_at_hand_are_uploaded_with_their_digests_and_manifest(
    place: _Place, sample_staging: Path
) -> None:
    plan = place.done("upload", "--artifacts-dir", sample_staging / RUN, "--dry-run")
    assert not place.staging.exists()
    assert re.search(rf"{RUN}/ +128 +3\.\d MB +0\n", plan.out)
    place.done("upload", "--artifacts-dir", sample_staging / RUN)
    given = {path.name for path in (sample_staging / RUN).iterdir() if path.is_file()}
    pages = {"index.html", "index-gfx1100.html", "index-gfx942.html", "manifests/index.html"}
    assert place.published() == given | pages | {MANIFEST}
    original = (sample_staging / RUN / MANIFEST).read_bytes()
    assert (place.run / MANIFEST).read_bytes() == original
    page = (place.run / "index-gfx942.html").read_text()
    assert "blas_lib_gfx942.tar.zst" in page
    assert "blas_lib_gfx1100.tar.zst" not in page
    digest = (place.run / "blas_lib_gfx942.tar.zst.sha256sum").read_text().split()[0]
    assert digest in page


def test_damaged_archive_at_hand_is_not_published(place: _Place, sample_staging: Path) -> None:
    given = place.directory / "given"
    shutil.copytree(sample_staging / RUN, given)
    archive = given / "blas_lib_gfx942.tar.zst"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    done = place("upload", "--artifacts-dir", given)
    assert done.code == 1
    assert archive.name in done.err.splitlines()[-1]
    assert not (place.run / archive.name).exists()


def test_manifests_directory_is_uploaded_and_completed(staged: _Place) -> None:
    (staged.run / MANIFEST).unlink()
    (staged.run / "manifests").rmdir()
    staged.done("release", "--manifests-dir", staged.files(group="{}"))
    assert {"manifests/group/build.log", MANIFEST} <= staged.published()
    own = staged.directory / "own"
    own.mkdir()
    (own / "therock_manifest.json").write_text('{"rocm_version": "1"}')
    staged.done("upload", "--manifests-dir", own)
    assert (staged.run / MANIFEST).read_text() == '{"rocm_version": "1"}'


def test_listing_pages_can_be_left_out(staged: _Place) -> None:
    done = staged.done("release", "--no-listings")
    pages = {name for name in staged.published() if name.endswith(".html")}
    # What pip reads is no listing.
    assert pages
    assert all(name.startswith("python/simple/") for name in pages)
    assert "Index:" not in done.out


def test_pages_of_a_damaged_run_still_show_what_is_there(staged: _Place) -> None:
    (staged.run / "blas_lib_gfx942.tar.zst.sha256sum").write_text("?")
    (staged.run / "stray_lib_.tar.zst").write_text("?")
    one = staged.directory / "one"
    one.mkdir()
    shutil.copy(staged.run / "rand_lib_gfx942.tar.zst", one)
    staged.done("upload", "--artifacts-dir", one, "--allow-unverified")
    page = (staged.run / "index.html").read_text()
    assert "stray_lib_.tar.zst" in page
    assert "blas_lib_gfx942.tar.zst" in page


# ------------------------------------------------------------------ whose run is written


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_reading_one_run_never_writes_into_it(
    staged: _Place, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    before = tree(staged.run)
    words: tuple[str, ...] = ("--upload-run-id", "5000")
    if by == "environment":
        monkeypatch.setenv("GITHUB_RUN_ID", "5000")
        words = ()
    staged.done("release", *words)
    assert tree(staged.run) == before
    written = staged.staging / "5000-linux"
    assert (written / MANIFEST).read_bytes() == (staged.run / MANIFEST).read_bytes()
    names = {path.name for path in written.iterdir()}
    assert names == {"index.html", "logs", "manifests", "packages", "python", "tarballs"}
    assert "blas_lib" not in (written / "index.html").read_text()


def test_fork_pull_request_writes_to_the_external_bucket(
    staged: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = staged.directory / "event.json"
    repositories = {"head": "someone/TheRock", "base": "ROCm/TheRock"}
    sides = {side: {"repo": {"full_name": name}} for side, name in repositories.items()}
    event.write_text(json.dumps({"pull_request": sides}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_RUN_ID", "5000")
    done = staged.done("release", "-v")
    assert "written: s3://therock-ci-artifacts-external/ROCm-TheRock/5000-linux/" in done.err
    assert "read: s3://therock-ci-artifacts/4711-linux/" in done.err
    assert done.err.count("a fork's pull request gets no write role") == 1
    assert (staged.staging / "ROCm-TheRock/5000-linux/tarballs/SHA256SUMS").is_file()


def test_sample_run_is_found_again_where_other_repositories_have_theirs(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/else")
    for task in (("sample-run",), ("release", "--run-id", "sample", "--work-dir", "w")):
        words = (*task, "--staging-dir", place.staging)
        monkeypatch.chdir(place.directory)
        assert invoke(place.capsys, *words).code == 0
    assert [path.name for path in place.staging.iterdir()] == ["someone-else"]
    assert (place.staging / "someone-else/sample-linux/tarballs").is_dir()


@pytest.mark.parametrize("flag", ["--bucket", "--upload-bucket"])
def test_sample_run_is_not_sent_to_a_bucket(place: _Place, flag: str) -> None:
    words = ("release", "--run-id", "sample", flag, "mine", "--staging-dir", place.staging)
    done = invoke(place.capsys, *words)
    assert done.code == 2
    assert "never goes to a bucket" in done.err.splitlines()[-1]
    assert not place.staging.exists()


def test_reasons_are_said_once(staged: _Place) -> None:
    done = staged.done("release", "--only", "fetch", "-v")
    assert done.err.count("release type ci and a run of ROCm/TheRock") == 1
    assert done.err.count("is written by role therock-ci") == 1
    assert f"({staged.run})" in done.err.replace("/)", ")")


# ---------------------------------------------------------------------- kinds of runs


def test_run_by_family_has_a_tarball_for_each_family_and_none_of_all(place: _Place) -> None:
    sample = write_sample_run(
        place.staging, run_id=RUN_ID, split=False, targets=("gfx942", "gfx1100")
    )
    report = json.loads(place.done("release", "--json").out)
    assert report["kpack_split"] is False
    families = {tarball["name"].split("-linux-")[1] for tarball in report["tarballs"]}
    assert families == {f"{family}-7.13.0.dev0.tar.gz" for family in sample.families}
    assert {f"index-{family}.html" for family in sample.families} <= place.published()


def test_windows_run_is_released_on_linux(place: _Place, sample_staging: Path) -> None:
    shutil.copytree(sample_staging / RUN, place.staging / f"{RUN_ID}-windows")
    report = json.loads(place.done("release", "--platform", "windows", "--json").out)
    assert all("-windows-" in tarball["name"] for tarball in report["tarballs"])
    assert not place.run.exists()
    assert (place.staging / f"{RUN_ID}-windows/tarballs/SHA256SUMS").is_file()


# --------------------------------------------------------------------------- what CI gets


def test_step_outputs_and_summary(staged: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, summary = staged.directory / "outputs", staged.directory / "summary"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = staged.done("release")
    assert done.err.count("::group::") == done.err.count("::endgroup::") == 5
    values = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    assert values["kpack_split"] == "true"
    assert values["package_index_url"] == str(staged.run / "python/simple")
    assert values["package_find_links_url"] == str(staged.run / "python/index.html")
    repository = (staged.run / "packages/deb").as_uri() + "/"
    assert values["package_repository_url"] == values["deb_repository_url"] == repository
    assert values["rpm_repository_url"] == (staged.run / "packages/rpm/x86_64").as_uri() + "/"
    urls = json.loads(values["tarball_urls"])
    assert len(urls) == 3
    assert all(Path(url).is_file() for url in urls)
    text = summary.read_text()
    assert f"## Outputs of run {RUN_ID}" in text
    assert "tar -xz -f" in text
    assert f"deb [arch=amd64 trusted=yes] {repository} stable main" in text
    assert f"baseurl={values['rpm_repository_url']}" in text
    for url in urls:
        assert Path(url).name.replace("_", r"\_") in text


def test_json_is_one_document_and_nothing_else(staged: _Place) -> None:
    report = json.loads(staged.done("release", "--json").out)
    assert report["run_id"] == RUN_ID
    assert report["uploaded"] is True
    assert report["index"] == str(staged.run / "index.html")
    assert [tarball["sha256"] for tarball in report["tarballs"]] == [
        line.split()[0] for line in (staged.run / "tarballs/SHA256SUMS").read_text().splitlines()
    ]
    failed = json.loads(staged("release", "--json", "--dist-amdgpu-families", "gfx1").out)
    assert failed["exit_code"] == 2


def test_upload_alone_knows_nothing_of_splitting_without_a_manifest(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = place.directory / "outputs"
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    place.done("upload", "--logs-dir", place.files(blas="a"))
    assert "kpack_split" not in (outputs.read_text() if outputs.exists() else "")


def test_concurrent_uploads_into_a_staging_directory_lose_nothing(place: _Place) -> None:
    names = ("blas", "fft", "rand", "prim")
    processes = [
        start(
            *("upload", "--run-id", RUN_ID, "--staging-dir", place.staging),
            *(
                "--work-dir",
                place.directory / f"work-{name}",
                "--logs-dir",
                place.files(**{name: name}),
            ),
        )
        for name in names
    ]
    for process in processes:
        done = finish(process)
        assert done.code == 0, done.err
    page = (place.run / "logs/index.html").read_text()
    assert all(f"{name}/" in page for name in names)
    assert not list(place.run.rglob(".*"))
