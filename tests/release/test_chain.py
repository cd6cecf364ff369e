"""The chain on a staging directory: what is repeated, what is not, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.release.conftest import RUN_ID
from tests.running import Done, finish, invoke, start, tree
from therock_outputs.artifacts.sample_run import write_sample_run

FAMILY_TARBALL = "therock-dist-linux-gfx942-7.13.0.dev0.tar.gz"


class _Chain:
    """Releases of one run in one place."""

    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self.capsys = capsys
        self.staging = directory / "staging"
        self.work = directory / "work"
        self.out = directory / "out"
        self.run = self.staging / f"{RUN_ID}-linux"

    def __call__(self, *words: object, task: str = "release", run_id: str = RUN_ID) -> Done:
        where = ("--staging-dir", self.staging, "--work-dir", self.work, "--output-dir", self.out)
        return invoke(self.capsys, task, "--run-id", run_id, *where, *words)

    def done(self, *words: object, task: str = "release") -> Done:
        done = self(*words, task=task)
        assert done.code == 0, done.err
        return done

    def tree(self) -> list[dict[str, str]]:
        return [tree(self.staging), tree(self.work), tree(self.out)]


@pytest.fixture
def chain(capsys: pytest.CaptureFixture[str], tmp_path: Path, sample_staging: Path) -> _Chain:
    chain = _Chain(capsys, tmp_path)
    shutil.copytree(sample_staging, chain.staging)
    return chain


NOTHING_TO_DO = "3 tarballs are there and whole; nothing to do"


def test_second_release_repeats_nothing(chain: _Chain) -> None:
    first = chain.done()
    assert NOTHING_TO_DO not in first.out
    before = chain.tree()
    made = (chain.out / "tarballs" / FAMILY_TARBALL).stat().st_mtime_ns
    assert NOTHING_TO_DO in chain.done().out
    assert chain.tree() == before
    assert (chain.out / "tarballs" / FAMILY_TARBALL).stat().st_mtime_ns == made


def test_damaged_and_missing_outputs_are_made_again(chain: _Chain) -> None:
    chain.done()
    before = chain.tree()
    tarball = chain.out / "tarballs" / FAMILY_TARBALL
    tarball.write_bytes(tarball.read_bytes()[:-1] + b"x")
    assert NOTHING_TO_DO not in chain.done().out
    assert chain.tree() == before
    tarball.unlink()
    assert NOTHING_TO_DO not in chain.done().out
    assert chain.tree() == before
    (chain.out / "tarballs/SHA256SUMS").unlink()
    assert NOTHING_TO_DO not in chain.done().out
    assert chain.tree() == before


@pytest.mark.parametrize(
    "setting",
    [
        ("--package-version", "7.14.0"),
        ("--tarball-format", "zst"),
        ("--compression-level", "1"),
        ("--include-test-tarballs",),
        ("--dist-amdgpu-families", "gfx942"),
        ("--on-conflict", "first"),
    ],
)
def test_changed_setting_repeats_the_step(chain: _Chain, setting: tuple[str, ...]) -> None:
    chain.done("--only", "fetch,tarballs")
    assert "nothing to do" not in chain.done("--only", "fetch,tarballs", *setting).out
    assert "nothing to do" in chain.done("--only", "fetch,tarballs", *setting).out


def test_other_output_directory_gets_its_own_tarballs(chain: _Chain, tmp_path: Path) -> None:
    chain.done()
    chain.out = tmp_path / "elsewhere"
    assert NOTHING_TO_DO not in chain.done().out
    assert (chain.out / "tarballs" / FAMILY_TARBALL).is_file()


def test_changed_input_repeats_the_step(chain: _Chain, tmp_path: Path) -> None:
    chain.done("--skip", "upload")
    write_sample_run(tmp_path / "other", run_id=RUN_ID, version="7.13.0.dev1")
    name = "base_lib_generic.tar.zst"
    for filename in (name, f"{name}.sha256sum"):
        shutil.copy(tmp_path / "other" / f"{RUN_ID}-linux" / filename, chain.run / filename)
    done = chain.done("--skip", "upload")
    assert "nothing to do" not in done.out


def test_unreadable_state_repeats_every_step_with_a_warning(chain: _Chain) -> None:
    chain.done()
    before = chain.tree()
    state = chain.work / "release-state.json"
    good = json.loads(state.read_text())
    good["steps"]["tarballs"]["outputs"] = [{"path": 3}]
    for text in ("{", "[]", '{"version": 2, "run": "x", "steps": {"tarballs": 1}}',
                 json.dumps(good)):  # fmt: skip
        state.write_text(text)
        done = chain.done()
        assert "unreadable, so every step is repeated" in done.err
        assert NOTHING_TO_DO not in done.out
        assert chain.tree() == before
    state.write_text('{"version": 1}')  # of an older program: not an error of anybody's
    assert "unreadable" not in chain.done().err


def test_archive_with_a_wrong_digest_stops_the_chain_before_anything_is_made(
    chain: _Chain,
) -> None:
    archive = chain.run / "blas_lib_gfx942.tar.zst"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    done = chain()
    assert done.code == 1
    assert "blas_lib_gfx942.tar.zst" in done.err.splitlines()[-1]
    assert not chain.out.exists()
    assert not (chain.run / "tarballs").exists()


def test_steps_are_chosen_by_name(chain: _Chain) -> None:
    chain.done("--only", "fetch")
    assert not chain.out.exists()
    chain.done("--from", "tarballs", "--skip", "upload")
    assert not (chain.run / "tarballs").exists()
    chain.done("--only", "upload")
    assert (chain.run / "tarballs" / FAMILY_TARBALL).is_file()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--only", "wheels"), "'wheels' is no step of a release; they are fetch, tarballs, py"),
        (("--skip", "x"), "'x' is no step"),
        (("--from", "x"), "'x' is no step"),
        (("--from", "upload", "--skip", "upload"), "leave no step"),
        (("--package-version", "7 / 8"), "cannot stand in a file name"),
        (("--compression-level", "13"), "--compression-level"),
        (("--dist-amdgpu-families", "gfx9999"), "gfx9999"),
    ],
)
def test_meaningless_choices_are_usage_errors(
    chain: _Chain, flags: tuple[str, ...], said: str
) -> None:
    done = chain(*flags)
    assert done.code == 2
    assert said in done.err.splitlines()[-1]
    assert not chain.out.exists()


def test_step_without_what_it_needs_says_what_to_do_first(chain: _Chain) -> None:
    done = chain("--only", "upload")
    assert done.code == 1
    assert (
        "run build-tarballs, build-python-packages or build-native-packages first"
        in done.err.splitlines()[-1]
    )
    shutil.rmtree(chain.staging)
    done = invoke(chain.capsys, "release", "--run-id", "nosuchrun", "--only", "tarballs",
                  "--staging-dir", chain.staging, "--work-dir", chain.work)  # fmt: skip
    assert done.code == 1
    assert "there is no such run" in done.err.splitlines()[-1]


@pytest.mark.parametrize("built", [False, True])
def test_dry_run_changes_nothing_and_tells_sizes(chain: _Chain, built: bool) -> None:
    if built:
        chain.done("--skip", "upload")
    before = chain.tree()
    done = chain.done("--dry-run")
    assert chain.tree() == before
    assert "64 archives, 3.9 MB, are there" in done.out
    assert f"{chain.run}/tarballs/" in done.out
    assert ("nothing to do" in done.out) == built
    assert ("3 to be made first" in done.out) != built
    plan = json.loads(chain.done("--dry-run", "--json").out)
    uploads = [file for file in plan["planned"] if file["step"] == "upload"]
    assert [file["name"] for file in uploads if "tarballs" in file["target"]]
    assert all((file["size"] is None) != built for file in uploads)
    assert chain.tree() == before


def test_dry_run_tells_what_is_there_already_and_what_would_be_refused(chain: _Chain) -> None:
    chain.done()
    table = chain.done("--dry-run").out
    [line] = [line for line in table.splitlines() if "/tarballs/" in line]
    assert line.split()[-1] == "3"
    published = chain.run / "tarballs" / FAMILY_TARBALL
    published.write_bytes(b"other")
    done = chain.done("--dry-run")
    assert f"{FAMILY_TARBALL} is published with 5 bytes" in done.err


def test_dry_run_of_the_sample_writes_nothing_at_all(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(capsys, "release", "--run-id", "sample", "--dry-run")
    assert done.code == 0, done.err
    assert "build/staging/sample-linux/tarballs/" in done.out
    assert list(tmp_path.iterdir()) == []


def test_other_bytes_under_a_published_name_are_refused_in_one_line(chain: _Chain) -> None:
    published = chain.run / "tarballs" / FAMILY_TARBALL
    published.parent.mkdir()
    published.write_bytes(b"other")
    done = chain()
    assert done.code == 1
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert FAMILY_TARBALL in line
    assert published.read_bytes() == b"other"
    assert not (published.parent / "SHA256SUMS").exists()


def test_work_directory_of_another_run_is_not_mistaken_for_ones_own(
    chain: _Chain, tmp_path: Path
) -> None:
    chain.done("--skip", "upload")
    write_sample_run(chain.staging, run_id="4712", targets=("gfx90a",))
    done = chain("--only", "upload", run_id="4712")
    assert done.code == 1
    assert f"{RUN_ID}-linux" in done.err.splitlines()[-1]
    assert not (chain.staging / "4712-linux/tarballs").exists()
    assert chain(run_id="4712").code == 0
    names = {path.name for path in (chain.staging / "4712-linux/tarballs").iterdir()}
    assert "therock-dist-linux-gfx90a-7.13.0.dev0.tar.gz" in names
    assert FAMILY_TARBALL not in names
    assert NOTHING_TO_DO not in chain.done().out


def test_two_releases_at_a_time_do_not_share_a_work_directory(chain: _Chain) -> None:
    words = ("release", "--run-id", RUN_ID, "--staging-dir", chain.staging)
    where = ("--work-dir", chain.work, "--output-dir", chain.out)
    done = [finish(process) for process in [start(*words, *where) for _ in range(3)]]
    assert 0 in {one.code for one in done}
    for one in done:
        if one.code:
            assert one.code == 1
            assert "another release is at work there" in one.err.splitlines()[-1]
    assert NOTHING_TO_DO in chain.done().out


def test_half_written_tarballs_of_an_abandoned_setting_are_swept(chain: _Chain) -> None:
    chain.done()
    before = chain.tree()
    (chain.out / "tarballs/.therock-dist-linux-gfx942-9.tar.gz.partial").write_bytes(b"half")
    (chain.work / "segments").mkdir()
    chain.done()
    assert chain.tree() == before
