from __future__ import annotations

from pathlib import Path

import pytest

from tests import archive_makers as make
from therock_outputs.artifacts.local_run import archives_in, manifest_of
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.errors import IntegrityError, NotFoundError

OVERLAY = "base/aux-overlay/stage"
MANIFEST = b'{"flags": {"KPACK_SPLIT_ARTIFACTS": true}}'


def test_archives_of_a_directory_come_with_their_digests(tmp_path: Path) -> None:
    blas = make.write(tmp_path, "blas_lib_gfx942.tar.zst")
    make.write(tmp_path, "blas_lib_gfx942.tar.xz")
    base = make.write(tmp_path, "base_lib_generic.tar.xz")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "extracted_lib_generic").mkdir()
    found = archives_in(tmp_path)
    assert [archive.path for archive in found] == [base, blas]
    assert [archive.sha256 for archive in found] == [make.digest_of(base), make.digest_of(blas)]
    assert [archive.size for archive in found] == [base.stat().st_size, blas.stat().st_size]


def test_a_directory_without_archives_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no artifact archives"):
        archives_in(tmp_path)
    (tmp_path / "file").write_text("x")
    for missing in ("gone", "file"):
        with pytest.raises(NotFoundError, match="no such directory"):
            archives_in(tmp_path / missing)


@pytest.mark.parametrize("text", [None, "", "no digest"])
def test_a_missing_or_malformed_digest_has_to_be_allowed(tmp_path: Path, text: str | None) -> None:
    make.write(tmp_path, "blas_lib_gfx942.tar.zst", sums=False)
    if text is not None:
        (tmp_path / "blas_lib_gfx942.tar.zst.sha256sum").write_text(text)
    with pytest.raises(IntegrityError, match="blas_lib_gfx942"):
        archives_in(tmp_path)
    assert [archive.sha256 for archive in archives_in(tmp_path, allow_unverified=True)] == [None]


def test_the_manifest_is_found_in_the_base_archive(tmp_path: Path) -> None:
    make.write(tmp_path, "blas_lib_gfx942.tar.zst")
    assert manifest_of(archives_in(tmp_path)) == (RunManifest(), None)
    make.write(tmp_path, "base_lib_generic.tar.zst", stages=(OVERLAY,))
    assert manifest_of(archives_in(tmp_path)) == (RunManifest(), None)
    inside = make.file(f"{OVERLAY}/share/therock/therock_manifest.json", MANIFEST)
    make.write(tmp_path, "base_lib_generic.tar.zst", inside, stages=(OVERLAY,))
    assert manifest_of(archives_in(tmp_path)) == (RunManifest(kpack_split=True), MANIFEST)
