"""Model type `completion`: the older text completions, a prompt to go on with. Configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from clawd.models.chat_config import JsonOutput, ThinkTags
from clawd.models.wire_config import WireConfig

Template = Literal["plain", "chatml", "llama3", "none"]


class CompletionConfig(WireConfig):
    """One model behind a text completions endpoint: no tools, no pictures."""

    path: ClassVar[str] = "/completions"

    template: Template = "plain"  # how a conversation becomes one prompt
    # OpenAI, vLLM and others stop after 16 tokens when nothing is said.
    max_tokens: Annotated[int, Field(ge=1)] | None = 1000
    tools: Literal[False] = False
    vision: Literal[False] = False
    json_output: JsonOutput = "none"  # what it takes for JSON answers; else the schema is told in words
    think_tags: ThinkTags = "leading"
