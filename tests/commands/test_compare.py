"""The task ``compare``: sides of every kind, every flag, and what is said when it cannot."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import archive_makers as make
from tests.comparison_makers import NEW, OLD, manifest
from tests.lookup_servers import github_in_use
from tests.running import Done, invoke
from tests.servers import S3Server, clean_environment, rclone_server
from therock_outputs.artifacts.compare.sources import ArchivesSource
from therock_outputs.artifacts.sample_run import write_sample_run
from therock_outputs.commands.compare import resolve_side
from therock_outputs.errors import UsageError
from therock_outputs.settings import Settings

BUCKET = "therock-ci-artifacts"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _write_run(root: Path, run_id: str, commit: str, size: int) -> Path:
    """A run of three archives, one of them the same in all runs."""
    run = root / f"{run_id}-linux"
    make.write(run, "fft_lib_generic.tar.zst", make.file(f"{make.STAGE}/lib/fft.so", b"same"))
    kernels = (make.file(f"{make.STAGE}/lib/k/{n}.co", bytes(size)) for n in range(3))
    make.write(run, "blas_lib_gfx942.tar.zst", *kernels)
    make.write(run, "blas_test_generic.tar.xz", make.file(f"{make.STAGE}/bin/t{run_id}", b"x" * 40))
    (run / "manifests").mkdir()
    pins = {"https://github.com/ROCm/llvm-project.git": commit}
    (run / "manifests" / "therock_manifest.json").write_bytes(manifest(commit, pins))
    return run


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Two runs, 1 and 2; the second has grown by 27,000 bytes."""
    root = tmp_path / "staging"
    _write_run(root, "1", OLD, 1000)
    _write_run(root, "2", NEW, 10_000)
    return root


class _Compare:
    def __init__(self, capsys: pytest.CaptureFixture[str], staging: Path) -> None:
        self.capsys = capsys
        self.staging = staging

    def __call__(self, *words: object) -> Done:
        return invoke(self.capsys, "compare", *words, "--staging-dir", self.staging)

    def report(self, *words: object) -> Any:  # noqa: ANN401 - JSON
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], staging: Path) -> _Compare:
    return _Compare(capsys, staging)


def test_runs_of_a_staging_directory_are_compared_file_by_file(compare: _Compare) -> None:
    report = compare.report("1", "2")
    assert report["unpacked"] == {"before": 3044, "after": 30_044, "change": 27_000}
    assert report["before"]["label"] == "run 1"
    assert report["after"]["commit"] == NEW
    assert report["hotspot"] == {
        "path": ["blas", "blas_lib_gfx942", "lib", "k"],
        "change": 27_000,
        "share": 1.0,
    }
    assert report["counts"]["grown"] == 3
    assert report["counts"]["moved"] == 1  # t1 became t2
    assert [archive["name"] for archive in report["archives"] if archive["same_bytes"]] == [
        "fft_lib_generic"
    ]
    assert [pin["link"] for pin in report["pins"]] == [
        f"https://github.com/ROCm/TheRock/compare/{OLD}...{NEW}",
        f"https://github.com/ROCm/llvm-project/compare/{OLD}...{NEW}",
    ]


def test_table_begins_with_the_whole_and_the_largest_change(compare: _Compare) -> None:
    done = compare("1", "2")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[3] == "Grew by 27.0 kB (+887.0%)"
    assert lines[4] == "All of the growth, 27.0 kB, is in blas_lib_gfx942 › lib/k"  # noqa: RUF001
    assert "  unpacked: 3.0 kB → 30.0 kB, +27.0 kB (+887.0%)" in lines
    assert "  files: 3 grown, 1 moved, 1 of the same size" in lines
    head = next(n for n, line in enumerate(lines) if line.endswith("archive"))
    assert lines[head].split() == ["unpacked", "%", "compressed", "before", "after", "archive"]
    assert re.fullmatch(
        r"\+27\.0 kB  \+900\.0%  +[+-]\d+ B  3\.0 kB  30\.0 kB  blas_lib_gfx942", lines[head + 2]
    )


def test_flags_of_the_build_that_changed_are_shown(compare: _Compare, staging: Path) -> None:
    place = staging / "2-linux" / "manifests" / "therock_manifest.json"
    place.write_bytes(manifest(OLD, {}, {"KPACK_SPLIT_ARTIFACTS": True}))
    done = compare("1", "2")
    assert re.search(r"^KPACK_SPLIT_ARTIFACTS +- +True$", done.out, re.MULTILINE)


def test_thresholds_leave_rows_out_and_say_how_many(compare: _Compare) -> None:
    done = compare("1", "2", "--top", "2")
    assert "… and 1 more files; --top 0 shows all" in done.out
    assert "more files" not in compare("1", "2", "--top", "0").out
    few = compare("1", "2", "--min-change", "10kB").out
    assert "blas_lib_gfx942" in few
    assert "0.co" not in few  # each file grew by 9 kB


@pytest.mark.parametrize(
    ("limit", "code"),
    [("27kB", 0), ("26.9kB", 1), ("900%", 0), ("1%", 1), ("1GB", 0)],
)
def test_growth_over_the_limit_fails_after_everything_was_told(
    compare: _Compare, limit: str, code: int
) -> None:
    done = compare("1", "2", "--max-growth", limit)
    assert done.code == code
    assert "Grew by 27.0 kB" in done.out
    if code:
        assert done.err.splitlines()[-1] == (
            "error: run 2 is 27.0 kB (+887.0%, unpacked) larger than run 1; "
            f"--max-growth allows {limit}"
        )
    again = compare("1", "2", "--max-growth", limit, "--json")
    assert again.code == code
    assert json.loads(again.out)["unpacked"]["change"] == 27_000


def test_shrinkage_never_fails(compare: _Compare) -> None:
    done = compare("2", "1", "--max-growth", "0")
    assert done.code == 0
    assert "Shrank by 27.0 kB (-89.9%)" in done.out


def test_growth_of_compressed_bytes_is_judged_too(compare: _Compare, staging: Path) -> None:
    # The same zeros as one stored block: more bytes in the archive, none in a file.
    path = staging / "1-linux" / "blas_lib_gfx942.tar.zst"
    shutil.copytree(staging / "1-linux", staging / "3-linux")
    grown = staging / "3-linux" / path.name
    skippable = b"\x50\x2a\x4d\x18" + (50_000).to_bytes(4, "little") + bytes(50_000)
    grown.write_bytes(grown.read_bytes() + skippable)
    grown.with_name(f"{grown.name}.sha256sum").write_text(make.digest_of(grown))
    done = compare("1", "3", "--max-growth", "10kB")
    assert done.code == 1
    assert "No change in size" in done.out
    assert "50.0 kB (" in done.err
    assert "compressed) larger" in done.err


def test_archives_alone_are_compared_when_asked(compare: _Compare) -> None:
    report = compare.report("1", "2", "--no-files")
    assert report["unpacked"] is None
    assert report["files"] == []
    assert report["compressed"]["change"] != 0


def test_directories_and_tarballs_are_sides(
    compare: _Compare, staging: Path, tmp_path: Path
) -> None:
    tarball = tmp_path / "rocm.tar.gz"
    tarball.write_bytes(
        gzip.compress(make.file("lib/fft.so", b"same") + make.file("lib/x", b"1234567") + make.END)
    )
    report = compare.report(staging / "1-linux", tarball)
    assert report["archives"] == []
    assert report["compressed"] is None
    assert {file["path"]: file["status"] for file in report["files"]} == {
        "bin/t1": "removed",
        "lib/k/0.co": "removed",
        "lib/k/1.co": "removed",
        "lib/k/2.co": "removed",
        "lib/x": "added",
    }
    assert compare.report(tarball, tarball)["unpacked"]["change"] == 0


def test_markdown_goes_to_the_steps_summary_and_to_a_file(
    compare: _Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, copy = tmp_path / "summary.md", tmp_path / "new" / "copy.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert compare("1", "2", "--markdown", copy).code == 0
    text = summary.read_text()
    assert text == copy.read_text()
    assert text.startswith("## Grew by 27.0 kB (+887.0%)\n\nrun 1 → run 2\n")
    assert "| +27.0 kB | +900.0% |" in text
    assert f"[compare](https://github.com/ROCm/TheRock/compare/{OLD}...{NEW})" in text


def test_page_is_written_as_a_whole_and_again_over_an_old_one(
    compare: _Compare, tmp_path: Path
) -> None:
    page = tmp_path / "compare.html"
    assert compare("1", "2", "--html", page).code == 0
    first = page.read_bytes()
    assert b"Grew by" in first
    assert compare("1", "2", "--html", page).code == 0
    assert page.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.html", "staging"]


def test_two_sample_runs_differ_in_their_targets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_sample_run(tmp_path, run_id="one")
    write_sample_run(tmp_path, run_id="two", targets=("gfx942", "gfx1100", "gfx90a"))
    report = _Compare(capsys, tmp_path).report("one", "two")
    grown = {target["name"]: target["unpacked"] for target in report["targets"]}
    assert grown["gfx90a"]["before"] is None
    assert grown["gfx942"]["change"] == 0
    assert [pin["name"] for pin in report["pins"]] == [
        "TheRock",
        "llvm-project",
        "rocm-libraries",
        "rocm-systems",
    ]


# -------------------------------------------------------------------------- on a server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    (tmp_path / "s3" / BUCKET).mkdir(parents=True)
    _write_run(tmp_path / "s3" / BUCKET, "1", OLD, 1000)
    _write_run(tmp_path / "s3" / BUCKET, "2", NEW, 10_000)
    clean_environment(monkeypatch)
    with rclone_server(tmp_path / "s3", signed=False) as server:
        server.use(monkeypatch)
        yield server


def _spoil(tmp_path: Path, name: str) -> None:
    """Make an archive of both runs such that whoever reads it fails."""
    for run in ("1-linux", "2-linux"):
        path = tmp_path / "s3" / BUCKET / run / name
        path.write_bytes(bytes(path.stat().st_size))


def test_remote_runs_are_compared_by_their_listing_alone(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fft_lib_generic.tar.zst", "blas_lib_gfx942.tar.zst", "blas_test_generic.tar.xz"):
        _spoil(tmp_path, name)
    done = invoke(capsys, "compare", "1", "2", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["unpacked"] is None
    assert report["compressed"]["change"] != 0
    assert len(report["pins"]) == 2
    assert "--files reads those that changed, too" in done.err


def test_with_files_only_archives_that_changed_are_read(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _spoil(tmp_path, "fft_lib_generic.tar.zst")
    done = invoke(capsys, "compare", "1", "2", "--files", "--json", "--jobs", "4")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["unpacked"] == {"before": 3040, "after": 30_040, "change": 27_000}
    assert report["unpacked_is_whole"] is False
    assert "1 archives are the same on both sides and were not read" in done.err
    # A share of a part says nothing, a size does.
    assert invoke(capsys, "compare", "1", "2", "--files", "--max-growth", "880%").code == 0
    assert invoke(capsys, "compare", "1", "2", "--files", "--max-growth", "20kB").code == 1


def test_cache_spares_the_server(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compare", "1", "2", "--files", "--json", "--cache-dir", tmp_path / "cache")
    # What `fetch` keeps in its cache is read there, and not from the server.
    kept = tmp_path / "s3" / BUCKET / "1-linux" / "blas_lib_gfx942.tar.zst"
    digest = make.digest_of(kept)
    place = tmp_path / "cache" / digest[:2] / digest
    place.parent.mkdir(parents=True)
    shutil.copy(kept, place)
    kept.write_bytes(bytes(kept.stat().st_size))
    first = invoke(capsys, *words)
    assert first.code == 0, first.err
    for name in ("blas_lib_gfx942.tar.zst", "blas_test_generic.tar.xz"):
        _spoil(tmp_path, name)
    second = invoke(capsys, *words)
    assert (second.code, second.out) == (0, first.out)


def test_run_on_a_server_and_a_directory_are_compared_file_by_file_when_asked(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tmp_path / "rocm"
    (prefix / "lib").mkdir(parents=True)
    (prefix / "lib" / "fft.so").write_bytes(b"same")
    done = invoke(capsys, "compare", "1", prefix)
    assert done.code == 2
    assert "can only be compared file by file; give --files" in done.err
    report = json.loads(invoke(capsys, "compare", "1", prefix, "--files", "--json").out)
    assert report["unpacked"]["after"] == 4


def test_run_of_which_a_part_was_fetched_is_compared_as_the_server_has_it(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staging = tmp_path / "staging"
    words = ("--run-id", "1", "--staging-dir", staging, "--include", "^fft_")
    assert invoke(capsys, "fetch", *words).code == 0
    done = invoke(capsys, "compare", "1", "2", "--staging-dir", staging, "--json")
    assert json.loads(done.out)["before"]["archives"] == 3
    assert json.loads(done.out)["counts"]["added"] == 0


def test_damaged_archive_on_a_server_is_named(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _spoil(tmp_path, "blas_lib_gfx942.tar.zst")
    done = invoke(capsys, "compare", "1", "2", "--files")
    assert done.code == 1
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert re.search(rf"s3://{BUCKET}/[12]-linux/blas_lib_gfx942\.tar\.zst: ", line)


# ----------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ((), 2, "compare what with what? give two runs, directories or tarballs"),
        (("1",), 2, "compare what with what?"),
        (("1", "nosuchrun"), 1, "there is no such run"),
        (("1", "./nowhere"), 1, "there is no such file or directory"),
        (("1", "nowhere.tar.gz"), 1, "there is no such file or directory"),
        (("1", "What?"), 2, "is neither a workflow run's number"),
        (("1", "2", "--min-change", "much"), 2, "--min-change is a size such as"),
        (("1", "2", "--max-growth", "5x"), 2, "--max-growth is a size or a share such as"),
        (("1", "2", "--top=-1"), 2, "--top is at least 0"),
        (("1", "2", "--files", "--no-files"), 2, "contradict each other"),
    ],
)
def test_bad_input_gives_one_clear_line(
    compare: _Compare, words: tuple[str, ...], code: int, what: str
) -> None:
    done = compare(*words)
    assert done.code == code
    assert len(done.err.splitlines()) == 1
    assert what in done.err


def test_report_that_cannot_be_written_is_said(compare: _Compare, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = compare("1", "2", "--html", tmp_path / "file" / "x.html")
    assert done.code == 1
    assert f"{tmp_path}/file/x.html cannot be written" in done.err


# ----------------------------------------------------------------------- commits as sides


@pytest.mark.parametrize("text", [COMMIT, COMMIT[:7], "0" * 40, "deadbeef1"])
def test_commit_is_handed_to_the_look_up(staging: Path, text: str) -> None:
    asked = []

    def find(commit: str, settings: Settings) -> Settings:
        asked.append((commit, settings.staging_dir))
        return replace(settings, run_id="2")

    side = resolve_side(text, Settings(staging_dir=staging), find_run=find)
    assert asked == [(text, staging)]
    assert isinstance(side, ArchivesSource)
    assert side.label == f"run 2 (commit {text[:12]})"


@pytest.mark.parametrize("text", ["2", "1234567", "abcdefa"])
def test_number_and_plain_word_are_runs_and_no_commits(staging: Path, text: str) -> None:
    if not (staging / f"{text}-linux").exists():
        shutil.copytree(staging / "2-linux", staging / f"{text}-linux")

    def find(commit: str, settings: Settings) -> Settings:
        raise AssertionError(commit)

    side = resolve_side(text, Settings(staging_dir=staging), find_run=find)
    assert side.label == f"run {text}"


def test_without_a_look_up_a_commit_says_what_to_give(staging: Path) -> None:
    with pytest.raises(UsageError, match="give the number of a run that built it"):
        resolve_side(COMMIT, Settings(staging_dir=staging))


def test_commits_are_looked_up_and_their_runs_compared(
    compare: _Compare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with github_in_use(monkeypatch, tmp_path) as server:
        therock = server.repository()
        commits = therock.line_of_commits(2)
        for number, commit in enumerate(commits, 1):
            therock.add_run(number, commit)
        done = compare(commits[0], commits[1], "--json")
        assert done.code == 0, done.err
        sides = json.loads(done.out)
        assert commits[0][:12] in sides["before"]["label"]
        assert commits[1][:12] in sides["after"]["label"]
        unknown = compare("1", COMMIT)
        assert unknown.code == 1
        assert COMMIT[:8] in unknown.err.splitlines()[-1]
