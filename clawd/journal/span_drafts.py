"""Spans under work, and those of deliveries. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.journal.spans import Span, some

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.journal.span_times import Timeline
    from clawd.journal.spans import Attribute, SpanKind
    from clawd.journal.story import Outgoing

_OVER = frozenset({"sent", "unknown", "dead"})  # states of a delivery of which nothing more comes
_FAILED = frozenset({"unknown", "dead"})


@dataclass(slots=True)
class Draft:
    """A span under work."""

    kind: SpanKind
    name: str
    start: datetime
    end: datetime
    attributes: tuple[Attribute, ...] = ()
    error: str = ""
    open: bool = False
    inside: Draft | None = None  # None: inside of the root, or the root itself
    number: int = 0

    def freeze(self, root: Draft | None, times: Timeline) -> Span:
        """Return the span, once all have their numbers."""
        around = self.inside or (root if root is not self else None)
        return Span(
            id=self.number,
            parent=around.number if around is not None else None,
            kind=self.kind,
            name=self.name,
            start=self.start,
            end=self.end,
            attributes=self.attributes,
            error=self.error,
            open=self.open,
            clock_set=times.touched(self.end),
        )


def delivery_drafts(outgoing: Outgoing, times: Timeline, now: datetime) -> list[Draft]:
    """Return a delivery, and inside of it the last attempt at it."""
    view = outgoing.view
    start = times.place(outgoing.at)
    is_open = view.state not in _OVER or outgoing.ended_at is None
    end = now if outgoing.ended_at is None else times.place(outgoing.ended_at, start)
    error = (view.why or view.state) if view.state in _FAILED else ""
    whole = Draft("delivery", view.id, start, max(start, end), error=error, open=is_open)
    whole.attributes = some(
        delivery=view.id,
        part=outgoing.part,
        conversation=str(view.conversation),
        bridge=view.conversation.bridge,
        state=view.state,
        attempt=view.attempt,
        remote_id=view.remote_id,
    )
    if outgoing.taken_at is None or (is_open and view.state != "sending"):
        return [whole]
    taken = times.place(outgoing.taken_at, start)
    whole.end = max(whole.end, taken)
    attempt = Draft("delivery", f"attempt {view.attempt}", taken, whole.end, error=error, open=is_open)
    attempt.attributes = some(delivery=view.id, attempt=view.attempt)
    attempt.inside = whole
    return [whole, attempt]
