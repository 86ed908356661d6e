"""What is shipped for Prometheus and Grafana, against the table of names and by Prometheus' own tools."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from clawd.alerts.base import RULES
from clawd.observability.counts import LAG_S
from clawd.observability.names import LOOP_LAG, all_metrics
from tests.unit.test_docs import calls, check

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[3] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULE_LIST: Final[list[dict[str, Any]]] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"][0][
    "rules"
]
TESTS: Final[list[dict[str, Any]]] = yaml.safe_load((PROMETHEUS / "rules.test.yaml").read_text())["tests"]
BOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "clawd.json").read_text())
PANELS: Final[list[dict[str, Any]]] = BOARD["panels"]

PROMTOOL = shutil.which("promtool")
with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")

OF_PROMETHEUS: Final = {"job", "instance", "le"}
"""Labels that Prometheus adds to what it scrapes, and that of the buckets."""


@dataclass(frozen=True)
class Expression:
    """One expression, where it stands, and the labels that are shown of what it gives."""

    where: str
    text: str
    shown: tuple[str, ...] = ()


def expressions() -> Iterator[Expression]:
    for rule in RULE_LIST:
        words = " ".join(rule["annotations"].values())
        yield Expression(rule["alert"], rule["expr"], tuple(re.findall(r"\$labels\.(\w+)", words)))
    for panel in PANELS:
        for target in panel.get("targets", ()):
            shown = tuple(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            yield Expression(panel["title"], target["expr"], shown)
    for annotation in BOARD["annotations"]["list"]:
        yield Expression(annotation["name"], annotation["expr"])
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert found is not None
            yield Expression(variable["name"], found[1], (found[2],))


EXPRESSIONS: Final = list(expressions())
BY_PLACE = pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda each: each.where)


def promtool(*arguments: str) -> str:
    """Return what promtool said of files that it finds nothing wrong with."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def labels_of(name: str) -> set[str]:
    """Return the labels that a series of this name has, from the table; those of a histogram's parts too."""
    table = all_metrics()
    for part in ("", "_bucket", "_count", "_sum"):
        metric = table.get(name.removesuffix(part))
        if metric is not None and name.endswith(part) and (part == "") == (metric.kind != "histogram"):
            return set(metric.labels) | OF_PROMETHEUS
    raise AssertionError(f"no metric {name}")


@BY_PLACE
def test_every_metric_of_an_expression_is_told_with_those_labels(expression: Expression) -> None:
    named = re.findall(r"\b((?:clawd|process)_\w+)(?:\{([^}]*)\})?", expression.text)
    assert named or "up{" in expression.text, "it asks for nothing of clawd"
    every: set[str] = set(OF_PROMETHEUS)
    for name, selector in named:
        known = labels_of(name)
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= known, name
        every |= known
    grouped = re.findall(r"\bby \(([^)]*)\)", expression.text)
    for labels in grouped:
        assert {label.strip() for label in labels.split(",")} <= every
    kept = {label.strip() for labels in grouped for label in labels.split(",")} if grouped else every
    assert set(expression.shown) <= kept, "what is shown is not in what it gives"


def test_buckets_that_rules_ask_for_exist() -> None:
    asked = [(rule["alert"], le) for rule in RULE_LIST for le in re.findall(r'le="([^"]+)"', rule["expr"])]
    assert asked == [("ClawdLoopLag", "1.0")]
    assert (
        f"{LOOP_LAG.name}_bucket"
        in RULE_LIST[[rule["alert"] for rule in RULE_LIST].index("ClawdLoopLag")]["expr"]
    )
    assert "1.0" in {repr(bound) for bound in LAG_S}


# --- rules ------------------------------------------------------------------------------------------------


def test_built_in_alerts_and_those_of_prometheus_have_the_same_names() -> None:
    told = [rule["alert"] for rule in RULE_LIST]
    ours = ["Clawd" + "".join(word.capitalize() for word in rule.split("_")) for rule in RULES]
    assert told[: len(ours)] == ours
    assert told[len(ours) :] == [
        "ClawdAbsent",
        "ClawdJournalUnreadable",
        "ClawdServiceErrors",
    ]


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule["alert"])
def test_each_alert_fires_in_one_case_and_stays_quiet_in_a_near_miss(rule: dict[str, Any]) -> None:
    cases = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_to_begin_with(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    commands = list(calls(re.sub(r"\{\{ \$labels\.\w+ \}\}", "NAME", rule["annotations"]["runbook"])))
    assert commands, "it names no command"
    for words in commands:
        check(words)


@with_promtool
def test_rules_and_scrape_are_what_prometheus_reads(tmp_path: Path) -> None:
    assert f"{len(RULE_LIST)} rules found" in promtool("check", "rules", str(PROMETHEUS / "rules.yaml"))
    scrape = (PROMETHEUS / "prometheus.yaml").read_text()
    (tmp_path / "clawd.token").write_text("secret")
    (tmp_path / "rules.yaml").write_bytes((PROMETHEUS / "rules.yaml").read_bytes())
    (tmp_path / "prometheus.yaml").write_text(scrape.replace("/etc/prometheus/clawd.token", "clawd.token"))
    promtool("check", "config", str(tmp_path / "prometheus.yaml"))


@with_promtool
def test_rules_do_what_their_tests_say() -> None:
    promtool("test", "rules", str(PROMETHEUS / "rules.test.yaml"))


# --- dashboard --------------------------------------------------------------------------------------------


@with_promtool
def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"test:{number}",
            "expr": re.sub(r"\$(\w+)", "5m", each.text.replace("$__rate_interval", "5m")),
        }
        for number, each in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(path))


def test_panels_have_ids_of_their_own_and_do_not_lie_over_each_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24
        for place in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(place, panel["title"]) == panel["title"]


def test_panels_are_in_rows_and_ask_the_chosen_prometheus() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == ["Traffic", "Latency", "Models and cost", "Queue and deliveries", "Journal", "Process"]
    assert PANELS[0]["type"] == "row"
    variables = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert variables == ["datasource", "instance", "bridge", "model"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert panel["description"]
            assert panel["targets"]
            assert all(target["datasource"] == chosen for target in panel["targets"])
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)
    used = {name for each in EXPRESSIONS for name in re.findall(r"\$(\w+)", each.text)}
    assert used <= {*variables, "__rate_interval"}


def test_the_dashboard_shows_every_metric_of_the_table() -> None:
    shown = {name for each in EXPRESSIONS for name in re.findall(r"(?:clawd|process)_\w+", each.text)}
    bare = {name.removesuffix("_bucket").removesuffix("_count") for name in shown}
    assert bare >= set(all_metrics())
