"""The sample run: complete, real enough to run, and the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from therock_outputs.artifacts.names import ArtifactName, Component
from therock_outputs.artifacts.sample_run import SampleRun, write_sample_run
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import ConflictError, OutputsError, UsageError


@pytest.fixture(scope="module")
def split_run(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    return write_sample_run(tmp_path_factory.mktemp("split"), jobs=2)


@pytest.fixture(scope="module")
def family_run(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    targets = ("gfx942", "gfx1100", "gfx1101")
    return write_sample_run(tmp_path_factory.mktemp("family"), split=False, targets=targets)


@pytest.fixture(scope="module")
def tree(split_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All archives of the split run laid over one another."""
    directory = tmp_path_factory.mktemp("flat tree")
    for archive in split_run.archives:
        _flatten(archive.path, directory)
    return directory


def _open(path: Path) -> tarfile.TarFile:
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    return tarfile.open(fileobj=io.BytesIO(data))


def _flatten(path: Path, directory: Path) -> None:
    with _open(path) as tar:
        first, *members = tar.getmembers()
        manifest = tar.extractfile(first)
        assert manifest is not None
        stages = manifest.read().decode().splitlines()
        for member in members:
            stage = next(stage for stage in stages if member.name.startswith(f"{stage}/"))
            member.name = member.name.removeprefix(f"{stage}/")
            if member.islnk():
                member.linkname = member.linkname.removeprefix(f"{stage}/")
            tar.extract(member, directory, filter="tar")


def _digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _artifacts(run: SampleRun) -> Iterator[ArtifactName]:
    for archive in run.archives:
        yield ArtifactName.parse(archive.path.name.removesuffix(".tar.zst"))


def test_rerun_and_another_number_of_threads_make_the_same_bytes(
    split_run: SampleRun, tmp_path: Path
) -> None:
    expected = _digests(split_run.root)
    write_sample_run(tmp_path, jobs=1)
    again = write_sample_run(tmp_path, jobs=4)
    assert _digests(again.root) == expected
    assert [archive.sha256 for archive in again.archives] == [
        archive.sha256 for archive in split_run.archives
    ]
    assert again.size == sum(path.stat().st_size for path in again.root.glob("*.tar.zst"))


def test_run_lies_where_the_layout_says(split_run: SampleRun) -> None:
    assert split_run.root.name == "sample-linux"
    files = {name for name in _digests(split_run.root) if "/" in name}
    assert files == {
        "manifests/therock_manifest.json",
        "logs/compiler-runtime/build.log",
        "logs/math-libs/gfx942/build.log",
        "logs/math-libs/gfx1100/build.log",
    }


def test_every_archive_has_its_digest_beside_it(split_run: SampleRun) -> None:
    for archive in split_run.archives:
        digest = hashlib.sha256(archive.path.read_bytes()).hexdigest()
        line = Path(f"{archive.path}.sha256sum").read_text()
        assert line == f"{digest}  {archive.path.name}\n"


def test_all_components_and_only_known_artifacts_are_there(split_run: SampleRun) -> None:
    artifacts = list(_artifacts(split_run))
    assert {artifact.component for artifact in artifacts} == set(Component)
    names = {artifact.name for artifact in artifacts}
    assert names <= set(Topology.load().artifacts)
    assert {"base", "core-hip", "core-runtime", "amd-llvm", "blas", "rand", "fft"} <= names
    assert {"sysdeps", "rocprofiler-systems", "fftw3", "prim"} <= names


def test_split_run_has_gpu_code_by_target_only(split_run: SampleRun) -> None:
    for artifact, archive in zip(_artifacts(split_run), split_run.archives, strict=True):
        with _open(archive.path) as tar:
            names = tar.getnames()
        device = [
            name
            for name in names
            if name.endswith((".hsaco", ".co", ".kpack", ".dat", ".db", ".db.txt"))
        ]
        if artifact.target == "generic":
            assert device == []
        elif artifact.component is Component.LIB:
            assert device
            assert all(artifact.target in name for name in device)
    kinds = {path.suffix for path in _paths(split_run)}
    assert {".kpack", ".hsaco", ".co", ".dat"} <= kinds


def _paths(run: SampleRun) -> list[Path]:
    found = []
    for archive in run.archives:
        with _open(archive.path) as tar:
            found += [Path(name) for name in tar.getnames()]
    return found


def test_run_by_family_has_families_and_no_kpack(family_run: SampleRun) -> None:
    assert family_run.families == ("gfx94X-dcgpu", "gfx110X-dgpu")
    owners = {artifact.target for artifact in _artifacts(family_run)}
    assert owners == {"generic", "gfx94X-dcgpu", "gfx110X-dgpu"}
    assert not [path for path in _paths(family_run) if path.suffix == ".kpack"]
    names = {path.name for path in _paths(family_run)}
    assert {"rocrand_gfx1100.hsaco", "rocrand_gfx1101.hsaco"} <= names
    in_families = {
        artifact.name for artifact in _artifacts(family_run) if artifact.target != "generic"
    }
    assert in_families == {"blas", "fft", "miopen", "rand"}


@pytest.mark.parametrize("split", [True, False])
def test_manifest_says_what_the_run_is(
    split_run: SampleRun, family_run: SampleRun, split: bool
) -> None:
    run = split_run if split else family_run
    text = (run.root / "manifests" / "therock_manifest.json").read_bytes()
    manifest = json.loads(text)
    assert manifest["flags"] == {"KPACK_SPLIT_ARTIFACTS": split}
    assert manifest["github_run_id"] == "sample"
    assert manifest["rocm_package_version"] == "7.13.0.dev0"
    assert manifest["rocm_version"] == "7.13.0"
    assert len(manifest["the_rock_commit"]) == 40
    assert manifest["submodules"]
    with _open(run.root / "base_lib_generic.tar.zst") as tar:
        member = tar.extractfile("base/aux-overlay/stage/share/therock/therock_manifest.json")
        assert member is not None
        assert member.read() == text


def test_no_two_archives_hold_different_files_at_one_path(
    split_run: SampleRun, family_run: SampleRun
) -> None:
    for run in (split_run, family_run):
        seen: dict[str, bytes] = {}
        for archive in run.archives:
            with _open(archive.path) as tar:
                for member in tar.getmembers()[1:]:
                    path = member.name.partition("/stage/")[2]
                    file = tar.extractfile(member) if member.isfile() else None
                    content = file.read() if file else member.linkname.encode()
                    assert seen.setdefault(path, content) == content, path


def test_every_library_of_the_tree_loads(tree: Path) -> None:
    libraries = sorted(
        path for path in tree.rglob("*.so.*") if not path.is_symlink() and path.suffix != ".debug"
    )
    assert len(libraries) > 20
    code = "import ctypes, sys\nfor path in sys.argv[1:]: ctypes.CDLL(path)"
    subprocess.run([sys.executable, "-c", code, *map(str, libraries)], check=True)


def test_library_chain_leads_from_one_name_to_the_next(tree: Path) -> None:
    for name, soname in (("amdhip64", "7"), ("rocblas", "5"), ("hipblas", "3")):
        link = tree / "lib" / f"lib{name}.so"
        assert str(link.readlink()) == f"lib{name}.so.{soname}"
        assert link.resolve().name.startswith(f"lib{name}.so.{soname}.")


@pytest.mark.parametrize(
    "name",
    [
        "bin/rocminfo",
        "bin/rocm_info",
        "bin/hipcc",
        "bin/amdclang",
        "bin/rocprof-sys-run",
        "bin/rocblas-test",
        "lib/llvm/bin/clang++",
        "lib/llvm/bin/ld.lld",
        "llvm/bin/offload-arch",
    ],
)
def test_program_of_the_tree_runs(tree: Path, name: str) -> None:
    ran = subprocess.run([str(tree / name)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{tree / name}: ")
    assert "ROCm 7.13.0" in ran.stdout


def test_links_of_every_kind_are_there(tree: Path) -> None:
    assert (tree / "bin" / "rocm_info").is_symlink()
    assert (tree / "llvm").is_symlink()
    assert (tree / "llvm").is_dir()
    tools = tree / "lib" / "llvm" / "bin"
    assert tools.joinpath("ld.lld").samefile(tools / "lld")
    assert not tools.joinpath("ld.lld").is_symlink()
    assert (tree / "share" / "rocprofiler-systems" / "presets").is_dir()
    dangling = [path for path in tree.rglob("*") if path.is_symlink() and not path.exists()]
    assert dangling == []


def test_real_files_of_this_environment_are_there(tree: Path) -> None:
    bindings = list((tree / "lib/python3/site-packages/rocprofv3").iterdir())
    assert len(bindings) == 2
    assert all(path.read_bytes().startswith(b"\x7fELF") for path in bindings)


def test_listed_stage_without_files_is_there(split_run: SampleRun) -> None:
    with _open(split_run.root / "base_run_generic.tar.zst") as tar:
        manifest = tar.extractfile("artifact_manifest.txt")
        assert manifest is not None
        stages = manifest.read().decode().splitlines()
        assert "base/half/stage" in stages
        assert not [name for name in tar.getnames() if name.startswith("base/half/")]


def test_target_with_features_is_written_as_one_of_its_own(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, targets=("gfx942", "gfx942:xnack+", "gfx942"))
    targets = {artifact.target for artifact in _artifacts(run)}
    assert targets == {"generic", "gfx942", "gfx942:xnack+"}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"targets": ("gfx9999",)}, UsageError, "gfx9999"),
        ({"targets": ()}, UsageError, "at least one GPU target"),
        ({"platform": "windows"}, UsageError, "--platform windows cannot be written"),
        ({"version": "7.13"}, UsageError, "'7.13' does not begin with X.Y.Z"),
        ({"run_id": "../x"}, UsageError, "run id"),
    ],
)
def test_run_that_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, str], kind: type[OutputsError], message: str
) -> None:
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        write_sample_run(tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_archives_of_another_run_are_not_mixed_with_ours(tmp_path: Path) -> None:
    first = write_sample_run(tmp_path, targets=("gfx906",))
    before = _digests(first.root)
    with pytest.raises(ConflictError, match=r"blas_lib_gfx906.tar.zst, which is not of this run"):
        write_sample_run(tmp_path, targets=("gfx942",))
    assert _digests(first.root) == before
