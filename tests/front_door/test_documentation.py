"""Checks of the documentation, on a small one of their own and on the project's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tasks
from therock_outputs.chores import PROJECT
from therock_outputs.documentation import check_documentation, find_problems
from therock_outputs.errors import OutputsError
from therock_outputs.program import jobs_of

_JOBS = jobs_of(sys.modules[tasks.__name__])

_GOOD = """# The Title: of `it`

See [below](#the-title-of-it), [there](docs/other.md#part-2) and [the web](https://example.com/).

```sh
$ ./inv lint --fix   # mends
./inv test -- -k x
./inv fetch …
ls
```

```mermaid
flowchart LR
    a --> b
```
"""


def _problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "README.md"
    path.write_text(text)
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## Part 2\n")
    return [f"{found.line}: {found.what}" for found in find_problems(path, tmp_path, _JOBS)]


def test_good_documentation_has_no_problems(tmp_path: Path) -> None:
    assert _problems(tmp_path, _GOOD) == []
    assert check_documentation(tmp_path, _JOBS) == {"files": 2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x\n[a](docs/none.md)\n", "2: the link docs/none.md leads nowhere"),
        ("[a](#nowhere)\n", "1: no heading of README.md answers to #nowhere"),
        ("[a](docs/other.md#part-3)", "1: no heading of other.md answers to #part-3"),
        ("[a](../../etc)", "1: the link ../../etc leaves the project"),
        ("```sh\n./inv lint --fax\n```", "2: './inv lint --fax' does not work: lint has no flag"),
        ("```sh\n./inv lint 'x\n```", '2: "./inv lint \'x" does not work: No closing quotation'),
        ("```mermaid\nflow LR\n```", "2: mermaid knows no diagram 'flow LR'"),
        ("a\n```sh\nls\n", "2: this fence is never closed"),
    ],
)
def test_what_a_reader_would_stumble_over_is_found(tmp_path: Path, text: str, problem: str) -> None:
    found = _problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_first_problem_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    _problems(tmp_path, "[a](x.md)\n[b](y.md)\n")
    with pytest.raises(OutputsError, match=r"^README.md:1: the link x.md .* \(and 1 more\)$"):
        check_documentation(tmp_path, _JOBS)


def test_this_projects_documentation_has_no_problems() -> None:
    check_documentation(PROJECT, _JOBS)
