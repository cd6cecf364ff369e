"""The evaluator that runs the workflows says what GitHub would say."""

from __future__ import annotations

import pytest

from tests.workflows.expressions import (
    ExpressionError,
    Scope,
    Value,
    evaluate,
    fill,
    is_met,
    render,
)

_CONTEXTS: dict[str, Value] = {
    "inputs": {"upload": True, "name": "a'b", "empty": ""},
    "matrix": {"machine": {"target": "gfx942"}},
    "list": ["x", "Y"],
}
_SCOPE = Scope(_CONTEXTS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.name", "a'b"),
        ("'it''s'", "it's"),
        ("matrix.machine.target", "gfx942"),
        ("matrix['machine'].target", "gfx942"),
        ("inputs.nothing.at.all", None),
        ("list[1]", "Y"),
        ("list[7]", None),
        ("!inputs.upload", False),
        ("inputs.empty || 'other'", "other"),
        ("inputs.upload && 'yes' || ''", "yes"),
        ("false && 'yes' || 'no'", "no"),
        ("true || false && false", True),
        ("(true || false) && false", False),
        ("'ABC' == 'abc'", True),
        ("inputs.missing != ''", False),
        ("null == 0", True),
        ("true == 1", True),
        ("'1' == 1", True),
        ("'x' == 1", False),
        ("contains(list, 'y')", True),
        ("contains('Hello', 'ELL')", True),
        ("contains(fromJSON('[\"a\"]'), 'b')", False),
        ("startsWith('refs/heads/x', 'refs/heads/')", True),
        ("format('{0}-{1}', 'a', 2)", "a-2"),
        ("fromJSON('{\"a\": [1]}').a", [1]),
        ("toJSON(list)", '["x", "Y"]'),
        ("success()", True),
        ("failure() || cancelled()", False),
    ],
)
def test_value_is_what_github_says(text: str, value: Value) -> None:
    assert evaluate(text, _SCOPE) == value


@pytest.mark.parametrize(
    "text", ["", "inputs.", "a b", "secret.x", "hashFiles('x')", "'open", "(true", "1 ==", "a.'b'"]
)
def test_what_is_not_known_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, _SCOPE)


def test_values_are_filled_and_keep_their_type_when_alone() -> None:
    value = {
        "a": "${{ inputs.upload }}",
        "b": ["x-${{ inputs.upload }}-${{ inputs.empty }}"],
        "c": 1,
    }
    assert fill(value, _SCOPE) == {"a": True, "b": ["x-true-"], "c": 1}
    assert fill("${{ 'a' }}${{ 'b' }}", _SCOPE) == "ab"
    with pytest.raises(ExpressionError):
        fill("x ${{ list }}", _SCOPE)


def test_condition_wants_success_unless_it_asks_for_a_status() -> None:
    failed = Scope(_CONTEXTS, succeeded=False)
    assert is_met(None, _SCOPE)
    assert not is_met(None, failed)
    assert is_met("${{ inputs.upload }}", _SCOPE)
    assert not is_met("inputs.upload", failed)
    assert is_met("${{ !cancelled() && inputs.upload }}", failed)
    assert is_met("failure()", failed)
    assert not is_met("${{ !failure() }}", failed)
    assert render(2.5) == "2.5"
