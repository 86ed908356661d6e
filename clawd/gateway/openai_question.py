"""What a client of the OpenAI-compatible endpoints asks, whichever of them it came by. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.models.base import ChatMessage, OutputSchema
    from clawd.tools.base import ToolSpec

AGENT: Final = "clawd"
"""The name of the agent among the models; a model or route of this name stands back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, checked in form; what only the agent or only a model takes is checked by those."""

    model: str  # as the client wrote it
    messages: tuple[ChatMessage, ...]
    last: str = ""  # where the content of the last message stands in the body, such as `messages[2].content`
    tools: tuple[ToolSpec, ...] = ()
    must_call: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    schema: OutputSchema | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stream: bool = False
    usage: bool = False  # in a stream: a last chunk with the tokens
    conversation: str | None = None  # `metadata.conversation_id`
    previous: str | None = None  # `previous_response_id`
    instructed: bool = False  # system messages are this request's own, also within a conversation
