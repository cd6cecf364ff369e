"""What a person pastes to use a repository: source files of apt, and of dnf and zypper. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from therock_outputs.errors import UsageError
from therock_outputs.signing import PUBLIC_KEY

__all__ = ["Snippet", "apt_snippets", "rpm_snippets"]

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Snippet:
    """One file that tells a package manager of a repository."""

    path: str
    """Where it goes on the machine that installs."""
    text: str


def apt_snippets(url: str, *, signed: bool, name: str = "rocm") -> tuple[Snippet, Snippet]:
    """The ``.list`` and the ``.sources`` file (deb822) for a repository; one of them is enough.

    Signed: the public key is to lie in ``/etc/apt/keyrings/{name}.asc``. Not signed: they say
    that it is to be trusted as it is.
    """
    url = _url(url)
    key = f"/etc/apt/keyrings/{_name(name)}.asc"
    option = f"signed-by={key}" if signed else "trusted=yes"
    one_line = f"deb [arch=amd64 {option}] {url} stable main\n"
    deb822 = (
        f"Types: deb\nURIs: {url}\nSuites: stable\nComponents: main\nArchitectures: amd64\n"
        + (f"Signed-By: {key}\n" if signed else "Trusted: yes\n")
    )
    return (
        Snippet(f"/etc/apt/sources.list.d/{name}.list", one_line),
        Snippet(f"/etc/apt/sources.list.d/{name}.sources", deb822),
    )


def rpm_snippets(
    url: str, *, signed: bool, signed_packages: bool = False, name: str = "rocm"
) -> tuple[Snippet, Snippet]:
    """The ``.repo`` file for dnf, and the same for zypper.

    ``signed`` is the metadata, which holds a digest of each package; ``signed_packages`` says
    that each rpm carries a signature as well.
    """
    url = _url(url)
    lines = [
        f"[{_name(name)}]",
        "name=AMD ROCm",
        # dnf replaces $names, and knows no escape for them.
        f"baseurl={url.replace('$', '%24')}",
        "enabled=1",
        f"repo_gpgcheck={int(signed)}",
        f"gpgcheck={int(signed_packages)}",
    ]
    if signed or signed_packages:
        lines.append(f"gpgkey={url.rstrip('/')}/{PUBLIC_KEY}")
    text = "".join(f"{line}\n" for line in lines)
    return (
        Snippet(f"/etc/yum.repos.d/{name}.repo", text),
        Snippet(f"/etc/zypp/repos.d/{name}.repo", text),
    )


def _url(url: str) -> str:
    """The address with what a line cannot hold escaped, and a slash at its end."""
    if urlsplit(url).scheme not in {"file", "http", "https"}:
        raise UsageError(f"{url!r} is no address of a repository; give file:, http: or https:")
    # A percent sign is an escape already.
    return quote(url, safe=":/%+~$&=@!,;?#'()*").rstrip("/") + "/"


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a source file; use lower-case letters, digits, '.' and '-'"
        )
    return name
