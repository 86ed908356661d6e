"""The daemon's gateway, over the parts that it shows to HTTP clients. Imported only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.gateway.app import Gateway
from clawd.gateway.health import Readiness
from clawd.gateway.openai_models import Offered
from clawd.gateway.surroundings import Surroundings
from clawd.models.windows import DEFAULT_ROUTE

from .meters import Meters

if TYPE_CHECKING:
    from clawd.fanout import Fanout
    from clawd.gateway.auth import TokenStore
    from clawd.ids import Clock, TurnId
    from clawd.inbox import DurableInbox
    from clawd.journal.opening import OpenJournal
    from clawd.messages import Address
    from clawd.observability.counts import Counts
    from clawd.supervisor import Supervisor

    from .accounts import Accounts
    from .meters import Firing
    from .minds import Minds
    from .situation import Situation


def gateway_of(
    situation: Situation,
    opened: OpenJournal,
    *,
    inbox: DurableInbox,
    minds: Minds,
    accounts: Accounts,
    supervisor: Supervisor,
    tokens: TokenStore,
    fanout: Fanout,
    clock: Clock,
    counts: Counts,
    firing: Firing,
) -> Gateway:
    """Return the gateway, not yet started."""
    meters = Meters(
        minds,
        accounts.ledger,
        opened,
        supervisor,
        counts,
        firing=firing,
        config_in_force=lambda: not situation.config_error,
        last_end_clean=lambda: situation.last_end is None or situation.last_end.how == "clean",
    )
    around = Surroundings(
        inbox=inbox,
        views=opened.views,
        fanout=fanout,
        readiness=lambda: _readiness(situation, opened, supervisor),
        metrics=meters.read,
        bridges=supervisor.http_bridges,
        tokens=tokens,
        clock=clock,
        erase=lambda address, only: _erase(opened, address, only),
        models=minds.names,
        offered=lambda: _offered(minds),
        artifacts=opened.artifacts,
        counts=counts,
    )
    return Gateway(situation.loaded.config.gateway, around)


async def _erase(opened: OpenJournal, address: Address, only: TurnId) -> None:
    await opened.admin.delete(address, only=only)
    await opened.keeping.scrub_if_wanted()


def _offered(minds: Minds) -> Offered:
    brain = minds.brain()
    return Offered(router=brain.router, models=brain.models, routes=(DEFAULT_ROUTE, *brain.routes))


def _readiness(situation: Situation, opened: OpenJournal, supervisor: Supervisor) -> Readiness:
    return Readiness(
        replayed=situation.replayed,
        journal_writable=not opened.store.pause,
        draining=situation.draining,
        bridges=supervisor.statuses(),
    )
