"""What providers say when a request is too long for them."""

from __future__ import annotations

import pytest

from clawd.models.context_words import said_window


@pytest.mark.parametrize(
    ("words", "tokens"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9011 tokens.",
            8192,
        ),
        ("This model's maximum context length is 128,000 tokens.", 128_000),
        ("prompt is too long: 208310 tokens > 200000 maximum", 200_000),
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease one of them",
            200_000,
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            1_048_576,
        ),
        ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]", 30_720),
        ("Invalid request: Your request exceeded model token limit: 8192", 8192),
        ("the request exceeds the available context size (2048 tokens), try increasing it", 2048),
        ("request (3012 tokens) exceeds the available context size (2048 tokens)", 2048),
        ("Trying to keep the first 6000 tokens when context length of only 4096 tokens is loaded", 4096),
        ("Requested tokens exceed context window of 4096", 4096),
        ("context_length_exceeded", None),
        ("the context size is 4", None),
        ("", None),
    ],
)
def test_the_number_is_found_in_a_providers_words(words: str, tokens: int | None) -> None:
    assert said_window(words) == tokens
