"""Pieces of one message in a group: what is said to us in one of them is said to us in all.

Only one photo of an album carries the caption with our name, and only the first piece of a long text.
What is known is kept in memory: a restart in the middle of an album costs the photos behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.messages import SPLIT_TEXT, InboundMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from clawd.messages import Address, Inbound, MessageId

_TEXT_WITHIN: Final = timedelta(seconds=2)  # apps send the pieces of a text at once; Telegram tells seconds
_MAX_KNOWN: Final = 100

_Key = tuple["Address", str, str]  # where, by whom, a piece of what


@dataclass(frozen=True, slots=True)
class _Known:
    """The piece that came last, and the end of a text once that is known."""

    at: datetime
    end: MessageId | None = None


class Pieces:
    """Knows the last messages in pieces that were meant for us."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, _Known] = OrderedDict()

    def addressed(self, events: Sequence[Inbound]) -> tuple[Inbound, ...]:
        """Return the events of a batch, with the pieces that belong to one for us addressed as well."""
        for message in _in_groups(events):
            if message.addressed and message.piece_of is not None:
                self._remember(_key(message, message.piece_of), _Known(message.sent_at))
        found = {message.id for message in _in_groups(events) if self._belongs(message)}
        return tuple(
            replace(event, addressed=True)
            if isinstance(event, InboundMessage) and event.id in found
            else event
            for event in events
        )

    def _belongs(self, message: InboundMessage) -> bool:
        if message.addressed:
            return False
        if message.piece_of not in (None, SPLIT_TEXT):
            return _key(message, message.piece_of) in self._known
        key = _key(message, SPLIT_TEXT)
        before = self._known.get(key)
        if before is None or not timedelta(0) <= message.sent_at - before.at <= _TEXT_WITHIN:
            return False
        if message.piece_of is not None:
            self._remember(key, _Known(message.sent_at))
        elif before.end is None:
            # The first piece that is not full is the last one. It may come again, if it could not be stored.
            self._remember(key, replace(before, end=message.id))
        else:
            return before.end == message.id
        return True

    def _remember(self, key: _Key, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _in_groups(events: Sequence[Inbound]) -> Iterable[InboundMessage]:
    return (event for event in events if isinstance(event, InboundMessage) and event.group)


def _key(message: InboundMessage, piece_of: str) -> _Key:
    return message.address, message.sender.id, piece_of
