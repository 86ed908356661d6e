"""The webhook of the fake Bot API: what setWebhook takes, and the calls that Telegram makes then.

Source: https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

import io
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.fakes.bot_api_rules import bad

if TYPE_CHECKING:
    from tests.fakes.bot_api_world import World

_PORTS: Final = frozenset({None, 443, 80, 88, 8443})
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


class WebhookCalls:
    """What is called, and how that went."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.url = ""
        self.secret: str | None = None
        self.connections = 40
        self.reached_at = ""  # where the proxy that `url` leads to passes calls on
        self.error: dict[str, Any] = {}

    def set(self, params: dict[str, Any]) -> str:
        """setWebhook; returns the URL."""
        url = params.get("url", "")
        parts = urlsplit(url)
        if url and parts.scheme != "https":
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if parts.port not in _PORTS:
            raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
        secret = params.get("secret_token")
        if secret is not None and not _SECRET.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        self.connections = params.get("max_connections", 40)
        if not 1 <= self.connections <= 100:
            raise bad("max_connections must be between 1 and 100")
        self.url, self.secret = url, secret
        return str(url)

    def info(self) -> dict[str, Any]:
        """getWebhookInfo."""
        return {
            "url": self.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self._world.queue),
            **({"max_connections": self.connections} if self.url else {}),
            **self.error,
        }

    def failed(self, why: str, at: int | None = None) -> None:
        """Note that a call failed."""
        at = int(time.time()) if at is None else at
        self.error = {"last_error_date": at, "last_error_message": why}

    async def deliver(self) -> list[int]:
        """Call with what waits, one after the other; what is answered 2xx is forgotten. Returns the statuses."""
        statuses = []
        async with aiohttp.ClientSession() as session:
            for update in list(self._world.queue):
                status = await self.call(session, update)
                statuses.append(status)
                if 200 <= status < 300:
                    self._world.queue.remove(update)
                else:
                    self.failed(f"Wrong response from the webhook: {status}")
        return statuses

    async def call(self, session: aiohttp.ClientSession, update: Any, *, secret: str | None = None) -> int:
        """Make one call; return the status of its answer."""
        shown = secret if secret is not None else self.secret
        headers = {"Content-Type": "application/json"}
        if shown is not None:
            headers["X-Telegram-Bot-Api-Secret-Token"] = shown
        body = io.BytesIO(json.dumps(update).encode())
        async with session.post(self.reached_at, data=body, headers=headers) as response:
            await response.read()
            return response.status
