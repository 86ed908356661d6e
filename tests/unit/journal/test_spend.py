"""What models cost is counted in the commit that says so: once, and whatever becomes of the turn."""

from __future__ import annotations

import asyncio
import math
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import JournalConfig
from clawd.errors import Fenced, JournalError
from clawd.ids import to_ms
from clawd.journal.checking import check_state_dir
from clawd.journal.items import AdmittedMessage
from clawd.journal.mending import mend
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    SummaryIntent,
    SummaryResult,
    TurnOffline,
    TurnWaiting,
)
from clawd.journal.spend import Tally, UsageRow, day_of, micros
from clawd.journal.spend_direct import DirectSpend
from clawd.messages import Sender
from clawd.response import ModelAttempt, ModelResponse, Usage
from clawd.testing import ManualClock
from tests.conformance.journals import Bench, address, ending, inbound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.journal.base import Lease

DAY_S = 86_400
KEEP_DAYS = 30
USAGE = Usage(input_tokens=100, output_tokens=10, cached_tokens=40, cache_write_tokens=5)
PAID = ModelAttempt(model="main", outcome="ok", usage=USAGE, cost_usd=0.0025)
BROKE = ModelAttempt(model="main", outcome="E-MODEL-DOWN", possible_usd=0.001)
LOST = ModelAttempt(model="slow", outcome="hedge", possible_usd=0.004)


@pytest.fixture
async def opened(state_dir: Path) -> AsyncIterator[OpenJournal]:
    journal = await open_journal(state_dir, JournalConfig(keep_days=KEEP_DAYS), ManualClock())
    yield journal
    await journal.close()


def intent(step: int = 1, *, model: str | None = "main", usd: float | None = 0.01) -> ModelIntent:
    return ModelIntent(step=step, route="default", model=model, reserve_usd=usd)


def result(step: int, *attempts: ModelAttempt) -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="main", text="hi", attempts=attempts))


def summary(step: int, *attempts: ModelAttempt) -> SummaryResult:
    response = ModelResponse(model="main", text="so far", attempts=attempts)
    return SummaryResult(step=step, through_seq=0, through_step=0, text="so far", response=response)


async def sums(opened: OpenJournal) -> dict[str, Tally]:
    """Return what is counted, by model, over everybody and all days."""
    columns = ", ".join(f"sum({name})" for name in Tally.__slots__)
    rows = await opened.store.read(f"SELECT model, {columns} FROM spend GROUP BY model")  # noqa: S608 - constants
    return {model: Tally(**dict(zip(Tally.__slots__, values, strict=True))) for model, *values in rows}


async def open_requests(opened: OpenJournal) -> int:
    return len(await opened.store.read("SELECT 1 FROM spend_open"))


async def asked(bench: Bench, *intents: ModelIntent | SummaryIntent, chat: str = "1") -> Lease:
    """Let a turn ask a model, and return its lease."""
    await bench.say(chat=chat)
    lease = await bench.claim()
    for item in intents:
        bench.journal.note(lease, item)
    return lease


def possible(calls: int, amount: int) -> Tally:
    return Tally(possible_calls=calls, possible=amount)


ONE_PAID = Tally(
    calls=1, input_tokens=100, output_tokens=10, cached_tokens=40, cache_write_tokens=5, cost=2500
)

# --- results ------------------------------------------------------------------------------------------


async def test_a_result_is_counted_with_its_commit_and_its_request_is_open_no_more(
    bench: Bench, opened: OpenJournal
) -> None:
    lease = await asked(bench, intent())
    await bench.journal.record(lease, result(1, BROKE, PAID, LOST))
    assert await sums(opened) == {
        "main": replace(ONE_PAID, calls=2, failed=1, possible_calls=1, possible=1000),
        "slow": Tally(calls=1, possible_calls=1, possible=4000),
    }
    assert await open_requests(opened) == 0
    await bench.finish(lease, "reply")
    assert await bench.restart() == 0
    assert (await sums(opened))["main"].cost == 2500


async def test_what_is_not_committed_is_not_counted(bench: Bench, opened: OpenJournal) -> None:
    lease = await asked(bench, intent())
    await bench.journal.record(lease, result(1, PAID))
    with pytest.raises(JournalError):
        await bench.journal.record(lease, result(1, PAID))
    await bench.journal.release(lease)
    with pytest.raises(Fenced):
        await bench.journal.record(lease, result(2, PAID))
    bench.journal.note(lease, intent(2))
    await opened.store.ping()
    assert await sums(opened) == {"main": ONE_PAID}
    assert await open_requests(opened) == 0


async def test_each_step_and_each_summary_of_a_turn_counts_once(bench: Bench, opened: OpenJournal) -> None:
    lease = await asked(bench, SummaryIntent(step=-1, route="summary", model="main", reserve_usd=0.5))
    await bench.journal.record(lease, summary(-1, PAID))
    bench.journal.note(lease, intent(1))
    await bench.journal.record(lease, result(1, PAID))
    bench.journal.note(lease, intent(2))
    await bench.finish(lease, "reply", records=(result(2, PAID),))
    assert (await sums(opened))["main"] == Tally(
        calls=3, input_tokens=300, output_tokens=30, cached_tokens=120, cache_write_tokens=15, cost=7500
    )


async def test_a_step_that_was_asked_twice_in_one_claim_is_settled_whole_by_its_result(
    bench: Bench, opened: OpenJournal
) -> None:
    lease = await asked(bench, intent(1, usd=0.3), intent(1, usd=0.2))
    await opened.store.ping()
    assert await open_requests(opened) == 2
    await bench.journal.record(lease, result(1, BROKE, PAID))
    assert await open_requests(opened) == 0
    assert (await sums(opened))["main"].possible == 1000


# --- requests of which nothing is heard ---------------------------------------------------------------


async def test_a_turn_that_is_stopped_while_it_asks_may_have_paid(bench: Bench, opened: OpenJournal) -> None:
    lease = await asked(bench, intent(usd=0.25))
    await bench.journal.record(lease, ending(lease, "cancelled"), done=True)
    assert await sums(opened) == {"main": possible(1, 250_000)}
    assert await open_requests(opened) == 0


async def test_a_turn_that_is_handed_back_may_have_paid_and_its_next_try_pays_for_itself(
    bench: Bench, opened: OpenJournal
) -> None:
    lease = await asked(bench, intent(usd=0.25))
    await bench.journal.release(lease)
    assert await sums(opened) == {"main": possible(1, 250_000)}
    lease = await bench.claim()
    bench.journal.note(lease, intent(usd=0.25))
    await bench.finish(lease, "reply", records=(result(1, PAID),))
    assert await sums(opened) == {"main": replace(ONE_PAID, possible_calls=1, possible=250_000)}


async def test_what_a_dead_process_asked_becomes_possible_spend_once(
    bench: Bench, opened: OpenJournal
) -> None:
    await asked(bench, intent(usd=0.25))
    await asked(bench, intent(usd=0.5), chat="2")
    await bench.restart()
    assert await sums(opened) == {"main": possible(2, 750_000)}
    await bench.restart()
    assert await sums(opened) == {"main": possible(2, 750_000)}
    for _ in range(2):
        lease = await bench.claim()
        await bench.finish(lease, "reply", records=(result(1, PAID),))
    assert (await sums(opened))["main"].possible == 750_000


async def test_a_turn_that_begins_to_wait_or_can_not_be_read_has_nothing_under_way(
    bench: Bench, opened: OpenJournal
) -> None:
    lease = await asked(bench, intent(1), intent(3, usd=0.5))
    await bench.journal.record(lease, result(1, PAID))
    assert await open_requests(opened) == 1, "nobody said what became of the other one"
    waiting = TurnWaiting(
        step=2, about="approval", name="t", subject="s", deadline=bench.clock.now() + timedelta(hours=1)
    )
    await bench.journal.record(lease, waiting)
    assert (await sums(opened))["main"].possible == 500_000
    lease = await asked(bench, intent(usd=0.25), chat="2")
    await opened.store.write(
        lambda db: db.execute("UPDATE journal SET body = 'x' WHERE conv = ?", (lease.conv,))
    )
    with pytest.raises(JournalError):
        await bench.journal.load(lease)
    assert (await sums(opened))["main"].possible == 750_000
    assert await open_requests(opened) == 0


async def test_a_failed_turn_settles_what_its_last_request_cost(bench: Bench, opened: OpenJournal) -> None:
    lease = await asked(bench, intent(1, usd=0.25))
    await bench.journal.record(lease, replace(ending(lease, "failed"), attempts=(BROKE, LOST)), done=True)
    assert await sums(opened) == {
        "main": Tally(calls=1, failed=1, possible_calls=1, possible=1000),
        "slow": Tally(calls=1, possible_calls=1, possible=4000),
    }


async def test_a_failed_turn_does_not_settle_another_request_that_it_left_open(
    bench: Bench, opened: OpenJournal
) -> None:
    lease = await asked(bench, intent(1, model="small", usd=0.5), intent(3, usd=0.25))
    await bench.journal.record(lease, replace(ending(lease, "failed"), attempts=(BROKE,)), done=True)
    assert await sums(opened) == {
        "main": Tally(calls=1, failed=1, possible_calls=1, possible=1000),
        "small": possible(1, 500_000),
    }


async def test_a_request_without_a_price_is_counted_as_possible_all_the_same(
    bench: Bench, opened: OpenJournal
) -> None:
    await asked(bench, intent(usd=None), intent(2, model=None))
    await bench.restart()
    assert await sums(opened) == {"main": possible(1, 0)}


async def test_what_was_asked_before_midnight_and_lost_after_it_is_of_the_day_before(
    bench: Bench, opened: OpenJournal
) -> None:
    await asked(bench, intent(usd=0.25))
    await opened.store.ping()
    bench.clock.jump(DAY_S)
    await bench.restart()
    lease = await bench.claim()
    await bench.finish(lease, "reply", records=(result(1, PAID),))
    rows = {row.name: row for row in await opened.spending.usage(days=2, by="day")}
    assert (rows["2026-01-01"].possible_usd, rows["2026-01-01"].cost_usd) == (0.25, 0.0)
    assert (rows["2026-01-02"].possible_usd, rows["2026-01-02"].cost_usd) == (0.0, 0.0025)


# --- single numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "unpriced", "possible_calls"),
    [
        pytest.param(PAID, 0, 0, id="priced"),
        pytest.param(replace(PAID, cost_usd=0.0), 0, 0, id="free"),
        pytest.param(replace(PAID, cost_usd=None), 1, 0, id="no price"),
        pytest.param(replace(PAID, cost_usd=None, usage=Usage()), 1, 0, id="nothing known"),
        pytest.param(replace(PAID, cost_usd=None, usage=Usage(), possible_usd=0.1), 0, 1, id="no count"),
        pytest.param(replace(PAID, cost_usd=None, outcome="E-MODEL-DOWN"), 1, 0, id="broke off, counted"),
        pytest.param(ModelAttempt(model="m", outcome="E-MODEL-AUTH"), 0, 0, id="refused"),
    ],
)
def test_a_call_without_a_known_price_is_told_apart(
    attempt: ModelAttempt, unpriced: int, possible_calls: int
) -> None:
    tally = Tally()
    tally.add(attempt)
    assert (tally.calls, tally.unpriced, tally.possible_calls) == (1, unpriced, possible_calls)


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [("ok", 0), ("hedge", 0), ("cancelled", 0), ("E-MODEL-DOWN", 1), ("E-MODEL-AUTH", 1), ("E-CONTEXT", 1)],
)
def test_only_what_speaks_against_a_model_is_its_failure(outcome: str, failed: int) -> None:
    tally = Tally()
    tally.add(ModelAttempt(model="m", outcome=outcome))
    assert (tally.calls, tally.failed) == (1, failed)


@pytest.mark.parametrize("usd", [math.nan, -1.0, 0.0, None, -math.inf])
def test_what_is_no_amount_of_money_counts_as_nothing(usd: float | None) -> None:
    assert micros(usd) == 0


async def test_absurd_numbers_and_broken_names_are_kept_within_bounds(
    bench: Bench, opened: OpenJournal
) -> None:
    sender = Sender(id="\ud800x")
    message = replace(inbound(), sender=sender)
    await bench.journal.accept([AdmittedMessage(message=message, right="chat")])
    lease = await bench.claim()
    bench.journal.note(lease, intent(usd=math.inf))
    usage = Usage(input_tokens=10**30, output_tokens=-5)
    absurd = replace(PAID, usage=usage, cost_usd=math.inf, possible_usd=math.nan)
    await bench.finish(lease, "reply", records=(result(1, absurd, absurd),))
    tally = (await sums(opened))["main"]
    assert (tally.input_tokens, tally.output_tokens, tally.cost) == (2 * 10**12, 0, 2 * 10**12)
    assert (await opened.spending.usage(days=1, by="user"))[0].name == "tg:?x"


def test_days_are_those_of_utc() -> None:
    first = datetime(2026, 3, 1, tzinfo=UTC)
    assert day_of(to_ms(first)) == day_of(to_ms(first - timedelta(milliseconds=1))) + 1


# --- questions ----------------------------------------------------------------------------------------


async def pay(bench: Bench, *, chat: str = "1", sender: str = "42", model: str = "main", usd: float) -> None:
    message = replace(inbound(chat=chat), sender=Sender(id=sender))
    await bench.journal.accept([AdmittedMessage(message=message, right="chat")])
    lease = await bench.claim()
    attempt = replace(PAID, model=model, cost_usd=usd)
    await bench.finish(lease, records=(result(1, attempt),))


def costs(rows: Any) -> dict[str, float]:
    return {row.name: row.cost_usd for row in rows}


async def test_use_is_told_by_day_model_user_and_conversation(bench: Bench, opened: OpenJournal) -> None:
    await pay(bench, usd=1.0)
    bench.clock.jump(DAY_S)
    await pay(bench, usd=2.0, model="other")
    await pay(bench, usd=4.0, sender="43")
    await pay(bench, usd=8.0, chat="2")
    spending = opened.spending
    assert costs(await spending.usage(days=7, by="day")) == {"2026-01-01": 1.0, "2026-01-02": 14.0}
    assert costs(await spending.usage(days=1, by="day")) == {"2026-01-02": 14.0}
    by_model = await spending.usage(days=7, by="model")
    assert list(costs(by_model).items()) == [("main", 13.0), ("other", 2.0)], "the dearest first"
    assert costs(await spending.usage(days=7, by="user")) == {"tg:42": 11.0, "tg:43": 4.0}
    assert costs(await spending.usage(days=7, by="conversation")) == {"tg:bot:1": 7.0, "tg:bot:2": 8.0}
    assert (await spending.today()).cost_usd == 14.0
    assert (await spending.today(user="tg:43")).cost_usd == 4.0
    assert (await spending.today(address=address("1"))).cost_usd == 6.0
    assert await spending.today(user="tg:99") == UsageRow()
    spent = await spending.spent()
    assert (spent.day.isoformat(), spent.month_usd) == ("2026-01-02", 15.0)
    assert {(row.model, row.conversation, row.user, row.usd) for row in spent.rows} == {
        ("other", "tg:bot:1", "tg:42", 2.0),
        ("main", "tg:bot:1", "tg:43", 4.0),
        ("main", "tg:bot:2", "tg:42", 8.0),
    }


async def test_a_month_begins_anew(bench: Bench, opened: OpenJournal) -> None:
    await pay(bench, usd=1.0)
    bench.clock.jump(31 * DAY_S)
    await pay(bench, usd=2.0)
    assert (await opened.spending.spent()).month_usd == 2.0


async def test_a_conversation_that_moved_is_named_by_its_new_address(
    bench: Bench, opened: OpenJournal
) -> None:
    await pay(bench, usd=1.0)
    await bench.journal.move_address(address("1"), address("-100"))
    assert costs(await opened.spending.usage(days=1, by="conversation")) == {"tg:bot:-100": 1.0}
    assert (await opened.spending.today(address=address("-100"))).cost_usd == 1.0


async def test_a_conversation_that_moved_to_a_known_address_is_told_as_one(
    bench: Bench, opened: OpenJournal
) -> None:
    await pay(bench, usd=1.0)
    await pay(bench, usd=2.0, chat="-100")
    await bench.journal.move_address(address("1"), address("-100"))
    rows = await opened.spending.usage(days=1, by="conversation")
    assert [(row.name, row.cost_usd) for row in rows] == [("tg:bot:-100", 3.0)]


# --- what goes for good -------------------------------------------------------------------------------


async def rows(opened: OpenJournal) -> set[tuple[Any, ...]]:
    return set(await opened.store.read("SELECT day - 20454, model, conv, sender, calls, cost FROM spend"))


async def test_a_deleted_conversation_leaves_what_it_cost_and_not_whose_it_was(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await pay(bench, usd=1.0)
    await pay(bench, usd=2.0, sender="43")
    await pay(bench, usd=4.0, sender="77", chat="2")
    await bench.admin.delete(address("1"))
    assert await rows(opened) == {(0, "main", 0, "", 2, 3_000_000), (0, "main", 2, "tg:77", 1, 4_000_000)}
    await bench.admin.delete(address("2"))
    assert await rows(opened) == {(0, "main", 0, "", 3, 7_000_000)}
    assert costs(await opened.spending.usage(days=1, by="conversation")) == {"": 7.0}
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()


async def test_days_that_are_older_than_turns_are_kept_forget_who_used_what(
    bench: Bench, opened: OpenJournal
) -> None:
    async def no_pause() -> None:
        await asyncio.sleep(0)

    await pay(bench, usd=1.0)
    await pay(bench, usd=2.0, chat="2")
    bench.clock.jump(DAY_S)
    await pay(bench, usd=4.0)
    bench.clock.jump(KEEP_DAYS * DAY_S)
    await opened.keeping.forget(no_pause)
    assert await rows(opened) == {(0, "main", 0, "", 2, 3_000_000), (1, "main", 1, "tg:42", 1, 4_000_000)}


async def test_a_salvage_keeps_what_a_lost_conversation_cost(bench: Bench, opened: OpenJournal) -> None:
    await pay(bench, usd=1.0)
    await pay(bench, usd=2.0, chat="2")
    await asked(bench, intent(), chat="2")

    def lose_and_mend(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("DELETE FROM conv WHERE id = 2")
        db.execute("DELETE FROM inbox WHERE conv = 2")
        mend(db, 0)

    await opened.store.write(lose_and_mend)
    assert await rows(opened) == {(0, "main", 1, "tg:42", 1, 1_000_000), (0, "main", 0, "", 1, 2_000_000)}
    assert await open_requests(opened) == 0


async def test_sums_are_the_columns_of_the_table(opened: OpenJournal) -> None:
    columns = [row[0] for row in await opened.store.read("SELECT name FROM pragma_table_info('spend')")]
    assert columns == ["day", "model", "conv", "sender", *Tally.__slots__]
    assert astuple(Tally()) == (0,) * len(Tally.__slots__)


async def test_what_no_turn_asked_counts_by_day_and_model_and_for_budgets(
    opened: OpenJournal, state_dir: Path
) -> None:
    direct = DirectSpend(opened.store, ManualClock())
    direct.count((PAID, LOST))
    direct.count((PAID,))
    await opened.store.ping()
    [main, slow] = sorted(await opened.spending.usage(days=1, by="model"), key=lambda row: row.name)
    assert (main.calls, main.cost_usd, slow.possible_usd) == (2, 0.005, 0.004)
    spent = await opened.spending.spent()
    assert (round(spent.month_usd, 6), {row.user for row in spent.rows}) == (0.009, {""})
    await opened.close()
    report = await asyncio.to_thread(check_state_dir, state_dir)
    assert report.findings == ()


@pytest.mark.parametrize("by", ["result", "end", "wait"])
async def test_a_summary_that_came_to_nothing_is_settled_with_the_request_that_it_was_for(
    bench: Bench, opened: OpenJournal, by: str
) -> None:
    lease = await asked(bench, SummaryIntent(step=-1, route="r", model="main", reserve_usd=0.5), intent(1))
    match by:
        case "result":
            await bench.journal.record(lease, result(1, BROKE, PAID))
        case "end":
            await bench.journal.record(lease, replace(ending(lease, "failed"), attempts=(BROKE,)), done=True)
        case _:
            now = bench.clock.now()
            waiting = TurnOffline(since=now, until=now + timedelta(hours=1), error="E", attempts=(BROKE,))
            await bench.journal.record(lease, waiting)
    assert await open_requests(opened) == 0
    assert (await sums(opened))["main"].possible == 1000, "what the attempt itself may have cost"
