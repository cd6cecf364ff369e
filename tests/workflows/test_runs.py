"""Every workflow, run step by step as it is written, on the sample run."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflows.conftest import BY_FAMILY, SPLIT
from tests.workflows.runner import Runner, read_commands
from therock_outputs.artifacts.sample_run import write_sample_run

_INPUTS = {"run_id": SPLIT}


def _files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_file()}


def test_tarballs_are_built_and_uploaded_under_the_run_of_the_job(
    runner: Runner, staging: Path
) -> None:
    done = runner.run("build-tarballs.yml", {**_INPUTS, "package_version": "7.13.0"})
    assert done.outcome == "success", done.log
    tarballs = staging / "7001-linux" / "tarballs"
    names = {f"therock-dist-linux-{t}-7.13.0.tar.gz" for t in ("gfx942", "gfx1100", "multiarch")}
    assert names < _files(tarballs)
    assert not (staging / f"{SPLIT}-linux" / "tarballs").exists()
    urls = json.loads(str(done.outputs["tarball_urls"]))
    assert {Path(url).name for url in urls} == names
    assert done.outputs["root_url"] == str(staging / "7001-linux")
    job = done.job("tarballs")
    assert job.step("Take the role that may write there").outcome == "skipped"
    assert job.step("Keep the outputs").outcome == "skipped"
    assert "Outputs of run 7001" in job.step("Upload").summary


def test_outputs_that_were_kept_are_uploaded_by_another_workflow(
    runner: Runner, staging: Path
) -> None:
    kept = runner.run("build-python-packages.yml", {**_INPUTS, "upload": False})
    assert kept.outcome == "success", kept.log
    assert not (staging / "7001-linux").exists()
    assert kept.job("python-packages").step("Upload").outcome == "skipped"
    artifact = "python-packages-linux-0"
    logs = runner.directory / "artifacts" / artifact / "logs" / "packaging"
    logs.mkdir(parents=True)
    (logs / "wheels.log").write_text("built")
    done = runner.run("upload.yml", {**_INPUTS, "artifact": artifact})
    assert done.outcome == "success", done.log
    assert done.outputs == {"root_url": str(staging / "7001-linux")}
    assert "simple" in {path.name for path in (staging / "7001-linux" / "python").iterdir()}
    assert (staging / "7001-linux/logs/packaging/wheels.log").read_text() == "built"


def test_packages_of_a_run_that_is_not_split_get_a_job_for_each_family(
    runner: Runner, staging: Path
) -> None:
    families = write_sample_run(staging, run_id=BY_FAMILY, split=False).families
    inputs = {"run_id": BY_FAMILY, "artifact_groups": json.dumps(families)}
    done = runner.run("build-python-packages.yml", inputs)
    assert done.outcome == "success", done.log
    assert len(done.jobs["python-packages"]) == 2
    for family in families:
        packages = staging / "7001-linux" / "python" / family
        assert (packages / "simple" / "rocm").is_dir()


def test_wheels_are_installed_tested_and_reported_on_each_machine(
    runner: Runner, staging: Path
) -> None:
    built = runner.run("build-python-packages.yml", _INPUTS)
    assert built.outcome == "success", built.log
    machines = [{"target": "gfx942", "runner": "one"}, {"target": "gfx1100", "runner": "other"}]
    inputs = {"run_id": "7001", "machines": json.dumps(machines), "gpu": False}
    done = runner.run("test-wheels.yml", {**inputs, "packages": "rocm"})
    assert done.outcome == "success", done.log
    assert len(done.jobs["test-wheels"]) == 2
    for target in ("gfx942", "gfx1100"):
        report = staging / "7001-linux" / "logs" / f"test-wheels-{target}"
        assert _files(report) == {"index.html", "rocm-sdk-test.txt", "rocminfo.txt"}
        assert ", 0 fail\n" in (report / "rocm-sdk-test.txt").read_text()


def test_release_promotes_nothing_whose_tests_failed(runner: Runner, staging: Path) -> None:
    machines = json.dumps([{"target": "gfx942", "runner": "one"}])
    inputs = {"native": False, "machines": machines, "promote": True, "release_type": "nightly"}
    done = runner.run("release.yml", {**_INPUTS, **inputs})
    run = staging / "7001-linux"
    assert done.job("release").outcome == "success", done.log
    assert {"tarballs", "python", "manifests", "logs"} <= {path.name for path in run.iterdir()}
    # The tests want a GPU, which the sample's programs do not find; the report is there even so.
    tests = done.job("test")
    assert tests.outcome == "failure"
    assert ", 0 fail\n" in tests.step("Install and test").log
    assert "::error::rocminfo finds no GPU of the target" in tests.step("Ask the GPU").log
    assert (run / "logs" / "test-wheels-gfx942" / "rocminfo.txt").is_file()
    assert done.job("native").outcome == "skipped"
    assert done.job("promote").outcome == "skipped"
    assert not list(staging.glob("therock-*"))


def test_release_does_only_what_is_asked(runner: Runner, staging: Path) -> None:
    done = runner.run("release.yml", {**_INPUTS, "native": False})
    assert done.outcome == "success", done.log
    outcomes = {key: done.job(key).outcome for key in done.jobs}
    assert outcomes.pop("release") == "success"
    assert done.outputs["root_url"] == str(staging / "7001-linux")
    assert len(json.loads(str(done.outputs["tarball_urls"]))) == 3
    assert set(outcomes.values()) == {"skipped"}


@pytest.fixture
def signing_key(tmp_path: Path) -> Iterator[str]:
    """An armored secret key, without a passphrase."""
    # Not below tmp_path: the path of the agent's socket may not be long.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
        user = "Tests <tests@example.invalid>"
        subprocess.run([*gpg, "--quick-gen-key", user, "ed25519", "sign"], check=True)
        key = subprocess.run(
            [*gpg, "--armor", "--export-secret-keys"], check=True, capture_output=True, text=True
        )
        yield key.stdout
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)


def test_native_packages_of_both_formats_are_built_signed_and_uploaded(
    runner: Runner, staging: Path, signing_key: str
) -> None:
    runner.secrets["signing_key"] = signing_key
    done = runner.run("build-native-packages.yml", {**_INPUTS, "targets": "gfx942"})
    assert done.outcome == "success", done.log
    assert len(done.jobs["native-packages"]) == 2
    packages = staging / "7001-linux" / "packages"
    assert (packages / "deb" / "dists" / "stable" / "InRelease").is_file()
    assert (packages / "rpm" / "x86_64" / "repodata" / "repomd.xml.asc").is_file()
    # The key is in no file and no log once its step is over.
    secret = signing_key.splitlines()[3]
    assert secret not in done.log
    for path in runner.directory.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_promotion_is_shown_and_then_done(runner: Runner, staging: Path) -> None:
    built = runner.run("build-tarballs.yml", {**_INPUTS, "package_version": "7.13.0a20251124"})
    assert built.outcome == "success", built.log
    inputs = {"run_id": "7001", "release_type": "nightly", "only": "tarballs"}
    shown = runner.run("promote.yml", {**inputs, "dry_run": True})
    assert shown.outcome == "success", shown.log
    assert shown.job("promote").step("Promote").outcome == "skipped"
    places = staging / "therock-nightly-tarball"
    assert not places.exists()
    done = runner.run("promote.yml", inputs)
    assert done.outcome == "success", done.log
    names = _files(places / "v4" / "tarball")
    assert "therock-dist-linux-gfx942-7.13.0a20251124.tar.gz" in names


def test_release_goes_end_to_end(runner: Runner, staging: Path) -> None:
    inputs = {"release_type": "nightly", "package_version": "7.13.0a20251124", "promote": True}
    done = runner.run("release.yml", {**_INPUTS, **inputs})
    assert done.outcome == "success", done.log
    assert done.job("test").outcome == "skipped"
    assert done.job("promote").outcome == "success"
    assert (staging / "7001-linux" / "packages" / "deb").is_dir()
    assert (staging / "therock-nightly-python" / "v4" / "whl").is_dir()


_HOSTILE = "* ../* $(touch pwned)`touch pwned`\"; touch pwned; '; touch pwned #\ntouch pwned\n"


@pytest.mark.parametrize("text", [_HOSTILE, "--help"])
@pytest.mark.parametrize("name", ["run_id", "run_github_repo", "families", "package_version"])
def test_hostile_inputs_are_values_and_nothing_else(
    runner: Runner, staging: Path, name: str, text: str
) -> None:
    done = runner.run("build-tarballs.yml", {**_INPUTS, name: text})
    assert done.outcome == "failure"
    assert done.job("tarballs").step("Upload").outcome == "skipped"
    assert "::error::" in done.log
    assert "Usage:" not in done.log
    assert not list(runner.directory.rglob("*pwned*"))
    assert not (staging / "7001-linux").exists()


def test_files_of_commands_are_read_as_the_runner_reads_them() -> None:
    text = "a=1\nb<<END\nx=y\n\nz\nEND\nc=2=3\nd=\n"
    assert read_commands(text) == {"a": "1", "b": "x=y\n\nz", "c": "2=3", "d": ""}
