"""What is told of trouble, when and how often, with a clock that the test moves and a real journal."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from clawd.alerts.base import RULES, Restart
from clawd.alerts.desk import IDLE_S, LASTS_S, PACE_S
from clawd.errors import NotPossible
from clawd.testing import ManualClock
from tests.fakes.alert_site import DOWN, MINUTE, UP, AlertSite, alert_site, begun, idle_model, settings


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Let somebody else hold the database, as a backup program may."""
    with closing(sqlite3.connect(state_dir / "clawd.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


async def passes(site: AlertSite, seconds: float, step_s: float = 1) -> None:
    """Let time pass for alerts that run by themselves: never while they work, so that they miss none of it."""
    while seconds > 0:
        await site.clock.sleeping()
        await site.clock.advance(min(seconds, step_s))
        seconds -= step_s
    await site.clock.sleeping()


# --- the promise of a minute ------------------------------------------------------------------------------


async def test_twenty_failed_turns_are_told_within_a_minute_and_their_end_once(state_dir: Path) -> None:
    async with alert_site(state_dir) as site, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(site.desk.run())
        for _ in range(20):
            await passes(site, 1)
            site.turns(failed=1)
            site.desk.stir()
        twentieth = site.clock.now()
        await passes(site, MINUTE, PACE_S)
        (told,) = await site.told()
        assert told["groupLabels"] == {"alertname": "ClawdErrorRate"}
        assert datetime.fromisoformat(told["alerts"][0]["startsAt"]) - twentieth <= timedelta(minutes=1)
        await passes(site, 6 * MINUTE, PACE_S)
        assert await site.states() == ["firing", "resolved"]
        await passes(site, 3600, MINUTE)
        assert await site.states() == ["firing", "resolved"]
        run.cancel()


async def test_nineteen_failed_turns_say_nothing(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.turns(failed=19)
        await site.watch(10 * MINUTE)
        assert (await site.told(), site.shown()) == ([], {})


async def test_nothing_is_read_while_nothing_happens_but_once_a_minute(state_dir: Path) -> None:
    async with alert_site(state_dir) as site, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(site.desk.run())
        await passes(site, IDLE_S - 1)
        assert site.readings == 1
        await passes(site, 1)
        assert site.readings == 2
        for _ in range(10):  # however much happens
            site.desk.stir()
            await passes(site, 1)
        assert site.readings <= 2 + 10 / PACE_S + 1
        run.cancel()


# --- the life of an alert ---------------------------------------------------------------------------------


async def test_what_ends_before_its_time_is_never_told(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(bridges={"phone": DOWN})
        await site.watch(115)
        assert site.shown() == {"pending": 1}
        site.set(bridges={"phone": UP})
        await site.watch(10 * MINUTE)
        assert (await site.told(), site.shown()) == ([], {})


async def test_a_number_between_end_and_limit_neither_begins_nor_ends(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(disk_used=0.89)
        await site.watch(5 * MINUTE)
        assert site.shown() == {}
        site.set(disk_used=0.91)
        await site.watch(2 * MINUTE)
        assert await site.states() == ["firing"]
        site.set(disk_used=0.89)
        await site.watch(5 * MINUTE)
        assert site.shown() == {"firing": 1}
        site.set(disk_used=0.88)
        await site.watch(MINUTE)
        assert await site.states() == ["firing", "resolved"]


async def test_one_standstill_heals_and_one_after_the_other_is_told(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(loop_lag_s=20.0)
        await site.look(5)
        site.set(loop_lag_s=0.0)
        await site.watch(MINUTE)
        assert (await site.told(), site.shown()) == ([], {})
        for _ in range(4):
            site.set(loop_lag_s=1.5)
            await site.look(5)
            site.set(loop_lag_s=0.0)
            await site.look(5)
        assert await site.states() == ["firing"]


async def test_a_breaker_on_trial_neither_interrupts_nor_begins(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        for number in range(6):  # open for 30 s at a time, with a trial in between that fails
            site.set(models={"main": idle_model("half_open" if number % 2 else "open")})
            await site.watch(30 if number % 2 == 0 else 5)
        assert await site.states() == ["firing"]
        site.set(models={"main": idle_model("closed"), "other": idle_model("half_open")})
        await site.watch(10 * MINUTE)
        assert await site.states() == ["firing", "resolved"]


async def test_a_flapping_number_is_told_once_for_a_cool_down(state_dir: Path) -> None:
    async with alert_site(state_dir, settings(rules={"bridge_down": {"for_s": 0}})) as site:
        for _ in range(60):  # an hour of it
            site.set(bridges={"phone": DOWN})
            await site.watch(30)
            site.set(bridges={"phone": UP})
            await site.watch(30)
        told = await site.states()
        assert told == ["firing", "resolved"] * (len(told) // 2)
        assert len(told) // 2 <= 3  # half an hour each


async def test_what_is_back_within_its_cool_down_is_told_when_that_is_over(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        await site.watch(6 * MINUTE)
        assert await site.states() == ["firing", "resolved"]
        for _ in range(100):  # it fails and fails
            site.turns(failed=5)
            await site.look(5)
        assert site.shown() == {"firing": 1}, "it is one life after the other"
        assert await site.states() == ["firing", "resolved"]
        for _ in range(300):
            site.turns(failed=5)
            await site.look(5)
        assert await site.states() == ["firing", "resolved", "firing"]


async def test_without_traffic_for_a_window_a_rate_is_over(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        await site.watch(240)
        assert site.shown() == {"firing": 1}
        await site.watch(MINUTE)
        assert await site.states() == ["firing", "resolved"]


async def test_too_few_turns_to_judge_end_nothing(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        for _ in range(80):
            site.turns(failed=1, answered=1)
            await site.look(30)
        assert site.shown() == {"firing": 1}
        assert await site.states() == ["firing"]


# --- many at once -----------------------------------------------------------------------------------------


async def test_a_thousand_models_that_fail_together_are_one_message(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(models={f"m{n}": idle_model("open") for n in range(1000)})
        await site.watch(70)
        (told,) = await site.told()
        assert len(told["alerts"]) + told["truncatedAlerts"] == 1000
        assert site.desk.firing()["breaker_open"] == 1000
        site.set(models={f"m{n}": idle_model("closed") for n in range(1000)})
        await site.watch(10)
        assert await site.states() == ["firing", "resolved"]
        await site.look(86_400)
        await site.look(5)
        rows = await site.journal.store.read("SELECT count(*) FROM alert")
        assert rows == [(0,)], "what ended a day ago is forgotten"


async def test_the_gauge_has_every_rule(state_dir: Path) -> None:
    off = settings(rules={"latency": {"enabled": False}})
    async with alert_site(state_dir, off) as site:
        assert site.desk.firing() == {rule: 0 for rule in RULES if rule != "latency"}


# --- the clock, a restart, a reload -------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_wall_clock_that_jumps_neither_fires_nor_ends_nor_repeats(state_dir: Path, days: int) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        site.set(bridges={"phone": DOWN})
        await site.look(5)
        site.clock.jump(days * 86_400)
        site.turns(failed=5)
        await site.look(5)
        assert site.shown() == {"firing": 1, "pending": 1}
        assert await site.states() == ["firing"]
        await site.watch(2 * MINUTE)
        assert await site.states() == ["firing", "firing"]
        site.set(bridges={"phone": UP})
        await site.watch(6 * MINUTE)
        assert sorted(await site.states()) == ["firing", "firing", "resolved", "resolved"]
        lasted = [told["alerts"][0] for told in await site.told() if told["status"] == "resolved"]
        assert len(lasted) == 2


async def test_what_fires_is_taken_over_and_neither_repeated_nor_ended_too_early(state_dir: Path) -> None:
    clock = ManualClock()
    async with alert_site(state_dir, clock=clock) as site:
        await begun(site)
        values = [alert.value for alert in site.desk.report().alerts]
        assert values[0] > 0
    async with alert_site(state_dir, clock=clock) as site:
        await site.look()
        assert [alert.value for alert in site.desk.report().alerts] == values  # not "0 % of the turns fail"
        site.turns(answered=3)  # too few to say that it is over
        await site.watch(240)
        assert site.shown() == {"firing": 1}
        assert [alert.value for alert in site.desk.report().alerts] == values
        site.turns(answered=20)
        await site.look(5)
        assert await site.states() == ["firing", "resolved"]


async def test_the_cool_down_goes_on_over_a_restart(state_dir: Path) -> None:
    clock = ManualClock()
    async with alert_site(state_dir, clock=clock) as site:
        await begun(site)
        await site.watch(6 * MINUTE)
        assert await site.states() == ["firing", "resolved"]
    async with alert_site(state_dir, clock=clock) as site:
        site.turns(failed=40)
        await site.watch(5 * MINUTE)
        assert site.shown() == {"firing": 1}
        assert await site.states() == ["firing", "resolved"]


async def test_a_crash_is_told_once_over_restarts_and_its_end_once_half_an_hour_went_well(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    crashes: list[Restart] = []
    for number in range(3):
        crashes.append(Restart(at=clock.monotonic(), crash=True, detail=f"process {number}"))
        async with alert_site(state_dir, settings(), clock) as site:
            site.set(restarts=tuple(crashes))
            await site.look()
            assert await site.states("ClawdCrashes") == ["firing"]
            await site.watch(10 * MINUTE, 30)
            (told,) = [t for t in await site.told() if t["groupLabels"]["alertname"] == "ClawdCrashes"]
            assert "process 0" in told["alerts"][0]["annotations"]["description"]
    async with alert_site(state_dir, settings(), clock) as site:
        site.set(restarts=tuple(crashes))
        await site.watch(19 * MINUTE, 30)
        assert await site.states("ClawdCrashes") == ["firing"]
        await site.watch(2 * MINUTE, 30)
        assert await site.states("ClawdCrashes") == ["firing", "resolved"]


async def test_restarts_are_told_from_the_third_within_half_an_hour(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        now = site.clock.monotonic()
        two = (Restart(at=now - 60, crash=False), Restart(at=now, crash=False))
        site.set(restarts=(Restart(at=now - 1800, crash=False), *two))
        await site.look()
        assert (await site.told(), site.shown()) == ([], {})
        site.set(restarts=(Restart(at=now - 1799, crash=False), *two))
        await site.look()
        assert await site.states() == ["firing"]
        assert [t["groupLabels"]["alertname"] for t in await site.told()] == ["ClawdRestarts"]
        await site.watch(1800, 30)
        assert await site.states() == ["firing", "resolved"]


async def test_a_refused_configuration_is_told_while_it_stays_and_its_end_when_a_good_one_is_loaded(
    state_dir: Path,
) -> None:
    async with alert_site(state_dir) as site:
        site.set(config_error="config.yaml:3:5: unknown key")
        await site.watch(115)
        site.set(config_error="")
        await site.look(5)
        assert (await site.told(), site.shown()) == ([], {})
        site.set(config_error="config.yaml:3:5: unknown key")
        await site.watch(130)
        (told,) = await site.told()
        assert "config.yaml:3:5: unknown key" in told["alerts"][0]["annotations"]["description"]
        site.set(config_error="")
        await site.look(5)
        assert await site.states("ClawdConfigRefused") == ["firing", "resolved"]


async def test_a_rule_that_is_switched_off_ends_without_a_word(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        await begun(site)
        site.desk.configure(settings(rules={"error_rate": {"enabled": False}}), ())
        await site.watch(10)
        assert (site.shown(), await site.states()) == ({"resolved": 1}, ["firing"])


async def test_a_limit_that_is_raised_ends_what_is_below_it(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(disk_used=0.95)
        await site.watch(2 * MINUTE)
        site.desk.configure(settings(rules={"disk": {"above": 0.99}}), ())
        await site.look(5)
        assert await site.states() == ["firing", "resolved"]


async def test_a_bridge_that_is_gone_from_the_configuration_is_over(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(bridges={"phone": DOWN})
        await site.watch(3 * MINUTE)
        site.set(bridges={})
        await site.look(5)
        assert await site.states() == ["firing", "resolved"]


async def test_an_unreadable_journal_says_nothing_of_the_queue(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(queue_age_s=400.0)
        await site.watch(MINUTE)
        assert await site.states() == ["firing"]
        site.set(queue_age_s=None)
        await site.watch(5 * MINUTE)
        assert site.shown() == {"firing": 1}
        site.set(queue_age_s=0.0)
        await site.look(5)
        assert await site.states() == ["firing", "resolved"]


async def test_what_begins_while_the_journal_is_locked_is_told_afterwards(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        with locked(state_dir):
            site.set(disk_used=0.95)
            await site.watch(2 * MINUTE, 30)
            assert site.shown() == {"firing": 1}
        assert await site.told() == []
        await site.look(5)
        assert await site.states() == ["firing"]


async def test_a_disk_without_room_for_the_journal_fires_at_once_and_is_told_afterwards(
    state_dir: Path,
) -> None:
    async with alert_site(state_dir) as site:
        with locked(state_dir):
            site.set(disk_full=True, disk_used=0.5)  # a quota: the share says nothing
            await site.look(5)
            assert site.desk.firing()["disk"] == 1
            (shown,) = site.desk.report().alerts
            assert (shown.value, shown.detail) == (1.0, "the journal can't be written")
        assert await site.told() == []
        await site.look(5)
        assert await site.states("ClawdDisk") == ["firing"]
        site.set(disk_full=False)
        await site.look(5)
        assert await site.states("ClawdDisk") == ["firing", "resolved"]


async def test_what_began_and_ended_while_the_journal_was_locked_is_one_message(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        with locked(state_dir):
            site.set(disk_used=0.95)
            await site.watch(2 * MINUTE, 30)
            site.set(disk_used=0.5)
            await site.look(30)
        await site.watch(MINUTE)
        (told,) = await site.told()
        assert told["status"] == "resolved"
        assert told["alerts"][0]["startsAt"] < told["alerts"][0]["endsAt"]


async def test_a_target_that_comes_later_is_told_of_what_begins_from_then_on(state_dir: Path) -> None:
    nobody = settings(targets=[])
    async with alert_site(state_dir, nobody) as site:
        site.set(disk_used=0.95)
        await site.watch(2 * MINUTE)
        assert (site.shown(), await site.told()) == ({"firing": 1}, [])
        site.desk.configure(settings(), ())
        site.set(bridges={"phone": DOWN})
        await site.watch(3 * MINUTE)
        assert [told["groupLabels"]["alertname"] for told in await site.told()] == ["ClawdBridgeDown"]


async def test_a_test_alert_goes_to_every_target_and_leaves_nothing_open(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        sent = await site.desk.test()
        assert len(sent) == 2
        assert await site.states("ClawdTest") == ["firing", "resolved"]
        assert site.shown() == {}
        site.desk.configure(settings(targets=[]), ())
        with pytest.raises(NotPossible):
            await site.desk.test()


async def test_a_url_stands_in_no_row(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(disk_used=0.95)
        await site.watch(2 * MINUTE)
        assert site.desk.report().targets == ("https://example.com",)
        assert await site.journal.views.conversations() == []
    stored = b"".join(path.read_bytes() for path in state_dir.rglob("*") if path.is_file())
    assert b"ClawdDisk" in stored
    assert b"recognisable-key" not in stored


async def test_a_bug_in_one_rule_leaves_the_others_to_be_told(state_dir: Path) -> None:
    async with alert_site(state_dir) as site:
        site.set(models={"m": idle_model("open")})
        await site.watch(70)
        assert await site.states() == ["firing"]
        site.set(models={"m": idle_model("unheard_of")}, bridges={"chat": DOWN})
        with pytest.raises(KeyError):
            await site.desk.look()
        await site.watch(150)
        assert await site.states("ClawdBridgeDown") == ["firing"]
        assert await site.states("ClawdBreakerOpen") == ["firing"]  # nothing is known of its end
        site.set(models={"m": idle_model("closed")})
        await site.watch(500)
        assert await site.states("ClawdBreakerOpen") == ["firing", "resolved"]


async def test_what_lasts_is_looked_at_once_a_minute_while_nothing_else_goes_on(state_dir: Path) -> None:
    async with alert_site(state_dir) as site, asyncio.TaskGroup() as tasks:
        site.set(bridges={"chat": DOWN})
        run = tasks.create_task(site.desk.run())
        await passes(site, LASTS_S + PACE_S, PACE_S)
        assert site.readings >= LASTS_S / PACE_S
        before = site.readings
        await passes(site, 3600, MINUTE)
        assert site.readings - before <= 3600 / IDLE_S + 1
        site.set(bridges={"chat": UP})
        await passes(site, IDLE_S, PACE_S)
        assert await site.states() == ["firing", "resolved"]
        run.cancel()


async def test_a_crash_that_was_told_wakes_an_idle_daemon_once_a_minute_at_the_most(state_dir: Path) -> None:
    async with alert_site(state_dir) as site, asyncio.TaskGroup() as tasks:
        site.set(restarts=(Restart(at=site.clock.monotonic(), crash=True),))
        run = tasks.create_task(site.desk.run())
        await passes(site, 2 * PACE_S, PACE_S)
        assert await site.states() == ["firing"]
        before = site.readings
        await passes(site, 1800, MINUTE)
        assert site.readings - before <= 1800 / IDLE_S + 1
        await passes(site, 2 * IDLE_S, MINUTE)
        assert await site.states() == ["firing", "resolved"]
        run.cancel()


async def test_the_log_has_an_alert_at_the_level_of_its_severity(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with alert_site(state_dir) as site:
        site.set(models={"m": idle_model("open")}, disk_used=0.95)
        await site.watch(70)
    levels = {r.__dict__["rule"]: r.levelname for r in caplog.records if r.message == "alert_firing"}
    assert levels == {"breaker_open": "WARNING", "disk": "ERROR"}
