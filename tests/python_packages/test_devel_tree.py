"""What the devel tree names, from what the packages hold."""

from __future__ import annotations

import pytest

from therock_outputs.errors import ConflictError
from therock_outputs.python_packages.content import FileKind
from therock_outputs.python_packages.devel_format import EntryKind
from therock_outputs.python_packages.devel_tree import devel_entries
from therock_outputs.python_packages.trees import PackageTree, TreeFile


def put(tree: PackageTree, path: str, *, place: str = "", content: str = "") -> None:
    digest = (content or path).encode().hex().ljust(64, "0")[:64]
    kind = FileKind(soname=place.rpartition("/")[2], is_library=bool(place))
    tree.add_file(path, TreeFile(place or path, "a.tar.zst", 3, digest, False, kind))


def entries(own: PackageTree, core: PackageTree) -> dict[str, tuple[EntryKind, str]]:
    made, _ = devel_entries(own, [("_rocm_sdk_core", core)])
    return {entry.path: (entry.kind, entry.target) for entry in made}


def test_library_stands_under_its_soname_and_all_other_names_are_links() -> None:
    own, core = PackageTree("devel"), PackageTree("core")
    put(core, "lib/libx.so.1.2", place="lib/libx.so.1")
    core.add_link("lib/libx.so.1", "libx.so.1.2", "a.tar.zst")
    core.add_link("lib/libx.so", "libx.so.1", "a.tar.zst")
    assert entries(own, core) == {
        "lib/libx.so.1": (EntryKind.PACKAGE, "lib/libx.so.1"),
        "lib/libx.so.1.2": (EntryKind.SYMLINK, "libx.so.1"),
        "lib/libx.so": (EntryKind.SYMLINK, "libx.so.1"),
    }


def test_link_between_packages_and_to_directories_stays() -> None:
    own, core = PackageTree("devel"), PackageTree("core")
    put(core, "lib/llvm/bin/clang")
    put(own, "lib/cmake/x/x.cmake")
    core.add_link("llvm", "lib/llvm", "a.tar.zst")
    core.add_link("cmake", "lib/cmake/x/x.cmake", "a.tar.zst")
    core.add_link("bin/clang", "../llvm/bin/clang", "a.tar.zst")
    assert set(entries(own, core)) == {
        "lib/llvm/bin/clang",
        "lib/cmake/x/x.cmake",
        "llvm",
        "cmake",
        "bin/clang",
    }


@pytest.mark.parametrize(
    ("path", "target", "reason"),
    [
        ("dead", "nowhere", "dangles: there is no nowhere"),
        ("loop", "loop", "loops"),
        ("far", "a/b/../../../x", "leads out of the tree"),
    ],
)
def test_dead_link_is_dropped_and_told(path: str, target: str, reason: str) -> None:
    own = PackageTree("devel")
    own.add_link(path, target, "a.tar.zst")
    put(own, "a/b/c")
    made, dropped = devel_entries(own, [])
    assert [entry.path for entry in made] == ["a/b/c"]
    assert [(one.path, one.reason, one.is_fault) for one in dropped] == [(path, reason, True)]


def test_directory_is_named_only_when_it_is_empty() -> None:
    own = PackageTree("devel")
    put(own, "full/file")
    own.directories |= {"full", "empty", "empty/inner"}
    assert entries(own, PackageTree("core"))["empty/inner"] == (EntryKind.DIRECTORY, "")
    assert "full" not in entries(own, PackageTree("core"))


def test_two_packages_that_differ_at_a_path_are_a_conflict() -> None:
    own, core = PackageTree("devel"), PackageTree("core")
    put(core, "share/x", content="one")
    put(own, "share/x", content="two")
    with pytest.raises(ConflictError, match="share/x"):
        devel_entries(own, [("_rocm_sdk_core", core)])
