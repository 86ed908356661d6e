"""Is the process alive, and is it ready for work: answers for supervisors and load balancers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.bridge import BridgeStatus
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the daemon knows about itself. Bridges are told, and never change whether it is ready."""

    replayed: bool  # unfinished work of an earlier run was taken up
    journal_writable: bool
    draining: bool
    bridges: Sequence[BridgeStatus] = ()

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the checks that stand against being ready."""
        checks = {
            "replay": self.replayed,
            "journal": self.journal_writable,
            "draining": not self.draining,
        }
        return tuple(name for name, good in checks.items() if not good)


class Health:
    """`GET /healthz`, `/livez` and `/readyz`; without a token, so they tell little."""

    def __init__(self, readiness: Callable[[], Readiness]) -> None:
        self._readiness = readiness

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.get("/healthz", self.alive),
            web.get("/livez", self.alive),
            web.get("/readyz", self.ready),
        ]

    async def alive(self, _request: web.Request) -> web.Response:
        """200 whenever the event loop runs; depends on nothing else."""
        return web.json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """200 when messages are taken and worked on, else 503 with the checks that fail."""
        readiness = self._readiness()
        failing = readiness.failing
        body: JsonObject = {"status": "unavailable" if failing else "ready", "failing": list(failing)}
        if "verbose" in request.query:
            body["checks"] = {
                name: "failing" if name in failing else "ok" for name in ("replay", "journal", "draining")
            }
            body["bridges"] = [
                {"name": b.name, "type": b.type, "state": b.state, "since": b.since.isoformat()}
                for b in readiness.bridges
            ]
        return web.json_response(body, status=503 if failing else 200)
