"""`clawd usage` for people: a table with bars, remarks on its numbers, and the budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.usage import BAR, bar, show
from clawd.control.protocol import BudgetStatus, UsageReport
from clawd.journal.spend import UsageRow, total_of
from clawd.jsonable import json_object
from clawd.money import money

if TYPE_CHECKING:
    from clawd.journal.spend import UsageBy


def report(*rows: UsageRow, by: UsageBy = "day", days: int = 3, **changes: Any) -> dict[str, Any]:
    total = total_of(rows)
    fields: dict[str, Any] = {"rows": rows, "total": total, "today": total, "budgets": (), **changes}
    return dict(json_object(UsageReport(days=days, last_day="2026-03-01", by=by, **fields)))


def shown(capsys: pytest.CaptureFixture[str], answer: dict[str, Any]) -> list[str]:
    show(answer)
    return capsys.readouterr().out.splitlines()


def test_days_without_use_have_a_row_too(capsys: pytest.CaptureFixture[str]) -> None:
    rows = (
        UsageRow(name="2026-02-27", calls=1200, input_tokens=1_234_567, output_tokens=10, cost_usd=4.5),
        UsageRow(name="2026-03-01", calls=3, failed=1, cached_tokens=7, cost_usd=0.0123),
    )
    assert shown(capsys, report(*rows)) == [
        "DAY            CALLS  FAILED      INPUT  CACHED  OUTPUT     COST  POSSIBLE  UNPRICED",
        f"2026-02-27     1,200       -  1,234,567       -      10    $4.50         -         -  {'█' * BAR}",
        "2026-02-28         0       -          0       -       0       $0         -         -",
        "2026-03-01         3       1          0       7       0  $0.0123         -         -  ▏",
        "all of 3 days  1,203       1  1,234,567       7      10    $4.51         -         -",
    ]


def test_what_may_have_cost_more_and_what_has_no_price_is_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = (
        UsageRow(name="main", calls=2, input_tokens=10, possible_calls=1, possible_usd=0.25, unpriced=2),
        UsageRow(name="", calls=1, input_tokens=5),
    )
    lines = shown(capsys, report(*rows, by="model"))
    assert lines[1].startswith("main ")
    assert lines[1].endswith("█" * BAR), "without any price the bars tell tokens"
    assert lines[2].startswith("(deleted) ")
    assert lines[2].endswith("█" * (BAR // 2))
    assert lines[4:] == [
        "possible: 1 request broke off or came too late, and may have cost $0.25 beside the cost",
        "unpriced: 2 calls without a known price cost what no sum holds; set `price` of the model",
    ]


def test_budgets_say_what_is_left_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    budgets = [
        BudgetStatus(
            budget="day", of="", limit_usd=5.0, spent_usd=1.25, left_usd=3.75, warn_at=0.8, ends_at=None
        ),
        BudgetStatus(
            budget="model",
            of="main\x1b",
            limit_usd=2.0,
            spent_usd=2.5,
            left_usd=0.0,
            warn_at=0.8,
            ends_at=None,
        ),
    ]
    answer = report(budgets=budgets)
    answer["budgets"][0]["ends_at"] = "2026-03-02T00:00:00.000Z"
    assert shown(capsys, answer) == [
        "no model was asked in the last 3 days of UTC",
        "budgets  day  $1.25 of $5.00 (25%), $3.75 left until 2026-03-02 00:00 UTC",
        "         model main\\x1b  $2.50 of $2.00 (125%), spent",
    ]


def test_a_name_from_a_chat_can_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, report(UsageRow(name="tg:\x1b]0;x\x07" + "y" * 99, calls=1), by="user"))
    assert "\x1b" not in lines[1]
    assert "…" in lines[1]


def test_a_bar_of_what_is_not_nothing_shows() -> None:
    assert (bar(0, 0), bar(0, 5), bar(5, 5), bar(0.0001, 5)) == ("", "", "█" * BAR, "▏")


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"),
        (1e-9, "<$0.000001"),
        (0.00005, "$0.00005"),
        (0.00012, "$0.0001"),
        (0.035, "$0.035"),
        (0.0351, "$0.0351"),
        (0.04, "$0.04"),
        (0.5, "$0.50"),
        (0.5001, "$0.5001"),
        (0.0001, "$0.0001"),
        (0.99999, "$1.00"),
        (1, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money_is_told_as_people_write_it(usd: float, text: str) -> None:
    assert money(usd) == text
