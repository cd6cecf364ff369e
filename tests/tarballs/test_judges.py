"""Every tool in use reads a tarball of many gzip members, and all of them read the same."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import archive_makers as make
from tests.tarball_makers import build, tar_of, tree_in
from therock_outputs.tarballs.encoding import SEGMENT_SIZE

STAGES = ("blas/stage", "blas/stage2")
_LARGE = random.Random(8).randbytes(8192) * (SEGMENT_SIZE * 2 // 8192) + b"end"


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tarball with everything that a tool could take amiss."""
    folder = tmp_path_factory.mktemp("judged")
    many = [make.file(f"blas/stage/share/f{n:04}", b"%d" % n * n) for n in range(400)]
    make.write(
        folder / "run",
        "blas_lib_generic.tar.zst",
        make.directory("blas/stage/lib", mode=0o750),
        make.file("blas/stage/lib/libblas.so.1.0", _LARGE, mode=0o755),
        make.symlink("blas/stage/lib/libblas.so.1", "libblas.so.1.0"),
        make.symlink("blas/stage/lib64", "lib"),
        make.hardlink("blas/stage2/lib/other-name", "blas/stage/lib/libblas.so.1.0"),
        make.file("blas/stage/empty"),
        make.file("blas/stage/read-only", b"x", mode=0o444),
        make.pax({"path": "blas/stage/doc/" + "long " * 30 + "/" + "ü" * 110})
        + make.file("x", b"named at length"),
        make.pax({"path": "blas/stage/link", "linkpath": "deep/" * 40 + "日本語"})
        + make.symlink("x", "y"),
        *many,
        stages=STAGES,
    )
    make.write(
        folder / "run",
        "blas_lib_gfx942.tar.zst",
        make.file("blas/stage/lib/gfx942.co", _LARGE[::-1]),
        make.directory("blas/stage/none"),
        stages=STAGES,
    )
    (result,) = build(folder / "run", folder / "out").tarballs
    assert result.path.read_bytes().count(b"\x1f\x8b\x08") >= 8
    return result.path


@pytest.fixture(scope="module")
def expected(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """The tree as Python's readers extract it, which other tests hold against the archives."""
    tree = tree_in(tarball, tmp_path_factory.mktemp("python") / "tree")
    assert len(tree) == 414
    return tree


def _run(*command: object, cwd: Path) -> str:
    words = [str(word) for word in command]
    assert shutil.which(words[0]), f"{words[0]} is missing; see .ci/system-packages.txt"
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def _tree(root: Path) -> dict[str, tuple[str, ...]]:
    return make.tree_of(root)


@pytest.mark.parametrize("tar", ["tar", "bsdtar"])
def test_tar_programs_extract_the_tree(
    tarball: Path, expected: dict[str, tuple[str, ...]], tmp_path: Path, tar: str
) -> None:
    _run(tar, "-xpzf", tarball, cwd=tmp_path)
    assert _tree(tmp_path) == expected


def test_7z_extracts_the_tree(
    tarball: Path, expected: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    _run("7z", "x", "-y", f"-o{tmp_path / 'tar'}", tarball, cwd=tmp_path)
    (inner,) = (tmp_path / "tar").iterdir()
    assert inner.read_bytes() == tar_of(tarball)
    _run("7z", "x", "-y", "-snld", f"-o{tmp_path / 'tree'}", inner, cwd=tmp_path)
    # 7z makes copies of hard links and its own permission bits.
    plain = {name: (e[0], *e[2:3]) if e[0] != "link" else e for name, e in expected.items()}
    found = _tree(tmp_path / "tree").items()
    assert {name: (e[0], *e[2:3]) if e[0] != "link" else e for name, e in found} == plain


_NODE = """
const crypto = require("crypto"), fs = require("fs"), zlib = require("zlib");
const hash = crypto.createHash("sha256");
fs.createReadStream(process.argv[1]).pipe(zlib.createGunzip())
  .on("data", data => hash.update(data))
  .on("end", () => console.log(hash.digest("hex")));
"""
_JAVA = """
import java.io.*; import java.math.BigInteger; import java.security.*; import java.util.zip.*;
public class Main {
  public static void main(String[] args) throws Exception {
    MessageDigest hash = MessageDigest.getInstance("SHA-256");
    try (InputStream in = new GZIPInputStream(new FileInputStream(args[0]))) {
      byte[] buffer = new byte[65536];
      for (int count; (count = in.read(buffer)) >= 0; ) hash.update(buffer, 0, count);
    }
    System.out.println(String.format("%064x", new BigInteger(1, hash.digest())));
  }
}
"""
_GO = """
package main
import ("compress/gzip"; "crypto/sha256"; "fmt"; "io"; "os")
func main() {
  file, err := os.Open(os.Args[1])
  if err != nil { panic(err) }
  reader, err := gzip.NewReader(file)
  if err != nil { panic(err) }
  hash := sha256.New()
  if _, err := io.Copy(hash, reader); err != nil { panic(err) }
  fmt.Printf("%x\\n", hash.Sum(nil))
}
"""


@pytest.mark.parametrize(
    ("program", "source", "command"),
    [
        ("main.js", _NODE, ["node"]),
        ("Main.java", _JAVA, ["java"]),
        ("main.go", _GO, ["go", "run"]),
    ],
)
def test_gzip_readers_of_other_languages_read_every_member(
    tarball: Path, tmp_path: Path, program: str, source: str, command: list[str]
) -> None:
    (tmp_path / program).write_text(source)
    if program == "main.js":
        output = _run(*command, "-e", source, tarball, cwd=tmp_path)
    else:
        output = _run(*command, program, tarball, cwd=tmp_path)
    assert output.strip() == hashlib.sha256(tar_of(tarball)).hexdigest()
