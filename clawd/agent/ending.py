"""How a turn ends, and what the user is told: every end is visible. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.agent.notices import also_spent, spent_text
from clawd.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BudgetSpent,
    ClawdError,
    ContextTooLong,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnknown,
    TurnTooDear,
)
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.agent.mailbox import Cause
    from clawd.agent.turn import Answered, Why
    from clawd.config.schema import AgentConfig
    from clawd.journal.items import Right
    from clawd.journal.records import Outcome, Record
    from clawd.response import ModelAttempt, PassedOver


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a turn before it is committed. `records` go into the same commit, in front."""

    outcome: Outcome
    text: str
    model: str | None = None
    error: str | None = None
    exit_code: int = 0
    records: tuple[Record, ...] = ()
    attempts: tuple[ModelAttempt, ...] = ()  # of a last request that no model answered
    passed_over: tuple[PassedOver, ...] = ()  # by that request
    notice: str = ""  # told beside the text: an app gets it behind the answer, a pipe gets the answer alone


def answered(answer: Answered, language: str | None, records: tuple[Record, ...] = ()) -> Ending:
    """The model is done, or has said what it could within the turn's limits."""
    text = answer.text
    if answer.last and not text.strip():
        return Ending(
            outcome="failed",
            text=say("failed_limits", language),
            model=answer.model,
            error="E-LIMITS: the last answer was empty",
            exit_code=EXIT_FAILED,
            records=records,
        )
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


def limit_reached(
    why: Why, limits: AgentConfig, visible: str, language: str | None, *, error: ModelError | None = None
) -> Ending:
    """The turn came to its limits, and to no last answer; what was visible stays.

    Args:
        why: The limit.
        limits: Those in force.
        visible: What the user has been shown.
        language: To speak in.
        error: Why no model gave a last answer; None where there was no time or money for one.
    """
    sentence = say(f"failed_{why}", language, steps=limits.max_steps)
    detail = f"{_LIMITS[why].format(agent=limits)}"
    if error is not None:
        detail += f"; asked for a last answer: {error.code}: {error}"
    return Ending(
        outcome="failed",
        text=_behind(visible, sentence),
        error=detail,
        exit_code=EXIT_FAILED,
        attempts=tuple(error.attempts) if error is not None else (),
        passed_over=tuple(error.passed_over) if error is not None else (),
    )


_LIMITS: Final[dict[Why, str]] = {
    "steps": "E-STEPS: agent.max_steps is {agent.max_steps}",
    "repeats": "E-REPEATS: the model repeated a call that always gave the same result",
    "time": "E-TIMEOUT: agent.max_turn_s is {agent.max_turn_s:g}",
    "money": "E-TURN-BUDGET: agent.max_turn_usd is {agent.max_turn_usd:g}",
}


def no_model(error: ModelError, language: str | None, right: Right = "chat", *, visible: str = "") -> Ending:
    """No model answered; what earlier steps of the turn have said stays."""
    causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
    exit_code = error.exit_code
    return Ending(
        outcome="failed",
        text=_behind(visible, _why_none(error, causes, right, language)),
        error=f"{error.code}: {error}",
        exit_code=exit_code,
        attempts=tuple(error.attempts),
        passed_over=tuple(error.passed_over),
    )


def _why_none(error: ModelError, causes: Sequence[ModelError], right: Right, language: str | None) -> str:
    if isinstance(error, ModelUnknown):
        return say("failed_gone", language, model=error.model)
    if (spent := spent_text(error, right, language)) is not None:
        return spent
    failed = [cause for cause in causes if not isinstance(cause, BudgetSpent)]
    seconds = _busy_s(failed)
    sentence = (
        say("failed_busy", language, seconds=seconds)
        if seconds is not None
        else say(_sentence_for(failed), language)
    )
    besides = also_spent(error, right, language)
    return sentence if besides is None else f"{sentence}\n{besides}"


def _busy_s(causes: Sequence[ModelError]) -> int | None:
    """Return in how many seconds a provider may be asked again, where that was all that went wrong and is known."""
    waits = [cause.retry_after_s for cause in causes if isinstance(cause, ModelRateLimited)]
    known = [wait for wait in waits if wait]
    return math.ceil(min(known)) if known and len(waits) == len(causes) else None


def _behind(visible: str, sentence: str) -> str:
    return f"{visible}\n\n{sentence}" if visible.strip() else sentence


def _sentence_for(causes: Sequence[ModelError]) -> str:
    if causes and all(isinstance(cause, ModelAuthError) for cause in causes):
        return "failed_auth"
    if any(isinstance(cause, ContextTooLong) for cause in causes):
        return "failed_context"
    if any(isinstance(cause, TurnTooDear) for cause in causes):
        return "failed_dear"
    return "failed_models"


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
