"""What a release tells at its end: a table, the commands that install, outputs for CI."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from therock_outputs.console import Console, format_size
from therock_outputs.github.actions import (
    append_outputs,
    append_summary,
    markdown_table,
    markdown_text,
)
from therock_outputs.release.chain import PlannedFile, Release

__all__ = ["Product", "ReleaseReport", "report_of", "tell"]


@dataclass(frozen=True, slots=True)
class Product:
    """A file that was made."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    url: str
    """A path, or an address once it is uploaded to S3."""


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """The result of a release, which is also its JSON document."""

    run_id: str
    root: str
    """Where the run's outputs are, or go."""
    uploaded: bool
    index: str | None
    """The page that lists them; None when there is none."""
    kpack_split: bool | None
    """None when nothing of this call had to know."""
    tarballs: tuple[Product, ...]
    install: tuple[str, ...]
    """Shell commands that install the smallest tarball."""
    planned: tuple[PlannedFile, ...] = ()
    """Of a dry run: what would be written."""


def report_of(release: Release) -> ReleaseReport:
    """Collect what was made and where it is."""
    places = release.places
    root = places.destination
    uploaded = release.transfers is not None
    tarballs = tuple(
        Product(
            tarball.path.name,
            tarball.size,
            tarball.sha256,
            places.url(root.tarball(tarball.path.name)) if uploaded else str(tarball.path),
        )
        for tarball in release.tarballs
    )
    index = places.url(root.archive_index()) if uploaded and release.options.listings else None
    return ReleaseReport(
        root.run_id,
        places.url(root.root),
        uploaded,
        index,
        release.manifest.kpack_split if release.manifest else None,
        tarballs,
        _install_commands(tarballs),
        release.planned,
    )


def tell(report: ReleaseReport, console: Console, environ: Mapping[str, str] = os.environ) -> None:
    """Print the report, and hand it to the steps that follow in CI."""
    if report.tarballs:
        _tell_products(report.tarballs, console)
        console.say()
        console.say("To install:")
        for command in report.install:
            console.say(f"  {command}")
        console.say()
    if report.uploaded:
        console.say(f"Outputs: {report.root}")
    if report.index:
        console.say(f"Index:   {report.index}")
    outputs = {}
    if report.kpack_split is not None:
        outputs["kpack_split"] = "true" if report.kpack_split else "false"
    if report.tarballs:
        outputs["tarball_urls"] = json.dumps([tarball.url for tarball in report.tarballs])
    append_outputs(environ, outputs)
    if report.tarballs or report.uploaded:
        append_summary(environ, _summary(report))


def _tell_products(products: tuple[Product, ...], console: Console) -> None:
    """One line each: whole digests and addresses for a log, what fits for a person."""
    if console.interactive:
        rows = [(p.name, format_size(p.size), f"{p.sha256[:16]}…") for p in products]
        console.table(("tarball", "size", "sha256"), rows)
        console.say(f"in {products[0].url.removesuffix(products[0].name)}")
        return
    rows = [(format_size(p.size), p.sha256, p.url) for p in products]
    console.table(("size", "sha256", "tarball"), rows)


def _install_commands(tarballs: tuple[Product, ...]) -> tuple[str, ...]:
    if not tarballs:
        return ()
    # The smallest useful one is a better example than the one with every GPU.
    url = min(tarballs, key=lambda tarball: tarball.size).url
    flags = "--zstd -x" if url.endswith(".zst") else "-xz"
    if _is_address(url):
        return (
            "mkdir -p rocm",
            f"curl -fL {shlex.quote(url)} | tar {flags} -C rocm",
        )
    return ("mkdir -p rocm", f"tar {flags} -f {shlex.quote(url)} -C rocm")


def _summary(report: ReleaseReport) -> str:
    lines = [f"## Outputs of run {markdown_text(report.run_id)}", ""]
    if report.tarballs:
        rows = [
            (_linked(tarball), format_size(tarball.size), f"`{tarball.sha256}`")
            for tarball in report.tarballs
        ]
        lines += [markdown_table(("Tarball", "Size", "SHA-256"), rows)]
        lines += ["```sh", *report.install, "```", ""]
    if report.uploaded:
        where = report.index or report.root
        lines.append(f"All files: {where if _is_address(where) else markdown_text(where)}")
    return "\n".join(lines) + "\n"


def _linked(tarball: Product) -> str:
    name = markdown_text(tarball.name)
    return f"[{name}]({tarball.url})" if _is_address(tarball.url) else name


def _is_address(where: str) -> bool:
    return where.startswith(("https://", "http://"))
