"""How a process ends whose threads have not."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from therock_outputs.ending import await_native_threads

_LEFT_BEHIND = """
import sys, threading
from therock_outputs.ending import ABANDONED, end_process
never = threading.Event()
threading.Thread(target=never.wait, name=f"{ABANDONED}_0").start()
print("last words", end="")
print("and errors", end="", file=sys.stderr)
end_process(3)
"""
_WAITED_FOR = """
import sys, threading
from therock_outputs.ending import end_process
about_to_end, may_end = threading.Event(), threading.Event()
def work():
    about_to_end.set()
    may_end.wait()
    print("done")
threading.Thread(target=work).start()
about_to_end.wait()
threading.Timer(0.2, may_end.set).start()
end_process(0)
"""


def test_what_python_joined_is_waited_for_until_the_kernel_has_ended_it() -> None:
    here = threading.active_count()
    listed = [["1"] * (here + 2), ["1"] * (here + 1), ["1"] * here, ["1"] * here]
    pauses: list[float] = []
    await_native_threads(lambda _path: listed.pop(0), pauses.append)
    assert len(pauses) == 2
    assert len(listed) == 1


def test_threads_of_a_library_are_waited_for_a_second_and_no_longer() -> None:
    pauses: list[float] = []
    await_native_threads(lambda _path: ["1"] * (threading.active_count() + 1), pauses.append)
    assert sum(pauses) == pytest.approx(1.0)


def test_without_proc_nothing_is_waited_for() -> None:
    def refuse(path: str) -> list[str]:
        raise FileNotFoundError(path)

    pauses: list[float] = []
    await_native_threads(refuse, pauses.append)
    assert not pauses


def test_kernel_lists_the_threads_of_this_process() -> None:
    may_end = threading.Event()
    await_native_threads()
    before = _tasks()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    try:
        assert _tasks() == before + 1
    finally:
        may_end.set()
        thread.join()
    await_native_threads()


def _tasks() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_process_ends_without_abandoned_threads_and_loses_no_words() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_BEHIND],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "last words", "and errors")


def test_process_waits_for_all_other_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WAITED_FOR],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
