"""The waterfall of a trace: who worked when, at any width."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clawd.cli.printing import columns
from clawd.cli.waterfall import BLOCKS, PLAIN, bars_of, drawn, length

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
Spec = tuple[str, str, float, float, dict[str, Any]]


def spans(*specs: Spec, end: float) -> list[dict[str, Any]]:
    """Return spans as the daemon tells them; `inside` among the attributes names the parent."""
    found = []
    for number, (kind, name, start, stop, more) in enumerate([("turn", "turn:a-1-1", 0.0, end, {}), *specs]):
        fields = dict(more)
        found.append(
            {
                "id": number,
                "parent": fields.pop("inside", 0) if number else None,
                "kind": kind,
                "name": name,
                "start": (START + timedelta(seconds=start)).isoformat(),
                "end": (START + timedelta(seconds=stop)).isoformat(),
                "error": fields.pop("error", ""),
                "open": fields.pop("open", False),
                "clock_set": False,
                "attributes": list(fields.items()),
            }
        )
    return found


def plain(text: str, _colour: str) -> str:
    return text


def lines(*specs: Spec, end: float, width: int = 80) -> list[str]:
    return [line.rstrip() for line in drawn(bars_of(spans(*specs, end=end)), width, PLAIN, plain)]


def test_each_span_stands_over_its_time_with_offset_and_length() -> None:
    told = lines(
        ("queue", "queued", 0, 1, {"claim": 1}),
        ("model", "main", 1, 4, {"outcome": "ok", "first_token_s": 1.0}),
        ("tool", "shell", 4, 6, {"outcome": "ok"}),
        ("delivery", "delivery:a-7", 6, 10, {"part": 0}),
        ("delivery", "attempt 2", 8, 10, {"inside": 4}),
        end=10,
        width=71,
    )
    assert told == [
        "    +0 ms    1.00 s queued       ....",
        "  +1.00 s    3.00 s model main      -----=======",
        "  +4.00 s    2.00 s tool shell                  ########",
        "  +6.00 s    4.00 s delivery:a-7                       ................",
        "  +8.00 s    2.00 s   attempt 2                                ========",
    ]


def test_what_ran_at_once_lies_side_by_side_and_a_failure_says_why() -> None:
    told = lines(
        ("model", "slow", 0, 8, {"outcome": "hedge"}),
        ("model", "quick", 6, 10, {"outcome": "ok", "first_token_s": 2.0}),
        ("model", "broken", 0, 1, {"outcome": "E-MODEL-DOWN", "error": "HTTP 500: no"}),
        end=10,
    )
    slow, quick, broken, why = told
    assert "model slow (hedge)" in slow
    assert slow.index("-") < quick.index("-") < len(slow)
    assert "model broken" in broken
    assert why.strip() == "HTTP 500: no"


def test_a_crash_is_a_gap_and_a_wait_of_hours_leaves_room_for_the_work() -> None:
    told = lines(
        ("model", "main", 0, 1, {"outcome": "cut", "error": "cut off"}),
        ("queue", "gap", 1, 2, {"claim": 2}),
        ("question", "shell", 2, 7202, {"answer": "approved"}),
        ("model", "main", 7202, 7204, {"outcome": "ok"}),
        end=7204,
    )
    gap = next(line for line in told if "gap before claim 2" in line)
    question = next(line for line in told if "ask shell (approved)" in line)
    assert "xxx" in gap
    assert "~" in question
    assert question.count("?") < 20
    assert told[-1].count("=") > 15


def test_what_is_not_over_ends_with_an_arrow() -> None:
    (line,) = lines(("model", "main", 0, 5, {"open": True}), end=5)
    assert line.endswith("->")


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("signs", [PLAIN, BLOCKS])
def test_no_line_is_wider_than_the_screen(width: int, signs: Any) -> None:
    bars = bars_of(
        spans(
            ("model", "a-model-with-a-very-long-name/of-some-provider", 0, 99_999, {"error": "why " * 100}),
            ("tool", "工具" * 20, 0, 0, {}),
            ("queue", "merged", 0, 3, {"turn": "turn:abcdefgh-1000000-1000000"}),
            end=100_000,
        )
    )
    told = drawn(bars, width, signs, plain)
    assert max(map(columns, told)) <= width
    assert signs is BLOCKS or all(line.isascii() or "工" in line for line in told)


def test_a_turn_in_which_nothing_took_any_time_is_drawn_too() -> None:
    assert lines(("queue", "queued", 0, 0, {}), end=0) == ["    +0 ms      0 ms queued       ."]
    assert lines(end=0) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1.5, "1.50 s"),
        (99.5, "99.50 s"),
        (150, "2min 30s"),
        (7260, "2h 1min"),
    ],
)
def test_lengths_are_short(seconds: float, text: str) -> None:
    assert length(seconds) == text
