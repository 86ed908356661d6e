"""What a chat shows while a turn is in work: typing after a second, then a text that grows.

It grows as a draft where the platform has those, else by edits of one message. Nothing here is a promise. It
follows the fanout, and the final text always goes out through the outbox: as an edit of the preview where
there is one, else as a new message.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from clawd.bridge import ActivityBridge, DraftBridge, MarkBridge, PreviewBridge
from clawd.delivery.split import split_reply
from clawd.errors import (
    DeliveryMoved,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    JournalError,
    JournalUnavailable,
)
from clawd.fanout import Asked, Delta, Ended, HandedBack, Started
from clawd.ids import draft_id
from clawd.journal.wake import Wake
from clawd.messages import Draft, Mark, Preview
from clawd.observability.about import about

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from clawd.bridge import Bridge
    from clawd.fanout import Fanout
    from clawd.ids import Clock, TurnId
    from clawd.journal.base import Journal, Lease
    from clawd.journal.records import Outcome

log = logging.getLogger(__name__)

PATIENCE_S: Final = 1.0  # an answer that comes sooner needs neither typing nor a preview
TYPING_EVERY_S: Final = 4.5  # platforms show it for some five seconds
FIRST_TEXT_S: Final = 0.5  # an answer that ends so soon after it began, behind typing, needs no preview
CALL_TIMEOUT_S: Final = 30.0  # the final text waits for a preview that is on the wire
_REFRESH: Final = 2 / 3  # of a draft's life: shown anew before it vanishes
RETRY_NOTE_S: Final = 1.0  # while the journal can't commit

_NOT_SENT: Final = (
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryParked,
    DeliveryMoved,
    DeliveryRejected,
)
"""After these surely nothing is to be seen at the platform."""


class LiveView:
    """Shows turns in work on the bridges that can."""

    def __init__(
        self,
        journal: Journal,
        fanout: Fanout,
        clock: Clock,
        *,
        bridges: Callable[[], Mapping[str, Bridge]],
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.call_timeout_s = call_timeout_s
        self._journal = journal
        self._fanout = fanout
        self._clock = clock
        self._bridges = bridges
        self._followers: dict[TurnId, _Follower] = {}

    async def run(self) -> None:
        """Follow every turn, until cancelled."""
        async with asyncio.TaskGroup() as followers:
            with self._fanout.subscribe(size=10_000) as events:
                while True:
                    address, event = await events.get()
                    match event:
                        case Started(lease=lease):
                            if not address.pulls:
                                follower = _Follower(self, lease, self._followers.get(lease.turn))
                                self._followers[lease.turn] = follower
                                followers.create_task(follower.run(), name=f"preview:{lease.turn}")
                        case Ended(turn=turn, outcome=outcome):
                            if follower_of := self._followers.get(turn):
                                follower_of.end(outcome)
                        case Delta(turn=turn) | HandedBack(turn=turn) | Asked(turn=turn):
                            if follower_of := self._followers.get(turn):
                                follower_of.wake.set()
                        case _:
                            pass

    async def settle(self, turn: TurnId) -> None:
        """Return once no preview of this turn is on the wire any more."""
        if follower := self._followers.get(turn):
            follower.wake.set()
            await follower.over.wait()

    async def idle(self) -> None:
        """Return once nothing is shown any more; for the end, when turns are over or handed back."""
        while self._followers:
            await next(iter(self._followers.values())).over.wait()

    def forget(self, turn: TurnId, follower: _Follower) -> None:
        """A follower is done."""
        if self._followers.get(turn) is follower:
            del self._followers[turn]

    def text_of(self, lease: Lease) -> str | None:
        """Return what of a turn's visible text is still to be told, None when this lease is over."""
        live = self._fanout.live(lease.address)
        if live is None or (live.turn, live.claims) != (lease.turn, lease.claims):
            return None
        return live.text[lease.told :]

    def bridge_of(self, lease: Lease) -> Bridge | None:
        """Return the bridge of a turn's conversation, None when there is none."""
        return self._bridges().get(lease.address.bridge)

    @property
    def journal(self) -> Journal:
        """Where preview rows are reserved."""
        return self._journal

    @property
    def clock(self) -> Clock:
        """The clock of all followers."""
        return self._clock


class _Follower:
    """Shows one turn in one chat until the turn is no longer in work."""

    def __init__(self, view: LiveView, lease: Lease, before: _Follower | None) -> None:
        self._before = before  # of an earlier lease of the turn; it may have a request on the wire
        self._view = view
        self._lease = lease
        self._began = view.clock.monotonic()  # patience counts from here, not from when the journal was read
        self.wake = Wake()
        self.over = asyncio.Event()
        self._remote_id: str | None = None
        self._shown = ""
        self._row: int | None = None
        self._drafted_at: float | None = None
        self._drafting = False
        self._gave_up = False
        self._marked: Mark | None = None
        self._outcome: Outcome | None = None

    def end(self, outcome: Outcome) -> None:
        """The turn is over."""
        self._outcome = outcome
        self.wake.set()

    async def run(self) -> None:
        lease = self._lease
        with about(turn=lease.turn, bridge=lease.address.bridge, conversation=lease.address):
            await self._live()

    async def _live(self) -> None:
        try:
            if self._before is not None:
                self._before.wake.set()
                await self._before.over.wait()
                self._before = None
            if (bridge := await self._patiently()) is not None:
                self._bridge = bridge
                self._drafting = isinstance(bridge, DraftBridge) and bridge.drafts(self._lease.address)
                self._gave_up = not (self._drafting or self._previews_are_wanted())
                await self._resume()
                await self._follow()
        except JournalError as error:
            log.info("preview_ended", extra={"error": str(error)})
        finally:
            self._view.forget(self._lease.turn, self)
            self.over.set()
        if self._marked is not None and self._outcome is not None:  # the answer does not wait for it
            await self._mark("done" if self._outcome == "answered" else "failed")

    async def _patiently(self) -> Bridge | None:
        """Return the bridge when it is time to show something, None when the turn is over before.

        After a restart turns go on at once, and a bridge may still be in the making.
        """
        show_at = self._began + PATIENCE_S
        while self._text() is not None:
            left_s = show_at - self._view.clock.monotonic()
            if left_s <= 0 and (bridge := self._view.bridge_of(self._lease)) is not None:
                return bridge
            await self.wake.wait(left_s if left_s > 0 else PATIENCE_S)
        return None

    def _text(self) -> str | None:
        return self._view.text_of(self._lease)

    def _previews_are_wanted(self) -> bool:
        return isinstance(self._bridge, PreviewBridge) and self._bridge.previews(self._lease.address)

    async def _resume(self) -> None:
        if self._lease.claims > 1 and not self._gave_up and not self._drafting:
            opened = await self._view.journal.open_preview(self._lease)
            if opened is not None:
                self._row, self._remote_id = opened

    async def _follow(self) -> None:
        clock = self._view.clock
        next_typing = next_edit = self._began + PATIENCE_S
        heard = False
        await self._mark("working")
        while (text := self._text()) is not None:
            now = clock.monotonic()
            if text and not heard:
                heard = True
                if self._drafted_at is not None or next_typing > self._began + PATIENCE_S:
                    next_edit = max(next_edit, now + FIRST_TEXT_S)
            if now >= next_edit and (
                self._draft_is_due(text, now) if self._drafting else self._has_news(text)
            ):
                next_edit = now + await (self._draft(text) if self._drafting else self._show(text))
                continue
            shown = self._remote_id is not None or self._drafted_at is not None
            if not shown and now >= next_typing:
                await self._type()
                next_typing = now + TYPING_EVERY_S
                continue
            # With a preview on show the next text wakes us; without one the next typing is due.
            waits = [next_edit - now] if not self._gave_up and now < next_edit else []
            if self._drafting and self._drafted_at is not None:
                waits.append(self._drafted_at + self._draft_life_s - now)
            if not shown:
                waits.append(next_typing - now)
            await self.wake.wait(max(0.0, min(waits)) if waits else None)

    def _has_news(self, text: str) -> bool:
        return not self._gave_up and bool(text) and self._clip(text) != self._shown

    # --- drafts -----------------------------------------------------------------------------------------

    def _draft_is_due(self, text: str, now: float) -> bool:
        """Whether a draft has to be shown: the first, one with more text, or the same before it vanishes."""
        if self._drafted_at is None or now >= self._drafted_at + self._draft_life_s:
            return True
        return bool(text) and self._clip(text) != self._shown

    async def _draft(self, text: str) -> float:
        """Show the draft; return seconds until the next is allowed. Where it fails, previews take its place."""
        assert isinstance(self._bridge, DraftBridge)  # noqa: S101 - else not drafting
        clipped = self._clip(text)
        draft = Draft(
            address=self._lease.address, id=draft_id(self._lease.turn), text=clipped, turn=self._lease.turn
        )
        try:
            async with asyncio.timeout(self._view.call_timeout_s):
                await self._bridge.draft(draft)
        except Exception as error:  # noqa: BLE001 - a draft is lossy, whatever a bridge raises
            if isinstance(error, DeliveryRetryLater) and error.retry_after_s is not None:
                return error.retry_after_s
            log.info("draft_refused", extra={"error": str(error) or repr(error)})
            self._drafting, self._drafted_at = False, None
            self._gave_up = not self._previews_are_wanted()
            return 0.0
        self._shown, self._drafted_at = clipped, self._view.clock.monotonic()
        return self._bridge.capabilities.preview_interval_s

    @property
    def _draft_life_s(self) -> float:
        """How long until a draft has to be shown anew."""
        return self._bridge.draft_life_s * _REFRESH if isinstance(self._bridge, DraftBridge) else 0.0

    # --- beside the text --------------------------------------------------------------------------------

    async def _mark(self, mark: Mark) -> None:
        self._marked = mark
        bridge, lease = self._bridge, self._lease
        reference = lease.message.reference
        if reference is None or not (isinstance(bridge, MarkBridge) and bridge.marks(lease.address)):
            return
        await self._beside("mark_failed", lambda: bridge.mark(lease.address, reference, mark))

    async def _type(self) -> None:
        bridge, lease = self._bridge, self._lease
        if not (isinstance(bridge, ActivityBridge) and bridge.capabilities.typing):
            return
        await self._beside("typing_failed", lambda: bridge.working(lease.address))

    async def _beside(self, failure: str, call: Callable[[], Awaitable[None]]) -> None:
        """Wait for a call that shows no text; `failure` is the event that tells of one that went wrong."""
        try:
            async with asyncio.timeout(self._view.call_timeout_s):
                await call()
        except Exception as error:  # noqa: BLE001 - a bug there must not keep the answer from being sent
            log.warning(failure, extra={"error": repr(error)})

    def _clip(self, text: str) -> str:
        """Return what fits into the one message that a preview is.

        Only the head of the text is looked at: this runs for each piece that comes.
        """
        limit = self._bridge.capabilities.text_limit
        return split_reply(text.lstrip()[:limit], self._bridge.capabilities)[0]

    async def _show(self, text: str) -> float:
        """Send or edit the preview; return seconds until the next edit is allowed."""
        assert isinstance(self._bridge, PreviewBridge)  # noqa: S101 - else _gave_up is set
        if self._row is None:
            self._row = await self._view.journal.reserve_preview(self._lease)
            if self._row is None:
                self._gave_up = True
                return 0.0
        clipped = self._clip(text)
        first = self._remote_id is None
        preview = Preview(
            address=self._lease.address,
            text=clipped,
            remote_id=self._remote_id,
            reference=self._lease.message.reference,
        )
        try:
            async with asyncio.timeout(self._view.call_timeout_s):
                receipt = await self._bridge.preview(preview)
        except Exception as error:  # noqa: BLE001 - whatever a bridge raises, the preview may have arrived
            return await self._refused(error, first=first)
        self._shown = clipped
        if first:
            self._remote_id = receipt.remote_id
            # Shown, but nothing that could be edited: the answer goes out as a new message, marked.
            self._gave_up = receipt.remote_id is None
            await self._note(receipt.remote_id, unknown=receipt.remote_id is None)
        capabilities = self._bridge.capabilities
        group = self._lease.message.group
        return capabilities.group_preview_interval_s if group else capabilities.preview_interval_s

    async def _refused(self, error: Exception, *, first: bool) -> float:
        """A preview that fails is not tried again in this turn, except after a pause that was asked for."""
        log.info("preview_refused", extra={"error": str(error) or repr(error)})
        if first:
            await self._note(None, unknown=not isinstance(error, _NOT_SENT))
        if isinstance(error, DeliveryRetryLater) and error.retry_after_s is not None:
            if first:
                self._row = None  # deleted, as nothing was sent; a later try reserves another
            return error.retry_after_s
        self._gave_up = True
        return 0.0

    async def _note(self, remote_id: str | None, *, unknown: bool) -> None:
        """Note what became of the first send, waiting out a full disk: the answer's row hangs on it."""
        assert self._row is not None  # noqa: S101 - reserved before the first send
        while True:
            try:
                await self._view.journal.preview_sent(self._row, remote_id, unknown=unknown)
            except JournalUnavailable as error:
                log.warning("preview_paused", extra={"error": str(error)})
                await self._view.clock.sleep(RETRY_NOTE_S)
            else:
                return
