"""docs/metrics.md: made from the table of names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clawd.observability.metrics_page import page
from clawd.observability.names import TABLE, Metric, all_metrics

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
# What others rely on: see the page of the architecture.
CONTRACT = [
    "messages_received_total{bridge}",
    "turns_total{outcome}",
    "turn_duration_seconds",
    "queue_depth",
    "queue_oldest_age_seconds",
    "model_requests_total{model,outcome}",
    "model_request_duration_seconds{model}",
    "model_time_to_first_token_seconds{model}",
    "model_tokens_total{model,type}",
    "model_cost_usd_total{model}",
    "breaker_state{model}",
    "model_switches_total{from_model,to_model,reason}",
    "tool_calls_total{tool,outcome}",
    "deliveries_total{bridge,outcome}",
    "journal_commit_seconds",
    "bridge_up{bridge}",
    "event_loop_lag_seconds",
    "http_requests_total{route,method,status}",
    "alerts_firing{rule}",
    "build_info{version,python}",
]


def test_the_page_says_what_the_table_says() -> None:
    command = "python -m clawd.observability.metrics_page > docs/metrics.md"
    assert PAGE.read_text(encoding="utf-8") == page(), command


def test_every_name_that_others_rely_on_is_there() -> None:
    told = {
        name.removeprefix("clawd_") + (f"{{{','.join(metric.labels)}}}" if metric.labels else "")
        for name, metric in all_metrics().items()
    }
    assert set(CONTRACT) <= told


@pytest.mark.parametrize("metric", all_metrics().values(), ids=lambda metric: metric.name)
def test_a_name_has_the_form_that_its_kind_asks_for(metric: Metric) -> None:
    assert re.fullmatch(r"(clawd|process)_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    # Nobody is named: not by any label that there is.
    assert not {"user", "sender", "chat", "conversation", "turn", "session", "path"} & set(metric.labels)


def test_no_name_stands_twice() -> None:
    assert len(all_metrics()) == sum(len(metrics) for metrics in TABLE.values())
