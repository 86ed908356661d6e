"""A collector that is away, slow, full or picky: it is waited for, or not, and nothing waits with it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from clawd.tracing.service import GATHER_S, MAX_DELAY_S
from tests.fakes.collector import Collector, Trouble
from tests.fakes.rich_journal import bench_of, fill
from tests.fakes.traces_site import at_work

if TYPE_CHECKING:
    from clawd.journal.opening import OpenJournal
    from clawd.testing import ManualClock


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(status=500),
        Trouble(status=503),
        Trouble(status=429, headers={"Retry-After": "7"}),
        Trouble(status=401),
        Trouble(status=307, headers={"Location": "http://127.0.0.1:1/"}),
    ],
    ids=lambda trouble: str(trouble.status),
)
async def test_a_collector_that_is_away_is_waited_for_and_named_once(
    opened: OpenJournal, clock: ManualClock, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.troubles.extend([trouble] * 3)
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        for wait_s in (1, 2, 4):
            await clock.sleeping()
            await clock.advance(max(wait_s, float(trouble.headers.get("Retry-After", 0))))
        await collector.until(lambda: collector.spans)
        await site.drained()
    assert len(collector.bodies) == 4
    assert len(set(collector.bodies)) == 1
    assert [each.message for each in caplog.records if each.message.startswith("traces_collector")] == [
        "traces_collector_away",
        "traces_collector_back",
    ]
    assert site.counted() == {"sent": len(collector.spans)}


async def test_pauses_grow_to_five_minutes(opened: OpenJournal, clock: ManualClock) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.always = Trouble(status=503)
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        for tries in range(10):
            await clock.sleeping()
            await clock.advance(min(2.0**tries, MAX_DELAY_S))
        await collector.until(lambda: len(collector.bodies) == 11)


async def test_what_a_collector_does_not_want_is_counted_and_not_sent_for_ever(
    opened: OpenJournal, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = bench_of(opened)
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.troubles.append(Trouble(status=400))
        await bench.answer("hi", "hello")
        await site.gathered()
        await collector.until(lambda: len(collector.bodies) == 1)
        await bench.answer("ho", "hello", chat="2")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        assert len(collector.named("invoke_agent")) == 1
        collector.rejects = 1
        await bench.answer("hey", "hello", chat="3")
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 2)
        await site.drained()
    counted = site.counted()
    assert counted["rejected"] >= 2
    assert sum(each.message == "traces_rejected" for each in caplog.records) == 2, (
        "once, and anew after some were taken"
    )
    assert not any("said" in str(each.__dict__) for each in caplog.records), (
        "a collector's words are not logged"
    )


async def test_what_always_gets_http_500_is_given_up_after_five_tries(
    opened: OpenJournal, clock: ManualClock
) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.troubles.extend([Trouble(status=500)] * 5)
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        for wait_s in (1, 2, 4, 8):
            await clock.sleeping()
            await clock.advance(wait_s)
        await collector.until(lambda: len(collector.bodies) == 5)
        await bench_of(opened).answer("ho", "hello", chat="2")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        assert site.counted()["rejected"] > 0


async def test_what_is_too_large_is_sent_in_parts(opened: OpenJournal) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.max_spans = 4
        await fill(bench_of(opened))
        await site.gathered()
        await collector.until(lambda: len(collector.named("clawd.delivery")) == 5)
        spans = collector.judged()
        assert len(spans) == len(collector.spans) > 8


async def test_a_collector_that_hangs_is_left_at_the_end_and_told_after_the_next_start(
    opened: OpenJournal,
) -> None:
    async with Collector() as collector:
        async with at_work(opened, collector.url) as site:
            collector.always = Trouble(kind="hang")
            await bench_of(opened).answer("hi", "hello")
            await site.gathered()
            await collector.until(lambda: collector.bodies)
            site.traces.drain()  # the daemon waits a second for it, and cancels it
        collector.always = None
        async with at_work(opened, collector.url) as site:
            await site.gathered()
            await collector.until(lambda: collector.named("invoke_agent"))


async def test_another_endpoint_takes_what_the_one_before_did_not(opened: OpenJournal) -> None:
    async with Collector() as away, Collector() as other, at_work(opened, away.url) as site:
        away.always = Trouble(status=503)
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        await site.clock.sleeping()
        await site.configure(other.url)
        async with asyncio.timeout(30):
            while not other.named("invoke_agent"):
                await site.clock.advance(GATHER_S)
                await asyncio.sleep(0.01)


async def test_a_redirect_is_not_followed_with_the_keys_of_the_collector(opened: OpenJournal) -> None:
    async with Collector() as other, Collector() as collector, at_work(opened, collector.url) as site:
        collector.always = Trouble(status=307, headers={"Location": f"{other.url}/v1/traces"})
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        await site.clock.sleeping()  # it is waited for
        assert (len(collector.bodies), other.bodies) == (1, [])


async def test_a_collector_that_says_when_is_not_asked_before(
    opened: OpenJournal, clock: ManualClock
) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.always = Trouble(status=429, headers={"Retry-After": "30"})
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        await clock.sleeping()
        await clock.advance(29)
        await clock.sleeping()
        assert len(collector.bodies) == 1
        collector.always = None
        await clock.advance(1)
        await collector.until(lambda: collector.spans)


async def test_a_collector_that_never_ends_its_answer_has_taken_what_it_said_it_took(
    opened: OpenJournal,
) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        collector.always = Trouble(kind="drip")
        await bench_of(opened).answer("hi", "hello")
        await site.drained()
        assert len(collector.bodies) == 1
    assert site.counted()["sent"] >= 1
