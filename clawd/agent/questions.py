"""Questions to people: what a call needs, and what was said. Pure; `attempt.py` has the effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clawd.agent.merging import followers
from clawd.journal.records import PatternAllowed, QuestionAnswered, TurnMerged
from clawd.messages import Choice
from clawd.texts import say
from clawd.tools.consent import exactly, matches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from clawd.agent.turn import CallTool
    from clawd.journal.base import Control, Lease, Queued
    from clawd.journal.records import Record, TurnWaiting
    from clawd.tools.base import Consent

OnUnknown = Literal["report", "ask", "retry"]
Next = Literal["run", "ask", "denied", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a call: run it, ask first, or end it without running as `denied` or `unknown`."""

    next: Next
    about: Literal["approval", "unknown"] = "approval"


def decide(
    action: CallTool, consent: Consent | None, allowed: Collection[str], on_unknown: OnUnknown
) -> Decision:
    """Return what becomes of a call before it runs.

    Args:
        action: The call, with what an earlier attempt left and what a person said.
        consent: What the tool's settings ask for; None where the tool asks for nothing.
        allowed: Patterns TOOL:GLOB that were answered with "always" in this conversation.
        on_unknown: What to do with a `once` call that a crash cut off.
    """
    said = action.answer
    if action.intent is not None and action.intent.effect == "once":
        # It may have happened; only a person or the model may decide what that means.
        if said is not None:
            return Decision(next="run" if said.approved else "unknown", about="unknown")
        doing: dict[OnUnknown, Next] = {"report": "unknown", "ask": "ask", "retry": "run"}
        return Decision(next=doing[on_unknown], about="unknown")
    if consent is None or consent.verdict == "auto" or action.intent is not None:
        return Decision(next="run")  # an intent was committed only after a yes
    if consent.verdict == "deny":
        return Decision(next="denied")
    if said is not None:
        return Decision(next="run" if said.approved else "denied")
    if is_allowed(action.call.name, consent.subject, allowed):
        return Decision(next="run")
    return Decision(next="ask")


def is_allowed(tool: str, subject: str, allowed: Iterable[str]) -> bool:
    """Whether an "always" of this conversation covers a call."""
    for pattern in allowed:
        name, _, glob = pattern.partition(":")
        if name == tool and matches(glob, subject):
            return True
    return False


def word_on(
    waiting: TurnWaiting, lease: Lease, controls: Sequence[Control], behind: Sequence[Queued]
) -> tuple[Record, ...]:
    """Return the records that answer an open question, none while nothing has been said.

    A word of the asker's other than an answer means no, and goes to the model together with the question.
    """
    for control in controls:
        if control.step != waiting.step or control.kind not in ("approve", "deny"):
            continue
        approved = control.kind == "approve"
        answer = QuestionAnswered(step=waiting.step, approved=approved, by=control.by)
        if approved and control.always is not None:
            glob = control.always or exactly(waiting.subject)
            return answer, PatternAllowed(pattern=f"{waiting.name}:{glob}")
        return (answer,)
    asked_seq = lease.asked_seq or lease.seq
    asker = lease.message.sender.id
    if any(queued.seq > asked_seq and queued.message.sender.id == asker for queued in behind):
        answer = QuestionAnswered(step=waiting.step, approved=False, why="superseded")
        merged = followers(lease, behind)
        return (answer, TurnMerged(step=waiting.step + 1, seqs=merged)) if merged else (answer,)
    if lease.expired:
        return (QuestionAnswered(step=waiting.step, approved=False, why="expired"),)
    return ()


def wording(waiting: TurnWaiting, language: str | None) -> str:
    """Return the question as it goes to a chat; the call stands in a code block that it can't leave."""
    key = "ask_approval" if waiting.about == "approval" else "ask_unknown"
    fence = "```"
    while fence in waiting.subject:
        fence += "`"
    until = waiting.deadline.strftime("%H:%M UTC")
    block = f"{fence}\n{waiting.subject}\n{fence}"
    return f"{say(key, language, tool=waiting.name)}\n{block}\n{say('how_to_answer', language, until=until)}"


def choices(language: str | None) -> tuple[Choice, ...]:
    """Return the answers that a question offers."""
    return (
        Choice(word="approve", label=say("choice_approve", language)),
        Choice(word="always", label=say("choice_always", language)),
        Choice(word="deny", label=say("choice_deny", language)),
    )


def refusal(said: QuestionAnswered | None) -> str:
    """Return what the model is told of a call that was not allowed to run."""
    match said:
        case QuestionAnswered(why="expired"):
            return say("denied_expired", "en")
        case QuestionAnswered(why="superseded"):
            return say("denied_superseded", "en")
        case QuestionAnswered():
            return say("denied_person", "en")
        case None:
            return say("denied_settings", "en")
