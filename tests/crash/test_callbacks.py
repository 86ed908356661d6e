"""Callbacks of a daemon that dies around the end of the turn and while it calls."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.crash.stage import free_port
from tests.crash.world import World, answer_to, world
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver

TOKEN = "recognisable-gateway-token"


def configure(here: World, receiver: WebhookReceiver, port: int) -> None:
    callbacks = {
        "secret": SECRET,
        "allow": [receiver.url],
        "allow_http": True,
        "allow_private": ["127.0.0.1"],
    }
    tokens = [{"name": "shop", "token": TOKEN}]
    here.configure(gateway={"port": port, "tokens": tokens, "callbacks": callbacks})


async def post(port: int, url: str) -> str:
    """Post a message with a callback; return its turn."""
    body = {"text": "hello", "conversation": "order-1", "callback_url": url}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(f"http://127.0.0.1:{port}/v1/messages", json=body) as reply,
    ):
        assert reply.status == 202, await reply.text()
        return str((await reply.json())["id"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault",
    [
        "journal.before_commit:outbox.mark:1:kill",
        *(
            pytest.param(fault, marks=pytest.mark.slow)
            for fault in (
                "journal.before_commit:turn.finished:1:kill",
                "journal.after_commit:turn.finished:1:kill",
                "journal.after_commit:outbox.take:1:kill",
                "journal.after_commit:outbox.mark:1:kill",
            )
        ),
    ],
)
async def test_a_callback_arrives_under_one_id_wherever_the_daemon_dies(state_dir: Path, fault: str) -> None:
    port = free_port()
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, port)
        await here.start(fault=fault)
        turn = await post(port, receiver.url)
        await here.wait_dead()
        await here.start()
        await here.settled()
        assert len({(call.id, call.body) for call in receiver.calls}) == 1
        (call,) = receiver.delivered
        assert call.event["data"]["turn"] == turn
        assert call.event["data"]["text"] == answer_to("hello")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_callback_that_was_on_the_wire_comes_again_under_its_id(state_dir: Path) -> None:
    port = free_port()
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, port)
        receiver.fault(Fault(kind="hang"))
        await here.start()
        await post(port, receiver.url)
        await receiver.wait_for(1)
        await here.kill()
        await here.start()
        await receiver.wait_for(2)
        await here.settled()
        assert [call.repeat for call in receiver.calls] == [False, True]
        assert len({(call.id, call.body) for call in receiver.calls}) == 1
