"""GitHub's expressions, as far as the workflows use them: ``${{ … }}`` in a workflow's values.

https://docs.github.com/actions/reference/evaluate-expressions-in-workflows-and-actions. What
the language has beyond this is an error here, never a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Value = object
"""None, a bool, a number, text, a list or a mapping."""

_MARK = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<sign>==|!=|&&|\|\||[!().,\[\]]))"
)
_STATUS = re.compile(r"\b(?:always|success|failure|cancelled)\s*\(")


class ExpressionError(Exception):
    """Text that is no expression, or uses what is not known here."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression sees."""

    contexts: Mapping[str, Value]
    succeeded: bool = True
    """Whether everything before this succeeded."""


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression, without its ``${{ }}``."""
    return _Reader(text, scope).whole()


def fill(value: Value, scope: Scope) -> Value:
    """A workflow's value with its expressions evaluated; one that stands alone keeps its type."""
    if isinstance(value, str):
        only = _MARK.fullmatch(value.strip())
        if only is not None and "${{" not in only[1]:
            return evaluate(only[1], scope)
        return _MARK.sub(lambda match: render(evaluate(match[1], scope)), value)
    if isinstance(value, Mapping):
        return {key: fill(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, scope) for item in value]
    return value


def is_met(condition: Value, scope: Scope) -> bool:
    """Whether an ``if`` holds; one that asks for no status also wants success."""
    text = "success()" if condition is None else str(condition)
    only = _MARK.fullmatch(text.strip())
    text = only[1] if only else text
    wanted = evaluate(text, scope)
    return _truth(wanted) and (scope.succeeded or _STATUS.search(text) is not None)


def render(value: Value) -> str:
    """A value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    raise ExpressionError(f"{value!r} becomes no text; use toJSON")


class _Reader:
    """Reads and evaluates in one go: nothing in the language has an effect."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._tokens = list(self._split(text))
        self._at = 0

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ExpressionError(f"{text!r} is no expression at {text[at:]!r}")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tokens

    def whole(self) -> Value:
        value = self._either()
        if self._at < len(self._tokens):
            raise ExpressionError(f"{self._text!r} goes on after its end")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, sign: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise ExpressionError(f"{self._text!r} lacks {sign!r} before {self._peek()!r}")

    def _either(self) -> Value:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value if _truth(value) else other
        return value

    def _both(self) -> Value:
        value = self._compared()
        while self._take("&&"):
            other = self._compared()
            value = other if _truth(value) else value
        return value

    def _compared(self) -> Value:
        value = self._not()
        if self._take("=="):
            return _equal(value, self._not())
        if self._take("!="):
            return not _equal(value, self._not())
        return value

    def _not(self) -> Value:
        if self._take("!"):
            return not _truth(self._not())
        return self._looked_up()

    def _looked_up(self) -> Value:
        value = self._single()
        while True:
            if self._take("."):
                kind, name = self._next()
                if kind != "name":
                    raise ExpressionError(f"{self._text!r} has no name after a dot")
                value = _member(value, name)
            elif self._take("["):
                key = self._either()
                self._need("]")
                value = _member(value, key)
            else:
                return value

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise ExpressionError(f"{self._text!r} ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _single(self) -> Value:
        if self._take("("):
            value = self._either()
            self._need(")")
            return value
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind == "name":
            return self._named(text)
        raise ExpressionError(f"{self._text!r} has {text!r} where a value should stand")

    def _named(self, name: str) -> Value:
        if self._take("("):
            arguments = []
            while not self._take(")"):
                arguments.append(self._either())
                if self._peek() != ")":
                    self._need(",")
            return self._call(name, arguments)
        if name in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[name]
        if name not in self._scope.contexts:
            raise ExpressionError(f"{self._text!r} uses the context {name!r}, which is not there")
        return self._scope.contexts[name]

    def _call(self, name: str, arguments: Sequence[Value]) -> Value:
        match (name, *arguments):
            case ("always",):
                return True
            case ("success",):
                return self._scope.succeeded
            case ("failure",):
                return not self._scope.succeeded
            case ("cancelled",):
                return False
            case ("fromJSON", str(text)):
                return json.loads(text)
            case ("toJSON", value):
                return json.dumps(value)
            case ("format", str(text), *values):
                return re.sub(r"\{(\d+)\}", lambda found: render(values[int(found[1])]), text)
            case ("contains", list(items), item):
                return any(_equal(one, item) for one in items)
            case ("contains", str(text), part):
                return render(part).lower() in text.lower()
            case ("startsWith", str(text), part):
                return text.lower().startswith(render(part).lower())
        raise ExpressionError(f"{name}() with {len(arguments)} arguments is not known here")


def _truth(value: Value) -> bool:
    return not (value is None or value is False or value in (0, ""))


def _equal(one: Value, other: Value) -> bool:
    """Loosely, as GitHub does: text without case, other kinds as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other):
        return one == other
    first, second = _number(one), _number(other)
    return first is not None and first == second


def _number(value: Value) -> float | None:
    if value is None:
        return 0.0
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value) if value.strip() else 0.0
        except ValueError:
            return None
    return None


def _member(value: Value, key: Value) -> Value:
    """A property; null where there is none, as GitHub has it."""
    if isinstance(value, Mapping):
        return value.get(render(key))
    if isinstance(value, list) and isinstance(key, float):
        return value[int(key)] if int(key) < len(value) else None
    return None
