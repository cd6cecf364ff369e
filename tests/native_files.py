"""Small deb and rpm packages: made in memory where thousands are wanted, by rpmbuild otherwise."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_AR = b"!<arch>\n"


def deb(
    name: str,
    version: str = "1.0-1",
    *,
    depends: str = "",
    architecture: str = "amd64",
    content: bytes = b"content\n",
    extra: str = "",
) -> tuple[str, bytes]:
    """A package with one file, as its file name and its bytes."""
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: Nobody <nobody@example.com>\n"
        + (f"Depends: {depends}\n" if depends else "")
        + extra
        + f"Description: test package {name}\n Of two paragraphs.\n .\n This is the second.\n"
    )
    files = _tar({f"./opt/rocm/share/{name}": content})
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(_tar({"./control": control.encode()}), 1, mtime=0),
        "data.tar": files,
    }
    data = _AR + b"".join(_ar_member(member, body) for member, body in members.items())
    return f"{name}_{version.partition(':')[2] or version}_{architecture}.deb", data


def put(directory: Path, *files: tuple[str, bytes]) -> list[Path]:
    """Write files into a directory, which is made."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, data in files:
        paths.append(directory / name)
        paths[-1].write_bytes(data)
    return paths


@cache
def rpm(
    name: str,
    version: str = "1.0",
    *,
    requires: str = "",
    content: str = "content",
    epoch: int | None = None,
    architecture: str = "x86_64",
) -> tuple[str, bytes]:
    """A package with one file, made by rpmbuild; the same bytes for the same words."""
    spec = (
        f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: test package\nLicense: MIT\n"
        f"BuildArch: {architecture}\nAutoReqProv: no\n"
        + (f"Epoch: {epoch}\n" if epoch is not None else "")
        + (f"Requires: {requires}\n" if requires else "")
        + f"%description\nA test & <package>.\n%install\nmkdir -p %{{buildroot}}/opt/rocm/share\n"
        f"echo '{content}' >%{{buildroot}}/opt/rocm/share/{name}\n"
        f"%files\n/opt/rocm/share/{name}\n"
    )
    with TemporaryDirectory() as top:
        path = Path(top, "package.spec")
        path.write_text(spec)
        definitions = {
            "_topdir": top,
            "_rpmdir": f"{top}/out",
            "_build_id_links": "none",
            "_buildhost": "localhost",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
            "__os_install_post": "%{nil}",
            "debug_package": "%{nil}",
            "_binary_payload": "w1.gzdio",
        }
        words = [word for item in definitions.items() for word in ("--define", " ".join(item))]
        done = subprocess.run(
            ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *words, str(path)],
            env={"PATH": "/usr/bin:/bin", "HOME": top, "SOURCE_DATE_EPOCH": "1700000000"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (built,) = Path(top, "out").rglob("*.rpm")
        return built.name, built.read_bytes()


def _tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _ar_member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)
