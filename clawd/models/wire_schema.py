"""An answer's schema in words, for models whose servers take none. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clawd.models.base import ChatMessage, SystemMessage

if TYPE_CHECKING:
    from clawd.models.base import OutputSchema


def told(messages: tuple[ChatMessage, ...], schema: OutputSchema) -> tuple[ChatMessage, ...]:
    """Return the messages with the schema told in the last of the leading instructions.

    One more system message would be refused by templates that take a single one.
    """
    # DeepSeek and Qwen refuse `json_object` unless the word JSON stands in the messages.
    words = (
        "Answer with one JSON object that fits this JSON Schema, and with nothing else, no code fence either:\n"
        + json.dumps(dict(schema.schema), ensure_ascii=False)
    )
    first = next((i for i, m in enumerate(messages) if not isinstance(m, SystemMessage)), len(messages))
    if first and isinstance(last := messages[first - 1], SystemMessage):
        return (*messages[: first - 1], SystemMessage(f"{last.text}\n\n{words}"), *messages[first:])
    return (SystemMessage(words), *messages)
