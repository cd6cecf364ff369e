"""What holds for every test: a clean environment, and no test that quietly does not run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

_OURS = ("AWS_", "GITHUB_", "THEROCK_", "RUNNER_")
_SKIPS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="fail when a test was skipped, was expected to fail, or could not be imported",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SKIPS] = []
    # What this machine or CI job is set to must not decide what a test sees. Whoever needs a
    # variable sets it.
    for name in list(os.environ):
        if name.startswith(_OURS) or name in {"CI", "RELEASE_TYPE", "IS_PR_FROM_FORK"}:
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # A job in the background of a shell ignores interrupts, and so would all its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _SkipWatch:
    """Remembers every report that says a test did not run as a test should."""

    def __init__(self, skips: list[str]) -> None:
        self._skips = skips

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure reports as skipped, or as passed with a reason when it passed.
        if report.skipped or hasattr(report, "wasxfail"):
            self._skips.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skips.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(_SkipWatch(session.config.stash[_SKIPS]))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    skips = session.config.stash[_SKIPS]
    if skips and session.config.getoption("--fail-on-skip") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skips = config.stash[_SKIPS]
    if skips and config.getoption("--fail-on-skip"):
        terminalreporter.section("skipped, which fails here", red=True)
        for nodeid in sorted(set(skips)):
            terminalreporter.line(nodeid)
