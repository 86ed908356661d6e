"""What the daemon does at the control socket's request: `clawd.control.protocol.Operations`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clawd import __version__
from clawd.alerts.saying import firing
from clawd.bridge import SampleBridge
from clawd.config.loader import load_config
from clawd.control.protocol import (
    PROTOCOL_VERSION,
    BridgeTest,
    Lags,
    PairingStatus,
    PrincipalStatus,
    ReloadReport,
    Status,
    TokenRequest,
    TokenStatus,
    Totals,
)
from clawd.daemon.knocking import try_bridge
from clawd.errors import ConfigError
from clawd.gateway.tls import check_files
from clawd.journal.items import Push
from clawd.messages import MessageId
from clawd.observability.counts import LAG_S
from clawd.paths import config_path
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from clawd.access import Principal
    from clawd.bridge import BridgeStatus
    from clawd.config.loader import LoadedConfig
    from clawd.config.schema import Config
    from clawd.config.stamps import Stamp
    from clawd.control.protocol import UsageReport
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.token import Token
    from clawd.journal.spend import UsageBy
    from clawd.models.info import ModelInfo
    from clawd.observability.counts import Counts

    from .parts import Parts

log = logging.getLogger(__name__)


class DaemonOperations:
    """Operations over the daemon's parts. `tasks` owns what new models do between requests."""

    def __init__(self, parts: Parts, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._stop = stop
        self._tasks = tasks
        self._reloading = asyncio.Lock()

    async def status(self) -> Status:
        """Return the daemon at a glance."""
        parts, situation = self._parts, self._parts.situation
        untold = await parts.alerts.untold()
        return Status(
            version=__version__,
            protocol=PROTOCOL_VERSION,
            pid=os.getpid(),
            started_at=situation.started_at,
            uptime_s=round(time.monotonic() - situation.began, 3),
            state="draining" if situation.draining else "ready" if situation.serving else "starting",
            rss_bytes=rss_bytes(),
            state_dir=str(parts.state_dir),
            config_path=str(situation.loaded.path) if situation.loaded.path else None,
            config_error=situation.config_error,
            socket=str(parts.socket),
            gateway=parts.gateway.url,
            gateway_moved_from=parts.gateway.moved_from,
            queue=await parts.opened.views.stats(),
            bridges=parts.supervisor.statuses(),
            models=self.models(),
            route=parts.minds.default_route(),
            journal_pause=parts.opened.store.pause,
            offline_since=parts.outage.since,
            switches=parts.minds.traffic.switches(),
            today=await parts.accounts.today(),
            budgets=parts.accounts.budgets(),
            alerts=firing(parts.alerts.report().alerts),
            untold=untold.trouble,
            nobody_told=untold.nobody,
            totals=_totals(parts.counts),
            lags=Lags(bounds_s=LAG_S, counts=tuple(parts.counts.lag_s.counts)),
            last_end=situation.last_end,
        )

    def stop(self) -> None:
        """Begin to drain."""
        self._stop.set()

    # --- configuration ----------------------------------------------------------------------------------

    async def reload(self) -> ReloadReport:
        """Load and swap the configuration; raises ConfigError, and the old one stays in force."""
        async with self._reloading:
            parts, situation = self._parts, self._parts.situation
            try:
                # A file that was missing at the start may exist by now.
                path = situation.loaded.path or config_path(None, parts.environ)
                loaded = await asyncio.to_thread(load_config, path, parts.environ, parts.plugins)
            except ConfigError as error:
                self._refuse(error, error.stamps)
                raise
            old, new = situation.loaded.config, loaded.config
            changed, restart = differences(old, new)
            # What can't change in a running daemon keeps its old value, so that it is reported every time.
            fixed: dict[str, object] = {"host": old.gateway.host, "port": old.gateway.port}
            if (old.gateway.tls is None) != (new.gateway.tls is None):
                fixed["tls"] = old.gateway.tls
            gateway = new.gateway.model_copy(update=fixed)
            kept = new.model_copy(
                update={
                    "state_dir": old.state_dir,
                    "profile": old.profile,
                    "journal": old.journal,
                    "gateway": gateway,
                }
            )
            parts.logs.redactor.add(loaded.secrets)
            try:
                if old.gateway.tls is None and new.gateway.tls is not None:
                    await check_files(new.gateway.tls)  # else the restart that turns TLS on would fail
                loaded = replace(loaded, config=kept)
                await self._swap_what_may_fail(loaded, changed)
            except ConfigError as error:
                self._refuse(error, loaded.stamps)
                raise
            situation.loaded = loaded
            situation.config_error = ""
            situation.refused = {}
            parts.logs.apply(kept.logging)
            await parts.configure()
            parts.outage.hint()  # who waits for the network may be answered by other models now
            log.info("config_loaded", extra={"changed": changed, "restart_needed": restart})
            return ReloadReport(changed=changed, restart_needed=restart)

    async def _swap_what_may_fail(self, loaded: LoadedConfig, changed: Sequence[str]) -> None:
        """Set up models and gateway; raises ConfigError for what only shows when it is used."""
        parts = self._parts
        if {"models", "routes", "breaker", "network"} & set(changed):
            await parts.minds.configure(loaded, self._tasks, parts.workers.tasks() | parts.gateway.tasks())
        else:
            await parts.minds.adjust(loaded)
        await parts.gateway.configure(loaded.config.gateway)

    def _refuse(self, error: ConfigError, stamps: Mapping[Path, Stamp]) -> None:
        """Let the status and the log say why the old configuration stays."""
        situation = self._parts.situation
        situation.config_error = "; ".join(f"{p.place}: {p.message}" for p in error.problems)
        situation.refused = stamps
        log.error("config_refused", extra={"problems": situation.config_error})
        self._parts.alerts.stir()

    # --- bridges and models -----------------------------------------------------------------------------

    def bridges(self) -> Sequence[BridgeStatus]:
        """Return every bridge's state."""
        return self._parts.supervisor.statuses()

    async def test_bridge(self, name: str) -> BridgeTest:
        """Return what proves a bridge's connection, step by step where it is called; raises NotFound, BridgeError."""
        bridge = self._parts.supervisor.bridges().get(name)
        if bridge is not None and isinstance(bridge, SampleBridge):
            return await try_bridge(bridge, self._parts.gateway.url)
        return BridgeTest(detail=await self._parts.supervisor.probe(name))

    def models(self) -> Sequence[ModelInfo]:
        """Return every model with its counts."""
        return self._parts.minds.infos()

    async def test_model(self, name: str) -> str:
        """Return one line that proves that a model answers; raises NotFound, ModelError."""
        return await self._parts.minds.probe(name)

    async def usage(self, *, days: int, by: UsageBy) -> UsageReport:
        """Return what models were used for, and how the budgets stand."""
        return await self._parts.accounts.report(days=days, by=by)

    # --- people -----------------------------------------------------------------------------------------

    def pairings(self) -> Sequence[PairingStatus]:
        """Return the strangers who wait."""
        return [
            PairingStatus(code=p.code, bridge=p.bridge, sender=p.sender, name=p.name, expires_at=p.expires_at)
            for p in self._parts.access.pairings()
        ]

    def principals(self) -> Sequence[PrincipalStatus]:
        """Return everybody who was let in."""
        return [_principal(p) for p in self._parts.access.principals()]

    async def approve(self, code: str, *, owner: bool) -> PrincipalStatus:
        """Let a stranger in, and tell them; raises NotFound."""
        principal, pairing = await self._parts.access.approve(code, owner=owner)
        key = MessageId(f"paired:{pairing.code}")
        push = Push(id=key, address=pairing.address, text=say("paired", pairing.language))
        await self._parts.opened.journal.accept([push])
        return _principal(principal)

    async def revoke(self, principal: str) -> None:
        """Turn a principal into a stranger again; raises NotFound, NotPossible."""
        await self._parts.access.revoke(principal)

    def tokens(self) -> Sequence[TokenStatus]:
        """Return the gateway's tokens without their values."""
        store, now = self._parts.tokens, self._parts.clock.now()
        return [_token(token, store, now) for token in store.all()]

    async def create_token(self, wanted: TokenRequest) -> str:
        """Return a new token; raises NotPossible."""
        return await self._parts.tokens.create(
            wanted.name,
            scopes=wanted.scopes,
            conversations=wanted.conversations,
            expires_at=wanted.expires_at,
            rate=wanted.rate,
            day=wanted.day,
        )

    async def revoke_token(self, name: str) -> None:
        """Let a token count no more; raises NotFound, NotPossible."""
        await self._parts.tokens.revoke(name)


def _totals(counts: Counts) -> Totals:
    turns, deliveries = counts.turns.numbers(), counts.deliveries.numbers()
    return Totals(
        messages=sum(counts.received.numbers().values()),
        turns=sum(turns.values()),
        turns_failed=sum(count for (outcome,), count in turns.items() if outcome in ("failed", "dead")),
        deliveries=sum(count for (_, outcome), count in deliveries.items() if outcome == "sent"),
        given_up=sum(counts.given_up.numbers().values()),
    )


def _token(token: Token, store: TokenStore, now: datetime) -> TokenStatus:
    return TokenStatus(
        name=token.name,
        scopes=tuple(sorted(token.scopes)),
        conversations=token.conversations,
        expires_at=token.expires_at,
        expired=token.is_expired(now),
        rate=token.rate,
        day=token.day,
        messages_today=store.use.messages_today(token.name),
        created_at=token.created_at,
        last_used_at=store.use.last(token.name),
        source=token.source,
    )


def differences(old: Config, new: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sections that differ, and the keys that only a restart can change."""
    changed = tuple(name for name in type(new).model_fields if getattr(old, name) != getattr(new, name))
    restart = (
        *(name for name in ("state_dir", "profile", "journal") if name in changed),
        *(f"gateway.{k}" for k in ("host", "port") if getattr(old.gateway, k) != getattr(new.gateway, k)),
    )
    if (old.gateway.tls is None) != (new.gateway.tls is None):  # other files are read at once
        restart = (*restart, "gateway.tls")
    return changed, restart


def rss_bytes() -> int:
    """Return this process's resident memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _principal(principal: Principal) -> PrincipalStatus:
    return PrincipalStatus(
        principal=principal.id,
        right=principal.right,
        name=principal.name,
        since=principal.since,
        source=principal.source,
    )
