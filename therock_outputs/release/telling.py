"""What a release tells at its end: a table, the commands that install, outputs for CI."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from therock_outputs.console import Console, format_size
from therock_outputs.formatting import is_address
from therock_outputs.github.actions import (
    append_outputs,
    append_summary,
    markdown_table,
    markdown_text,
)
from therock_outputs.release.report import Product, ReleaseReport

__all__ = ["tell"]


def tell(report: ReleaseReport, console: Console, environ: Mapping[str, str] = os.environ) -> None:
    """Print the report, and hand it to the steps that follow in CI."""
    for what, products in _kinds(report):
        _tell_products(what, products, console)
        console.say()
    if report.repositories:
        console.table(
            ("packages", "number", "size", "repository"),
            [(r.kind, r.packages, format_size(r.size), r.url) for r in report.repositories],
        )
        console.say()
    for way in report.install:
        console.say(f"To install {way.what}:")
        for command in way.commands:
            console.say(f"  {command}")
        console.say()
    if report.uploaded:
        console.say(f"Outputs: {report.root}")
    if report.index:
        console.say(f"Index:   {report.index}")
    append_outputs(environ, _outputs(report))
    if report.uploaded or _kinds(report) or report.repositories:
        append_summary(environ, _summary(report))


def _kinds(report: ReleaseReport) -> Sequence[tuple[str, tuple[Product, ...]]]:
    kinds = (("tarball", report.tarballs), ("Python package", report.python))
    return [(what, products) for what, products in kinds if products]


def _outputs(report: ReleaseReport) -> dict[str, str]:
    """What later steps of a CI job can use; only what is known."""
    outputs = {}
    if report.kpack_split is not None:
        outputs["kpack_split"] = "true" if report.kpack_split else "false"
    if report.tarballs:
        outputs["tarball_urls"] = json.dumps([tarball.url for tarball in report.tarballs])
    for name, urls in (
        ("package_index_url", report.package_index_urls),
        ("package_find_links_url", report.package_find_links_urls),
    ):
        if urls:
            # One for each family of an unsplit run: pip takes several, parted by spaces.
            outputs[name] = " ".join(urls)
    if report.repositories:
        outputs["package_repository_url"] = report.repositories[0].url
    for repository in report.repositories:
        outputs[f"{repository.kind}_repository_url"] = repository.url
    return outputs


def _tell_products(what: str, products: tuple[Product, ...], console: Console) -> None:
    """One line each: whole digests and addresses for a log, what fits for a person."""
    if console.interactive:
        rows = [(p.name, format_size(p.size), f"{p.sha256[:16]}…") for p in products]
        console.table((what, "size", "sha256"), rows)
        console.say(f"in {products[0].url.removesuffix(products[0].name)}")
        return
    console.table(
        ("size", "sha256", what), [(format_size(p.size), p.sha256, p.url) for p in products]
    )


def _summary(report: ReleaseReport) -> str:
    lines = [f"## Outputs of run {markdown_text(report.run_id)}", ""]
    for what, products in _kinds(report):
        rows = [(_linked(p), format_size(p.size), f"`{p.sha256}`") for p in products]
        lines += [markdown_table((what.capitalize(), "Size", "SHA-256"), rows)]
    for repository in report.repositories:
        link = f"<{repository.url}>" if is_address(repository.url) else f"`{repository.url}`"
        size = format_size(repository.size)
        lines += [f"{repository.packages} {repository.kind} packages, {size}: {link}", ""]
        for snippet in repository.snippets:
            lines += [f"`{snippet.path}`", "", "```", *snippet.text.splitlines(), "```", ""]
    for way in report.install:
        lines += [f"To install {way.what}:", "", "```sh", *way.commands, "```", ""]
    if report.uploaded:
        where = report.index or report.root
        lines.append(f"All files: {where if is_address(where) else markdown_text(where)}")
    return "\n".join(lines) + "\n"


def _linked(product: Product) -> str:
    name = markdown_text(product.name)
    return f"[{name}]({product.url})" if is_address(product.url) else name
