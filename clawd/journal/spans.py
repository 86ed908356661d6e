"""A turn's life as spans: what took how long, and what ran beside what. Pure, from the journal's rows alone.

The first span is the root: the turn from its acceptance to its last delivery, or a delivery that no turn made.
All others lie inside of their parents and never run backwards, also where the wall clock was set meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

SpanKind = Literal["turn", "queue", "model", "tool", "question", "delivery"]
"""`turn`: the whole of it. `queue`: nobody worked on it. `model`: one request to one model. `tool`: one call.
`question`: a person was waited for. `delivery`: a message on its way out; inside of it the last attempt."""

Attribute = tuple[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One piece of work, or of waiting.

    Attributes by kind, each only where it is known:

    - turn: turn, conversation, bridge, outcome, model, claims, merged, committed_s (from the start to the commit
      of the answer), input_tokens, output_tokens, cost_usd, exit_code
    - queue: claim (the one that it waited for), turn (of a merged message), merged_into
    - model: model, step, claim, purpose (`answer` or `summary`), outcome (as `ModelAttempt.outcome`, or `cut`),
      first_token_s, finish, calls, input_tokens, output_tokens, cached_tokens, cost_usd, possible_usd
    - tool: tool, step, claim, call_id, effect, outcome (as `ToolDone.outcome`, or `cut`)
    - question: tool, step, about, subject, answer, why, by
    - delivery: delivery, part, conversation, bridge, state, attempt, remote_id
    """

    id: int  # its place in the sequence
    parent: int | None  # the id of the span around it; always a smaller one
    kind: SpanKind
    name: str  # the model's, the tool's, the delivery's id; queued, gap, network, merged
    start: datetime
    end: datetime  # of an open one the moment of reading
    attributes: tuple[Attribute, ...] = ()
    error: str = ""  # what went wrong; empty: nothing
    open: bool = False  # not over yet
    clock_set: bool = False  # the wall clock went back around it: its times are put right as far as is known


def some(**values: str | float | None) -> tuple[Attribute, ...]:
    """Return the attributes that say something."""
    return tuple((name, value) for name, value in values.items() if value not in (None, ""))
