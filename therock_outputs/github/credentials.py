"""The token that GitHub is asked with: the environment's, else that of the ``gh`` command."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from therock_outputs.errors import UsageError

__all__ = ["ANONYMOUS", "Token", "token_for"]

_PATIENCE = 10
"""Seconds for ``gh``, which asks a keyring that may ask a person."""
_TOKEN = re.compile(r"[!-~]{1,1024}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it came from; its value is shown by nothing."""

    value: str | None = field(repr=False)
    """None: GitHub is asked anonymously."""
    source: str
    """For people: ``GITHUB_TOKEN``, ``gh``, or ``no token``."""


ANONYMOUS = Token(None, "no token")


def token_for(api_url: str, token: str | None, environ: Mapping[str, str]) -> Token:
    """``token`` (of GITHUB_TOKEN) if there is one, else what ``gh`` knows for that server.

    ``gh`` keeps a token for each server, so that no server sees another's. UsageError for a
    value that no HTTP header can hold; it is not repeated in the message.
    """
    if token is not None and token.strip():
        return Token(_checked(token.strip(), "GITHUB_TOKEN"), "GITHUB_TOKEN")
    host = urlsplit(api_url).netloc
    host = "github.com" if host == "api.github.com" else host
    said = _ask_gh(host, environ)
    if said:
        return Token(_checked(said, "gh"), "gh")
    _log.info("GitHub is asked without a token: neither GITHUB_TOKEN nor gh has one for %s", host)
    return ANONYMOUS


def _ask_gh(host: str, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            ["gh", "auth", "token", "--hostname", host],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.info("gh gives no token (%s)", type(error).__name__)
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _checked(value: str, source: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise UsageError(
            f"the token of {source} holds a space or a character that no token has; set it anew"
        )
    return value
