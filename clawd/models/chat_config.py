"""Model type `chat`: anything that speaks OpenAI chat completions. Configuration."""

from __future__ import annotations

from typing import ClassVar, Literal

from clawd.models.wire_config import WireConfig


class ChatConfig(WireConfig):
    """One model behind a chat completions endpoint."""

    path: ClassVar[str] = "/chat/completions"

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
