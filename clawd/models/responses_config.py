"""Model type `responses`: anything that speaks OpenAI's Responses. Configuration."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from clawd.config.base import Section
from clawd.models.chat_config import JsonOutput
from clawd.models.wire_config import WireConfig


class ReasoningConfig(Section):
    """How a model reasons; which values it knows differs by model. None: its own default."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesConfig(WireConfig):
    """One model behind a Responses endpoint."""

    path: ClassVar[str] = "/responses"

    # None: nothing is said of it, and models that do not reason want it so.
    reasoning: ReasoningConfig | None = None
    json_output: JsonOutput = "schema"  # what it takes for JSON answers; else the schema is told in words

    @model_validator(mode="after")
    def _no_temperature_for_reasoning(self) -> Self:
        if self.temperature is not None and self.reasons:
            raise ValueError("a model that reasons takes no temperature: remove it, or reasoning")
        return self

    @property
    def reasons(self) -> bool:
        """Whether the configuration says that the model reasons."""
        return self.reasoning is not None and self.reasoning.effort != "none"
