"""What a request may hold, by the models that may answer it, and what is learnt when that was wrong."""

from __future__ import annotations

import pytest

from clawd.models.windows import ModelSize, Windows

UNKNOWN = 32_000


def windows(**models: int | None) -> Windows:
    sizes = {name: ModelSize(context_tokens=tokens) for name, tokens in models.items()}
    return Windows(sizes, {"default": tuple(models), "small": ("a",)})


def tokens(
    found: Windows, route: str = "default", pin: str | None = None, *, strict: bool = False
) -> list[int]:
    levels = found.levels(route, pin, unknown_tokens=UNKNOWN, strict=strict)
    return [window.tokens for window in levels]


def test_each_further_window_is_for_the_larger_models_of_the_route_alone() -> None:
    found = windows(a=8000, b=200_000, c=None, d=200_000)
    assert tokens(found) == [8000, UNKNOWN, 200_000]
    assert tokens(found, "small") == [8000]
    assert tokens(found, "small", "b") == [8000, 200_000]


def test_a_strict_request_is_for_one_model() -> None:
    found = windows(a=8000, b=200_000)
    assert tokens(found, strict=True) == [8000]
    assert tokens(found, pin="b", strict=True) == [200_000]


def test_a_larger_model_that_keeps_more_free_for_its_answer_is_no_further_window() -> None:
    sizes = {"a": ModelSize(context_tokens=8000), "b": ModelSize(context_tokens=10_000, max_tokens=7000)}
    found = Windows(sizes, {"default": ("a", "b")})
    (only,) = found.levels("default", None, unknown_tokens=UNKNOWN)
    assert (only.tokens, only.input) == (8000, 3000)


def test_a_refusal_that_names_the_number_sets_the_window() -> None:
    found = windows(a=32_000)
    found.too_long("a", "maximum context length is 8192 tokens", 20_000, unknown_tokens=UNKNOWN)
    assert tokens(found) == [8192]


def test_a_refusal_without_a_number_halves_the_window_down_to_the_least() -> None:
    found = windows(a=None)
    for expected in (16_000, 8000, 4000, 2000, 1000, 512, 512):
        estimated = tokens(found)[0] // 4
        assert found.too_long("a", "context_length_exceeded", estimated, unknown_tokens=UNKNOWN)
        assert tokens(found) == [expected]


@pytest.mark.parametrize(
    ("words", "estimated", "window"),
    [
        ("maximum context length is 100 tokens", 200, None),  # no such model; nor was so much asked
        ("maximum context length is 1000 tokens", 200, None),
        ("context_length_exceeded", 200, None),
        ("maximum context length is 1000 tokens", 1001, 1000),  # the request itself bears it out
        ("maximum context length is 8000 tokens", 200, 8000),
        ("maximum context length is 7999 tokens", 5000, 16_000),  # counts as no number
    ],
)
def test_a_number_that_nothing_bears_out_leaves_the_window_as_it_is(
    words: str, estimated: int, window: int | None
) -> None:
    found = windows(a=32_000)
    assert found.too_long("a", words, estimated, unknown_tokens=UNKNOWN) is (window is not None)
    assert found.found("a") == window
    assert tokens(found) == [window or 32_000]


def test_a_refusal_within_the_window_it_names_raises_the_estimates() -> None:
    found = windows(a=8192)
    found.too_long("a", "maximum context length is 8192 tokens", 6000, unknown_tokens=UNKNOWN)
    (window,) = found.levels("default", None, unknown_tokens=UNKNOWN)
    assert (window.tokens, window.factor) == (8192, 1.3)


def test_a_model_that_was_asked_for_more_than_it_is_believed_to_hold_teaches_nothing() -> None:
    found = windows(a=8000, b=200_000)
    found.too_long("a", "context_length_exceeded", 100_000, unknown_tokens=UNKNOWN)
    found.too_long("a", "maximum context length is 8000 tokens", 100_000, unknown_tokens=UNKNOWN)
    assert tokens(found) == [8000, 200_000]
