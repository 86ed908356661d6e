"""A sender that repeats until it is told 202 or 200, a receiver of callbacks, and a daemon that dies between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.crash.stage import free_port
from tests.crash.world import World, answer_to, world
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed


def configure(here: World, receiver: WebhookReceiver, port: int) -> None:
    hook = {
        "type": "webhook",
        "secret": SECRET,
        "callback_url": receiver.url,
        "callback_secret": CALLBACK_SECRET,
    }
    here.configure(bridges={"hook": hook}, gateway={"port": port})


async def post(session: aiohttp.ClientSession, port: int, message_id: str, text: str) -> int | None:
    """Post once; None when nobody answered."""
    body = event(text, conversation="order-1", user={"id": "u1"})
    headers = signed(body, datetime.now(UTC), message_id=message_id)
    try:
        async with session.post(f"http://127.0.0.1:{port}/bridges/hook", data=body, headers=headers) as reply:
            return reply.status
    except aiohttp.ClientError:
        return None


@pytest.mark.timeout(300)
async def test_a_sender_is_told_that_its_message_is_taken_only_once_it_is(state_dir: Path) -> None:
    port = free_port()
    async with world(state_dir) as here, WebhookReceiver(CALLBACK_SECRET) as receiver:
        configure(here, receiver, port)
        async with aiohttp.ClientSession() as session:
            await here.start(fault="journal.before_commit:accept:1:kill")
            assert await post(session, port, "msg_0", "hello") is None
            await here.wait_dead()
            await here.start(fault="journal.after_commit:accept:1:kill")
            assert await post(session, port, "msg_0", "hello") is None
            await here.wait_dead()
            await here.start()
            assert await post(session, port, "msg_0", "hello") == 200, "committed; the repeat is known"
            assert await post(session, port, "msg_1", "second") == 202
        await receiver.wait_for(2, 30)
        await here.settled()
        assert [call.event["data"]["text"] for call in receiver.calls] == [
            answer_to("hello"),
            answer_to("second"),
        ]


@pytest.mark.timeout(300)
async def test_twenty_posts_of_one_message_make_one_turn_across_a_kill(state_dir: Path) -> None:
    port = free_port()
    async with world(state_dir) as here, WebhookReceiver(CALLBACK_SECRET) as receiver:
        configure(here, receiver, port)
        await here.start(fault="journal.after_commit:claim:1:kill")
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as posts:
            for _ in range(20):
                posts.create_task(post(session, port, "msg_0", "hello"))
        await here.wait_dead()
        await here.start()
        await receiver.wait_for(1)
        await here.settled()
        assert [call.event["data"]["text"] for call in receiver.calls] == [answer_to("hello")]
