"""Build trees as a stage leaves them, in small."""

from __future__ import annotations

from pathlib import Path

_FILES = {
    "logs/rocBLAS_build.log": "built rocBLAS\n",
    "logs/therock-build-prof/comp-summary.html": "<p>profile</p>",
    "logs/therock-build-prof/comp-summary.md": "# profile\n",
    "logs/therock-build-prof/data/a.json": "{}",
    "logs/ccache/ccache.log": "hit\n" * 500,
    "logs/ccache/worker/ccache.log": "miss\n",
    "logs/build_observability.html": "<p>observed</p>",
    "logs/index.html": "<p>the build's own page</p>",
    "build_time_analysis.html": "<p>times</p>",
    "math-libs/BLAS/rocBLAS/build/.ninja_log": "# ninja log v6\n1\n",
    "core/clr/build/.ninja_log": "# ninja log v6\n2\n",
    "base/aux-overlay/build/therock_manifest.json": '{"the_rock_commit": "abc"}',
}


def make_build_tree(directory: Path) -> Path:
    """Everything that a build can leave for `upload-logs`."""
    for name, text in _FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory
