"""What a turn sends into its chat. Pure; `events` says what programs are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.agent.questions import choices, wording
from clawd.journal.deliveries import NewDelivery
from clawd.texts import say

if TYPE_CHECKING:
    from clawd.agent.ending import Ending
    from clawd.agent.turn import Turn
    from clawd.ids import QuestionId
    from clawd.journal.base import Lease
    from clawd.journal.records import TurnWaiting
    from clawd.messages import Address

Split = Callable[["Address", str], Sequence[str]]
"""Cuts a reply into parts that the address's bridge can carry."""


def of_end(
    lease: Lease, ending: Ending, turn: Turn | None, split: Split, *, whole: bool
) -> tuple[NewDelivery, ...]:
    """Return the reply that ends a turn.

    Args:
        lease: Of the turn.
        ending: What is said.
        turn: What is known of the turn; None where it was not looked at.
        split: Cuts the text.
        whole: Send it as one part.
    """
    text = ending.text if turn is None else _untold(ending.text, turn)
    if ending.notice:
        text = f"{text}\n\n{ending.notice}"
    parts = [text] if whole else split(lease.address, text)
    return tuple(
        NewDelivery(
            part=part,
            parts=len(parts),
            text=text,
            kind="reply" if ending.outcome == "answered" else "failed",
        )
        for part, text in enumerate(parts)
    )


def of_question(
    lease: Lease, waiting: TurnWaiting, question: QuestionId, untold: str, split: Split
) -> tuple[NewDelivery, ...]:
    """Return what was said so far and not delivered yet, and behind it the question with its buttons."""
    language = lease.language
    said = split(lease.address, untold) if untold else ()
    texts = [*said, *split(lease.address, wording(waiting, language))]
    parts = [NewDelivery(part=n, parts=len(texts), text=text) for n, text in enumerate(texts)]
    buttons = choices(language)
    parts[-1:] = [replace(last, kind="question", question=question, choices=buttons) for last in parts[-1:]]
    return tuple(parts)


def of_outage(lease: Lease, others: Sequence[str]) -> tuple[NewDelivery, ...]:
    """Return the sentence that the turn waits for the network, and which other models may be chosen."""
    text = say("offline", lease.language)
    if others:
        text += "\n" + say("offline_others", lease.language, models=", ".join(others))
    return (NewDelivery(part=0, parts=1, text=text, kind="failed"),)


def _untold(text: str, turn: Turn) -> str:
    """Return what of a text was not delivered yet, in front of a question; all of it where nothing is left."""
    told = turn.visible_text[: turn.told]
    rest = text.removeprefix(told).strip() if told else text
    return rest or text
