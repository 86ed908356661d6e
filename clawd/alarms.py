"""What an owner should hear of: something was given up and lies among the dead letters.

The dead letters themselves are rows in the journal; this only says that there is a new one, to whoever
alerts people. In memory: a subscriber that begins later finds the older ones with `Views.dead`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clawd.messages import Address

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A turn, a delivery or an update became a dead letter, or a delivery waits for an owner's word."""

    id: str | None  # as in `clawd dead list`; None for an update
    bridge: str
    conversation: Address | None
    why: str
    alert: bool = False  # the delivery told of an alert: nobody is alerted of that


class Alarms:
    """Passes events on to all who listen; each is also one line in the log, and counted."""

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts = counts or Counts()
        self._listeners: list[Callable[[GivenUp], None]] = []

    def given_up(self, event: GivenUp) -> None:
        """Tell everybody; a listener must not raise nor block."""
        kind = event.id.partition(":")[0] if event.id is not None else "update"  # turn or delivery
        log.error("given_up", extra={kind: event.id, "bridge": event.bridge, "why": event.why})
        self._counts.given_up.add("alert" if event.alert else kind)
        for listener in tuple(self._listeners):
            listener(event)

    @contextmanager
    def listening(self, listener: Callable[[GivenUp], None]) -> Iterator[None]:
        """Let `listener` hear of every event inside the `with` block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
