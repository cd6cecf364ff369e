"""What people who work on the project run, on small projects of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from therock_outputs.chores import PROJECT, run_benchmarks, run_lint, run_tests
from therock_outputs.console import Console
from therock_outputs.errors import OutputsError, UsageError

_PYPROJECT = """
[tool.ruff.lint]
select = ["E", "F", "I"]

[tool.mypy]
strict = true
files = ["."]
cache_dir = "/dev/null"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "a b"
    path.mkdir()
    (path / "pyproject.toml").write_text(_PYPROJECT)
    (path / "conftest.py").write_text((PROJECT / "tests" / "conftest.py").read_text())
    return path


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    # Real files: the children write to them.
    with (tmp_path / "stdout").open("w+") as out, (tmp_path / "stderr").open("w+") as err:
        yield Console(out, err)


def _said(stream: object) -> str:
    assert isinstance(stream, io.TextIOWrapper)
    stream.flush()
    return Path(stream.name).read_text()


def test_tests_that_pass_are_a_success(project: Path, console: Console) -> None:
    (project / "test_a.py").write_text("def test_a(): pass\n")
    run_tests(console, [], jobs=1, coverage=False, project=project)
    assert "1 passed" in _said(console.stdout)


@pytest.mark.parametrize(
    "text",
    [
        "def test_a(): assert 0",
        "import pytest\ndef test_a(): pytest.skip('no')",
        "import pytest\n@pytest.mark.skipif(True, reason='no')\ndef test_a(): pass",
        "import pytest\n@pytest.mark.xfail\ndef test_a(): assert 0",
        "import pytest\n@pytest.mark.xfail\ndef test_a(): pass",
        "import pytest\npytest.importorskip('no_such_module')",
        "import no_such_module",
        "",
    ],
    ids=["failed", "skip", "skipif", "xfail", "xpass", "importorskip", "import error", "none"],
)
@pytest.mark.parametrize("jobs", [0, 1])
def test_tests_that_did_not_all_run_and_pass_are_a_failure(
    project: Path, console: Console, text: str, jobs: int
) -> None:
    (project / "test_a.py").write_text(text + "\n")
    with pytest.raises(OutputsError, match="the tests did not pass"):
        run_tests(console, [], jobs=jobs, coverage=False, project=project)


def test_skips_pass_when_they_are_allowed(project: Path, console: Console) -> None:
    (project / "test_a.py").write_text(
        "import pytest\ndef test_a(): pytest.skip('no')\ndef test_b(): pass\n"
    )
    run_tests(console, [], jobs=1, coverage=False, allow_skips=True, project=project)


def test_paths_of_tests_are_those_of_the_callers_directory(
    project: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "test_a.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    monkeypatch.chdir(project / "sub")
    arguments = ["test_a.py::test_a", "-k", "test"]
    run_tests(console, arguments, jobs=0, coverage=False, project=project)
    assert "1 passed" in _said(console.stdout)


def test_lint_names_what_found_something(project: Path, console: Console) -> None:
    (project / "conftest.py").unlink()
    module = project / "module.py"
    module.write_text('"""A module."""\n\nNUMBER: int = 3\n')
    run_lint(console, project=project)
    module.write_text('"""A module."""\nimport sys\nNUMBER: int = "3"\n')
    with pytest.raises(OutputsError) as caught:
        run_lint(console, project=project)
    assert str(caught.value).startswith("ruff check and ruff format and mypy found something")
    with pytest.raises(OutputsError, match=r"^mypy found something"):
        run_lint(console, fix=True, project=project)


def test_output_of_children_leaves_stdout_to_json(project: Path, console: Console) -> None:
    (project / "test_a.py").write_text("def test_a(): pass\n")
    console.json = True
    run_tests(console, [], jobs=0, coverage=False, project=project)
    assert _said(console.stdout) == ""
    assert "1 passed" in _said(console.stderr)


def test_benchmarks_run_by_name_with_their_arguments(project: Path, console: Console) -> None:
    (project / "benchmarks").mkdir()
    for name in ("one", "two"):
        (project / "benchmarks" / f"bench_{name}.py").write_text(
            f"import sys\nprint('{name}', *sys.argv[1:])\nsys.exit(len(sys.argv) > 2)\n"
        )
    run_benchmarks(console, (), ("x",), project=project)
    assert _said(console.stdout) == "one x\ntwo x\n"
    run_benchmarks(console, ("two",), (), project=project)
    assert _said(console.stdout).endswith("two x\ntwo\n")
    with pytest.raises(UsageError, match="no benchmark is called 'three'; there are one, two"):
        run_benchmarks(console, ("three",), (), project=project)
    with pytest.raises(OutputsError, match=r"the benchmark one failed \(exit code 1\)"):
        run_benchmarks(console, (), ("x", "y"), project=project)
