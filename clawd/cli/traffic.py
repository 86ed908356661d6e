"""Words and numbers about what goes through the models, for `models list` and `status`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from clawd.cli.printing import one_line, paint, when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTHING: Final = "-"

_COLOUR: Final = {
    "closed": "green",
    "rest": "yellow",
    "half-open": "yellow",
    "spent": "red",
    "open": "red",
    "paused": "yellow",
    "limited": "yellow",
}

_REASON: Final = {
    "E-MODEL-DOWN": "it failed",
    "E-MODEL-BUSY": "its provider limits our requests",
    "E-MODEL-AUTH": "its key is refused",
    "E-CONTEXT": "the conversation is longer than its context",
    "E-BUDGET": "a budget is spent",
    "budget": "a budget is spent",
    "hedge": "its first token was late",
    "rest": "it rests after a failure",
    "open": "it is out of service",
    "busy": "its limits let nothing through now",
}

_BUDGET: Final = {
    "day": "the budget of the day is spent",
    "month": "the budget of the month is spent",
    "model": "its own budget of the day is spent",
}


def state(model: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return whether a model is asked: its breaker's state, or its key's pause, and for how long yet."""
    word, until = _state(model)
    left = _left(until, now)
    return paint(word, _COLOUR[word]) + (f" {left}" if left else "")


def trouble(model: Mapping[str, Any]) -> list[str]:
    """Return what stands against a model now: its breaker, its key's pause, its last error."""
    breaker = model.get("breaker") or {}
    lines = []
    if model.get("spent"):
        until = f", until {when(model['spent_until'])}" if model.get("spent_until") else ""
        lines.append(f"spent: {_BUDGET.get(model['spent'], model['spent'])}{until}")
    if breaker.get("state", "closed") != "closed":
        word = str(breaker["state"]).replace("_", "-")
        until = f", until {when(breaker['until'])}" if breaker.get("until") else ""
        lines.append(f"{word}: {one_line(breaker.get('why') or 'no reason given', 200)}{until}")
    if model.get("paused_until"):
        lines.append(f"paused: its key is to rest until {when(model['paused_until'])}")
    if model.get("held_until"):
        lines.append(f"limited: its {model['held_by']} lets the next through at {when(model['held_until'])}")
    if model.get("window_found"):
        lines.append(f"window: its provider takes only {model['window_found']:,} tokens")
    if model["last_error"]:
        at = f" at {when(model['last_error_at'])}" if model.get("last_error_at") else ""
        lines.append(f"last error{at}: {one_line(model['last_error'], 300)}")
    return lines


def rate(model: Mapping[str, Any]) -> str:
    """Return calls a minute."""
    traffic = model.get("traffic")
    if not traffic:
        return NOTHING
    return number(traffic["calls_per_min"]) if traffic["calls"] else "0"


def failed(model: Mapping[str, Any]) -> str:
    """Return the share of calls that failed."""
    traffic = model.get("traffic")
    return f"{100 * traffic['errors'] / traffic['calls']:.0f} %" if traffic and traffic["calls"] else NOTHING


def seconds(model: Mapping[str, Any], what: str) -> str:
    """Return the median and the 95th percentile of `first_token` or `total`, such as `0.42/1.9`."""
    traffic = model.get("traffic") or {}
    half, most = traffic.get(f"{what}_p50_s"), traffic.get(f"{what}_p95_s")
    return NOTHING if half is None or most is None else f"{number(half)}/{number(most)}"


def slowest(model: Mapping[str, Any]) -> str:
    """Return the 95th percentiles of first token and total, such as `1.9/7.8`."""
    traffic = model.get("traffic") or {}
    first, total = traffic.get("first_token_p95_s"), traffic.get("total_p95_s")
    return NOTHING if first is None or total is None else f"{number(first)}/{number(total)}"


def speed(model: Mapping[str, Any]) -> str:
    """Return tokens a second."""
    value = (model.get("traffic") or {}).get("tokens_per_s")
    return NOTHING if value is None else f"{value:.0f}"


def price(model: Mapping[str, Any]) -> str:
    """Return dollars for a million tokens of input and of output, such as `2.5/10`."""
    value = model.get("price")
    return f"{value['input']:g}/{value['output']:g}" if value else NOTHING


def switches(seen: Sequence[Mapping[str, Any]], most: int) -> list[str]:
    """Return switches as lines, those of one kind that follow each other as one with their number.

    Args:
        seen: The newest first.
        most: So many lines at most.
    """
    lines = []
    for (source, target, reason, route), run in groupby(seen, key=_kind):
        same = list(run)
        times = f", {len(same)} times" if len(same) > 1 else ""
        words = _REASON.get(reason, one_line(reason))
        lines.append(f"{when(same[0]['at'])}  {source} to {target}  {words}  (route {route}{times})")
    return lines[:most]


def _kind(seen: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return seen["from_model"], seen["to_model"], seen["reason"], seen["route"]


def number(value: float) -> str:
    """Return a number with two places below 1, one below 100, and none above."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _state(model: Mapping[str, Any]) -> tuple[str, str | None]:
    breaker = model.get("breaker") or {}
    word = str(breaker.get("state", "closed")).replace("_", "-")
    if model.get("spent"):
        return "spent", model.get("spent_until")
    if word == "closed" and model.get("paused_until"):
        return "paused", model["paused_until"]
    if word == "closed" and model.get("held_until"):
        return "limited", model["held_until"]
    return (word if word in _COLOUR else "closed"), breaker.get("until")


def _left(until: str | None, now: datetime | None) -> str:
    if not until:
        return ""
    left = (datetime.fromisoformat(until) - (now or datetime.now(UTC))).total_seconds()
    if left <= 0:
        return ""
    if left < 100:
        return f"{left:.0f} s"
    return f"{left / 60:.0f} min" if left < 7200 else f"{left / 3600:.0f} h"
