"""Write the ``rocm`` sdist, which decides on the machine that installs it what it needs.

Its files are those of ``templates``, with ``rocm_sdk/_dist_info.py``, ``pyproject.toml`` and
``PKG-INFO`` written for the run. Formats: PEP 517 and 625 (sdist), core metadata 2.4 (PEP 643
and 639).
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import deflate

from therock_outputs.errors import UsageError
from therock_outputs.python_packages.templates import setup as selector
from therock_outputs.python_packages.templates.rocm_sdk._names import program_attribute

__all__ = ["SelectorLibrary", "SelectorProgram", "write_selector"]

_SUMMARY = "AMD ROCm as Python packages: selects, finds, loads and runs them"
_CLASSIFIERS = (
    "Operating System :: Microsoft :: Windows",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3 :: Only",
    "Typing :: Typed",
)
_URLS = {"Homepage": "https://github.com/ROCm/TheRock"}
GZIP_LEVEL = 12


@dataclass(frozen=True, slots=True)
class SelectorLibrary:
    """A library that ``rocm_sdk.find_libraries`` knows by a short name."""

    name: str
    """The short name: ``miopen``."""
    package: str
    """``core`` or ``libraries``."""
    stem: str
    """The file name between ``lib`` and ``.so``: ``MIOpen``."""
    directory: str = "lib"
    """Where it lies in its package on Linux; on Windows that is ``bin``."""
    optional: bool = False
    """Whether a run may come without it."""


@dataclass(frozen=True, slots=True)
class SelectorProgram:
    """A program that a console script runs."""

    name: str
    package: str
    """``core`` or ``profiler``."""
    directory: str = "bin"
    is_compiler_tool: bool = False
    """Whether it runs from the expanded devel tree when devel is installed."""


def write_selector(
    output_dir: Path,
    *,
    version: str,
    targets: Sequence[str],
    families: Mapping[str, Sequence[str]],
    default_target: str,
    linux_targets: Sequence[str],
    windows_targets: Sequence[str],
    libraries: Sequence[SelectorLibrary],
    programs: Sequence[SelectorProgram],
    has_profiler: bool,
    split: bool,
    mtime: int,
) -> Path:
    """Write ``rocm-{version}.tar.gz`` into a directory that exists.

    ``version`` is normalized (PEP 440), ``mtime`` in seconds since the epoch. ``linux_targets``
    and ``windows_targets`` are both empty when every target is built for every system. The same
    arguments give the same bytes: for the jobs of two systems to make one sdist, all of them have
    to be equal there, ``has_profiler`` too (that requirement is for Linux only by its marker).

    UsageError for arguments that contradict each other.
    """
    run = selector.Run(
        version=version,
        split=split,
        targets=tuple(targets),
        default_target=default_target,
        linux_targets=tuple(linux_targets),
        windows_targets=tuple(windows_targets),
        families={name: tuple(members) for name, members in families.items()},
        has_profiler=has_profiler,
    )
    _check(run)
    readme = _template("README.md").decode()
    members = {
        "PKG-INFO": package_info(run, readme),
        "README.md": readme,
        "pyproject.toml": _pyproject(version),
        "setup.py": _template("setup.py").decode(),
        **dict(_package_sources()),
        "rocm_sdk/_dist_info.py": _dist_info(run, libraries, programs),
    }
    path = output_dir / f"rocm-{version}.tar.gz"
    data = deflate.gzip_compress(_tar(f"rocm-{version}", members, mtime), GZIP_LEVEL)
    write_whole(path, bytes(data))
    return path


def _check(run: selector.Run) -> None:
    if not run.targets:
        raise UsageError("the rocm sdist needs at least one GPU target")
    systems = {*run.linux_targets, *run.windows_targets}
    if systems and systems != set(run.targets):
        odd = ", ".join(sorted(systems ^ set(run.targets)))
        raise UsageError(
            f"the targets of the run and those of Linux and Windows together differ in {odd}"
        )
    if run.default_target not in run.targets:
        raise UsageError(
            f"the default target {run.default_target!r} is not one of {', '.join(run.targets)}"
        )
    lost = [
        target
        for target in run.targets
        if not any(target in members for members in run.families.values())
    ]
    if not run.split and lost:
        raise UsageError(f"{', '.join(lost)} belongs to no GPU family, but the run is by family")


def package_info(run: selector.Run, readme: str) -> str:
    """Core metadata; what it requires is a default that the build on a machine decides anew."""
    needed, extras = selector.requirements(run, "linux", [])
    lines = [
        "Metadata-Version: 2.4",
        "Name: rocm",
        f"Version: {run.version}",
        f"Summary: {_SUMMARY}",
        "License-Expression: MIT",
        *(f"Project-URL: {name}, {url}" for name, url in _URLS.items()),
        *(f"Classifier: {classifier}" for classifier in _CLASSIFIERS),
        "Requires-Python: >=3.9",
        "Description-Content-Type: text/markdown",
        *(f"Requires-Dist: {requirement}" for requirement in needed),
    ]
    for extra in sorted(extras):
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_with_extra(one, extra)}" for one in extras[extra]]
    # uv knows this field's value only when it is written so.
    lines.append("Dynamic: Requires-Dist")
    return "\n".join(lines) + f"\n\n{readme}"


def _with_extra(requirement: str, extra: str) -> str:
    name, _, marker = requirement.partition(";")
    condition = f'extra == "{extra}"'
    if marker:
        condition = f"{marker.strip()} and {condition}"
    return f"{name}; {condition}"


def _pyproject(version: str) -> str:
    text = _template("pyproject.toml.in").decode()
    for name, value in {
        "VERSION": version,
        "SUMMARY": _SUMMARY,
        "CLASSIFIERS": "\n".join(f'    "{classifier}",' for classifier in _CLASSIFIERS),
        "URLS": "\n".join(f'{name} = "{url}"' for name, url in _URLS.items()),
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def _dist_info(
    run: selector.Run,
    libraries: Sequence[SelectorLibrary],
    programs: Sequence[SelectorProgram],
) -> str:
    """``rocm_sdk/_dist_info.py``: the same names as in the template, with the run's values."""
    attributes = [_attribute(program.name) for program in programs]
    for attribute in attributes:
        if attributes.count(attribute) > 1:
            raise UsageError(f"two programs would both be rocm_sdk._programs.{attribute}")
    values: dict[str, object] = {
        "VERSION": run.version,
        "SPLIT": run.split,
        "TARGETS": run.targets,
        "LINUX_TARGETS": run.linux_targets,
        "WINDOWS_TARGETS": run.windows_targets,
        "DEFAULT_TARGET": run.default_target,
        "FAMILIES": run.families,
        "HAS_PROFILER": run.has_profiler,
        "LIBRARIES": {
            one.name: (one.package, one.stem, one.directory, one.optional)
            for one in sorted(libraries, key=lambda library: library.name)
        },
        "PROGRAMS": {
            attribute: (one.name, one.package, one.directory, one.is_compiler_tool)
            for attribute, one in sorted(zip(attributes, programs, strict=True))
        },
    }
    lines = []
    for line in _template("rocm_sdk/_dist_info.py").decode().splitlines():
        name, has_type, rest = line.partition(": ")
        if has_type and name in values:
            kind = rest.partition(" = ")[0]
            lines.append(f"{name}: {kind} = {literal(values.pop(name))}")
        else:
            lines.append(line)
    if values:
        raise AssertionError(f"_dist_info.py has no place for {', '.join(values)}")
    return "\n".join(lines) + "\n"


def _attribute(program: str) -> str:
    try:
        return program_attribute(program)
    except ValueError as error:
        raise UsageError(str(error)) from error


def literal(value: object, indent: str = "") -> str:
    """A Python literal of strings, booleans, tuples and dictionaries, one item a line."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        items = ", ".join(literal(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, Mapping):
        deeper = indent + "    "
        lines = [f"{deeper}{literal(key)}: {literal(item)},\n" for key, item in value.items()]
        return "{\n" + "".join(lines) + indent + "}" if lines else "{}"
    return repr(value)


def _template(name: str) -> bytes:
    return _templates().joinpath(*name.split("/")).read_bytes()


def _templates() -> Traversable:
    return resources.files("therock_outputs.python_packages.templates")


def _package_sources() -> Iterator[tuple[str, str]]:
    for source in _templates().joinpath("rocm_sdk").iterdir():
        if source.name.endswith((".py", ".typed")):
            yield f"rocm_sdk/{source.name}", source.read_bytes().decode()


def _tar(root: str, members: Mapping[str, str], mtime: int) -> bytes:
    """An uncompressed tar of text files below one directory, the same on every machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        directories = {f"{root}/{name}".rsplit("/", 1)[0] for name in members}
        for directory in sorted(directories):
            info = tarfile.TarInfo(directory)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, mtime
            archive.addfile(info)
        for name in sorted(members):
            data = members[name].encode()
            info = tarfile.TarInfo(f"{root}/{name}")
            info.size, info.mode, info.mtime = len(data), 0o644, mtime
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_whole(path: Path, data: bytes) -> None:
    """Write beside the final name and rename, so that nobody sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
