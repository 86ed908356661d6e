"""What providers of chat completions say about tokens, in every spelling. Pure.

Source: OpenAI API reference, "The chat completion object", `usage`; DeepSeek and Moonshot (cached tokens under
names of their own, the latter's also within the choice), OpenRouter (`cache_write_tokens`), Groq (`x_groq`),
llama.cpp (`timings`); xAI and Gemini count thoughts in the total alone.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from clawd.response import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.response import JsonObject, JsonValue


class UsageFold:
    """Keeps the newest count of each kind; many servers send a growing one with every chunk."""

    def __init__(self) -> None:
        self._counted = Usage()
        self._timed = Usage()

    def add(self, chunk: JsonObject) -> None:
        """Take the counts of one chunk, if it has any."""
        for usage in _usages(chunk):
            self._counted = _newer(self._counted, read_usage(usage))
        if isinstance(timings := chunk.get("timings"), dict):
            self._timed = _newer(self._timed, _of_timings(timings))

    def usage(self) -> Usage:
        """Return what was counted; llama.cpp's own measure where nothing was."""
        return self._counted if self._counted != Usage() else self._timed


def read_usage(usage: JsonObject) -> Usage:
    """Return the tokens of one `usage` object; nonsense counts as not said."""
    of_input = _part(usage, "prompt_tokens_details", "input_tokens_details")
    of_output = _part(usage, "completion_tokens_details", "output_tokens_details")
    input_tokens = _first(usage, "prompt_tokens", "input_tokens")
    output_tokens = _first(usage, "completion_tokens", "output_tokens")
    total = _first(usage, "total_tokens")
    if None not in (total, input_tokens, output_tokens):
        # What is in the total alone are thoughts, and paid as output.
        output_tokens = max(output_tokens or 0, (total or 0) - (input_tokens or 0))
    cached = _first(of_input, "cached_tokens")
    written = _first(of_input, "cache_write_tokens", "cache_creation_input_tokens")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=_first(usage, "prompt_cache_hit_tokens", "cached_tokens") if cached is None else cached,
        cache_write_tokens=written,
        thinking_tokens=_first(of_output, "reasoning_tokens"),
    )


def _usages(chunk: JsonObject) -> Iterator[JsonObject]:
    choices = chunk.get("choices")
    holders: list[JsonValue] = [chunk, chunk.get("x_groq"), *(choices if isinstance(choices, list) else ())]
    for holder in holders:
        if isinstance(holder, dict) and isinstance(usage := holder.get("usage"), dict):
            yield usage


def _of_timings(timings: JsonObject) -> Usage:
    cached, prompt = _first(timings, "cache_n"), _first(timings, "prompt_n")
    return Usage(
        input_tokens=None if prompt is None else prompt + (cached or 0),
        output_tokens=_first(timings, "predicted_n"),
        cached_tokens=cached,
    )


def _newer(before: Usage, after: Usage) -> Usage:
    counts = {field.name: getattr(after, field.name) for field in fields(Usage)}
    return replace(before, **{name: count for name, count in counts.items() if count is not None})


def _part(usage: JsonObject, *names: str) -> JsonObject:
    parts = (usage.get(name) for name in names)
    return next((part for part in parts if isinstance(part, dict)), {})


def _first(counts: JsonObject, *names: str) -> int | None:
    for name in names:
        value = counts.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
