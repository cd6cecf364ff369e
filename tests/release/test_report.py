"""What a release tells at its end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from therock_outputs.console import Console
from therock_outputs.release.installation import Installation
from therock_outputs.release.report import Product, ReleaseReport
from therock_outputs.release.telling import tell

URL = "http://127.0.0.1:9/bucket/7-linux/"
TARBALL = Product("rocm-7.tar.gz", 2_000_000, "1" * 64, f"{URL}tarballs/rocm-7.tar.gz")
REPORT = ReleaseReport(
    run_id="7",
    root=URL,
    uploaded=True,
    index=f"{URL}index.html",
    kpack_split=False,
    tarballs=(TARBALL,),
    install=(Installation("a tarball", (f"curl -fL {TARBALL.url} | tar -xz -C rocm",)),),
)


def _told(report: ReleaseReport, environ: dict[str, str], *, interactive: bool = False) -> str:
    console = Console(io.StringIO(), io.StringIO(), interactive=interactive)
    tell(report, console, environ)
    assert isinstance(console.stdout, io.StringIO)
    return console.stdout.getvalue()


def test_log_gets_whole_digests_and_addresses() -> None:
    said = _told(REPORT, {})
    assert "1" * 64 in said
    assert TARBALL.url in said
    assert f"Index:   {URL}index.html" in said


def test_person_gets_what_fits() -> None:
    said = _told(REPORT, {}, interactive=True)
    assert "1" * 16 + "…" in said
    assert f"in {URL}tarballs/" in said


def test_summary_links_what_is_uploaded(tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    _told(REPORT, {"GITHUB_STEP_SUMMARY": str(summary)})
    text = summary.read_text()
    assert f"[rocm-7.tar.gz]({TARBALL.url})" in text
    assert f"All files: {URL}index.html" in text


def test_what_was_not_uploaded_is_not_linked(tmp_path: Path) -> None:
    built = replace(TARBALL, url="/out/rocm-7.tar.gz")
    report = replace(REPORT, uploaded=False, index=None, tarballs=(built,))
    summary = tmp_path / "summary"
    said = _told(report, {"GITHUB_STEP_SUMMARY": str(summary)})
    assert "Outputs:" not in said
    assert "All files" not in summary.read_text()
    assert "](" not in summary.read_text()


@pytest.mark.parametrize("split", [None, True, False])
def test_outputs_say_only_what_is_known(tmp_path: Path, split: bool | None) -> None:
    outputs = tmp_path / "outputs"
    report = replace(REPORT, kpack_split=split, tarballs=())
    _told(report, {"GITHUB_OUTPUT": str(outputs)})
    expected = {None: "", True: "kpack_split=true\n", False: "kpack_split=false\n"}
    assert outputs.read_text() == expected[split]


def test_python_packages_are_told_with_what_installs_them(tmp_path: Path) -> None:
    wheel = Product("gfx94x/rocm-7-py3-none-any.whl", 5, "2" * 64, f"{URL}python/gfx94x/rocm-7")
    report = replace(
        REPORT,
        python=(wheel,),
        package_index_urls=(f"{URL}python/a/simple/", f"{URL}python/b/simple/"),
        package_find_links_urls=(f"{URL}python/a/index.html",),
        install=(Installation("Python packages", ("pip install rocm",)),),
    )
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"
    environ = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
    said = _told(report, environ)
    assert "To install Python packages:\n  pip install rocm\n" in said
    assert "2" * 64 in said
    lines = outputs.read_text().splitlines()
    assert f"package_index_url={URL}python/a/simple/ {URL}python/b/simple/" in lines
    assert f"package_find_links_url={URL}python/a/index.html" in lines
    assert "[gfx94x/rocm-7-py3-none-any.whl](" in summary.read_text()
    assert "```sh\npip install rocm\n```" in summary.read_text()
