"""The task ``serve``: a staging directory over HTTP, for the installers of this machine."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass

from therock_outputs.commands.sample import DEFAULT_STAGING
from therock_outputs.console import Console
from therock_outputs.indexes.server import StagingServer
from therock_outputs.settings import Settings

__all__ = ["DEFAULT_PORT", "Served", "serve_staging"]

DEFAULT_PORT = 8000
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Served:
    """The JSON document of ``serve``, which is printed before it waits."""

    url: str
    directory: str


def serve_staging(
    settings: Settings, console: Console, *, host: str | None, port: int | None
) -> Served:
    """Serve until interrupted, which is how it ends well."""
    staging = settings.staging_dir or DEFAULT_STAGING
    host = host or _LOOPBACK
    with StagingServer(staging, host, DEFAULT_PORT if port is None else port) as server:
        served = Served(server.url, str(staging))
        console.say(f"{staging} is served at {server.url} until you press Ctrl-C")
        if not _is_loopback(host):
            console.warn(f"everyone who reaches {host} can read {staging}")
        console.document(served)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return served


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
