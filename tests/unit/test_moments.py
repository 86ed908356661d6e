"""Moments to come, as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from clawd.moments import BadSpan, moment, past_moment, span

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("30d", datetime(2026, 3, 2, 12, 0, tzinfo=UTC)),
        ("12h", datetime(2026, 2, 1, 0, 0, tzinfo=UTC)),
        (" 90 min ", datetime(2026, 1, 31, 13, 30, tzinfo=UTC)),
        ("2027-01-31T00:00:00+00:00", datetime(2027, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_from_now_or_a_date(text: str, when: datetime) -> None:
    assert moment(text, NOW, remedy="") == when


def test_a_date_without_a_zone_is_local() -> None:
    assert moment("2027-01-31", NOW, remedy="") == datetime(2027, 1, 31).astimezone()


@pytest.mark.parametrize("minutes", [-1, 1])
def test_a_clock_time_is_the_next_one(minutes: int) -> None:
    wanted = (NOW + timedelta(minutes=minutes)).astimezone()
    found = moment(f"{wanted:%H:%M}", NOW, remedy="")
    assert NOW < found <= NOW + timedelta(days=1)
    assert (found.hour, found.minute) == (wanted.hour, wanted.minute)


@pytest.mark.parametrize("text", ["soon", "", "30", "d", "-3d", "0h", "25:00", "9999y"])
def test_anything_else_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(BadSpan) as caught:
        moment(text, NOW, remedy="--for 2h")
    assert caught.value.remedy == "--for 2h"


def test_a_span_is_no_date() -> None:
    assert span("2h", remedy="") == timedelta(hours=2)
    with pytest.raises(BadSpan):
        span("2027-01-31", remedy="")


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("2 h", timedelta(hours=2)),
        ("0s", timedelta()),
    ],
)
def test_a_moment_that_has_passed_is_so_long_ago(text: str, ago: timedelta) -> None:
    assert past_moment(text, NOW, remedy="") == NOW - ago


@pytest.mark.parametrize("minutes", [-1, 1])
def test_a_clock_time_that_has_passed_is_the_last_one(minutes: int) -> None:
    wanted = (NOW + timedelta(minutes=minutes)).astimezone()
    found = past_moment(f"{wanted:%H:%M}", NOW, remedy="")
    assert NOW - timedelta(days=1) < found <= NOW
    assert (found.hour, found.minute) == (wanted.hour, wanted.minute)


@pytest.mark.parametrize("text", ["10x", "", "25:00", "999999y", "99999999999999d"])
def test_what_is_no_moment_that_has_passed_is_refused(text: str) -> None:
    with pytest.raises(BadSpan) as caught:
        past_moment(text, NOW, remedy="--since 10m")
    assert caught.value.remedy == "--since 10m"


def test_a_date_that_no_zone_can_be_given_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        for read in (moment, past_moment):
            with pytest.raises(BadSpan):
                read("0001-01-01", NOW, remedy="")
    time.tzset()


@pytest.mark.parametrize("text", ["banana", "2026-1-1", ""])
def test_the_forms_of_a_moment_are_named_where_none_is_met(text: str) -> None:
    for read in (moment, past_moment):
        with pytest.raises(BadSpan) as caught:
            read(text, datetime.now(UTC), remedy="try")
        assert "08:30, 2026-01-31" in (caught.value.why or "")
        assert "isoformat" not in str(caught.value)
