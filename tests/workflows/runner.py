"""Runs workflows as a runner would, but here: each ``run`` as it is written, in bash.

Actions are replaced by what they do as far as the steps after them can tell. Nothing else is
made up: expressions are evaluated, jobs wait for each other, matrices are expanded, files of
commands are read back, and workflows call workflows.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.expressions import Scope, Value, fill, is_met, render

PROJECT = Path(__file__).resolve().parents[2]
WORKFLOWS = PROJECT / ".github" / "workflows"

Document = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's truths: ``on`` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def load(path: Path) -> Document:
    """A workflow's document."""
    document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a safe one
    assert isinstance(document, dict)
    return document


@dataclass(slots=True)
class StepResult:
    """What a step came to."""

    name: str
    outcome: str
    """success, failure or skipped."""
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    given: Mapping[str, Value] = field(default_factory=dict)
    """What an action was given."""


@dataclass(slots=True)
class JobResult:
    """What one job of a matrix came to, or a called workflow."""

    name: str
    outcome: str
    steps: list[StepResult] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    temp: Path | None = None

    @property
    def log(self) -> str:
        """All that its steps said."""
        return "".join(f"--- {step.name}: {step.outcome}\n{step.log}" for step in self.steps)

    def step(self, name: str) -> StepResult:
        """The step of this name."""
        [found] = [step for step in self.steps if step.name == name]
        return found


@dataclass(slots=True)
class WorkflowResult:
    """What a workflow came to."""

    jobs: dict[str, list[JobResult]]
    outputs: dict[str, Value]

    @property
    def log(self) -> str:
        """All that was said."""
        return "".join(f"=== {job.name}\n{job.log}" for jobs in self.jobs.values() for job in jobs)

    @property
    def outcome(self) -> str:
        """failure when any job failed, else success."""
        return _together(job.outcome for jobs in self.jobs.values() for job in jobs)

    def job(self, key: str) -> JobResult:
        """The only job of this key."""
        [found] = self.jobs[key]
        return found


@dataclass(slots=True)
class Runner:
    """One run of GitHub Actions, with its machines, its artifacts and its secrets."""

    directory: Path
    environ: dict[str, str]
    """What the machine is set to, such as a staging directory or the address of an S3 server."""
    repository: str = "ROCm/TheRock"
    run_id: str = "7001"
    event: Path | None = None
    variables: dict[str, Value] = field(default_factory=dict)
    secrets: dict[str, Value] = field(default_factory=dict)
    role_environ: dict[str, str] = field(default_factory=dict)
    """What later steps have once a role was taken."""
    machines: Iterator[int] = field(default_factory=itertools.count)

    def run(
        self,
        workflow: str,
        inputs: Mapping[str, Value],
        *,
        event: str = "workflow_dispatch",
        secrets: Mapping[str, Value] | None = None,
    ) -> WorkflowResult:
        """Run a workflow with these inputs; what is not given has its default."""
        document = load(WORKFLOWS / workflow)
        started = document["on"][event] or {}
        contexts: dict[str, Value] = {
            "inputs": _inputs(started.get("inputs", {}), inputs),
            "github": {
                "repository": self.repository,
                "run_id": self.run_id,
                "token": "no-token",
                "workflow": document["name"],
            },
            "vars": self.variables,
            "secrets": self.secrets if secrets is None else secrets,
        }
        jobs = self._jobs(document, contexts)
        declared = (document["on"].get("workflow_call") or {}).get("outputs", {})
        outputs = {key: {"outputs": _merged(results)} for key, results in jobs.items()}
        scope = Scope({**contexts, "jobs": outputs})
        values = {name: fill(output["value"], scope) for name, output in declared.items()}
        return WorkflowResult(jobs, values)

    def _jobs(
        self, document: Document, contexts: Mapping[str, Value]
    ) -> dict[str, list[JobResult]]:
        done: dict[str, list[JobResult]] = {}
        waiting = dict(document["jobs"])
        while waiting:
            key = next(key for key, job in waiting.items() if set(_needs(job)) <= set(done))
            job = waiting.pop(key)
            needs: dict[str, Value] = {
                name: {
                    "result": _together(result.outcome for result in done[name]),
                    "outputs": _merged(done[name]),
                }
                for name in _needs(job)
            }
            outcomes = [result.outcome for name in _needs(job) for result in done[name]]
            # GitHub's success() of a job is false when one that it needs was skipped, too, and
            # failure() only when one failed.
            condition = str(job.get("if", "success()"))
            asks_for_success = "failure()" not in condition
            bad = {"failure", "skipped"} if asks_for_success else {"failure"}
            scope = Scope({**contexts, "needs": needs}, succeeded=bad.isdisjoint(outcomes))
            if is_met(condition, scope):
                done[key] = self._matrix(key, job, document, scope)
            else:
                done[key] = [JobResult(key, "skipped")]
        return done

    def _matrix(self, key: str, job: Document, document: Document, scope: Scope) -> list[JobResult]:
        matrix = fill(job.get("strategy", {}).get("matrix", {}), scope)
        assert isinstance(matrix, dict)
        results = []
        for index, values in enumerate(itertools.product(*matrix.values())):
            contexts: dict[str, Value] = {
                **scope.contexts,
                "matrix": dict(zip(matrix, values, strict=True)),
                "strategy": {"job-index": index},
            }
            if "uses" in job:
                results.append(self._called(key, job, Scope(contexts)))
            else:
                results.append(_Job(self, key, job, document, contexts).run())
        return results

    def _called(self, key: str, job: Document, scope: Scope) -> JobResult:
        given = fill(job.get("with", {}), scope)
        secrets = fill(job.get("secrets", {}), scope)
        assert isinstance(given, dict)
        assert isinstance(secrets, dict)
        name = job["uses"].removeprefix("./.github/workflows/")
        result = self.run(name, given, event="workflow_call", secrets=secrets)
        steps = [step for jobs in result.jobs.values() for job in jobs for step in job.steps]
        return JobResult(key, result.outcome, steps, result.outputs)


@dataclass(slots=True)
class _Job:
    """A job on a machine of its own."""

    runner: Runner
    key: str
    job: Document
    document: Document
    contexts: dict[str, Value]
    environ: dict[str, str] = field(default_factory=dict)
    """Variables that steps have set for later ones."""
    path: list[str] = field(default_factory=list)
    machine: Path = field(init=False)

    def __post_init__(self) -> None:
        self.machine = self.runner.directory / f"machine-{next(self.runner.machines)}"

    def run(self) -> JobResult:
        machine = self.machine
        for name in ("temp", "workspace", "home", "files"):
            (machine / name).mkdir(parents=True)
        self.contexts["runner"] = {"temp": str(machine / "temp"), "os": "Linux"}
        steps: dict[str, Value] = {}
        self.contexts["steps"] = steps
        self.contexts["env"] = env = self._env(self.job, {})
        result = JobResult(self.key, "success", temp=machine / "temp")
        for number, step in enumerate(self.job["steps"]):
            scope = Scope(self.contexts, succeeded=result.outcome == "success")
            name = step.get("name") or f"step {number}"
            if not is_met(step.get("if"), scope):
                done = StepResult(name, "skipped")
            elif "run" in step:
                done = self._script(step, name, self._env(step, env))
            else:
                done = self._action(step, name, scope)
            result.steps.append(done)
            if done.outcome == "failure":
                result.outcome = "failure"
            if "id" in step:
                steps[step["id"]] = {"outputs": done.outputs, "outcome": done.outcome}
        result.outputs = {
            name: fill(value, Scope(self.contexts))
            for name, value in self.job.get("outputs", {}).items()
        }
        return result

    def _env(self, owner: Document, before: Mapping[str, str]) -> dict[str, str]:
        values = fill(owner.get("env", {}), Scope(self.contexts))
        assert isinstance(values, dict)
        return {**before, **{name: render(value) for name, value in values.items()}}

    def _script(self, step: Document, name: str, env: Mapping[str, str]) -> StepResult:
        shell = step.get("shell") or self.document["defaults"]["run"]["shell"]
        assert shell == "bash"
        machine = self.machine
        files = {
            variable: machine / "files" / variable
            for variable in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        for path in files.values():
            path.write_text("")
        script = machine / "files" / "script.sh"
        script.write_text(str(fill(step["run"], Scope(self.contexts))))
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=machine / "workspace",
            env={
                **self._machine_environ(),
                **{variable: str(path) for variable, path in files.items()},
                **self.environ,
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        self.environ |= read_commands(files["GITHUB_ENV"].read_text())
        self.path[:0] = reversed(files["GITHUB_PATH"].read_text().splitlines())
        return StepResult(
            name,
            "failure" if done.returncode else "success",
            done.stdout,
            read_commands(files["GITHUB_OUTPUT"].read_text()),
            files["GITHUB_STEP_SUMMARY"].read_text(),
        )

    def _machine_environ(self) -> dict[str, str]:
        machine = self.machine
        kept = ("LANG", "TZ", "PYTHONDONTWRITEBYTECODE")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": os.pathsep.join([*self.path, os.environ["PATH"]]),
            "HOME": str(machine / "home"),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": self.runner.repository,
            "GITHUB_RUN_ID": self.runner.run_id,
            "GITHUB_WORKSPACE": str(machine / "workspace"),
            **({"GITHUB_EVENT_PATH": str(self.runner.event)} if self.runner.event else {}),
            "RUNNER_TEMP": str(machine / "temp"),
            "RUNNER_OS": "Linux",
            **self.runner.environ,
        }

    def _action(self, step: Document, name: str, scope: Scope) -> StepResult:
        given = fill(step.get("with", {}), scope)
        assert isinstance(given, dict)
        action = step["uses"].partition("@")[0]
        _ACTIONS[action](self, given)
        return StepResult(name, "success", given=given)

    # What each action does, as far as later steps can tell.

    def check_out(self, given: Mapping[str, Value]) -> None:
        assert given.get("persist-credentials") is False
        (self.machine / "workspace" / "inv").symlink_to(PROJECT / "inv")

    def set_up_python(self, given: Mapping[str, Value]) -> None:
        assert given["python-version"]

    def take_role(self, given: Mapping[str, Value]) -> None:
        assert self.job["permissions"]["id-token"] == "write"
        assert given["role-to-assume"]
        assert given["aws-region"]
        self.environ |= self.runner.role_environ

    def upload_artifact(self, given: Mapping[str, Value]) -> None:
        paths = [Path(line) for line in str(given["path"]).split("\n") if line]
        top = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0]
        files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
        # Nothing hidden, unless it is asked for.
        kept = [file for file in files if not re.search(r"/\.", f"/{file.relative_to(top)}")]
        assert kept  # if-no-files-found: error
        for file in kept:
            copy = self._artifact(given) / file.relative_to(top)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)

    def download_artifact(self, given: Mapping[str, Value]) -> None:
        assert self.job["permissions"]["actions"] == "read"
        assert given["run-id"]
        shutil.copytree(self._artifact(given), str(given["path"]))

    def _artifact(self, given: Mapping[str, Value]) -> Path:
        return self.runner.directory / "artifacts" / str(given["name"])


_ACTIONS: dict[str, Callable[[_Job, Mapping[str, Value]], None]] = {
    "actions/checkout": _Job.check_out,
    "actions/setup-python": _Job.set_up_python,
    "actions/upload-artifact": _Job.upload_artifact,
    "actions/download-artifact": _Job.download_artifact,
    "aws-actions/configure-aws-credentials": _Job.take_role,
}


def read_commands(text: str) -> dict[str, str]:
    """What a file of outputs or variables says, as the runner reads it."""
    values: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        if "<<" in name or not equals:
            name, _, delimiter = line.partition("<<")
            value = "\n".join(itertools.takewhile(lambda text: text != delimiter, lines))  # noqa: B023
        values[name] = value
    return values


def _inputs(declared: Mapping[str, Document], given: Mapping[str, Value]) -> dict[str, Value]:
    kinds = {"string": str, "choice": str, "boolean": bool}
    assert set(given) <= set(declared), f"{set(given) - set(declared)} are no inputs"
    values: dict[str, Value] = {}
    for name, entry in declared.items():
        assert name in given or not entry.get("required"), f"input {name} is required"
        values[name] = given.get(name, entry.get("default"))
        if values[name] is None:  # of a context that lacks it
            values[name] = "" if entry["type"] == "string" else False
        assert isinstance(values[name], kinds[entry["type"]]), f"input {name} has another type"
        assert values[name] in entry.get("options", [values[name]]), f"input {name} is a choice"
    return values


def _needs(job: Document) -> list[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs


def _merged(results: list[JobResult]) -> dict[str, Value]:
    return {name: value for result in results for name, value in result.outputs.items()}


def _together(outcomes: Iterator[str]) -> str:
    found = set(outcomes)
    if "failure" in found:
        return "failure"
    return "success" if "success" in found else "skipped"
