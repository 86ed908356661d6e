"""What people do not want to be told for a while: it is seen, kept over restarts, and told when that is over."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from clawd.errors import NotFound, NotPossible
from clawd.testing import ManualClock
from tests.fakes.alert_site import DOWN, MINUTE, UP, alert_site, begun


async def test_a_silenced_alert_is_seen_and_told_when_the_silence_is_over(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        until = site.clock.now() + timedelta(hours=1)
        silence = await site.desk.silence(rule="disk", label=None, until=until, why="moving", by="1000")
        site.set(disk_used=0.95)
        await site.watch(5 * MINUTE)
        (alert,) = site.desk.report().alerts
        assert (alert.state, alert.silenced, await site.told()) == ("firing", silence.id, [])
        assert site.desk.report().silences == [silence]
        await site.watch(3600)
        assert await site.states() == ["firing"]
        assert site.desk.report().silences == []


async def test_the_end_of_what_was_told_is_told_although_it_is_silenced_by_then(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        until = site.clock.now() + timedelta(days=1)
        await site.desk.silence(rule=None, label=None, until=until, why="", by="1000")
        await site.watch(6 * MINUTE)
        assert await site.states() == ["firing", "resolved"]


async def test_what_began_and_ended_in_a_silence_is_never_told(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        until = site.clock.now() + timedelta(hours=1)
        await site.desk.silence(rule="bridge_down", label="phone", until=until, why="", by="1000")
        site.set(bridges={"phone": DOWN, "other": DOWN})
        await site.watch(3 * MINUTE)
        site.set(bridges={"phone": UP, "other": DOWN})
        await site.watch(2 * 3600, 60)
        assert await site.states() == ["firing"]
        assert [told["alerts"][0]["labels"]["bridge"] for told in await site.told()] == ["other"]


async def test_silences_outlive_the_process_and_end_by_word(state_dir: Path) -> None:
    clock = ManualClock()
    async with alert_site(state_dir, clock=clock) as site:
        until = clock.now() + timedelta(days=2)
        silence = await site.desk.silence(rule=None, label=None, until=until, why="a fair", by="1000")
    async with alert_site(state_dir, clock=clock) as site:
        assert site.desk.report().silences == [silence]
        site.set(disk_used=0.95)
        await site.watch(2 * MINUTE)
        assert await site.told() == []
        await site.desk.end_silence(silence.id)
        await site.look(5)
        assert await site.states() == ["firing"]
        with pytest.raises(NotFound):
            await site.desk.end_silence(silence.id)


async def test_silences_are_bounded_and_none_begins_after_its_end(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        now = site.clock.now()
        with pytest.raises(NotPossible):
            await site.desk.silence(rule=None, label=None, until=now, why="", by="1000")
        for _ in range(100):
            await site.desk.silence(rule="disk", label=None, until=now + timedelta(1), why="", by="1000")
        with pytest.raises(NotPossible):
            await site.desk.silence(rule="disk", label=None, until=now + timedelta(1), why="", by="1000")
