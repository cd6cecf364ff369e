"""Small wheels and sdists, and real installers with one index and no other in reach."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
_BACKEND = """
import base64, hashlib, zipfile
from pathlib import Path

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    metadata = Path("PKG-INFO").read_text()
    fields = dict(line.split(": ", 1) for line in metadata.splitlines() if ": " in line)
    stem = f"{{fields['Name'].replace('-', '_')}}-{{fields['Version']}}"
    info = stem + ".dist-info"
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as archive:
        archive.writestr(info + "/METADATA", metadata)
        archive.writestr(info + "/WHEEL", {wheel!r})
        archive.writestr(info + "/RECORD", "")
    return name
"""


def metadata_of(
    name: str,
    version: str,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    python: str | None = None,
) -> str:
    """Core metadata 2.1."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    return "\n".join(lines) + "\n"


def wheel(
    name: str,
    version: str,
    requires: Sequence[str] = (),
    *,
    tag: str = "py3-none-any",
    build: str = "",
    extras: Sequence[str] = (),
    python: str | None = None,
    content: bytes = b"",
    scripts: Mapping[str, str] | None = None,
) -> tuple[str, bytes]:
    """A wheel's name and bytes; it installs one module called as the project."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    members = {
        f"{name.replace('-', '_')}.py": b"VERSION = %r\n" % version + content,
        f"{info}/METADATA": metadata_of(name, version, requires, extras, python).encode(),
        f"{info}/WHEEL": _WHEEL.format(tag=tag).encode(),
    }
    for script, text in (scripts or {}).items():
        members[f"{stem}.data/scripts/{script}"] = text.encode()
    record = [f"{path},sha256={_record_digest(data)},{len(data)}" for path, data in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, data)
    return f"{stem}-{build + '-' if build else ''}{tag}.whl", stream.getvalue()


def sdist(
    name: str, version: str, requires: Sequence[str] = (), extras: Sequence[str] = ()
) -> tuple[str, bytes]:
    """An sdist's name and bytes; it builds without any other package."""
    stem = f"{name.replace('-', '_')}-{version}"
    members = {
        "PKG-INFO": metadata_of(name, version, requires, extras),
        "backend.py": _BACKEND.format(wheel=_WHEEL.format(tag="py3-none-any")),
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
    }
    stream = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", 6, stream, 0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path, text in members.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return f"{stem}.tar.gz", stream.getvalue()


def _record_digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


# ------------------------------------------------------------------------- installers


def alone_environment(home: Path) -> dict[str, str]:
    """No configuration of this machine, and a proxy where nobody listens for all but loopback."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_", "VIRTUAL_ENV", "PYTHON"))
        and not name.lower().endswith("_proxy")
    }
    nobody = "http://127.0.0.1:9"
    return kept | {
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
        "UV_NO_CACHE": "1",
        "UV_OFFLINE": "0",
        "UV_PYTHON_DOWNLOADS": "never",
        "HTTP_PROXY": nobody,
        "HTTPS_PROXY": nobody,
        "http_proxy": nobody,
        "https_proxy": nobody,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def installer(name: str) -> list[str]:
    """The command of ``pip`` or ``uv`` up to its own arguments, for this Python."""
    if name == "pip":
        return [sys.executable, "-m", "pip", "install", "--no-input"]
    uv = Path(sys.prefix) / "bin" / "uv"
    return [str(uv), "pip", "install", "--python", sys.executable]


def install(
    name: str, target: Path, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Install into a directory with a real installer."""
    home = target.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [*installer(name), "--target", str(target), *arguments],
        env=alone_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def installed(target: Path) -> set[str]:
    """What was installed: ``name-version`` of each project, as its directory is called."""
    return {path.name.removesuffix(".dist-info") for path in target.glob("*.dist-info")}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def plain_http_server(directory: Path) -> Iterator[str]:
    """Python's own file server, by its address."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
