"""The writers of both formats, judged by dpkg, rpm, cpio and bsdtar."""

from __future__ import annotations

import hashlib
import random
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native_package_makers import (
    DEB,
    MTIME,
    PREFIX,
    RPM,
    Built,
    build_both,
    directories,
    elfdeps,
    executable,
    extract_deb,
    extract_rpm,
    hardlink,
    make_archive,
    planned,
    run,
)
from tests.running import tree
from therock_outputs.artifacts import sample_elf
from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.entries import Entry
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.native_packages.build import Compression, build_native_packages
from therock_outputs.native_packages.package import Content, PackageFormat, Scripts
from therock_outputs.signing import Signer, open_signer

LONG = "share/" + "n" * 120 + "/" + "f" * 130 + ".txt"
NOISE = random.Random(3).randbytes(300_000)
LIBRARY = sample_elf.shared_library("libhip.so.1", ["f"], needed=["libc.so.6"], payload=NOISE)
CONTENT: dict[str, Entry | bytes] = {
    "bin/tool": executable(sample_elf.program("hello")),
    "bin/script": executable(b"#!/bin/sh\necho hello\n"),
    "bin/same": hardlink("bin/script"),
    "include/a-hard": hardlink("bin/script"),
    "lib/libhip.so.1": Entry.file("", LIBRARY),
    "lib/zz-hard": hardlink("lib/libhip.so.1"),
    "lib/libhip.so": Entry.symlink("", "libhip.so.1"),
    "lib/plugin.so": executable(sample_elf.shared_library("", ["f"], needed=["libc.so.6"])),
    "lib/gfx942.co": executable(sample_elf.gpu_code_object("gfx942", 4096)),
    "lib/Module.pm": executable(b"#!/usr/bin/perl\n1;\n"),
    "share/data": executable(b"data"),
    "lib/up": Entry.symlink("", ".."),
    ".kpack/.hidden": b"hidden",
    "share/empty": Entry.directory(""),
    "share/nothing.txt": b"",
    "share/na\u00efve \u6f22\u5b57.txt": "\u00e9".encode(),
    LONG: b"a long name",
    "share/read-only": Entry("", Kind.FILE, 0o444, b"read only"),
    "share/large.bin": NOISE * 4,
}
LIBRARIES = ("lib/libhip.so.1", "lib/zz-hard", "lib/plugin.so")
LIBRARIES_MODE = {DEB: "644", RPM: "755"}
SCRIPTS = Scripts(
    "set -e\necho installed >/marks-after_install\n",
    "set -e\n: before\n",
    "set -e\n: after\n",
    "set -e\n: transaction\n",
)


@pytest.fixture(scope="module", params=list(Compression))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp(f"built-{request.param}")
    archive = make_archive(directory / "archives", CONTENT)
    return build_both(
        directory, [archive], compression=request.param, scripts=SCRIPTS, large=1 << 20
    )


def installed(root: Path) -> dict[str, str]:
    """What was unpacked below the prefix."""
    return tree(root / PREFIX.strip("/"))


def digests(root: Path) -> dict[str, str]:
    """What was unpacked below the prefix, without modes."""
    return {path: what.split(" ")[-1] for path, what in installed(root).items()}


def expected(kind: PackageFormat) -> dict[str, str]:
    """What the archive holds, as ``tree`` tells it, with each file's mode by the format's custom.

    Without digests of what is rewritten: libraries get their RPATH.
    """
    found: dict[str, str] = {}
    for path, given in CONTENT.items():
        entry = given if isinstance(given, Entry) else Entry.file("", given)
        if entry.kind is Kind.SYMLINK:
            found[path] = f"-> {entry.link}"
        elif entry.kind is Kind.DIRECTORY:
            found[path] = "755 directory"
        elif entry.kind is Kind.FILE and isinstance(entry.data, bytes):
            digest = hashlib.sha256(entry.data).hexdigest()
            found[path] = f"{entry.mode:o} {digest}"
        for above in list(Path(path).parents)[:-1]:
            found.setdefault(above.as_posix(), "755 directory")
    for path, target in (
        ("bin/same", "bin/script"),
        ("include/a-hard", "bin/script"),
        ("lib/zz-hard", "lib/libhip.so.1"),
    ):
        found[path] = found[target]
    for path in LIBRARIES:
        found[path] = f"{LIBRARIES_MODE[kind]} {found[path].split(' ')[1]}"
    modules = [] if kind is DEB else ["lib/Module.pm"]
    for path in ("lib/gfx942.co", "share/data", *modules):
        found[path] = found[path].replace("755 ", "644 ")
    return without_elf(found)


def without_elf(found: dict[str, str]) -> dict[str, str]:
    """Without digests of what is rewritten."""
    return {
        path: what.split(" ")[0] if path in {"bin/tool", *LIBRARIES} else what
        for path, what in found.items()
    }


# ---------------------------------------------------------------------------- both formats


def test_both_formats_unpack_to_what_the_archive_holds(built: Built, tmp_path: Path) -> None:
    from_deb = extract_deb(built.deb, tmp_path / "deb")
    from_rpm = extract_rpm(built.rpm, tmp_path / "rpm")

    assert without_elf(installed(from_deb)) == expected(DEB)
    assert without_elf(installed(from_rpm)) == expected(RPM)
    assert digests(from_deb) == digests(from_rpm)
    for root in (from_deb, from_rpm):
        place = root / PREFIX.strip("/")
        names = [place / name for name in ("bin/script", "bin/same", "include/a-hard")]
        assert len({path.stat().st_ino for path in names}) == 1
        assert names[0].stat().st_nlink == 3
        assert {int(path.stat().st_mtime) for path in place.rglob("*") if path.is_file()} == {MTIME}


def test_libarchive_reads_both_formats(built: Built, tmp_path: Path) -> None:
    from_rpm = tmp_path / "rpm"
    from_rpm.mkdir()
    run("bsdtar", "-xf", built.rpm, "-C", from_rpm)
    deb = tmp_path / "deb"
    deb.mkdir()
    run("bsdtar", "-xf", built.deb, "-C", deb)
    (data_tar,) = deb.glob("data.tar.*")
    run("bsdtar", "-xf", data_tar, "-C", deb)

    assert without_elf(installed(deb)) == expected(DEB)
    assert without_elf(installed(from_rpm)) == expected(RPM)
    assert digests(from_rpm) == digests(deb)


def test_the_same_files_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archives", CONTENT)

    again = build_both(
        tmp_path, [archive], scripts=SCRIPTS, jobs=5, large=1 << 20, compression=built.compression
    )

    assert again.deb.read_bytes() == built.deb.read_bytes()
    assert again.rpm.read_bytes() == built.rpm.read_bytes()


def test_runpath_becomes_rpath_of_installed_directories_unless_it_is_to_be_kept(
    tmp_path: Path,
) -> None:
    code = sample_elf.shared_library("code.co", ["f"])
    path = f"$ORIGIN/../lib:{PREFIX}/lib:/build/lib"
    content: dict[str, Entry | bytes] = {
        "lib/libhip.so.1": LIBRARY,
        "lib/libfound.so": sample_elf.shared_library("libfound.so", ["f"], runpath=path),
        "lib/gfx942.co": code,
        "lib/gfx942.hsaco": code,
        "lib/blas.kpack": code,
        "lib/llvm/bin/rocm.cfg": b"-Wl,--enable-new-dtags\n--rocm-path='<CFGDIR>/../../..'\n",
        "share/other.cfg": b"-Wl,--enable-new-dtags\n",
    }
    archive = make_archive(tmp_path / "archives", content)
    before = archive.path.read_bytes()
    changed = build_both(tmp_path / "changed", [archive])
    kept = build_both(tmp_path / "kept", [archive], keep_runpath=True)

    for extract in (extract_deb, extract_rpm):
        name = extract.__name__
        rewritten = extract(getattr(changed, name[-3:]), tmp_path / f"{name}-1") / PREFIX[1:]
        same = extract(getattr(kept, name[-3:]), tmp_path / f"{name}-2") / PREFIX[1:]
        for path in ("gfx942.co", "gfx942.hsaco", "blas.kpack"):
            assert (rewritten / "lib" / path).read_bytes() == code
        assert "(RPATH)" in run("readelf", "-dW", rewritten / "lib/libhip.so.1")
        assert "(RUNPATH)" in run("readelf", "-dW", same / "lib/libhip.so.1")
        found = run("readelf", "-dW", rewritten / "lib/libfound.so")
        assert f"Library rpath: [$ORIGIN/../lib:{PREFIX}/lib]\n" in found
        assert b"-Wl,--disable-new-dtags" in (rewritten / "lib/llvm/bin/rocm.cfg").read_bytes()
        assert b"enable-new" in (rewritten / "share/other.cfg").read_bytes()
        for path, data in content.items():
            assert (same / path).read_bytes() == data
    assert archive.path.read_bytes() == before


def test_a_package_may_only_gather_others(tmp_path: Path) -> None:
    plans = [planned(kind, name="amdrocm", depends=("amdrocm-core",)) for kind in (DEB, RPM)]

    result = build_native_packages(
        plans, [], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
    )

    deb, other = (file.path for file in result.files)
    assert "Depends: amdrocm-core\n" in run("dpkg-deb", "-I", deb, "control")
    assert run("rpm", "-qpl", other) == "(contains no files)\n"
    assert "amdrocm-core\n" in run("rpm", "-qp", "--requires", other)
    assert run("rpm", "-K", other).endswith("digests OK\n")


def test_a_plan_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archives", {"bin/a": b"a"})
    plan = planned(DEB, [archive])
    link = Content("bin/b", Kind.HARDLINK, 0o644, 0, "bin/c", "", "")
    below = Content("bin/a/b", Kind.DIRECTORY, 0o755, 0, "", "", "")
    again = replace(plan.contents[0], kind=Kind.SYMLINK, link="x")
    cases = {
        "hard link 'bin/b' names 'bin/c'": (*plan.contents, link),
        "'opt/rocm/core-7.13/bin/a' is planned as no directory": (*plan.contents, below),
        "is planned twice": (*plan.contents, again),
    }
    for message, contents in cases.items():
        result = build_native_packages(
            [replace(plan, contents=contents)],
            [archive],
            directories(tmp_path / "out"),
            tmp_path / "work",
            mtime=MTIME,
        )
        assert message in str(result.failures[0].error)
        assert isinstance(result.failures[0].error, IntegrityError)
        assert not list((tmp_path / "out/deb").iterdir())


# -------------------------------------------------------------------------------------- deb


def test_dpkg_lists_a_deb_as_owned_by_root(built: Built) -> None:
    lines = run("dpkg-deb", "-c", built.deb).splitlines()

    assert all(line.split()[1] == "root/root" for line in lines)
    assert lines[0].endswith(" ./")
    names = [line.split(maxsplit=5)[5].split(" -> ")[0].split(" link to ")[0] for line in lines]
    assert names == sorted(names, key=str.encode)
    assert f".{PREFIX}/{LONG}" in names
    assert any(line.endswith(" -> libhip.so.1") for line in lines)
    assert sum(line.startswith("h") for line in lines) == 3


def test_deb_has_the_fields_and_scripts_of_its_plan(built: Built, tmp_path: Path) -> None:
    run("dpkg-deb", "-e", built.deb, tmp_path / "control")
    control = (tmp_path / "control/control").read_text()

    assert control.startswith(
        "Package: amdrocm-runtime7.13\nVersion: 7.13.0~20251124-1\nArchitecture: amd64\n"
        "Maintainer: ROCm Packages <rocm-packages@example.org>\nInstalled-Size: "
    )
    assert control.endswith(
        "Description: Runtime that programs for AMD GPUs are started with\n"
        " Libraries and tools of the runtime.\n .\n They come from one build of TheRock.\n"
    )
    for name, text in (
        ("postinst", SCRIPTS.after_install),
        ("prerm", SCRIPTS.before_remove),
        ("postrm", SCRIPTS.after_remove),
    ):
        path = tmp_path / "control" / name
        assert path.read_text() == f"#!/bin/sh\n{text}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert {path.name for path in (tmp_path / "control").iterdir()} == {
        "control", "md5sums", "postinst", "prerm", "postrm",
    }  # fmt: skip
    root = extract_deb(built.deb, tmp_path / "root")
    run("md5sum", "-c", "--quiet", "--strict", tmp_path / "control/md5sums", cwd=root)
    sums = (tmp_path / "control/md5sums").read_text().splitlines()
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(sums) == len(files)
    document = root / "usr/share/doc/amdrocm-runtime7.13"
    assert "License: MIT" in (document / "copyright").read_text()
    parsed = run("dpkg-parsechangelog", "-l", document / "changelog.Debian.gz")
    assert "Version: 7.13.0~20251124-1" in parsed
    assert "Date: Tue, 01 Jan 1980 00:00:00 +0000" in parsed


def test_dpkg_installs_upgrades_and_purges_a_deb(built: Built, tmp_path: Path) -> None:
    database = tmp_path / "root/var/lib/dpkg"
    (database / "info").mkdir(parents=True)
    (database / "updates").mkdir()
    (database / "status").touch()
    plain = build_both(tmp_path / "plain", [make_archive(tmp_path / "archives", CONTENT)])
    options = (f"--root={tmp_path / 'root'}", "--force-not-root,depends,script-chrootless")
    run("dpkg", *options, "--log=/dev/null", "-i", plain.deb)

    assert without_elf(installed(tmp_path / "root")) == expected(DEB)
    status = run("dpkg-query", f"--admindir={database}", "-W", "-f", "${Status}", "amdrocm-*")
    assert status == "install ok installed"
    assert run("dpkg", *options, "--verify") == ""
    run("dpkg", *options, "--log=/dev/null", "-i", plain.deb)
    run("dpkg", *options, "--log=/dev/null", "--purge", "amdrocm-runtime7.13")
    assert not (tmp_path / "root/opt").exists()
    assert built.deb.name == plain.deb.name


# -------------------------------------------------------------------------------------- rpm


def rpm_on(root: Path, *words: str | Path) -> str:
    return run("rpm", f"--root={root}", *words)


def test_rpm_checks_and_describes_an_rpm(built: Built) -> None:
    checked = run("rpm", "-Kv", built.rpm)
    for what in ("Header SHA256 digest", "Header SHA1 digest", "Payload SHA256 digest", "MD5"):
        assert f"{what}" in checked
    assert checked.count(": OK") == 4

    form = "%{NAME}|%{VERSION}|%{RELEASE}|%{ARCH}|%{LICENSE}|%{VENDOR}|%{PACKAGER}|%{BUILDTIME}"
    assert run("rpm", "-qp", "--qf", form, built.rpm) == (
        "amdrocm-runtime7.13|7.13.0~20251124|1|x86_64|MIT|Advanced Micro Devices, Inc."
        f"|ROCm Packages <rocm-packages@example.org>|{MTIME}"
    )
    assert run("rpm", "-qp", "--qf", "[%{PREFIXES}]", built.rpm) == PREFIX
    assert run("rpm", "-qp", "--qf", "%{BUILDHOST}", built.rpm) == "localhost"
    scripts = run("rpm", "-qp", "--scripts", built.rpm)
    assert "postinstall scriptlet (using /bin/sh):\nset -e\necho installed" in scripts
    assert "preuninstall scriptlet (using /bin/sh):\nset -e\n: before" in scripts
    assert "postuninstall scriptlet (using /bin/sh):\nset -e\n: after" in scripts
    assert "posttrans scriptlet (using /bin/sh):\nset -e\n: transaction" in scripts


def test_rpm_lists_what_it_holds(built: Built, tmp_path: Path) -> None:
    root = extract_rpm(built.rpm, tmp_path / "root")
    dumped = {}
    for line in run("rpm", "-qp", "--dump", built.rpm).splitlines():
        place, size, mtime, digest, mode, user, group, *_, link = line.rsplit(" ", 10)
        dumped[place] = size, digest, int(mode, 8), link
        assert (mtime, user, group) == (str(MTIME), "root", "root")

    assert min(dumped) == PREFIX  # nothing above
    assert list(dumped) == sorted(dumped, key=str.encode)
    unpacked = [path for path in root.rglob("*") if len(path.relative_to(root).parts) > 2]
    assert {f"/{path.relative_to(root)}" for path in unpacked} == set(dumped)
    for path in unpacked:
        size, digest, number, link = dumped[f"/{path.relative_to(root)}"]
        assert number == path.lstat().st_mode
        if path.is_symlink():
            assert link == str(path.readlink())
        elif path.is_file():
            assert (int(size), digest) == (
                path.stat().st_size,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )


def test_rpm_provides_and_requires_what_elfdeps_says(built: Built, tmp_path: Path) -> None:
    root = extract_rpm(built.rpm, tmp_path / "root")
    for what, also in (
        ("provides", {"amdrocm-runtime7.13 = 7.13.0~20251124-1"}
            | {"amdrocm-runtime7.13(x86-64) = 7.13.0~20251124-1"}),
        ("requires", {"/bin/sh"}),
    ):  # fmt: skip
        found = set()
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
                found |= elfdeps(path, what)
        told = set(run("rpm", "-qp", f"--{what}", built.rpm).splitlines())
        assert {name for name in told if not name.startswith("rpmlib(")} == found | also
    assert "libhip.so.1()(64bit)" in run("rpm", "-qp", "--provides", built.rpm)


def test_rpm_installs_verifies_relocates_and_erases(built: Built, tmp_path: Path) -> None:
    options = ("--nodeps", "--noscripts")
    changes = ("--force-debian", *options)
    root = tmp_path / "root"
    rpm_on(root, "--initdb")
    rpm_on(root, "-i", *changes, built.rpm)

    assert without_elf(installed(root)) == expected(RPM)
    assert rpm_on(root, "-V", *options, "amdrocm-runtime7.13") == ""
    rpm_on(root, "-e", *changes, "amdrocm-runtime7.13")
    assert not (root / PREFIX[1:]).exists()

    other = tmp_path / "other"
    rpm_on(other, "--initdb")
    rpm_on(other, "-i", *changes, "--prefix=/srv/rocm", built.rpm)
    assert without_elf(tree(other / "srv/rocm")) == expected(RPM)


def test_rpm_relations_are_parsed(tmp_path: Path) -> None:
    plan = replace(
        planned(RPM, name="amdrocm", depends=("python3 >= 3.6.8", "(a or b)", "c = 7.13.0~1-2")),
        provides=("rocm = 7.13.0^1-1",),
        conflicts=("old < 2",),
        obsoletes=("older <= 1",),
        recommends=("gcc",),
        suggests=("gdb > 1",),
    )
    result = build_native_packages(
        [plan], [], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
    )

    def query(what: str) -> set[str]:
        return set(run("rpm", "-qp", f"--{what}", result.files[0].path).splitlines())

    assert {"python3 >= 3.6.8", "(a or b)", "c = 7.13.0~1-2"} <= query("requires")
    for feature in ("TildeInVersions", "CaretInVersions", "RichDependencies", "PayloadIsZstd"):
        assert any(feature in name for name in query("requires")), feature
    assert "rocm = 7.13.0^1-1" in query("provides")
    assert query("conflicts") == {"old < 2"}
    assert query("obsoletes") == {"older <= 1"}
    assert query("recommends") == {"gcc"}
    assert query("suggests") == {"gdb > 1"}

    bad = replace(plan, depends=("python3 (>= 3)",))
    failed = build_native_packages(
        [bad], [], directories(tmp_path / "out"), tmp_path / "work", mtime=MTIME
    )
    assert isinstance(failed.failures[0].error, UsageError)
    assert "'python3 (>= 3)' is no relation of an rpm" in str(failed.failures[0].error)


def test_what_a_definition_ignores_is_not_required(tmp_path: Path) -> None:
    program = sample_elf.program("gdb", needed=["libpython3.11.so.1.0", "libc.so.6"])
    archive = make_archive(tmp_path / "archives", {"bin/rocgdb": executable(program)})

    plain = build_both(tmp_path / "plain", [archive])
    debugger = build_both(tmp_path / "debugger", [archive], ignored_requires=("libpython*",))

    assert "libpython3.11.so.1.0()(64bit)" in run("rpm", "-qp", "--requires", plain.rpm)
    requires = run("rpm", "-qp", "--requires", debugger.rpm)
    assert "libpython" not in requires
    assert "libc.so.6()(64bit)" in requires


@pytest.mark.parametrize("algorithm", ["rsa2048", "ed25519"])
def test_rpm_verifies_a_signed_rpm_and_refuses_a_changed_one(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    unprotected = ("--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    try:
        run("gpg", *unprotected, "--quick-gen-key", "sign@example.org", algorithm, "sign", "never")
        archive = make_archive(tmp_path / "archives", CONTENT)
        with open_signer("sign@example.org") as signer:
            signed = build_both(tmp_path, [archive], signer=signer).rpm
            again = build_both(tmp_path / "again", [archive], signer=signer).rpm
        plain = build_both(tmp_path / "plain", [archive]).rpm
        (tmp_path / "key.asc").write_text(run("gpg", "--armor", "--export", "sign@example.org"))
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)
    keys = f"--dbpath={tmp_path / 'keys'}"
    run("rpm", keys, "--import", tmp_path / "key.asc")

    assert signed.read_bytes() == again.read_bytes()
    assert "Signature, key ID" in run("rpm", keys, "-Kv", signed)
    assert run("rpm", keys, "-K", signed).endswith("digests signatures OK\n")
    assert run("rpm", keys, "-K", plain).endswith("digests OK\n")
    strict = ("--define", "_pkgverify_level signature")
    unsigned = subprocess.run(["rpm", keys, *strict, "-K", str(plain)], capture_output=True)  # noqa: PLW1510
    assert unsigned.returncode != 0
    for place in (len(signed.read_bytes()) - 1000, 6000):
        data = bytearray(signed.read_bytes())
        data[place] ^= 1
        changed = tmp_path / "changed.rpm"
        changed.write_bytes(data)
        judged = subprocess.run(["rpm", keys, "-K", str(changed)], capture_output=True)  # noqa: PLW1510
        assert judged.returncode != 0


def test_a_signature_that_has_no_room_is_told(tmp_path: Path) -> None:
    public = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
    signer = Signer("A" * 40, 0, public.encode(), {"PATH": str(tmp_path)})
    (tmp_path / "gpg").write_text("#!/bin/sh\nprintf '\\210\\001\\004\\000\\001%2500s'\n")
    (tmp_path / "gpg").chmod(0o755)
    result = build_native_packages(
        [planned(RPM, name="amdrocm")],
        [],
        directories(tmp_path / "out"),
        tmp_path / "work",
        mtime=MTIME,
        signer=signer,
    )
    told = str(result.failures[0].error)
    assert "a signature of 2505 bytes is longer than 2048; sign with" in told


def test_rpm_knows_documents_licences_and_catalogues(tmp_path: Path) -> None:
    archive = make_archive(
        tmp_path,
        {
            "share/doc/amdx/README.md": b"read",
            "share/doc/amdx/LICENSE.md": b"may",
            "share/man/man1/amdx.1": b"man",
            "share/locale/de/LC_MESSAGES/amdx.mo": b"hallo",
            "share/amdx/README.md": b"of the program",
        },
    )
    built = build_both(tmp_path, [archive])
    form = "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILELANGS}\\n]"
    listed = [line.split(" ") for line in run("rpm", "-qp", "--qf", form, built.rpm).splitlines()]
    marked = {path.removeprefix(f"{PREFIX}/"): (f, lang) for path, f, lang in listed if f or lang}
    assert marked == {
        "share/doc/amdx/README.md": ("d", ""),
        "share/doc/amdx/LICENSE.md": ("l", ""),
        "share/man/man1/amdx.1": ("d", ""),
        "share/locale/de/LC_MESSAGES/amdx.mo": ("", "de"),
    }


def test_deb_declares_to_lintian_what_concerns_it(tmp_path: Path) -> None:
    library = make_archive(tmp_path / "library", {"lib/liba.so.1": executable(LIBRARY)})
    data = make_archive(tmp_path / "data", {"share/a": b"data"})
    gpu = sample_elf.gpu_code_object("gfx942", 512)
    code = make_archive(
        tmp_path / "code", {"lib/a.co": gpu, "lib/gpu": gpu, "lib/b.hsaco": b"KPAK"}
    )
    declared = {}
    for name, archives in (
        ("library", [library]),
        ("data", [data]),
        ("code", [code]),
        ("gatherer", []),
    ):
        root = extract_deb(build_both(tmp_path / name, archives, name=name).deb, tmp_path / "root")
        path = root / "usr/share/lintian/overrides" / name
        declared[name] = path.read_text().splitlines() if path.exists() else []
    tags = {
        name: [line for line in lines if not line.startswith("# ")]
        for name, lines in declared.items()
    }
    assert tags == {
        "library": ["library: dir-or-file-in-opt [opt/rocm/*]"],
        "data": ["data: dir-or-file-in-opt [opt/rocm/*]"],
        "code": [
            "code: dir-or-file-in-opt [opt/rocm/*]",
            "code: binary-from-other-architecture [opt/rocm/core-7.13/*.co]",
            "code: shared-library-lacks-prerequisites [opt/rocm/core-7.13/*.co]",
        ],
        "gatherer": [],
    }
    assert declared["data"][0].startswith("# ROCm is installed below /opt, where the FHS has")
