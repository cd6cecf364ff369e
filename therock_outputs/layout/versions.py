"""The version of a build in the spellings of Python, Debian and rpm, and the date within it.

A date is believed only where the forms of a version put one: eight digits of a commit hash are
none, whatever they look like.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from therock_outputs.errors import UsageError
from therock_outputs.layout.names import ReleaseType, parse_release_type

__all__ = [
    "PackageVersions",
    "compute_versions",
    "derive_native_versions",
    "format_date",
    "parse_date",
    "version_date",
]

_SHORT_COMMIT = 8
"""How many digits of a commit an rpm version shows."""

_BASE = re.compile(r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{8,64}")
_PYTHON = re.compile(
    r"(?P<base>\d+\.\d+\.\d+)"
    r"(?:rc(?P<rc>\d+)"
    r"|a(?P<date>\d{8})(?:\+bkc\.(?P<bkc>\d{8}))?"
    r"|\.dev0\+(?P<commit>[0-9a-f]{8,64}))?",
    re.ASCII,
)
# Where a form has a date: after the base, as in 1.2.3a20251124, ~20251124, ~20251124gf689a8e,
# ~dev20251124; and after "bkc.". What follows must end the number.
_END = r"(?=$|[-+.~]|g[0-9a-f])"
_DATE_AFTER_BASE = re.compile(rf"(?:\d+:)?\d+(?:\.\d+)*(?:a|~dev|~)(\d{{8}}){_END}", re.ASCII)
_DATE_AFTER_BKC = re.compile(rf"[+.]bkc\.(\d{{8}}){_END}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PackageVersions:
    """One build's version, as each kind of package writes it."""

    python: str
    """PEP 440, in its normal form."""
    deb: str
    """Debian Policy 5.6.12, without revision."""
    rpm: str
    """rpm's version tag, without release."""


def compute_versions(
    base: str,
    release_type: str,
    *,
    date: dt.date | None = None,
    commit: str | None = None,
    prerelease: int | None = None,
    bkc_base: dt.date | None = None,
) -> PackageVersions:
    """The three versions of a build of ``base`` (``X.Y.Z``).

    A nightly needs ``date``; nightly-bkc also ``bkc_base``, the date of the nightly that it is
    based on; ci, dev and dev-bkc ``date`` and ``commit`` (at least eight hexadecimal digits); a
    prerelease its number. UsageError names what is missing or malformed.
    """
    kind = parse_release_type(release_type)
    if not _BASE.fullmatch(base):
        raise UsageError(f"base version {base!r} is not of the form X.Y.Z, as in 7.10.0")
    match kind:
        case ReleaseType.RELEASE:
            return PackageVersions(base, base, base)
        case ReleaseType.PRERELEASE:
            return _prerelease(base, prerelease)
        case ReleaseType.NIGHTLY:
            return _nightly(base, _needed(date, kind, "--date"))
        case ReleaseType.NIGHTLY_BKC:
            day, based_on = _needed(date, kind, "--date"), _needed(bkc_base, kind, "--bkc-base")
            return _nightly_bkc(base, based_on, day)
        case ReleaseType.CI | ReleaseType.DEV | ReleaseType.DEV_BKC:
            if commit is None:
                raise UsageError(f"a version of release type {kind.value} needs --commit")
            return _development(base, _commit(commit), _needed(date, kind, "--date"))


def derive_native_versions(python_version: str, *, date: dt.date | None = None) -> PackageVersions:
    """The deb and rpm forms of a Python version that `compute_versions` makes.

    ``date`` is needed for a development version, whose Python form has a commit only. UsageError
    for any other form: its deb and rpm versions have to be given.
    """
    form = _PYTHON.fullmatch(python_version)
    if form is None or not _BASE.fullmatch(form["base"]):
        raise UsageError(
            f"package version {python_version!r} has none of the forms X.Y.Z, X.Y.ZrcN, "
            "X.Y.ZaYYYYMMDD, X.Y.ZaYYYYMMDD+bkc.YYYYMMDD, X.Y.Z.dev0+COMMIT; "
            "give --deb-version and --rpm-version"
        )
    base = form["base"]
    if form["rc"]:
        return _prerelease(base, int(form["rc"]))
    if form["bkc"]:
        return _nightly_bkc(base, parse_date(form["date"]), parse_date(form["bkc"]))
    if form["date"]:
        return _nightly(base, parse_date(form["date"]))
    if form["commit"]:
        if date is None:
            raise UsageError(
                f"package version {python_version!r} carries no date, which its deb and rpm "
                "forms have; give --date YYYYMMDD"
            )
        return _development(base, form["commit"], date)
    return PackageVersions(base, base, base)


def version_date(version: str) -> dt.date | None:
    """The calendar date that a Python, deb or rpm version carries; None when it carries none.

    A bkc version has two, and the last one is its own.
    """
    after_base = _DATE_AFTER_BASE.match(version)
    found = [after_base[1]] if after_base else []
    found += _DATE_AFTER_BKC.findall(version)
    dates = [date for text in found if (date := _calendar_date(text))]
    return dates[-1] if dates else None


def parse_date(text: str) -> dt.date:
    """The date written as ``YYYYMMDD``; UsageError when it is not on the calendar."""
    date = _calendar_date(text)
    if date is None:
        raise UsageError(f"date {text!r} is not a calendar date as YYYYMMDD, like 20251124")
    return date


def format_date(date: dt.date) -> str:
    """The date as ``YYYYMMDD``."""
    return f"{date.year:04d}{date.month:02d}{date.day:02d}"


def _prerelease(base: str, number: int | None) -> PackageVersions:
    if number is None or number < 0:
        given = "" if number is None else f", not {number}"
        raise UsageError(f"a prerelease needs --prerelease N, a number from 0{given}")
    return PackageVersions(f"{base}rc{number}", f"{base}~pre{number}", f"{base}~rc{number}")


def _nightly(base: str, date: dt.date) -> PackageVersions:
    day = format_date(date)
    return PackageVersions(f"{base}a{day}", f"{base}~{day}", f"{base}~{day}")


def _nightly_bkc(base: str, based_on: dt.date, date: dt.date) -> PackageVersions:
    first, last = format_date(based_on), format_date(date)
    native = f"{base}~{first}.bkc.{last}"
    return PackageVersions(f"{base}a{first}+bkc.{last}", native, native)


def _development(base: str, commit: str, date: dt.date) -> PackageVersions:
    day = format_date(date)
    return PackageVersions(
        python=f"{base}.dev0+{commit}",
        deb=f"{base}~dev{day}",
        rpm=f"{base}~{day}g{commit[:_SHORT_COMMIT]}",
    )


def _commit(text: str) -> str:
    commit = text.lower()
    if not _COMMIT.fullmatch(commit):
        raise UsageError(f"commit {text!r} is not 8 to 64 hexadecimal digits; give git's full hash")
    return commit


def _needed(date: dt.date | None, kind: ReleaseType, flag: str) -> dt.date:
    if date is None:
        raise UsageError(f"a version of release type {kind.value} needs {flag} YYYYMMDD")
    return date


def _calendar_date(text: str) -> dt.date | None:
    if len(text) != len("YYYYMMDD") or not (text.isascii() and text.isdigit()):
        return None
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
