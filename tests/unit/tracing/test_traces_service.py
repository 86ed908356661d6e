"""What a collector is told of a real journal: all of it once, under the same ids whenever it is told again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.errors import JournalUnavailable
from clawd.journal.deliveries import Sent
from clawd.journal.records import ModelResult
from clawd.observability.redact import Redactor
from clawd.response import ModelResponse
from clawd.supervisor import keep
from clawd.tracing.batch import MAX_AGE, Batches, Place
from clawd.tracing.service import GATHER_S, KEEP_S
from clawd.tracing.telling import Surroundings
from clawd.tracing.wording import Wording
from tests.conformance.journals import address, ending
from tests.fakes.collector import CONTENT, Collector
from tests.fakes.rich_journal import bench_of, fill
from tests.fakes.traces_site import SECRET, Site, at_work

if TYPE_CHECKING:
    from clawd.journal.opening import OpenJournal
    from clawd.journal.story import Story
    from clawd.testing import ManualClock


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


async def test_a_bug_in_telling_one_turn_costs_that_one_alone(
    opened: OpenJournal, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench, broken = bench_of(opened), list[str]()
    async with Collector() as collector:
        site = Site(opened)
        await site.configure(collector.url)
        turns = [await bench.answer(f"question {n}", "answer", chat=str(n)) for n in range(3)]
        bad = turns[1]

        async def story(identifier: str) -> Story:
            if identifier == bad:
                raise ValueError("surprise")
            return await opened.views.story(identifier)

        site.traces._story = story
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(keep("traces", site.traces.run, clock, broke=broken.append))
            async with asyncio.timeout(30):
                while not collector.spans:
                    await clock.advance(GATHER_S)
                    await asyncio.sleep(0.01)
            site.traces.drain()
            await asyncio.wait({task})
        told = {got.told["clawd.turn"] for got in collector.named("invoke_agent")}
        assert told == {turns[0], turns[2]}
    assert broken == ["traces"]
    assert site.counted()["given_up"] == 1
    assert [each.message for each in caplog.records if each.message.startswith(("trace_", "service_"))] == [
        "service_broke",
        "trace_left_out",
    ]


async def test_a_locked_journal_is_no_bug_of_what_is_being_told(opened: OpenJournal) -> None:
    async with Collector() as collector, at_work(opened, collector.url) as site:
        real, failures = site.traces._story, [JournalUnavailable("locked")]

        async def story(identifier: str) -> Story:
            if failures:
                raise failures.pop()
            return await real(identifier)

        site.traces._story = story
        turn = await bench_of(opened).answer("hi", "hello")
        await site.gathered()
        while failures:
            await asyncio.sleep(0)
        await site.gathered()
        await collector.until(lambda: collector.named("invoke_agent"))
        assert {got.told["clawd.turn"] for got in collector.named("invoke_agent")} == {turn}


async def test_a_request_is_bounded_in_text_as_well_as_in_spans(
    opened: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawd.tracing.batch.MAX_TEXT", 50_000)
    bench = bench_of(opened)
    async with Collector() as collector, at_work(opened, collector.url, content=True) as site:
        for n in range(20):  # of each 8,192 characters are sent, which are twice as many bytes
            await bench.say("hi", chat=str(n))
            lease = await bench.claim()
            said = ModelResult(step=1, response=ModelResponse(model="m", text="ö" * 20_000))
            await bench.journal.record(lease, said, ending(lease), done=True)
        await site.gathered()
        await collector.until(lambda: len(collector.named("invoke_agent")) == 20)
    assert all(len(body) < 2 * (50_000 + 10_000) for body in collector.bodies)
    assert len(collector.judged()) == len(collector.spans)
