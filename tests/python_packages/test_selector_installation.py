"""The packages in real environments, by real pip and uv, without any network."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wheel_makers import (
    TARGETS,
    VERSION,
    Environment,
    device_files,
    make_run,
    make_unsplit_run,
    repack_installed,
)
from therock_outputs.artifacts import sample_elf

Install = Callable[..., str]

ALL = "rocm[libraries,devel,device-all,profiler]"


def _installer(environment: Environment, name: str) -> Install:
    return environment.pip if name == "pip" else environment.uv


def _install(environment: Environment, name: str, wheelhouse: Path, *what: str) -> None:
    _installer(environment, name)(
        "install", "--no-index", "--find-links", wheelhouse, *(f"{one}=={VERSION}" for one in what)
    )


def _uninstall(environment: Environment, name: str, *what: str) -> None:
    extra = ["-y"] if name == "pip" else []
    _installer(environment, name)("uninstall", *extra, *what)


def _rocm_packages() -> list[str]:
    return [
        "rocm", "rocm-sdk-core", "rocm-sdk-libraries", "rocm-sdk-devel", "rocm-profiler",
        *(f"rocm-sdk-device-{target}" for target in TARGETS),
    ]  # fmt: skip


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("mode", ["hard", "symbolic"])
def test_uninstalling_everything_leaves_site_packages_as_before(
    tmp_path: Path, wheelhouse: Path, installer: str, mode: str
) -> None:
    environment = Environment.make(tmp_path / "venv", ROCM_SDK_LINK_MODE=mode)
    before = environment.files()
    _install(environment, installer, wheelhouse, ALL)
    tested = environment.run("rocm-sdk", "test").stdout
    assert "FAIL" not in tested
    assert "ok   start amdclang++" in tested
    assert "skip start hipify-perl: hipify-perl: needs /nowhere/perl-of-elsewhere" in tested
    assert "skip find_libraries('rocdxg')" in tested
    assert "ok   load _rocm_sdk_libraries/lib/libhipblas.so.3" in tested
    # In this order the devel tree's symbolic links lead nowhere when its turn comes.
    _uninstall(environment, installer, *_rocm_packages())
    assert environment.files() == before


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("mode", ["hard", "symbolic"])
def test_removing_one_device_wheel_takes_its_files_and_leaves_the_others(
    tmp_path: Path, wheelhouse: Path, installer: str, mode: str
) -> None:
    environment = Environment.make(tmp_path / "venv", ROCM_SDK_LINK_MODE=mode)
    _install(environment, installer, wheelhouse, "rocm[devel,device-gfx942]")
    root = Path(environment.run("rocm-sdk", "path", "--root").stdout.strip())
    _install(environment, installer, wheelhouse, "rocm-sdk-device-gfx1100")
    assert not list(root.rglob("*gfx1100*"))
    environment.run("rocm-sdk", "init")

    def there(target: str) -> list[bool]:
        inside = [path.split("/", 1)[1] for path in device_files(target) if "/lib/" in path]
        return [
            (top / path).is_file()
            for top in (root, environment.site / "_rocm_sdk_libraries")
            for path in inside
        ]

    assert all(there("gfx942"))
    assert all(there("gfx1100"))
    _uninstall(environment, installer, "rocm-sdk-device-gfx942")
    assert not any(there("gfx942"))
    assert all(there("gfx1100"))
    assert not [path for path in environment.files() if "gfx942" in path]
    assert "FAIL" not in environment.run("rocm-sdk", "test").stdout
    _install(environment, installer, wheelhouse, "rocm-sdk-device-gfx942")
    environment.run("rocm-sdk", "init")
    assert all(there("gfx942"))


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_packages_of_two_runs_fail_clearly(
    tmp_path: Path, wheelhouse: Path, installer: str
) -> None:
    environment = Environment.make(tmp_path / "venv")
    _install(environment, installer, wheelhouse, "rocm[libraries]")
    make_run(tmp_path / "other", "7.11.0")
    _installer(environment, installer)(
        "install", "--no-index", "--find-links", tmp_path / "other", "--no-deps",
        "rocm-sdk-libraries==7.11.0",
    )  # fmt: skip
    said = environment.python("import rocm_sdk; rocm_sdk.find_libraries('hipblas')", check=False)
    assert f"rocm {VERSION} with rocm-sdk-libraries 7.11.0" in said
    assert "RuntimeError" in environment.python(
        "import rocm_sdk\ntry: rocm_sdk.preload_libraries('hipblas')\n"
        "except RuntimeError: print('RuntimeError')"
    )
    for command in (["rocm-sdk", "test"], ["amdclang"], ["rocm-sdk", "path", "--root"]):
        ran = environment.run(*command, check=False)
        assert ran.returncode != 0
        assert "packages of different runs are installed together" in ran.stdout + ran.stderr


def test_libraries_are_found_and_loaded_with_their_dependencies(
    tmp_path: Path, wheelhouse: Path
) -> None:
    environment = Environment.make(tmp_path / "venv")
    _install(environment, "uv", wheelhouse, "rocm[libraries]")
    printed = environment.python(
        "import rocm_sdk, ctypes\n"
        f"assert rocm_sdk.__version__ == {VERSION!r}\n"
        "rocm_sdk.initialize_process(preload_shortnames=['hipblas', 'rocdxg'], "
        "check_version='7.10.*')\n"
        "print(*[path.name for path in rocm_sdk.find_libraries('miopen', 'hipblas')])\n"
        "print(ctypes.CDLL(None).lzma_version(), ctypes.CDLL(None).hipblasLtCreate())",
        ROCM_SDK_PRELOAD_LIBRARIES="miopen; hipblaslt,",
    )
    assert printed.split() == ["libMIOpen.so.1", "libhipblas.so.3", "1", "1"]
    assert "ModuleNotFoundError: ROCm has no library 'cuda'" in environment.python(
        "import rocm_sdk; rocm_sdk.find_libraries('cuda')", check=False
    ).replace("rocm_sdk._errors.UnknownNameError", "ModuleNotFoundError")


def test_console_scripts_run_programs_from_their_place(tmp_path: Path, wheelhouse: Path) -> None:
    environment = Environment.make(tmp_path / "venv")
    _install(environment, "uv", wheelhouse, "rocm[profiler]")
    core = environment.site / "_rocm_sdk_core"
    assert environment.run("amdclang++").stdout == f"{core}/lib/llvm/bin/amdclang++ is clang++\n"
    # A script for Python runs with the environment's, whatever is first on PATH.
    assert environment.run("rocm-smi").stdout.strip() == str(environment.root)
    profiled = environment.run("rocprof-sys-avail", LD_LIBRARY_PATH="/mine").stdout
    profiler = environment.site / "_rocm_profiler"
    assert profiled.splitlines()[0].split(":") == [
        f"{profiler}/lib", f"{core}/lib", f"{core}/lib/rocm_sysdeps/lib", "/mine",
    ]  # fmt: skip
    missing = environment.run("hipify-perl", check=False)
    assert missing.returncode == 127
    assert "is not on this machine" in missing.stderr
    _install(environment, "uv", wheelhouse, "rocm[devel]")
    tree = environment.site / "_rocm_sdk_devel"
    assert environment.run("amdclang++").stdout == f"{tree}/lib/llvm/bin/amdclang++ is clang++\n"


def test_two_processes_expand_devel_at_once(tmp_path: Path, wheelhouse: Path) -> None:
    environment = Environment.make(tmp_path / "venv")
    _install(environment, "uv", wheelhouse, "rocm[libraries,devel,device-all]")
    running = [
        subprocess.Popen(
            [environment.bin / "rocm-sdk", "init"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in running:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        assert output.strip() == str(environment.site / "_rocm_sdk_devel")
    record = next(environment.site.glob("rocm_sdk_devel-*.dist-info")) / "RECORD"
    rows = record.read_text().splitlines()
    assert len(rows) == len(set(rows))
    assert "FAIL" not in environment.run("rocm-sdk", "test").stdout


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "rocm-sdk-device-gfx942"),
        ("gfx1100", "rocm-sdk-device-gfx1100"),
        ("gfx110X-all", "rocm-sdk-device-gfx1100"),
    ],
)
def test_device_extra_follows_the_environment(
    tmp_path: Path, wheelhouse: Path, value: str, expected: str
) -> None:
    environment = Environment.make(
        tmp_path / "venv", ROCM_SDK_TARGET_FAMILY=value, PATH="/usr/bin:/bin"
    )
    _install(environment, "uv", wheelhouse, "rocm[device]")
    installed = environment.uv("freeze").splitlines()
    assert [line for line in installed if line.startswith("rocm-sdk-device")] == [
        f"{expected}=={VERSION}"
    ]


def test_device_extra_follows_the_gpu_that_is_found(tmp_path: Path, wheelhouse: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "offload-arch"
    tool.write_text("#!/bin/sh\necho gfx90c\necho gfx1100:xnack-\n")
    tool.chmod(0o755)
    environment = Environment.make(tmp_path / "venv", PATH=f"{tools}:/usr/bin:/bin")
    _install(environment, "pip", wheelhouse, "rocm[device]")
    assert f"rocm-sdk-device-gfx1100=={VERSION}" in environment.uv("freeze")
    assert "gfx942" not in environment.uv("freeze")


def test_device_that_the_run_lacks_is_refused(tmp_path: Path, wheelhouse: Path) -> None:
    environment = Environment.make(tmp_path / "venv", ROCM_SDK_TARGET_FAMILY="gfx906")
    said = environment.uv(
        "install", "--no-index", "--find-links", wheelhouse, "rocm[device]", check=False
    )
    assert "has no GPU code for 'gfx906' on this system; it has gfx942, gfx1100" in " ".join(
        said.split()
    )


def test_pip_downloads_the_sdist_and_what_an_extra_needs(tmp_path: Path, wheelhouse: Path) -> None:
    environment = Environment.make(tmp_path / "venv")
    environment.pip(
        "download", "--no-index", "--find-links", wheelhouse, "-d", tmp_path / "got",
        f"rocm[device-gfx942]=={VERSION}",
    )  # fmt: skip
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "got").iterdir()) == [
        "rocm", "rocm_sdk_core", "rocm_sdk_device_gfx942", "rocm_sdk_libraries",
    ]  # fmt: skip


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_uninstalling_after_a_killed_expansion_leaves_nothing(
    tmp_path: Path, wheelhouse: Path, installer: str
) -> None:
    environment = Environment.make(tmp_path / "venv")
    before = environment.files()
    _install(environment, installer, wheelhouse, "rocm[libraries,devel,device-gfx942]")
    environment.python(
        "import os, signal\n"
        "from rocm_sdk import _devel, _environment\n"
        "def kill(source, name): os.kill(os.getpid(), signal.SIGKILL)\n"
        "_devel.expand(_environment.installation(), {}, hard_link=kill)",
        check=False,
    )
    assert (environment.site / "_rocm_sdk_devel.partial" / "include").is_dir()
    _uninstall(environment, installer, *_rocm_packages()[:4], "rocm-sdk-device-gfx942")
    assert environment.files() == before


def test_rocm_sdk_test_fails_and_names_everything_that_is_wrong(
    tmp_path: Path, wheelhouse: Path
) -> None:
    environment = Environment.make(tmp_path / "venv", ROCM_SDK_LINK_MODE="symbolic")
    _install(environment, "uv", wheelhouse, "rocm[libraries,devel,device-gfx942]")
    environment.run("rocm-sdk", "init")
    core, libraries = (environment.site / f"_rocm_sdk_{name}" for name in ("core", "libraries"))
    (core / "bin" / "rocminfo").unlink()
    (core / "share" / "notes.txt").unlink()
    amdclang = core / "lib" / "llvm" / "bin" / "amdclang"
    amdclang.unlink()
    amdclang.write_bytes(sample_elf.program("!", needed=["libgone.so.1"]))
    amdclang.chmod(0o755)
    miopen = libraries / "lib" / "libMIOpen.so.1"
    miopen.unlink()
    miopen.write_bytes(sample_elf.shared_library("libMIOpen.so.1", ["a"], needed=["libgone.so.1"]))
    (libraries / "lib" / "libhipblaslt.so.1").unlink()
    (libraries / "lib" / "libhipblas.so").symlink_to("libnowhere.so")
    (environment.bin / "rocm-smi").write_text("#!/bin/sh\nkill -SEGV $$\n")
    ran = environment.run("rocm-sdk", "test", check=False)
    assert ran.returncode == 1
    failed = [line for line in ran.stdout.splitlines() if line.startswith("FAIL")]
    for expected in (
        "files of rocm-sdk-core: ", "share/notes.txt is missing", "devel tree: ",
        "links in _rocm_sdk_libraries: _rocm_sdk_libraries/lib/libhipblas.so leads nowhere",
        "find_libraries('hipblaslt'): the library 'hipblaslt' is not in ",
        "load _rocm_sdk_libraries/lib/libMIOpen.so.1: OSError: libgone.so.1",
        "start amdclang: ", "start rocminfo: rocminfo: ", "start rocm-smi: ended by signal 11",
    ):  # fmt: skip
        assert expected in "\n".join(failed)
    assert "find_libraries('hipblas')" not in "\n".join(failed)


def test_unsplit_run_has_the_libraries_of_its_family(tmp_path: Path) -> None:
    make_unsplit_run(tmp_path / "run", "gfx110X-all")
    repack_installed("setuptools", tmp_path / "run")
    environment = Environment.make(tmp_path / "venv")
    _install(environment, "uv", tmp_path / "run", "rocm[libraries,device]")
    assert environment.python(
        "import rocm_sdk\n"
        "rocm_sdk.preload_libraries('hipblas')\n"
        "print(rocm_sdk.find_libraries('hipblas')[0].parent.parent.name)"
    ).split() == ["_rocm_sdk_libraries_gfx110x_all"]
    assert environment.run("rocm-sdk", "targets").stdout == "gfx1100\n"
    tested = environment.run("rocm-sdk", "test").stdout
    assert "skip device files: the libraries hold the GPU code" in tested
    assert "ok   load _rocm_sdk_libraries_gfx110x_all/lib/libhipblas.so.3" in tested
    assert "pip install" in environment.run("rocm-sdk", "path", "--root", check=False).stderr
