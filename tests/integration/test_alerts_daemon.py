"""A real daemon whose turns fail tells a program and its owner, once, and its journal stays in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client
from tests.crash.world import World, world
from tests.fakes.openai_api import Reply
from tests.fakes.shell import Shell
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver

if TYPE_CHECKING:
    from pathlib import Path

OWNER = 7
KEY = "recognisable-key-of-a-receiver"
QUICK = {"error_rate": {"min": 3, "for_s": 0}}
REFUSED = Reply(status=401, error={"message": "bad key"})


def said(here: World, count: int) -> list[str]:
    """Say something in so many conversations; return the turns."""
    client = Client([here.state_dir / "state" / "clawd.sock"])
    return [
        client.post("/messages", {"text": f"message {n}", "conversation": f"c{n}"})["id"]
        for n in range(count)
    ]


def configure(here: World, receiver: WebhookReceiver, rules: dict[str, Any], **sections: Any) -> None:
    target = {"url": f"{receiver.url}?key={KEY}", "secret": SECRET}
    here.configure(alerts={"targets": [target], "rules": rules}, **sections)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_turns_that_fail_are_told_once_and_so_is_their_end(state_dir: Path) -> None:
    async with world(state_dir, REFUSED) as here, WebhookReceiver() as receiver:
        configure(here, receiver, QUICK | {"breaker_open": {"enabled": False}}, bridges={})
        await here.start()
        await asyncio.to_thread(said, here, 3)
        (call,) = await receiver.wait_for(1)
        assert (call.verified, call.event["groupLabels"]) == (True, {"alertname": "ClawdErrorRate"})
        # A limit that nothing can be above ends it, by the same way as better numbers do.
        configure(
            here, receiver, {"error_rate": {"min": 3, "for_s": 0, "above": 1.0, "clear": 1.0}}, bridges={}
        )
        await receiver.wait_for(2)
        await here.settled()
        assert [call.event["status"] for call in receiver.calls] == ["firing", "resolved"]
        clawd = Shell(state_dir)
        listed = (await clawd("conversations", "list", "--json")).json["conversations"]
        assert {each["address"].partition(":")[0] for each in listed} == {"terminal"}
        assert (await clawd("journal", "check", "--json")).json["findings"] == []
        assert (await clawd("backup", str(state_dir / "kept.db"))).code == 0
        assert await here.stop() == 0
        assert KEY not in here.output.read_text(encoding="utf-8")
        assert KEY.encode() not in b"".join(
            p.read_bytes() for p in (state_dir / "state").iterdir() if p.is_file()
        )


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_owner_is_told_in_their_language_without_being_named_as_a_target(state_dir: Path) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        full = {"disk": {"above": 0.0, "clear": 0.0, "for_s": 0}}
        access = {"owners": [f"telegram:{OWNER}"], "rate": "100000/s"}
        here.telegram.world.chat(OWNER)
        configure(here, receiver, {"disk": {"enabled": False}}, access=access)
        await here.start()
        here.telegram.user_says(OWNER, "/lang zh")
        await here.telegram.wait_for_messages(OWNER, 1)
        await here.settled()
        configure(here, receiver, full, access=access)
        assert (await here.telegram.wait_for_messages(OWNER, 2))[1].text.startswith("警报（严重）")
        await receiver.wait_for(1)
        await here.settled()
        assert (await Shell(state_dir)("dead", "list", "--json")).json["dead"] == []


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_alert_about_a_bridge_waits_for_it_there_and_goes_to_the_others_at_once(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        here.telegram.world.chat(OWNER)
        here.telegram.revoke()
        configure(here, receiver, {"bridge_down": {"for_s": 0}}, access={"owners": [f"telegram:{OWNER}"]})
        await here.start()
        (call,) = await receiver.wait_for(1)
        (alert,) = call.event["alerts"]
        assert (alert["labels"]["alertname"], alert["labels"]["bridge"]) == ("ClawdBridgeDown", "telegram")
        assert here.answers(OWNER) == []
        here.telegram.revoke(False)
        begun, over = await here.telegram.wait_for_messages(OWNER, 2, timeout_s=60)
        assert begun.text.startswith("Alert (critical): a bridge is not connected\n• telegram")
        assert over.text.startswith("Over: a bridge is not connected\n• telegram")
        await receiver.wait_for(2)
        await here.settled()
        assert [call.event["status"] for call in receiver.delivered] == ["firing", "resolved"]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_what_waits_for_a_url_that_is_no_target_any_more_dies_quietly(state_dir: Path) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        receiver.fault(*[Fault(status=503, headers={"Retry-After": "1"})] * 2)
        full = {"disk": {"above": 0.0, "clear": 0.0, "for_s": 0}}
        configure(here, receiver, full, bridges={})
        await here.start()
        await receiver.wait_for(1)
        here.configure(alerts={"rules": full}, bridges={})
        await here.settled()
        log = here.output.read_text(encoding="utf-8")
        assert "not configured any more" in log
        assert "given_up" not in log


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_chat_that_blocked_the_bot_is_shown_and_the_next_target_told_also_after_a_kill(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        full = {"disk": {"above": 0.0, "clear": 0.0, "for_s": 0}, "crashes": {"enabled": False}}
        here.telegram.world.chat(OWNER)
        here.telegram.block(OWNER)
        targets = [{"bridge": "telegram", "chat": OWNER}, {"url": receiver.url, "secret": SECRET}]
        here.configure(alerts={"targets": targets, "rules": full})
        await here.start()
        await receiver.wait_for(1)
        await here.settled()
        chat = f"telegram {OWNER}"
        for _ in range(2):
            await here.bridge_is("connected")
            async with asyncio.timeout(30):
                while [each["attempts"] for each in (await here.control("alerts"))["trouble"]] != [1]:
                    await asyncio.sleep(0.02)
            report = await here.control("alerts")
            (lost,) = report["trouble"]
            assert (lost["target"], report["nobody_told"]) == (chat, False)
            assert "Forbidden: bot was blocked by the user" in lost["why"]
            await here.kill()
            await here.start()
        clawd = Shell(state_dir)
        assert f"not reached: {chat}" in (await clawd("alerts", "list")).out
        assert len(receiver.calls) == 1
        # Without the URL nobody is left who could be told.
        here.configure(alerts={"targets": targets[:1], "rules": full})
        async with asyncio.timeout(30):
            while not (await here.control("status"))["nobody_told"]:
                await asyncio.sleep(0.02)
        assert f"NOBODY is told of this: not reached: {chat}" in (await clawd("status")).out
        async with asyncio.timeout(30):
            while "alerts_told_nobody" not in here.output.read_text(encoding="utf-8"):
                await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_daemon_that_was_killed_tells_it_once_however_often_it_is_started(state_dir: Path) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, {"disk": {"enabled": False}}, bridges={})
        await here.start()
        await here.settled()
        await here.kill()
        await here.start()
        (call,) = await receiver.wait_for(1)
        (alert,) = call.event["alerts"]
        assert (alert["labels"]["alertname"], call.event["status"]) == ("ClawdCrashes", "firing")
        assert "crashed or was killed (1 ×): pid " in alert["annotations"]["description"]
        await here.settled()
        await here.kill()
        await here.start()
        async with asyncio.timeout(30):
            while [alert["value"] for alert in (await here.control("alerts"))["alerts"]] != [2]:
                await asyncio.sleep(0.02)
        # Whether it is over is judged by its window: one of which nothing is left ends it.
        configure(here, receiver, {"disk": {"enabled": False}, "crashes": {"window_s": 0.001}}, bridges={})
        await receiver.wait_for(2)
        await here.settled()
        assert [(c.event["groupLabels"]["alertname"], c.event["status"]) for c in receiver.calls] == [
            ("ClawdCrashes", "firing"),
            ("ClawdCrashes", "resolved"),
        ]
        assert await here.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_configuration_that_was_refused_is_told_until_a_good_one_is_loaded(state_dir: Path) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        rules = {"disk": {"enabled": False}, "config_refused": {"for_s": 0}}
        configure(here, receiver, rules, bridges={})
        await here.start()
        await here.settled()
        configure(here, receiver, rules, bridges={}, agent={"bussy": "queue"})
        (call,) = await receiver.wait_for(1)
        (alert,) = call.event["alerts"]
        assert alert["labels"]["alertname"] == "ClawdConfigRefused"
        assert "config.yaml:" in alert["annotations"]["description"]
        assert "did you mean 'busy'" in alert["annotations"]["description"]
        assert KEY not in str(call.event)
        configure(here, receiver, rules, bridges={})
        await receiver.wait_for(2)
        await here.settled()
        assert [each.event["status"] for each in receiver.calls] == ["firing", "resolved"]
