"""What every workflow keeps to: the schema, an auditor's rules, and the project's own."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import JOBS
from tests.workflows.runner import PROJECT, WORKFLOWS, Document, load
from therock_outputs.command_line import parse_command_line

FILES = sorted(WORKFLOWS.glob("*.yml"))
REUSABLE = [path for path in FILES if path.name != "ci.yml"]
_TOOLS = {"tools_repository", "tools_ref"}
_NAMES = [path.name for path in FILES]
# What others decide, so that it may hold a shell's words.
_FOREIGN = re.compile(r"\$\{\{")


def _jobs(path: Path) -> Iterator[tuple[str, Document]]:
    yield from load(path)["jobs"].items()


def _steps(path: Path) -> Iterator[Document]:
    for _, job in _jobs(path):
        yield from job.get("steps", [])


def _tool(name: str) -> str:
    return str(Path(sys.prefix) / "bin" / name)


def test_all_workflows_are_there() -> None:
    assert set(_NAMES) == {
        "build-native-packages.yml",
        "build-python-packages.yml",
        "build-tarballs.yml",
        "ci.yml",
        "promote.yml",
        "release.yml",
        "test-wheels.yml",
        "upload.yml",
    }


def test_workflows_fit_the_schema() -> None:
    for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
        command = [_tool("check-jsonschema"), "--builtin-schema", schema, *map(str, FILES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # A job that calls a workflow takes no timeout, which the second schema does not know.
        said = [line for line in done.stdout.splitlines() if "::$.jobs" in line]
        wrong = [
            line for line in said if not re.search(r"release\.yml::\$\.jobs\.\w+: .*uses", line)
        ]
        assert not wrong or schema.startswith("custom"), done.stdout
        assert schema.startswith("custom") or done.returncode == 0, done.stdout


def test_auditor_finds_nothing() -> None:
    command = [_tool("zizmor"), "--offline", "--pedantic", "--strict-collection", "--no-progress"]
    config = ["--config", str(PROJECT / ".github" / "zizmor.yml")]
    done = subprocess.run(
        [*command, *config, str(WORKFLOWS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_actions_are_pinned_as_the_table_says(path: Path) -> None:
    table = tomllib.loads((PROJECT / ".github" / "pinned-actions.toml").read_text())
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        if action.startswith("./.github/workflows/"):
            assert (PROJECT / action).is_file()
            continue
        name, _, digest = action.partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}", digest), action
        assert digest == table[name]["digest"]
        assert comment == f" # {table[name]['version']}"


def test_table_holds_no_action_that_nobody_uses() -> None:
    table = tomllib.loads((PROJECT / ".github" / "pinned-actions.toml").read_text())
    text = "".join(path.read_text() for path in FILES)
    assert [name for name in table if f"uses: {name}@" not in text] == []


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_nothing_is_spliced_into_scripts(path: Path) -> None:
    scripts = [step["run"] for step in _steps(path) if "run" in step]
    assert [script for script in scripts if _FOREIGN.search(script)] == []


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_jobs_take_few_permissions(path: Path) -> None:
    assert load(path)["permissions"] == {}
    for name, job in _jobs(path):
        permissions = job["permissions"]
        assert permissions.pop("contents") == "read"
        takes_role = any("configure-aws" in step.get("uses", "") for step in job.get("steps", []))
        assert ("id-token" in permissions) == (takes_role or "uses" in job), name
        assert set(permissions.items()) <= {("id-token", "write"), ("actions", "read")}


def test_called_workflows_get_the_permissions_that_they_ask_for() -> None:
    for _, job in _jobs(WORKFLOWS / "release.yml"):
        if "uses" in job:
            for _, called in _jobs(PROJECT / job["uses"]):
                assert called["permissions"].items() <= job["permissions"].items()


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_jobs_end_and_shells_stop_at_a_failure(path: Path) -> None:
    assert load(path)["defaults"] == {"run": {"shell": "bash"}}
    for _, job in _jobs(path):
        # GitHub ends a job after six hours anyhow.
        assert "uses" in job or 0 < job["timeout-minutes"] <= 350
        assert all("shell" not in step for step in job.get("steps", []))


@pytest.mark.parametrize("path", REUSABLE, ids=[path.name for path in REUSABLE])
def test_runs_of_one_thing_wait_for_each_other(path: Path) -> None:
    concurrency = load(path)["concurrency"]
    assert concurrency["cancel-in-progress"] is False
    # The caller's group would be the same, and both would wait for ever.
    assert concurrency["group"].startswith(f"{path.stem}-${{{{ inputs.")
    assert "github.workflow" not in concurrency["group"]


@pytest.mark.parametrize("path", REUSABLE, ids=[path.name for path in REUSABLE])
def test_workflow_is_called_and_dispatched_with_the_same_inputs(path: Path) -> None:
    events = load(path)["on"]
    assert set(events) == {"workflow_call", "workflow_dispatch"}
    called, dispatched = (events[name]["inputs"] for name in ("workflow_call", "workflow_dispatch"))
    assert set(called) - _TOOLS == set(dispatched)
    assert len(dispatched) <= 25  # GitHub's limit
    for name, entry in dispatched.items():
        same = {"description", "default", "required"}
        assert {key: entry.get(key) for key in same} == {key: called[name].get(key) for key in same}
        kind = "string" if entry["type"] == "choice" else entry["type"]
        assert called[name]["type"] == kind


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_secrets_go_to_one_variable_and_are_never_said(path: Path) -> None:
    text = path.read_text()
    for line in text.splitlines():
        if "secrets." in line:
            assert line.strip() in {
                "SIGNING_KEY: ${{ secrets.signing_key }}",
                "signing_key: ${{ secrets.signing_key }}",
            }
    for step in _steps(path):
        script = step.get("run", "")
        assert not re.search(r"\b(?:set -x|printenv|env\s*$)", script, re.MULTILINE)
        for line in script.splitlines():
            if "$SIGNING_KEY" in line:
                assert re.search(r"\[ -n |\| gpg --batch --quiet --import$", line)


@pytest.mark.parametrize("path", REUSABLE, ids=[path.name for path in REUSABLE])
def test_roles_are_the_ones_that_the_bucket_table_names(path: Path) -> None:
    for _, job in _jobs(path):
        steps = job.get("steps", [])
        for at, step in enumerate(steps):
            if "configure-aws" in step.get("uses", ""):
                assert step["with"] == {
                    "aws-region": "${{ steps.place.outputs.region }}",
                    "role-to-assume": "${{ steps.place.outputs.write_role }}",
                }
                assert "steps.place.outputs.write_role != ''" in step["if"]
                assert [
                    s for s in steps[:at] if s.get("id") == "place" and "./inv where" in s["run"]
                ]
    assert "arn:" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_tasks_and_their_flags_exist(path: Path) -> None:
    for step in _steps(path):
        script = step.get("run", "").replace("\\\n", " ")
        for command in re.findall(r"^\s*\./inv ([^|\n]+?)(?:2>&1.*)?$", script, re.MULTILINE):
            plain = re.sub(r'\$\{(\w+):\+(--[\w-]+(?:="\$\w+")?)\}', r"\2", command)
            # Choices are checked when a step is run.
            words = [re.sub(r'="[^"]*"', "=1", word) for word in plain.split()]
            parse_command_line([word.strip('"') for word in words], JOBS)
