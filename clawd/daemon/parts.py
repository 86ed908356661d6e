"""Building the parts of a daemon from its configuration, each handed what it needs and nothing more."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd import __version__
from clawd.access import Access
from clawd.admission import Admission
from clawd.agent.files import Shelf
from clawd.agent.mailbox import Mailbox
from clawd.agent.offline import Outage
from clawd.agent.recorder import Recorder
from clawd.agent.run import TurnRunner
from clawd.agent.workers import Workers
from clawd.agent.workplace import Workplace
from clawd.alarms import Alarms
from clawd.alerts.calls import AlertCalls
from clawd.alerts.desk import Desk
from clawd.alerts.rows import AlertRows
from clawd.alerts.saying import AlertsInChat
from clawd.alerts.telling import Teller
from clawd.bridge import BridgeContext
from clawd.delivery.callbacks import NAME as API
from clawd.delivery.callbacks import Callbacks
from clawd.delivery.outbox import Outbox
from clawd.delivery.preview import LiveView
from clawd.delivery.split import split_reply
from clawd.fanout import Fanout
from clawd.gateway.auth import TokenStore
from clawd.gateway.off import NoGateway
from clawd.inbox import DurableInbox
from clawd.journal.arrivals import Arrivals
from clawd.journal.breakers import BreakerRow
from clawd.journal.endpoints import EndpointRows
from clawd.journal.spend_direct import DirectSpend
from clawd.models.budgets import BudgetLedger, day_limits
from clawd.observability.counts import Counts
from clawd.queries import Queries
from clawd.supervisor import Supervisor
from clawd.tracing.service import Traces

from .accounts import Accounts
from .chat_status import StatusInChat
from .keeper import Keeper
from .minds import Minds
from .situation import Situation
from .states import KeptStates
from .vitals import VitalsReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.bridge import Bridge, BridgeConfig
    from clawd.config.loader import LoadedConfig
    from clawd.gateway.app import Gateway
    from clawd.ids import Clock
    from clawd.journal.opening import OpenJournal
    from clawd.messages import Address
    from clawd.observability.logging import Logs
    from clawd.observability.redact import Redactor
    from clawd.plugins import Plugins

_HELD_TOLD: Final = 1000
"""Turns that wait, of which those who watch are told that the journal can't be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that a running daemon consists of."""

    situation: Situation
    environ: Mapping[str, str]
    plugins: Plugins
    clock: Clock
    state_dir: Path
    socket: Path
    logs: Logs
    opened: OpenJournal
    access: Access
    fanout: Fanout
    accounts: Accounts
    minds: Minds
    mailbox: Mailbox
    outage: Outage
    admission: Admission
    inbox: DurableInbox
    workers: Workers
    supervisor: Supervisor
    callbacks: Callbacks
    alert_calls: AlertCalls
    alerts: Desk
    outbox: Outbox
    live_view: LiveView
    alarms: Alarms
    counts: Counts
    traces: Traces
    tokens: TokenStore
    gateway: Gateway | NoGateway
    keeper: Keeper

    async def configure(self) -> None:
        """Bring every part but the models in line with the configuration in force."""
        config = self.situation.loaded.config
        self.counts.expect(bridges=config.bridges, tools=self.minds.brain().tools.names)
        self.access.configure(config.access, config.bridges)
        self.admission.configure(config.access)
        self.callbacks.configure(config.gateway, config.network)
        self.alert_calls.configure(config.alerts.targets, config.network)
        self.alerts.configure(config.alerts, tuple(config.bridges))
        await self.traces.configure(config.logging.otel, config.network)
        self.outbox.configure(config.delivery, config.bridges)
        # With the network that applies inside, a change of it counts as a change of the bridge.
        # With the standalone one, what is for bridges waits for the next daemon.
        bridges = {} if self.situation.standalone else config.bridges
        self.supervisor.configure(
            {
                name: section.model_copy(update={"network": section.network or config.network})
                for name, section in bridges.items()
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What the other parts stand on."""

    situation: Situation
    plugins: Plugins
    clock: Clock
    opened: OpenJournal
    fanout: Fanout
    mailbox: Mailbox
    outage: Outage
    alarms: Alarms
    counts: Counts
    callbacks: Callbacks
    alert_calls: AlertCalls
    redactor: Redactor


def build(
    loaded: LoadedConfig,
    opened: OpenJournal,
    logs: Logs,
    *,
    environ: Mapping[str, str],
    plugins: Plugins,
    clock: Clock,
    state_dir: Path,
    socket: Path,
    standalone: bool = False,
) -> Parts:
    """Return the parts, connected but not yet running."""
    counts = Counts()
    opened.store.count(counts)
    ground = _Ground(
        situation=Situation(loaded=loaded, started_at=clock.now(), standalone=standalone),
        plugins=plugins,
        clock=clock,
        opened=opened,
        fanout=Fanout(),
        mailbox=Mailbox(),
        outage=Outage(opened.journal, clock),
        alarms=Alarms(counts),
        counts=counts,
        callbacks=Callbacks(EndpointRows(opened.store), clock, version=__version__, chance=random.random),
        alert_calls=AlertCalls(clock, version=__version__),
        redactor=logs.redactor,
    )
    minds, accounts = _thinking(ground, environ, state_dir)
    access = Access(opened.store, clock)
    admission, inbox = _door(ground, access, minds, accounts, desk=lambda: alerts)
    supervisor, live_view, outbox = _delivery(ground, inbox, state_dir)
    alerts = _alerts(ground, minds, accounts, access, supervisor, state_dir)
    tokens = TokenStore(state_dir, clock=clock, store=opened.store)
    return Parts(
        situation=ground.situation,
        environ=environ,
        plugins=plugins,
        clock=clock,
        state_dir=state_dir,
        socket=socket,
        logs=logs,
        opened=opened,
        access=access,
        fanout=ground.fanout,
        accounts=accounts,
        minds=minds,
        mailbox=ground.mailbox,
        outage=ground.outage,
        admission=admission,
        inbox=inbox,
        workers=_workers(ground, minds, supervisor),
        supervisor=supervisor,
        callbacks=ground.callbacks,
        alert_calls=ground.alert_calls,
        alerts=alerts,
        outbox=outbox,
        live_view=live_view,
        alarms=ground.alarms,
        counts=ground.counts,
        traces=_traces(ground, minds, environ),
        tokens=tokens,
        gateway=_gateway(ground, inbox, minds, accounts, supervisor, tokens, alerts),
        keeper=Keeper(opened.keeping, clock),
    )


def _thinking(ground: _Ground, environ: Mapping[str, str], state_dir: Path) -> tuple[Minds, Accounts]:
    config, clock, opened = ground.situation.loaded.config, ground.clock, ground.opened
    states = KeptStates(BreakerRow(opened.store), clock)
    direct = DirectSpend(opened.store, clock)
    ledger = BudgetLedger(config.budgets, day_limits(config.models), clock, direct=direct.count)
    minds = Minds(
        ground.plugins,
        environ,
        clock,
        state_dir=state_dir,
        states=states,
        ledger=ledger,
        redactor=ground.redactor,
        files=opened.artifacts.of(""),
    )
    return minds, Accounts(opened.spending, ledger, clock)


def _door(
    ground: _Ground, access: Access, minds: Minds, accounts: Accounts, *, desk: Callable[[], Desk]
) -> tuple[Admission, DurableInbox]:
    status = StatusInChat(
        ground.situation, ground.opened.views, minds, pause=lambda: ground.opened.store.pause
    )
    alerts_text = AlertsInChat(
        desk,
        ground.clock,
        models=lambda: [info.name for info in minds.infos()],
        bridges=lambda: ground.situation.loaded.config.bridges,
    )
    admission = Admission(
        ground.opened.journal,
        access,
        Queries(status=status.text, usage=accounts.text, alerts=alerts_text, prefixes=minds.prefixes),
        ground.clock,
        prefixes=minds.prefixes,
        app_events=ground.callbacks.events,
    )
    inbox = DurableInbox(
        ground.opened.journal,
        admission,
        ground.fanout,
        on_stop=ground.mailbox.stop,
        on_message=ground.mailbox.arrived,
        alarms=ground.alarms,
        counts=ground.counts,
    )
    return admission, inbox


def _delivery(ground: _Ground, inbox: DurableInbox, state_dir: Path) -> tuple[Supervisor, LiveView, Outbox]:
    journal, clock = ground.opened.journal, ground.clock

    def create(name: str, section: BridgeConfig) -> Bridge:
        network = section.network or ground.situation.loaded.config.network
        context = BridgeContext(
            name=name,
            network=network,
            clock=clock,
            version=__version__,
            artifacts=ground.opened.artifacts.of(f"bridge:{name}"),
            state_dir=state_dir / "bridges" / name,
        )
        return ground.plugins.bridges[section.type].create(context, section)

    def connected(bridge: str) -> None:
        outbox.reconnected(bridge)
        ground.outage.hint()

    supervisor = Supervisor(inbox, clock, create=create, on_connected=connected, clean=ground.redactor.clean)
    live_view = LiveView(journal, ground.fanout, clock, bridges=supervisor.bridges)
    # One terminal's chat calls nobody: what is due to programs and alert URLs waits for the next daemon.
    callers = () if ground.situation.standalone else (ground.callbacks, ground.alert_calls)
    ours: Mapping[str, Bridge] = {each.name: each for each in callers}
    outbox = Outbox(
        journal,
        clock,
        bridges=lambda: {**supervisor.bridges(), **ours},
        connected=lambda: {*supervisor.connected(), *ours},
        refused=supervisor.refused,
        settle=live_view.settle,
        alarms=ground.alarms,
        counts=ground.counts,
        clean=ground.redactor.clean,
    )
    supervisor.close_when(outbox.idle)
    return supervisor, live_view, outbox


def _alerts(
    ground: _Ground,
    minds: Minds,
    accounts: Accounts,
    access: Access,
    supervisor: Supervisor,
    state_dir: Path,
) -> Desk:
    opened, clock = ground.opened, ground.clock
    vitals = VitalsReader(
        ground.counts,
        minds,
        accounts.ledger,
        opened.views,
        supervisor,
        clock,
        state_dir=state_dir,
        redactor=ground.redactor,
        pause=lambda: opened.store.pause,
        situation=ground.situation,
    )

    teller = Teller(
        opened.journal,
        access,
        bridges=supervisor.bridges,
        find=opened.views.chat_address,
        failing=Arrivals(opened.store).failing,
        clock=clock,
        statuses=supervisor.statuses,
    )
    desk = Desk(AlertRows(opened.store, clock), teller, clock, read=vitals.read)
    ground.counts.changed = desk.stir
    supervisor.watch(desk.stir)
    return desk


def _traces(ground: _Ground, minds: Minds, environ: Mapping[str, str]) -> Traces:
    traces = Traces(
        ground.opened.ended,
        ground.opened.views.story,
        ground.clock,
        environ=environ,
        redactor=ground.redactor,
        models=minds.infos,
        tools=lambda: minds.brain().tools.names,
        counts=ground.counts,
        chance=random.random,
    )
    ground.counts.ended = traces.stir
    return traces


def _workers(ground: _Ground, minds: Minds, supervisor: Supervisor) -> Workers:
    journal = ground.opened.journal

    def split(address: Address, text: str) -> Sequence[str]:
        bridge = supervisor.bridges().get(address.bridge)
        return split_reply(text, bridge.capabilities) if bridge is not None else [text]

    recorder = Recorder(
        journal,
        ground.fanout,
        ground.clock,
        split=split,
        alarms=ground.alarms,
        connected=lambda: {bridge.name for bridge in supervisor.statuses() if bridge.state == "connected"},
        app_events=ground.callbacks.events,
        counts=ground.counts,
    )
    workplace = Workplace(
        recorder=recorder,
        clock=ground.clock,
        shelf=Shelf(ground.opened.artifacts.of, supervisor.bridges, ground.clock),
        outage=ground.outage,
        history=ground.opened.search,
    )
    situation = ground.situation
    return Workers(
        journal,
        ground.fanout,
        TurnRunner(journal, ground.fanout, ground.mailbox, workplace, brain=minds.brain),
        ground.clock,
        concurrency=lambda: situation.loaded.config.agent.concurrency,
        queued=lambda: ground.opened.views.turns(state="queued", limit=_HELD_TOLD),
        # Without its bridge nothing fetches a message's files, or knows how long its replies may be; and who sent
        # one to the gateway asks there for its answer.
        without=lambda: (*situation.loaded.config.bridges, API) if situation.standalone else (),
    )


def _gateway(
    ground: _Ground,
    inbox: DurableInbox,
    minds: Minds,
    accounts: Accounts,
    supervisor: Supervisor,
    tokens: TokenStore,
    alerts: Desk,
) -> Gateway | NoGateway:
    if ground.situation.loaded.config.gateway.port is False:
        return NoGateway(tokens)
    from .front import gateway_of  # its fifty modules are two megabytes that a daemon without it goes without

    return gateway_of(
        ground.situation,
        ground.opened,
        inbox=inbox,
        minds=minds,
        accounts=accounts,
        supervisor=supervisor,
        tokens=tokens,
        fanout=ground.fanout,
        clock=ground.clock,
        counts=ground.counts,
        firing=alerts.firing,
    )
