"""The doctor: what this machine has and lacks, without changing it."""

from __future__ import annotations

import io
from pathlib import Path

from tests.running import ROOT
from therock_outputs.console import Console
from therock_outputs.doctor import Finding, examine, report
from therock_outputs.settings import Settings


def _by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_lacking_program_comes_with_what_to_install(tmp_path: Path) -> None:
    findings = _by_name(examine(Settings(), {"PATH": str(tmp_path), "HOME": str(tmp_path)}))
    assert not findings["bsdtar"].present
    assert findings["bsdtar"].advice == "apt install libarchive-tools"
    (tmp_path / "bsdtar").write_text("#!/bin/sh\n")
    (tmp_path / "bsdtar").chmod(0o755)
    (tmp_path / "7zz").symlink_to("bsdtar")
    findings = _by_name(examine(Settings(), {"PATH": str(tmp_path), "HOME": str(tmp_path)}))
    assert findings["bsdtar"].found == str(tmp_path / "bsdtar")
    assert findings["7z"].present


def test_every_program_that_the_tests_need_is_looked_for() -> None:
    """By the list that CI installs from; one of a package's programs is enough."""
    looked_for = {finding.what for finding in examine(Settings(), {})}
    by_package: dict[str, set[str]] = {}
    for line in (ROOT / ".ci/system-packages.txt").read_text().splitlines():
        package, *programs = line.partition("#")[0].split() or [""]
        by_package.setdefault(package, set()).update(
            program for program in programs if not program.startswith(("/", "python3"))
        )
    lacking = {
        name for name, programs in by_package.items() if programs and not programs & looked_for
    }
    assert lacking <= {"dash"}  # what sh is anyway


def test_credentials_are_found_where_boto3_looks_and_never_shown(tmp_path: Path) -> None:
    def credentials(environ: dict[str, str]) -> Finding:
        return _by_name(examine(Settings(), {"HOME": str(tmp_path), **environ}))[
            "credentials for S3"
        ]

    assert not credentials({}).present
    finding = credentials({"AWS_ACCESS_KEY_ID": "AKIDSECRET"})
    assert (finding.present, finding.found) == (True, "AWS_ACCESS_KEY_ID")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = AKIDSECRET\n")
    assert credentials({}).found == str(tmp_path / ".aws" / "credentials")


def test_token_for_github_is_found_and_never_shown(tmp_path: Path) -> None:
    def token(settings: Settings) -> Finding:
        return _by_name(examine(settings, {"PATH": str(tmp_path)}))["a token for GitHub"]

    assert not token(Settings()).present
    assert "60 questions an hour" in token(Settings()).advice
    finding = token(Settings(github_token="ghp_SECRET"))
    assert (finding.present, finding.found) == (True, "GITHUB_TOKEN")
    (tmp_path / "gh").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "gh").chmod(0o755)
    assert token(Settings()).found == str(tmp_path / "gh")


def test_staging_directory_need_not_be_there_yet(tmp_path: Path) -> None:
    settings = Settings(staging_dir=tmp_path / "not" / "yet")
    finding = _by_name(examine(settings, {}))["a staging directory to write to"]
    assert finding.present


def test_server_that_is_set_is_said() -> None:
    environ = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}
    assert _by_name(examine(Settings(), environ))["S3 server"].found == "http://127.0.0.1:9000"
    assert _by_name(examine(Settings(), {}))["S3 server"].found == "Amazon's"


def test_report_says_what_to_do() -> None:
    out = io.StringIO()
    there = Finding("all", "tar", present=True, found="/bin/tar")
    lacking = Finding("test", "go", present=False, found="", advice="apt install golang-go")
    report([there, lacking], Console(out, io.StringIO()))
    assert out.getvalue().endswith("\ngo is lacking for test: apt install golang-go\n")
    out.seek(0)
    out.truncate()
    report([there], Console(out, io.StringIO()))
    assert out.getvalue().endswith("\nNothing is lacking.\n")
