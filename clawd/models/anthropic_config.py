"""Model type `anthropic`: anything that speaks Anthropic's Messages. Configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from clawd.models.wire_config import WireConfig

MAX_TOKENS: Final = 16_384
"""Of one answer where nobody says: the API wants a number, and newer models think within it."""

LEAST_THINKING: Final = 1024
"""The smallest budget that the API takes."""


class AnthropicConfig(WireConfig):
    """One model behind an Anthropic Messages endpoint.

    How to think differs by model: newer ones choose for themselves (`thinking`, `effort`), those up to
    Claude 4.5 get a budget (`thinking_tokens`).
    """

    path: ClassVar[str] = "/v1/messages"

    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    thinking: Literal["adaptive", "between_tools", "disabled"] | None = None  # None: as the model likes
    thinking_tokens: Annotated[int, Field(ge=LEAST_THINKING)] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    prompt_cache: bool = True
    # How a JSON answer is asked for; older models know only tools. none: the schema is told in words.
    json_output: Literal["schema", "tool", "none"] = "schema"
    beta: tuple[str, ...] = ()  # features of the header `anthropic-beta`

    @model_validator(mode="after")
    def _one_way_to_think(self) -> Self:
        if self.thinking_tokens is not None and self.thinking is not None:
            raise ValueError("set thinking or thinking_tokens, not both")
        if self.thinking_tokens is not None and self.max_tokens is not None:  # noqa: SIM102, one reason each
            if self.max_tokens <= self.thinking_tokens:
                raise ValueError("max_tokens counts the thinking too: it must be above thinking_tokens")
        if self.temperature is not None and self.thinks:
            raise ValueError("a model that thinks takes no temperature: remove it, or the thinking")
        return self

    @property
    def thinks(self) -> bool:
        """Whether the configuration switches thinking on; a model may think by default all the same."""
        return self.thinking_tokens is not None or self.thinking in ("adaptive", "between_tools")

    @property
    def url(self) -> str:
        """Where requests are posted to; `base_url` may end in the version or not."""
        base = (self.base_url or "").rstrip("/")
        return self.endpoint or f"{base.removesuffix('/v1')}{self.path}"
