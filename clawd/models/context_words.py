"""How long a context may be, in the words of providers that refused a longer one. Pure."""

from __future__ import annotations

import re
from typing import Final

_LEAST: Final = 256  # tokens; a smaller number is about something else

# Each with the words of who writes so; `tests/unit/models/test_context_words.py` has a sentence of each.
_WORDS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"maximum context length (?:is|of) ([\d,]+)",  # OpenAI, DeepSeek, vLLM, OpenRouter
        r"context length of only ([\d,]+)",  # LM Studio
        r"available context size \(?([\d,]+)",  # llama.cpp
        r"context limit: [\d,+ ]+> ([\d,]+)",  # Anthropic, with max_tokens
        r"tokens > ([\d,]+) maximum",  # Anthropic
        r"maximum number of tokens allowed \(?([\d,]+)",  # Gemini
        r"input length should be \[\d+, ?([\d,]+)\]",  # Qwen
        r"token limit: ([\d,]+)",  # Moonshot
        r"context (?:window|length|size)[^\d]{1,20}([\d,]+)",  # others
    )
)


def said_window(words: str) -> int | None:
    """Return the greatest context that a refusal names, in tokens; None where it names none."""
    for pattern in _WORDS:
        if match := pattern.search(words):
            tokens = int(match[1].replace(",", "") or 0)
            if tokens >= _LEAST:
                return tokens
    return None
