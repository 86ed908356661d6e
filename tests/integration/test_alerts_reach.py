"""Who can't be told of alerts: read from the outbox, so that it is right after a restart too, and told loudly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from clawd.alerts.calls import GONE
from clawd.alerts.desk import LOST_S, UNTOLD_S
from clawd.bridge import BridgeStatus
from clawd.journal.deliveries import Dead, Held, Parked, RetryAt, Sent
from clawd.journal.items import Push
from clawd.messages import Address, MessageId
from clawd.testing import ManualClock
from tests.fakes.alert_site import MINUTE, URL, AlertSite, alert_site, idle_model, settings

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.alerts import AlertsConfig
    from clawd.journal.deliveries import DeliveryOutcome

CHAT = Address(bridge="chat", account="a", chat="1")
IN_CHAT = {"bridge": "chat", "chat": "1"}
BLOCKED = Dead(why="this chat can't be reached (Forbidden: bot was blocked by the user)", unreachable=True)
REFUSED = RetryAt(delay_s=60, why="the alert target example.com can't be reached (connection refused)")


def both() -> AlertsConfig:
    """Return a configuration with two targets: a URL and a chat."""
    return settings(targets=[{"url": URL}, IN_CHAT])


async def written(site: AlertSite) -> None:
    """Let somebody have written in the chat, so that the way to it is known."""
    push = Push(id=MessageId("hello"), address=CHAT, text="hello", kind="push")
    await site.journal.journal.accept([push])
    await bring(site, Sent(remote_id="1"))


async def bring(site: AlertSite, outcome: DeliveryOutcome, *, bridges: tuple[str, ...] = ("chat",)) -> int:
    """Let an attempt at everything that is due for these bridges end so; return how many."""
    taken = await site.journal.journal.outbox_take(100, bridges)
    for row in taken.rows:
        await site.journal.journal.outbox_mark(row.row, outcome)
    return len(taken.rows)


async def fire(site: AlertSite) -> None:
    site.set(disk_used=0.95)
    await site.watch(2 * MINUTE)


async def trouble(site: AlertSite) -> dict[str, str]:
    return {each.target: each.why for each in (await site.desk.reach()).trouble}


async def test_a_chat_that_refuses_is_known_until_something_arrives_there_and_over_a_restart(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    async with alert_site(state_dir, both(), clock) as site:
        await written(site)
        assert await trouble(site) == {}
        began = clock.now()
        await fire(site)
        assert await trouble(site) == {}, "it has not been tried yet"
        assert await bring(site, BLOCKED) == 1
        assert await trouble(site) == {"chat 1": BLOCKED.why}
    async with alert_site(state_dir, both(), clock) as site:
        (lost,) = (await site.desk.reach()).trouble
        assert (lost.target, lost.attempts) == ("chat 1", 1)
        assert 0 <= (lost.since - began).total_seconds() <= 2 * MINUTE
        await clock.advance(5)
        await written_again(site)
        assert await trouble(site) == {}


async def written_again(site: AlertSite) -> None:
    """Let a reply arrive in the chat: whoever had blocked the bot does so no longer."""
    push = Push(id=MessageId("again"), address=CHAT, text="again", kind="push")
    await site.journal.journal.accept([push])
    assert await bring(site, Sent(remote_id="2")) == 1


async def test_a_reply_that_failed_says_nothing_of_the_chat(state_dir: Path) -> None:
    async with alert_site(state_dir, both()) as site:
        await written(site)
        await site.clock.advance(1)
        push = Push(id=MessageId("long"), address=CHAT, text="long", kind="push")
        await site.journal.journal.accept([push])
        assert await bring(site, Dead(why="message is too long")) == 1
        assert await trouble(site) == {}


@pytest.mark.parametrize("outcome", [REFUSED, Held(why="nobody knows"), Parked(why="48 h are over"), BLOCKED])
async def test_each_way_of_not_arriving_is_trouble(state_dir: Path, outcome: DeliveryOutcome) -> None:
    async with alert_site(state_dir, both()) as site:
        await written(site)
        await fire(site)
        await bring(site, outcome)
        assert list(await trouble(site)) == ["chat 1"]


async def test_a_url_that_is_down_is_known_over_a_restart_until_a_test_arrives(state_dir: Path) -> None:
    clock = ManualClock()
    url = ("_alerts",)
    async with alert_site(state_dir, clock=clock) as site:
        await fire(site)
        await bring(site, REFUSED, bridges=url)
        await clock.advance(60)
        await bring(site, REFUSED, bridges=url)
    async with alert_site(state_dir, clock=clock) as site:
        (lost,) = (await site.desk.reach()).trouble
        assert (lost.target, lost.why, lost.attempts) == ("https://example.com", REFUSED.why, 2)
        await clock.advance(1)
        await site.desk.test()
        assert (
            await bring(site, Sent(remote_id=None), bridges=url) == 1
        )  # its beginning; its end waits behind it
        assert await trouble(site) == {}


async def test_a_url_that_was_removed_and_named_again_is_not_held_against_what_was_dropped_then(
    state_dir: Path,
) -> None:
    async with alert_site(state_dir) as site:
        await fire(site)
        await bring(site, Dead(why=GONE, unreachable=True), bridges=("_alerts",))
        assert await trouble(site) == {}


async def test_a_chat_that_nobody_knows_the_way_to_is_trouble(state_dir: Path) -> None:
    async with alert_site(state_dir, settings(targets=[IN_CHAT, {"bridge": "other", "chat": "7"}])) as site:
        assert await trouble(site) == {
            "chat 1": "the way to this chat is not known before somebody has written from it",
            "other 7": "no bridge other is configured",
        }


async def test_the_bridge_of_a_chat_that_is_down_says_it_for_the_chat(state_dir: Path) -> None:
    async with alert_site(state_dir, both()) as site:
        await written(site)
        site.down = BridgeStatus(
            name="chat", type="x", state="transient_disconnect", since=site.clock.now(), error="no route"
        )
        assert await trouble(site) == {"chat 1": "the bridge chat is not connected: no route"}


async def test_a_target_in_trouble_is_told_of_after_minutes_and_at_once_where_nobody_can_be_told(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with alert_site(state_dir, both()) as site:
        await written(site)
        await fire(site)
        await bring(site, BLOCKED)
        await site.look(1)
        untold = await site.desk.untold()
        assert (untold.nobody, [each.target for each in untold.trouble]) == (False, [])
        await bring(site, REFUSED, bridges=("_alerts",))
        for _ in range(4):
            await site.look(5)
        untold = await site.desk.untold()
        assert (untold.nobody, len(untold.trouble)) == (True, 2)
        assert [r.__dict__["target"] for r in caplog.records if r.message == "alert_target_lost"] == [
            "chat 1",
            "https://example.com",
        ], "once each"
        (loud,) = [r for r in caplog.records if r.message == "alerts_told_nobody"]
        assert (loud.levelname, loud.__dict__["alerts"]) == ("ERROR", "disk")
        assert BLOCKED.why in loud.__dict__["why"]
        await site.clock.advance(UNTOLD_S)
        assert await bring(site, Sent(remote_id=None), bridges=("_alerts",)) == 1
        untold = await site.desk.untold()
        assert (untold.nobody, [each.target for each in untold.trouble]) == (False, ["chat 1"])


async def test_a_bridge_that_still_connects_after_a_start_is_no_reason_to_be_loud(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with alert_site(state_dir, settings(targets=[IN_CHAT])) as site:
        await written(site)
        await fire(site)
        await bring(site, Sent(remote_id="2"))
        site.down = BridgeStatus(name="chat", type="x", state="starting", since=site.clock.now(), error="")
        await site.watch(LOST_S - 5)
        assert not (await site.desk.untold()).nobody
        site.down = None
        await site.watch(MINUTE)
        assert not [r for r in caplog.records if r.message in ("alert_target_lost", "alerts_told_nobody")]


async def test_without_a_target_the_log_and_the_status_say_that_nobody_is_told(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with alert_site(state_dir, settings(targets=[], owners=False)) as site:
        assert not (await site.desk.reach()).nobody, "nothing fires"
        await fire(site)
        assert (await site.desk.untold()).nobody
        (loud,) = [r for r in caplog.records if r.message == "alerts_told_nobody"]
        assert (loud.levelname, loud.__dict__["why"]) == ("WARNING", "no target is configured")


async def test_what_begins_together_is_one_message_in_a_chat_and_a_call_for_each_rule_at_a_url(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    async with alert_site(state_dir, both(), clock) as site:
        await written(site)
        site.set(models={"main": idle_model("open")}, disk_used=0.95)
        await site.watch(MINUTE + 5)
        rows = await site.journal.store.read(
            "SELECT c.bridge, o.body FROM outbox o JOIN conv c ON c.id = o.conv WHERE o.state = 'pending'"
        )
        texts = [json.loads(str(body))["text"] for bridge, body in rows if bridge == "chat"]
        (text,) = texts
        assert text.splitlines()[0] == "Alert (critical): the disk is nearly full; a model is out of service"
        assert "/alerts" not in text, "who reads it there may be no owner"
        names = {
            json.loads(json.loads(str(b))["text"])["groupLabels"]["alertname"] for a, b in rows if a != "chat"
        }
        assert names == {"ClawdDisk", "ClawdBreakerOpen"}
        site.set(models={"main": idle_model("closed")}, disk_used=0.5)
        await site.look(5)
        rows = await site.journal.store.read("SELECT count(*) FROM outbox WHERE state = 'pending'")
        assert rows == [(6,)], "the end is told in the same way"


async def test_one_target_that_fails_keeps_nothing_from_the_next(state_dir: Path) -> None:
    async with alert_site(state_dir, settings(targets=[{"bridge": "other", "chat": "7"}, IN_CHAT])) as site:
        await written(site)
        await fire(site)
        assert await bring(site, Sent(remote_id="2")) == 1, "it stands behind one without a way"
