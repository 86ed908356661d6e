"""How people see the traffic of their models, narrow and wide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from clawd.cli import traffic
from clawd.cli.models import show
from clawd.cli.printing import columns
from clawd.cli.status_view import show as show_status
from clawd.config.schema import PriceConfig
from clawd.control.protocol import BudgetStatus
from clawd.journal.spend import UsageRow
from clawd.jsonable import json_object
from clawd.models.info import ModelInfo, SwitchSeen, TrafficView
from clawd.models.states import BreakerState

NOW = datetime.now(UTC)
BUSY = ModelInfo(
    name="main",
    type="chat",
    model="big-1",
    place="https://api.example.com/v1",
    found="config",
    routes=("default", "think"),
    calls=60,
    errors=2,
    in_flight=2,
    waiting=1,
    price=PriceConfig(input=2.5, output=10, as_of=date(2026, 1, 1)),
    traffic=TrafficView(
        window_s=300,
        calls=60,
        errors=2,
        calls_per_min=12.0,
        first_token_p50_s=0.416,
        first_token_p95_s=1.93,
        total_p50_s=2.1,
        total_p95_s=117.8,
        tokens_per_s=54.4,
    ),
)


def _open() -> ModelInfo:
    return replace(STANDBY, breaker=replace(STANDBY.breaker, until=_in(20)))


def _paused() -> ModelInfo:
    return replace(THIRD, paused_until=_in(5))


def _in(minutes: float) -> datetime:
    """Return that time from now on, to the minute for the seconds to come."""
    return datetime.now(UTC) + timedelta(minutes=minutes, seconds=20)


STANDBY = ModelInfo(
    name="standby",
    type="anthropic",
    model="claude-x",
    place="https://api.anthropic.com",
    found="environment ANTHROPIC_API_KEY",
    routes=(),
    breaker=BreakerState(state="open", why="5 of 8 calls failed", since=NOW),
    last_error="the model's server failed (HTTP 500: \x1b[2Joops)",
    traffic=TrafficView(window_s=300),
)
THIRD = ModelInfo(
    name="third",
    type="chat",
    model="third",
    place="",
    found="config",
    routes=("default",),
    breaker=BreakerState(state="closed"),
)


def _json(*models: ModelInfo) -> list[dict[str, Any]]:
    return [dict(json_object(model)) for model in models]


def test_a_narrow_terminal_shows_traffic_in_a_table_and_the_rest_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(_json(BUSY, _open(), _paused()), 80)
    lines = capsys.readouterr().out.splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "NAME STATE /MIN FAILED FIRST s TOTAL s TOK/s RUN WAIT"
    assert words[1] == "main closed 12.0 3 % 0.42/1.9 2.1/118 54 2 1"
    assert words[2].startswith("standby open 20 min 0 - ")
    assert words[3].startswith("third paused 5 min - ")
    assert max(columns(line) for line in lines[:4]) <= 80
    below = "\n".join(lines[4:])
    assert "main\n  chat, big-1, routes default, think, $2.5/10 for a million tokens\n" in below
    assert "standby\n  anthropic, claude-x, found: environment ANTHROPIC_API_KEY\n" in below
    assert "  open: 5 of 8 calls failed, until " in below
    assert "  last error: the model's server failed (HTTP 500: \\x1b[2Joops)" in below
    assert "  paused: its key is to rest until " in below
    assert max(map(columns, lines)) <= 80


def test_a_wide_terminal_shows_all_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    show(_json(BUSY), 200)
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-6:] == ["TYPE", "MODEL", "ROUTES", "$/M", "FOUND", "PLACE"]
    assert row.endswith("big-1  default, think  2.5/10  config  https://api.example.com/v1")


def test_colours_leave_the_columns_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = _json(BUSY, _open())
    show(models, 80)
    plain = capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    show(models, 80)
    painted = capsys.readouterr().out
    assert "\x1b[31mopen" in painted
    for colour in ("31", "32", "33", "1", "2", "0"):
        painted = painted.replace(f"\x1b[{colour}m", "")
    assert painted == plain


@pytest.mark.parametrize(
    ("breaker", "paused_s", "text"),
    [
        (BreakerState(), None, "closed"),
        (BreakerState(), 12.4, "paused 12 s"),
        (BreakerState(), -31, "limited 31 s"),
        (BreakerState(state="rest", until=NOW + timedelta(seconds=4)), None, "rest 4 s"),
        (BreakerState(state="half_open"), 12, "half-open"),
        (BreakerState(state="open", until=NOW - timedelta(seconds=4)), None, "open"),
    ],
)
def test_the_state_is_the_breakers_or_the_pause_of_the_key(
    breaker: BreakerState, paused_s: float | None, text: str
) -> None:
    model = ModelInfo(name="a", type="a", model="a", place="", found="", routes=(), breaker=breaker)
    if paused_s is not None and paused_s < 0:  # held by its own limits
        held = NOW + timedelta(seconds=-paused_s)
        model = replace(model, held_until=held, held_by="requests_per_min")
        [line] = traffic.trouble(_json(model)[0])
        assert line.startswith("limited: its requests_per_min lets the next through at ")
    elif paused_s is not None:
        model = replace(model, paused_until=NOW + timedelta(seconds=paused_s))
    assert traffic.state(_json(model)[0], NOW) == text


def test_status_shows_rate_errors_percentiles_state_and_the_last_switches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    switches = [
        SwitchSeen(at=NOW, route="default", from_model="main", to_model="standby", reason=reason)
        for reason in ("hedge", "E-MODEL-DOWN", "E-NEW", "busy", "busy", "busy", "open", "budget")
    ]
    status = {
        "version": "1", "state": "ready", "uptime_s": 1.0, "pid": 1, "rss_bytes": 1, "config_error": "",
        "state_dir": "/s", "config_path": None, "socket": "/s/s", "gateway": None, "bridges": [],
        "queue": {"queued": 0, "running": 0, "oldest_age_s": 0.0, "deliveries_open": 0, "dead": 0,
                  "conversations": 0, "last_id": 0},
        "models": _json(BUSY, _open()), "route": ["main"], "today": json_object(UsageRow()),
        "switches": [dict(json_object(each)) for each in switches],
    }  # fmt: skip
    show_status(status)
    out = capsys.readouterr().out
    assert "models   main     closed       12.0/min  3 % failed  p95 1.9/118 s  1. of default\n" in out
    assert "         standby  open 2" in out
    assert "           open: 5 of 8 calls failed, until " in out
    assert "main to standby  its first token was late  (route default)\n" in out
    assert "main to standby  E-NEW  (route default)\n" in out
    assert "main to standby  its limits let nothing through now  (route default, 3 times)\n" in out
    assert out.count(" to standby") == 5
    status["switches"] = []
    show_status(status)
    assert "switches" not in capsys.readouterr().out


def test_a_model_whose_budget_is_spent_says_so_and_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        _json(
            replace(BUSY, spent="day", spent_until=_in(30)),
            replace(_paused(), spent="model", spent_until=_in(600)),
        ),
        80,
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["main", "spent", "30", "min"]
    assert lines[2].split()[:4] == ["third", "spent", "10", "h"]
    assert any(line.startswith("  spent: the budget of the day is spent, until ") for line in lines)
    assert any(line.startswith("  spent: its own budget of the day is spent, until ") for line in lines)
    assert max(map(columns, lines)) <= 80


def test_status_tells_the_budgets_that_are_near_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    def budget(of: str, spent_usd: float) -> dict[str, Any]:
        status = BudgetStatus(
            budget="model" if of else "day",
            of=of,
            limit_usd=10.0,
            spent_usd=spent_usd,
            left_usd=max(0.0, 10.0 - spent_usd),
            warn_at=0.8,
            ends_at=datetime(2026, 3, 2, tzinfo=UTC),
        )
        return dict(json_object(status))

    status = {
        "version": "1", "state": "ready", "uptime_s": 1.0, "pid": 1, "rss_bytes": 1, "config_error": "",
        "state_dir": "/s", "config_path": None, "socket": "/s/s", "gateway": None, "bridges": [],
        "queue": {"queued": 0, "running": 0, "oldest_age_s": 0.0, "deliveries_open": 0, "dead": 0,
                  "conversations": 0, "last_id": 0},
        "models": [], "route": [], "today": json_object(UsageRow()),
        "budgets": [budget("", 10.0), budget("main", 8.0), budget("other", 7.9)],
    }  # fmt: skip
    show_status(status)
    out = capsys.readouterr().out
    assert "budgets  day  $10.00 of $10.00 (100%), spent until 2026-03-02 00:00 UTC\n" in out
    assert "         model main  $8.00 of $10.00 (80%), $2.00 left until 2026-03-02 00:00 UTC\n" in out
    assert "model other" not in out
    status["budgets"] = [budget("other", 7.9)]
    show_status(status)
    assert "budgets" not in capsys.readouterr().out


def test_status_tells_for_some_minutes_that_the_run_before_ended_without_a_stop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = {"how": "crash", "at": NOW.isoformat(), "pid": 77, "started_at": None}
    status: dict[str, Any] = {
        "version": "1", "state": "ready", "uptime_s": 60.0, "pid": 1, "rss_bytes": 1, "config_error": "",
        "state_dir": "/s", "config_path": None, "socket": "/s/s", "gateway": None, "bridges": [],
        "queue": {"queued": 0, "running": 0, "oldest_age_s": 0.0, "deliveries_open": 0, "dead": 0,
                  "conversations": 0, "last_id": 0},
        "models": [], "route": [], "today": json_object(UsageRow()), "last_end": last,
    }  # fmt: skip
    show_status(status)
    assert "before   process 77 ended without a stop, last seen " in capsys.readouterr().out
    for changed in ({"uptime_s": 3600.0}, {"last_end": {**last, "how": "clean"}}, {"last_end": None}):
        show_status(status | changed)
        assert "before" not in capsys.readouterr().out
