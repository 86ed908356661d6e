"""Model type `chat`: anything that speaks OpenAI chat completions. Configuration."""

from __future__ import annotations

from typing import ClassVar, Literal

from clawd.models.wire_config import WireConfig

JsonOutput = Literal["schema", "object", "none"]
ThinkTags = Literal["leading", "open", "none"]
ReasoningEcho = Literal["none", "reasoning_content", "reasoning_details", "thought_signature"]


class ChatConfig(WireConfig):
    """One model behind a chat completions endpoint; what deviates from OpenAI's has a key."""

    path: ClassVar[str] = "/chat/completions"

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer", "user"] = "system"  # in which role instructions are sent
    alternate_roles: bool = False  # true: neighbours of one role are joined, for templates that insist
    parallel_tool_calls: bool | None = None  # None: not said
    json_output: JsonOutput = "schema"  # what it takes for JSON answers; else the schema is told in words
    think_tags: ThinkTags = "leading"  # what <think>…</think> in the text is; open: it begins in the prompt
    reasoning_echo: ReasoningEcho = "none"  # how the model wants its thoughts back within a turn
