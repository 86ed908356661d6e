"""A real daemon's alerts at the terminal and in an owner's chat: one desk behind both."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.doors import doors
from tests.fakes.webhook_receiver import SECRET, WebhookReceiver

OWNER = 74


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_test_arrives_at_every_target_and_a_silence_of_the_chat_is_seen_at_the_terminal() -> None:
    async with WebhookReceiver() as receiver:
        targets = [{"url": receiver.url, "secret": SECRET}]
        disk = {"disk": {"above": 0.0, "clear": 0.0, "for_s": 0}}  # which is never as empty as that
        async with doors(
            alerts={"targets": targets, "rules": disk}, access={"owners": [f"telegram:{OWNER}"]}
        ) as here:
            here.telegram.world.chat(OWNER)
            await receiver.wait_for(1)
            assert "disk is" in (await here.clawd("status")).out
            tested = await here.clawd("alerts", "test")
            assert (tested.code, tested.out.count("  delivered")) == (0, 2), tested
            here.telegram.user_says(OWNER, "/alerts silence disk 2h")
            async with asyncio.timeout(20):
                while not (silences := (await here.world.control("alerts"))["silences"]):
                    await asyncio.sleep(0.02)
            assert [(each["rule"], each["by"]) for each in silences] == [("disk", f"telegram:{OWNER}")]
            assert "firing, silenced" in (await here.clawd("alerts", "list")).out
            status = await here.world.control("status")
            assert status["totals"]["deliveries"] >= 3
            assert status["alerts"][0]["silenced"] == silences[0]["id"]
