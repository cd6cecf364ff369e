"""Files over 4 GB and memory: what streams must never be held."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from tests import archive_makers as make
from tests.tarball_makers import build
from therock_outputs.artifacts.archives import Kind, open_archive
from therock_outputs.artifacts.tarheader import tar_header
from therock_outputs.artifacts.tarstream import TarStream, TypeFlag
from therock_outputs.tarballs.encoding import Encoding, TarballFormat
from therock_outputs.tarballs.plan import TarballOptions

S = make.STAGE
_FRAME = 64 << 20
_FRAMES = 66
SIZE = _FRAME * _FRAMES  # 4.1 GiB


def _huge_archive(folder: Path) -> Path:
    """Two files, of which the first is all zeros: one zstd frame, many times over."""
    before = make.manifest(S) + make.header(f"{S}/huge", size=SIZE)
    after = make.file(f"{S}/after", b"after") + make.END
    path = make.write(folder, "a_lib_gfx942.tar.zst")
    zeros = make.zst(bytes(_FRAME))
    path.write_bytes(make.zst(before) + zeros * _FRAMES + make.zst(after))
    path.with_name(f"{path.name}.sha256sum").write_text(make.digest_of(path))
    return path


def test_a_file_over_4_gb_streams_from_archive_to_tarball(tmp_path: Path) -> None:
    archive = _huge_archive(tmp_path / "run")
    assert archive.stat().st_size < 1 << 20
    with open_archive(archive) as reader:
        members = iter(reader)
        assert next(members).size == SIZE
    options = TarballOptions("1", encoding=Encoding(TarballFormat.ZST, 1))
    result = build(tmp_path / "run", tmp_path / "out", options=options)
    (tarball,) = result.tarballs
    assert tarball.contents is not None
    assert tarball.contents > SIZE
    assert tarball.size < 4 << 20
    stored = [path.stat().st_size for path in (tmp_path / "out.segments").rglob("??/*")]
    assert sum(stored) < 1 << 20
    listing = subprocess.run(
        ["tar", "--zstd", "-tvf", str(tarball.path)], capture_output=True, text=True, check=True
    )
    sizes = {line.split()[-1]: int(line.split()[2]) for line in listing.stdout.splitlines()}
    assert sizes == {"huge": SIZE, "after": 5}


class _Once:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def readinto(self, buffer: memoryview, /) -> int:
        buffer[:] = self._data
        return len(buffer)


def test_sizes_above_what_octal_digits_hold_are_written() -> None:
    for size in ((8 << 30) - 1, 8 << 30, 1 << 40):
        header = tar_header("a", Kind.FILE, mode=0o644, mtime=1, size=size)
        member = next(iter(TarStream(_Once(header), "a")))
        assert (member.kind, member.size) == (TypeFlag.FILE, size)


_MEASURED = """
import re, sys
from pathlib import Path
from tests.tarball_makers import build
from therock_outputs.tarballs.encoding import Encoding
from therock_outputs.tarballs.plan import TarballOptions
options = TarballOptions("1", encoding=Encoding(level=1))
(tarball,) = build(Path(sys.argv[1]), Path(sys.argv[2]), options=options).tarballs
# Unlike ru_maxrss this does not begin with the size of the process that started this one.
(peak,) = re.findall("VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())
print(tarball.contents, int(peak) // 1024)
"""


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = make.write(run, "a_lib_gfx942.tar.zst")
    seeded = random.Random(6)
    with path.open("wb") as stream:
        stream.write(make.zst(make.manifest(S) + make.header(f"{S}/large", size=75 << 23)))
        for _ in range(75):
            stream.write(make.zst(seeded.randbytes(1 << 13) * 1024))
        stream.write(make.zst(make.END))
    path.with_name(f"{path.name}.sha256sum").write_text(make.digest_of(path))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(run), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    contents, megabytes = map(int, done.stdout.split())
    assert contents > 600_000_000
    assert megabytes < 150
