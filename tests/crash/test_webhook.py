"""A sender that repeats until it is told 202 or 200, a receiver of callbacks, and a daemon that dies between."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed

POINTS = [
    "journal.before_commit:accept",
    "journal.after_commit:accept",
    "journal.after_commit:turn.finished",
    "journal.after_commit:outbox.take",
    "journal.before_commit:outbox.mark",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", POINTS)
async def test_a_webhook_sent_until_it_was_taken_is_answered_once(point: str, state_dir: Path) -> None:
    port = free_port()
    async with world(state_dir) as here, WebhookReceiver(CALLBACK_SECRET) as receiver:
        configure(here, receiver, port)
        await here.start(fault=f"{point}:1:kill")
        async with aiohttp.ClientSession() as session:
            first = await post(session, port, "msg_0", "hello")
            await here.wait_dead()
            await here.start()
            again = await post(session, port, "msg_0", "hello")
            if point == "journal.before_commit:accept":
                assert (first, again) == (None, 202)  # it was not committed, so nobody was told so
            elif point == "journal.after_commit:accept":
                assert (first, again) == (None, 200)  # committed; the repeat is known
            else:
                assert (first, again) == (202, 200)
            assert await post(session, port, "msg_1", "second") == 202
        try:
            await receiver.wait_until(lambda: len(receiver.delivered) >= 2, 6)
        except TimeoutError:
            raise AssertionError(f"{receiver.calls} {here.tail()}") from None
        await here.settled()
        texts = [call.event["data"]["text"] for call in receiver.delivered]
        assert texts == [answer_to("hello"), answer_to("second")]
        bodies = {call.id: call.body for call in receiver.calls}
        assert all(call.body == bodies[call.id] for call in receiver.calls), "a repeat has the same bytes"
        repeats = Counter(call.id for call in receiver.calls)
        sends_in_flight = point in ("journal.after_commit:outbox.take", "journal.before_commit:outbox.mark")
        assert max(repeats.values()) <= (2 if sends_in_flight else 1)
        assert here.paid_for("hello") == 1


@pytest.mark.timeout(60)
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
        await receiver.wait_for(1, 20)
        await here.settled()
        assert [call.event["data"]["text"] for call in receiver.calls] == [answer_to("hello")]
