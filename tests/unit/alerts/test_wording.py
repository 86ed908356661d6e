from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from clawd.alerts.base import RULES
from clawd.alerts.wording import MAX_LINES, message_of
from tests.unit.alerts.test_payload import NOW, alert


def test_message_says_what_since_when_and_what_to_try() -> None:
    bad = alert("main", rule="model_error_rate", value=0.125, above=0.05)
    assert message_of([bad], "begin", "en") == (
        "Alert (warning): too many requests to a model fail\n"
        "- 12.5 % of what `main` is asked fails, the limit is 5 %; since 2026-01-01 11:59:00 UTC\n\n"
        "Try: clawd models list; clawd models test main"
    )


def test_end_says_how_long_it_lasted() -> None:
    over = alert("main", state="resolved", resolved_at=NOW + timedelta(minutes=5))
    assert message_of([over], "end", "en") == (
        "Over: a model is out of service\n- `main`; began 2026-01-01 11:59:00 UTC and lasted 6 min"
    )


def test_message_is_in_the_language_of_the_chat() -> None:
    assert message_of([alert()], "begin", "zh-CN").startswith("警报（警告）：某个模型已停用\n")


def test_others_words_can_not_break_out_of_their_code_span() -> None:
    down = alert("tele`gram", rule="bridge_down", detail="it said\n`*boo*`")
    text = message_of([down], "begin", None)
    assert "- `tele'gram` is down: `it said '*boo*'`; since" in text
    assert text.endswith("clawd bridges test NAME"), "a shell would take more out of that name"


def test_what_to_try_names_what_it_is_about_where_that_is_one() -> None:
    one, other = alert("main"), alert("standby")
    assert message_of([one], "begin", None).endswith("clawd models test main")
    assert message_of([one, other], "begin", None).endswith("clawd models test NAME")


def test_alerts_of_several_rules_are_one_message_the_gravest_first_with_each_step_once() -> None:
    several = [
        alert("main", rule="model_error_rate", value=1, above=0.05),
        alert("main"),
        replace(alert("", rule="error_rate", value=1, above=0.05), severity="critical"),
    ]
    assert message_of(several, "begin", "en", owner=True).splitlines() == [
        "Alert (critical): too many turns fail; too many requests to a model fail; a model is out of service",
        "- 100 % of the turns fail, the limit is 5 %; since 2026-01-01 11:59:00 UTC",
        "- 100 % of what `main` is asked fails, the limit is 5 %; since 2026-01-01 11:59:00 UTC",
        "- `main` is out of service; since 2026-01-01 11:59:00 UTC",
        "",
        "Try: clawd turns list --state failed; clawd status; clawd models list; clawd models test main",
        "",
        "Quiet for two hours: /alerts numbers them, then /alerts silence NUMBER 2h",
    ]


def test_an_owner_is_told_how_to_silence_just_this() -> None:
    one, other = alert("main"), alert("standby")
    disk = alert("", rule="disk", value=0.95, above=0.9)
    ends = [
        message_of(each, "begin", "zh", owner=True).rpartition("\n")[2]
        for each in ([one], [one, other], [disk])
    ]
    assert ends == [
        "静音两小时：/alerts silence breaker_open=main 2h",
        "静音两小时：/alerts silence breaker_open 2h",
        "静音两小时：/alerts silence disk 2h",
    ]
    assert "/alerts" not in message_of([one], "end", "en", owner=True)


def test_a_count_is_held_against_a_limit_only_where_one_is_set() -> None:
    three = alert("", rule="dead_letters", value=3, above=0)
    assert "- 3 given up; since" in message_of([three], "begin", "en")
    three = alert("", rule="dead_letters", value=3, above=2)
    assert "- 3 given up, the limit is 2; since" in message_of([three], "begin", "en")


def test_of_many_only_some_are_listed() -> None:
    text = message_of([alert(f"m{n}") for n in range(1000)], "begin", None)
    assert text.count("\n- `") == MAX_LINES
    assert f"… and {1000 - MAX_LINES} more." in text
    assert len(text) < 2000


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("telling", ["begin", "end"])
def test_every_rule_can_be_told(rule: str, language: str, telling: str) -> None:
    text = message_of([alert(rule=rule, resolved_at=NOW)], telling, language)  # type: ignore[arg-type]
    assert "{" not in text
