"""Metrics as plain data, and their text for Prometheus.

Parts keep their own counts and tell them as families when somebody scrapes; prometheus-client, which
costs a megabyte, is imported by the first scrape and only writes the text.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from clawd.observability.histogram import Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of `Exposition.text`. Source: prometheus.io, Exposition formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric with its samples: for each, the labels' values in their order, and the number."""

    name: str  # with its unit; that of a counter ends in `_total`
    help: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...] = ()
    samples: Sequence[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramFamily:
    """One histogram with its samples: for each, the labels' values and the counts."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    samples: Sequence[tuple[tuple[str, ...], Histogram]]


def prepare() -> None:
    """Import what `Exposition` needs: blocks for some milliseconds."""
    importlib.import_module("prometheus_client.exposition")


class Exposition:
    """Writes families in Prometheus' text format.

    prometheus-client takes some 6 µs for a line, and most lines are buckets of histograms. So those of a
    histogram that nothing was added to are kept from one scrape to the next.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, float], bytes]] = {}

    def text(self, families: Sequence[Family | HistogramFamily]) -> bytes:
        """Return the text of one scrape."""
        kept, self._kept = self._kept, {}
        blocks: list[bytes] = []
        for family in families:
            if isinstance(family, Family):
                blocks.append(_written(family))
                continue
            head = _written(replace(family, samples=()))
            blocks.append(head)
            for values, histogram in family.samples:
                key, state = (family.name, values), (histogram.count, histogram.total)
                before, lines = kept.get(key, (None, b""))
                if before != state:
                    alone = replace(family, samples=((values, histogram),))
                    lines = _written(alone)[len(head) :]
                self._kept[key] = (state, lines)
                blocks.append(lines)
        return b"".join(blocks)


class _Collector:
    """One family as prometheus-client wants it; the contract of its `Collector`."""

    def __init__(self, family: Family | HistogramFamily) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        from prometheus_client import core

        family = self._family
        if isinstance(family, HistogramFamily):
            histogram = core.HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for values, counts in family.samples:
                buckets = [(_le(bound), count) for bound, count in counts.cumulated()]
                histogram.add_metric(values, buckets, counts.total)
            yield histogram
            return
        kind = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
        metric = kind(family.name, family.help, labels=family.labels)
        for values, number in family.samples:
            metric.add_metric(values, number)
        yield metric


def _written(family: Family | HistogramFamily) -> bytes:
    from prometheus_client.exposition import generate_latest

    return generate_latest(_Collector(family))


def _le(bound: float) -> str:
    """Return a bucket's bound as its label."""
    return "+Inf" if bound == float("inf") else repr(bound)
