"""What packages run where they are installed: POSIX sh that registers and takes back alternatives.

The variants of a package (one for each GPU target) share the alternatives of their prefix. Each
leaves a mark while it is installed, and the one that removes the last mark takes them away.
What cannot be registered is told and fails no installation: another vendor may own a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import dirname

from therock_outputs.native_packages.definition import Alternatives
from therock_outputs.native_packages.options import DEFAULT_PREFIX
from therock_outputs.native_packages.package import PackageFormat, Scripts

__all__ = ["ScriptContext", "alternatives_scripts", "cleaning_scripts"]

_ROOT = dirname(DEFAULT_PREFIX)
_DIRECTORIES = ("bin", "lib", "include", "llvm", "amdgcn", "libexec", "share")
"""Of the prefix; each is known as /opt/rocm/{name} too."""
_MARKS = "/var/lib/rocm-alternatives"

_DROP_EMPTY = """\
drop_empty() {
    for directory do
        if [ -d "$directory" ] && [ ! -L "$directory" ]; then
            rmdir "$directory" 2>/dev/null || :
        fi
    done
}
"""

_MARKING = """\
marks={marks}
mark="$marks/{package}"

leave_mark() {{
    mkdir -p "$mark"
}}
"""

_ALTERNATIVES = """\
each_alternative() {{
    # "$1" is called with a name, a link and a path below the prefix
{alternatives}
}}

unregister() {{
    update-alternatives --remove "$1" "$3" >/dev/null 2>&1 || :
}}
"""

_REGISTER = """\
register() {{
    if [ ! -e "$3" ]; then
        unregister "$@"  # an earlier version of this package had it
        return 0
    fi
    mkdir -p "${{2%/*}}"
    update-alternatives --install "$2" "$1" "$3" {score} ||
        echo "{package}: cannot register $2, and goes on without it" >&2
}}

register_all() {{
    leave_mark
    if command -v update-alternatives >/dev/null 2>&1; then
        each_alternative register
    else
        echo "{package}: there is no update-alternatives, so nothing links to $prefix" >&2
    fi
}}
"""

_UNREGISTER = """\
unregister_all() {{
    drop_empty "$mark" "$marks"
    if [ -d "$marks" ]; then
        return 0  # another variant of this prefix needs them
    fi
    drop_empty "${{marks%/*}}"
    if command -v update-alternatives >/dev/null 2>&1; then
        each_alternative unregister
    fi
    drop_empty {root}
}}
"""

_AFTER_INSTALL = {
    PackageFormat.DEB: """\
case "$1" in
    configure | abort-upgrade | abort-remove | abort-deconfigure) register_all ;;
esac
""",
    # Files of the version before are still there, and those of packages that come later in the
    # transaction are not; the mark is for what the transaction removes after this.
    PackageFormat.RPM: "leave_mark\n",
}
_BEFORE_REMOVE = {
    PackageFormat.DEB: """\
case "$1" in
    remove | deconfigure) unregister_all ;;
esac
""",
    PackageFormat.RPM: """\
# 0: it goes for good; 1: its next version has registered already
if [ "$1" -eq 0 ]; then
    unregister_all
fi
""",
}
_AFTER_REMOVE = {
    PackageFormat.DEB: """\
case "$1" in
    remove | purge | disappear) drop_empty {directories} ;;
esac
""",
    PackageFormat.RPM: """\
if [ "$1" -eq 0 ]; then
    drop_empty {directories}
fi
""",
}
_PREFIX = {
    PackageFormat.DEB: "prefix={prefix}\n",
    # rpm says so when it installs the package elsewhere.
    PackageFormat.RPM: 'prefix="${{RPM_INSTALL_PREFIX:-{prefix}}}"\n',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptContext:
    """The package that runs the scripts."""

    format: PackageFormat
    package: str
    family: str
    """What its variants have in common, as in ``amdrocm-core7.13``."""
    prefix: str
    major: str
    score: int
    """The priority of its alternatives."""

    @property
    def directories(self) -> str:
        """Directories that go when they are empty, innermost first."""
        return f'"$prefix" {_ROOT}' if self.prefix.startswith(f"{_ROOT}/") else '"$prefix"'


def alternatives_scripts(context: ScriptContext, alternatives: Alternatives) -> Scripts:
    """The scripts of a package that registers alternatives."""
    values = {
        "prefix": context.prefix,
        "marks": f"{_MARKS}/{context.family}",
        "package": context.package,
        "score": context.score,
        "root": _ROOT,
        "directories": context.directories,
        "alternatives": "\n".join(
            f'    "$1" {name} {link} "$prefix{path}"'
            for name, link, path in _entries(context, alternatives)
        ),
    }
    kind = context.format
    prefix = "set -e\n" + _PREFIX[kind].format_map(values)
    marking = prefix + _MARKING.format_map(values)
    shared = _joined(marking, _ALTERNATIVES.format_map(values))
    register = _joined(shared, _REGISTER.format_map(values))
    is_rpm = kind is PackageFormat.RPM
    return Scripts(
        after_install=_joined(marking if is_rpm else register, _AFTER_INSTALL[kind]),
        before_remove=_joined(
            shared, _DROP_EMPTY, _UNREGISTER.format_map(values), _BEFORE_REMOVE[kind]
        ),
        after_remove=_joined(prefix, _DROP_EMPTY, _AFTER_REMOVE[kind].format_map(values)),
        after_transaction=_joined(register, "register_all\n") if is_rpm else "",
    )


def cleaning_scripts(context: ScriptContext) -> Scripts:
    """The scripts of a package with files, whose directories above the prefix have no owner.

    dpkg owns them with every package that has them; an rpm, which can be installed elsewhere,
    owns nothing above its prefix.
    """
    if context.format is PackageFormat.DEB:
        return Scripts()
    values = {"prefix": context.prefix, "directories": context.directories}
    prefix = "set -e\n" + _PREFIX[context.format].format_map(values)
    ending = _AFTER_REMOVE[context.format].format_map(values)
    return Scripts(after_remove=_joined(prefix, _DROP_EMPTY, ending))


def _entries(context: ScriptContext, alternatives: Alternatives) -> Iterator[tuple[str, str, str]]:
    """Name, link and path below the prefix of each alternative."""
    entries = []
    if alternatives.prefix:
        entries += [
            ("rocm-core", f"{_ROOT}/core", ""),
            (f"rocm-core-{context.major}", f"{_ROOT}/core-{context.major}", ""),
            *((f"rocm-{name}", f"{_ROOT}/{name}", f"/{name}") for name in _DIRECTORIES),
        ]
    entries += [(name, f"/usr/bin/{name}", f"/bin/{name}") for name in alternatives.programs]
    for name, link, path in entries:
        # A prefix that was given may be the link itself, or hold it.
        if not f"{link}/".startswith(f"{context.prefix}/"):
            yield name, link, path


def _joined(*parts: str) -> str:
    return "\n".join(parts)
