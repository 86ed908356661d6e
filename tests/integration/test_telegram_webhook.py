"""Webhook mode: Telegram's calls are answered once their updates are stored, and nothing is dropped between the modes."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bridges.telegram.called import CalledTelegramBridge
from bridges.telegram.inbound import ALLOWED_UPDATES
from clawd.bridge import HttpBridge, HttpRequest
from clawd.conformance import MemoryInbox
from clawd.errors import BridgeNotReady, InboxFull, JournalUnavailable
from clawd.messages import Unreadable
from clawd.testing import ManualClock
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.gateway_site import site
from tests.fakes.telegram import Running, running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.ids import Clock

URL = "https://bot.example.com/bridges/telegram"
BOT = 123456789


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


def called(api: FakeBotApi, clock: Clock | None = None, **settings: Any) -> CalledTelegramBridge:
    bridge = telegram_bridge(api.url, clock=clock, mode="webhook", webhook_url=URL, **settings)
    assert isinstance(bridge, CalledTelegramBridge)
    return bridge


@asynccontextmanager
async def mounted(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path, **settings: Any
) -> AsyncIterator[CalledTelegramBridge]:
    """A bridge at work behind a gateway, which Telegram reaches."""
    bridge = called(api, **settings)
    async with (
        site(state_dir, inbox=inbox, bridges={"telegram": bridge}) as here,
        running(bridge, inbox) as state,
    ):
        api.webhook.reached_at = f"{here.gateway.url}/bridges/telegram"
        await api.wait_for_calls("getWebhookInfo", 1)
        yield bridge
        await state.stop()
    await bridge.close()


def request(body: bytes, secret: str | None, method: str = "POST") -> HttpRequest:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    return HttpRequest(
        method=method, headers=headers, repeated=frozenset(), query={}, body=body, remote="192.0.2.1"
    )


async def test_calls_bring_messages_through_the_gateway_in_their_order(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path
) -> None:
    waited = api.user_says(7, "waited")
    async with mounted(api, inbox, state_dir):
        api.user_says(7, "two")
        assert await api.webhook.deliver() == [200, 200]
    assert [m.text for m in inbox.messages] == ["waited", "two"]
    assert inbox.messages[0].id == f"tg:{BOT}:{waited}"
    (said,) = api.calls("setWebhook")
    assert said.params["url"] == URL
    assert said.params["allowed_updates"] == list(ALLOWED_UPDATES)
    assert said.params["max_connections"] == 1
    assert said.params["drop_pending_updates"] is False
    assert api.calls("deleteWebhook") == []
    assert api.calls("getUpdates") == []


@pytest.mark.parametrize(
    "refusal", [InboxFull(9, retry_after_s=3.0), JournalUnavailable("disk full", retry_after_s=3.0)]
)
async def test_what_could_not_be_stored_is_answered_503_and_comes_again(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path, refusal: Exception
) -> None:
    inbox.refuse(refusal)
    async with mounted(api, inbox, state_dir):
        api.user_says(7, "patience")
        assert await api.webhook.deliver() == [503]
        assert await api.webhook.deliver() == [200]
    assert [m.text for m in inbox.messages] == ["patience"]


async def test_an_update_that_comes_twice_at_once_is_one_message(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path
) -> None:
    async with mounted(api, inbox, state_dir), aiohttp.ClientSession() as session:
        api.user_says(7, "once")
        (update,) = api.world.queue
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(api.webhook.call(session, update)) for _ in range(8)]
    assert [call.result() for call in calls] == [200] * 8
    assert [m.text for m in inbox.messages] == ["once"]


async def test_calls_out_of_order_are_taken_as_they_come(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path
) -> None:
    async with mounted(api, inbox, state_dir, webhook_connections=40):
        for text in ("one", "two"):
            api.user_says(7, text)
        api.world.queue.reverse()
        assert await api.webhook.deliver() == [200, 200]
    assert [m.text for m in inbox.messages] == ["two", "one"]


@pytest.mark.parametrize("secret", [None, "", "wrong", "é"])
async def test_a_call_without_the_secret_is_refused_and_leaves_nothing(
    api: FakeBotApi, inbox: MemoryInbox, secret: str | None
) -> None:
    bridge = called(api)
    async with running(bridge, inbox):
        await api.wait_for_calls("getWebhookInfo", 1)
        body = json.dumps({"update_id": 1, "message": {}}).encode()
        assert (await bridge.handle(request(body, secret), inbox)).status == 401
        assert (await bridge.handle(request(body, api.webhook.secret, "GET"), inbox)).status == 405
    assert inbox.batches == []
    await bridge.close()


async def test_a_body_over_a_mebibyte_is_refused_by_the_gateway(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path
) -> None:
    async with mounted(api, inbox, state_dir):
        api.user_says(7, "x" * 1024 * 1024)
        assert await api.webhook.deliver() == [413]
    assert inbox.batches == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"update_id": 5, "message": {"chat": 5}}'])
async def test_what_no_update_is_is_kept_raw_and_not_sent_again(
    api: FakeBotApi, inbox: MemoryInbox, body: bytes
) -> None:
    bridge = called(api)
    async with running(bridge, inbox):
        await api.wait_for_calls("getWebhookInfo", 1)
        assert (await bridge.handle(request(body, api.webhook.secret), inbox)).status == 200
    (event,) = inbox.accepted
    assert isinstance(event, Unreadable)
    await bridge.close()


async def test_a_call_before_we_know_who_we_are_has_to_come_again(
    api: FakeBotApi, inbox: MemoryInbox
) -> None:
    bridge = called(api, webhook_secret="a-secret-of-my-own")
    answer = await bridge.handle(request(b"{}", "a-secret-of-my-own"), inbox)
    assert (answer.status, answer.headers) == (503, (("Retry-After", "2"),))
    await bridge.close()


async def test_the_secret_is_the_configured_one_or_made_of_the_token_without_telling_it(
    api: FakeBotApi, inbox: MemoryInbox
) -> None:
    secrets: list[str] = []
    for secret in (None, None, "a-secret-of-my-own"):
        bridge = called(api, webhook_secret=secret)
        async with running(bridge, inbox):
            await api.wait_for_calls("getWebhookInfo", len(secrets) + 1)
            secrets.append(api.webhook.secret or "")
        await bridge.close()
    made, again, chosen = secrets
    assert made == again
    assert len(made) == 64
    assert TOKEN.partition(":")[2] not in made
    assert chosen == "a-secret-of-my-own"


async def test_a_way_back_to_polling_takes_the_webhook_away_and_keeps_what_waits(
    api: FakeBotApi, inbox: MemoryInbox, state_dir: Path
) -> None:
    async with mounted(api, inbox, state_dir):
        api.user_says(7, "by call")
        await api.webhook.deliver()
    api.user_says(7, "meanwhile")
    polling = telegram_bridge(api.url)
    assert not isinstance(polling, HttpBridge)
    async with running(polling, inbox):
        await inbox.wait_for(2)
    assert [m.text for m in inbox.messages] == ["by call", "meanwhile"]
    assert api.webhook.url == ""
    await polling.close()


# --- whether calls arrive ---------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [True, False])
async def test_calls_that_fail_while_updates_wait_are_told(api: FakeBotApi, waiting: bool) -> None:
    clock = ManualClock()
    bridge = called(api, clock)
    api.webhook.failed("Connection refused", at=1000)  # before our time
    if waiting:
        api.user_says(7, "hello?")
    state = Running(bridge, MemoryInbox())
    async with asyncio.TaskGroup() as tasks:
        end = tasks.create_task(_until_it_ends(state))
        await clock.sleeping()
        assert state.ready_count == 1
        api.webhook.failed("SSL error", at=1030)
        await clock.advance(60)
        if waiting:
            error = await end
            assert isinstance(error, BridgeNotReady)
            assert error.what == "Telegram's calls to the webhook fail"
            assert error.why == "SSL error; 1 updates wait"
        else:
            await api.wait_for_calls("getWebhookInfo", 2)
            await clock.sleeping()
            assert state.ready_count == 2
            end.cancel()
    await bridge.close()


async def test_a_failure_before_a_call_that_arrived_is_over(api: FakeBotApi, inbox: MemoryInbox) -> None:
    clock = ManualClock()
    bridge = called(api, clock)
    async with running(bridge, inbox) as state:
        await clock.sleeping()
        api.webhook.failed("SSL error", at=1030)
        api.user_says(7, "through")
        body = json.dumps(api.world.queue[0]).encode()
        assert (await bridge.handle(request(body, api.webhook.secret), inbox)).status == 200
        await clock.advance(60)
        await api.wait_for_calls("getWebhookInfo", 2)
        await clock.sleeping()
        assert state.ready_count == 2
    await bridge.close()


async def test_a_webhook_that_somebody_took_is_named_and_set_again_at_the_next_start(api: FakeBotApi) -> None:
    clock = ManualClock()
    bridge = called(api, clock)
    state = Running(bridge, MemoryInbox())
    async with asyncio.TaskGroup() as tasks:
        end = tasks.create_task(_until_it_ends(state))
        await clock.sleeping()
        api.set_webhook("https://example.org/somebody")
        await clock.advance(60)
        error = await end
    assert isinstance(error, BridgeNotReady)
    assert "https://example.org/somebody" in error.why
    async with running(bridge, MemoryInbox()):
        await api.wait_for_calls("setWebhook", 2)
        assert api.webhook.url == URL
    await bridge.close()


async def _until_it_ends(state: Running) -> BridgeNotReady | None:
    try:
        await state.run()
    except BridgeNotReady as error:
        return error
    return None
