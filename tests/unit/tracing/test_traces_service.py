"""What a collector is told of a real journal: all of it once, under the same ids whenever it is told again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from clawd.config.otel import OtelConfig
from clawd.config.schema import NetworkConfig
from clawd.journal.deliveries import Sent
from clawd.models.base import ModelInfo
from clawd.observability.counts import Counts
from clawd.observability.redact import Redactor
from clawd.tracing.batch import MAX_AGE, Batches, Place
from clawd.tracing.service import GATHER_S, KEEP_S, MAX_DELAY_S, Traces
from clawd.tracing.telling import Surroundings
from clawd.tracing.wording import Wording
from tests.conformance.journals import address
from tests.fakes.collector import CONTENT, Collector, Trouble
from tests.fakes.rich_journal import bench_of, fill
from tests.unit.journal.conftest import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from clawd.journal.opening import OpenJournal
    from clawd.testing import ManualClock

__all__ = ["opened"]

SECRET = "very-secret-value"
MODELS = [
    ModelInfo(
        name="m", type="chat", model="m-large", place="https://api.deepseek.com/v1", found="config", routes=()
    )
]


class Site:
    """The service over a journal."""

    def __init__(self, opened: OpenJournal, environ: Mapping[str, str] | None = None) -> None:
        self.opened = opened
        self.counts = Counts()
        self.clock = bench_of(opened).clock
        self.traces = Traces(
            opened.ended,
            opened.views.story,
            self.clock,
            environ=environ or {},
            redactor=Redactor([SECRET]),
            models=lambda: MODELS,
            tools=lambda: ("t",),
            counts=self.counts,
            chance=lambda: 0.0,
        )
        self.counts.ended = self.traces.stir
        self.task: asyncio.Task[None] | None = None

    async def drained(self) -> None:
        """Let it end by itself: all that a collector took is settled then."""
        self.traces.drain()
        assert self.task is not None
        await asyncio.wait({self.task})

    async def configure(self, url: str | None, *, content: bool = False) -> None:
        config = OtelConfig(endpoint=url, content=content) if url is not None else None
        await self.traces.configure(config, NetworkConfig())

    async def gathered(self) -> None:
        """Let the time to gather pass."""
        self.traces.stir()
        await self.clock.sleeping()
        await self.clock.advance(GATHER_S)

    def counted(self) -> dict[str, float]:
        return {outcome: number for (outcome,), number in self.counts.spans.numbers().items() if number}


@asynccontextmanager
async def at_work(
    opened: OpenJournal, url: str | None, *, content: bool = False, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    site = Site(opened, environ)
    await site.configure(url, content=content)
    async with asyncio.TaskGroup() as tasks:
        site.task = tasks.create_task(site.traces.run())
        yield site
        site.task.cancel()


@pytest.fixture
def clock(opened: OpenJournal) -> ManualClock:
    return bench_of(opened).clock


async def test_all_that_ends_is_told_once_and_nothing_else(opened: OpenJournal) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        await fill(bench_of(opened))
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 5)
        spans = collector.judged()
        assert len(spans) == len(collector.spans)
        ends = sorted(got.told["clawd.outcome"] for got in collector.named("invoke_agent"))
        assert ends == ["answered", "answered", "answered", "cancelled", "failed"]
        # Two parts, two answers and one push are over; what is parked, or waits, is not told yet.
        assert len(collector.named("clawd.delivery")) == 5
        assert {got.told["clawd.state"] for got in collector.named("clawd.delivery")} == {"sent"}
        chat = next(got for got in collector.named("chat") if got.span.name == "chat m-large")
        assert chat.told["gen_ai.provider.name"] == "deepseek"
        assert chat.told["server.address"] == "api.deepseek.com"
        failed = next(got for got in collector.named("chat") if got.failed)
        assert failed.told["error.type"] == "E-MODEL-DOWN"
        assert failed.told["clawd.possible_usd"] == 0.01


async def test_neither_words_nor_people_are_sent_unless_they_are_wanted(opened: OpenJournal) -> None:
    words = ("what is it", "it is", "the result", '{"x": 1}', "news", SECRET)
    async with Collector() as collector, at_work(opened, collector.url) as site:
        await fill(bench_of(opened), question=f"what is it {SECRET}", result="the result")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        sent = b"".join(collector.bodies)
        for word in (*words, str(address()), '"chat"', "remote"):
            assert word.encode() not in sent, word
        assert not {key for got in collector.spans for key in got.told} & CONTENT


async def test_words_that_are_wanted_are_clean_and_cut(opened: OpenJournal) -> None:
    async with Collector() as collector, at_work(opened, collector.url, content=True) as site:
        await fill(bench_of(opened), question=f"my key is {SECRET}", answer="x" * 20_000, result="the result")
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 5)
        assert SECRET.encode() not in b"".join(collector.bodies)
        turn = next(
            got for got in collector.named("invoke_agent") if "my key" in got.told["gen_ai.input.messages"]
        )
        assert "my key is ***" in turn.told["gen_ai.input.messages"]
        assert "xxx" in turn.told["gen_ai.output.messages"]
        assert len(turn.told["gen_ai.output.messages"]) < 9000
        tools = [got.told for got in collector.named("execute_tool") if got.told.get("clawd.outcome") == "ok"]
        assert {tool["gen_ai.tool.call.result"] for tool in tools} == {"the result"}
        assert {tool["gen_ai.tool.call.arguments"] for tool in tools} == {'{"x": 1}', "{}"}
        collector.judged()


async def test_a_delivery_that_is_late_is_told_under_its_turn_when_it_is_over(
    opened: OpenJournal, clock: ManualClock
) -> None:
    bench = bench_of(opened)
    async with Collector() as collector, at_work(opened, collector.url) as site:
        await bench.answer("hi", "hello")
        await site.gathered()
        await collector.until(lambda: collector.named("invoke_agent"))
        assert not collector.named("clawd.delivery")
        row = (await bench.take_one()).row
        await clock.advance(600)
        await opened.journal.outbox_mark(row, Sent(remote_id="9"))
        await site.gathered()
        await collector.until(lambda: collector.named("clawd.delivery"))
        (turn,), (late,) = collector.named("invoke_agent"), collector.named("clawd.delivery")
        assert late.span.trace_id == turn.span.trace_id
        assert late.span.parent_span_id == turn.span.span_id
        assert late.span.end_time_unix_nano - turn.span.end_time_unix_nano >= 600 * 10**9
        assert len(collector.judged()) == len(collector.spans)


async def test_what_is_told_again_after_a_kill_has_the_same_ids(opened: OpenJournal) -> None:
    bench = bench_of(opened)
    async with Collector() as collector:
        async with at_work(opened, collector.url) as site:
            await bench.answer("one", "first")
            await site.gathered()
            await collector.until(lambda: collector.spans)
            kept = await opened.ended.place()
        before = collector.judged()
        opened.ended.keep(kept)  # as a kill leaves it: within half a minute nothing more was written
        row = (await bench.take_one()).row
        await opened.journal.outbox_mark(row, Sent(remote_id="9"))
        async with at_work(opened, collector.url) as site:
            await site.gathered()
            await collector.until(lambda: collector.named("clawd.delivery"))
        after = collector.judged()
        assert {got.span.span_id for got in before} < {got.span.span_id for got in after}
        assert len(collector.spans) > len(after), "the turn was told twice, as the same"


async def test_the_place_is_kept_over_a_stop_so_nothing_is_told_twice(opened: OpenJournal) -> None:
    bench = bench_of(opened)
    async with Collector() as collector:
        async with at_work(opened, collector.url) as site:
            await bench.answer("one", "first")
            await site.drained()
            assert collector.spans
        await bench.answer("two", "second", chat="2")
        async with at_work(opened, collector.url) as site:
            await site.gathered()
            await collector.until(lambda: len(collector.named("invoke_agent")) == 2)
        assert len(collector.judged()) == len(collector.spans)


async def test_the_place_is_written_once_in_half_a_minute_of_work_and_at_the_end(
    opened: OpenJournal, clock: ManualClock
) -> None:
    bench, number = bench_of(opened), 0

    async def place() -> str:
        await opened.store.ping()  # what was handed to the writer before is committed
        return await opened.ended.place()

    async with Collector() as collector, at_work(opened, collector.url) as site:

        async def tell_one() -> None:
            nonlocal number
            number += 1
            await bench.answer("hi", "hello", chat=str(number))
            await site.gathered()
            await collector.until(lambda: len(collector.named("invoke_agent")) == number)

        began = await place()
        for _ in range(5):
            await tell_one()
        assert await place() == began
        await clock.advance(KEEP_S)
        await tell_one()
        await tell_one()  # the one before is settled
        later = await place()
        assert later != began
        await site.drained()
        assert await place() != later


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


async def test_what_ended_while_traces_were_off_is_not_told(opened: OpenJournal) -> None:
    bench = bench_of(opened)
    async with Collector() as collector, at_work(opened, None) as site:
        await bench.answer("before", "first")
        site.traces.stir()
        await site.configure(collector.url)
        await bench.answer("now", "second", chat="2")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        assert len(collector.named("invoke_agent")) == 1
        await site.configure(None)
        assert not await opened.ended.place()
        await bench.answer("off", "third", chat="3")
        await site.configure(collector.url)
        await bench.answer("on", "fourth", chat="4")
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 2)


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


async def test_what_ended_more_than_a_day_ago_is_given_up_and_counted(
    opened: OpenJournal, clock: ManualClock
) -> None:
    bench = bench_of(opened)
    async with Collector() as collector:
        async with at_work(opened, collector.url):
            pass  # its place is here
        await bench.answer("old", "first")
        await clock.advance(MAX_AGE.total_seconds() + 1)
        await bench.answer("new", "second", chat="2")
        async with at_work(opened, collector.url) as site:
            await site.gathered()
            await collector.until(lambda: collector.named("invoke_agent"))
            assert len(collector.named("invoke_agent")) == 1
            await site.drained()
        assert site.counted()["given_up"] == 1


async def test_nothing_sleeps_or_wakes_while_nothing_ends(opened: OpenJournal, clock: ManualClock) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        async with asyncio.timeout(30):
            while clock.sleepers or site.traces._stirred.is_set():  # a round more may find nothing
                await clock.advance(GATHER_S)
                await asyncio.sleep(0.01)
        assert len(collector.bodies) == 1


async def test_a_conversation_that_was_erased_meanwhile_is_passed_over(opened: OpenJournal) -> None:
    bench = bench_of(opened)
    async with Collector() as collector, at_work(opened, collector.url) as site:
        await bench.answer("hi", "hello")
        await site.gathered()
        await collector.until(lambda: collector.spans)
        row = (await bench.take_one()).row
        await opened.journal.outbox_mark(row, Sent(remote_id="9"))
        await opened.admin.delete(address())
        await bench.answer("ho", "hello", chat="2")
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 2)
        assert not collector.named("clawd.delivery")


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


async def test_a_key_of_the_collector_is_hidden_in_what_it_is_sent(opened: OpenJournal) -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a-key-of-the-collector"}
    async with (
        Collector() as collector,
        at_work(opened, collector.url, content=True, environ=environ) as site,
    ):
        await bench_of(opened).answer("is it a-key-of-the-collector", "hello")
        await site.drained()
        (turn,) = collector.named("invoke_agent")
        assert "is it ***" in turn.told["gen_ai.input.messages"]
        assert collector.headers[0]["x-key"] == "a-key-of-the-collector"


async def test_of_too_many_open_deliveries_the_oldest_are_given_up_and_counted(opened: OpenJournal) -> None:
    bench = bench_of(opened)
    for chat in ("1", "2", "3"):
        await bench.answer("hi", "hello", chat=chat)
    batches = Batches(opened.ended, opened.views.story, bench.clock, max_open=2)
    around = Surroundings(models={}, tools=(), wording=Wording(Redactor(), content=False))
    batch = await batches.after(Place(id=0), around)
    assert batch is not None
    assert (batch.place.open, batch.given_up) == ((2, 3), 1)
    assert Place.parse(batch.place.to_text()) == batch.place
