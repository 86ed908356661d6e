"""A webhook of a real daemon: the rate of one sender, and the test that it sends itself."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from clawd.texts import say
from tests.crash.process import DaemonProcess
from tests.fakes.shell import Shell
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed

if TYPE_CHECKING:
    from pathlib import Path


async def started(home: Path, receiver: WebhookReceiver, **sections: Any) -> DaemonProcess:
    hook = {
        "type": "webhook",
        "secret": SECRET,
        "callback_url": receiver.url,
        "callback_secret": CALLBACK_SECRET,
    }
    config = {
        "models": [{"name": "demo", "type": "demo"}],
        "bridges": {"hook": hook},
        "gateway": {"port": 0},
        **sections,
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    daemon = DaemonProcess(home)
    await daemon.spawn()
    assert await daemon.ready(), daemon.tail()
    return daemon


async def test_a_sender_over_its_rate_is_told_once_and_what_it_sends_again_is_taken(state_dir: Path) -> None:
    await asyncio.to_thread(say, "rate_limited")  # read from a file the first time
    async with WebhookReceiver(CALLBACK_SECRET) as receiver, aiohttp.ClientSession() as session:
        daemon = await started(state_dir, receiver, access={"rate": "2/h"})
        gateway = (await daemon.control("status"))["gateway"]

        async def post(message_id: str, user: str = "u1") -> tuple[int, str | None]:
            body = event(message_id, conversation=user, user={"id": user})
            headers = signed(body, datetime.now(UTC), message_id=message_id)
            async with session.post(f"{gateway}/bridges/hook", data=body, headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After")

        assert [await post(f"msg_{n}") for n in range(2)] == [(202, None)] * 2
        assert [await post(f"msg_{n}") for n in range(2, 5)] == [(429, "30")] * 3
        assert await post("msg_9", "u2") == (202, None)
        await receiver.wait_until(lambda: len(receiver.delivered) == 4)
        await daemon.settled()
        texts = [call.event["data"]["text"] for call in receiver.delivered]
        assert texts.count(say("rate_limited")) == 1
        assert len(texts) == 4

        # Told to send it again, the sender does: the word that it was told must not stand in its way.
        config = yaml.safe_load((state_dir / "config.yaml").read_text(encoding="utf-8"))
        config["access"]["rate"] = "100/h"
        (state_dir / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        assert (await Shell(state_dir)("reload")).code == 0
        assert await post("msg_2") == (202, None)
        await receiver.wait_until(lambda: len(receiver.delivered) == 5)
        await daemon.kill()


async def test_a_bridge_is_tried_through_the_gateway_and_leaves_no_message(state_dir: Path) -> None:
    async with WebhookReceiver(CALLBACK_SECRET) as receiver:
        daemon = await started(state_dir, receiver)
        clawd = Shell(state_dir)
        good = await clawd("bridges", "test", "hook", "--json")
        (told,) = good.json["bridges"]
        assert (good.code, told["ok"]) == (0, True), told
        assert [(step["name"], step["ok"]) for step in told["steps"]] == [
            ("reachable", True),
            ("wrong signature refused", True),
            ("signature accepted", True),
            ("callback", True),
        ]
        assert [call.method for call in receiver.calls] == ["HEAD"]
        await receiver.__aexit__(None, None, None)
        failed = await clawd("bridges", "test", "hook")
        assert failed.code == 69
        assert "ok    signature accepted: HTTP 200" in failed.out
        assert "fail  callback: " in failed.out
        status = await daemon.control("status")
        assert status["queue"]["deliveries_open"] == 0
        assert (await daemon.control("conversations"))["conversations"] == []
        assert json.dumps(SECRET)[8:-1] not in daemon.tail(1000)
        await daemon.kill()
