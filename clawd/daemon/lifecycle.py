"""The daemon's life: open, recover, run, drain, close. docs/shutdown.md says what is promised of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

from clawd.config.watch import watch
from clawd.control.application import RemoteControl
from clawd.control.server import ControlServer
from clawd.control.services import ControlServices
from clawd.errors import ClawdError, ConfigError
from clawd.gateway.remote import TOKEN
from clawd.notify import Notifier, watchdog_interval
from clawd.paths import config_candidates
from clawd.supervisor import keep
from clawd.watchdog import Watchdog

from . import leftovers
from .loop_errors import LoopErrors
from .operations import DaemonOperations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from clawd.config.stamps import Stamp

    from .parts import Parts

log = logging.getLogger(__name__)

_LIFELINE: Final = 0
"""A standalone daemon's standard input: it ends when whoever started the daemon is gone."""
_TRACES_S: Final = 1.0
"""For the last spans; what a collector has not taken by then is sent after the next start."""


class StopRequest:
    """The wish to end: the first signal drains, the second one ends at once."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self.hurry = asyncio.Event()

    def signal(self) -> None:
        """A SIGTERM or SIGINT arrived."""
        if self.wanted.is_set():
            self.hurry.set()
        self.wanted.set()

    def at_once(self) -> None:
        """End without draining: what is under way goes on with the next start."""
        self.hurry.set()
        self.wanted.set()

    async def wait_for(self, task: asyncio.Task[None], timeout_s: float) -> None:
        """Return when `task` is done, the time is over, or somebody is in a hurry."""
        async with asyncio.TaskGroup() as tasks:
            hurry = tasks.create_task(self.hurry.wait())
            await asyncio.wait({task, hurry}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()


class Lifecycle:
    """One run of a daemon over its parts."""

    def __init__(self, parts: Parts, *, announce: Callable[[Parts], None]) -> None:
        self._parts = parts
        self._announce = announce
        self._stop = StopRequest()
        self._notify = Notifier.from_environ(parts.environ)

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            ClawdError: a part that the daemon can't do without failed.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(LoopErrors(self._parts.clock))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.signal)
        if self._parts.situation.standalone:
            loop.add_reader(_LIFELINE, self._look_at_lifeline)
        try:
            await self._run()
        except BaseExceptionGroup as group:
            raise _telling(group) from group

    def _look_at_lifeline(self) -> None:
        if not os.read(_LIFELINE, 4096):
            asyncio.get_running_loop().remove_reader(_LIFELINE)
            self._stop.at_once()

    async def _run(self) -> None:
        parts = self._parts
        async with AsyncExitStack() as resources:
            resources.push_async_callback(parts.minds.close)
            resources.push_async_callback(parts.supervisor.close)
            await parts.access.load()
            async with asyncio.TaskGroup() as lasting:
                guard = lasting.create_task(parts.opened.store.broken(), name="journal-guard")
                index = lasting.create_task(parts.opened.search.run(), name="search-index")
                operations = DaemonOperations(parts, self._stop.wanted, lasting)
                services = self._services(operations)
                control = ControlServer(parts.socket, services)
                parts.gateway.mount(RemoteControl(services, lambda request: f"token.{request[TOKEN].name}"))
                async with control:
                    await self._start(lasting)
                    await self._work(operations)
                await parts.minds.close()
                guard.cancel()
                index.cancel()
        log.info("stopped")

    def _services(self, operations: DaemonOperations) -> ControlServices:
        parts = self._parts
        return ControlServices(
            inbox=parts.inbox,
            journal=parts.opened.journal,
            views=parts.opened.views,
            admin=parts.opened.admin,
            keeping=parts.opened.keeping,
            fanout=parts.fanout,
            operations=operations,
            alerts=parts.alerts,
            clock=parts.clock,
            names=parts.minds.names,
            prefixes=parts.minds.prefixes,
            artifacts=parts.opened.artifacts,
        )

    async def _start(self, lasting: asyncio.TaskGroup) -> None:
        """Take up what an earlier run left, before anything new comes in."""
        parts = self._parts
        await leftovers.end_those_of(parts.opened.journal.instance)
        await parts.minds.configure(parts.situation.loaded, lasting)
        await parts.callbacks.load()
        await parts.configure()
        await parts.alerts.load()
        await parts.supervisor.prepare()
        left = await parts.opened.journal.recover(parts.outbox.holding())
        await parts.accounts.open()
        parts.situation.replayed = True
        if left:
            log.info("recovered", extra={"open_turns": left})

    async def _work(self, operations: DaemonOperations) -> None:
        """Run until stopped; then intake ends first, turns second, deliveries last."""
        parts, shutdown = self._parts, self._parts.situation.loaded.config.shutdown
        watchdog = Watchdog(self._notify, watchdog_interval(parts.environ), parts.clock)
        proofs = {
            "writer": parts.opened.store.ping,
            "workers": parts.workers.ping,
            "outbox": parts.outbox.ping,
        }
        async with asyncio.TaskGroup() as delivery:
            outbox = delivery.create_task(parts.outbox.run(), name="outbox")
            view = delivery.create_task(parts.live_view.run(), name="live-view")
            keeper = delivery.create_task(parts.keeper.run(), name="keeper")
            traces = delivery.create_task(
                keep("traces", parts.traces.run, parts.clock, broke=parts.counts.broken.add), name="traces"
            )
            async with parts.gateway:
                async with asyncio.TaskGroup() as work:
                    workers = work.create_task(parts.workers.run(), name="workers")
                    feeding = work.create_task(watchdog.run(proofs), name="watchdog")
                    outage = work.create_task(parts.outage.run(), name="outage")
                    await self._take_in(operations)
                    parts.workers.stop_claiming()
                    await self._stop.wait_for(workers, shutdown.grace_s)
                    workers.cancel()
                    feeding.cancel()
                    outage.cancel()
                # An answer whose preview is on the wire is no delivery yet: without its id it would double.
                previews = delivery.create_task(parts.live_view.idle(), name="previews")
                await self._stop.wait_for(previews, shutdown.delivery_s)
                parts.outbox.drain()
                await self._stop.wait_for(outbox, shutdown.delivery_s)
                parts.traces.drain()
                await self._stop.wait_for(traces, _TRACES_S)
            traces.cancel()
            outbox.cancel()
            previews.cancel()
            view.cancel()
            keeper.cancel()

    async def _take_in(self, operations: DaemonOperations) -> None:
        """Receive from every side until stopped."""
        parts = self._parts
        async with asyncio.TaskGroup() as intake:
            tasks = [
                intake.create_task(parts.supervisor.run(), name="supervisor"),
                intake.create_task(self._watch_config(operations), name="config-watch"),
            ]
            if not parts.situation.standalone:  # no bridge runs: it would say that all of them are well again
                watching = keep("alerts", parts.alerts.run, parts.clock, broke=parts.counts.broken.add)
                tasks.append(intake.create_task(watching, name="alerts"))
            parts.situation.serving = True
            self._notify.ready(
                f"{len(parts.situation.loaded.config.bridges)} bridges, gateway {parts.gateway.url or 'off'}"
            )
            log.info("ready", extra={"socket": str(parts.socket), "gateway": parts.gateway.url})
            self._announce(parts)
            await self._stop.wanted.wait()
            log.info("stopping")
            parts.situation.draining = True
            self._notify.stopping()
            for task in tasks:
                task.cancel()

    async def _watch_config(self, operations: DaemonOperations) -> None:
        async def changed() -> Mapping[Path, Stamp]:
            with suppress(
                ConfigError
            ):  # logged and shown in the status; the old configuration stays in force
                await operations.reload()
            situation = self._parts.situation
            return {**situation.loaded.stamps, **situation.refused}

        def files() -> tuple[Path, ...]:
            situation = self._parts.situation
            if situation.loaded.path is None:  # one may appear
                return (*config_candidates(self._parts.environ), *situation.refused)
            return (*situation.loaded.files, *situation.refused)

        await watch(files, changed, since=self._parts.situation.loaded.stamps)


def _telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error of a group that says most: ours before foreign ones."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, ClawdError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
