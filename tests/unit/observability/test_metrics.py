"""What Prometheus is told, read by its own parser, and by promtool where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from clawd.config.schema import BudgetsConfig
from clawd.models.base import RequestTags
from clawd.models.budgets import BudgetLedger
from clawd.models.info import SwitchSeen
from clawd.models.meters import budget_family, model_families
from clawd.models.states import BreakerState
from clawd.models.traffic import TrafficBook
from clawd.observability.histogram import Histogram
from clawd.observability.metrics import Exposition, Family, _Collector
from clawd.response import ModelAttempt, Usage
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMTOOL = shutil.which("promtool")


def _read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def _types(text: bytes) -> dict[str, str]:
    return {family.name: family.type for family in text_string_to_metric_families(text.decode())}


def _book() -> TrafficBook:
    clock = ManualClock()
    book = TrafficBook(clock)
    usage = Usage(input_tokens=100, output_tokens=20, cached_tokens=40, thinking_tokens=5)
    for model in ("main", "gone"):
        book.attempt(
            ModelAttempt(
                model=model, outcome="ok", duration_s=3.0, first_token_s=0.4, usage=usage, cost_usd=0.125
            )
        )
    book.attempt(ModelAttempt(model="main", outcome="E-MODEL-DOWN", duration_s=20.0, possible_usd=0.5))
    for to, reason in (("standby", "E-MODEL-DOWN"), ("standby", "hedge"), ("gone", "hedge")):
        book.switched(
            SwitchSeen(at=clock.now(), route="default", from_model="main", to_model=to, reason=reason)
        )
    return book


def _models() -> Sequence[Family]:
    return model_families({"main": BreakerState(), "standby": BreakerState(state="open")}, _book())


def test_models_are_told_by_the_names_and_labels_of_the_contract() -> None:
    found = _read(Exposition().text(_models()))
    model = ("model", "main")

    def value(name: str, *labels: tuple[str, str]) -> float:
        return found[(name, tuple(sorted(labels)))]

    assert value("clawd_model_requests_total", model, ("outcome", "ok")) == 1
    assert value("clawd_model_requests_total", model, ("outcome", "unavailable")) == 1
    assert value("clawd_model_requests_total", ("model", "standby"), ("outcome", "ok")) == 0
    assert value("clawd_model_request_duration_seconds_bucket", model, ("le", "4.0")) == 1
    assert value("clawd_model_request_duration_seconds_bucket", model, ("le", "30.0")) == 2
    assert value("clawd_model_request_duration_seconds_count", model) == 2
    assert value("clawd_model_request_duration_seconds_sum", model) == 23
    assert value("clawd_model_time_to_first_token_seconds_bucket", model, ("le", "0.25")) == 0
    assert value("clawd_model_time_to_first_token_seconds_bucket", model, ("le", "+Inf")) == 1
    tokens = {kind: value("clawd_model_tokens_total", model, ("type", kind)) for kind in ("input", "output")}
    assert tokens == {"input": 100, "output": 20}
    assert value("clawd_model_tokens_total", model, ("type", "cached")) == 40
    assert value("clawd_model_cost_usd_total", model) == 0.125
    assert value("clawd_model_possible_cost_usd_total", model) == 0.5
    assert value("clawd_breaker_state", model) == 0
    assert value("clawd_breaker_state", ("model", "standby")) == 3
    switch = (("from_model", "main"), ("to_model", "standby"))
    assert value("clawd_model_switches_total", *switch, ("reason", "hedge")) == 1
    assert value("clawd_model_switches_total", *switch, ("reason", "unavailable")) == 1


def test_labels_are_models_in_force_and_words_of_fixed_sets() -> None:
    text = Exposition().text(_models())
    assert b"gone" not in text
    assert _types(text) == {
        "clawd_model_requests": "counter",
        "clawd_model_request_duration_seconds": "histogram",
        "clawd_model_time_to_first_token_seconds": "histogram",
        "clawd_model_tokens": "counter",
        "clawd_model_cost_usd": "counter",
        "clawd_model_possible_cost_usd": "counter",
        "clawd_breaker_state": "gauge",
        "clawd_model_switches": "counter",
    }


def test_budgets_are_told_by_the_share_that_is_used_and_never_whose_they_are() -> None:
    clock = ManualClock()
    limits = BudgetsConfig(day_usd=10, user_day_usd=1, conversation_day_usd=1)
    ledger = BudgetLedger(limits, {"main": 4.0}, clock)
    tags = RequestTags(conversation="tg:bot:1", user="tg:ann")
    ledger.settle(tags, (ModelAttempt(model="main", outcome="ok", cost_usd=5.0),))
    assert _read(Exposition().text([budget_family(ledger.standings())])) == {
        ("clawd_budget_used_ratio", (("budget", "day"), ("model", ""))): 0.5,
        ("clawd_budget_used_ratio", (("budget", "model"), ("model", "main"))): 1.25,
    }
    nothing = BudgetLedger(BudgetsConfig(), {}, clock)
    assert _read(Exposition().text([budget_family(nothing.standings())])) == {}


@pytest.mark.parametrize("value", ['a "b" \\ c\nd', "模型", "", "x{y=}"])
def test_a_label_of_any_text_comes_through(value: str) -> None:
    family = Family(name="a", help='say "x" \\ \n y', kind="gauge", labels=("b",), samples=[((value,), 1.5)])
    assert _read(Exposition().text([family])) == {("a", (("b", value),)): 1.5}


def test_every_scrape_is_what_the_client_library_itself_would_write() -> None:
    held = Histogram((0.25, 1.0, 1e7))
    exposition = Exposition()
    for gone, number in enumerate((0.0, 3, 12345678.9, 1e-9, float("inf"), float("nan"), -2.5)):
        held.add(number if number == number and number < 1e300 else 0.5)
        families: list[Family] = [
            Family(name="g", help="g", kind="gauge", labels=("a", "b"), samples=[(("1", "2 "), number)]),
            Family(name="c_total", help="c", kind="counter", samples=[((), number)]),
            Family(name="h", help="h", kind="histogram", labels=("m",), samples=[(("x y",), held)]),
            Family(name="n", help="n", kind="gauge", labels=("a",), samples=[((str(gone),), 1)]),
            Family(name="e", help="e", kind="gauge", labels=("a",), samples=[]),
        ]
        registry = CollectorRegistry()
        for family in families:
            registry.register(_Collector(family))
        assert exposition.text(families) == generate_latest(registry)


def test_the_client_library_is_not_imported_before_somebody_asks() -> None:
    code = "import sys, clawd.daemon.parts; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_say() -> None:
    assert PROMTOOL is not None
    text = Exposition().text(_models())
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
