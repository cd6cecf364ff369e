from __future__ import annotations

import time

import pytest

from therock_outputs.artifacts.links import LeavesRootError, follow, leaves_root


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        ("l", "a", False),
        ("l", "a/b/../c", False),
        ("l", ".", False),
        ("l", "..", True),
        ("l", "a/../..", True),
        ("d/l", "..", False),
        ("d/l", "../x", False),
        ("d/l", "../..", True),
        ("d/l", "../../d/x", True),
        ("d/e/l", "..//./..", False),
        ("l", "/etc", True),
        ("l", "//etc", True),
    ],
)
def test_a_link_leaves_its_root_by_its_text(path: str, target: str, *, leaves: bool) -> None:
    assert leaves_root(path, target) is leaves


def test_links_are_followed_to_their_end() -> None:
    links = {"lib64": "lib", "lib/a.so": "a.so.1", "lib/a.so.1": "./a.so.1.2", "top": "lib64/."}
    assert follow("lib64/a.so", links) == "lib/a.so.1.2"
    assert follow("top", links) == "lib"
    assert follow("nothing/special", links) == "nothing/special"
    assert follow("lib/..", links) == ""


def test_links_that_only_together_lead_out_are_found() -> None:
    links = {"a/b/c/up": "../../..", "x": "a/b/c/up/.."}
    with pytest.raises(LeavesRootError):
        follow("x", links)


@pytest.mark.parametrize(
    "links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b/x", "b": "a"}, {"a": "a/a"}]
)
def test_loops_lead_nowhere(links: dict[str, str]) -> None:
    assert follow("a", links) is None


def test_an_absolute_link_on_the_way_leaves() -> None:
    with pytest.raises(LeavesRootError):
        follow("a/x", {"a": "/etc"})


def test_a_chain_as_long_as_the_kernel_allows_is_followed() -> None:
    links = {f"l{number}": f"l{number + 1}" for number in range(60)}
    assert follow("l20", links) == "l60"
    assert follow("l19", links) is None


def test_links_made_to_take_long_are_refused_soon() -> None:
    deep = "/".join(["a"] * 900)
    links = {f"l{number}": f"{deep}/{'../' * 900}l{number + 1}" for number in range(100)}
    start = time.process_time()
    for path in list(links)[:90]:
        with pytest.raises(LeavesRootError):
            follow(path, links)
    assert time.process_time() - start < 5


def test_deep_paths_are_no_attack() -> None:
    deep = "/".join(["a"] * 2000)
    assert follow(f"{deep}/l", {f"{deep}/l": "b"}) == f"{deep}/b"
    assert follow(deep, {"a": "x" * 4000}) is None
