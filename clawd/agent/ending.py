"""How a turn ends, and what the user is told: every end is visible. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    ClawdError,
    ModelAuthError,
    ModelError,
    ModelsExhausted,
)
from clawd.texts import say

if TYPE_CHECKING:
    from clawd.agent.mailbox import Cause
    from clawd.agent.turn import Answered
    from clawd.journal.records import Outcome, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a turn before it is committed. `records` go into the same commit, in front."""

    outcome: Outcome
    text: str
    model: str | None = None
    error: str | None = None
    exit_code: int = 0
    records: tuple[Record, ...] = ()


def answered(answer: Answered, language: str | None, records: tuple[Record, ...] = ()) -> Ending:
    """The model is done."""
    text = answer.text
    if answer.by_length:
        text = f"{text}\n\n{say('cut_by_length', language)}"
    return Ending(outcome="answered", text=text, model=answer.model, records=records)


def command_done(text: str, *records: Record) -> Ending:
    """A command was carried out without a model."""
    return Ending(outcome="answered", text=text, records=records)


def stopped(visible: str, language: str | None, *, cause: Cause = "stopped") -> Ending:
    """A person stopped it, or wrote something newer; what was visible stays, marked as cut."""
    nothing = say("stopped" if cause == "stopped" else "superseded", language)
    text = f"{visible}\n\n{say('cut', language)}" if visible else nothing
    error = "E-STOPPED" if cause == "stopped" else "E-SUPERSEDED: a newer message took its place"
    return Ending(outcome="cancelled", text=text, error=error, exit_code=EXIT_INTERRUPTED)


def out_of_time(language: str | None, limit_s: float) -> Ending:
    """It took longer than `agent.max_turn_s`."""
    return Ending(
        outcome="failed",
        text=say("failed_timeout", language),
        error=f"E-TIMEOUT: agent.max_turn_s is {limit_s:g}",
        exit_code=EXIT_FAILED,
    )


def out_of_steps(language: str | None, steps: int) -> Ending:
    """It took `agent.max_steps` steps."""
    return Ending(
        outcome="failed",
        text=say("failed_steps", language, steps=steps),
        error=f"E-STEPS: agent.max_steps is {steps}",
        exit_code=EXIT_FAILED,
    )


def no_model(error: ModelError, language: str | None) -> Ending:
    """No model answered."""
    refused = isinstance(error, ModelAuthError)
    exit_code = error.exit_code
    if isinstance(error, ModelsExhausted):
        refused = bool(error.causes) and all(isinstance(c, ModelAuthError) for c in error.causes)
        exit_code = error.worst_exit_code
    return Ending(
        outcome="failed",
        text=say("failed_auth" if refused else "failed_models", language),
        error=f"{error.code}: {error}",
        exit_code=exit_code,
    )


def broken(error: Exception, language: str | None) -> Ending:
    """Something in clawd itself went wrong."""
    code = error.code if isinstance(error, ClawdError) else "E-INTERNAL"
    return Ending(
        outcome="failed",
        text=say("failed_internal", language),
        error=f"{code}: {type(error).__name__}: {error}",
        exit_code=EXIT_FAILED,
    )


def dead(attempts: int, language: str | None) -> Ending:
    """Each attempt was cut off before it committed anything: perhaps by this very message."""
    return Ending(
        outcome="dead",
        text=say("dead", language, attempts=attempts),
        error=f"E-DEAD: {attempts} attempts without a committed step",
        exit_code=EXIT_FAILED,
    )
