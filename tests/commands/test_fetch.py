"""Every flag of ``fetch``, through the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import Done, invoke, tree
from therock_outputs.artifacts.sample_run import write_sample_run


@pytest.fixture(scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that nobody changes: ``sample`` is split by target, ``byfamily`` is not."""
    staging = tmp_path_factory.mktemp("staging")
    write_sample_run(staging)
    write_sample_run(staging, run_id="byfamily", split=False)
    return staging


class _Fetch:
    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path, directory: Path) -> None:
        self.capsys = capsys
        self.staging = staging
        self.directory = directory

    def __call__(self, *words: object, run_id: str = "sample") -> Done:
        where = ("--staging-dir", self.staging, "--work-dir", self.directory / "work")
        return invoke(self.capsys, "fetch", "--run-id", run_id, *where, *words)

    def report(self, *words: object, run_id: str = "sample") -> Any:  # noqa: ANN401 - JSON
        done = self(*words, "--json", run_id=run_id)
        assert done.code == 0, done.err
        return json.loads(done.out)

    def names(self, *words: object, run_id: str = "sample") -> set[str]:
        return {a["name"].split(".")[0] for a in self.report(*words, run_id=run_id)["archives"]}


@pytest.fixture
def fetch(capsys: pytest.CaptureFixture[str], staging: Path, tmp_path: Path) -> _Fetch:
    return _Fetch(capsys, staging, tmp_path)


def test_everything_is_fetched_unless_something_is_asked_for(fetch: _Fetch) -> None:
    report = fetch.report()
    assert len(report["archives"]) == 64
    assert report["skipped"] == []
    assert report["kpack_split"] is True
    assert report["directory"] == str(fetch.staging / "sample-linux")
    assert all(len(archive["sha256"]) == 64 for archive in report["archives"])


@pytest.mark.parametrize(
    ("flags", "there", "missing"),
    [
        (("--amdgpu-targets", "gfx942"), "blas_lib_gfx942", "blas_lib_gfx1100"),
        (("--amdgpu-families", "gfx94X-dcgpu"), "blas_lib_gfx942", "blas_lib_gfx1100"),
        (
            ("--amdgpu-families", "gfx110X-all", "--expand-family-to-targets"),
            "blas_lib_gfx1100",
            "blas_lib_gfx942",
        ),
        (("--generic-only",), "blas_lib_generic", "blas_lib_gfx942"),
        (("--include", "^blas_", "--include", "^fft_"), "fft_lib_gfx942", "rand_lib_generic"),
        (("--exclude", "_dbg_"), "blas_lib_generic", "blas_dbg_generic"),
        (("--components", "lib,dev"), "blas_dev_generic", "blas_doc_generic"),
        (("--exclude-artifacts", "fftw3;blas"), "fft_lib_generic", "fftw3_lib_generic"),
        (("--stage", "math-libs"), "base_lib_generic", "blas_lib_gfx942"),
        (("--stage", "all"), "blas_lib_gfx942", "x"),
    ],
)
def test_flags_choose_archives(
    fetch: _Fetch, flags: tuple[str, ...], there: str, missing: str
) -> None:
    names = fetch.names(*flags)
    assert there in names
    assert missing not in names


def test_artifact_group_of_a_run_by_family(fetch: _Fetch) -> None:
    names = fetch.names("--artifact-group", "gfx94X-dcgpu", run_id="byfamily")
    assert "blas_lib_gfx94X-dcgpu" in names
    assert "blas_lib_gfx110X-all" not in names


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--extract", "--flatten"), 2, "--extract and --flatten contradict"),
        (("--artifact-group", "a", "--amdgpu-targets", "gfx942"), 2, "contradict"),
        (("--generic-only", "--amdgpu-targets", "gfx942"), 2, "contradict"),
        (("--components", "lib,bin"), 2, "bin"),
        (("--amdgpu-families", "gfx9999"), 2, "gfx9999"),
        (("--stage", "nonsense"), 2, "nonsense"),
        (("--include", "("), 2, "not a regular expression"),
        (("--include", "nothing-is-called-so"), 1, "64"),
        (("--jobs", "0"), 2, "--jobs"),
        (("--families-file", "/nowhere.toml"), 1, "/nowhere.toml"),
        (("--topology-file", "/nowhere.toml"), 1, "/nowhere.toml"),
        (("--unheard-of",), 2, "--unheard-of"),
        (("--platform", "windows"), 1, "there is no such run"),
    ],
)
def test_what_means_nothing_is_one_line(
    fetch: _Fetch, flags: tuple[str, ...], code: int, said: str
) -> None:
    done = fetch(*flags)
    assert done.code == code, done.err
    assert said in done.err.splitlines()[-1]
    assert done.err.count("error: ") == 1


def test_dry_run_tells_and_does_nothing(fetch: _Fetch) -> None:
    done = fetch("--dry-run", "--amdgpu-targets", "gfx942", "--flatten", "--output-dir",
                 fetch.directory / "rocm")  # fmt: skip
    assert done.code == 0
    assert "blas_lib_gfx942.tar.zst" in done.out
    assert "left out" in done.out
    assert not list(fetch.directory.iterdir())
    assert fetch.report("--dry-run")["directory"] is None


def test_stage_that_takes_nothing_is_no_error(fetch: _Fetch) -> None:
    done = fetch("--stage", "compiler-runtime")
    assert done.code == 0, done.err
    assert "nothing to fetch" in done.out


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("--extract", "blas_lib_generic/artifact_manifest.txt"),
        ("--flatten", "lib/librocblas.so"),
        ("--bootstrap", "math-libs/BLAS/rocBLAS/stage.prebuilt"),
    ],
)
def test_archives_are_unpacked(fetch: _Fetch, mode: str, expected: str) -> None:
    directory = fetch.directory / "tree"
    words = (mode, "--include", "^blas_", "--output-dir", directory)
    assert fetch.report(*words)["directory"] == str(directory)
    assert expected in tree(directory)
    before = tree(directory)
    assert fetch(*words).code == 0
    assert tree(directory) == before


def test_unpacked_trees_go_to_the_work_directory_by_default(fetch: _Fetch) -> None:
    report = fetch.report("--flatten", "--include", "^blas_")
    assert report["directory"] == str(fetch.directory / "work/flatten")
    assert (fetch.directory / "work/flatten/lib").is_dir()


def test_flatten_never_replaces_a_directory_of_somebody_else(fetch: _Fetch) -> None:
    (fetch.directory / "mine").mkdir()
    (fetch.directory / "mine/file").write_text("mine")
    done = fetch("--flatten", "--output-dir", fetch.directory / "mine")
    assert done.code == 2
    assert (fetch.directory / "mine/file").read_text() == "mine"


def test_missing_digest_is_an_error_unless_allowed(fetch: _Fetch, tmp_path: Path) -> None:
    fetch.staging = tmp_path / "staging"
    write_sample_run(fetch.staging)
    (fetch.staging / "sample-linux/blas_lib_generic.tar.zst.sha256sum").unlink()
    done = fetch()
    assert done.code == 1
    assert "--allow-unverified" in done.err.splitlines()[-1]
    done = fetch("--allow-unverified")
    assert done.code == 0
    assert "warning: not verified" in done.err


def test_cache_serves_other_fetches_and_survives_damage(fetch: _Fetch) -> None:
    words = ("--include", "^blas_lib", "--cache-dir", fetch.directory / "cache")
    first, second = fetch.directory / "one", fetch.directory / "two"
    assert fetch(*words, "--output-dir", first).code == 0
    entry = next(path for path in (fetch.directory / "cache").rglob("*") if path.is_file())
    entry.unlink()
    entry.write_bytes(b"damaged")
    assert fetch(*words, "--output-dir", second).code == 0
    assert tree(first) == tree(second)


def test_run_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    done = invoke(capsys, "fetch")
    assert done.code == 2
    assert "--run-id" in done.err


def test_run_can_be_named_by_the_environment(
    fetch: _Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEROCK_RUN_ID", "sample")
    monkeypatch.setenv("THEROCK_LOCAL_STAGING_DIR", str(fetch.staging))
    monkeypatch.setenv("THEROCK_PLATFORM", "linux")
    done = invoke(fetch.capsys, "fetch", "--dry-run", "--json")
    assert len(json.loads(done.out)["archives"]) == 64
