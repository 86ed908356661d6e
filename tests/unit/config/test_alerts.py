from __future__ import annotations

import pytest

from clawd.config.alerts import AlertsConfig
from tests.unit.config.conftest import Files

BRIDGES = "bridges: {phone: {token: long enough}}\n"


def test_the_designs_example_loads(files: Files) -> None:
    config = files.load(
        BRIDGES + 'alerts: {targets: [{bridge: phone, chat: 12345}, {url: "https://example.com/hook"}],'
        " rules: {error_rate: {above: 0.05, min: 20, window_s: 300, for_s: 30}}}"
    ).config.alerts
    assert (config.targets[0].chat, config.owners) == ("12345", True)
    assert config.rules.error_rate.above == 0.05


def test_without_a_section_every_rule_is_as_by_default(files: Files) -> None:
    assert files.load("agent: {}").config.alerts == AlertsConfig()


@pytest.mark.parametrize(
    ("section", "place", "message"),
    [
        (
            "{rules: {error_rat: {above: 1}}}",
            "error_rat: ",
            "unknown key 'error_rat'; did you mean 'error_rate'?",
        ),
        ("{rules: {disk: {abov: 1}}}", "abov: ", "unknown key 'abov'; did you mean 'above'?"),
        ("{rules: {disk: {above: 0.5, clear: 0.6}}}", "disk", "clear is greater than above"),
        ("{rules: {disk: {above: -1}}}", "-1", "expected at least 0"),
        (
            "{targets: [{bridge: phnoe, chat: 1}]}",
            "phnoe",
            "there is no bridge named phnoe; did you mean 'phone'?",
        ),
        ("{targets: [{bridge: phone}]}", "{bridge", "a target needs a url, or bridge and chat"),
        ('{targets: [{url: "https://a.example", chat: 1}]}', "{url", "not both"),
        ('{targets: [{url: "http://a.example"}]}', '"http:', "set allow_http: true"),
        ('{targets: [{url: "https://10.0.0.1"}]}', '"https://10', "set allow_private: true"),
        ('{targets: [{url: "https://a:b@a.example"}]}', '"https://a:b', "a name or password in it"),
        ("{targets: [{bridge: phone, chat: 1, token: abcdefgh}]}", "{bridge", "belong to a url"),
        (
            '{targets: [{url: "https://a.example", headers: {Host: abcdefgh}}]}',
            "Host",
            "is set by clawd itself",
        ),
        ('{targets: [{url: "https://a.example", headers: {X-A: "a\\nb"}}]}', '"a', "printable ASCII"),
        ('{targets: [{url: "https://a.example", secret: short}]}', "short", "can be guessed"),
    ],
)
def test_a_mistake_is_told_with_its_place(files: Files, section: str, place: str, message: str) -> None:
    problem = files.problem(f"alerts: {section}\n{BRIDGES}")
    assert message in problem.message + problem.remedy
    assert problem.line == 1
    assert f"alerts: {section}"[problem.column - 1 :].startswith(place)


def test_a_url_with_a_key_is_a_secret(files: Files) -> None:
    loaded = files.load('alerts: {targets: [{url: "https://a.example/T0/recognisable"}]}')
    assert "recognisable" not in repr(loaded.config)
    assert "https://a.example/T0/recognisable" in loaded.secrets
