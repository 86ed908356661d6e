"""Which queued messages become part of the turn in front of them. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.agent.mailbox import takes_place_of
from clawd.commands import parse
from clawd.messages import SPLIT_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clawd.journal.base import Lease, Queued
    from clawd.messages import InboundMessage

PIECES_WITHIN: Final = timedelta(seconds=2)
"""A client that cuts a long text sends the pieces at once; platforms' clocks tell seconds."""


def pieces(message: InboundMessage, behind: Iterable[Queued]) -> tuple[int, ...]:
    """Return the messages behind this one that are the rest of it: an album, or a text that was cut."""
    found: list[int] = []
    before = message
    for queued in behind:
        if not _goes_on(before, queued.message):
            break
        found.append(queued.seq)
        before = queued.message
    return tuple(found)


def _goes_on(before: InboundMessage, after: InboundMessage) -> bool:
    if before.piece_of is None or before.sender.id != after.sender.id:
        return False
    if before.piece_of == SPLIT_TEXT:
        return bool(after.text) and after.sent_at - before.sent_at <= PIECES_WITHIN
    return after.piece_of == before.piece_of


def followers(lease: Lease, behind: Sequence[Queued]) -> tuple[int, ...]:
    """Return the messages right behind the turn with which its asker goes on, up to any other one.

    Others' messages, other rights and commands keep their own turns: what somebody may not ask for must
    not run with the right of who may. So does a message that asks for a model, or begins with a route's /word.
    """
    found: list[int] = []
    for queued in behind:
        message = queued.message
        if queued.right != lease.right or not takes_place_of(message, lease):
            break
        if message.model not in (None, lease.message.model) or parse(message.text) is not None:
            break
        found.append(queued.seq)
    return tuple(found)
