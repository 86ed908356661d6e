"""Keeps bridges, and services that others can do without, running: whatever ends one, it is started again.

Each runs inside the same boundary, so none can take another, or the daemon, down with it. What ended a bridge also
becomes its next state.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from clawd.bridge import Bridge, BridgeState, BridgeStatus, ClosableBridge, HttpBridge, ProbeBridge
from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryUnauthorized,
    JournalBroken,
    NotFound,
)
from clawd.memory import end_if_exhausted
from clawd.messages import BridgeCapabilities
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from clawd.bridge import BridgeConfig, Inbox
    from clawd.ids import Clock
    from clawd.messages import OutboundMessage, Receipt

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 60.0
AUTH_FIRST_DELAY_S: Final = 5.0


async def keep(
    name: str, service: Callable[[], Awaitable[None]], clock: Clock, *, broke: Callable[[str], None]
) -> None:
    """Run a service until it ends by itself or is cancelled; after a bug in it, run it again.

    Args:
        name: In the log, and given to `broke`.
        service: Runs it from where it is, as often as it is called.
        clock: For the wait before it is run again, which grows to a minute.
        broke: Counts a bug.

    Raises:
        JournalBroken: the daemon itself can't go on.
    """
    failures = 0
    while True:
        began = clock.monotonic()
        try:
            return await service()
        except JournalBroken:
            raise
        except Exception as error:  # the supervised task's boundary: nobody else needs this service
            end_if_exhausted(error)
            log.exception("service_broke", extra={"service": name})
            broke(name)
        failures = 1 if clock.monotonic() - began >= MAX_DELAY_S else min(failures + 1, 20)
        await clock.sleep(_delay_s(failures))


def _delay_s(failures: int) -> float:
    ceiling_s = min(FIRST_DELAY_S * 2.0 ** (failures - 1), MAX_DELAY_S)
    return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, nothing secret


class _Supervised:
    """One bridge, its state and the task that runs it."""

    def __init__(self, bridge: Bridge, config: BridgeConfig, clock: Clock) -> None:
        self.bridge = bridge
        self.config = config
        self.state: BridgeState = "starting"
        self.sends = False
        self.since = clock.now()
        self.error = ""
        self.remedy = ""
        self.failures = 0
        self.task: asyncio.Task[None] | None = None
        self.refused = asyncio.Event()  # a send found the credentials refused

    def status(self) -> BridgeStatus:
        return BridgeStatus(
            name=self.bridge.name,
            type=self.config.type,
            state=self.state,
            since=self.since,
            error=self.error,
            remedy=self.remedy,
        )


class _Unmade:
    """Stands for a bridge that could not be made, until its configuration changes; shows why."""

    capabilities = BridgeCapabilities(text_limit=4096)

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self._error = error

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        raise self._unmade()

    async def send(self, message: OutboundMessage) -> Receipt:
        raise DeliveryUnauthorized(self.name, "it could not be made")

    async def probe(self) -> str:
        raise self._unmade()

    def _unmade(self) -> BridgeAuthError:
        return BridgeAuthError(self.name, f"it could not be made: {self._error}")


class Supervisor:
    """Runs the configured bridges, and swaps single ones when the configuration changes."""

    def __init__(
        self,
        inbox: Inbox,
        clock: Clock,
        *,
        create: Callable[[str, BridgeConfig], Bridge],
        on_connected: Callable[[str], None],
        clean: Callable[[str], str] = str,
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._create = create
        self._on_connected = on_connected
        self._clean = clean  # takes out secrets: platforms quote what they were sent, and a state is shown
        self._bridges: dict[str, _Supervised] = {}
        self._wanted: Mapping[str, BridgeConfig] = {}
        self._changed = asyncio.Event()
        self._idle: Callable[[str], Awaitable[None]] | None = None
        self._moved: Callable[[], None] | None = None

    def close_when(self, idle: Callable[[str], Awaitable[None]]) -> None:
        """Close a bridge that was replaced only when `idle(name)` has returned: sends may be under way."""
        self._idle = idle

    def watch(self, moved: Callable[[], None]) -> None:
        """Call `moved` whenever a bridge's state changes; it must be quick and not raise."""
        self._moved = moved

    def configure(self, wanted: Mapping[str, BridgeConfig]) -> None:
        """Run these bridges from now on: changed ones restart alone, removed ones end."""
        self._wanted = {name: section for name, section in wanted.items() if section.enabled}
        self._changed.set()

    async def prepare(self) -> None:
        """Make the bridges that are wanted and missing, so that those that are called can be mounted."""
        for name, section in self._wanted.items():
            if name not in self._bridges:
                # In a thread: a platform's library may take half a second to import.
                bridge = await asyncio.to_thread(self._make, name, section)
                self._bridges[name] = _Supervised(bridge, section, self._clock)

    async def run(self) -> None:
        """Run the bridges until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                await self._swap(tasks)
                await self._changed.wait()

    async def _swap(self, tasks: asyncio.TaskGroup) -> None:
        stale = [n for n, held in self._bridges.items() if self._wanted.get(n) != held.config]
        for name in stale:
            held = self._bridges.pop(name)
            if held.task is not None:
                held.task.cancel()
                await asyncio.wait({held.task})
            tasks.create_task(self._close(held.bridge), name=f"close:{name}")
        await self.prepare()
        for name, held in self._bridges.items():
            if held.task is None:
                held.task = tasks.create_task(self._supervise(held), name=f"bridge:{name}")

    def _make(self, name: str, section: BridgeConfig) -> Bridge:
        try:
            return self._create(name, section)
        except Exception as error:  # part of the task boundary: the other bridges go on
            log.exception("bridge_not_made", extra={"bridge": name})
            return _Unmade(name, error)

    async def close(self) -> None:
        """Free what the bridges hold; call it after the last send."""
        for held in self._bridges.values():
            if isinstance(held.bridge, ClosableBridge):
                await held.bridge.close()

    async def _close(self, bridge: Bridge) -> None:
        if self._idle is not None:
            await self._idle(bridge.name)
        if isinstance(bridge, ClosableBridge):
            await bridge.close()

    # --- what others ask --------------------------------------------------------------------------------

    def bridges(self) -> Mapping[str, Bridge]:
        """Return the bridges by name."""
        return {name: held.bridge for name, held in self._bridges.items()}

    def http_bridges(self) -> Mapping[str, HttpBridge]:
        """Return the bridges that the gateway mounts, by name."""
        return {n: h.bridge for n, h in self._bridges.items() if isinstance(h.bridge, HttpBridge)}

    def connected(self) -> Collection[str]:
        """Return the names of the bridges that can send now.

        A bridge that lost its connection still tries: a platform may take sends while polling fails. One
        that no longer receives because the daemon ends sends on until that is over.
        """
        return {n for n, h in self._bridges.items() if h.sends}

    def wanted(self) -> Collection[str]:
        """Return the names of the bridges that are to run, also while one is made anew."""
        return self._wanted.keys()

    def statuses(self) -> Sequence[BridgeStatus]:
        """Return every bridge's state, in the order of the configuration."""
        return [held.status() for held in self._bridges.values()]

    def refused(self, name: str, error: BridgeError) -> None:
        """A send found the credentials refused: connect again before anything else is sent."""
        if held := self._bridges.get(name):
            held.error = self._clean(str(error))
            held.refused.set()

    async def probe(self, name: str) -> str:
        """Return one line that proves the bridge's connection.

        Raises:
            NotFound: no such bridge.
            BridgeError: the platform did not answer well.
        """
        held = self._bridges.get(name)
        if held is None:
            known = ", ".join(self._bridges) or "none"
            raise NotFound(f"no bridge is called {name}", why=f"configured and enabled: {known}")
        if isinstance(held.bridge, ProbeBridge):
            try:
                return await held.bridge.probe()
            except BridgeError as error:
                error.what, error.why = self._clean(error.what), self._clean(error.why)
                raise
        if isinstance(held.bridge, HttpBridge):
            return f"{name} has nothing to connect to; it waits for calls"
        if held.state != "connected":  # it has no test of its own, so its state has to tell
            raise BridgeNotReady(name, held.error or held.state)
        return f"{name} is connected; it has no test of its own"

    # --- one bridge -------------------------------------------------------------------------------------

    async def _supervise(self, held: _Supervised) -> None:
        """The other task boundary: whatever a bridge raises becomes a state and a delay."""
        try:
            while True:
                self._enter(held, "connecting")
                delay_s = await self._run_once(held)
                await self._clock.sleep(delay_s)
        finally:
            self._enter(held, "stopped")

    async def _run_once(self, held: _Supervised) -> float:
        """Run a bridge until it ends; return how long to wait before it is run again."""
        name = held.bridge.name
        try:
            await self._run_until_refused(held)
        except BridgeAuthError as error:
            self._fail(held, "bad_credentials", error)
            if error.retry_after_s is not None:
                return error.retry_after_s
            return min(AUTH_FIRST_DELAY_S * 2.0 ** (held.failures - 1), MAX_DELAY_S)
        except BridgeNotReady as error:
            self._fail(held, "transient_disconnect", error)
            if error.retry_after_s is not None:
                return error.retry_after_s
        except JournalBroken:
            raise
        except Exception as error:  # the other task boundary: a bug in one bridge leaves the others alone
            end_if_exhausted(error)
            log.exception("bridge_broke", extra={"bridge": name})
            self._fail(held, "transient_disconnect", error)
        else:
            return 0.0  # `run` returns only when a send was refused: connect again at once
        return _delay_s(held.failures)

    async def _run_until_refused(self, held: _Supervised) -> None:
        held.refused.clear()

        def ready() -> None:
            held.failures = 0
            if held.state != "connected":
                held.error = held.remedy = ""
                self._enter(held, "connected")
                self._on_connected(held.bridge.name)

        try:
            await until(held.refused, held.bridge.run(self._inbox, ready))
        except Interrupted:
            return
        # Counts as a failure, so that a bridge that only ever returns does not spin.
        raise BridgeNotReady(held.bridge.name, "the bridge stopped receiving by itself")

    def _fail(self, held: _Supervised, state: BridgeState, error: Exception) -> None:
        held.failures = min(held.failures + 1, 20)
        held.error = error.what if isinstance(error, BridgeError) else f"{type(error).__name__}: {error}"
        if isinstance(error, BridgeError):
            held.error += f" ({error.why})" if error.why else ""
            held.remedy = error.remedy
        held.error = self._clean(held.error)
        if held.failures == 1 or held.state != state:
            log.warning(
                "bridge_down", extra={"bridge": held.bridge.name, "state": state, "error": held.error}
            )
        self._enter(held, state)

    def _enter(self, held: _Supervised, state: BridgeState) -> None:
        if held.state == state:
            return
        # A retry of a connection that was lost is no news: the state people see stays until it works.
        if state == "connecting" and held.failures:
            return
        held.state, held.since = state, self._clock.now()
        if state != "stopped":
            held.sends = state in ("connected", "transient_disconnect")
        log.info("bridge_state", extra={"bridge": held.bridge.name, "state": state})
        if self._moved is not None:
            self._moved()
