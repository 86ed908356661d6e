"""Budgets: what counts against which, until when, and who is told of it."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import BudgetsConfig
from clawd.models.base import ModelAttempt, RequestTags
from clawd.models.budgets import KEPT, MOST, BudgetLedger
from clawd.models.ledger import Room
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.models.ledger import Ledger

DAY_S = 86_400
NOON = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
ANN = RequestTags(bridge="tg", conversation="tg:bot:1", user="tg:ann")
BEN = RequestTags(bridge="tg", conversation="tg:bot:1", user="tg:ben")
NOBODY = RequestTags()


@dataclass(frozen=True)
class Row:
    model: str
    conversation: str
    user: str
    usd: float


def ledger(
    clock: ManualClock | None = None, models: Mapping[str, float] | None = None, **limits: Any
) -> BudgetLedger:
    return BudgetLedger(BudgetsConfig(**limits), models or {}, clock or ManualClock(NOON))


def paid(usd: float | None, model: str = "main", possible: float = 0.0) -> tuple[ModelAttempt, ...]:
    return (ModelAttempt(model=model, outcome="ok", cost_usd=usd, possible_usd=possible),)


def spent(book: Ledger, tags: RequestTags = ANN, model: str = "main") -> tuple[str, float]:
    room = book.room(model, tags)
    return room.budget, round(room.spent_usd, 9)


# --- what counts ----------------------------------------------------------------------------------------


def test_without_limits_nothing_applies() -> None:
    book = ledger()
    book.settle(ANN, paid(5.0))
    assert book.room("main", ANN) == Room()
    assert book.room("main", ANN).used == 0
    assert book.standings() == book.own_standings(ANN) == ()


def test_the_budget_that_is_nearest_to_its_end_is_told() -> None:
    book = ledger(
        models={"main": 8.0}, day_usd=100.0, month_usd=200.0, user_day_usd=10.0, conversation_day_usd=9.0
    )
    book.settle(ANN, paid(1.0))
    assert spent(book) == ("model", 1.0)
    assert spent(book, model="other") == ("conversation", 1.0)
    assert spent(book, RequestTags(user="tg:ann"), "other") == ("user", 1.0)
    assert spent(book, NOBODY, "other") == ("day", 1.0)
    book.settle(NOBODY, paid(99.0, "third"))
    assert spent(book, NOBODY, "other") == ("day", 100.0)
    assert book.room("other", NOBODY).used == 1.0


def test_a_day_with_more_conversations_than_are_told_apart_forgets_those_that_spent_least() -> None:
    book = ledger(day_usd=10_000.0, conversation_day_usd=1.0)
    book.settle(ANN, paid(0.7))
    for number in range(MOST + 10):
        book.settle(RequestTags(conversation=f"api:shop:{number}"), paid(0.01))
        assert len(book._day.spent) <= MOST
    assert spent(book) == ("conversation", 0.7)
    assert (spent(book, NOBODY)[0], round(spent(book, NOBODY)[1], 6)) == (
        "day",
        round(0.7 + 0.01 * (MOST + 10), 6),
    )


def test_of_several_budgets_the_one_that_a_request_would_pass_is_told() -> None:
    book = ledger(day_usd=10.0, conversation_day_usd=0.04)
    book.settle(NOBODY, paid(9.0))
    book.settle(ANN, paid(0.02))
    room = book.room("main", ANN)
    assert (room.budget, room.takes(0.02), room.takes(0.03)) == ("day", True, True)
    room = book.room("main", ANN, 0.03)
    assert (room.budget, room.takes(0.02), room.takes(0.03)) == ("conversation", True, False)
    assert Room().takes(1e6), "nothing applies"


@pytest.mark.parametrize(
    ("limits", "models", "same", "other"),
    [
        ({"day_usd": 10.0}, {}, ANN, None),
        ({"month_usd": 10.0}, {}, NOBODY, None),
        ({"user_day_usd": 10.0}, {}, RequestTags(user="tg:ann", conversation="tg:bot:2"), BEN),
        ({"conversation_day_usd": 10.0}, {}, BEN, RequestTags(user="tg:ann", conversation="tg:bot:2")),
        ({}, {"main": 10.0}, NOBODY, None),
    ],
)
def test_each_budget_counts_its_own(
    limits: dict[str, Any], models: dict[str, float], same: RequestTags, other: RequestTags | None
) -> None:
    book = ledger(models=models, **limits)
    book.settle(ANN, paid(4.0))
    assert book.room("main", same).spent_usd == 4.0
    if other is not None:
        assert book.room("main", other).spent_usd == 0.0
    if models:
        assert book.room("other", same) == Room()


def test_nobodys_request_counts_against_no_sender() -> None:
    book = ledger(user_day_usd=1.0, conversation_day_usd=1.0)
    book.settle(NOBODY, paid(5.0))
    assert book.room("main", NOBODY) == Room()


def test_what_may_have_been_paid_counts_and_what_has_no_price_does_not() -> None:
    book = ledger(day_usd=10.0)
    book.settle(ANN, paid(1.0, possible=2.0))
    book.settle(ANN, paid(None))
    book.settle(ANN, paid(math.nan))
    book.settle(ANN, paid(-3.0))
    assert spent(book) == ("day", 3.0)


def test_what_is_held_counts_while_it_is_held() -> None:
    book = ledger(models={"main": 2.0}, day_usd=10.0, user_day_usd=5.0)
    with book.hold("main", ANN, 0.1), book.hold("main", ANN, 0.2):
        assert spent(book) == ("model", 0.3)
        with suppress(ZeroDivisionError), book.hold("main", ANN, 1.0):
            assert spent(book) == ("model", 1.3)
            raise ZeroDivisionError
        assert spent(book, model="other") == ("user", 0.3)
    assert spent(book)[1] == 0.0
    assert book._held == {}
    with book.hold("main", ANN, 1e-10), book.hold("main", ANN, 1e-10):
        pass
    with book.hold("main", ANN, math.nan), book.hold("main", ANN, 0.0):
        assert spent(book)[1] == 0.0


# --- days and months ------------------------------------------------------------------------------------


async def test_a_day_begins_anew_at_midnight_utc_and_a_month_at_its_first() -> None:
    clock = ManualClock(NOON)
    book = ledger(clock, {"main": 5.0}, day_usd=10.0, month_usd=100.0, user_day_usd=5.0)
    book.settle(ANN, paid(4.0))
    room = book.room("other", NOBODY)
    assert (room.budget, room.ends_at) == ("day", datetime(2026, 1, 31, tzinfo=UTC))
    clock.jump(DAY_S / 2 - 1)
    assert spent(book) == ("model", 4.0)
    clock.jump(1)
    assert book.room("main", ANN).spent_usd == 4.0, "of the month"
    assert spent(book) == ("month", 4.0)
    assert book.room("main", ANN).ends_at == datetime(2026, 2, 1, tzinfo=UTC)
    clock.jump(DAY_S)
    assert book.room("main", ANN).used == 0.0


async def test_a_request_that_is_under_way_at_midnight_is_held_in_the_new_day_too() -> None:
    clock = ManualClock(NOON)
    book = ledger(clock, day_usd=10.0)
    with book.hold("main", ANN, 3.0):
        clock.jump(DAY_S)
        assert spent(book) == ("day", 3.0)
        book.settle(ANN, paid(2.0))
    assert spent(book) == ("day", 2.0)


async def test_a_clock_that_is_set_on_and_back_gives_no_budget_twice() -> None:
    clock = ManualClock(NOON)
    book = ledger(clock, day_usd=10.0, month_usd=100.0)
    book.settle(ANN, paid(9.0))
    for jump_s in (DAY_S, -DAY_S, -40 * DAY_S, 40 * DAY_S):
        clock.jump(jump_s)
        book.settle(ANN, ())
        book.room("main", ANN)
    assert spent(book) == ("day", 9.0)
    with book.hold("main", ANN, 0.5):
        clock.jump(-DAY_S)
    assert spent(book)[1] == 9.0, "of the month"


async def test_only_the_latest_days_are_kept_in_memory() -> None:
    clock = ManualClock(NOON)
    book = ledger(clock, user_day_usd=1.0, conversation_day_usd=1.0)
    for day in range(70):
        for user in range(20):
            tags = RequestTags(user=f"tg:{day}-{user}", conversation=f"tg:bot:{day}-{user}")
            with book.hold("main", tags, 0.1):
                book.settle(tags, paid(0.9))
            book.room("main", tags)
        clock.jump(DAY_S)
    kept = sum(len(period.spent) for period in (*book._days.values(), *book._months.values()))
    assert kept <= KEPT * (20 * 2 + 3) + KEPT
    assert book._held == {}


# --- start and reload -----------------------------------------------------------------------------------


def test_what_was_spent_before_the_start_counts() -> None:
    book = ledger(
        models={"main": 8.0}, day_usd=10.0, month_usd=30.0, user_day_usd=9.0, conversation_day_usd=9.0
    )
    rows = [Row("main", "tg:bot:1", "tg:ann", 2.0), Row("main", "", "", 1.0), Row("b", "x", "tg:ben", 4.0)]
    book.take_over(NOON.date(), 20.0, rows)
    assert spent(book, NOBODY, "c") == ("day", 7.0)
    assert spent(book, RequestTags(user="tg:ben"), "c") == ("day", 7.0)
    assert {(s.room.budget, s.of): s.room.spent_usd for s in book.standings()} == {
        ("day", ""): 7.0,
        ("month", ""): 20.0,
        ("model", "main"): 3.0,
    }
    assert [(s.room.budget, s.of, s.room.spent_usd, s.left_usd) for s in book.own_standings(ANN)] == [
        ("user", "tg:ann", 2.0, 7.0),
        ("conversation", "tg:bot:1", 2.0, 7.0),
    ]


def test_what_was_read_before_midnight_is_none_of_the_day_after() -> None:
    book = ledger(day_usd=10.0, month_usd=100.0)
    book.take_over(date(2026, 1, 29), 20.0, [Row("main", "c", "u", 9.0)])
    assert spent(book) == ("month", 20.0)


def test_a_reload_changes_limits_and_not_what_was_spent() -> None:
    book = ledger(day_usd=10.0)
    book.settle(ANN, paid(4.0))
    with book.hold("main", ANN, 1.0):
        book.configure(BudgetsConfig(user_day_usd=8.0, warn_at=0.5), {"main": 4.0})
        room = book.room("main", ANN)
        assert (room.budget, room.spent_usd, room.limit_usd, room.warn_at) == ("model", 5.0, 4.0, 0.5)
        assert spent(book, model="other") == ("user", 4.0 + 1.0)
        book.configure(BudgetsConfig(), {})
        assert book.room("main", ANN) == Room()


# --- who is told ----------------------------------------------------------------------------------------


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    fields = [vars(record) for record in caplog.records]
    return [(f["message"], f["budget"], f["of"]) for f in fields if "budget" in f]


def test_a_budget_that_comes_to_its_end_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    book = ledger(day_usd=10.0)
    book.settle(ANN, paid(7.9))
    assert book.notice(ANN) is None
    book.settle(ANN, paid(0.1))
    for _ in range(3):
        book.settle(ANN, paid(0.1))
    told = book.notice(BEN)
    assert told is not None
    assert (told.budget, told.limit_usd, round(told.used, 6)) == ("day", 10.0, 0.83)
    assert book.notice(ANN) is None
    book.settle(ANN, paid(2.0))
    book.settle(ANN, paid(2.0))
    assert book.notice(ANN) is None, "that it is spent is told by the request that is refused"
    assert events(caplog) == [("budget_warning", "day", ""), ("budget_spent", "day", "")]


def test_a_sender_is_told_of_their_own_budget_and_not_of_anothers() -> None:
    book = ledger(user_day_usd=1.0)
    book.settle(ANN, paid(0.9))
    assert book.notice(BEN) is None
    assert book.notice(NOBODY) is None
    told = book.notice(ANN)
    assert told is not None
    assert told.budget == "user"
    assert book.notice(ANN) is None


def test_of_several_budgets_one_is_told_at_a_time_the_own_ones_first() -> None:
    book = ledger(
        models={"main": 1.0}, day_usd=1.0, month_usd=1.0, user_day_usd=1.0, conversation_day_usd=1.0
    )
    book.settle(ANN, paid(0.9))
    told = []
    while (room := book.notice(ANN)) is not None:
        told.append(room.budget)
    assert told == ["user", "conversation", "day", "model", "month"]


async def test_the_next_day_it_is_told_again_and_the_months_only_once() -> None:
    clock = ManualClock(NOON)
    book = ledger(clock, day_usd=1.0, month_usd=2.0)
    book.settle(ANN, paid(0.9))
    clock.jump(DAY_S)
    assert book.notice(ANN) is None, "of yesterday"
    book.settle(ANN, paid(0.9))
    assert [room.budget for room in (book.notice(ANN), book.notice(ANN)) if room] == ["day", "month"]
    book.settle(ANN, paid(0.01))
    assert book.notice(ANN) is None


def test_what_is_near_its_limit_at_the_start_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    book = ledger(day_usd=10.0, conversation_day_usd=9.5)
    book.take_over(NOON.date(), 9.0, [Row("main", "tg:bot:1", "u", 9.0)])
    assert [room.budget for room in (book.notice(ANN), book.notice(ANN)) if room] == ["conversation", "day"]
    book.configure(BudgetsConfig(day_usd=10.0, conversation_day_usd=9.5), {})
    book.settle(ANN, paid(0.1))
    assert book.notice(ANN) is None
    assert sorted(events(caplog)) == [
        ("budget_warning", "conversation", "tg:bot:1"),
        ("budget_warning", "day", ""),
    ]


def test_what_a_reload_brings_near_its_limit_is_told_before_the_next_request_is_refused() -> None:
    book = ledger(day_usd=100.0)
    book.settle(ANN, paid(9.0))
    assert book.notice(ANN) is None
    for _ in range(2):
        book.configure(BudgetsConfig(day_usd=10.0), {})
    told = book.notice(ANN)
    assert told is not None
    assert (told.limit_usd, round(told.used, 6)) == (10.0, 0.9)
    assert book.notice(ANN) is None


def test_what_was_near_its_limit_yesterday_is_not_told_today(caplog: pytest.LogCaptureFixture) -> None:
    book = ledger(day_usd=10.0)
    book.take_over(date(2026, 1, 29), 9.0, [Row("main", "c", "u", 9.0)])
    assert book.notice(ANN) is None
    assert events(caplog) == []


def test_after_a_limit_was_raised_its_new_end_is_told() -> None:
    book = ledger(day_usd=10.0)
    book.settle(ANN, paid(9.0))
    assert book.notice(ANN) is not None
    book.configure(BudgetsConfig(day_usd=20.0), {})
    book.settle(ANN, paid(1.0))
    assert book.notice(ANN) is None
    book.settle(ANN, paid(8.0))
    told = book.notice(ANN)
    assert told is not None
    assert round(told.used, 6) == 0.9
