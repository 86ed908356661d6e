"""What models and tools give back, as the journal keeps it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

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

    input_tokens: int | None = (
        None  # all of the input, cached or not, whatever the provider's own way to count
    )
    output_tokens: int | None = None  # all that is paid as output, thinking included
    cached_tokens: int | None = None  # of the input: read from the provider's cache
    cache_write_tokens: int | None = None  # of the input: written to the provider's cache
    thinking_tokens: int | None = None  # of the output


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAttempt:
    """One request to one model on the way to a response; settled together with the response."""

    model: str
    # "ok", "hedge" (another one answered first), "cancelled" (nobody waited any more) or the error's code, such as
    # "E-MODEL-DOWN".
    outcome: str
    detail: str = ""
    duration_s: float = 0.0
    first_token_s: float | None = None
    usage: Usage = Usage()
    cost_usd: float | None = None  # by the provider's count; None: no price, or nothing counted
    possible_usd: float = 0.0  # what it may have cost without a count: it broke off, or lost a hedge
    # By the wall clock; None: it never reached the model, or an older version wrote it. Two attempts that tell
    # the same story are equal whenever they were.
    begun_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A model that was wanted before the one that was asked first, and why it was not asked then."""

    model: str
    reason: str  # "rest", "open", "busy", "budget" or "E-CONTEXT"
    why: str = ""  # what its breaker says


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """A model's reasoning, kept because some providers want it back, unchanged, with the results of calls."""

    text: str = ""
    signature: str = ""  # the provider's seal on `text`
    data: str = ""  # what the provider shows nobody: redacted or encrypted
    id: str = ""  # of the item, where the provider names it
    # Where it stood: behind so many characters of the response's text, and so many of its calls.
    after_text: int = 0
    after_calls: int = 0


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
    thinking: tuple[Thinking, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def cost_usd(self) -> float:
        """What its attempts cost, together with what they may have cost."""
        return sum((a.cost_usd or 0.0) + a.possible_usd for a in self.attempts)

    def __str__(self) -> str:
        return self.text
