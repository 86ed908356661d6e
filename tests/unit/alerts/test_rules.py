from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from clawd.alerts.base import RULES, RuleName
from clawd.alerts.numbers import _BREAKER
from clawd.alerts.payload import name_of
from clawd.alerts.phrases import amount
from clawd.alerts.rules import DEFAULTS, MOMENTARY, PER, UNRATED, rules_of
from clawd.config.alerts import AlertRule, AlertRules, AlertsConfig
from clawd.texts import LANGUAGES, catalogue

ROOT = Path(__file__).parents[3]
STATES = {
    "bridge_down": ("down", "connected"),
    "breaker_open": ("open", "closed"),
    "config_refused": ("refused", "in force"),
}


def test_every_rule_has_defaults_a_key_and_its_words() -> None:
    assert tuple(DEFAULTS) == RULES == get_args(RuleName)
    assert tuple(AlertRules.model_fields) == RULES
    for language in LANGUAGES:
        assert {f"alert_title_{rule}" for rule in RULES} <= catalogue(language).keys()
        assert {f"alert_try_{rule}" for rule in RULES} <= catalogue(language).keys()
        assert {f"alerts_{rule}" for rule in RULES} <= catalogue(language).keys()
    for rule, default in DEFAULTS.items():
        assert default.clear <= default.above, rule


def test_every_rule_is_on_without_configuration() -> None:
    rules = rules_of(AlertsConfig())
    assert all(rule.enabled for rule in rules.values())
    assert (rules["error_rate"].above, rules["error_rate"].min) == (0.05, 20)
    assert (rules["error_rate"].window_s, rules["error_rate"].for_s) == (300, 30)


def test_what_is_left_out_keeps_its_default_and_the_end_moves_with_the_limit() -> None:
    said = AlertsConfig(rules=AlertRules(error_rate=AlertRule(above=0.5), disk=AlertRule(clear=0.1)))
    rules = rules_of(said)
    assert rules["error_rate"].clear == pytest.approx(0.3)
    assert (rules["error_rate"].min, rules["error_rate"].severity) == (20, "critical")
    assert (rules["disk"].above, rules["disk"].clear) == (0.9, 0.1)


def test_a_lower_limit_is_never_below_its_end() -> None:
    rules = rules_of(AlertsConfig(rules=AlertRules(error_rate=AlertRule(above=0.02, clear=0.02))))
    assert rules["error_rate"].clear == 0.02


def test_the_page_has_the_defaults() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    for rule, default in DEFAULTS.items():
        limits = STATES.get(rule, (amount(rule, default.above), amount(rule, default.clear)))
        cells = (
            f"`{rule}`", PER.get(rule, "–"), *limits, "–" if rule in UNRATED else str(default.min),
            "–" if rule in MOMENTARY else f"{default.window_s:g} s",
            f"{default.for_s:g} s", f"{default.cool_down_s:g} s", default.severity,
        )  # fmt: skip
        assert f"| {' | '.join(cells)} |" in page, cells
        assert name_of(rule) in page


def test_every_state_of_a_breaker_has_a_number() -> None:
    assert _BREAKER.keys() == {"closed", "rest", "half_open", "open"}


def test_the_example_shows_the_defaults() -> None:
    written = yaml.safe_load((ROOT / "config.example.yaml").read_text(encoding="utf-8"))["alerts"]["rules"]
    assert tuple(written) == RULES
    shown = AlertsConfig(rules=AlertRules.model_validate(written))
    assert rules_of(shown) == rules_of(AlertsConfig())
