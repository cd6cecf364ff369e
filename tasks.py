"""The front door: one function per task, and no logic.

``./inv --list`` is the table of contents, ``./inv --help TASK`` explains a task. Each function
is handed settled values and calls one thing that does the work.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from therock_outputs.flags import Flag, Kind
from therock_outputs.jobs import Heading, Work, job

# ------------------------------------------------------------------ flags of several tasks

_PLACE = (
    "run_id",
    "run_github_repo",
    "platform",
    "release_type",
    "staging_dir",
    "bucket",
    "prefix",
    "work_dir",
)
_UNVERIFIED = Flag(
    "allow_unverified",
    "Only warn about archives whose .sha256sum is missing or malformed.",
    Kind.SWITCH,
)
_ON_CONFLICT = Flag(
    "on_conflict",
    "What to do when two archives differ at one path: fail, or keep the first's or the last's.",
    Kind.CHOICE,
    "RULE",
    "first",
    choices=("error", "first", "last"),
)
_NO_LISTINGS = Flag(
    "no_listings",
    "Write no index.html pages: the CI buckets make their own.",
    Kind.SWITCH,
)
_CACHE_DIR = Flag(
    "cache_dir",
    "Keep fetched archives here by digest, and use those that are there.",
    Kind.PATH,
    "DIR",
    "~/.cache/therock",
)
_TOPOLOGY_FILE = Flag(
    "topology_file",
    "Artifacts and build stages from this file, such as TheRock's BUILD_TOPOLOGY.toml.",
    Kind.PATH,
    "FILE",
    "TheRock/BUILD_TOPOLOGY.toml",
)
_TARBALLS = (
    Flag(
        "tarball_format",
        "How tarballs are compressed; gz by default.",
        Kind.CHOICE,
        "FORMAT",
        "zst",
        choices=("gz", "zst"),
    ),
    Flag(
        "compression_level",
        "How hard they are compressed: gz 1 to 12 (default 5), zst 1 to 19 (default 6).",
        Kind.NUMBER,
        "LEVEL",
        "6",
    ),
    Flag(
        "include_test_tarballs",
        "Also make -tests tarballs, with test components and what only tests need.",
        Kind.SWITCH,
    ),
    Flag(
        "segments_dir",
        "Keep compressed segments here for later runs; by default they go when all is done.",
        Kind.PATH,
        "DIR",
        "~/.cache/therock-segments",
    ),
)
_BUILD_VARIANT = Flag(
    "build_variant",
    "Packages of such a build: native ones get a name of their own, others say so.",
    metavar="NAME",
    example="asan",
)
_PYTHON = (
    Flag(
        "linux_amdgpu_families",
        "What the run's Linux job builds, so that both systems' jobs make one rocm sdist.",
        Kind.LIST,
        "NAMES",
        "gfx94X-dcgpu,gfx110X-all",
    ),
    Flag(
        "windows_amdgpu_families",
        "What the run's Windows job builds.",
        Kind.LIST,
        "NAMES",
        "gfx110X-all",
    ),
    Flag(
        "wheel_platform_tag",
        "The wheels' platform tag; linux_x86_64 or win_amd64 by default.",
        metavar="TAG",
        example="manylinux_2_28_x86_64",
    ),
    _BUILD_VARIANT,
    Flag(
        "strict",
        "Fail when a Python package had to leave something out that no rule leaves out.",
        Kind.SWITCH,
    ),
    Flag(
        "launcher_cc",
        "Compile the launchers that stand for links with this C compiler.",
        metavar="COMMAND",
        example="musl-gcc",
    ),
)
_SIGN_KEY = Flag(
    "sign_key",
    "Sign rpms and repositories with this GPG key, of the keyring or in a file.",
    metavar="KEY",
    example="rocm@example.org",
)
_NATIVE = (
    Flag(
        "rocm_version",
        "The packages' version, in any form; the package version by default.",
        metavar="VERSION",
        example="7.13.0~20251124",
    ),
    Flag(
        "deb_version",
        "The debs' version, where it does not follow from that.",
        metavar="VERSION",
        example="7.13.0~pre2",
    ),
    Flag(
        "rpm_version",
        "The rpms' version, where it does not follow from that.",
        metavar="VERSION",
        example="7.13.0~rc2",
    ),
    Flag(
        "version_suffix",
        "The debs' revision and the rpms' release; the run's number by default.",
        metavar="TEXT",
        example="24217435275",
    ),
    Flag(
        "install_prefix",
        "Where the packages install to; /opt/rocm/core-X.Y by default.",
        metavar="DIR",
        example="/opt/rocm/core-7.13",
    ),
    Flag(
        "definitions",
        "Packages as this file defines them, such as TheRock's package.json.",
        Kind.PATH,
        "FILE",
        "package.json",
    ),
    Flag("keep_runpath", "Leave RUNPATH in ELF files instead of RPATH.", Kind.SWITCH),
    Flag(
        "compression",
        "How packages are compressed: zstd, or xz for old systems.",
        Kind.CHOICE,
        "METHOD",
        "xz",
        choices=("zstd", "xz"),
    ),
    _SIGN_KEY,
    Flag(
        "date",
        "The date of a version that has none; the day of the first call by default.",
        metavar="YYYYMMDD",
        example="20251124",
    ),
)
_ARTIFACTS_DIR = Flag(
    "artifacts_dir",
    "Archives that are on this disk already, with their .sha256sum files.",
    Kind.PATH,
    "DIR",
    "build/24217435275/archives",
)
_PARTS = Flag(
    "only",
    "Only these parts; everything by default.",
    Kind.LIST,
    "NAMES",
    "tarballs,wheels",
    choices=("tarballs", "wheels", "packages"),
)
_LAYOUT = Flag(
    "layout",
    "Which of the two sets of distribution buckets; classic by default.",
    Kind.CHOICE,
    "NAME",
    "product",
    choices=("classic", "product"),
)
_VARIANT = Flag(
    "build_variant",
    "A build with a sanitizer, which has places of its own and no wheels.",
    Kind.CHOICE,
    "NAME",
    "asan",
    choices=("release", "asan"),
)
_WITHDRAW = (
    Flag(
        "version",
        "The version, in its Python form; the word alone does, too.",
        metavar="VERSION",
        example="7.13.0rc2",
        positional=True,
    ),
    _LAYOUT,
    _PARTS,
    _VARIANT,
    Flag("reason", "Why, for people; installers show it.", metavar="TEXT", example="'hangs'"),
    Flag("undo", "Put the version back.", Kind.SWITCH),
    _SIGN_KEY,
)
_PUBLISH = (
    Flag(
        "logs_dir",
        "Logs to upload, laid out as the run's logs/.",
        Kind.PATH,
        "DIR",
        "build/logs",
    ),
    Flag(
        "manifests_dir",
        "Manifests to upload, laid out as the run's manifests/.",
        Kind.PATH,
        "DIR",
        "build/manifests",
    ),
    _NO_LISTINGS,
    Flag(
        "upload_bucket",
        "Write to this bucket; by default to the one that the run's kind decides.",
        metavar="NAME",
        example="my-bucket",
    ),
    Flag(
        "upload_prefix",
        "What stands before RUN-PLATFORM/ in the bucket that is written.",
        metavar="KEY",
        example="try/",
    ),
)


_REPO = Flag(
    "repo",
    "The repository whose commits and runs they are; ROCm/TheRock by default.",
    metavar="OWNER/NAME",
    example="ROCm/rocm-libraries",
)
_REQUIRE = Flag(
    "require",
    "Only a run that has an archive whose file name this is found in will do.",
    Kind.REGEX,
    "REGEX",
    "'^blas_lib_gfx942'",
)
_SINGLE_RUN = Flag(
    "single_run",
    "Everything has to be in one run; by default a commit's runs count together.",
    Kind.SWITCH,
)
_SUCCESSFUL = Flag("successful", "Leave out runs that did not end with success.", Kind.SWITCH)
_FINDING = (
    "artifact_group",
    "amdgpu_families",
    "amdgpu_targets",
    "platform",
    "release_type",
    "workflow",
    "staging_dir",
    "bucket",
    "prefix",
)


# ---------------------------------------------------------------------------- the main job


@job(
    Heading.MAIN,
    shared=(
        *_PLACE,
        "output_dir",
        "upload_run_id",
        "dist_amdgpu_families",
        "package_version",
        "dry_run",
        "jobs",
    ),
    own=(
        Flag(
            "only",
            "Run these steps only: fetch, tarballs, python, native, upload.",
            Kind.LIST,
            "STEPS",
            "fetch",
        ),
        Flag("skip", "Leave these steps out.", Kind.LIST, "STEPS", "upload"),
        Flag("from_", "Begin with this step.", metavar="STEP", example="tarballs"),
        *_TARBALLS,
        *_PYTHON,
        *_NATIVE,
        _ON_CONFLICT,
        _UNVERIFIED,
        _CACHE_DIR,
        _ARTIFACTS_DIR,
        *_PUBLISH,
    ),
    example=(
        "./inv release --run-id sample\n"
        "./inv release --run-id 24217435275 --staging-dir staging\n"
        "./inv release --run-id 24217435275 --dist-amdgpu-families 'gfx94X-dcgpu;gfx110X-all'"
    ),
)
def release(work: Work, **own: object) -> object:
    """Turn a run into what people install, and upload it.

    Fetches and verifies the run's artifacts, builds what people install, and puts it under the
    run's root with listing pages. A step that is done and whole is not repeated: after any
    interruption the same command finishes the job. With --staging-dir nothing leaves this
    machine. --run-id sample needs nothing at all: it writes a small run first.
    """
    from therock_outputs.commands.release import ChainOptions, run_chain

    return run_chain(work.settings, ChainOptions.of(own), work.console)


# --------------------------------------------------------------------------------- inputs


@job(
    Heading.INPUTS,
    shared=(
        *_PLACE,
        "baseline",
        "artifact_group",
        "amdgpu_families",
        "amdgpu_targets",
        "output_dir",
        "dry_run",
        "jobs",
    ),
    own=(
        Flag(
            "expand_family_to_targets",
            "Also take archives that are called after the families' targets.",
            Kind.SWITCH,
        ),
        Flag(
            "include",
            "Take only archives whose file name this is found in.",
            Kind.REGEX,
            "REGEX",
            "'^(blas|rand)_lib_'",
        ),
        Flag(
            "exclude",
            "Leave out archives whose file name this is found in.",
            Kind.REGEX,
            "REGEX",
            "_dbg_",
        ),
        Flag(
            "components",
            "Take only these components: lib, run, dbg, dev, doc, test.",
            Kind.LIST,
            "LIST",
            "lib,run,dev",
        ),
        Flag("exclude_artifacts", "Leave out these artifacts.", Kind.LIST, "LIST", "fftw3"),
        Flag("generic_only", "Take only archives that serve every GPU.", Kind.SWITCH),
        Flag(
            "stage",
            "Take what this build stage needs from others; all for everything.",
            metavar="NAME",
            example="math-libs",
        ),
        Flag("extract", "Unpack each archive into a directory of its own.", Kind.SWITCH),
        Flag("flatten", "Unpack all into one install prefix.", Kind.SWITCH),
        Flag(
            "bootstrap",
            "Unpack into a build tree, replacing the stages, each marked as prebuilt.",
            Kind.SWITCH,
        ),
        _ON_CONFLICT,
        _UNVERIFIED,
        _CACHE_DIR,
        Flag(
            "families_file",
            "GPU families and targets from this file instead of the project's own.",
            Kind.PATH,
            "FILE",
            "gpu_targets.toml",
        ),
        _TOPOLOGY_FILE,
    ),
    exclusive=(
        ("artifact_group", "amdgpu_families", "amdgpu_targets"),
        ("extract", "flatten", "bootstrap"),
    ),
    example=(
        "./inv fetch --run-id 24217435275 --amdgpu-families gfx94X-dcgpu --dry-run\n"
        "./inv fetch --run-id 24217435275 --amdgpu-targets gfx942 --flatten --output-dir rocm\n"
        "./inv fetch --run-id 24217435275 --stage math-libs --bootstrap --output-dir build\n"
        "./inv fetch --baseline --bootstrap --output-dir build"
    ),
)
def fetch(work: Work, **own: object) -> object:
    """Download artifacts of a run, verified; unpack if asked.

    Every chosen archive is checked against its .sha256sum before anything is unpacked, and
    what is unpacked is there as a whole or not at all. An interrupted download resumes.
    """
    from therock_outputs.commands.fetch import FetchOptions, fetch_run

    return fetch_run(work.settings, FetchOptions.of(work.settings, own), work.console)


@job(
    Heading.INPUTS,
    shared=(*_PLACE, "upload_run_id", "dry_run", "jobs"),
    own=(
        Flag(
            "build_dir",
            "The build tree, which holds artifacts/; build by default.",
            Kind.PATH,
            "DIR",
            "TheRock/build",
        ),
        Flag("stage", "Only what these build stages make.", Kind.LIST, "NAMES", "math-libs"),
        Flag("level", "zstd level from 1 to 22; 3 by default.", Kind.NUMBER, "LEVEL", "19"),
        _TOPOLOGY_FILE,
    ),
    example="./inv push --run-id local --build-dir TheRock/build --staging-dir staging",
)
def push(work: Work, **own: object) -> object:
    """Compress a build tree's artifacts and upload them.

    Packs build/artifacts/NAME_COMPONENT_TARGET/ directories, or takes archives that are there,
    each with its .sha256sum. The same files always give the same bytes.
    """
    from therock_outputs.commands.inputs import PushOptions, push_archives

    return push_archives(work.settings, PushOptions.of(own), work.console)


@job(
    Heading.INPUTS,
    shared=(*_PLACE, "upload_run_id", "dry_run", "jobs"),
    own=(
        Flag(
            "source_run_id",
            "The run that archives are copied from.",
            metavar="RUN",
            example="24217435275",
        ),
        Flag(
            "stage",
            "Only what these build stages make.",
            Kind.LIST,
            "NAMES",
            "compiler-runtime,math-libs",
        ),
        _TOPOLOGY_FILE,
    ),
    example=(
        "./inv copy-artifacts --source-run-id 24217435275 --run-id 24217435276 "
        "--stage compiler-runtime"
    ),
)
def copy_artifacts(work: Work, **own: object) -> object:
    """Copy another run's artifacts into this run.

    Within S3 nothing is moved through this machine; each copy is verified.
    """
    from therock_outputs.commands.inputs import CopyOptions, copy_archives

    return copy_archives(work.settings, CopyOptions.of(own), work.console)


@job(
    Heading.INPUTS,
    shared=("platform",),
    own=(
        Flag("stage", "Show this stage's artifacts.", metavar="NAME", example="math-libs"),
        _TOPOLOGY_FILE,
    ),
    example="./inv stage-info\n./inv stage-info --stage math-libs",
)
def stage_info(work: Work, *, stage: str | None, topology_file: Path | None) -> object:
    """Show what each build stage makes, and takes from others."""
    from therock_outputs.commands.inputs import show_stages

    return show_stages(
        work.console,
        stage=stage,
        platform=work.settings.platform,
        topology_file=topology_file,
    )


# ------------------------------------------------------------ runs that have artifacts


@job(
    Heading.LOOKUPS,
    shared=_FINDING,
    own=(
        Flag("commit", "Runs of this commit.", metavar="SHA", example="3f2a9c1e"),
        Flag("ref", "Runs of what this branch or tag stands for.", metavar="NAME", example="main"),
        Flag("run_id", "This run.", metavar="RUN", example="24217435275"),
        Flag(
            "range",
            "Runs of the commits that B has and A has not.",
            metavar="A..B",
            example="3f2a9c1e..main",
        ),
        _REPO,
        _REQUIRE,
        _SINGLE_RUN,
        _SUCCESSFUL,
        Flag(
            "max_commits",
            "How many commits of a range are looked at, from its end; 50 by default.",
            Kind.NUMBER,
            "N",
            "200",
        ),
    ),
    exclusive=(("commit", "ref", "run_id", "range"),),
    example=(
        "./inv find-artifacts --commit 3f2a9c1e --amdgpu-targets gfx942\n"
        "./inv find-artifacts --range 3f2a9c1e..main --single-run --successful --json"
    ),
)
def find_artifacts(work: Work, **own: object) -> object:
    """Show which runs built a commit and have its archives.

    GitHub is asked for the runs, storage for what each has: one listing a run. Newest first; a run
    that is still under way is marked. Exit code 1 when no commit has what was asked for, 3 when
    nobody could be asked.
    """
    from therock_outputs.commands.find import FindOptions, find_artifacts

    return find_artifacts(work.settings, FindOptions.of(own), work.console)


@job(
    Heading.LOOKUPS,
    shared=_FINDING,
    own=(
        Flag(
            "branch",
            "The branch; the repository's default branch by default.",
            metavar="NAME",
            example="main",
        ),
        _REPO,
        _REQUIRE,
        _SINGLE_RUN,
        _SUCCESSFUL,
        Flag(
            "max_commits",
            "How many of its commits are looked at; 50 by default.",
            Kind.NUMBER,
            "N",
            "200",
        ),
    ),
    example=(
        "./inv latest-artifacts\n"
        "./inv latest-artifacts --branch main --max-commits 50 --amdgpu-families gfx94X-dcgpu -v"
    ),
)
def latest_artifacts(work: Work, **own: object) -> object:
    """Show a branch's newest commit that has all archives.

    Several commits are looked up at a time; -v says what each one has. In CI the run and the
    commit are step outputs. Exit code 1 when no commit has what was asked for, 3 when nobody
    could be asked.
    """
    from therock_outputs.commands.find import FindOptions, latest_artifacts

    return latest_artifacts(work.settings, FindOptions.of(own), work.console)


@job(
    Heading.LOOKUPS,
    shared=_FINDING,
    own=(
        Flag(
            "commit",
            "The commit to find a baseline for; by default what is checked out here.",
            metavar="SHA",
            example="3f2a9c1e",
        ),
        Flag("checkout", "Where it is checked out.", Kind.PATH, "DIR", "TheRock"),
        Flag(
            "run_id", "Only judge whether this run will do.", metavar="RUN", example="24217435275"
        ),
        Flag(
            "branch",
            "The branch that has ancestors with archives; the default branch by default.",
            metavar="NAME",
            example="main",
        ),
        _REPO,
        _REQUIRE,
        Flag(
            "exclude_run",
            "Never these runs, such as the one that asks.",
            Kind.LIST,
            "RUNS",
            "24217435275",
        ),
        Flag("max_age_hours", "No run that is older.", Kind.NUMBER, "HOURS", "72"),
        Flag(
            "max_commits",
            "How many ancestors are looked at; 100 by default.",
            Kind.NUMBER,
            "N",
            "300",
        ),
        Flag(
            "needed_jobs",
            "The jobs that must have succeeded, by their names; by default those that build "
            "archives for what is asked for.",
            Kind.REGEX,
            "REGEX",
            "'Linux.*/ Build'",
        ),
    ),
    exclusive=(("commit", "checkout"),),
    example=(
        "./inv baseline-artifacts --amdgpu-targets gfx942\n"
        "./inv baseline-artifacts --commit 3f2a9c1e --max-age-hours 72 --json"
    ),
)
def baseline_artifacts(work: Work, **own: object) -> object:
    """Find the nearest ancestor of a commit that has all.

    Walks back from where the commit's history meets the default branch, and says how far and how
    old it is. A run of which a needed job failed will not do. For a repository that builds with
    TheRock at a pinned commit it is that commit's baseline. See fetch --baseline, too.
    """
    from therock_outputs.commands.baseline import BaselineOptions, baseline_artifacts

    return baseline_artifacts(work.settings, BaselineOptions.of(own), work.console)


# -------------------------------------------------------------------------------- outputs


@job(
    Heading.OUTPUTS,
    shared=(
        *_PLACE,
        "output_dir",
        "dist_amdgpu_families",
        "package_version",
        "dry_run",
        "jobs",
    ),
    own=(*_TARBALLS, _ON_CONFLICT, _UNVERIFIED, _CACHE_DIR, _ARTIFACTS_DIR),
    example=(
        "./inv build-tarballs --run-id 24217435275 "
        "--dist-amdgpu-families 'gfx94X-dcgpu;gfx110X-all' --package-version 7.13.0\n"
        "./inv build-tarballs --run-id local --artifacts-dir build/local/archives"
    ),
)
def build_tarballs(work: Work, **own: object) -> object:
    """Build one tarball for each GPU family of a run.

    A run that is split by target also gets one with all of them (multiarch). Nothing is
    compressed twice: tarballs are put together from segments that they share.
    """
    from therock_outputs.commands.release import ChainOptions, run_tarballs

    return run_tarballs(work.settings, ChainOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(
        *_PLACE,
        "output_dir",
        "artifact_group",
        "dist_amdgpu_families",
        "package_version",
        "dry_run",
        "jobs",
    ),
    own=(
        Flag(
            "only",
            "Build these only: core, libraries, device, profiler, devel, rocm.",
            Kind.LIST,
            "NAMES",
            "core,libraries",
        ),
        *_PYTHON,
        Flag(
            "compression_level",
            "How hard wheels are compressed, 1 to 12; by default 5, and 6 for GPU code.",
            Kind.NUMBER,
            "LEVEL",
            "9",
        ),
        _UNVERIFIED,
        _CACHE_DIR,
        _ARTIFACTS_DIR,
    ),
    example=(
        "./inv build-python-packages --run-id 24217435275 --package-version 7.13.0\n"
        "./inv build-python-packages --run-id sample --only core,libraries,rocm"
    ),
)
def build_python_packages(work: Work, **own: object) -> object:
    """Build the wheels and the rocm sdist of a run.

    Straight from the archives; each file is read, rewritten and compressed once. What goes into
    no package is told in a table.
    """
    from therock_outputs.commands.release import ChainOptions, run_python_packages

    names = {"only": "python_only", "compression_level": "wheel_compression_level"}
    options = {names.get(name, name): value for name, value in own.items()}
    return run_python_packages(work.settings, ChainOptions.of(options), work.console)


@job(
    Heading.OUTPUTS,
    shared=(*_PLACE, "output_dir", "package_version", "dry_run", "jobs"),
    own=(
        Flag("pkg_type", "deb, rpm or both; both by default.", Kind.LIST, "TYPES", "deb"),
        Flag(
            "targets",
            "GPU targets, or families of a run by family; all that the run has by default.",
            Kind.LIST,
            "TARGETS",
            "gfx942,gfx1100",
        ),
        Flag(
            "packages",
            "Build the packages of these definitions only.",
            Kind.LIST,
            "NAMES",
            "amdrocm-llvm,amdrocm-core",
        ),
        _BUILD_VARIANT,
        *_NATIVE,
        Flag(
            "explain",
            "Say why a package looks as it does, and build nothing.",
            metavar="PACKAGE",
            example="amdrocm-core7.13",
        ),
        _UNVERIFIED,
        _CACHE_DIR,
        _ARTIFACTS_DIR,
    ),
    exclusive=(("dry_run", "explain"), ("rocm_version", "package_version")),
    example=(
        "./inv build-native-packages --run-id 24217435275 --pkg-type deb --targets gfx942\n"
        "./inv build-native-packages --run-id sample --dry-run\n"
        "./inv build-native-packages --run-id sample --explain amdrocm-core"
    ),
)
def build_native_packages(work: Work, **own: object) -> object:
    """Build the deb and rpm packages of a run.

    Both formats from one reading of the archives, and repositories of them that apt, dnf and
    zypper read. What cannot be built is told before anything is written.
    """
    from therock_outputs.commands.release import ChainOptions, run_native_packages

    return run_native_packages(work.settings, ChainOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(*_PLACE, "output_dir", "upload_run_id", "dry_run", "jobs"),
    own=(_ARTIFACTS_DIR, _UNVERIFIED, _SIGN_KEY, *_PUBLISH),
    example=(
        "./inv upload --run-id 24217435275\n"
        "./inv upload --run-id local --staging-dir staging --logs-dir build/logs"
    ),
)
def upload(work: Work, **own: object) -> object:
    """Put outputs, logs and manifests under the run's root.

    What is there with the same content is skipped; other content under a published name is
    refused. Listing pages come last.
    """
    from therock_outputs.commands.release import ChainOptions, run_upload

    return run_upload(work.settings, ChainOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(*_PLACE, "upload_run_id", "artifact_group", "dry_run", "jobs"),
    own=(
        Flag(
            "build_dir",
            "The build tree, which holds logs/; build by default.",
            Kind.PATH,
            "DIR",
            "TheRock/build",
        ),
        Flag("stage", "The build stage whose logs they are.", metavar="NAME", example="math-libs"),
        Flag(
            "amdgpu_family",
            "The family that the stage was built for, if it is built for each.",
            metavar="NAME",
            example="gfx94X-dcgpu",
        ),
        Flag(
            "job_status",
            "How the job went; the summary links artifacts only of one that succeeded.",
            Kind.CHOICE,
            "STATUS",
            "failure",
            choices=("success", "failure", "cancelled"),
        ),
        _NO_LISTINGS,
    ),
    exclusive=(("artifact_group", "stage"),),
    example=(
        "./inv upload-logs --run-id 24217435275 --stage math-libs --amdgpu-family gfx94X-dcgpu\n"
        "./inv upload-logs --run-id local --artifact-group gfx94X-dcgpu --staging-dir staging "
        "--job-status failure"
    ),
)
def upload_logs(work: Work, **own: object) -> object:
    """Upload the logs of a build stage, however it ended.

    Logs, ninja's and ccache's logs as archives, profiling summaries, build-time analysis and the
    manifest; then listing pages. What is missing is said and is no failure.
    """
    from therock_outputs.commands.logs import LogOptions
    from therock_outputs.commands.logs import upload_logs as put

    return put(work.settings, LogOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(*_PLACE, "upload_run_id", "dry_run", "jobs"),
    own=(
        Flag(
            "report_dir",
            "The directory that holds the reports.",
            Kind.PATH,
            "DIR",
            "build/reports",
        ),
        Flag(
            "subfolder",
            "What they are the reports of: their directory's name below logs/.",
            metavar="NAME",
            example="rocblas-gfx942",
        ),
        _NO_LISTINGS,
    ),
    example="./inv upload-report --run-id 24217435275 --report-dir reports --subfolder rocblas",
)
def upload_report(work: Work, **own: object) -> object:
    """Upload test reports with their index.

    An index.html of their own stays; without one they get a listing page.
    """
    from therock_outputs.commands.logs import ReportOptions
    from therock_outputs.commands.logs import upload_report as put

    return put(work.settings, ReportOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(
        "release_type",
        "run_github_repo",
        "staging_dir",
        "bucket",
        "platform",
        "work_dir",
        "dry_run",
        "jobs",
    ),
    own=(
        Flag(
            "dependencies",
            "The packages to mirror; numpy, packaging and what builds the selector by default.",
            Kind.LIST,
            "LIST",
            "numpy,packaging,setuptools",
        ),
        Flag(
            "requirements_file",
            "A file with one requirement a line, instead of the list.",
            Kind.PATH,
            "FILE",
            "dependencies.txt",
        ),
        Flag(
            "python_versions",
            "The CPython versions to mirror for; 3.10 to 3.13 by default.",
            Kind.LIST,
            "LIST",
            "3.12,3.13",
        ),
        Flag(
            "for_platforms",
            "linux, windows or platform tags; the platform of the run by default.",
            Kind.LIST,
            "LIST",
            "linux,windows",
        ),
    ),
    exclusive=(("dependencies", "requirements_file"),),
    example=(
        "./inv mirror-deps --dry-run\n"
        "./inv mirror-deps --staging-dir staging --dependencies numpy --python-versions 3.12"
    ),
)
def mirror_deps(work: Work, **own: object) -> object:
    """Fill the index of dependencies, beside the runs.

    What the list comes to, with its own dependencies, is asked of the index that pip is
    configured for; wheels that are not there yet are fetched, checked and indexed.
    """
    from therock_outputs.commands.mirror import MirrorOptions, mirror_dependencies

    return mirror_dependencies(work.settings, MirrorOptions.of(work.settings, own), work.console)


@job(
    Heading.OUTPUTS,
    shared=(
        "run_id",
        "run_github_repo",
        "platform",
        "release_type",
        "package_version",
        "staging_dir",
        "bucket",
        "prefix",
        "work_dir",
        "dry_run",
        "jobs",
    ),
    own=(
        _LAYOUT,
        _PARTS,
        _VARIANT,
        Flag(
            "multi_arch_targets",
            "Keep only these GPU targets or families; for --release-type release.",
            Kind.LIST,
            "LIST",
            "gfx942,gfx1100",
        ),
        Flag(
            "date",
            "The date of a version that carries none; today's in UTC by default.",
            metavar="YYYYMMDD",
            example="20251124",
        ),
        Flag(
            "dest_version",
            "The final version; by default the release candidate's without its rc.",
            metavar="VERSION",
            example="7.13.0",
        ),
        _SIGN_KEY,
        Flag("yes", "Confirm that a prerelease becomes a release.", Kind.SWITCH),
    ),
    example=(
        "./inv promote --run-id 24217435275 --release-type nightly --dry-run\n"
        "./inv promote --run-id 24217435275 --release-type release --dest-version 7.13.0 --yes"
    ),
)
def promote(work: Work, **own: object) -> object:
    """Copy a run's outputs to the distribution buckets.

    The server copies; each copy is verified, and pointers come last. Repositories and indexes
    that runs share are merged. For a release, a prerelease's wheels get their final version.
    """
    from therock_outputs.commands.promote import PromoteOptions, promote_run

    return promote_run(work.settings, PromoteOptions.of(own), work.console)


@job(
    Heading.OUTPUTS,
    shared=("release_type", "staging_dir", "dry_run", "jobs"),
    own=_WITHDRAW,
    example="./inv yank 7.13.0rc2 --release-type prerelease --reason 'hangs on gfx942'",
)
def yank(work: Work, **own: object) -> object:
    """Leave a promoted version to those who pin it.

    pip indexes mark it (PEP 592), apt and rpm repositories no longer list it, latest.json passes
    it over. Its files stay.
    """
    from therock_outputs.commands.promote import WithdrawOptions, withdraw_version
    from therock_outputs.indexes.withdrawn import How

    return withdraw_version(work.settings, WithdrawOptions.of(own), How.YANKED, work.console)


@job(
    Heading.OUTPUTS,
    shared=("release_type", "staging_dir", "dry_run", "jobs"),
    own=_WITHDRAW,
    example="./inv unpublish 7.13.0rc2 --release-type prerelease",
)
def unpublish(work: Work, **own: object) -> object:
    """Take a promoted version out of every index.

    Its files stay where they are, and their addresses go on working.
    """
    from therock_outputs.commands.promote import WithdrawOptions, withdraw_version
    from therock_outputs.indexes.withdrawn import How

    return withdraw_version(work.settings, WithdrawOptions.of(own), How.UNPUBLISHED, work.console)


# ----------------------------------------------------------------------- looking things up


@job(
    Heading.LOOKUPS,
    shared=(*_PLACE, "upload_run_id"),
    own=(
        Flag(
            "promote_to",
            "The place of promoted packages of this kind instead of a run's.",
            Kind.CHOICE,
            "TYPE",
            "nightly",
            choices=("dev", "nightly", "prerelease", "release", "dev-bkc", "nightly-bkc"),
        ),
        _LAYOUT,
        Flag(
            "trusted_repositories",
            "Whose jobs may assume a role; ROCm/TheRock and ROCm/rockrel by default.",
            Kind.LIST,
            "LIST",
            "ROCm/TheRock,ROCm/rockrel",
        ),
    ),
    example=(
        "./inv where --run-id 24217435275\n"
        "./inv where --run-id 24217435275 --promote-to nightly --layout product"
    ),
)
def where(work: Work, **own: object) -> object:
    """Say where a job writes, and with which role.

    In CI bucket, root, url, region and write_role are outputs of the step; write_role is empty
    where no role may be assumed and the runner's own credentials decide.
    """
    from therock_outputs.commands.where import WhereOptions, show_place

    return show_place(work.settings, WhereOptions.of(own), work.console)


@job(
    Heading.LOOKUPS,
    shared=("release_type", "package_version"),
    own=(
        Flag("rocm_version", "The base version.", metavar="X.Y.Z", example="7.13.0"),
        Flag(
            "version_file",
            "TheRock's version.json, for the base version; ./version.json by default.",
            Kind.PATH,
            "FILE",
            "TheRock/version.json",
        ),
        Flag(
            "date",
            "The build's date; today's in UTC by default.",
            metavar="YYYYMMDD",
            example="20251124",
        ),
        Flag("commit", "The build's commit; for ci and dev.", metavar="SHA", example="f689a8ea"),
        Flag("prerelease", "The number of a release candidate.", Kind.NUMBER, "N", "2"),
        Flag(
            "bkc_base",
            "The date of the nightly that a nightly-bkc is based on.",
            metavar="YYYYMMDD",
            example="20251120",
        ),
    ),
    exclusive=(("package_version", "rocm_version"), ("package_version", "version_file")),
    example=(
        "./inv compute-version --release-type nightly --rocm-version 7.13.0 --date 20251124\n"
        "./inv compute-version --package-version 7.13.0rc2"
    ),
)
def compute_version(work: Work, **own: object) -> object:
    """Compute the Python, deb and rpm versions of a build."""
    from therock_outputs.commands.versions import VersionOptions, show_versions

    return show_versions(VersionOptions.of(work.settings, own), work.console)


@job(
    Heading.LOOKUPS,
    shared=(
        "run_github_repo",
        "platform",
        "release_type",
        "staging_dir",
        "bucket",
        "prefix",
        "jobs",
    ),
    own=(
        Flag(
            "before",
            "The first side: a run, a commit, a directory or a tarball; the word alone does.",
            metavar="A",
            example="24217435275",
            positional=True,
        ),
        Flag(
            "after",
            "The second side, as the first.",
            metavar="B",
            example="24299999999",
            positional=True,
        ),
        Flag("files", "Read changed archives on a server, too, to compare files.", Kind.SWITCH),
        Flag("no_files", "Compare archives by their sizes alone.", Kind.SWITCH),
        Flag(
            "min_change",
            "Leave changes out of the tables that are smaller.",
            metavar="SIZE",
            example="1MB",
        ),
        Flag(
            "top",
            "Rows of each table; 20 by default, 0 for all.",
            Kind.NUMBER,
            "N",
            "50",
            minimum=0,
        ),
        Flag(
            "max_growth",
            "Fail when the whole grew by more: a size, or a share of what it was.",
            metavar="LIMIT",
            example="500MB",
        ),
        Flag("html", "Write a page with pictures here.", Kind.PATH, "FILE", "compare.html"),
        Flag(
            "markdown",
            "Write Markdown here; in CI the step's summary gets it anyway.",
            Kind.PATH,
            "FILE",
            "compare.md",
        ),
        Flag(
            "cache_dir",
            "Keep lists of what archives hold here by digest, beside what fetch keeps.",
            Kind.PATH,
            "DIR",
            "~/.cache/therock",
        ),
    ),
    exclusive=(("files", "no_files"),),
    example=(
        "./inv compare 24217435275 24299999999 --files --html compare.html\n"
        "./inv compare build/old build/new --max-growth 2%\n"
        "./inv compare old.tar.gz new.tar.gz --top 50 --min-change 1MB"
    ),
)
def compare(work: Work, **own: object) -> object:
    """Show what grew between two runs, trees or tarballs.

    Archives, components, stages and files, the largest change first, and the submodules whose
    pins changed. Runs on a server are compared by their listing; with --files the archives that
    changed are read, too, and nothing is stored. Exit code 1 over --max-growth.
    """
    from therock_outputs.commands.compare import CompareOptions, compare_runs

    return compare_runs(work.settings, CompareOptions.of(own), work.console)


# --------------------------------------------------------------------- trying things here


@job(
    Heading.TRYING,
    shared=("staging_dir", "platform", "amdgpu_targets"),
    own=(
        Flag(
            "layout",
            "split by target, or by family; split by default.",
            Kind.CHOICE,
            "LAYOUT",
            "family",
            choices=("split", "family"),
        ),
    ),
    example=(
        "./inv sample-run --staging-dir staging\n"
        "./inv sample-run --staging-dir staging --amdgpu-targets gfx942,gfx1100 --layout family"
    ),
)
def sample_run(work: Work, *, layout: str | None) -> object:
    """Write a small but complete run into a staging directory.

    It is made of real ELF files, offline and in seconds; every other task has something to
    work on in it.
    """
    from therock_outputs.commands.sample import write_sample

    return write_sample(work.settings, layout or "split", work.console)


@job(
    Heading.TRYING,
    shared=("staging_dir",),
    own=(
        Flag(
            "host",
            "The address to listen at; 127.0.0.1 by default, which only this machine reaches.",
            metavar="ADDRESS",
            example="0.0.0.0",  # noqa: S104 - shown, not used
        ),
        Flag(
            "port",
            "The port to listen at; 8000 by default, 0 for any free one.",
            Kind.NUMBER,
            "PORT",
            "8080",
            minimum=0,
        ),
    ),
    example="./inv serve --staging-dir staging\n./inv serve --staging-dir staging --port 0 --json",
)
def serve(work: Work, *, host: str | None, port: int | None) -> object:
    """Serve a staging directory over HTTP, as S3 would.

    For pip, apt, dnf and browsers on this machine: ranges, media types, pages for directories.
    It only reads, and never leaves the directory.
    """
    from therock_outputs.commands.serve import serve_staging

    return serve_staging(work.settings, work.console, host=host, port=port)


@job(
    Heading.TRYING,
    shared=(
        *_PLACE,
        "artifact_group",
        "amdgpu_families",
        "amdgpu_targets",
        "dry_run",
        "jobs",
    ),
    own=(
        Flag(
            "install_prefix",
            "The directory to install into; the word alone does, too.",
            Kind.PATH,
            "PREFIX",
            "rocm",
            positional=True,
        ),
        Flag(
            "release",
            "Install the published tarball of this version.",
            metavar="VERSION",
            example="7.13.0",
        ),
        Flag(
            "latest_release",
            "Install the newest published tarball, of a release or of --release-type.",
            Kind.SWITCH,
        ),
        _LAYOUT,
        Flag(
            "components",
            "Only these components of a run: lib, run, dbg, dev, doc, test; lib,run,dev,doc by "
            "default.",
            Kind.LIST,
            "LIST",
            "lib,run",
        ),
        Flag("tests", "Install the tests, too.", Kind.SWITCH),
        _ON_CONFLICT,
        _UNVERIFIED,
        _CACHE_DIR,
    ),
    exclusive=(
        ("run_id", "commit", "branch", "latest", "release", "latest_release"),
        ("artifact_group", "amdgpu_families", "amdgpu_targets"),
    ),
    example=(
        "./inv install rocm --run-id 24217435275 --amdgpu-targets gfx942\n"
        "./inv install rocm --release 7.13.0 --amdgpu-families gfx94X-dcgpu\n"
        "./inv install rocm --latest-release --release-type nightly\n"
        "./inv install rocm --run-id sample --staging-dir build/staging"
    ),
)
def install(work: Work, **own: object) -> object:
    """Make an install prefix of a run or a release.

    From a run's archives or a published tarball, each verified. The prefix is there as a whole or
    not at all: one of an earlier installation is replaced in one step, and a directory with
    anything else in it is refused.
    """
    from therock_outputs.commands.install import InstallOptions, install_prefix

    return install_prefix(work.settings, InstallOptions.of(own), work.console)


@job(
    Heading.TRYING,
    shared=(*_PLACE, "artifact_group", "dry_run"),
    own=(
        Flag(
            "venv_dir",
            "The environment's directory; the word alone does, too.",
            Kind.PATH,
            "DIR",
            ".rocm",
            positional=True,
        ),
        Flag(
            "packages",
            "What to install; rocm[libraries] by default.",
            metavar="REQUIREMENTS",
            example="'rocm[libraries,devel,device-gfx942]'",
        ),
        Flag(
            "index_url",
            "Take ROCm's packages from this index instead of the run's.",
            metavar="URL",
            example="http://127.0.0.1:8000/24217435275-linux/python/simple/",
        ),
        Flag(
            "index_name",
            "Take ROCm's packages from the promoted ones of this kind.",
            Kind.CHOICE,
            "NAME",
            "nightly",
            choices=("dev", "nightly", "prerelease", "release"),
        ),
        Flag(
            "find_links",
            "Take ROCm's packages from this flat page.",
            metavar="URL",
            example="dist/index.html",
        ),
        Flag("flat", "Take them from the run's flat page instead of its index.", Kind.SWITCH),
        Flag(
            "deps_index_url",
            "Take what they depend on from this index instead of the bucket's python-deps/.",
            metavar="URL",
            example="https://mirror.example.org/simple/",
        ),
        Flag(
            "server_url",
            "Where the staging directory is served; see serve.",
            metavar="URL",
            example="http://127.0.0.1:8000/",
        ),
        Flag("pre", "Take pre-releases, too.", Kind.SWITCH),
        Flag("clean", "Make the environment anew.", Kind.SWITCH),
        Flag(
            "python",
            "The interpreter for it; this one by default.",
            metavar="VERSION",
            example="3.12",
        ),
        Flag(
            "installer",
            "uv or pip; uv by default, where there is one.",
            Kind.CHOICE,
            "NAME",
            "pip",
            choices=("uv", "pip"),
        ),
        Flag(
            "wait",
            "How long to wait for an index that is not there yet; 120 online, 0 on this disk.",
            Kind.NUMBER,
            "SECONDS",
            "600",
            minimum=0,
        ),
        Flag("test", "Run rocm-sdk test afterwards.", Kind.SWITCH),
    ),
    exclusive=(("index_url", "index_name", "find_links", "flat"),),
    example=(
        "./inv setup-venv .rocm --run-id 24217435275 --packages 'rocm[libraries,devel]' --test\n"
        "./inv setup-venv .rocm --run-id sample --staging-dir build/staging\n"
        "./inv setup-venv .rocm --index-name nightly --artifact-group gfx94X-dcgpu --pre"
    ),
)
def setup_venv(work: Work, **own: object) -> object:
    """Make a virtual environment with a run's Python packages.

    Two indexes are asked and no other: one with ROCm's packages, one with what they depend on.
    Both are looked at first, so that a wrong address is said. In CI later steps find the
    environment on PATH.
    """
    from therock_outputs.commands.setup_venv import VenvOptions
    from therock_outputs.commands.setup_venv import setup_venv as make

    return make(work.settings, VenvOptions.of(own), work.console)


# ------------------------------------------------------- for people who work on this project


@job(
    Heading.PROJECT,
    shared=("staging_dir", "jobs"),
    example="./inv doctor\n./inv doctor --json",
)
def doctor(work: Work) -> object:
    """Say what this machine has and lacks for each task.

    Nothing is changed and nothing is fetched. A task that lacks something says what to install.
    """
    from therock_outputs.doctor import examine, report

    findings = examine(work.settings)
    report(findings, work.console)
    return findings


@job(
    Heading.PROJECT,
    shared=("jobs",),
    own=(
        Flag("no_coverage", "Leave coverage out, which is quicker.", Kind.SWITCH),
        Flag("allow_skips", "Let skipped tests pass.", Kind.SWITCH),
    ),
    example="./inv test\n./inv test -- tests/layout -k bucket",
    takes_extra="PYTEST_ARGUMENTS",
)
def test(work: Work, *, no_coverage: bool, allow_skips: bool) -> None:
    """Run the tests, with coverage; a skipped test fails.

    Everything behind -- goes to pytest.
    """
    from therock_outputs.chores import run_tests

    run_tests(
        work.console,
        work.extra,
        jobs=work.settings.jobs,
        coverage=not no_coverage,
        allow_skips=allow_skips,
    )


@job(
    Heading.PROJECT,
    own=(Flag("fix", "Let ruff repair and format what it can first.", Kind.SWITCH),),
    example="./inv lint\n./inv lint --fix",
)
def lint(work: Work, *, fix: bool) -> None:
    """Check style, format and types: ruff and mypy."""
    from therock_outputs.chores import run_lint

    run_lint(work.console, fix=fix)


@job(
    Heading.PROJECT,
    own=(Flag("only", "These benchmarks; all by default.", Kind.LIST, "NAMES", "tarballs"),),
    example="./inv bench\n./inv bench --only tarballs -- --help",
    takes_extra="ARGUMENTS",
)
def bench(work: Work, *, only: Sequence[str]) -> None:
    """Run the benchmarks; ratios are kept as JSON.

    Each one is a file benchmarks/bench_NAME.py; everything behind -- goes to it.
    """
    from therock_outputs.chores import run_benchmarks

    run_benchmarks(work.console, tuple(only), work.extra)


@job(Heading.PROJECT, example="./inv docs")
def docs(work: Work) -> object:
    """Check the documentation: links, diagrams and commands."""
    from therock_outputs.chores import PROJECT
    from therock_outputs.documentation import check_documentation
    from therock_outputs.program import jobs_of

    checked = check_documentation(PROJECT, jobs_of(sys.modules[__name__]))
    work.console.say(f"{checked['files']} files, nothing to mend")
    return checked
