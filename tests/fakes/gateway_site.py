"""A gateway on loopback over in-memory doubles, and raw requests for what no HTTP client would send."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp

from clawd.config.schema import GatewayConfig
from clawd.control.application import RemoteControl
from clawd.gateway.app import Gateway
from clawd.gateway.auth import TokenStore
from clawd.gateway.health import Readiness
from clawd.gateway.places import StreamTimes
from clawd.gateway.remote import TOKEN
from clawd.gateway.surroundings import Surroundings, Times
from clawd.ids import SystemClock
from clawd.observability.counts import Counts
from tests.fakes.control_services import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from clawd.artifacts.store import ArtifactStore
    from clawd.bridge import HttpBridge, Inbox
    from clawd.control.services import ControlServices
    from clawd.gateway.metrics import ReadMetrics
    from clawd.gateway.openai_models import Offered
    from clawd.ids import Clock, TurnId
    from clawd.messages import Address
    from clawd.observability.metrics import Family

READY = Readiness(replayed=True, journal_writable=True, draining=False)


@dataclass(slots=True)
class Site:
    """What a test needs: the gateway, the world behind it, a client with the generated token."""

    gateway: Gateway
    world: World
    client: aiohttp.ClientSession
    token: str
    bridges: dict[str, HttpBridge] = field(default_factory=dict)
    readiness: Readiness = READY
    counts: Counts = field(default_factory=Counts)
    metrics: Sequence[Family] = ()

    reading: ReadMetrics | None = None  # in place of `metrics`

    async def read_metrics(self) -> Sequence[Family]:
        return self.metrics if self.reading is None else await self.reading()

    @property
    def port(self) -> int:
        assert self.gateway.url is not None
        return int(self.gateway.url.rpartition(":")[2])

    async def call(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of one request; `token=""` sends none."""
        headers = {**options.pop("headers", {})}
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.token}"
        async with self.client.request(method, path, headers=headers, **options) as response:
            return response.status, await response.json()

    async def raw(self, request: bytes, *, then: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send these bytes on a connection of their own; return status, headers and body of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            if then:
                writer.write(then)
            async with asyncio.timeout(30):
                return await read_answer(reader)
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return status, lower-case headers and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body


def error_of(body: bytes) -> dict[str, str]:
    """Return the error object of an answer."""
    error: dict[str, str] = json.loads(body)["error"]
    return error


@asynccontextmanager
async def site(
    state_dir: Path,
    *,
    config: GatewayConfig | None = None,
    inbox: Inbox | None = None,
    bridges: dict[str, HttpBridge] | None = None,
    header_timeout_s: float = 10,
    body_timeout_s: float = 10,
    write_timeout_s: float = 10,
    tokens: TokenStore | None = None,
    clock: Clock | None = None,
    offered: Offered | None = None,
    artifacts: ArtifactStore | None = None,
    keepalive_s: float = 15,
    question_s: float = 20,
    stream_times: StreamTimes | None = None,
) -> AsyncIterator[Site]:
    """Run a gateway on a free port until the block ends."""
    world = World()
    counts = Counts()
    services = world.services()
    made: list[Site] = []
    around = Surroundings(
        inbox=inbox or services.inbox,
        views=services.views,
        fanout=world.fanout,
        readiness=lambda: made[0].readiness,
        metrics=lambda: made[0].read_metrics(),
        bridges=lambda: made[0].bridges,
        tokens=tokens or TokenStore(state_dir, clock=clock),
        clock=clock or SystemClock(),
        erase=lambda address, only: erase(services, address, only),
        models=services.names,
        offered=(lambda: offered) if offered is not None else None,
        artifacts=artifacts,
        counts=counts,
    )
    times = Times(
        header_s=header_timeout_s,
        body_s=body_timeout_s,
        write_s=write_timeout_s,
        keepalive_s=keepalive_s,
        question_s=question_s,
        streams=stream_times or StreamTimes(),
    )
    gateway = Gateway(config or GatewayConfig(port=0), around, times=times)
    commands = replace(services, artifacts=artifacts)
    gateway.mount(RemoteControl(commands, lambda request: f"token.{request[TOKEN].name}"))
    async with gateway, aiohttp.ClientSession(gateway.url) as client:
        path = state_dir / "gateway.token"
        token = path.read_text().strip() if path.exists() else ""
        made.append(Site(gateway, world, client, token, dict(bridges or {}), counts=counts))
        yield made[0]


async def erase(services: ControlServices, address: Address, only: TurnId) -> None:
    await services.admin.delete(address, only=only)


def not_ready(**changes: bool) -> Readiness:
    """Return the readiness of a daemon with these checks changed."""
    return replace(READY, **changes)  # type: ignore[arg-type]
