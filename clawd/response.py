"""What models and tools give back, as the journal keeps it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]

Effect = Literal["pure", "idempotent", "keyed", "once"]
"""What a repeat does: `pure` has no effect at all, `idempotent` may be repeated, `keyed` may be repeated
under the same key, `once` must never be repeated after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call that the model asks for. `arguments` is the raw JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the provider counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAttempt:
    """One request to one model on the way to a response; settled together with the response."""

    model: str
    outcome: str  # "ok" or the error's code, such as "E-MODEL-DOWN"
    detail: str = ""
    duration_s: float = 0.0
    first_token_s: float | None = None
    usage: Usage = Usage()


FinishReason = Literal["stop", "length", "tool_calls", "filtered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponse:
    """The complete answer; `str()` is its text."""

    model: str  # configured name of the model that answered
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = "stop"
    usage: Usage = Usage()
    attempts: tuple[ModelAttempt, ...] = ()

    def __str__(self) -> str:
        return self.text
