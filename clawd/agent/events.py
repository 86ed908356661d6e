"""What programs are told of a turn, beside what its client fetches. Pure.

Who they are is looked up where it is written: those whose URL came with a message, and the app.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal

from clawd.journal.deliveries import NewDelivery
from clawd.messages import Callback, CallbackQuestion

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.agent.ending import Ending
    from clawd.journal.base import Lease, OpenQuestion

EventName = Literal["message", "done", "failed", "approval"]
AppEvents = Callable[[str], Collection[str]]
"""Of which events the app of this account is told by itself; none for those that are no app."""


def of_end(lease: Lease, ending: Ending, now: datetime, wanted: AppEvents) -> tuple[NewDelivery, ...]:
    """Return the event that a turn has ended, however it did."""
    answered = ending.outcome == "answered"
    callback = Callback(
        event="message.reply" if answered else "message.failed",
        status=ending.outcome,
        at=now,
        app=_app(lease, "done" if answered else "failed", wanted),
    )
    text = f"{ending.text}\n\n{ending.notice}" if ending.notice else ending.text
    kind: Literal["reply", "failed"] = "reply" if answered else "failed"
    return (NewDelivery(part=0, parts=1, text=text, kind=kind, callback=callback),)


def of_question(
    lease: Lease, question: OpenQuestion, now: datetime, wanted: AppEvents
) -> tuple[NewDelivery, ...]:
    """Return the event that a turn waits for a person."""
    asked = CallbackQuestion(
        id=question.id,
        about=question.about,
        tool=question.tool,
        subject=question.subject,
        deadline=question.deadline,
    )
    callback = Callback(
        event="approval.requested",
        status="waiting",
        at=now,
        app=_app(lease, "approval", wanted),
        question=asked,
    )
    return (NewDelivery(part=0, parts=1, text="", kind="question", callback=callback),)


def _app(lease: Lease, event: EventName, wanted: AppEvents) -> str | None:
    account = lease.address.account
    return account if lease.address.bridge == "api" and event in wanted(account) else None
