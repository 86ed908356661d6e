"""Owners are asked, where their platform has buttons, whether to let a stranger in; and what they said is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.errors import NotFound
from clawd.ids import pairing_question
from clawd.journal.items import Push
from clawd.messages import AcceptResult, Choice, MessageId, Refused, Replied
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.access import Access
    from clawd.journal.items import Right
    from clawd.messages import Address, InboundControl, InboundMessage

_MAX_NAME = 64


async def questions(
    message: InboundMessage,
    code: str,
    access: Access,
    language_at: Callable[[Address], Awaitable[str | None]],
) -> tuple[Push, ...]:
    """Return the question to each owner on a stranger's bridge; each is asked once for a code."""
    if message.address.chat != message.sender.id:
        return ()  # a private chat does not have its person's id here, so nobody knows the owners'
    found = []
    for owner in access.owners_to_ask(message.address.bridge):
        address = replace(message.address, chat=owner, thread=None)
        language = await language_at(address)
        who = {"name": _shown(message.sender.name or ""), "id": _shown(message.sender.id), "code": code}
        question = Push(
            id=MessageId(f"pair:{code}:{owner}"),
            address=address,
            text=say("ask_pairing", language, **who),
            question=pairing_question(code),
            choices=(
                Choice(word="approve", label=say("choice_let_in", language)),
                Choice(word="deny", label=say("choice_keep_out", language)),
            ),
        )
        found.append(question)
    return tuple(found)


async def decide(
    control: InboundControl, code: str, right: Right, access: Access, language: str | None
) -> tuple[Push | None, AcceptResult]:
    """Let a stranger in or not; return what the stranger and who decided are told.

    What was decided before, or too long ago, changes nothing. Raises JournalUnavailable.
    """
    if right != "owner":
        return None, Refused(reason="not_yours", text=say("pairing_not_yours", language))
    try:
        if control.kind == "deny":
            pairing = await access.deny(code)
            return None, Replied(text=say("pairing_denied", language, name=_shown(pairing.name)))
        _, pairing = await access.approve(code, owner=False)
    except NotFound:
        return None, Replied(text=say("pairing_over", language), nothing=True)
    welcome = Push(
        id=MessageId(f"paired:{code}"), address=pairing.address, text=say("paired", pairing.language)
    )
    return welcome, Replied(text=say("pairing_approved", language, name=_shown(pairing.name)))


def _shown(name: str) -> str:
    """Return a stranger's own words as one short line that can't end the code span around it."""
    return " ".join(name.replace("`", "'").split())[:_MAX_NAME] or "?"
