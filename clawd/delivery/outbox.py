"""The outbox's service: takes committed deliveries and brings them to their bridges.

A delivery is committed as `sending` before its request leaves and marked after the answer came, so a
crash leaves at most what was on the wire in doubt. One address at a time, in order; addresses in parallel.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from clawd.alarms import GivenUp
from clawd.delivery.files import sendable
from clawd.errors import (
    BridgeError,
    DeliveryMoved,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    Fenced,
    JournalUnavailable,
)
from clawd.ids import to_ms
from clawd.journal.deliveries import Dead, DeliveryOutcome, Held, OutboxRow, Parked, RetryAt, Sent
from clawd.memory import end_if_exhausted
from clawd.observability.about import about
from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from clawd.alarms import Alarms
    from clawd.bridge import Bridge
    from clawd.config.schema import BridgeConfig, DeliveryConfig
    from clawd.ids import Clock, TurnId
    from clawd.journal.base import Journal
    from clawd.messages import OutboundMessage

log = logging.getLogger(__name__)

RETRY_TAKE_S: Final = 1.0  # while the journal can't commit
_LATE_S: Final = 0.01  # behind its greatest age a delivery is looked at once more, and given up
MAX_REFUSALS: Final = 3
"""How often a receiver may say no before it is believed."""


class Outbox:
    """Sends what is ready; the journal keeps every state."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        bridges: Callable[[], Mapping[str, Bridge]],
        connected: Callable[[], Collection[str]],
        refused: Callable[[str, BridgeError], None],
        settle: Callable[[TurnId], Awaitable[None]],
        alarms: Alarms,
        chance: Callable[[], float] = random.random,
        counts: Counts | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        """Create the service.

        Args:
            journal: Where deliveries wait.
            clock: For ages.
            bridges: All bridges by name.
            connected: Names of the bridges that can send now; the others' deliveries wait.
            refused: Told when a bridge's credentials were refused in a send.
            settle: Returns once no preview of that turn is on the wire any more.
            alarms: Told of deliveries that were given up, and of those that an owner must decide on.
            chance: Draws numbers from 0 to 1, for the jitter of retries.
            counts: Counts what became of each attempt.
            clean: Takes secrets out of what an error says: receivers quote the call, and it is kept and shown.
        """
        self._journal = journal
        self._clock = clock
        self._bridges = bridges
        self._connected = connected
        self._refused = refused
        self._settle = settle
        self._alarms = alarms
        self._chance = chance
        self._counts = counts or Counts()
        self._clean = clean
        self._config: DeliveryConfig | None = None
        self._policies: Mapping[str, BridgeConfig] = {}
        self._sending: dict[asyncio.Task[None], str] = {}  # to the bridge's name
        self._cut_off: dict[int, str] = {}  # rows that failed without a word when to try again, to the bridge
        self._back: set[int] = set()  # those of them whose bridge is connected again
        self._draining = False
        self._pings: list[asyncio.Future[None]] = []

    def configure(self, config: DeliveryConfig, bridges: Mapping[str, BridgeConfig]) -> None:
        """Use these settings from now on."""
        self._config = config
        self._policies = bridges
        self._journal.outgoing.set()

    def holding(self) -> Collection[str]:
        """Return the names of the bridges that never repeat what may have arrived."""
        return {name for name, section in self._policies.items() if section.on_ambiguous == "hold"}

    async def run(self) -> None:
        """Send for ever; after `drain`, return once nothing is due and nothing is on the wire.

        Cancelled, it leaves what is on the wire as `sending`: the next start treats it as unknown.
        """
        async with asyncio.TaskGroup() as sends:
            while True:
                self._answer_pings()
                taken, delay_s = await self._take_into(sends)
                if self._draining and not taken and not self._sending:
                    return
                await self._journal.outgoing.wait(delay_s)

    def drain(self) -> None:
        """Let `run` return when nothing that can be sent now is left."""
        self._draining = True
        self._journal.outgoing.set()

    def reconnected(self, bridge: str) -> None:
        """Try at once what failed while this bridge was down: new replies stand in line behind it."""
        back = {row for row, name in self._cut_off.items() if name == bridge}
        self._back |= back
        for row in back:  # also those that were erased meanwhile
            del self._cut_off[row]
        self._journal.outgoing.set()

    async def idle(self, bridge: str) -> None:
        """Return once nothing that is on the wire now goes through this bridge."""
        if tasks := [task for task, name in self._sending.items() if name == bridge]:
            await asyncio.wait(tasks)

    async def ping(self) -> None:
        """Return once the dispatching loop has come round: the watchdog's proof of life."""
        future = asyncio.get_running_loop().create_future()
        self._pings.append(future)
        self._journal.outgoing.set()
        await future

    def _answer_pings(self) -> None:
        for future in self._pings:
            if not future.done():
                future.set_result(None)
        self._pings.clear()

    @property
    def _settings(self) -> DeliveryConfig:
        if self._config is None:
            raise RuntimeError("the outbox was started before it was configured")
        return self._config

    async def _take_into(self, sends: asyncio.TaskGroup) -> tuple[int, float | None]:
        """Start what is due; return how many, and when to look again without being woken."""
        free = self._settings.concurrency - len(self._sending)
        if free <= 0:
            return 0, None  # a send that ends wakes us
        try:
            if self._back:
                rows = frozenset(self._back)
                await self._journal.outbox_hurry(rows)
                self._back -= rows
            taken = await self._journal.outbox_take(free, self._connected())
        except JournalUnavailable as error:
            log.warning("delivery_paused", extra={"error": str(error)})
            return 0, RETRY_TAKE_S
        for row in taken.rows:
            self._cut_off.pop(row.row, None)
            task = sends.create_task(self._deliver(row), name=row.message.id)
            self._sending[task] = row.message.address.bridge
            task.add_done_callback(self._over)
        return len(taken.rows), taken.next_due_s

    async def _deliver(self, row: OutboxRow) -> None:
        message = row.message
        address = message.address
        with about(turn=message.turn, delivery=message.id, bridge=address.bridge, conversation=address):
            await self._bring(row)

    async def _bring(self, row: OutboxRow) -> None:
        outcome = await self._try(row)
        try:
            await self._commit(lambda: self._journal.outbox_mark(row.row, outcome))
        except Fenced as error:
            log.warning("receipt_fenced", extra={"error": str(error)})
            return
        self._count(row.message.address.bridge, outcome)
        if (isinstance(outcome, Dead) and not outcome.unreachable) or isinstance(outcome, Held):
            message = row.message
            self._alarms.given_up(
                GivenUp(
                    id=message.id,
                    bridge=message.address.bridge,
                    conversation=message.address,
                    why=outcome.why,
                    alert=message.kind == "alert",
                )
            )

    def _count(self, bridge: str, outcome: DeliveryOutcome) -> None:
        if isinstance(outcome, RetryAt) and not outcome.tried:
            return  # it was put off, not tried
        known = bridge if bridge in self._bridges() else "other"  # an old row's may be gone
        self._counts.deliveries.add(known, _word(outcome))

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._journal.outgoing.set()

    async def _try(self, row: OutboxRow) -> DeliveryOutcome:
        """Return what becomes of a delivery: at the latest when it is too old, it is given up."""
        outcome = await self._try_once(row)
        if isinstance(outcome, RetryAt):
            left_s = self._settings.max_age_s - self._age_s(row)
            outcome = replace(outcome, delay_s=min(outcome.delay_s, max(left_s, 0.0) + _LATE_S))
            delay_s = round(outcome.delay_s, 3)
            log.info(
                "delivery_put_off", extra={"attempt": row.attempt, "delay_s": delay_s, "why": outcome.why}
            )
            return outcome
        if isinstance(outcome, Dead) and row.message.callback is not None:
            return replace(outcome, alone=True)
        return outcome

    def _age_s(self, row: OutboxRow) -> float:
        return (to_ms(self._clock.now()) - row.first_try_at_ms) / 1000

    async def _try_once(self, row: OutboxRow) -> DeliveryOutcome:
        message = row.message
        if self._age_s(row) > self._settings.max_age_s:
            return Dead(why=f"not delivered within {self._settings.max_age_s:g} s")
        bridge = self._bridges().get(message.address.bridge)
        if bridge is None:
            return RetryAt(delay_s=60, why=f"no bridge {message.address.bridge} is configured")
        if message.turn is not None:
            await self._settle(message.turn)
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                receipt = await bridge.send(self._worded(message, bridge))
        except DeliveryRetryLater as error:
            return self._later(row, bridge, error)
        except DeliveryUnauthorized as error:
            self._refused(message.address.bridge, error)
            return RetryAt(delay_s=1, why=self._why(error))
        except DeliveryParked as error:
            log.info("delivery_parked", extra={"why": self._why(error)})
            return Parked(why=self._why(error))
        except DeliveryMoved as error:
            moved = replace(message.address, chat=error.chat)
            await self._commit(lambda: self._journal.move_address(message.address, moved))
            return RetryAt(delay_s=0, why=self._why(error))
        except DeliveryRejected as error:
            log.info("delivery_dead", extra={"error": str(error)})
            return Dead(why=self._why(error), unreachable=error.unreachable)
        except Exception as error:  # noqa: BLE001 - whatever a bridge raises, the message may have arrived
            end_if_exhausted(error)
            return self._ambiguous(row, bridge, error)
        log.info("delivery_sent", extra={"attempt": row.attempt, "remote_id": receipt.remote_id})
        return Sent(remote_id=receipt.remote_id)

    def _why(self, error: Exception) -> str:
        return self._clean(str(error)) or type(error).__name__

    def _ambiguous(self, row: OutboxRow, bridge: Bridge, error: Exception) -> DeliveryOutcome:
        why = self._why(error)
        log.warning("delivery_unknown", extra={"error": why})
        if row.message.address.bridge in self.holding():
            return Held(why=why)
        return RetryAt(delay_s=self._delay(bridge, row), why=why, repeated=True)

    def _later(self, row: OutboxRow, bridge: Bridge, error: DeliveryRetryLater) -> DeliveryOutcome:
        if error.refused and row.refusals + 1 >= MAX_REFUSALS:
            log.info("delivery_dead", extra={"error": str(error)})
            return Dead(why=f"refused {MAX_REFUSALS} times: {self._why(error)}")
        delay_s = error.retry_after_s
        return RetryAt(
            delay_s=self._delay(bridge, row) if delay_s is None else delay_s,
            why=self._why(error),
            refused=error.refused,
            tried=error.tried,
        )

    def _delay(self, bridge: Bridge, row: OutboxRow) -> float:
        self._cut_off[row.row] = row.message.address.bridge
        schedule, jitter = bridge.capabilities.retry_schedule_s, bridge.capabilities.retry_jitter
        delay_s = schedule[min(row.attempt, len(schedule)) - 1]
        return delay_s * (1 + jitter * (2 * self._chance() - 1)) if jitter else delay_s

    def _worded(self, message: OutboundMessage, bridge: Bridge) -> OutboundMessage:
        """Put the repeat mark in front where an earlier attempt may have arrived as another message.

        An edit replaces the same message however often it is sent, so it needs no mark; where the platform
        takes no edit any more, its bridge has one for the message that it sends instead. Files that the bridge
        can't send are named in the text.
        """
        message = sendable(message, bridge.capabilities)
        if not message.repeated or not bridge.capabilities.marks_repeats:
            return message
        if message.edit_of:
            return replace(message, repeat_mark=self._settings.repeat_mark)
        return replace(message, text=f"{self._settings.repeat_mark}\n{message.text}")

    async def _commit(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write, waiting out a full or locked disk: a receipt must not be forgotten."""
        while True:
            try:
                await write()
            except JournalUnavailable as error:
                log.warning("receipt_paused", extra={"error": str(error)})
                await self._clock.sleep(RETRY_TAKE_S)
            else:
                return


def _word(outcome: DeliveryOutcome) -> str:
    """Return what became of an attempt, as it is counted."""
    match outcome:
        case Sent():
            return "sent"
        case RetryAt():
            return "retry"
        case Parked():
            return "parked"
        case Held():
            return "unknown"
        case Dead():
            return "dead"
        case _:
            assert_never(outcome)
