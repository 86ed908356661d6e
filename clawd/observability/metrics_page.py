"""docs/metrics.md, made from the table of names: `python -m clawd.observability.metrics_page > docs/metrics.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from clawd.observability.names import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.observability.names import Metric

_HEAD: Final = """# Metrics

`GET /metrics` at the [gateway](gateway.md) is text for Prometheus. This page is made from the table in the code:
`python -m clawd.observability.metrics_page > docs/metrics.md`.

```console
$ curl -s http://127.0.0.1:7373/metrics | grep turns_total
```

While the gateway listens on loopback alone, this host may read it without a token. On a wider bind, and for a request
that a reverse proxy passed on (it has `X-Forwarded-For`, `X-Real-IP`, `Forwarded` or `Via`, or asks for one of
`gateway.hosts`), a token with the scope `metrics` or `admin` is needed: `clawd tokens create prometheus --scope metrics`.

`deploy/` has what goes with it:

| file | |
|---|---|
| `prometheus/prometheus.yaml` | a scrape configuration, with a token in a file |
| `prometheus/rules.yaml` | alerts; each says which command to begin with |
| `prometheus/rules.test.yaml` | what makes each of them fire, and what does not: `promtool test rules rules.test.yaml` |
| `grafana/clawd.json` | a dashboard: Dashboards, New, Import |

The alerts bear the names of the built-in ones, which need no Prometheus: `ClawdErrorRate` is `error_rate`.
Whoever has both lets one of them tell people.
"""

_TAIL: Final = """
## Labels

Labels name bridges, models and tools of the configuration in force, routes by their pattern, and words of fixed sets.
No label ever names a user, a chat or a conversation, and what a model or a stranger makes up is `other`: a tool that
does not exist, a path that no route has. A counter tells at most 1000 combinations apart, whatever happens.

Counters begin at 0 with the process, and at 0 for every bridge, model, tool and route that is known, so that the
first error of the year is seen by `rate()` too. Rates, such as messages a second, are made from counters by whoever asks.

## What it costs

Nothing is computed or imported for metrics before the first scrape. Counting takes two microseconds of a turn. A
reading is shared by all scrapes of one second, so that a hundred Prometheus servers cost the daemon no more than
one; between two scrapes nothing happens. What can't be read, a journal that others hold or a disk that hangs, is left
out, and the rest is told: `clawd_journal_readable` says so.

## Questions

```
# messages a second, by bridge
sum by (bridge) (rate(clawd_messages_received_total[5m]))
# share of turns that failed
sum(rate(clawd_turns_total{outcome=~"failed|dead"}[5m])) / sum(rate(clawd_turns_total{outcome!="cancelled"}[5m]))
# share of attempts that failed, by model
sum by (model) (rate(clawd_model_requests_total{outcome!~"ok|hedge|cancelled"}[5m]))
  / sum by (model) (rate(clawd_model_requests_total[5m]))
# 95 % of the first tokens came within
histogram_quantile(0.95, sum by (le, model) (rate(clawd_model_time_to_first_token_seconds_bucket[5m])))
# dollars a day at the rate of the last hour
sum(rate(clawd_model_cost_usd_total[1h])) * 86400
# what an autoscaler, or a person who sets `agent.concurrency`, looks at
clawd_queue_oldest_age_seconds
```
"""


def page() -> str:
    """Return the page."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for title, metrics in TABLE.items():
        yield f"\n## {title}\n\n| metric | labels | |\n|---|---|---|\n"
        yield from (_row(metric) for metric in metrics)
    yield _TAIL


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = "Histogram. " if metric.kind == "histogram" else ""
    note = f" {metric.note[0].upper()}{metric.note[1:]}." if metric.note else ""
    return f"| `{metric.name}` | {labels} | {kind}{metric.help}{note} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
