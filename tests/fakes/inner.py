"""Everything between the bridges and the model, in this process: real journal, real parts, doubles outside.

In a test: `async with Inner(state_dir, model=ScriptedModel("hi")) as inner: await inner.say("hello")`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, cast

from clawd.access import Access
from clawd.admission import Admission
from clawd.agent.brain import Brain
from clawd.agent.files import Shelf
from clawd.agent.mailbox import Mailbox
from clawd.agent.offline import Outage
from clawd.agent.recorder import Recorder
from clawd.agent.run import TurnRunner
from clawd.agent.workers import Workers
from clawd.agent.workplace import Workplace
from clawd.alarms import Alarms, GivenUp
from clawd.alerts.saying import AlertsInChat
from clawd.bridge import BridgeConfig
from clawd.config.schema import (
    AccessConfig,
    AgentConfig,
    BudgetsConfig,
    DeliveryConfig,
    GatewayConfig,
    JournalConfig,
    NetworkConfig,
    ToolsConfig,
)
from clawd.daemon.accounts import Accounts
from clawd.delivery.callbacks import Callbacks
from clawd.delivery.outbox import Outbox
from clawd.delivery.preview import LiveView
from clawd.delivery.split import split_reply
from clawd.fanout import Event, Fanout
from clawd.gateway.waits import Waits
from clawd.ids import SystemClock
from clawd.inbox import DurableInbox
from clawd.journal.endpoints import EndpointRows
from clawd.journal.opening import OpenJournal, open_journal
from clawd.messages import Accepted, AcceptResult, Address, InboundMessage, MessageId, Sender, Text
from clawd.models.base import Reserve
from clawd.models.budgets import BudgetLedger
from clawd.models.routing import prefixes_of
from clawd.models.windows import Windows
from clawd.observability.counts import Counts
from clawd.queries import Queries
from clawd.supervisor import Supervisor
from clawd.testing import RecordingBridge, ScriptedModel
from clawd.texts import say
from clawd.tools.registry import Toolbox
from tests.fakes.alert_desk import FakeDesk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from pathlib import Path

    from clawd.config.schema import RouteConfig
    from clawd.ids import Clock, TurnId
    from clawd.journal.reading import TurnView
    from clawd.models.base import ModelEvent, ModelProvider, ModelRequest, RequestTags, RoutedProvider
    from clawd.models.ledger import Room
    from clawd.tools.base import Tool

PATIENCE_S = 30.0
"""How long a test waits for what must come; never how long it takes."""

_ids = itertools.count(1)


class Routed:
    """One provider, or models by their names, as a router: the pinned one, else the first of the route."""

    name = "router"

    def __init__(
        self,
        *providers: ModelProvider,
        usd: float | None = None,
        input_usd: float = 0.0,
        **routes: tuple[str, ...],
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._routes = routes
        self._usd = usd
        self._input_usd = input_usd

    def _first(self, request: ModelRequest) -> ModelProvider:
        names = [request.pin, *self._routes.get(request.route, ()), *self._providers]
        return next(self._providers[name] for name in names if name in self._providers)

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        return self._first(request).stream(request)

    def reserve(self, request: ModelRequest) -> Reserve:
        return Reserve(model=self._first(request).name, usd=self._usd, input_usd=self._input_usd)


def _routed(model: ModelProvider | RoutedProvider) -> RoutedProvider:
    return cast("RoutedProvider", model) if hasattr(model, "reserve") else Routed(model)


class Inner:
    """The inside of a daemon. Sections are those of the configuration; what is not given is wide open."""

    def __init__(
        self,
        state_dir: Path,
        *,
        model: ModelProvider | RoutedProvider | None = None,
        bridges: Sequence[RecordingBridge] = (),
        tools: Sequence[Tool] = (),
        clock: Clock | None = None,
        agent: AgentConfig | None = None,
        access: AccessConfig | None = None,
        delivery: DeliveryConfig | None = None,
        asking: ToolsConfig | None = None,
        windows: Windows | None = None,
        sections: dict[str, BridgeConfig] | None = None,
        models: Sequence[str] = ("scripted", "other"),
        routes: dict[str, RouteConfig] | None = None,
        notice: Callable[[RequestTags], Room | None] | None = None,
        max_queue: int = 10_000,
        call_timeout_s: float = 30.0,
        gateway: GatewayConfig | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.state_dir = state_dir
        self.model = model if model is not None else ScriptedModel()
        self.bridge = bridges[0] if bridges else RecordingBridge("chat")
        self._bridges = {bridge.name: bridge for bridge in bridges or (self.bridge,)}
        self.clock = clock or SystemClock()
        self.tools = tuple(tools)
        self.agent = agent or AgentConfig()
        self.asking = asking or ToolsConfig()
        self.windows = windows or Windows({}, {"default": ()})
        self.access_config = access or AccessConfig(default="allow", rate="100000/s")
        self.delivery = delivery or DeliveryConfig()
        self.sections = sections or {name: BridgeConfig(type="recording") for name in self._bridges}
        self.models = tuple(models)
        self.routes = routes or {}
        self.notice = notice
        self._call_timeout_s = call_timeout_s
        self.gateway = gateway or GatewayConfig()
        self._chance = chance
        self._journal_config = JournalConfig(max_queue=max_queue)
        self._is_impatient = False
        self._running: AsyncExitStack | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.hear: list[GivenUp] = []
        """What owners would have been told."""
        self.desk = FakeDesk()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the journal, recover, and set all parts to work, as the daemon does."""
        self.opened: OpenJournal = await open_journal(self.state_dir, self._journal_config, self.clock)
        self._is_impatient = False
        self.journal, self.views, self.admin = self.opened.journal, self.opened.views, self.opened.admin
        self.opened.store._reader._limit_s = PATIENCE_S  # a busy computer is no slow question
        self._build()
        await self.access.load()
        await self.callbacks.load()
        self.configure()
        await self.journal.recover(self.outbox.holding())
        await self.supervisor.prepare()  # a turn in work is shown only by a bridge that is there
        self._running = AsyncExitStack()
        self._running.enter_context(self.alarms.listening(lambda event: self.hear.append(event)))
        tasks = await self._running.enter_async_context(asyncio.TaskGroup())
        parts = {
            "supervisor": self.supervisor.run,
            "outbox": self.outbox.run,
            "live-view": self.live_view.run,
            "workers": self.workers.run,
            "outage": self.outage.run,
        }
        self._tasks = [tasks.create_task(run(), name=name) for name, run in parts.items()]
        while self.supervisor.bridges().keys() != self.sections.keys():
            await asyncio.sleep(0)

    def _build(self) -> None:
        self.counts = Counts()
        self.opened.store.count(self.counts)
        self.fanout, self.mailbox, self.alarms = Fanout(), Mailbox(), Alarms(self.counts)
        self.access = Access(self.opened.store, self.clock)
        self.callbacks = Callbacks(
            EndpointRows(self.opened.store), self.clock, version="1", chance=self._chance
        )
        self.ledger = BudgetLedger(BudgetsConfig(), {}, self.clock)
        queries = Queries(
            status=self._status_text,
            usage=Accounts(self.opened.spending, self.ledger, self.clock).text,
            alerts=AlertsInChat(
                lambda: self.desk, self.clock, models=lambda: ("main",), bridges=lambda: ("telegram", "chat")
            ),
            prefixes=lambda: prefixes_of(self.routes),
        )
        self.admission = Admission(
            self.journal,
            self.access,
            queries,
            self.clock,
            prefixes=lambda: prefixes_of(self.routes),
            app_events=self.callbacks.events,
        )
        self.inbox = DurableInbox(
            self.journal,
            self.admission,
            self.fanout,
            on_stop=lambda turn: self.mailbox.stop(turn),
            on_message=lambda message: self.mailbox.arrived(message),
            alarms=self.alarms,
            counts=self.counts,
        )
        self.supervisor = Supervisor(
            self.inbox,
            self.clock,
            create=lambda name, _section: self._bridges[name],
            on_connected=lambda name: self.outbox.reconnected(name),
        )
        self.live_view = LiveView(
            self.journal,
            self.fanout,
            self.clock,
            bridges=self.supervisor.bridges,
            call_timeout_s=self._call_timeout_s,
        )
        self.outbox = Outbox(
            self.journal,
            self.clock,
            bridges=lambda: {**self.supervisor.bridges(), "api": self.callbacks},
            connected=lambda: {*self.supervisor.connected(), "api"},
            refused=self.supervisor.refused,
            settle=self.live_view.settle,
            alarms=self.alarms,
            chance=self._chance,
            counts=self.counts,
        )
        self.outage = Outage(self.journal, self.clock)
        self.recorder = Recorder(
            self.journal,
            self.fanout,
            self.clock,
            split=self._split,
            alarms=self.alarms,
            connected=self.supervisor.connected,
            app_events=self.callbacks.events,
            counts=self.counts,
        )
        self.shelf = Shelf(self.opened.artifacts.of, self.supervisor.bridges, self.clock)
        workplace = Workplace(
            recorder=self.recorder,
            clock=self.clock,
            shelf=self.shelf,
            outage=self.outage,
            history=self.opened.search,
        )
        self.runner = TurnRunner(self.journal, self.fanout, self.mailbox, workplace, brain=self._brain)
        self.workers = Workers(
            self.journal,
            self.fanout,
            self.runner,
            self.clock,
            concurrency=lambda: self.agent.concurrency,
            queued=lambda: self.views.turns(state="queued", limit=1000),
        )

    def configure(self) -> None:
        """Bring the parts in line with the sections, as a reload does."""
        self.access.configure(self.access_config, self.sections)
        self.admission.configure(self.access_config)
        self.callbacks.configure(self.gateway, NetworkConfig())
        self.outbox.configure(self.delivery, self.sections)
        self.supervisor.configure(self.sections)

    def _brain(self) -> Brain:
        return Brain(
            agent=self.agent,
            router=_routed(self.model),
            models=self.models,
            routes=self.routes,
            tools=Toolbox(self.tools),
            asking=self.asking,
            windows=self.windows,
            notice=self.notice,
        )

    def _split(self, address: Address, text: str) -> Sequence[str]:
        return split_reply(text, self._bridges[address.bridge].capabilities)

    async def _status_text(self, language: str | None) -> str:
        stats = await self.views.stats()
        return say(
            "status", language, version="1", uptime="-", model="m", queued=stats.queued, running=stats.running
        )

    async def stop(self) -> None:
        """End as after SIGTERM without any grace: nothing comes in, turns are handed back, deliveries go out."""
        supervisor, outbox, view, workers, _outage = self._tasks
        supervisor.cancel()
        await asyncio.wait({supervisor})
        self.workers.stop_claiming()
        workers.cancel()
        await asyncio.wait({workers})
        async with asyncio.timeout(PATIENCE_S):
            await self.live_view.idle()
        self.outbox.drain()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({outbox})
        view.cancel()
        await self.crash()

    async def crash(self) -> None:
        """End with nothing more written, as a kill would."""
        await self.opened.close()
        for task in self._tasks:
            task.cancel()
        if self._running is not None:
            running, self._running = self._running, None
            await running.aclose()

    async def restart(self) -> None:
        """Crash and start again on the same files."""
        await self.crash()
        await self.start()

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Let no commit through inside the `async with` block: somebody else holds the database.

        From the first one on locks are waited for only briefly. Before, they are waited for as long as a daemon does:
        on a busy machine a checkpoint may take a while, and a pause after it would last for ever by a clock that stands.
        """
        if not self._is_impatient:
            self._is_impatient = True
            await self.opened.store.write(lambda db: db.execute("PRAGMA busy_timeout = 50").fetchall())
        other = sqlite3.connect(self.opened.store.path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        finally:
            other.close()

    # --- people -----------------------------------------------------------------------------------------

    async def accept(self, text: str = "hi", **fields: Any) -> AcceptResult:
        """Bring one message in; fields as `message`."""
        (result,) = await self.inbox.accept([message(text, **{"bridge": self.bridge.name, **fields})])
        return result

    async def say(self, text: str = "hi", **fields: Any) -> TurnId:
        """Bring one message in that must make a turn; return that."""
        result = await self.accept(text, **fields)
        assert isinstance(result, Accepted), result
        return result.turn

    async def ended(self, turn: TurnId) -> TurnView:
        """Return the turn once it is over."""
        view = await Waits(self.views, self.fanout).turn(await self.views.turn(turn), PATIENCE_S)
        assert view.finished_at is not None, view
        return view

    async def ask(self, text: str = "hi", **fields: Any) -> TurnView:
        """Bring one message in and return its turn once that is over."""
        return await self.ended(await self.say(text, **fields))

    async def delivered(self, *texts: str, chat: str | None = None) -> None:
        """Return once exactly these texts stand in the chat and are marked as sent."""
        await self.bridge.until(lambda: self.bridge.texts(chat) == list(texts), PATIENCE_S)
        await self.settled()

    async def settled(self) -> None:
        """Return once no turn and no delivery is open."""
        async with asyncio.timeout(PATIENCE_S):
            while (stats := await self.views.stats()).deliveries_open or stats.queued or stats.running:
                await asyncio.sleep(0.01)

    async def shown(self, text: str, chat: str = "1") -> None:
        """Return once a turn in work there shows this text."""
        address = message(bridge=self.bridge.name, chat=chat).address
        async with asyncio.timeout(PATIENCE_S):
            while (live := self.fanout.live(address)) is None or live.text != text:
                await asyncio.sleep(0.005)

    async def settled_deliveries(self) -> None:
        """Return once no delivery is open; turns may be."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.views.stats()).deliveries_open:
                await asyncio.sleep(0.01)

    async def counted(self, done: Callable[[Counts], bool]) -> None:
        """Return as soon as what was counted is so."""
        changed = asyncio.Event()
        self.counts.changed = changed.set
        async with asyncio.timeout(PATIENCE_S):
            while not done(self.counts):
                changed.clear()
                await changed.wait()

    async def seen(self, kind: type[Event], count: int = 1) -> Event:
        """Return the nth event of this kind from now on, in any conversation."""
        with self.fanout.subscribe() as events:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    _, event = await events.get()
                    count -= isinstance(event, kind)
                    if not count:
                        return event


def message(
    text: str = "hi",
    *,
    bridge: str = "chat",
    chat: str = "1",
    sender: str = "42",
    language: str | None = None,
    id: str | None = None,  # noqa: A002 - the field's name
    **fields: Any,
) -> InboundMessage:
    """Return a message as a bridge makes it; each call has a new id unless one is given."""
    return InboundMessage(
        id=MessageId(id or f"{bridge}:{next(_ids)}"),
        address=Address(bridge=bridge, account="bot", chat=chat),
        sender=Sender(id=sender, name="Ann", language=language),
        parts=(Text(text),),
        sent_at=SystemClock().now(),
        reference="ref",
        **fields,
    )
