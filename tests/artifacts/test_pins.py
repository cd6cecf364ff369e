"""Which commit of TheRock a workflow file names."""

from __future__ import annotations

import pytest

from therock_outputs.artifacts.pins import pinned_ref
from therock_outputs.errors import IntegrityError

SHA = "6a91147f22b525b79b19e909ea832d4f21e71306"


@pytest.mark.parametrize(
    "text",
    [
        f"jobs: {{a: {{steps: [{{with: {{repository: ROCm/TheRock, ref: {SHA}}}}}]}}}}",
        f"jobs: {{a: {{steps: [{{with: {{repository: 'rocm/therock', ref: ' {SHA} '}}}}]}}}}",
        f"jobs: {{a: {{uses: ROCm/TheRock/.github/workflows/x.yml@{SHA}}}}}",
        (
            f"jobs: {{a: {{uses: ROCm/TheRock/.github/workflows/x.yml@{SHA}, "
            f"with: {{repository: ROCm/TheRock, ref: {SHA}}}}}}}"
        ),
        (
            "- {repository: ROCm/TheRock, ref: '${{ inputs.ref }}'}\n"
            f"- {{repository: ROCm/TheRock, ref: {SHA}}}\n- {{uses: 'ROCm/TheRock/x@${{{{ y }}}}'}}"
        ),
        f"&a [{{repository: ROCm/TheRock, ref: {SHA}}}, *a]",
    ],
)
def test_commit_is_found_wherever_it_stands(text: str) -> None:
    assert pinned_ref(text.encode(), "x.yml") == SHA


@pytest.mark.parametrize(
    "text",
    [
        "",
        "on: push",
        "{repository: ROCm/TheRock}",
        "{repository: ROCm/TheRock, ref: ''}",
        "{repository: ROCm/TheRock, ref: 7}",
        f"{{repository: ROCm/other, ref: {SHA}}}",
        f"{{uses: actions/checkout@{SHA}}}",
        f"{{uses: ROCm/TheRock-fork/x@{SHA}}}",
        "{uses: ROCm/TheRock/x}",
        "{repository: [1], ref: {}, uses: 3}",
    ],
)
def test_file_that_names_none_gives_none(text: str) -> None:
    assert pinned_ref(text.encode(), "x.yml") is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"[" * 1500, "is not YAML"),
        (b"!!python/object/apply:os.system [true]", "is not YAML"),
        (b"- {repository: ROCm/TheRock, ref: a}\n- {repository: ROCm/TheRock, ref: b}", "several"),
    ],
)
def test_file_that_will_not_do_is_named(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said) as raised:
        pinned_ref(data, "x.yml")
    assert str(raised.value).startswith("x.yml: ")


def test_file_of_very_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("therock_outputs.artifacts.pins._MOST_NODES", 100)
    assert pinned_ref(b"[" + b"[]," * 99 + b"]", "x.yml") is None
    with pytest.raises(IntegrityError, match="too large"):
        pinned_ref(b"[" + b"[]," * 100 + b"]", "x.yml")


def test_aliases_of_aliases_are_walked_once() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert pinned_ref("\n".join(lines).encode(), "x.yml") is None
