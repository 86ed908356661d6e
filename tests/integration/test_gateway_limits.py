"""Limits of tokens: requests in a span, messages a day, and the headers that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.testing import ManualClock
from tests.fakes.gateway_site import site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.gateway_site import Site

SLOW, DAILY, FREE = (letter * 32 for letter in "sdf")
CONFIG = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="slow", token=Secret(SLOW), rate="2/min", day=100),
        TokenConfig(name="daily", token=Secret(DAILY), day=2),
        TokenConfig(name="free", token=Secret(FREE)),
    ),
)


async def send(
    here: Site, token: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers["Authorization"] = f"Bearer {token}"
    json = {"text": "hi"} if body is None else body
    async with here.client.post("/v1/messages", json=json, headers=headers) as response:
        told = {k: v for k, v in response.headers.items() if k.startswith("RateLimit") or k == "Retry-After"}
        return response.status, told, await response.json()


async def test_requests_over_the_rate_wait_for_the_next_window(state_dir: Path) -> None:
    clock = ManualClock()
    async with site(state_dir, config=CONFIG, clock=clock) as here:
        status, told, _ = await send(here, SLOW)
        assert (status, told) == (
            202,
            {
                "RateLimit-Policy": '"requests";q=2;w=60, "messages";q=100;w=86400',
                "RateLimit": '"requests";r=1;t=60, "messages";r=99;t=43200',
                "RateLimit-Limit": "2",
                "RateLimit-Remaining": "1",
                "RateLimit-Reset": "60",
            },
        )
        await clock.advance(19.5)
        assert (await send(here, SLOW))[0] == 202
        status, told, body = await send(here, SLOW)
        assert (status, body["error"]["code"], told["Retry-After"]) == (429, "rate_limited", "41")
        assert told["RateLimit"] == '"requests";r=0;t=41, "messages";r=98;t=43181'
        assert len(here.world.messages) == 2
        assert (await send(here, FREE))[0] == 202  # others are not concerned
        await clock.advance(40.5)
        assert (await send(here, SLOW))[0] == 202


async def test_messages_over_those_of_the_day_wait_for_midnight_utc(state_dir: Path) -> None:
    clock = ManualClock()
    async with site(state_dir, config=CONFIG, clock=clock) as here:
        for _ in range(2):
            assert (await send(here, DAILY))[0] == 202
        status, told, body = await send(here, DAILY)
        assert (status, body["error"]["code"], told["Retry-After"]) == (429, "quota_exceeded", "43200")
        async with here.client.get("/v1/messages/x", headers={"Authorization": f"Bearer {DAILY}"}) as read:
            assert read.status == 404  # reading goes on
        await clock.advance(43200)
        assert (await send(here, DAILY))[0] == 202


async def test_what_was_refused_or_known_costs_no_message(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG, clock=ManualClock()) as here:
        key = {"Idempotency-Key": "k"}
        assert (await send(here, DAILY, **key))[0] == 202
        for _ in range(3):
            assert (await send(here, DAILY, **key))[0] == 200
            assert (await send(here, DAILY, {"text": ""}))[0] == 400
        assert (await send(here, DAILY))[0] == 202


async def test_without_limits_nothing_is_told_of_them(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        status, told, _ = await send(here, FREE)
        assert (status, told) == (202, {})


async def test_who_has_no_token_is_told_nothing_and_counts_for_nobody(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG, clock=ManualClock()) as here:
        for _ in range(5):
            status, told, _ = await send(here, "x" * 32)
            assert (status, told) == (401, {})
        assert (await send(here, SLOW))[0] == 202
