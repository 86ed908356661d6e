"""A real daemon with every door open: terminal, REST, webhook and Telegram, each with its own way to knock."""

from __future__ import annotations

import json
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from clawd.webhooks.signing import key_of, sign
from tests.crash.world import World, world
from tests.fakes.bot_api import TOKEN as BOT_TOKEN
from tests.fakes.folders import BASE
from tests.fakes.shell import Shell
from tests.fakes.webhook_sender import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

TOKEN = "recognisable-gateway-token"
OTHER_TOKEN = "another-gateway-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an HTTP door said."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        """The sentence of a refusal."""
        return str(self.json["error"]["message"])


class Doors:
    """The doors of one running daemon."""

    def __init__(self, home: World, session: aiohttp.ClientSession, url: str) -> None:
        self.world = home
        self.model = home.model
        self.telegram = home.telegram
        self.clawd = Shell(home.state_dir)
        self.url = url
        self._session = session
        self._hooks = 0

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request as it is."""
        async with self._session.request(method, self.url + path, **options) as response:
            text = (await response.read()).decode()
            return Answer(status=response.status, text=text, headers=dict(response.headers))

    async def rest(self, body: Any, **headers: str) -> Answer:
        """Post to /v1/messages: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        return await self.request("POST", "/v1/messages", data=BytesIO(data), headers=head)

    async def reply(self, body: Any) -> str:
        """Post a message that is taken, and return its answer."""
        sent = await self.rest(body)
        assert sent.status == 202, sent
        head = {"Authorization": f"Bearer {TOKEN}"}
        turn = await self.request("GET", f"/v1/messages/{sent.json['id']}?wait=10", headers=head)
        return str(turn.json["replies"][0]["text"])

    async def hook(self, body: bytes, *, age_s: float = 0, secret: str = SECRET) -> Answer:
        """Post a signed webhook with an id of its own."""
        self._hooks += 1
        name, at = f"msg_{self._hooks}", datetime.now(UTC) - timedelta(seconds=age_s)
        stamp = int(at.timestamp())
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign([key_of(secret)], name, stamp, body),
            "Content-Type": "application/json",
        }
        return await self.request("POST", "/bridges/hook", data=BytesIO(body), headers=headers)

    async def ended(self, count: int) -> list[dict[str, Any]]:
        """Return the newest turns once none is open any more."""
        await self.world.settled()
        turns: list[dict[str, Any]] = (await self.world.control(f"turns?limit={count}"))["turns"]
        return turns


@asynccontextmanager
async def doors(
    *models: Mapping[str, Any],
    allow: Sequence[str] = ("*",),
    bot_token: str = BOT_TOKEN,
    hook: Mapping[str, Any] | None = None,
    **sections: object,
) -> AsyncIterator[Doors]:
    """Run a daemon in a directory of its own.

    Args:
        models: Further models beside `main`; without an address they have the fake one's, which also stands
            for the `BASE` of an endpoint.
        allow: Whom the bridges let in without pairing.
        bot_token: What the fake Bot API takes.
        hook: Further keys of the webhook bridge.
        sections: Replace those of the configuration.
    """
    with tempfile.TemporaryDirectory(prefix="clawd-", dir=BASE) as directory:
        async with world(Path(directory)) as here, aiohttp.ClientSession() as session:
            here.telegram.token = bot_token
            telegram = {"token": here.telegram.token, "api_base": here.telegram.url, "allow": [*allow]}
            tokens = [{"name": "ops", "token": TOKEN}, {"name": "shop", "token": OTHER_TOKEN}]
            main = {"name": "main", "type": "chat", "base_url": here.model.base_url, "model": "fake-1"}
            defaults: dict[str, object] = {
                "models": [main, *(_at(here.model.base_url, model) for model in models)],
                "routes": {"default": {"models": ["main"]}},
                "bridges": {
                    "telegram": telegram,
                    "hook": {"type": "webhook", "secret": SECRET, **(hook or {})},
                },
                "gateway": {"port": 0, "tokens": tokens},
            }
            here.configure(**{**defaults, **sections})
            await here.start()
            url = (await here.control("status"))["gateway"]
            yield Doors(here, session, url)


def _at(base_url: str, model: Mapping[str, Any]) -> dict[str, Any]:
    if "endpoint" in model:
        return {**model, "endpoint": model["endpoint"].replace("BASE", base_url)}
    return {"base_url": base_url, **model}
