from __future__ import annotations

import pytest

from therock_outputs.artifacts.names import (
    ArchiveName,
    ArtifactName,
    Component,
    Compression,
    parse_archive_filename,
    parse_sha256sum,
    prefer_zst,
)
from therock_outputs.errors import IntegrityError

DIGEST = "0123456789abcdef" * 4
ARCHIVE = "blas_lib_generic.tar.zst"


@pytest.mark.parametrize(
    ("stem", "name", "component", "target", "base"),
    [
        ("base_lib_generic", "base", Component.LIB, "generic", "generic"),
        ("amd-llvm_run_generic", "amd-llvm", Component.RUN, "generic", "generic"),
        ("blas_test_gfx94X-dcgpu", "blas", Component.TEST, "gfx94X-dcgpu", "gfx94X-dcgpu"),
        ("blas_lib_gfx942:xnack+", "blas", Component.LIB, "gfx942:xnack+", "gfx942"),
        ("x_doc_gfx90a:sramecc+:xnack-", "x", Component.DOC, "gfx90a:sramecc+:xnack-", "gfx90a"),
        ("fftw3_dbg_gfx9-4-generic", "fftw3", Component.DBG, "gfx9-4-generic", "gfx9-4-generic"),
    ],
)
def test_stem_is_parsed_and_written_back(
    stem: str, name: str, component: Component, target: str, base: str
) -> None:
    artifact = ArtifactName.parse(stem)
    assert artifact == ArtifactName(name, component, target)
    assert artifact.base_target == base
    assert artifact.is_generic is (target == "generic")
    assert artifact.stem == str(artifact) == stem


@pytest.mark.parametrize(
    "stem",
    [
        "",
        "blas",
        "blas_lib",
        "_lib_generic",
        "blas__generic",
        "blas_lib_",
        "blas_lib_gfx942_extra",
        "blas_libs_generic",
        "blas_LIB_generic",
        "bl.as_lib_generic",
        "-blas_lib_generic",
        "blas-_lib_generic",
        "../blas_lib_generic",
        "blas_lib_../generic",
        "blas_lib_..",
        "/blas_lib_generic",
        "blas_lib_gfx942:xnack",
        "blas_lib_gfx942:",
        "blas_lib_:xnack+",
        "blas_lib_gfx942+",
        "blas_lib_gfx942:XNACK+",
        "blas_lib_generic\n",
        "blas\x00_lib_generic",
        "bl\u00e4s_lib_generic",
        "blas_lib_gfx\u0669",
        "blas _lib_generic",
        "blas\\x_lib_generic",
        "a" * 240 + "_lib_generic",
    ],
)
def test_hostile_or_malformed_stem_is_refused(stem: str) -> None:
    with pytest.raises(IntegrityError):
        ArtifactName.parse(stem)


@pytest.mark.parametrize(("name", "target"), [("a_b", "generic"), ("a", "../x"), ("", "generic")])
def test_artifact_cannot_be_made_from_bad_parts(name: str, target: str) -> None:
    with pytest.raises(IntegrityError):
        ArtifactName(name, Component.LIB, target)


@pytest.mark.parametrize(
    ("filename", "compression"),
    [("blas_lib_gfx942:xnack+.tar.zst", Compression.ZST), ("b_dev_generic.tar.xz", Compression.XZ)],
)
def test_archive_filename_is_parsed_and_written_back(
    filename: str, compression: Compression
) -> None:
    archive = parse_archive_filename(filename)
    assert archive is not None
    assert archive.compression is compression
    assert archive.filename == str(archive) == filename
    assert archive.sha256_filename == filename + ".sha256sum"


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "index.html",
        "index-gfx94X-dcgpu.html",
        "blas_lib_generic.tar.zst.sha256sum",
        "blas_lib_generic.tar.gz",
        "blas_lib_generic",
        "blas_lib_generic.tar.zst.tmp",
        "ccache_logs.tar.zst",
        "notes.tar.xz",
        ".tar.zst",
    ],
)
def test_file_that_is_no_archive_is_none(filename: str) -> None:
    assert parse_archive_filename(filename) is None


@pytest.mark.parametrize(
    "filename",
    [
        "blas_headers_generic.tar.zst",
        "../up_lib_generic.tar.zst",
        "a_lib_gfx942_old.tar.xz",
        "a_lib_generic.tar.xz.tar.zst",
        "__.tar.zst",
    ],
)
def test_near_miss_is_an_error_that_names_the_file(filename: str) -> None:
    with pytest.raises(IntegrityError, match="_"):
        parse_archive_filename(filename)


def test_unknown_component_error_lists_the_known_ones() -> None:
    with pytest.raises(IntegrityError, match="'headers' is not one of lib, run, dbg, dev, doc, t"):
        parse_archive_filename("blas_headers_generic.tar.zst")


def test_generic_archives_sort_first_then_name_component_target() -> None:
    stems = [
        "zlib_lib_generic",
        "blas_lib_gfx942",
        "blas_test_generic",
        "blas_run_gfx90a",
        "blas_dev_generic",
        "blas_lib_generic",
        "blas_lib_gfx90a",
    ]
    ordered = sorted(map(ArtifactName.parse, stems), key=lambda artifact: artifact.sort_key)
    assert [artifact.stem for artifact in ordered] == [
        "blas_lib_generic",
        "blas_dev_generic",
        "blas_test_generic",
        "zlib_lib_generic",
        "blas_lib_gfx90a",
        "blas_lib_gfx942",
        "blas_run_gfx90a",
    ]


@pytest.mark.parametrize("reverse", [False, True])
def test_zst_wins_over_xz_of_the_same_artifact_in_any_order(reverse: bool) -> None:
    a, b, c = (ArtifactName.parse(f"{name}_lib_generic") for name in "abc")
    names = [
        ArchiveName(a, Compression.XZ),
        ArchiveName(a, Compression.ZST),
        ArchiveName(b, Compression.XZ),
        ArchiveName(c, Compression.ZST),
        ArchiveName(c, Compression.ZST),
    ]
    chosen = prefer_zst(reversed(names) if reverse else names)
    assert [archive.filename for archive in chosen] == [
        "a_lib_generic.tar.zst",
        "b_lib_generic.tar.xz",
        "c_lib_generic.tar.zst",
    ]


@pytest.mark.parametrize(
    "text",
    [
        DIGEST,
        DIGEST + "\n",
        DIGEST + "\r\n",
        DIGEST + "\n\n",
        DIGEST.upper(),
        f"{DIGEST}  {ARCHIVE}",
        f"{DIGEST}  {ARCHIVE}\n",
        f"{DIGEST}  {ARCHIVE}\r\n",
        f"{DIGEST} *{ARCHIVE}\n",
    ],
)
def test_digest_file_is_read_bare_or_with_the_archive_name(text: str) -> None:
    assert parse_sha256sum(text, ARCHIVE) == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        DIGEST[:-1],
        DIGEST + "0",
        DIGEST[:-1] + "g",
        " " + DIGEST,
        f"{DIGEST} {ARCHIVE}",
        f"{DIGEST}   {ARCHIVE}",
        f"{DIGEST}  other_lib_generic.tar.zst",
        f"{DIGEST}  ./{ARCHIVE}",
        f"{DIGEST}  {ARCHIVE} ",
        f"{DIGEST}  {ARCHIVE}\n{DIGEST}  {ARCHIVE}\n",
        f"SHA256 ({ARCHIVE}) = {DIGEST}",
        "<html>404</html>",
    ],
)
def test_malformed_digest_file_is_refused_with_what_to_try(text: str) -> None:
    with pytest.raises(IntegrityError, match=r"generic\.tar\.zst\.sha256sum .*--allow-unverified"):
        parse_sha256sum(text, ARCHIVE)
