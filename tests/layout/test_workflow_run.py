"""What GitHub's answers and payloads say of a run, and what is refused in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.layout import LayoutError, WorkflowRun, is_fork_pull_request

OURS = "ROCm/TheRock"


def pull_request(head: object, base: object = OURS) -> dict[str, object]:
    return {
        "pull_request": {
            "head": {"repo": {"full_name": head} if head else None},
            "base": {"repo": {"full_name": base} if base else None},
        }
    }


@pytest.mark.parametrize(
    ("setting", "event", "expected"),
    [
        (None, None, False),
        (None, {}, False),
        (None, {"ref": "refs/heads/main"}, False),
        (None, pull_request(OURS), False),
        (None, pull_request("rocm/therock"), False),
        (None, pull_request("someone/TheRock"), True),
        (None, pull_request(None), True),
        ("", pull_request("someone/TheRock"), True),
        ("true", None, True),
        ("True", pull_request(OURS), True),
        ("false", pull_request("someone/TheRock"), False),
        ("1", None, True),
        ("0", None, False),
    ],
)
def test_fork_is_told_by_the_setting_then_by_the_event(
    setting: str | None, event: dict[str, object] | None, expected: bool
) -> None:
    environ = {} if setting is None else {"IS_PR_FROM_FORK": setting}
    assert is_fork_pull_request(environ, event) is expected


def test_fork_setting_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(UsageError, match="IS_PR_FROM_FORK is 'maybe'"):
        is_fork_pull_request({"IS_PR_FROM_FORK": "maybe"})


@pytest.mark.parametrize(
    "event",
    [
        pull_request(OURS, None),
        {"pull_request": "yes"},
        {"pull_request": {"head": 1, "base": []}},
    ],
)
def test_pull_request_that_cannot_be_read_is_not_guessed(event: dict[str, object]) -> None:
    with pytest.raises(LayoutError, match=r"base\.repo\.full_name"):
        is_fork_pull_request({}, event)


def test_hostile_repository_in_an_event_is_refused() -> None:
    with pytest.raises(UsageError, match="owner/name"):
        is_fork_pull_request({}, pull_request("../../x"))


@pytest.mark.parametrize(
    ("head", "fork"),
    [
        ({"full_name": OURS}, False),
        ({"full_name": "ROCM/therock"}, False),
        ({"full_name": "someone/TheRock"}, True),
        (None, True),
        ({}, True),
    ],
)
def test_run_of_another_head_repository_is_a_fork(head: object, fork: bool) -> None:
    run = WorkflowRun.from_api({"id": 5, "head_repository": head}, OURS)
    assert run.is_fork_pr is fork


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-11T16:18:48Z", datetime(2025, 11, 11, 16, 18, 48, tzinfo=UTC)),
        ("2025-11-11T17:18:48+01:00", datetime(2025, 11, 11, 16, 18, 48, tzinfo=UTC)),
        ("2025-11-11T16:18:48", datetime(2025, 11, 11, 16, 18, 48, tzinfo=UTC)),
        (None, None),
    ],
)
def test_update_time_is_read_in_utc(text: str | None, expected: datetime | None) -> None:
    assert WorkflowRun.from_api({"id": 5, "updated_at": text}, OURS).updated_at == expected


@pytest.mark.parametrize("moment", ["", "yesterday", 5, ["2025-11-11T16:18:48Z"]])
def test_bad_update_time_is_refused(moment: object) -> None:
    with pytest.raises(LayoutError, match="'updated_at' of run 5"):
        WorkflowRun.from_api({"id": 5, "updated_at": moment}, OURS)


@pytest.mark.parametrize("answer", [{}, {"id": None}, {"id": "5"}, {"id": True}, {"id": -1}])
def test_answer_without_a_run_number_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises(LayoutError, match="no numeric 'id'"):
        WorkflowRun.from_api(answer, OURS)
