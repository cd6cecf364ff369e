"""Give the ``rocm`` sdist of a release candidate its final version, for all or some targets."""

from __future__ import annotations

import ast
import io
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import deflate

from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.python_packages.retag import DIST_INFO, Retag, retagged_name
from therock_outputs.python_packages.sdist import (
    GZIP_LEVEL,
    literal,
    package_info,
    write_whole,
)
from therock_outputs.python_packages.templates import setup as selector
from therock_outputs.python_packages.wheel import WrittenFile
from therock_outputs.storage.files import sha256_of_file

__all__ = ["retag_selector"]

_T = TypeVar("_T")

_VERSIONED = re.compile(
    r"PKG-INFO|(?:src/)?[^/]+\.egg-info/(?:PKG-INFO|requires\.txt)"
    r"|pyproject\.toml|setup\.py|setup\.cfg"
)
"""The files, below the sdist's own directory, that tell its version or pin others to it."""
_DIST_INFO = re.compile(rf"(?:src/)?[^/]+/{re.escape(DIST_INFO)}")
_MOST_MEMBERS = 10_000
_LARGEST = 64 << 20
_DAMAGED = (tarfile.TarError, zlib.error, EOFError, UnicodeDecodeError, OSError)


def retag_selector(
    source: Path, output_dir: Path, retag: Retag, targets: Sequence[str] | None = None
) -> WrittenFile:
    """Write the sdist with its new version into a directory that exists.

    ``targets`` are those that it is to offer; None: all that it has. The same sdist gives the
    same bytes. IntegrityError for an sdist that is damaged or of another version, UsageError for
    targets that it does not have.
    """
    path = output_dir / retagged_name(source.name, retag)
    members = _read(source)
    root = path.name.removesuffix(".tar.gz")
    old_root = source.name.removesuffix(".tar.gz")
    contents = {}
    for info, data in members:
        top, _, name = info.name.removeprefix("./").partition("/")
        if top != old_root:
            raise IntegrityError(
                f"{source.name}: holds {info.name}, which is not below {old_root}/; build it again"
            )
        contents[name] = _changed(name, data, retag) if info.isfile() else data
    if targets is not None:
        _keep_targets(contents, targets, source.name)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, _ in members:
            name = info.name.removeprefix("./").partition("/")[2]
            info.name = f"{root}/{name}" if name else root
            info.size = len(contents[name]) if info.isfile() else 0
            info.pax_headers = {}
            archive.addfile(info, io.BytesIO(contents[name]) if info.isfile() else None)
    write_whole(path, bytes(deflate.gzip_compress(buffer.getvalue(), GZIP_LEVEL)))
    return WrittenFile(path, path.stat().st_size, sha256_of_file(path))


def _read(source: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    left = _LARGEST
    try:
        with tarfile.open(source, "r:gz") as archive:
            for info in archive:
                if not (info.isfile() or info.isdir()):
                    raise IntegrityError(
                        f"{source.name}: {info.name} is neither a file nor a directory; "
                        "build it again"
                    )
                left -= info.size
                if left < 0 or len(members) == _MOST_MEMBERS:
                    raise IntegrityError(f"{source.name}: is too large for such an sdist")
                file = archive.extractfile(info)
                members.append((info, file.read() if file is not None else b""))
    except _DAMAGED as error:
        raise IntegrityError(
            f"{source.name}: is no whole sdist ({error or type(error).__name__}); build or fetch "
            "it again"
        ) from error
    return members


def _changed(name: str, data: bytes, retag: Retag) -> bytes:
    if _DIST_INFO.fullmatch(name):
        return retag.in_quotes(data.decode()).encode()
    if not _VERSIONED.fullmatch(name):
        return data
    text = data.decode()
    if name.endswith("PKG-INFO"):
        return retag.in_metadata(text).encode()
    text = re.sub(
        rf"(?m)^(version\s*=\s*){re.escape(retag.old)}$", rf"\g<1>{retag.new}", text
    )  # setup.cfg has no quotes
    return retag.in_pins(retag.in_quotes(text)).encode()


def _keep_targets(contents: dict[str, bytes], targets: Sequence[str], label: str) -> None:
    """Let the sdist offer these targets only: its own constants, and the extras it names."""
    name = next((name for name in contents if _DIST_INFO.fullmatch(name)), None)
    if name is None or "PKG-INFO" not in contents or "README.md" not in contents:
        raise UsageError(
            f"{label}: was not written by this program, so its targets cannot be chosen; "
            "leave out --multi-arch-targets"
        )
    constants = _Constants(contents[name].decode(), f"{label}: {name}")
    run = constants.run()
    if unknown := [target for target in targets if target not in run.targets]:
        raise UsageError(
            f"{label} has no target {unknown[0]}; --multi-arch-targets takes "
            f"{', '.join(run.targets)}"
        )
    run = _only(run, targets)
    contents[name] = constants.with_values(
        {
            "TARGETS": run.targets,
            "LINUX_TARGETS": run.linux_targets,
            "WINDOWS_TARGETS": run.windows_targets,
            "DEFAULT_TARGET": run.default_target,
            "FAMILIES": run.families,
        }
    ).encode()
    contents["PKG-INFO"] = package_info(run, contents["README.md"].decode()).encode()


def _only(run: selector.Run, targets: Sequence[str]) -> selector.Run:
    kept = tuple(target for target in run.targets if target in targets)
    linux = tuple(target for target in run.linux_targets if target in kept)
    windows = tuple(target for target in run.windows_targets if target in kept)
    both = [target for target in kept if target in linux and target in windows]
    families = {
        name: tuple(target for target in members if target in kept)
        for name, members in run.families.items()
    }
    default = run.default_target if run.default_target in kept else (both or list(kept))[0]
    return replace(
        run,
        targets=kept,
        linux_targets=linux,
        windows_targets=windows,
        default_target=default,
        families={name: members for name, members in families.items() if members},
    )


class _Constants:
    """``_dist_info.py``: read as data, never run, and written back value by value."""

    def __init__(self, text: str, label: str) -> None:
        self._text = text
        self._label = label
        self._found: dict[str, ast.AnnAssign] = {}
        try:
            for node in ast.parse(text).body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    self._found[node.target.id] = node
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._wrong(f"cannot be read ({error})") from error

    def run(self) -> selector.Run:
        """What the run holds."""
        return selector.Run(
            version=self._value("VERSION", str),
            split=self._value("SPLIT", bool),
            targets=self._names("TARGETS"),
            default_target=self._value("DEFAULT_TARGET", str),
            linux_targets=self._names("LINUX_TARGETS"),
            windows_targets=self._names("WINDOWS_TARGETS"),
            families={
                str(name): tuple(map(str, members))
                for name, members in self._value("FAMILIES", dict).items()
            },
            has_profiler=self._value("HAS_PROFILER", bool),
        )

    def with_values(self, values: Mapping[str, object]) -> str:
        """The text with other values; each keeps its place and its type."""
        lines = self._text.splitlines()
        by_line = sorted(values, key=lambda name: self._found[name].lineno, reverse=True)
        for name in by_line:
            node = self._found[name]
            kind = ast.unparse(node.annotation)
            new = f"{name}: {kind} = {literal(values[name])}".splitlines()
            lines[node.lineno - 1 : node.end_lineno] = new
        return "\n".join(lines) + "\n"

    def _value(self, name: str, kind: type[_T]) -> _T:
        node = self._found.get(name)
        try:
            value = ast.literal_eval(node.value) if node is not None and node.value else None
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise self._wrong(f"has no {name} of the form that this program writes")
        return value

    def _names(self, name: str) -> tuple[str, ...]:
        return tuple(map(str, self._value(name, tuple)))

    def _wrong(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self._label} {what}; build it again")
