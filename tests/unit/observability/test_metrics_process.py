"""What is told of the process, against what Prometheus' own library for Python tells."""

from __future__ import annotations

import pytest
from prometheus_client.process_collector import ProcessCollector

from clawd.observability.process import read_process


def test_names_helps_and_values_are_those_of_the_library() -> None:
    facts = read_process()
    assert facts is not None
    ours = {family.name: family for family in facts.families()}
    theirs = {
        metric.name + ("_total" if metric.type == "counter" else ""): metric
        for metric in ProcessCollector(registry=None).collect()
    }
    assert ours.keys() == theirs.keys()
    for name, metric in theirs.items():
        assert (ours[name].help.rstrip("."), ours[name].kind) == (
            metric.documentation.rstrip("."),
            metric.type,
        )
        ((_, held),) = ours[name].samples
        assert held == pytest.approx(metric.samples[0].value, rel=0.1, abs=3), name
