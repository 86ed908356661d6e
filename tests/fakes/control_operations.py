"""The daemon's operations as a ControlServer sees them, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.alerts.saying import firing
from clawd.bridge import BridgeStatus
from clawd.control.protocol import (
    PROTOCOL_VERSION,
    BridgeTest,
    PairingStatus,
    PrincipalStatus,
    ReloadReport,
    Status,
    TokenRequest,
    TokenStatus,
    UsageReport,
)
from clawd.errors import NotFound, NotPossible
from clawd.journal.spend import total_of
from clawd.models.info import ModelInfo
from tests.fakes.control_journal import AT, Views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.journal.spend import UsageBy
    from tests.fakes.control_services import World


@dataclass(slots=True)
class Operations:
    world: World

    async def status(self) -> Status:
        return Status(
            version="0.1.0",
            protocol=PROTOCOL_VERSION,
            pid=self.world.pid,
            started_at=AT,
            uptime_s=90061.0,
            state="draining" if self.world.state == "draining" else "ready",
            journal_pause=self.world.journal_pause,
            rss_bytes=44 * 1024 * 1024,
            state_dir="/var/lib/clawd",
            config_path="/etc/clawd/config.yaml",
            config_error="",
            socket="/run/clawd/clawd.sock",
            gateway="http://127.0.0.1:7373",
            queue=await Views(self.world).stats(),
            bridges=self.bridges(),
            models=self.models(),
            route=("demo",),
            switches=self.world.switches,
            today=total_of(self.world.used),
            budgets=self.world.budgets,
            alerts=firing(self.world.desk.alerts),
            untold=tuple(self.world.desk.trouble),
            nobody_told=(await self.world.desk.reach()).nobody,
            totals=self.world.totals,
            lags=self.world.lags,
        )

    def stop(self) -> None:
        self.world.stopped.set()

    async def reload(self) -> ReloadReport:
        if self.world.reload_failure is not None:
            raise self.world.reload_failure
        return ReloadReport(changed=("agent",), restart_needed=("gateway.port",))

    def bridges(self) -> Sequence[BridgeStatus]:
        return [
            BridgeStatus(name="telegram", type="telegram", state="connected", since=AT),
            BridgeStatus(
                name="hook", type="webhook", state="bad_credentials", since=AT, error="401", remedy="new key"
            ),
        ]

    async def test_bridge(self, name: str) -> BridgeTest:
        if name == "hook":
            return self.world.bridge_test
        if name != "telegram":
            raise NotFound(f"there is no bridge {name!r}")
        return BridgeTest(detail="@clawd_bot (12345)")

    async def usage(self, *, days: int, by: UsageBy) -> UsageReport:
        self.world.calls.append(("usage", str(days), by))
        total = total_of(self.world.used)
        return UsageReport(
            days=days,
            last_day=f"{AT:%Y-%m-%d}",
            by=by,
            rows=self.world.used,
            total=total,
            today=total,
            budgets=self.world.budgets,
        )

    def models(self) -> Sequence[ModelInfo]:
        return self.world.models

    async def test_model(self, name: str) -> str:
        if name != "demo":
            raise NotFound(f"there is no model {name!r}")
        return "answered: hello"

    def pairings(self) -> Sequence[PairingStatus]:
        return [PairingStatus(code="ABCD2345", bridge="telegram", sender="7", name="Eve", expires_at=AT)]

    def principals(self) -> Sequence[PrincipalStatus]:
        return [
            PrincipalStatus(principal="telegram:1", right="owner", name="Ann", since=AT, source="config"),
        ]

    async def approve(self, code: str, *, owner: bool) -> PrincipalStatus:
        if code != "ABCD2345":
            raise NotFound(f"no pairing waits under the code {code}", remedy="clawd pair list")
        right = "owner" if owner else "chat"
        self.world.calls.append(("approve", code, right))
        return PrincipalStatus(
            principal="telegram:7",
            right="owner" if owner else "chat",
            name="Eve",
            since=AT,
            source="pairing",
        )

    async def revoke(self, principal: str) -> None:
        if principal == "telegram:1":
            raise NotPossible("this one is named by the configuration", where=principal)
        self.world.calls.append(("revoke", principal))

    def tokens(self) -> Sequence[TokenStatus]:
        return self.world.tokens

    async def create_token(self, wanted: TokenRequest) -> str:
        self.world.wanted_tokens.append(wanted)
        return "clawd_secret"

    async def revoke_token(self, name: str) -> None:
        if name != "phone":
            raise NotFound(f"there is no token {name!r}")
        self.world.calls.append(("revoke_token", name))
